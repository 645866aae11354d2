"""χ² of a two-time fit: contrast and offset eliminated, derivatives, priors, roles, unphysical points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_problems import formula_z, make_problem, used_pixels

from heterodyne_nb.engine import CONTRAST_MODES, Objective, Problem
from heterodyne_nb.engine.normal import contrast_design
from heterodyne_nb.errors import ConfigurationError

FITTED = ("static_isotropic", "heterodyne", "multicomponent_2", "multicomponent_3", "laminar_flow")


def on_a_grid(problem: Problem, phi: list[float]) -> Problem:
    """The same maps, said to come from two q rings with these azimuths each."""
    q = np.repeat([0.010, 0.014], len(phi))
    names = ("t", "mask", "sigma", "holes", "gap")
    rest = (getattr(problem, name) for name in names)
    return Problem(problem.model, problem.table, problem.data, q, np.tile(phi, 2), *rest)


def stacked(problem: Problem, theta: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, ...]:
    """All used pixels below each other, in units of sigma: derivatives, M, 1, data, and their bin."""
    parts, bins = [], []
    for b in range(problem.n_bins):
        used = used_pixels(problem, b) > 0
        parts.append(formula_z(problem, theta, wanted, b)[:, used] / problem.sigma[b])
        bins.append(np.full(used.sum(), b))
    z = np.concatenate(parts, axis=1)
    return z[:-3], z[-3], z[-2], z[-1], np.concatenate(bins)


def linear_columns(design: np.ndarray, m: np.ndarray, one: np.ndarray, bins: np.ndarray) -> np.ndarray:
    return m[:, None] * design[bins, 0] + one[:, None] * design[bins, 1]


@pytest.mark.parametrize("contrast", CONTRAST_MODES)
def test_contrast_and_offset_are_the_least_squares_solution(contrast: str) -> None:
    problem, theta = make_problem("heterodyne", 30, 12, 1, masked=0.1, holes=4)
    problem = on_a_grid(problem, [-150.0, -90.0, -30.0, 30.0, 90.0, 150.0])
    objective = Objective(problem, contrast=contrast)
    _, m, one, data, bins = stacked(problem, theta, np.zeros(0, int))
    columns = linear_columns(objective.linear.design, m, one, bins)
    coefficients, *_ = np.linalg.lstsq(columns, data, rcond=None)
    local = objective.equations(theta, derivatives=False)
    expected = np.einsum("bia,a->ib", objective.linear.design, coefficients)
    np.testing.assert_allclose([local.contrast, local.offset], expected, rtol=1e-8)
    residual = columns @ coefficients - data
    np.testing.assert_allclose(local.chi2, residual @ residual, rtol=1e-10)
    by_bin = np.bincount(bins, residual**2)
    np.testing.assert_allclose(local.chi2_bin, by_bin, rtol=1e-8)
    assert objective(theta) == local.chi2
    assert objective.n_free == 13 + columns.shape[1]


@pytest.mark.parametrize("contrast", CONTRAST_MODES)
def test_the_matrix_is_that_of_gauss_and_newton_after_the_elimination(contrast: str) -> None:
    problem, theta = make_problem("heterodyne", 26, 8, 2, masked=0.1)
    problem = on_a_grid(problem, [-120.0, -30.0, 30.0, 100.0])
    objective = Objective(problem, contrast=contrast)
    wanted = objective.moving
    slopes, m, one, data, bins = stacked(problem, theta, wanted)
    columns = linear_columns(objective.linear.design, m, one, bins)
    local = objective.equations(theta)
    jacobian = slopes.T * local.contrast[bins][:, None]
    basis, _ = np.linalg.qr(columns)
    left = jacobian - basis @ (basis.T @ jacobian)
    residual = m * local.contrast[bins] + one * local.offset[bins] - data
    expected = 2 * left.T @ left
    root = np.sqrt(np.diag(expected))
    found = local.hessian[np.ix_(wanted, wanted)]
    np.testing.assert_allclose(found / np.outer(root, root), expected / np.outer(root, root), atol=1e-6)
    np.testing.assert_allclose(local.gradient[wanted] / root, 2 * jacobian.T @ residual / root, atol=1e-5)
    still = np.setdiff1d(np.arange(len(theta)), wanted)
    assert not local.hessian[still].any()
    assert not local.gradient[still].any()


def differences(objective: Objective, theta: np.ndarray) -> np.ndarray:
    """Gradient of χ² by the internal coordinates, from values alone (fourth order)."""
    z = objective.to_internal(theta)
    out = np.empty_like(z)
    for k, unit in enumerate(np.eye(len(z))):
        h = 2e-4 * max(1.0, abs(z[k]))
        values = [objective(objective.from_internal(z + s * h * unit)) for s in (-2, -1, 1, 2)]
        out[k] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
    return out


def off_the_optimum(objective: Objective, theta: np.ndarray, seed: int) -> np.ndarray:
    z = objective.to_internal(theta)
    return objective.from_internal(z * (1 + 0.03 * np.random.default_rng(seed).normal(size=z.size)))


def assert_gradient(objective: Objective, theta: np.ndarray) -> None:
    local, expected = objective.normal_equations(theta), differences(objective, theta)
    size = np.sqrt(np.maximum(np.diag(local.hessian) * local.chi2, 1e-300))
    np.testing.assert_allclose(local.gradient / size, expected / size, atol=2e-6)
    assert np.abs(expected / size).max() > 1e-3  # a gradient worth the name
    np.testing.assert_allclose(local.chi2, objective(theta), rtol=1e-12)


@pytest.mark.parametrize("mode", FITTED)
@pytest.mark.parametrize("contrast", CONTRAST_MODES)
def test_the_gradient_in_internal_coordinates_is_that_of_the_values(mode: str, contrast: str) -> None:
    problem, theta = make_problem(mode, 32, 8, 3, masked=0.1, holes=3)
    problem = on_a_grid(problem, [-120.0, -30.0, 30.0, 100.0])
    objective = Objective(problem, contrast=contrast)
    assert_gradient(objective, off_the_optimum(objective, theta, 4))


ROLES: dict[str, dict[str, Any]] = {
    "fixed": {"alpha_ref": {"vary": False}, "phi0": {"vary": False}, "f2": {"vary": False}},
    "tied": {"alpha_sample": {"tie": "alpha_ref", "min": -9, "max": 9}},
    "prior": {
        "D0_sample": {"prior": (500.0, 200.0)},
        "phi0": {"prior": (0.0, 0.5)},
        "f3": {"prior": (0.0, 0.01)},
    },
    "tied and prior": {
        "D_offset_sample": {"tie": "D_offset_ref", "min": -1e6, "max": 1e6},
        "D_offset_ref": {"prior": (10.0, 0.1)},
    },
    "half a fraction": {"f1": {"vary": False}},
}


@pytest.mark.parametrize("role", ROLES)
def test_the_gradient_knows_fixed_tied_and_expected_parameters(role: str) -> None:
    problem, _ = make_problem("heterodyne", 30, 4, 5, **ROLES[role])
    objective = Objective(problem)
    assert_gradient(objective, off_the_optimum(objective, problem.table.values, 6))


def test_a_prior_costs_the_square_of_its_distance() -> None:
    plain, theta = make_problem("heterodyne", 30, 2, 7)
    width = 0.1 * abs(theta[5])
    expected, _ = make_problem(
        "heterodyne", 30, 2, 7, D_offset_sample={"prior": (theta[5] + 2 * width, width)}
    )
    assert Objective(expected)(theta) - Objective(plain)(theta) == pytest.approx(4.0, rel=1e-6)


def test_a_fixed_parameter_is_no_coordinate_and_gets_no_row() -> None:
    problem, theta = make_problem("static_isotropic", 30, 2, 8, alpha={"vary": False})
    objective = Objective(problem)
    assert objective.moving.tolist() == [0, 2]
    local = objective.equations(theta)
    assert not local.hessian[1].any()
    assert local.hessian[0, 2] != 0.0
    assert objective.normal_equations(theta).hessian.shape == (2, 2)


def test_with_everything_fixed_there_is_still_a_chi_square() -> None:
    fixed = {name: {"vary": False} for name in ("D0", "alpha", "D_offset")}
    problem, theta = make_problem("static_isotropic", 30, 2, 9, **fixed)
    objective = Objective(problem)
    assert objective.normal_equations(theta).gradient.shape == (0,)
    assert objective(theta) == pytest.approx(Objective(make_problem("static_isotropic", 30, 2, 9)[0])(theta))


def test_rows_may_be_asked_for_parameters_that_do_not_move() -> None:
    problem, theta = make_problem("heterodyne", 30, 3, 10)
    objective = Objective(problem)
    every = np.arange(14)
    local = objective.equations(theta, wanted=every)
    assert 11 not in objective.moving  # f2
    along = np.zeros(14)
    along[[9, 11]] = theta[9] * theta[10], 1.0  # the null direction of f0 and f2
    assert abs(along @ local.hessian @ along) < 1e-9 * (along**2 @ np.diag(local.hessian))


def test_chi_square_is_that_of_the_noise_at_the_truth() -> None:
    problem, theta = make_problem("heterodyne", 120, 4, 11)
    problem.sigma[:] = 0.02
    objective = Objective(problem)
    assert objective.reduced(objective(theta)) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({12: 1.2}, "a fraction above 1"),
        ({12: -0.6}, "a fraction below 0"),
        ({2: -1e6}, "a negative J"),
        ({6: np.nan}, "no number"),
    ],
)
def test_an_unphysical_point_costs_infinitely_much(change: dict[int, float], why: str) -> None:
    problem, theta = make_problem("heterodyne", 30, 2, 12)
    objective = Objective(problem)
    assert np.isfinite(objective(theta))
    for at, value in change.items():
        theta[at] = value
    assert objective(theta) == np.inf, why


def test_components_that_leave_nothing_for_the_first_cost_infinitely_much() -> None:
    problem, theta = make_problem("multicomponent_3", 30, 2, 13)
    theta[[11, 21]] = 0.7
    theta[[9, 19]] = 0.0
    assert Objective(problem)(theta) == np.inf


def turned_over(seed: int = 16) -> tuple[Problem, np.ndarray]:
    """A problem whose first bin looks like the model upside down."""
    problem, theta = make_problem("heterodyne", 40, 3, seed)
    problem.data[0] = 2.0 - problem.data[0]
    names = ("model", "table", "data", "q", "phi", "t", "mask", "sigma", "holes")
    return Problem(*(getattr(problem, name) for name in names)), theta


def test_a_bin_whose_best_contrast_is_negative_gets_none() -> None:
    problem, theta = turned_over()
    local = Objective(problem).equations(theta)
    used = used_pixels(problem, 0) > 0
    data = problem.data[0].astype(float)[used]
    assert local.contrast[0] == 0.0
    assert np.all(local.contrast[1:] > 0.05)
    assert local.offset[0] == pytest.approx(data.mean(), rel=1e-9)
    assert local.chi2_bin[0] == pytest.approx(
        np.sum((data - data.mean()) ** 2) / problem.sigma[0] ** 2, rel=1e-7
    )


def test_the_gradient_survives_a_bin_without_contrast() -> None:
    problem, theta = turned_over()
    objective = Objective(problem)
    assert_gradient(objective, off_the_optimum(objective, theta, 1))


@pytest.mark.parametrize("contrast", CONTRAST_MODES)
def test_a_model_that_is_constant_over_the_run_has_no_contrast_of_its_own(contrast: str) -> None:
    """J = 0: M and 1 cannot be told apart; the answer is finite and explains the mean."""
    problem, theta = make_problem("static_isotropic", 30, 4, 15)
    theta[:] = 0.0, 0.0, 0.0
    local = Objective(problem, contrast=contrast).equations(theta)
    assert np.isfinite(local.chi2)
    assert np.all(np.isfinite(local.hessian))
    if contrast == "per_bin":
        mean = problem.sum_data / problem.count
        np.testing.assert_allclose(local.contrast + local.offset, mean, rtol=1e-6)


def test_a_bin_without_used_pixels_changes_nothing() -> None:
    problem, theta = make_problem("heterodyne", 40, 3, 16)
    names = ("model", "table", "data", "q", "phi", "t", "mask", "sigma", "holes")
    problem.mask[1] = 0.0
    blank = Problem(*(getattr(problem, name) for name in names))
    keep = np.array([0, 2])
    two = Problem(
        problem.model, problem.table, problem.data[keep], problem.q[keep], problem.phi[keep], problem.t,
        problem.mask[keep], problem.sigma[keep], problem.holes,
    )  # fmt: skip
    with np.errstate(all="raise"):
        assert Objective(blank)(theta) == pytest.approx(Objective(two)(theta), rel=1e-12)


def test_evaluations_are_counted() -> None:
    problem, theta = make_problem("static_isotropic", 20, 1, 17)
    objective = Objective(problem)
    objective(theta)
    objective.normal_equations(theta)
    assert objective.evaluations == 2


@pytest.mark.parametrize(
    ("mode", "count"), [("per_bin", 12), ("shared", 1), ("per_q", 2), ("smooth_phi", 10)]
)
def test_a_tying_mode_has_as_many_contrasts_as_it_says(mode: str, count: int) -> None:
    q, phi = np.repeat([0.01, 0.02], 6), np.tile(np.arange(-150.0, 180.0, 60.0), 2)
    assert contrast_design(mode, q, phi).shape == (12, 2, 2 * count)


@pytest.mark.parametrize(("angles", "count"), [(1, 1), (3, 1), (4, 3), (5, 3), (6, 5), (9, 5)])
def test_a_smooth_contrast_has_no_more_waves_than_angles_allow(angles: int, count: int) -> None:
    phi = np.linspace(-180.0, 180.0, angles, endpoint=False)
    design = contrast_design("smooth_phi", np.full(angles, 0.01), phi)
    assert design.shape == (angles, 2, 2 * count)
    assert np.linalg.matrix_rank(design[:, 0, :count]) == count


def test_an_unknown_tying_mode_is_an_error_that_names_the_known_ones() -> None:
    problem, _ = make_problem("static_isotropic", 20, 1, 18)
    with pytest.raises(
        ConfigurationError, match=r"unknown contrast mode 'per_phi'\n.*per_bin, shared, per_q"
    ):
        Objective(problem, contrast="per_phi")
