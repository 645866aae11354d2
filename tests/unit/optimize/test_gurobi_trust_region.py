"""The Gurobi strategy: its subproblem, its trust region, and what it says when it cannot run."""

from __future__ import annotations

import builtins
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_problems import ready_or_skip
from scipy.optimize import lsq_linear

from heterodyne_nb.errors import ConfigurationError, FitWarning, OptimizationError
from heterodyne_nb.optimize import ClassicalOptimizer, GurobiTrustRegionStrategy
from heterodyne_nb.optimize.strategies import gurobi_trust_region
from heterodyne_nb.optimize.strategies.gurobi_trust_region import TrustRegionProgram

gurobi = pytest.fixture(autouse=False)(lambda: ready_or_skip("gurobi"))


def problem(seed: int, n: int, condition: float) -> tuple[np.ndarray, np.ndarray]:
    """A gradient and a positive definite Hessian of given condition."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.standard_normal((n, n)))
    hessian = basis @ np.diag(np.geomspace(1.0, condition, n)) @ basis.T
    return rng.standard_normal(n), 0.5 * (hessian + hessian.T)


@pytest.mark.usefixtures("gurobi")
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e9])
def test_a_free_step_is_the_newton_step_at_any_size(size: float) -> None:
    gradient, hessian = problem(1, 14, 1e6)
    open_side = np.full(14, np.inf)
    with TrustRegionProgram(14) as program:
        step = program.solve(size * gradient, hessian, -open_side, open_side, 1e15)
    np.testing.assert_allclose(step, -np.linalg.solve(hessian, size * gradient), rtol=1e-5, atol=1e-7 * size)


@pytest.mark.usefixtures("gurobi")
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), log_radius=st.floats(-8, 0.5), log_condition=st.floats(0, 8))
def test_a_box_step_is_feasible_and_as_good_as_an_independent_solver(
    seed: int, log_radius: float, log_condition: float
) -> None:
    n, radius = 6, 10.0**log_radius
    gradient, hessian = problem(seed, n, 10.0**log_condition)
    room = np.random.default_rng(seed).uniform(0, 2 * radius, (2, n))
    lower, upper = -room[0], room[1]
    with TrustRegionProgram(n, "box") as program:
        step = program.solve(gradient, hessian, lower, upper, radius)
    low, high = np.maximum(lower, -radius), np.minimum(upper, radius)
    assert (step >= low).all()
    assert (step <= high).all()
    root = np.linalg.cholesky(hessian).T
    target = -np.linalg.solve(root.T, gradient)  # ½‖root d − target‖² is the model up to a constant
    best = radius * lsq_linear(radius * root, target, (low / radius, high / radius), "bvls", tol=1e-15).x
    mine, least = (gradient @ d + 0.5 * d @ hessian @ d for d in (step, best))
    assert mine <= least + 1e-7 * abs(least)


@pytest.mark.usefixtures("gurobi")
@pytest.mark.parametrize("radius", [1e-7, 1e-2, 0.5])
def test_a_ball_step_solves_the_trust_region_equations(radius: float) -> None:
    """On the sphere (H + λI) d = −g with λ ≥ 0 (Moré & Sorensen 1983); inside it, λ = 0."""
    gradient, hessian = problem(4, 8, 1e3)
    open_side = np.full(8, np.inf)
    with TrustRegionProgram(8, "ball") as program:
        program.solve(-gradient, hessian, -open_side, open_side, 3.0)  # the model is reused
        step = program.solve(gradient, hessian, -open_side, open_side, radius)
    pull = -gradient - hessian @ step
    shift = pull @ step / (step @ step)
    assert np.linalg.norm(step) == pytest.approx(radius, rel=1e-6)
    assert shift > 0
    np.testing.assert_allclose(pull, shift * step, atol=2e-4 * np.linalg.norm(gradient))


@pytest.mark.usefixtures("gurobi")
@pytest.mark.parametrize("norm", ["box", "ball"])
def test_null_directions_and_twelve_decades_of_scale_still_give_descent(norm: str) -> None:
    rng = np.random.default_rng(2)
    with TrustRegionProgram(14, norm) as program:
        for radius in np.geomspace(1e-8, 1.0, 12):
            jacobian = rng.standard_normal((40, 11)) @ rng.standard_normal((11, 14))
            jacobian *= 10.0 ** rng.uniform(-6, 6, 14)
            gradient, hessian = 2 * jacobian.T @ rng.standard_normal(40), 2 * jacobian.T @ jacobian
            step = program.solve(gradient, hessian, np.full(14, -np.inf), np.full(14, np.inf), radius)
            alone = np.clip(-gradient / np.diag(hessian), -radius, radius)  # one coordinate at a time
            single = gradient * alone + 0.5 * np.diag(hessian) * alone**2
            assert gradient @ step + 0.5 * step @ hessian @ step <= single.min() * (1 - 1e-6)


@pytest.mark.usefixtures("gurobi")
def test_a_vanishing_gradient_gives_no_step() -> None:
    with TrustRegionProgram(3) as program:
        step = program.solve(np.zeros(3), np.eye(3), -np.ones(3), np.ones(3), 1.0)
    np.testing.assert_array_equal(step, 0.0)


@pytest.mark.usefixtures("gurobi")
@pytest.mark.parametrize("norm", ["box", "ball"])
def test_a_plain_quadratic_takes_few_iterations(norm: str) -> None:
    def quadratic(x: np.ndarray) -> float:
        return float(np.sum([1.0, 50.0, 3e3] * (x - [0.3, -0.2, 0.1]) ** 2)) + 4.0

    result = GurobiTrustRegionStrategy(norm=norm).optimize(quadratic, [0.0, 0.0, 0.0])
    assert result.success
    assert result.nit <= 6
    np.testing.assert_allclose(result.x, [0.3, -0.2, 0.1], atol=1e-6)


@pytest.mark.usefixtures("gurobi")
def test_secant_pairs_find_a_tilted_valley_that_the_diagonal_alone_crawls_along() -> None:
    valley = np.array([[1.0, 0.999], [0.999, 1.0]])

    def tilted(x: np.ndarray) -> float:
        return float((x - 2.0) @ valley @ (x - 2.0))

    learnt, diagonal = (
        GurobiTrustRegionStrategy(curvature=c, max_iterations=60).optimize(tilted, [0.0, 1.0])
        for c in ("secant", "diagonal")
    )
    assert learnt.success
    assert learnt.fun < 1e-10
    assert diagonal.nit > 2 * learnt.nit


@pytest.mark.usefixtures("gurobi")
def test_the_radius_grows_up_to_its_largest_and_shrinks_as_told() -> None:
    points: list[float] = []

    def slope(x: np.ndarray) -> float:
        points.append(float(x[0]))
        return -float(x[0])

    strategy = GurobiTrustRegionStrategy(initial_radius=0.125, max_iterations=6)
    result = strategy.optimize(slope, [0.0])
    trials = np.array(points)[3::3]  # after the start and its two differences: trial, two differences, ...
    np.testing.assert_allclose(np.diff(trials, prepend=0.0)[:5], [0.125, 0.25, 0.5, 1.0, 1.0], rtol=1e-3)
    assert result.stop_reason == "iteration limit"


@pytest.mark.usefixtures("gurobi")
def test_without_descent_the_radius_shrinks_to_its_smallest_and_that_is_told() -> None:
    def pit(x: np.ndarray) -> float:  # differences see a slope, every step of any size fails
        return float(x[0]) if abs(x[0]) < 1e-4 else 1.0

    result = GurobiTrustRegionStrategy(min_radius=1e-3).optimize(pit, [0.0])
    assert not result.success
    assert result.stop_reason == "trust radius"
    assert result.nit == 7  # 0.1 halved until below 1e-3


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"norm": "sphere"}, "box, ball"),
        ({"curvature": "full"}, "secant, diagonal"),
        ({"shrink": 1.5}, "below 1"),
        ({"initial_radius": 3.0}, "initial_radius <= max_radius"),
        ({"min_radius": 0.0}, "above 0"),
    ],
)
def test_contradicting_settings_are_an_error(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        GurobiTrustRegionStrategy(**wrong)


def test_a_missing_gurobipy_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_gurobipy(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "gurobipy":
            raise ImportError("No module named 'gurobipy'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_gurobipy)
    assert GurobiTrustRegionStrategy.ready().state == "missing"
    with pytest.raises(OptimizationError, match=r"(?s)missing.*pip install gurobipy"):
        GurobiTrustRegionStrategy().optimize(lambda x: float(x[0] ** 2), [1.0])
    with pytest.raises(
        OptimizationError, match=r"(?s)every optimisation method failed.*pip install gurobipy"
    ):
        ClassicalOptimizer(["gurobi"]).optimize(lambda x: float(x[0] ** 2), [1.0])


def test_a_refused_licence_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    gurobipy = pytest.importorskip("gurobipy", reason="gurobipy is not installed")

    def refuse(**_: Any) -> None:
        raise gurobipy.GurobiError(gurobipy.GRB.Error.NO_LICENSE, "HostID mismatch")

    monkeypatch.setattr(gurobi_trust_region, "_ENVIRONMENT", [])
    monkeypatch.setattr(gurobipy, "Env", refuse)
    assert GurobiTrustRegionStrategy.ready().state == "unlicensed"
    with pytest.raises(OptimizationError, match=r"(?s)unlicensed.*HostID mismatch.*install a licence"):
        GurobiTrustRegionStrategy().optimize(lambda x: float(x[0] ** 2), [1.0])


@pytest.mark.usefixtures("gurobi")
def test_more_parameters_than_the_licence_allows_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gurobipy = pytest.importorskip("gurobipy")
    limit = gurobipy.GurobiError(gurobipy.GRB.Error.SIZE_LIMIT_EXCEEDED, "Model too large")

    def refuse(self: object) -> None:
        raise limit

    monkeypatch.setattr(gurobipy.Model, "optimize", refuse)
    with pytest.raises(
        OptimizationError, match=r"(?s)2 free parameters are more than.*fix or tie parameters"
    ):
        GurobiTrustRegionStrategy().optimize(lambda x: float(np.sum(x**2)), [1.0, 2.0])


@pytest.mark.usefixtures("gurobi")
def test_the_size_limit_of_the_pip_licence_is_recognised() -> None:
    n = 2001
    open_side = np.full(n, np.inf)
    told = "no size limit here"
    try:
        with TrustRegionProgram(n) as program:
            program.solve(np.ones(n), np.eye(n), -open_side, open_side, 1.0)
    except OptimizationError as error:
        told = str(error)
    else:
        pytest.skip("this machine has a full Gurobi licence: it has no size limit")
    assert "2001 free parameters are more than this Gurobi licence allows" in told


@pytest.mark.usefixtures("gurobi")
def test_fits_in_several_threads_share_the_environment_and_agree() -> None:
    def fit(shift: float) -> float:
        bowl = GurobiTrustRegionStrategy().optimize(lambda x: float(np.sum((x - shift) ** 2)), [0.0, 0.0])
        return float(bowl.x[0])

    shifts = np.linspace(-2, 2, 12)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fit, shifts))
    np.testing.assert_allclose(found, shifts, atol=1e-6)
    assert len(gurobi_trust_region._ENVIRONMENT) == 1


@pytest.mark.usefixtures("gurobi")
def test_gurobi_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    GurobiTrustRegionStrategy().optimize(lambda x: float(x[0] ** 2), [1.0])
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.usefixtures("gurobi")
def test_a_licence_that_expires_after_it_was_found_ready_is_told_and_the_next_method_takes_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import gurobipy

    def expired(*arguments: Any, **options: Any) -> None:
        raise gurobipy.GurobiError(gurobipy.GRB.Error.NO_LICENSE, "License expired 2025-01-01")

    monkeypatch.setattr(gurobipy, "Model", expired)
    with pytest.raises(OptimizationError, match=r"no valid licence: .*License expired 2025-01-01"):
        GurobiTrustRegionStrategy().optimize(lambda x: float(x @ x), [1.0, 2.0])
    with pytest.warns(FitWarning, match=r"(?s)'lbfgsb' is used instead.*gurobi.*License expired 2025-01-01"):
        result = ClassicalOptimizer(["gurobi", "lbfgsb"]).optimize(lambda x: float(x @ x), [1.0, 2.0])
    assert result.success


@pytest.mark.usefixtures("gurobi")
def test_a_solver_that_raises_anything_is_an_error_of_ours_with_its_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*arguments: Any) -> None:
        raise MemoryError("heap of the solver")

    monkeypatch.setattr(TrustRegionProgram, "solve", broken)
    with pytest.raises(OptimizationError, match="its solver raised MemoryError: heap of the solver") as told:
        GurobiTrustRegionStrategy().optimize(lambda x: float(x @ x), [1.0, 2.0])
    assert isinstance(told.value.__cause__, MemoryError)
