"""What residuals say about a model: nothing where it is right, and where it is wrong."""

from __future__ import annotations

import numba as nb
import numpy as np
import pytest
from refit_samples import HETERODYNE, speckle_data, speckle_fit

import heterodyne_nb as hnb
from heterodyne_nb.assess import criticise
from heterodyne_nb.engine import residual_record
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.fitting.same_fit import objective_of, optimum
from heterodyne_nb.result import FitResult
from heterodyne_nb.simulate import model_maps, speckle

GRID = {
    "q": [0.008, 0.012],
    "phi": [-60.0, -30.0, 0.0, 30.0, 60.0],
    "n_frames": 64,
    "dt": 0.5,
    "contrast": 0.3,
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = nb.get_num_threads()
    nb.set_num_threads(1)
    yield
    nb.set_num_threads(threads)


def test_tiles_add_up_to_the_bins_and_to_residual_maps() -> None:
    result, data = speckle_fit(), speckle_data()
    tiles = residual_record(objective_of(result, data), optimum(result), 8)
    assert float(tiles["chi2_tile"].sum()) == pytest.approx(result.chi2, rel=1e-6)
    assert int(tiles["pixels_tile"].sum()) == result.dataset.attrs["n_data"]
    residual = result.residual_map(data, bin=2).values
    rows, columns = slice(60, 72), slice(24, 36)
    assert float(tiles["block_start"][2]) == pytest.approx(12.5)
    assert float(tiles["residual_tile"][2, 5, 2]) == pytest.approx(residual[rows, columns].mean(), rel=1e-4)


def test_a_fit_keeps_its_residuals_by_tile() -> None:
    result = speckle_fit()
    assert float(result.dataset["chi2_tile"].sum()) == pytest.approx(result.chi2, rel=1e-6)
    found = criticise(result)
    assert found.dataset["z"].shape == result.dataset["residual_tile"].shape
    again = FitResult(result.dataset.drop_vars("residual_tile"))
    with pytest.raises(ConfigurationError, match="no residuals by tile"):
        criticise(again)


def test_of_the_right_model_nothing_is_said_on_speckle_noise() -> None:
    data = speckle("heterodyne", HETERODYNE, **GRID, n_pixels=800, seed=5)
    found = criticise(hnb.fit(data, "heterodyne", parameters=HETERODYNE, multistart=0))
    assert found.good
    assert found.verdict() == "Nothing speaks against the model."
    assert found.dataset.attrs["p_structure"] > 0.01


def test_a_model_too_simple_is_found_out() -> None:
    data = model_maps("heterodyne", HETERODYNE, **GRID, noise=0.005, dyadic=0.2, seed=2)
    held = ("alpha_sample", "D_offset_sample", "alpha_ref", "D_offset_ref")  # else the two change places
    steady = {name: {"value": 0.0, "vary": False} for name in held}
    found = criticise(hnb.fit(data, "heterodyne", parameters={**HETERODYNE, **steady}, multistart=0))
    assert not found.good
    assert found.dataset.attrs["p_structure"] < 0.01
    assert "share structure" in repr(found)


def test_a_bad_angle_is_named() -> None:
    data = model_maps("heterodyne", HETERODYNE, **GRID, noise=0.02, seed=2)
    c2 = data["c2"].values.copy()
    c2[:, 3] += 0.03 * np.sin(np.arange(64))[None, :, None] * np.sin(np.arange(64))[None, None, :]
    found = criticise(
        hnb.fit(data.assign(c2=(data["c2"].dims, c2)), "heterodyne", parameters=HETERODYNE, multistart=0)
    )
    assert "phi = 30°" in found.findings[2]
    assert "phi = 0°" not in found.findings[2]


def test_a_few_bins_prove_nothing_and_this_is_said() -> None:
    found = criticise(speckle_fit())
    assert np.isnan(found.dataset.attrs["p_structure"])
    assert found.findings[0].startswith("6 bins are too few")
    assert "<ul>" in found._repr_html_()


def test_the_chance_of_structure_is_uniform_where_there_is_none() -> None:
    from heterodyne_nb.assess.criticism import _chances

    rng = np.random.default_rng(1)
    late, early = np.indices((6, 6))
    chances = []
    for _ in range(60):
        rough = rng.normal(size=(10, 6, 6)) + 2 * rng.normal(size=(10, 6, 1))  # correlated inside a bin
        chances.append(_chances(np.where(late >= early, rough, np.nan), rng, 99))
    structure, runs = np.array(chances).T
    assert 0.3 < structure.mean() < 0.7
    assert np.mean(structure < 0.05) < 0.15
    assert np.mean(runs < 0.05) < 0.15


def test_flips_must_be_a_number() -> None:
    with pytest.raises(ConfigurationError, match="flips"):
        criticise(speckle_fit(), flips=0)
