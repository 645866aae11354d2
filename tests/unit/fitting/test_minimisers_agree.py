"""Strategies on the real objective reach the same χ², and the bounded step solves its quadratic program."""

from __future__ import annotations

import numpy as np
import pytest
from fit_samples import HETERODYNE, heterodyne_maps, near, objective_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult, lsq_linear

from heterodyne_nb.optimize import GurobiTrustRegionStrategy, create_strategy
from heterodyne_nb.optimize.strategies.gauss_newton import GaussNewtonStrategy, bounded_step
from heterodyne_nb.progress import StopToken
from heterodyne_nb.simulate import model_maps


@pytest.fixture(scope="module")
def reference() -> OptimizeResult:
    return minimised("gauss_newton", seed=0)


def minimised(method: str, seed: int, **settings) -> OptimizeResult:
    start = near(HETERODYNE, seed, share=0.01)
    objective = objective_of(heterodyne_maps(), "heterodyne", start)
    return create_strategy(method, **settings).optimize(objective, np.array(list(start.values())))


@pytest.mark.parametrize("method", ["gauss_newton", "trf", "gurobi"])
@pytest.mark.parametrize("seed", [1, 2])
def test_strategies_with_a_curvature_agree_from_different_starts(method, seed, reference) -> None:
    if method == "gurobi" and not GurobiTrustRegionStrategy.ready():
        pytest.skip("Gurobi cannot run here")
    result = minimised(method, seed)
    assert result.success, result.message
    assert result.fun == pytest.approx(reference.fun, rel=1e-6)


def test_nelder_mead_finds_nothing_better_from_there(reference) -> None:
    objective = objective_of(heterodyne_maps(), "heterodyne", near(HETERODYNE))
    result = create_strategy("nelder_mead", max_iterations=250).optimize(objective, reference.x)
    assert result.fun <= reference.fun * (1 + 1e-9)
    assert result.fun == pytest.approx(reference.fun, rel=1e-6)


def test_the_least_chi_square_is_below_that_of_the_truth_by_about_the_number_of_parameters(reference) -> None:
    objective = objective_of(heterodyne_maps(), "heterodyne", HETERODYNE)
    gained = objective(np.array(list(HETERODYNE.values()))) - reference.fun
    assert 1.0 < gained < 40.0
    assert objective.reduced(reference.fun) == pytest.approx(1.0, abs=0.06)


def test_a_valley_without_end_is_left_when_nothing_is_gained_any_more() -> None:
    """J of a static map hardly changes: D0 against D_offset is a direction along which χ² falls forever."""
    grid = {"q": [0.01], "phi": [0.0, 60.0], "n_frames": 40, "dt": 0.5}
    ds = model_maps("static_isotropic", [300.0, -0.05, 3.0], contrast=0.2, noise=0.01, **grid)
    for seed in range(4):
        start = near({"D0": 2e4, "alpha": 0.02, "D_offset": -2e4 + 300.0}, seed, share=0.01)
        objective = objective_of(ds, "static_isotropic", start)
        x0 = objective.from_internal(objective.to_internal(objective.x0))
        result = GaussNewtonStrategy().optimize(objective, x0)
        assert result.success, result.message
        assert result.nit < 150
        assert objective.reduced(result.fun) < 1.1


def test_every_iteration_is_at_least_as_good_as_the_one_before(reference) -> None:
    values = [fun for _, fun in reference.history]
    assert values == sorted(values, reverse=True)
    assert reference.nit >= 3


def test_a_stopped_run_returns_its_best() -> None:
    stop = StopToken()
    seen: list[float] = []

    def watch(event) -> None:
        seen.append(event.chi2)
        if len(seen) == 4:
            stop.cancel()

    result = minimised("gauss_newton", 1, stop=stop, on_progress=watch)
    assert (result.success, result.stop_reason) == (False, "cancelled")
    assert np.isfinite(result.fun)
    assert result.fun == min(fun for _, fun in result.history)


@given(n=st.integers(1, 14), seed=st.integers(0, 10**6), tight=st.sampled_from([0.0, 0.3, 0.9]))
@settings(deadline=None, max_examples=150)
def test_the_bounded_step_is_the_least_squares_solution_in_its_box(n: int, seed: int, tight: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n + 3, n)) * 10.0 ** rng.uniform(-2, 2, n), rng.normal(size=n + 3)
    free = np.linalg.lstsq(a, b, rcond=None)[0]
    width = np.abs(free) * np.where(rng.random(n) < tight, rng.uniform(0, 1, n), 3.0) + 1e-9
    lower = np.where(rng.random(n) < 0.2, -np.inf, -width * (rng.random(n) > 0.1))
    upper = np.where(rng.random(n) < 0.2, np.inf, width * (rng.random(n) > 0.1))
    upper = np.where((lower == 0) & (upper == 0), 1e-9, upper)
    step = bounded_step(a.T @ a, -a.T @ b, lower, upper)
    assert np.all((step >= lower) & (step <= upper))
    best = lsq_linear(a, b, (lower, upper), method="bvls", tol=1e-14, max_iter=500).x

    def cost(x: np.ndarray) -> float:
        return float(np.sum((a @ x - b) ** 2))

    assert cost(step) <= cost(best) * (1 + 1e-9) + 1e-14


def test_a_step_that_no_bound_stops_is_newtons() -> None:
    h, g = np.diag([2.0, 5.0]), np.array([1.0, -3.0])
    wide = np.full(2, 10.0)
    np.testing.assert_allclose(bounded_step(h, g, -wide, wide), [-0.5, 0.6])


def test_a_bound_in_the_way_is_met_exactly() -> None:
    h, g = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([-4.0, -1.0])
    step = bounded_step(h, g, np.array([-1.0, -1.0]), np.array([1.0, 5.0]))
    assert step[0] == 1.0
    assert step[1] == pytest.approx(0.5)
