"""What residuals say about a model: nothing where it is right, and where it is wrong."""

from __future__ import annotations

from functools import cache

import numba as nb
import numpy as np
import pytest
import xarray as xr
from refit_samples import HETERODYNE, speckle_data, speckle_fit

import heterodyne_nb as hnb
from heterodyne_nb.assess import criticise, goodness_of_fit
from heterodyne_nb.data.dataset import make_dataset
from heterodyne_nb.engine import residual_record
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.fitting.same_fit import objective_of, optimum
from heterodyne_nb.result import FitResult
from heterodyne_nb.simulate.components import Component
from heterodyne_nb.simulate.fields import Detector, bin_correlation
from heterodyne_nb.uncertainty.goodness import goodness


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


def test_a_fit_keeps_its_residuals_by_tile_and_its_tests() -> None:
    result = speckle_fit()
    assert float(result.dataset["chi2_tile"].sum()) == pytest.approx(result.chi2, rel=1e-6)
    found = goodness_of_fit(result)
    assert found.dataset["z"].shape == result.dataset["residual_tile"].shape
    again = FitResult(result.dataset.drop_vars("residual_tile"))
    with pytest.raises(ConfigurationError, match="no tests of its goodness"):
        goodness_of_fit(again)
    once_more = goodness_of_fit(again, speckle_data())
    assert once_more.dataset.attrs["p_size"] == pytest.approx(found.dataset.attrs["p_size"])
    np.testing.assert_allclose(once_more.dataset["speckle_ratio"], found.dataset["speckle_ratio"])


def test_the_old_name_still_works_and_tells_the_new_one() -> None:
    with pytest.warns(DeprecationWarning, match="goodness_of_fit"):
        assert criticise(speckle_fit()).good


#: What moves: rates and fractions by time (s). Nothing of the models is used for it.
STEADY = {
    "J_ref": lambda t: 60.0 + 0 * t,
    "J_sample": lambda t: 600.0 + 0 * t,
    "v": lambda t: 60.0 + 0 * t,
    "x": lambda t: 0.35 + 0.1 * np.exp(0.01 * t),
}
START = dict(zip(HETERODYNE, (60, 0, 0, 600, 0, 0, 60, 0, 0, 0.1, 0.01, 0, 0.35, 15.0), strict=True))


def experiment(seed: int = 4, frames: int = 100, third: float = 0.0, **curves):
    """Speckle of two components, or three, whose rates follow any course in time."""
    flow = {**STEADY, **curves}
    t, dt, phi = 0.5 * np.arange(1, frames + 1), 0.5, np.arange(8) * 22.5 - 80.0
    fine = t[:-1, None] + dt * (np.arange(8) + 0.5) / 8

    def steps(rate):
        return dt * rate(fine).mean(axis=1)

    def path(rate):
        return np.concatenate([[0.0], np.cumsum(steps(rate))])

    x = flow["x"](t)
    parts = [
        Component(1 - x - third, steps(flow["J_ref"]), np.zeros(frames)),
        Component(x, steps(flow["J_sample"]), path(flow["v"]), 15.0),
        Component(
            np.full(frames, third), steps(lambda t: 150.0 + 0 * t), path(lambda t: 150.0 + 0 * t), 70.0
        ),
    ]
    maps = [
        bin_correlation(
            parts, 0.012, angle, Detector(500, np.ones(1)), np.random.SeedSequence(seed, spawn_key=(0, b))
        )[0]
        for b, angle in enumerate(phi)
    ]
    return make_dataset(c2=np.array(maps)[None], q=[0.012], phi=phi, dt=dt)


def fitted(data: xr.Dataset) -> FitResult:
    return hnb.fit(data, "heterodyne", parameters=START, multistart=0)


@cache
def right() -> xr.Dataset:
    return experiment()


#: What a wrong model does not know of, and flags of which one is raised.
WRONG = {
    "velocity that stops": ({"v": lambda t: 60.0 * (t < 33)}, {"poor_chi2", "bent_curve"}),
    "velocity that oscillates": (
        {"v": lambda t: 60 + 21 * np.sin(2 * np.pi * t / 15)},
        {"poor_chi2", "bent_curve"},
    ),
    "J that jumps": ({"J_sample": lambda t: np.where(t < 25, 600.0, 3000.0)}, {"bent_curve"}),
    "third component": ({"third": 0.2}, {"poor_chi2"}),
}


@cache
def wrong(what: str) -> FitResult:
    return fitted(experiment(**WRONG[what][0]))


def test_of_the_right_model_nothing_is_said_on_speckle_noise() -> None:
    result = fitted(right())
    found = goodness_of_fit(result)
    assert found.good
    assert found.verdict() == "Nothing speaks against the model."
    assert not {"poor_chi2", "bent_curve", "poor_bins"} & {flag.code for flag in result.flags}
    assert 0.6 < float(np.exp(np.log(found.dataset["speckle_ratio"]).mean())) < 1.4


@pytest.mark.slow
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_model_is_found_out(what: str) -> None:
    result = wrong(what)
    assert WRONG[what][1] & {flag.code for flag in result.flags if flag.serious}
    assert result.light == "red"
    assert not goodness_of_fit(result).good


def test_the_curve_that_bends_is_named_with_its_place() -> None:
    told = next(flag.text for flag in wrong("J that jumps").flags if flag.code == "bent_curve")
    assert "J_sample(t), by about" in told
    assert "Å²/s near t = " in told


def test_frames_without_beam_are_found_out() -> None:
    data = right()
    c2 = data["c2"].values.copy()
    c2[..., 30:33, :] = c2[..., 30:33] = 1.0
    result = fitted(data.assign(c2=(data["c2"].dims, c2)))
    assert "poor_chi2" in {flag.code for flag in result.flags}


def test_a_bad_bin_is_named() -> None:
    data = right()
    c2, wave = data["c2"].values.copy(), np.sin(np.arange(100) / 6.0)
    c2[0, 3] += (0.4 * wave[:, None] * wave).astype(c2.dtype)
    found = goodness_of_fit(fitted(data.assign(c2=(data["c2"].dims, c2))))
    assert "phi = -12.5°" in found.findings[2]
    assert "phi = 10°" not in found.findings[2]


def test_the_answer_is_the_same_for_the_same_seed_and_does_not_hang_on_the_number_of_speckles() -> None:
    objective = objective_of(speckle_fit(), speckle_data())
    theta = optimum(speckle_fit())
    first, again, other = (goodness(objective, theta, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.ratio, again.ratio)
    assert first.curves == again.curves == other.curves
    np.testing.assert_allclose(first.ratio, other.ratio, rtol=0.5)


def test_a_few_bins_share_nothing_that_could_be_judged_and_this_is_said() -> None:
    found = goodness_of_fit(speckle_fit())
    assert np.isnan(found.dataset.attrs["p_structure"])
    assert found.findings[3].startswith("6 bins are too few")
    assert "<ul>" in found._repr_html_()


def test_the_chance_of_structure_is_uniform_where_there_is_none() -> None:
    from heterodyne_nb.assess.goodness_of_fit import _chance

    rng = np.random.default_rng(1)
    late, early = np.indices((6, 6))
    chances = []
    for _ in range(60):
        rough = rng.normal(size=(10, 6, 6)) + 2 * rng.normal(size=(10, 6, 1))  # correlated inside a bin
        chances.append(_chance(np.where(late >= early, rough, np.nan), rng, 99))
    assert 0.3 < np.mean(chances) < 0.7
    assert np.mean(np.array(chances) < 0.05) < 0.15


def test_flips_must_be_a_number() -> None:
    with pytest.raises(ConfigurationError, match="flips"):
        goodness_of_fit(speckle_fit(), flips=0)
