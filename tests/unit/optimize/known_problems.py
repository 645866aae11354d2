"""Problems with known answers: an exponential decay with analytic normal equations, and Rosenbrock."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from heterodyne_nb.optimize import GurobiTrustRegionStrategy


class ExponentialDecay:
    """χ² of y = A exp(−k t) + b against noisy data, in internal coordinates (ln A, ln k, b / 0.1).

    Published order is A, k, b, c; c is fixed, takes no part in the model and is not a coordinate.
    """

    parameter_names = ("A", "k", "b", "c")
    free = np.array([True, True, True, False])

    def __init__(self, *, b_upper: float = 10.0, seed: int = 3, sigma: float = 0.01) -> None:
        rng = np.random.default_rng(seed)
        self.t = np.linspace(0.0, 4.0, 60)
        self.sigma = sigma
        self.y = 2.0 * np.exp(-1.3 * self.t) + 0.3 + sigma * rng.standard_normal(self.t.size)
        self.bounds = np.array([[1e-3, 1e3], [1e-3, 1e2], [-10.0, b_upper], [7.0, 7.0]])
        self.calls = self.passes = 0

    def reduced(self, chi2: float) -> float:
        return chi2 / (self.t.size - 3)

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        a, k, b, _ = theta
        return (a * np.exp(-k * self.t) + b - self.y) / self.sigma

    def __call__(self, theta: np.ndarray) -> float:
        self.calls += 1
        r = self.residuals(theta)
        return float(r @ r)

    def to_internal(self, theta: np.ndarray) -> np.ndarray:
        return np.array([np.log(theta[0]), np.log(theta[1]), theta[2] / 0.1])

    def from_internal(self, z: np.ndarray) -> np.ndarray:
        return np.array([np.exp(z[0]), np.exp(z[1]), 0.1 * z[2], 7.0])

    def internal_bounds(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lower, upper = self.to_internal(self.bounds[:, 0]), self.to_internal(self.bounds[:, 1])
        return lower, upper

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        a, k, _, _ = theta
        decay = a * np.exp(-k * self.t)
        columns = [decay, -k * self.t * decay, np.full_like(self.t, 0.1)]
        return np.column_stack(columns) / self.sigma

    def normal_equations(self, theta: np.ndarray) -> SimpleNamespace:
        self.passes += 1
        r, jacobian = self.residuals(theta), self.jacobian(theta)
        return SimpleNamespace(
            chi2=float(r @ r), gradient=2 * jacobian.T @ r, hessian=2 * jacobian.T @ jacobian
        )


def rosenbrock(x: np.ndarray) -> float:
    return float(100.0 * (x[1] - x[0] ** 2) ** 2 + (1.0 - x[0]) ** 2)


def ready_or_skip(name: str) -> None:
    """Skip, saying why, when the method is Gurobi and Gurobi cannot run here."""
    state = GurobiTrustRegionStrategy.ready()
    if name == "gurobi" and not state:
        pytest.skip(f"Gurobi cannot run here: {state.detail}")
