"""How far numbers reach inside bounds: the ellipsoid alone, the box alone, and both."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterodyne_nb.uncertainty.bands import BoundedEllipsoid

Q = 2.2
seeds = st.integers(0, 2**32 - 1)


def correlated(rng: np.random.Generator, n: int) -> np.ndarray:
    """A covariance with errors of very different sizes."""
    half = rng.standard_normal((n, n + 2)) * 10.0 ** rng.uniform(-2, 0, n + 2)
    size = 10.0 ** rng.uniform(-6, 6, n)
    return half @ half.T * np.outer(size, size)


def box(rng: np.random.Generator, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Room of no, a fraction of, or many errors on either side."""
    n, errors = len(covariance), np.sqrt(np.diag(covariance))
    lower, upper = (
        rng.choice([0.0, 0.3, 1.0, 10.0], n) * rng.uniform(0.1, 1.0, n) * errors for _ in range(2)
    )
    return -lower, upper


def best_step(covariance: np.ndarray, lower: np.ndarray, upper: np.ndarray, slope: np.ndarray) -> float:
    """The same from a solver of cone programs."""
    errors = np.sqrt(np.diag(covariance))
    size = np.linalg.norm(slope * errors)
    root = np.linalg.cholesky(covariance / np.outer(errors, errors))
    ball = cp.Variable(len(slope))
    step = root @ ball
    inside = [cp.norm(ball) <= Q, step >= lower / errors, step <= upper / errors]
    return float(
        size * cp.Problem(cp.Maximize((slope * errors / size) @ step), inside).solve(solver="CLARABEL")
    )


@given(seeds)
def test_without_bounds_the_reach_is_so_many_standard_errors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 14))
    covariance, slopes = correlated(rng, n), rng.standard_normal((3, n))
    wide = np.full(n, np.inf)
    errors = np.sqrt(np.einsum("mi,ij,mj->m", slopes, covariance, slopes))
    for side in BoundedEllipsoid(covariance, -wide, wide).extents(slopes, np.full(3, Q)):
        np.testing.assert_allclose(side, Q * errors, rtol=1e-5)


@given(seeds)
def test_bounds_shorten_the_reach_and_a_larger_ellipsoid_lengthens_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 14))
    covariance, slopes = correlated(rng, n), rng.standard_normal((3, n))
    reach = BoundedEllipsoid(covariance, *box(rng, covariance))
    errors = np.sqrt(np.einsum("mi,ij,mj->m", slopes, covariance, slopes))
    before = np.zeros(3), np.zeros(3)
    for q in (0.5, 1.0, 2.0, 4.0):
        after = reach.extents(slopes, np.full(3, q))
        for less, more in zip(before, after, strict=True):
            assert np.all(more >= less * (1 - 1e-7))
            assert np.all(more <= q * errors * (1 + 1e-6))
        before = after


@pytest.mark.parametrize("seed", range(40))
def test_a_cone_solver_finds_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 14))
    covariance, slope = correlated(rng, n), rng.standard_normal(n)
    slope /= np.sqrt(np.diag(covariance))
    lower, upper = box(rng, covariance)
    down, up = BoundedEllipsoid(covariance, lower, upper).extents(slope[None], np.array([Q]))
    assert up[0] == pytest.approx(best_step(covariance, lower, upper, slope), rel=1e-4, abs=1e-6)
    assert down[0] == pytest.approx(best_step(covariance, lower, upper, -slope), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.6])
def test_a_number_is_known_better_where_its_partner_rests_on_a_bound(correlation: float) -> None:
    """Up only as far as the partner may go with it: sqrt(1 - rho²) of the way where the partner is held."""
    covariance = np.array([[4.0, 2.0 * correlation], [2.0 * correlation, 1.0]])
    reach = BoundedEllipsoid(covariance, np.array([-np.inf, -np.inf]), np.array([0.0, np.inf]))
    down, up = reach.extents(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([Q, Q]))
    held = Q * np.sqrt(1.0 - correlation**2)
    assert up[0] == pytest.approx(held if correlation > 0 else Q, rel=1e-6)
    assert down[0] == pytest.approx(held if correlation < 0 else Q, rel=1e-6)
    assert up[1] == 0.0
    assert down[1] == pytest.approx(2.0 * Q, rel=1e-6)


def test_coordinates_without_a_variance_stay_where_they_are() -> None:
    wide = np.full(2, np.inf)
    reach = BoundedEllipsoid(np.diag([0.0, 1.0]), -wide, wide)
    down, up = reach.extents(np.array([[1.0, 0.0], [5.0, 1.0]]), np.array([Q, Q]))
    np.testing.assert_allclose(up, [0.0, Q])
    np.testing.assert_allclose(down, [0.0, Q])
    none = BoundedEllipsoid(np.zeros((2, 2)), -wide, wide).extents(np.eye(2), np.array([Q, Q]))
    np.testing.assert_array_equal(none, np.zeros((2, 2)))
