"""A simulated experiment as a dataset, and the one that ships with the package."""

import doctest
import importlib
import json

import numpy as np
import pytest

from heterodyne_nb import simulate
from heterodyne_nb.data import open_dataset
from heterodyne_nb.errors import ConfigurationError, DataWarning
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.simulate import example

PIXELS = [[300, 400], [500, 600]]
GRID = {"q": [0.006, 0.012], "phi": [0.0, 40.0], "n_frames": 24, "dt": 1.0, "n_pixels": PIXELS}


@pytest.fixture(scope="module")
def shipped():
    with pytest.warns(DataWarning, match="all NaN.*q = 0.006 1/Å, phi = 90°"):
        return open_dataset(simulate.example_path())


def test_the_dataset_has_the_data_model_and_the_intensity():
    ds = simulate.speckle("heterodyne", example.TRUTH, **GRID, contrast=0.3, mean_counts=[6.0, 2.0], seed=1)
    assert ds.c2.dims == ("q", "phi", "t1", "t2")
    assert ds.c2.dtype == np.float32
    assert ds.intensity.dims == ("q", "phi", "t")
    assert ds.n_pixels.values.tolist() == PIXELS
    assert ds.mask.all()
    assert {"g2", "g2_err"} <= set(ds)
    np.testing.assert_allclose(ds.c2, ds.c2.transpose("q", "phi", "t2", "t1").values)
    np.testing.assert_allclose(ds.intensity.mean(("phi", "t")), [6.0, 2.0], rtol=0.05)
    assert json.loads(ds.attrs["simulation"])["parameters"] == example.TRUTH


def test_a_bin_depends_on_the_seed_and_its_place_only():
    whole = simulate.speckle("heterodyne", example.TRUTH, **GRID, seed=9)
    again = simulate.speckle("heterodyne", example.TRUTH, **GRID, seed=9)
    alone = simulate.speckle("heterodyne", example.TRUTH, **GRID, seed=9, dead_bins=[(0, 0), (0, 1), (1, 0)])
    other = simulate.speckle("heterodyne", example.TRUTH, **GRID, seed=10)
    assert whole.c2.identical(again.c2)
    np.testing.assert_array_equal(whole.c2[1, 1], alone.c2[1, 1])
    assert not np.array_equal(whole.c2[1, 1], other.c2[1, 1])
    assert not np.array_equal(whole.c2[0, 0], whole.c2[0, 1])


def test_bad_frames_and_dead_bins_look_as_on_a_beamline():
    ds = simulate.speckle(
        "heterodyne", example.TRUTH, **GRID, mean_counts=50.0, bad_frames=[8, 9], dead_bins=[(1, 0)], seed=2
    )
    assert ds.c2.isel(q=1, phi=0).isnull().all()
    assert not ds.usable.isel(q=1, phi=0)
    stripe = ds.c2.isel(q=0, phi=0, t1=[7, 8])
    assert abs(stripe.mean() - 1) < 0.05
    assert ds.intensity.isel(q=0, phi=1)[7:9].max() < 0.1 * ds.intensity.isel(q=0, phi=1)[:7].min()
    assert ds.mask.all()
    assert ds.attrs["bad_frames"] == "8, 9"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"contrast": 1.2}, "contrast: 1.2 is out of range"),
        ({"n_pixels": 1}, "n_pixels: 1 is out of range"),
        ({"mean_counts": 0.0}, "mean_counts: 0 is out of range"),
        ({"bad_frames": [0, 3]}, r"bad_frames: frames \[0, 3\] leave the run"),
        ({"dead_bins": [(2, 0)]}, r"dead_bins: there is no bin \(2, 0\)"),
    ],
)
def test_an_impossible_setting_is_named(change, said):
    with pytest.raises(ConfigurationError, match=said):
        simulate.speckle("static_isotropic", [50, 0, 0], **{**GRID, **change})


@pytest.mark.parametrize("place", [(0, 2), (2, 7)])
def test_the_shipped_example_is_what_its_script_makes(shipped, place):
    anew = example.simulate_example(only=place).c2[place].values
    difference = np.abs(shipped.c2[place].values - anew)
    assert np.mean(difference < 2e-6) > 0.9  # another processor's rounding may turn a photon, a frame's row
    assert difference.max() < 0.05


def test_the_shipped_example_is_as_its_truth_says(shipped):
    truth = simulate.example_truth()
    for name in ("q", "phi"):
        np.testing.assert_allclose(shipped[name], truth[name])
    assert shipped.sizes["t"] == truth["n_frames"]
    assert shipped.attrs["dt"] == truth["dt"]
    assert (shipped.n_pixels == np.array(truth["n_pixels"])[:, None]).all()
    dead = [(float(shipped.q[i]), float(shipped.phi[j])) for i, j in np.argwhere(~shipped.usable.values)]
    assert dead == truth["dead_bins"]
    assert simulate.example_path().stat().st_size < 3e6


def test_the_shipped_example_is_noise_around_the_model_apart_from_its_bad_frames(shipped):
    truth = simulate.example_truth()
    model = ModelFactory.create_model(truth["mode"])
    good = ~np.isin(shipped.frame.values, truth["bad_frames"])
    t = shipped.t.values[good]
    pair = np.triu_indices(t.size, 1)
    for i, j in [(0, 3), (1, 0), (2, 4)]:
        exact = model.correlation(
            list(truth["parameters"].values()), t[:, None], t, q=truth["q"][i], phi=truth["phi"][j]
        )[pair]
        c2 = shipped.c2[i, j].values[np.ix_(good, good)][pair]
        slope, base = np.polyfit(exact, c2, 1)
        residual = c2 - base - slope * exact
        assert slope == pytest.approx(truth["contrast"][i], rel=0.05)
        assert base == pytest.approx(1.0, abs=0.01)
        assert residual.std() < 0.05 * truth["contrast"][i]
    stripe = shipped.c2[1, 3].values[np.ix_(~good, good)]
    assert abs(stripe.mean() - 1) < 0.02


def test_the_truth_can_be_seen_fringes_below_nyquist_and_decays_inside_the_window():
    truth = simulate.example_truth()
    t = truth["dt"] * np.arange(1, truth["n_frames"] + 1)
    curves = ModelFactory.create_model(truth["mode"]).curves(list(truth["parameters"].values()), t)
    q = np.array(truth["q"])[:, None]
    assert (q * curves["v"] * truth["dt"]).max() < np.pi / 2
    fringes = q[:, 0] * np.trapezoid(curves["v"], t) / (2 * np.pi)
    assert (fringes > 5).all()
    for name in ("J_ref", "J_sample"):
        decay = 1 / (q**2 * curves[name])
        assert (decay > 2 * truth["dt"]).all()
        assert decay[-1].max() < 2 * t[-1]


def test_the_script_writes_a_whole_file_or_none(tmp_path, monkeypatch, capsys):
    small = {**example.EXPERIMENT, "n_frames": 12, "n_pixels": 50, "bad_frames": (3,)}
    monkeypatch.setattr(example, "EXPERIMENT", small)
    path = example.main([str(tmp_path / "deep" / "small.h5")])
    assert "small.h5" in capsys.readouterr().out
    assert [p.name for p in path.parent.iterdir()] == ["small.h5"]
    with pytest.warns(DataWarning, match="small.h5"):
        ds = open_dataset(path)
    assert dict(ds.c2.sizes) == {"q": 3, "phi": 8, "t1": 12, "t2": 12}


@pytest.mark.parametrize("module", ["experiment", "example"])
def test_examples_in_the_docstrings_run(module):
    found = doctest.testmod(importlib.import_module(f"heterodyne_nb.simulate.{module}"))
    assert found.attempted > 0
    assert found.failed == 0
