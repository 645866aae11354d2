"""Fits with several minima: the best is found with defaults, and what the data cannot tell apart is said."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import pytest
import xarray as xr

from heterodyne_nb import fit
from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.data import make_dataset
from heterodyne_nb.engine import Objective, problem_from_dataset
from heterodyne_nb.models.heterodyne import HeterodyneModel
from heterodyne_nb.optimize.hops import Hops
from heterodyne_nb.result import FitResult
from heterodyne_nb.simulate import model_maps

NAMES = [spec.name for spec in HeterodyneModel.parameters]
STEADY = dict.fromkeys(
    ("alpha_ref", "D_offset_ref", "alpha_sample", "D_offset_sample", "beta", "v_offset", "f0", "f1", "f2"),
    0.0,
) | {"D0_ref": 30.0, "D0_sample": 500.0, "v0": 45.0, "f3": 0.35, "phi0": 20.0}
SLOWING = STEADY | {
    "D0_ref": 14.0, "alpha_ref": 0.3, "D_offset_ref": 16.0, "D0_sample": 330.0, "alpha_sample": -0.35,
    "D_offset_sample": 50.0, "v0": 110.0, "beta": -0.12, "v_offset": 6.0, "f0": 0.24, "f1": -0.046, "f3": 0.4,
    "phi0": 37.0,
}  # fmt: skip
CREEP = SLOWING | {
    "D0_ref": 100.0, "D_offset_ref": 180.0, "D0_sample": 5000.0, "alpha_sample": -0.1, "D_offset_sample": -2850.0,
    "v0": 470.0, "beta": -0.43, "v_offset": -57.0, "f0": 0.08, "f1": -0.052, "f2": 0.9, "f3": 0.63, "phi0": -2.0,
}  # fmt: skip

EXPERIMENTS: dict[str, tuple[dict[str, float], dict[str, Any]]] = {
    "angles 22.5 degrees apart, few slow fringes": (
        SLOWING,
        {"q": [0.0054], "phi": np.linspace(-67.5, 90, 8), "n_frames": 160, "dt": 0.12, "contrast": 0.16},
    ),
    "components of nearly the same J": (
        CREEP,
        {"q": [0.0054], "phi": [-5.8, 4.9, 30.0, 60.0, 90.0], "n_frames": 200, "dt": 0.5, "contrast": 0.05},
    ),
    "two angles": (STEADY, {"q": [0.01], "phi": [-50.0, 25.0], "n_frames": 90, "dt": 0.5, "contrast": 0.2}),
    "four sectors": (
        STEADY,
        {"q": [0.01], "phi": [0.0, 90.0, 180.0, 270.0], "n_frames": 90, "dt": 0.5, "contrast": 0.2},
    ),
}


@cache
def measured(name: str, seed: int) -> xr.Dataset:
    truth, grid = EXPERIMENTS[name]
    return model_maps("heterodyne", truth, noise=0.01, seed=seed, **grid)


@cache
def found(name: str, seed: int = 0) -> FitResult:
    return fit(measured(name, seed), "heterodyne")


@cache
def known(name: str, seed: int = 0) -> FitResult:
    return fit(measured(name, seed), "heterodyne", parameters=EXPERIMENTS[name][0], multistart=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seed"),
    [
        *((name, 0) for name in EXPERIMENTS),
        ("components of nearly the same J", 1),  # has most minima
    ],
)
def test_without_a_start_the_fit_is_as_good_as_from_the_truth(name: str, seed: int) -> None:
    assert found(name, seed).chi2 < known(name, seed).chi2 + 3.0


def test_a_rough_start_leads_as_far_as_none() -> None:
    truth, _ = EXPERIMENTS["components of nearly the same J"]
    ds = measured("components of nearly the same J", 0)
    rng = np.random.default_rng(0)
    start = {name: value * (1 + 0.3 * rng.choice([-1, 1])) for name, value in truth.items()}
    rough = fit(ds, "heterodyne", parameters=start, multistart=0)
    assert rough.chi2 < found("components of nearly the same J").chi2 + 3.0


def test_two_angles_leave_two_flows_and_both_are_told() -> None:
    """cos(phi0 - phi) v at both angles is the same for the twin, by geometry."""
    result = found("two angles")
    assert len(result.solutions) == 2
    way = np.array([-50.0, 25.0])
    rates = [
        np.abs(np.cos(np.radians(s.values["phi0"] - way))) * s.curves(np.array([20.0]))["v"][0]
        for s in result.solutions
    ]
    np.testing.assert_allclose(rates[0], rates[1], rtol=5e-3)
    first, second = (s.values["phi0"] for s in result.solutions)
    assert abs((first - second + 90) % 180 - 90) > 10
    assert "several_answers" in [flag.code for flag in result.flags if flag.serious]
    assert re.search(
        r"a third angle between -?\d+° and -?\d+° would, best near phi = -?\d+°", result.summary()
    )
    assert "answers" in result.identifiability().in_words()


def test_bands_hold_every_answer() -> None:
    result = found("two angles")
    t = result.dataset["t"].values
    band = result.curve("v")
    for solution in result.solutions:
        v = solution.curves(t)["v"]
        assert np.all((band["lower"].values <= v + 1e-9) & (v - 1e-9 <= band["upper"].values))


def test_four_sectors_leave_the_sign_of_the_direction_open() -> None:
    directions = sorted(s.values["phi0"] for s in found("four sectors").solutions)
    np.testing.assert_allclose(directions, [-20.0, 20.0], atol=0.3)


@pytest.mark.slow
@pytest.mark.parametrize(("phi", "seeds"), [([30.0], (0, 1)), ([30.0, 210.0], (0,))])
def test_along_one_line_only_that_component_of_the_flow_is_told(
    phi: list[float], seeds: tuple[int, ...]
) -> None:
    ds = model_maps(
        "heterodyne",
        STEADY | {"phi0": 85.0},
        q=[0.01],
        phi=phi,
        n_frames=60,
        dt=0.5,
        contrast=0.2,
        noise=0.01,
        seed=1,
    )
    along = STEADY["v0"] * np.cos(np.radians(85.0 - 30.0))
    for seed in seeds:
        result = fit(ds, "heterodyne", seed=seed)
        band = result.curve("v").isel(t=30)
        assert band["lower"] < along < band["upper"]
        assert result.values["phi0"] == 30.0
        assert result.status["phi0"] == "not determined"
        assert "the component along that line" in result.summary()
        assert "several_answers" in [flag.code for flag in result.flags if flag.serious]
    direction = {"phi0": {"value": 85.0, "vary": False}}
    known = fit(ds, "heterodyne", parameters=STEADY | direction, multistart=0).curve("v").isel(t=30)
    assert known["lower"] < STEADY["v0"] < known["upper"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:v. fringes advance")
def test_where_noise_hides_the_fringes_no_flow_is_one_of_the_answers() -> None:
    truth = STEADY | {"f3": 0.9}
    grid = {"q": [0.01], "phi": [-50.0, 0.0, 50.0], "n_frames": 50, "dt": 0.5, "contrast": 0.1}
    lost = fit(model_maps("heterodyne", truth, noise=0.3, seed=2, **grid))
    clear = model_maps("heterodyne", truth, noise=1e-4, seed=2, **grid)
    seen = fit(clear, parameters=truth, multistart=0)
    assert any(solution.values["v0"] == 0.0 for solution in lost.solutions)
    band = lost.curve("v").isel(t=25)
    assert band["lower"] <= 0.0
    assert band["upper"] > STEADY["v0"]
    assert "several_answers" in [flag.code for flag in lost.flags if flag.serious]
    assert len(seen.solutions) == 1


@pytest.mark.slow
def test_components_of_the_same_J_leave_open_which_is_the_sample() -> None:
    truth = STEADY | {"D0_ref": 200.0, "D0_sample": 200.0, "f3": 0.2}
    grid = {"q": [0.01], "phi": [-50.0, 0.0, 50.0], "n_frames": 50, "dt": 0.5, "contrast": 0.3, "noise": 0.01}
    open_, told = (
        fit(model_maps("heterodyne", one, seed=1, **grid), parameters=one, multistart=0)
        for one in (truth, STEADY)
    )
    shares = sorted(solution.curves(np.array([12.0]))["x_sample"][0] for solution in open_.solutions)
    np.testing.assert_allclose(shares, [0.2, 0.8], atol=0.03)
    band = open_.curve("x_sample").isel(t=25)
    assert band["lower"] < 0.2 < 0.8 < band["upper"]
    assert "several_answers" in [flag.code for flag in open_.flags if flag.serious]
    assert len(told.solutions) == 1


def test_hops_curve_the_velocity_otherwise_and_slow_a_fraction_that_changes_at_once() -> None:
    ds = measured("two angles", 0)
    objective = Objective(problem_from_dataset(ds, HeterodyneModel(), resolve_parameters("heterodyne")))
    here = STEADY | {"v0": 20.0, "beta": -1.9, "v_offset": 40.0, "f0": 0.1, "f1": -0.9}
    t = objective.problem.t
    middle = 0.5 * (t[0] + t[-1]) + np.array([-1e-3, 0.0, 1e-3])
    model, theta = (
        objective.problem.model,
        np.array(list(here.values()))[[list(here).index(n) for n in NAMES]],
    )
    v, points = model.curves(theta, middle)["v"], Hops(objective).bends(theta)
    curved = [p for p in points if abs(p[7] + 1.9) > 0.5]
    assert len({round(p[7], 6) for p in curved}) == 3
    for point in curved:
        np.testing.assert_allclose(model.curves(point, middle)["v"], v, rtol=1e-6)
    x = model.curves(theta, t[[0, -1]])["x_sample"]
    slow = [p for p in points if 0.0 < abs(p[10]) < 0.1]
    assert len(slow) == 2
    for point in slow:
        np.testing.assert_allclose(model.curves(point, t[[0, -1]])["x_sample"], x, atol=1e-9)


def test_eight_angles_leave_one_answer_and_no_serious_flag_about_it() -> None:
    result = found("angles 22.5 degrees apart, few slow fringes")
    assert len(result.solutions) == 1
    assert "several_answers" not in [flag.code for flag in result.flags]


def test_the_answers_are_saved_with_the_result(tmp_path) -> None:
    result = found("two angles")
    for suffix in ("nc", "zarr"):
        result.save(tmp_path / f"r.{suffix}")
        assert FitResult.load(tmp_path / f"r.{suffix}").solutions == result.solutions


def test_fringes_on_a_plateau_do_not_end_in_an_impossible_contrast() -> None:
    lag = np.abs(np.subtract.outer(np.arange(120), np.arange(120)))
    noise = np.random.default_rng(1).normal(0, 0.02, lag.shape)
    c2 = 1.3 + 0.4 * np.exp(-lag / 50) * np.cos(2 * np.pi * lag / 30) + noise
    ds = make_dataset(np.triu(c2)[None, None] + np.triu(c2, 1).T, q=[0.01], phi=[0.0], dt=1.0)
    limited = fit(ds, "heterodyne", multistart=4)
    assert 0 < limited.dataset["contrast"].item() <= 1
    assert "is at its limit" in limited.summary()
    assert "contrast_limit" in [flag.code for flag in limited.flags if flag.serious]


def test_a_known_contrast_is_held() -> None:
    ds = measured("two angles", 0)
    held = fit(
        ds, "heterodyne", parameters=STEADY | {"contrast": {"value": 0.21, "vary": False}}, multistart=0
    )
    np.testing.assert_allclose(held.dataset["contrast"].values, 0.21)
    assert held.dataset.attrs["n_free"] == known("two angles").dataset.attrs["n_free"] - 2
    assert np.all(known("two angles").dataset["contrast_error"].values > 0)
    assert np.all(held.dataset["contrast_error"].values == 0)
