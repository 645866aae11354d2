"""What the optimisers themselves cost: the objective here takes microseconds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from heterodyne_nb.optimize import STRATEGIES, GurobiTrustRegionStrategy, create_strategy
from heterodyne_nb.optimize.strategies.gurobi_trust_region import TrustRegionProgram
from heterodyne_nb.optimize.strategies.trf import compressed_jacobian

SIZE = 14  # parameters of the heterodyne model


class Bent:
    """χ² of r = A(z + 0.05 z²) − b with 200 residuals, 14 coordinates, condition 10⁴; z is published."""

    parameter_names = tuple(f"p{i}" for i in range(SIZE))

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        basis, _ = np.linalg.qr(rng.standard_normal((200, SIZE)))
        turn, _ = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))
        self.matrix = basis * np.geomspace(1.0, 100.0, SIZE) @ turn
        self.target = self.matrix @ rng.uniform(-0.5, 0.5, SIZE) + 0.01 * rng.standard_normal(200)

    def residuals(self, z: np.ndarray) -> np.ndarray:
        return self.matrix @ (z + 0.05 * z**2) - self.target

    def __call__(self, z: np.ndarray) -> float:
        r = self.residuals(z)
        return float(r @ r)

    def to_internal(self, theta: np.ndarray) -> np.ndarray:
        return theta

    def from_internal(self, z: np.ndarray) -> np.ndarray:
        return z

    def internal_bounds(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.full(SIZE, -3.0), np.full(SIZE, 3.0)

    def normal_equations(self, z: np.ndarray) -> SimpleNamespace:
        r, jacobian = self.residuals(z), self.matrix * (1 + 0.1 * z)
        return SimpleNamespace(
            chi2=float(r @ r), gradient=2 * jacobian.T @ r, hessian=2 * jacobian.T @ jacobian
        )


def needs_gurobi() -> None:
    state = GurobiTrustRegionStrategy.ready()
    if not state:
        pytest.skip(f"Gurobi cannot run here: {state.detail}")


@pytest.mark.parametrize(
    "name", [n for n, c in STRATEGIES.items() if c.needs_gradient or c.uses_normal_equations]
)
def test_fourteen_parameters_with_normal_equations(name: str, benchmark: BenchmarkFixture) -> None:
    if name == "gurobi":
        needs_gurobi()
    problem, start = Bent(), np.full(SIZE, 0.8)
    best = create_strategy("trf").optimize(problem, start).fun
    result = benchmark(lambda: create_strategy(name).optimize(problem, start))
    assert result.fun == pytest.approx(best, rel=1e-6)
    benchmark.extra_info.update(iterations=result.nit, evaluations=result.nfev)


def test_nelder_mead_on_fourteen_parameters(benchmark: BenchmarkFixture) -> None:
    problem, start = Bent(), np.full(SIZE, 0.8)
    result = benchmark.pedantic(lambda: create_strategy("nelder_mead").optimize(problem, start), rounds=3)
    assert result.fun < problem(start)
    benchmark.extra_info.update(iterations=result.nit, evaluations=result.nfev, fun=result.fun)


@pytest.mark.parametrize("norm", ["box", "ball"])
def test_one_gurobi_subproblem_of_fourteen_variables(norm: str, benchmark: BenchmarkFixture) -> None:
    needs_gurobi()
    equations = Bent().normal_equations(np.full(SIZE, 0.8))
    room = np.full(SIZE, np.inf)
    with TrustRegionProgram(SIZE, norm) as program:
        step = benchmark(lambda: program.solve(equations.gradient, equations.hessian, -room, room, 0.05))
    assert equations.gradient @ step < 0


def test_compressing_normal_equations_for_trf(benchmark: BenchmarkFixture) -> None:
    equations = Bent().normal_equations(np.full(SIZE, 0.8))
    jacobian = benchmark(lambda: compressed_jacobian(equations))
    np.testing.assert_allclose(
        2 * jacobian.T @ jacobian, equations.hessian, atol=1e-9 * equations.hessian.max()
    )
