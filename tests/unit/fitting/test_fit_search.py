"""Start values from the data alone: fringes, decays, fractions; and the warning when fringes alias."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import xarray as xr
from fit_samples import HETERODYNE, PHI, STATIC, chi2_at, heterodyne_maps, near, objective_of, static_maps

from heterodyne_nb import fit
from heterodyne_nb.errors import FitWarning
from heterodyne_nb.fitting import initial_guess
from heterodyne_nb.optimize.guess import flow_candidates, lag_cuts
from heterodyne_nb.result import FitResult
from heterodyne_nb.simulate import model_maps

STEADY = {"alpha_sample": 0.0, "D0_sample": 400.0, "D_offset_sample": 0.0}
EXPERIMENTS = {
    "slowing down": HETERODYNE,
    "fast and steep": HETERODYNE
    | {"v0": 600.0, "beta": -0.1, "v_offset": 0.0, "phi0": -50.0, "f0": 0.0, "f1": 0.01, "f3": 0.4},
    "speeding up": HETERODYNE | STEADY | {"v0": 60.0, "beta": 0.5, "v_offset": 0.0, "phi0": 70.0},
}


@cache
def measured(name: str) -> xr.Dataset:
    grid = {"q": [0.009], "phi": PHI, "n_frames": 80, "dt": 0.5}
    return model_maps("heterodyne", EXPERIMENTS[name], contrast=0.3, noise=0.03, seed=2, **grid)


@cache
def found(name: str) -> FitResult:
    return fit(measured(name), "heterodyne")


def speed(values: dict[str, float], t: np.ndarray) -> np.ndarray:
    return values["v0"] * t ** values["beta"] + values["v_offset"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_velocity_and_direction_are_found_without_any_start(name: str) -> None:
    result, truth = found(name), EXPERIMENTS[name]
    t = measured(name)["t"].values
    assert result.success
    np.testing.assert_allclose(speed(result.values, t[10:]), speed(truth, t[10:]), rtol=0.05)
    assert result.values["phi0"] == pytest.approx(truth["phi0"], abs=0.5)
    assert result.chi2 <= chi2_at(measured(name), "heterodyne", truth)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_fraction_found_stays_between_nothing_and_everything(name: str) -> None:
    x = found(name).curve("x_sample")["value"].values
    assert np.all((x >= 0) & (x <= 1))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_fringes_alone_tell_velocity_and_direction(name: str) -> None:
    problem = objective_of(measured(name), "heterodyne", {}).problem
    best = flow_candidates(problem)[0]
    truth = EXPERIMENTS[name]
    assert best.speed == pytest.approx(float(speed(truth, np.array(best.time))), rel=0.08)
    assert abs((best.phi0 - truth["phi0"] + 90) % 180 - 90) <= 5.0
    scores = [candidate.score for candidate in flow_candidates(problem)]
    assert scores == sorted(scores, reverse=True)


def test_fringes_are_found_though_the_first_and_last_frames_are_masked() -> None:
    ds = measured("slowing down")
    used = np.ones(ds.sizes["t"], bool)
    used[[0, 1, 40, -1]] = False
    problem = objective_of(ds.assign(mask=("t", used)), "heterodyne", {}).problem
    assert not np.all(np.isfinite(lag_cuts(problem)[2]))
    best = flow_candidates(problem)[0]
    assert best.speed == pytest.approx(float(speed(HETERODYNE, np.array(best.time))), rel=0.08)
    assert best.phi0 == pytest.approx(HETERODYNE["phi0"], abs=5.0)


def test_cuts_along_the_lag_are_means_of_diagonals_in_windows() -> None:
    problem = objective_of(static_maps(), "static_isotropic", STATIC).problem
    ages, lags, cuts = lag_cuts(problem, windows=2)
    assert cuts.shape == (2, 4, 24)
    np.testing.assert_allclose(lags, 0.5 * np.arange(1, 25))
    np.testing.assert_allclose(ages, problem.t[[12, 37]])
    block = problem.data[3, 25:, 25:].astype(float)
    expected = [np.diagonal(block, -k).mean() for k in range(1, 25)]
    np.testing.assert_allclose(cuts[1, 3], expected, rtol=1e-6)


@pytest.mark.parametrize("n", [4, 12])
def test_a_run_too_short_for_fringes_has_none(n: int) -> None:
    few = heterodyne_maps().isel(t=slice(n), t1=slice(n), t2=slice(n))
    assert flow_candidates(objective_of(few, "heterodyne", {}).problem) == []


def test_the_same_curves_come_from_the_truth_and_from_no_start() -> None:
    ds = measured("slowing down")
    informed = fit(ds, "heterodyne", parameters=near(HETERODYNE, share=0.01), multistart=0)
    blind = found("slowing down")
    assert blind.chi2 == pytest.approx(informed.chi2, rel=1e-4)
    for name in ("J_ref", "J_sample", "v", "x_sample"):
        one, two = blind.curve(name), informed.curve(name)
        width = (one["upper"] - one["lower"]) / 2 + (two["upper"] - two["lower"]) / 2
        assert np.all(np.abs(one["value"] - two["value"]) <= width + 1e-9), name


def test_stated_values_are_kept_by_the_search() -> None:
    ds = measured("slowing down")
    asked = {"phi0": {"value": 14.0, "min": 13.0, "max": 14.5}, "f2": {"value": 3.0, "vary": False}}
    result = fit(ds, "heterodyne", parameters=asked, multistart=4)
    assert 13.0 <= result.values["phi0"] <= 14.5
    assert result.values["f2"] == 3.0


def test_a_guess_is_feasible_and_better_than_the_defaults() -> None:
    ds = measured("slowing down")
    guess = initial_guess(ds, "heterodyne", parameters={"phi0": 15.0})
    assert guess["phi0"] == 15.0
    assert chi2_at(ds, "heterodyne", guess) < 0.7 * objective_of(ds, "heterodyne", {})(
        objective_of(ds, "heterodyne", {}).x0
    )


def test_a_static_fit_needs_no_start() -> None:
    result = fit(static_maps(), "static_isotropic")
    assert result.success
    assert result.chi2 <= chi2_at(static_maps(), "static_isotropic", STATIC)


def test_a_laminar_fit_needs_no_start() -> None:
    truth = {"D0": 200.0, "alpha": -0.2, "D_offset": 10.0, "gamma_dot_0": 2e-3, "beta": -0.2}
    truth |= {"gamma_dot_offset": 2e-4, "phi0": -20.0}
    grid = {"q": [0.009], "phi": PHI, "n_frames": 60, "dt": 0.5, "gap": 5e5}
    ds = model_maps("laminar_flow", truth, contrast=0.3, noise=0.02, seed=4, **grid)
    result = fit(ds, "laminar_flow", gap=5e5, multistart=8)
    t = ds["t"].values[5:]
    shear = truth["gamma_dot_0"] * t ** truth["beta"] + truth["gamma_dot_offset"]
    np.testing.assert_allclose(result.curve("gamma_dot")["value"][5:], shear, rtol=0.1)
    assert result.values["phi0"] == pytest.approx(-20.0, abs=1.0)
    assert result.chi2_reduced == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(("factor", "warns"), [(0.9, False), (1.1, True)])
def test_fringes_that_advance_more_than_half_a_turn_a_frame_are_told(factor: float, warns: bool) -> None:
    nyquist = np.pi / (0.009 * 0.5)  # at q = 0.009 1/Å, dt = 0.5 s, along the flow
    truth = HETERODYNE | {"v0": factor * nyquist, "beta": 0.0, "v_offset": 0.0, "phi0": -60.0}
    grid = {"q": [0.009], "phi": PHI, "n_frames": 40, "dt": 0.5}
    ds = model_maps("heterodyne", truth, contrast=0.3, noise=0.02, seed=3, **grid)
    fixed = {name: {"value": value, "vary": False} for name, value in truth.items()}
    if not warns:
        fit(ds, "heterodyne", parameters=fixed)
        return
    with pytest.warns(FitWarning, match=r"v: fringes advance 1\.1 pi per frame, beyond Nyquist"):
        fit(ds, "heterodyne", parameters=fixed)
