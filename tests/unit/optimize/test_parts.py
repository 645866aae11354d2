"""The parts strategies share: differences, compressed residuals, secant updates, mirrored bounds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_problems import ExponentialDecay

from heterodyne_nb.optimize.strategies.gauss_newton import damped_bfgs
from heterodyne_nb.optimize.strategies.problem_view import differences, view_problem
from heterodyne_nb.optimize.strategies.scipy_strategies import folded
from heterodyne_nb.optimize.strategies.trf import compressed_jacobian

OPEN = (np.full(3, -np.inf), np.full(3, np.inf))


def smooth(z: np.ndarray) -> float:
    return float(np.sin(z[0]) + z[1] ** 2 * z[2] + np.exp(z[2]))


def smooth_gradient(z: np.ndarray) -> np.ndarray:
    return np.array([np.cos(z[0]), 2 * z[1] * z[2], z[1] ** 2 + np.exp(z[2])])


def smooth_curvature(z: np.ndarray) -> np.ndarray:
    return np.array([-np.sin(z[0]), 2 * z[2], np.exp(z[2])])


@settings(deadline=None, max_examples=30)
@given(z=st.lists(st.floats(-2, 2), min_size=3, max_size=3).map(np.array), side=st.integers(-1, 1))
def test_differences_are_right_inside_and_at_bounds(z: np.ndarray, side: int) -> None:
    lower = z.copy() if side < 0 else OPEN[0]
    upper = z.copy() if side > 0 else OPEN[1]

    def inside_only(point: np.ndarray) -> float:
        assert (point >= lower).all()
        assert (point <= upper).all()
        return smooth(point)

    gradient, curvature = differences(inside_only, z, smooth(z), lower, upper)
    np.testing.assert_allclose(gradient, smooth_gradient(z), atol=1e-7)
    np.testing.assert_allclose(curvature, smooth_curvature(z), atol=1e-3)


def test_differences_beside_a_hole_are_one_sided_and_inside_one_zero() -> None:
    def holed(z: np.ndarray) -> float:
        return np.nan if z[0] > 1.0 else (np.inf if z[1] != 0.5 else smooth(z))

    z = np.array([1.0, 0.5, 0.2])
    gradient, curvature = differences(holed, z, smooth(z), *OPEN)
    np.testing.assert_allclose(gradient, [np.cos(1.0), 0.0, 0.25 + np.exp(0.2)], atol=1e-4)
    assert np.isnan(curvature[:2]).all()
    assert np.isfinite(curvature[2])


def test_differences_fit_into_a_narrow_box() -> None:
    z = np.array([0.3, 0.7, 0.1])
    lower, upper = z - 1e-9, z + 2e-7
    gradient, _ = differences(smooth, z, smooth(z), lower, upper)
    np.testing.assert_allclose(gradient, smooth_gradient(z), atol=1e-6)


@pytest.mark.parametrize("theta", [[2.0, 1.3, 0.3, 7.0], [20.0, 0.1, -3.0, 7.0]])
def test_compressed_residuals_have_the_cost_gradient_and_matrix_of_all_residuals(theta: list[float]) -> None:
    equations = ExponentialDecay().normal_equations(np.array(theta))
    jacobian = compressed_jacobian(equations)
    residual = np.array([np.sqrt(equations.chi2), 0, 0, 0])
    np.testing.assert_allclose(2 * jacobian.T @ residual, equations.gradient, rtol=1e-12)
    np.testing.assert_allclose(
        2 * jacobian.T @ jacobian, equations.hessian, rtol=1e-10, atol=1e-12 * equations.hessian.max()
    )


def test_compressed_residuals_exist_for_a_perfect_fit_and_a_null_direction() -> None:
    flat = SimpleNamespace(chi2=0.0, gradient=np.zeros(2), hessian=np.array([[2.0, 0.0], [0.0, 0.0]]))
    jacobian = compressed_jacobian(flat)
    np.testing.assert_allclose(2 * jacobian.T @ jacobian, flat.hessian, atol=1e-15)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_a_secant_update_stays_positive_and_learns_a_positive_curvature(seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((4, 4))
    hessian = root @ root.T + 0.1 * np.eye(4)
    step, change = rng.standard_normal((2, 4))
    updated = damped_bfgs(hessian, step, change)
    assert np.linalg.eigvalsh(updated).min() > 0
    if step @ change >= 0.2 * (step @ hessian @ step):
        np.testing.assert_allclose(updated @ step, change, atol=1e-8 * np.abs(updated).max())


def test_mirrored_points_lie_inside_and_inside_points_stay() -> None:
    lower = np.array([0.0, -np.inf, 1.0, -np.inf])
    upper = np.array([1.0, np.inf, np.inf, 2.0])
    inside = np.array([0.25, -40.0, 3.0, -5.0])
    np.testing.assert_array_equal(folded(inside, lower, upper), inside)
    outside = np.array([1.25, 40.0, 0.5, 2.5])
    np.testing.assert_allclose(folded(outside, lower, upper), [0.75, 40.0, 1.5, 1.5])
    np.testing.assert_allclose(folded(np.array([-2.25, 0, 1, 2]), lower, upper), [0.25, 0, 1, 2])


def test_the_view_scales_by_start_range_or_one() -> None:
    view = view_problem(lambda x: 0.0, [2e4, 0.0, 0.0, 0.0], bounds=[(0, 1e6), (0, 50), (None, None), (0, 0)])
    np.testing.assert_allclose(view.z0, [1.0, 0.0, 0.0])
    np.testing.assert_allclose(view.to_x(np.array([2.0, 1.0, 1.0])), [4e4, 5.0, 1.0, 0.0])
    np.testing.assert_allclose(view.upper, [50.0, 10.0, np.inf])
    assert view.gradient(view.z0) is None
    assert view.hessian(view.z0) is None


def test_the_view_of_an_objective_passes_its_derivatives(
    decay: ExponentialDecay,
) -> None:
    view = view_problem(decay, [1.0, 0.5, 0.1, 7.0])
    gradient, hessian = view.gradient(view.z0), view.hessian(view.z0)
    assert decay.passes == 1
    numeric, _ = differences(view.fun, view.z0, view.fun(view.z0), view.lower, view.upper)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6)
    assert np.linalg.eigvalsh(hessian).min() > 0
    np.testing.assert_allclose(view.to_x(view.z0), [1.0, 0.5, 0.1, 7.0])
