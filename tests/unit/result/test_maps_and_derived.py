import numpy as np
import pytest
import xarray as xr
from result_parts import VALUES, PlainModel, parts
from scipy.integrate import quad

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.result import FitResult
from heterodyne_nb.uncertainty.bands import NORMAL_95, jacobian, propagate
from heterodyne_nb.uncertainty.derived import time_integral


def measured(result, noise=0.0):
    """The four bins as a (bin, t1, t2) dataset with one masked frame."""
    t = result.dataset["t"].values
    maps = np.stack([result.model_map(bin=b).values for b in range(4)]) + noise
    mask = np.ones(t.size, bool)
    mask[5] = False
    coords = {"q": result.dataset["q"], "phi": result.dataset["phi"], "t1": t, "t2": t, "t": t}
    return xr.Dataset({"c2": (("bin", "t1", "t2"), maps), "mask": ("t", mask)}, coords=coords)


def test_the_model_map_is_offset_plus_contrast_times_the_models_correlation(result):
    found = result.model_map(q=0.008, phi=-45.0)
    t = result.dataset["t"].values
    model = ModelFactory.create_model("heterodyne")
    expected = 0.999 + 0.19 * model.correlation(VALUES, t[:, None], t[None, :], q=0.008, phi=-45.0)
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    assert found.dims == ("t1", "t2")
    np.testing.assert_allclose(np.diag(found), 0.999 + 0.19)
    np.testing.assert_array_equal(found, found.values.T)


def test_a_map_longer_than_one_block_is_the_same_as_its_parts(result):
    t = 0.05 * np.arange(1, 301)
    whole = result.model_map(bin=1, t=t).values
    part = result.model_map(bin=1, t=t[100:200]).values
    np.testing.assert_allclose(whole[100:200, 100:200], part, rtol=1e-13)


def test_a_bin_that_is_not_there_is_an_error_that_offers_those_that_are(result):
    with pytest.raises(ConfigurationError, match=r"0\.004"):
        result.model_map(q=0.1, phi=30.0)
    with pytest.raises(ConfigurationError, match="2 bins fit"):
        result.model_map(q=0.008)
    with pytest.raises(ConfigurationError, match=r"\[0, 1, 2, 3\]"):
        result.model_map(bin=9)


def test_a_one_time_model_gives_a_curve_in_the_lag():
    model = ModelFactory.create_model("kww")
    bins = parts()["bins"].isel(bin=[0])
    small = {"parameters": [2.0, 1.0], "stderr": None, "status": None, "covariance": np.eye(2) * 0.01}
    result = FitResult.from_parts(model, **parts(**small, bins=bins, bands=None, t=None))
    tau = np.array([0.1, 0.5])
    found = result.model_map(t=tau)
    assert found.dims == ("tau",)
    np.testing.assert_allclose(found, 1.0 + 0.21 * np.exp(-4.0 * tau))
    with pytest.raises(ConfigurationError, match="keeps no times"):
        result.model_map()


def test_the_residual_is_the_noise_and_nan_where_frames_are_masked(result):
    residual = result.residual_map(measured(result, noise=0.01), bin=2)
    used = np.arange(40) != 5
    np.testing.assert_allclose(residual.values[np.ix_(used, used)], 0.01, rtol=1e-10)
    assert np.isnan(residual.values[5]).all()
    assert np.isnan(residual.values[:, 5]).all()


def test_a_residual_against_data_without_maps_is_our_error(result):
    with pytest.raises(ConfigurationError, match="no two-time map"):
        result.residual_map(xr.Dataset(), bin=2)


@pytest.mark.parametrize("exponent", [-2.0, -1.0, -0.5, 0.0, 1.3, 2.0])
def test_the_time_integral_of_a_power_law_is_exact_over_four_decades(exponent):
    found = time_integral(lambda t: t**exponent, 0.001, 10.0)
    s = exponent + 1
    exact = np.log(1e4) if s == 0 else (10.0**s - 0.001**s) / s
    assert found == pytest.approx(exact, rel=1e-12)


def test_derived_figures_agree_with_independent_integration(result):
    derived = result.derived()
    t = result.dataset["t"].values

    def v(time):
        return VALUES[6] * time ** VALUES[7] + VALUES[8]

    displacement = quad(v, t[0], t[-1], epsabs=0, epsrel=1e-12)[0]
    mid = 0.5 * (t[0] + t[-1])
    value = derived["value"]
    assert float(value.sel(quantity="displacement")) == pytest.approx(displacement, rel=1e-11)
    assert float(value.sel(quantity="mean_v")) == pytest.approx(displacement / (t[-1] - t[0]), rel=1e-11)
    j_mid = VALUES[3] * mid ** VALUES[4] + VALUES[5]
    assert float(value.sel(quantity="D_sample")) == pytest.approx(j_mid / 2, rel=1e-13)
    assert str(derived["unit"].sel(quantity="displacement").values) == "Å"
    rate = 0.008 * np.cos(np.radians(12.5 + 45.0)) * v(mid)
    assert float(derived["fringe_rate"][2]) == pytest.approx(rate, rel=1e-13)


def test_derived_errors_agree_with_random_draws_of_the_parameters(result):
    derived = result.derived()
    covariance = result.dataset["covariance"].values
    draws = np.random.default_rng(1).multivariate_normal(VALUES, covariance, size=4000)
    mid = 0.5 * (0.5 + 20.0)
    j_half = 0.5 * (draws[:, 3] * mid ** draws[:, 4] + draws[:, 5])
    rate = 0.004 * np.cos(np.radians(draws[:, 13] - 30.0)) * (draws[:, 6] * mid ** draws[:, 7] + draws[:, 8])
    assert float(derived["stderr"].sel(quantity="D_sample")) == pytest.approx(j_half.std(), rel=0.05)
    assert float(derived["fringe_rate_stderr"][1]) == pytest.approx(rate.std(), rel=0.05)


def test_without_a_covariance_derived_errors_are_unknown(make_result):
    assert make_result(covariance=None).derived()["stderr"].isnull().all()


def test_every_mode_has_derived_figures_or_an_empty_table():
    expected = {
        "static_isotropic": ["D"],
        "laminar_flow": ["D", "mean_gamma_dot", "strain"],
        "multicomponent_2": ["D_1", "D_2", "mean_v_2", "displacement_2"],
        "heterodyne_equilibrium": ["D_ref", "D_sample"],
        "kww": [],
    }
    for mode, names in expected.items():
        model = ModelFactory.create_model(mode)
        values = [spec.default for spec in model.parameters]
        whole = parts(parameters=values, stderr=None, status=None, covariance=None, bands=None)
        assert FitResult.from_parts(model, **whole).derived()["quantity"].values.tolist() == names


def test_bands_default_to_the_delta_method_when_a_covariance_is_given(make_result):
    curve = make_result(bands=None).curve("J_sample")
    t = curve["t"].values
    slopes = {3: t ** VALUES[4], 4: VALUES[3] * np.log(t) * t ** VALUES[4]}
    variance = (slopes[3] * 31.0) ** 2 + (slopes[4] * 0.004) ** 2
    np.testing.assert_allclose(curve["upper"] - curve["value"], NORMAL_95 * np.sqrt(variance), rtol=1e-7)
    np.testing.assert_allclose(curve["value"] - curve["lower"], NORMAL_95 * np.sqrt(variance), rtol=1e-7)


def test_a_direction_the_data_leave_open_does_not_widen_a_curve_that_does_not_feel_it(make_result):
    """f0 and f2 move along f0 exp(-f1 f2) = const by any amount; x_sample must not notice."""
    direction = np.zeros(14)
    direction[[9, 11]] = VALUES[9] * VALUES[10], 1.0
    quiet = make_result(bands=None).curve("x_sample")
    covariance = make_result().dataset["covariance"].values + 1e6 * np.outer(direction, direction)
    open_ended = make_result(bands=None, covariance=covariance).curve("x_sample")
    np.testing.assert_allclose(open_ended["upper"], quiet["upper"], atol=1e-5)


def test_differences_are_accurate_for_small_and_zero_parameters():
    t = np.linspace(1.0, 1e4, 7)
    slopes = jacobian(lambda p: p[0] * np.exp(p[1] * t) + p[2] * t ** p[3], np.array([0.3, 1e-4, 50.0, 0.0]))
    growth = np.exp(1e-4 * t)
    expected = np.stack([growth, 0.3 * t * growth, np.ones(7), 50 * np.log(t)], axis=1)
    np.testing.assert_allclose(slopes, expected, rtol=1e-6, atol=1e-6)


def test_an_unknown_variance_makes_only_what_depends_on_it_unknown():
    covariance = np.diag([0.01, np.nan])
    errors = propagate(lambda p: np.array([2 * p[0], p[0] + p[1]]), np.array([1.0, 2.0]), covariance)
    assert errors[0] == pytest.approx(0.2)
    assert np.isnan(errors[1])


def test_the_plain_model_of_these_tests_agrees_with_the_packages():
    t = np.linspace(0.5, 20, 9)
    ours, theirs = PlainModel().curves(VALUES, t), ModelFactory.create_model("heterodyne").curves(VALUES, t)
    for name, curve in ours.items():
        np.testing.assert_allclose(curve, theirs[name], rtol=1e-14)
