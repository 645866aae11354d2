"""The closed forms: compared with brute force over the set."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import comb

from heterodyne_nb.robust.ellipsoidal import ball_maximum
from heterodyne_nb.robust.scenario import tail_mean, violation_bound


def on_the_ball(rng: np.random.Generator, k: int, radius: float, count: int = 20_000) -> np.ndarray:
    """Points in the ball, most of them on its surface."""
    points = rng.standard_normal((count, k))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return radius * points * np.where(np.arange(count) % 4 == 0, rng.random(count), 1.0)[:, None]


@pytest.mark.parametrize("seed", range(40))
def test_the_ball_maximum_is_reached_and_not_exceeded(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k, radius = int(rng.integers(1, 5)), float(rng.uniform(0.1, 3.0))
    half = rng.standard_normal((k, k))
    matrix = half @ half.T * 10.0 ** rng.uniform(-3, 3)
    if seed % 3 == 1:
        matrix -= np.eye(k) * np.trace(matrix) * rng.uniform(0, 2) / k  # of any signs
    linear = rng.standard_normal(k) * 10.0 ** rng.uniform(-3, 3)
    value, u, tau = ball_maximum(linear, matrix, radius)
    assert np.linalg.norm(u) <= radius * (1 + 1e-12)
    assert value == pytest.approx(2 * linear @ u + u @ matrix @ u)
    assert value == pytest.approx(tau * radius**2 + linear @ u, rel=1e-7)  # no gap
    points = on_the_ball(rng, k, radius)
    brute = np.max(2 * points @ linear + np.einsum("ni,ij,nj->n", points, matrix, points))
    assert brute <= value * (1 + 1e-12) + 1e-12


def test_the_ball_maximum_in_the_hard_case_goes_along_the_top_eigenvector() -> None:
    value, u, tau = ball_maximum(np.array([1.0, 0.0]), np.diag([1.0, 5.0]), 2.0)
    assert tau == pytest.approx(5.0)
    assert u[0] == pytest.approx(0.25)
    assert abs(u[1]) == pytest.approx(np.sqrt(4 - 0.0625))
    assert value == pytest.approx(20.25)


def test_a_ball_of_radius_zero_changes_nothing() -> None:
    value, u, _ = ball_maximum(np.array([1.0, 2.0]), np.eye(2), 0.0)
    assert value == 0.0
    assert not u.any()


def test_without_a_linear_part_the_maximum_is_the_top_eigenvalue() -> None:
    value, _, _ = ball_maximum(np.zeros(3), np.diag([1.0, 4.0, 2.0]), 3.0)
    assert value == pytest.approx(36.0)


@pytest.mark.parametrize(
    ("fraction", "mean"), [(0.1, 10.0), (0.2, 9.5), (0.25, 9.2), (1.0, 5.5), (0.01, 10.0)]
)
def test_the_tail_mean_takes_the_worst_fraction(fraction: float, mean: float) -> None:
    values = np.random.default_rng(0).permutation(np.arange(1.0, 11.0))
    found, weights = tail_mean(values, fraction)
    assert found == pytest.approx(mean)
    assert weights.sum() == pytest.approx(1.0)
    assert found == pytest.approx(weights @ values)


@pytest.mark.parametrize(("count", "support"), [(50, 3), (200, 5), (30, 0)])
def test_the_violation_bound_solves_its_equation(count: int, support: int) -> None:
    beta = 1e-6
    t = 1.0 - violation_bound(count, support, confidence=beta)
    m = np.arange(support, count + 1)
    left = beta / (count + 1) * np.sum(comb(m, support) * t ** (m - support))
    assert left == pytest.approx(comb(count, support) * t ** (count - support), rel=1e-6)


def test_more_support_scenarios_promise_less_and_more_scenarios_more() -> None:
    assert violation_bound(100, 2) < violation_bound(100, 8) < violation_bound(100, 100) == 1.0
    assert violation_bound(400, 4) < violation_bound(100, 4)
