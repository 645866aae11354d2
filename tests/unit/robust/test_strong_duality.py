"""Programs and inner maxima agree: many random cases, each solver that is here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from heterodyne_nb.robust import solver_readiness
from heterodyne_nb.robust.ellipsoidal import BallModel, BallProgram, ball_maximum
from heterodyne_nb.robust.scenario import ScenarioModel, ScenarioProgram, sample_values, tail_mean
from heterodyne_nb.robust.solvers import SOLVERS, Cap, Quadratic, SolverChain, root
from heterodyne_nb.robust.wasserstein import NormModel, NormProgram

N, K, S = 5, 3, 8
CASES = range(20)


def quadratic(rng: np.random.Generator, level: float = 1e4) -> Quadratic:
    """A χ² of the usual size, its columns of very different lengths."""
    rows = rng.standard_normal((40, N)) * 10.0 ** rng.uniform(-1, 3, N)
    residual = rng.standard_normal(40)
    residual *= np.sqrt(level) / np.linalg.norm(residual)
    return Quadratic(float(residual @ residual), 2 * rows.T @ residual, 2 * rows.T @ rows)


def ball(rng: np.random.Generator) -> BallModel:
    half = rng.standard_normal((12, K)) * 10.0 ** rng.uniform(0, 2, K)
    plain, radius = quadratic(rng), float(rng.uniform(0.2, 2.0))
    slopes = 0.2 * rng.standard_normal((N, K, K)) * np.abs(half.T @ half)
    linear, matrix = rng.standard_normal(K) * 30.0, half.T @ half
    gain = ball_maximum(linear, matrix, radius)[0]
    symmetric = slopes + np.swapaxes(slopes, 1, 2)
    return BallModel(
        plain, linear, matrix, rng.standard_normal((N, K)), symmetric, radius, plain.value + gain
    )


def scenarios(rng: np.random.Generator) -> ScenarioModel:
    every = [quadratic(rng, 1e4 * rng.uniform(0.97, 1.03)) for _ in range(S)]
    values, gradients, hessians = (
        np.array([getattr(q, name) for q in every]) for name in ("value", "gradient", "hessian")
    )
    return ScenarioModel(
        quadratic(rng), values, gradients, hessians, float(rng.uniform(0.2, 1)), rng.choice([0.1, 0.4])
    )


def norm(rng: np.random.Generator, curved: bool) -> NormModel:
    plain = quadratic(rng)
    size = np.sqrt(0.5 * np.diag(plain.hessian) / 1e4)
    return NormModel(plain, float(10 ** rng.uniform(1, 4)), size, rng.standard_normal(N), curved)


def box(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return -rng.uniform(0.01, 1.0, N), rng.uniform(0.01, 1.0, N)


def inner_of_ball(model: BallModel, step: np.ndarray) -> float:
    b = model.linear + step @ model.linear_slopes
    q = model.matrix + np.tensordot(step, model.matrix_slopes, 1)
    return model.plain.after(step) + ball_maximum(b, q, model.radius)[0]


def inner_of_scenarios(model: ScenarioModel, step: np.ndarray) -> float:
    tail = tail_mean(sample_values(model, step), model.fraction)[0]
    return (1 - model.radius) * model.plain.after(step) + model.radius * tail


def inner_of_norm(model: NormModel, step: np.ndarray) -> float:
    length = float(np.linalg.norm(model.size * (step + model.offset)))
    if not model.curved:
        return model.plain.after(step) + model.penalty * length
    chi = np.sqrt(model.plain.value)
    return (np.sqrt(model.plain.after(step)) + model.penalty * length / (2 * chi)) ** 2


def program(kind: str, solver: str = "CLARABEL") -> Any:
    if kind == "ball":
        return BallProgram(N, K, SolverChain(solver, semidefinite=True))
    if kind == "scenario":
        return ScenarioProgram(N, SolverChain(solver), 6)
    return NormProgram(N, SolverChain(solver))


MAKERS = {
    "ball": (ball, inner_of_ball),
    "scenario": (scenarios, inner_of_scenarios),
    "type 2": (lambda rng: norm(rng, True), inner_of_norm),
    "type 1": (lambda rng: norm(rng, False), inner_of_norm),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_the_programs_value_is_the_inner_maximum_at_its_answer(kind: str) -> None:
    make, inner = MAKERS[kind]
    reused = program(kind)
    for seed in CASES:
        rng = np.random.default_rng(seed)
        model, (lower, upper) = make(rng), box(rng)
        step, value = reused.solve(model, lower, upper)
        assert value == pytest.approx(inner(model, step), rel=1e-5), f"case {seed}"
        assert np.all((step >= lower) & (step <= upper))


@pytest.mark.parametrize("kind", MAKERS)
def test_no_step_in_the_box_does_better(kind: str) -> None:
    make, inner = MAKERS[kind]
    rng = np.random.default_rng(99)
    model, (lower, upper) = make(rng), box(rng)
    _, value = program(kind).solve(model, lower, upper)
    for share in (1.0, 1e-1, 1e-2, 1e-3):
        for step in share * rng.uniform(lower, upper, (60, N)):
            assert inner(model, step) >= value * (1 - 1e-8)


@pytest.mark.parametrize("kind", MAKERS)
def test_held_at_zero_the_value_is_the_inner_maximum_there(kind: str) -> None:
    make, inner = MAKERS[kind]
    model = make(np.random.default_rng(5))
    pin = 1e-6 / np.sqrt(np.diag(model.plain.hessian))
    _, value = program(kind).solve(model, -pin, pin)
    assert value == pytest.approx(inner(model, np.zeros(N)), rel=1e-6)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_cap_on_the_nominal_value_holds(kind: str) -> None:
    make, inner = MAKERS[kind]
    model = make(np.random.default_rng(7))
    model = replace(model, plain=replace(model.plain, gradient=np.zeros(N)))  # at the nominal optimum
    weight = 1.0 + 2.0 * (inner(model, np.zeros(N)) - model.plain.value) / 3.0
    cap, wide = Cap(model.plain.value + 3.0, 3.0, abs(weight)), np.full(N, 1.0)
    free, _ = program(kind).solve(model, -wide, wide)
    step, _ = program(kind).solve(model, -wide, wide, cap)
    assert model.plain.after(step) <= cap.limit + 1e-3 < model.plain.after(free)
    assert inner(model, step) < inner(model, np.zeros(N))


#: The ball's program holds a matrix inequality.
PAIRS = [
    (kind, solver.name)
    for kind in ("type 2", "scenario", "ball")
    for solver in SOLVERS.values()
    if solver.name != "CLARABEL" and (solver.semidefinite or kind != "ball")
]


@pytest.mark.parametrize(("kind", "solver"), PAIRS)
def test_other_solvers_agree_with_the_default(kind: str, solver: str) -> None:
    if not solver_readiness(solver):
        pytest.skip(f"{solver} is not here: {solver_readiness(solver).detail}")
    make, _ = MAKERS[kind]
    rng = np.random.default_rng(3)
    model, (lower, upper) = make(rng), box(rng)
    _, expected = program(kind).solve(model, lower, upper)
    _, value = program(kind, solver).solve(model, lower, upper)
    assert value == pytest.approx(expected, rel=1e-5)


def test_a_curvature_that_is_negative_by_rounding_counts_as_none() -> None:
    matrix = np.diag([2e-3, -2.5e-33, 9e3]) + 1e-17 * np.eye(3)[::-1]
    factor = root(matrix)
    np.testing.assert_allclose(factor.T @ factor, np.diag([2e-3, 0.0, 9e3]), rtol=1e-9, atol=1e-12)
