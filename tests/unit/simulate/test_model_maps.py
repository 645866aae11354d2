"""Model maps with noise."""

import json

import numpy as np
import pytest

from heterodyne_nb import simulate
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.simulate.example import TRUTH

GRID = {"q": [0.006, 0.012], "phi": [0.0, 40.0, 80.0], "n_frames": 30, "dt": 0.5}


def test_maps_are_offset_plus_contrast_times_the_model():
    ds = simulate.model_maps("heterodyne", TRUTH, **GRID, contrast=[0.3, 0.2], offset=1.01)
    model = ModelFactory.create_model("heterodyne")
    t = ds.t.values
    expected = 1.01 + 0.2 * model.correlation(list(TRUTH.values()), t[:, None], t, q=0.012, phi=40.0)
    np.testing.assert_allclose(ds.c2.sel(q=0.012, phi=40.0), expected, atol=1e-6)
    assert "sigma" not in ds
    assert t[0] == 0.5
    assert ds.c2.dtype == np.float32


def test_noise_is_symmetric_and_as_large_as_asked():
    clean = simulate.model_maps("heterodyne", TRUTH, **GRID)
    noisy = simulate.model_maps("heterodyne", TRUTH, **GRID, noise=[[0.01] * 3, [0.03] * 3], seed=5)
    noise = (noisy.c2 - clean.c2).values
    np.testing.assert_array_equal(noise, noise.swapaxes(-1, -2))
    upper = noise[..., *np.triu_indices(30, 1)]
    np.testing.assert_allclose(upper.std(axis=-1), noisy.sigma, rtol=0.12)
    np.testing.assert_allclose(upper[1].std(), 0.03, rtol=0.05)
    assert abs(np.corrcoef(upper[0, 0], upper[0, 1])[0, 1]) < 0.2


def test_same_seed_same_maps_and_another_seed_others():
    first, second, third = (
        simulate.model_maps("static_isotropic", [50, 0, 0], **GRID, noise=0.1, seed=s) for s in (1, 1, 2)
    )
    assert first.identical(second)
    assert not np.array_equal(first.c2, third.c2)


def test_dyadic_noise_keeps_its_size_and_ties_pixels_of_one_frame():
    grid = {"q": np.linspace(0.005, 0.05, 200), "phi": 0.0, "n_frames": 12, "dt": 1.0}
    noise = simulate.model_maps("static_isotropic", [0, 0, 0], **grid, noise=0.1, dyadic=0.6, seed=3).c2 - 2
    values = noise.values[:, 0]
    assert values[:, 2, 7].std() == pytest.approx(0.1, rel=0.15)
    assert np.corrcoef(values[:, 2, 7], values[:, 2, 9])[0, 1] == pytest.approx(0.3, abs=0.15)
    assert np.corrcoef(values[:, 2, 7], values[:, 4, 9])[0, 1] == pytest.approx(0.0, abs=0.2)


def test_every_two_time_mode_can_be_mapped():
    three = [100, 0, 0, 300, 0, 0, 60, 0, 0, 0, 0, 0.2, 10, 200, 0, 0, -40, 0, 0, 0, 0, 0.3, 70]
    laminar = simulate.model_maps("laminar_flow", [50, 0, 0, 1e-4, 0, 0, 0], **GRID, gap=1e6)
    many = simulate.model_maps("multicomponent", three, **GRID)
    assert np.isfinite(laminar.c2).all()
    assert np.isfinite(many.c2).all()
    assert json.loads(many.attrs["simulation"])["parameters"]["phi0_3"] == 70.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"q": [-0.01]}, "q: q = -0.01 1/Å is not positive"),
        ({"phi": [10.0, 10.0]}, "phi: .* repeats a value"),
        ({"n_frames": 1}, "n_frames"),
        ({"dt": 0.0}, "dt"),
        ({"contrast": [0.1, 0.2, 0.3]}, r"contrast: shape \(3,\) does not fit 2 q × 3 phi"),
        ({"noise": -1.0}, "noise: -1 is out of range"),
        ({"dyadic": 1.0}, "dyadic"),
    ],
)
def test_an_impossible_setting_is_named(change, said):
    with pytest.raises(ConfigurationError, match=said):
        simulate.model_maps("static_isotropic", [50, 0, 0], **{**GRID, **change})


def test_a_one_time_mode_and_a_wrong_number_of_parameters_are_errors():
    with pytest.raises(ConfigurationError, match="one-time model"):
        simulate.model_maps("kww", [1.0, 1.0], **GRID)
    with pytest.raises(ConfigurationError, match="2 values for 3 parameters"):
        simulate.model_maps("static_isotropic", [50, 0], **GRID)
