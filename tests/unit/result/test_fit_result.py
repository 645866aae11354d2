import dataclasses

import numpy as np
import pytest
from result_parts import ERRORS, VALUES, heterodyne_curves, parts

from heterodyne_nb.errors import ConfigurationError, OptimizationError
from heterodyne_nb.result import FitResult


def test_values_and_errors_come_back_by_published_name(result):
    assert result.values["D0_sample"] == 4180.0
    assert list(result.values) == list(result.parameter_names)
    assert result.errors["phi0"] == 0.35
    assert np.isnan(result.errors["f0"])
    assert result.status["beta"] == "at bound"


def test_a_parameter_tells_all_that_is_known_of_it(result):
    v0 = result.params["v0"]
    assert (v0.name, v0.value, v0.error, v0.unit, v0.status) == ("v0", 1234.5, 2.1, "Å/s", "free")
    assert v0.lower < v0.value < v0.upper
    assert [one.value for one in result.params.values()] == list(VALUES)


def test_reduced_chi_square_divides_by_the_degrees_of_freedom(result):
    assert result.chi2_reduced == pytest.approx(3187.2 / (3120 - 16), rel=1e-15)


def test_without_degrees_of_freedom_reduced_chi_square_is_nan(make_result):
    assert np.isnan(make_result(n_data=16).chi2_reduced)


def test_curves_carry_the_models_values_units_and_bands(result):
    curve = result.curve("J_sample")
    expected = heterodyne_curves(VALUES, curve["t"].values)["J_sample"]
    np.testing.assert_array_equal(curve["value"], expected)
    np.testing.assert_allclose(curve["upper"] - curve["lower"], 80.0)
    assert curve["value"].attrs["units"] == "Å²/s"
    assert result.curve_names == ("J_ref", "J_sample", "v", "x_sample")


def test_a_curve_without_a_band_has_nan_limits(make_result):
    assert make_result(bands={}).curve("v")["lower"].isnull().all()


def test_an_unknown_curve_is_an_error_that_names_the_known_ones(result):
    with pytest.raises(ConfigurationError, match="J_ref"):
        result.curve("gamma_dot")


def test_stderr_defaults_to_the_root_of_the_covariance(make_result):
    result = make_result(stderr=None)
    np.testing.assert_allclose(list(result.errors.values()), np.nan_to_num(ERRORS))


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("parameters", [1.0, 2.0], "parameters"),
        ("stderr", [1.0], "stderr"),
        ("covariance", np.eye(3), "covariance"),
        ("status", ["free"] * 13, "status"),
        ("status", ["good"] * 14, "good"),
        ("bands", {"w": (np.zeros(40), np.ones(40))}, "w"),
        ("bands", {"v": (np.zeros(4), np.ones(40))}, "v_lower"),
    ],
)
def test_a_part_of_the_wrong_shape_or_name_is_refused(make_result, part, value, said):
    with pytest.raises(OptimizationError, match=said):
        make_result(**{part: value})


def test_nothing_in_a_result_can_be_changed(result):
    before = result.dataset.copy(deep=True)
    with pytest.raises(ValueError, match="read-only"):
        result.dataset["parameters"][0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        result.dataset["parameters"].values += 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        result._dataset = before
    loose = result.dataset
    loose["new"] = 1.0
    loose.attrs["mode"] = "other"
    loose["v"].attrs["units"] = "furlong"
    result.provenance["seed"] = 99
    assert result.dataset.identical(before)


def test_the_arrays_given_are_copied(make_result):
    covariance = np.eye(14)
    result = make_result(covariance=covariance)
    covariance[0, 0] = 99.0
    assert result.dataset["covariance"].values[0, 0] == 1.0


def test_equal_parts_make_equal_results_and_any_difference_unequal_ones(make_result, result):
    assert result == make_result()
    assert hash(result) == hash(make_result())
    assert result != make_result(message="other")
    assert result != make_result(stderr=(*ERRORS[:13], 0.36))
    assert result != make_result(chi2=np.nextafter(3187.2, 4000))
    assert result != "a string"


def test_a_saved_result_loads_equal(result, tmp_path):
    assert FitResult.load(result.save(tmp_path / "results.nc")) == result


def test_statements_of_any_kind_are_kept_and_cannot_be_changed(make_result, tmp_path):
    result = make_result(extra={"worst_case": 1.25, "certificate": {"gap": np.float64(1e-9)}})
    again = FitResult.load(result.save(tmp_path / "extra.nc"))
    again.extra["worst_case"] = 0.0
    assert again.extra == {"worst_case": 1.25, "certificate": {"gap": 1e-9}}
    assert make_result().extra == {}


def test_what_is_known_of_tiles_is_kept(make_result, tmp_path):
    bins = parts()["bins"].assign(chi2_tile=(("bin", "block1", "block2"), np.arange(16.0).reshape(4, 2, 2)))
    result = make_result(bins=bins)
    np.testing.assert_array_equal(result.dataset["chi2_tile"], bins["chi2_tile"])
    for name in ("tiles.nc", "tiles.zarr", "tiles.nxs", "tiles.json"):
        assert result.save(tmp_path / name).exists()
    assert FitResult.load(tmp_path / "tiles.nc") == result


def test_another_estimate_of_the_errors_replaces_errors_bands_and_nothing_else(result):
    covariance = np.diag(np.linspace(0.1, 2.0, 14) ** 2)
    wider = result.with_uncertainty("block bootstrap", covariance=covariance)
    assert wider.uncertainty == "block bootstrap"
    assert "errors: block bootstrap" in wider.summary()
    np.testing.assert_allclose(list(wider.errors.values()), np.linspace(0.1, 2.0, 14))
    assert wider.values == result.values
    assert wider.status == result.status
    assert wider.dataset["bound_upper"].identical(result.dataset["bound_upper"])
    np.testing.assert_array_equal(wider.dataset["covariance"], covariance)
    np.testing.assert_array_equal(wider.curve("v")["value"], result.curve("v")["value"])
    assert not np.allclose(wider.curve("v")["upper"], result.curve("v")["upper"])
    assert wider.dataset["contrast"].identical(result.dataset["contrast"])
    assert result.uncertainty == ""


def test_bands_and_status_can_be_given_with_new_errors(result):
    t = result.dataset["t"].values
    band = {"v": (np.full(t.size, 1.0), np.full(t.size, 2.0))}
    status = ["free"] * 14
    found = result.with_uncertainty("profile", stderr=np.ones(14), status=status, bands=band)
    assert found.curve("v")["upper"].values.tolist() == [2.0] * 40
    assert found.curve("J_ref")["upper"].isnull().all()
    assert set(found.status.values()) == {"free"}
    assert "covariance" not in found.dataset


def test_an_estimate_without_errors_is_refused(result):
    with pytest.raises(OptimizationError, match="neither covariance nor stderr"):
        result.with_uncertainty("guess")
