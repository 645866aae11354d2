"""Tiles at one point: bins left out, contrast and offset eliminated, priors counted, in every way the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine_problems import make_problem

from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.data.dataset import is_level, levels
from heterodyne_nb.engine import (
    Objective,
    OneTimeObjective,
    OneTimeProblem,
    RobustObjective,
    Tiles,
    residual_record,
)
from heterodyne_nb.engine.normal import ContrastOffset
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.uncertainty.covariance import estimate_covariance, internal_covariance

KEEP = np.array([True, False, True])


def objective_with(
    mode: str = "static_isotropic", **prior: tuple[float, float]
) -> tuple[Objective, np.ndarray]:
    problem, theta = make_problem(mode, 32, 3, 5)
    table = problem.table
    priors = tuple(prior.get(name) for name in table.names)
    return Objective(replace(problem, table=replace(table, prior=priors), layouts={})), theta


def one_time() -> tuple[OneTimeObjective, np.ndarray]:
    model = ModelFactory.create_model("heterodyne_equilibrium")
    names = {"fraction": 0.4, "J_ref": 60.0, "J_sample": 400.0, "v": 60.0, "phi0": 20.0}
    table = resolve_parameters(model.name, names, specs=model.parameters)
    tau, q, phi = np.arange(1, 40) * 0.3, np.full(3, 0.01), np.array([0.0, 40.0, 80.0])
    theta = np.array(list(names.values()))
    m = model.correlation(theta, tau[None], q=q[:, None], phi=phi[:, None])
    g2 = 1 + 0.2 * m + 1e-3 * np.random.default_rng(0).standard_normal(m.shape)
    return OneTimeObjective(OneTimeProblem(model, table, tau, g2, np.full(g2.shape, 1e6), q, phi)), theta


def robust() -> tuple[RobustObjective, np.ndarray]:
    objective, theta = objective_with()
    local = objective.equations(theta)
    start = local.contrast, local.offset
    return RobustObjective(objective.problem, loss="huber", scale=1.0, start=start), theta


CASES = {"two-time": objective_with, "robust": robust, "one-time": one_time}


@pytest.mark.parametrize("case", CASES)
def test_an_objective_of_some_bins_is_the_sum_over_these_bins(case: str) -> None:
    objective, theta = CASES[case]()
    part, whole = objective.subset(KEEP), objective.equations(theta)
    assert type(part) is type(objective)
    local = part.equations(theta)
    rtol = 1e-6 if case == "robust" else 1e-8  # reweighting ends at its own tolerance
    np.testing.assert_allclose(local.chi2_bin, whole.chi2_bin[KEEP], rtol=rtol)
    np.testing.assert_allclose(local.contrast, whole.contrast[KEEP], rtol=rtol)


@pytest.mark.parametrize("case", CASES)
def test_tiles_of_some_bins_are_those_of_the_objective_of_these_bins(case: str) -> None:
    objective, theta = CASES[case]()
    some = Tiles.at(objective, theta, 6).subset(KEEP)
    other = Tiles.at(objective.subset(KEEP), theta, 6)
    rtol = 1e-6 if case == "robust" else 1e-9
    np.testing.assert_allclose(
        some.products[KEEP], other.products, rtol=rtol, atol=rtol * np.abs(other.products).max()
    )
    np.testing.assert_array_equal(some.products[~KEEP], 0.0)
    found, expected = some.matrix() / some.slope, other.matrix() / other.slope
    np.testing.assert_allclose(found, expected, rtol=1e-5 if case == "robust" else 1e-8)


@pytest.mark.parametrize("case", CASES)
def test_sums_over_tiles_are_the_normal_equations(case: str) -> None:
    objective, theta = CASES[case]()
    theta = theta * 1.01
    tiles, whole = Tiles.at(objective, theta, 6), objective.equations(theta)
    local = tiles.equations()
    rtol = 1e-5 if case == "robust" else 1e-8
    np.testing.assert_allclose(local.chi2, whole.chi2, rtol=rtol)
    np.testing.assert_allclose(local.gradient, whole.gradient[objective.moving], rtol=rtol)
    np.testing.assert_allclose(
        local.hessian, whole.hessian[np.ix_(objective.moving, objective.moving)], rtol=rtol
    )


def test_scores_without_contrast_and_offset_are_the_joint_ones_with_these_eliminated() -> None:
    objective, theta = objective_with()
    tiles = Tiles.at(objective, theta * np.array([1.05, 0.97, 1.1]), 6)
    n, matrix = objective.coordinates.size, tiles.joint_matrix
    follow = np.linalg.solve(matrix[n:, n:], matrix[n:, :n])
    expected = tiles.joint_scores[:, :, :n] - tiles.joint_scores[:, :, n:] @ follow
    np.testing.assert_allclose(tiles.scores(), expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_allclose(tiles.matrix(), matrix[:n, :n] - matrix[:n, n:] @ follow, rtol=1e-7)
    local = objective.normal_equations(tiles.theta)
    np.testing.assert_allclose(2 * tiles.scores().sum(axis=(0, 1)), local.gradient, rtol=1e-7)


def test_the_record_of_residuals_counts_every_pixel_once_with_a_robust_loss_too() -> None:
    (plain, theta), (weighted, _) = objective_with(), robust()
    for objective in (plain, weighted):
        record = residual_record(objective, theta, 6)
        np.testing.assert_array_equal(
            record["pixels_tile"].sum(("block1", "block2")), objective.problem.count
        )
    local = plain.equations(theta, derivatives=False)
    np.testing.assert_allclose(residual_record(plain, theta, 6)["chi2_tile"].sum(), local.chi2, rtol=1e-9)


# -- priors ----------------------------------------------------------------------------------------


def test_a_prior_is_a_measurement_in_chi2_gradient_and_curvature() -> None:
    mean, width = 1.2, 0.3
    (plain, theta), (held, _) = objective_with(), objective_with(alpha=(mean, width))
    pull = (theta[1] - mean) / width
    without, with_it = plain.equations(theta), held.equations(theta)
    assert with_it.chi2 - without.chi2 == pytest.approx(pull**2, rel=1e-6)
    np.testing.assert_allclose(with_it.gradient - without.gradient, [0, 2 * pull / width, 0], atol=1e-6)
    np.testing.assert_allclose(
        with_it.hessian - without.hessian, np.diag([0, 2 / width**2, 0]), atol=1e-9 * without.hessian.max()
    )
    tiles = Tiles.at(held, theta, 6)
    np.testing.assert_allclose(tiles.equations().hessian, with_it.hessian, rtol=1e-8)
    slopes = held.coordinates.jacobian(theta)
    np.testing.assert_allclose(held.priors.curvature(slopes), np.outer(slopes[1], slopes[1]) / width**2)


def test_a_prior_sharper_than_the_data_is_the_stated_error() -> None:
    objective, theta = objective_with()
    free = np.sqrt(estimate_covariance(objective, theta).covariance[1, 1])
    sharp, _ = objective_with(alpha=(float(theta[1]), free / 100))
    found = estimate_covariance(sharp, theta)
    assert np.sqrt((found.covariance - found.noise)[1, 1]) == pytest.approx(free / 100, rel=1e-3)


def test_the_dyadic_variance_is_never_below_a_quarter_of_the_naive_one() -> None:
    """Residuals that cancel within every block, here all of them 0, would otherwise state no error at all."""
    objective, theta = objective_with()
    tiles = Tiles.at(objective, theta, 6)
    n = objective.coordinates.size
    tiles.__dict__["joint_scores"] = np.zeros((*tiles.products.shape[:2], len(tiles.joint_matrix)))
    found = internal_covariance(tiles, float(objective.problem.n_data - objective.n_free))
    np.testing.assert_allclose(found.naive, found.inverse)
    np.testing.assert_allclose(found.dyadic, 0.25 * found.naive, rtol=1e-8)
    by_bin = np.einsum("bia,ac,bic->bi", objective.linear.design, found.full[n:, n:], objective.linear.design)
    np.testing.assert_allclose(found.linear, 0.5 * np.sqrt(by_bin), rtol=1e-8)


# -- bins of the same q ----------------------------------------------------------------------------

RINGS = np.repeat([0.005, 0.005005, 0.02], 8)
PHI = np.tile(np.arange(8) * 22.5, 3)


@pytest.mark.parametrize("jitter", [0.0, 1e-9, 1e-7])
@pytest.mark.parametrize(("mode", "numbers"), [("per_q", 1), ("smooth_phi", 5)])
def test_bins_of_one_q_share_contrast_though_their_q_jitters(mode: str, numbers: int, jitter: float) -> None:
    q = RINGS * (1 + jitter * np.random.default_rng(1).uniform(-1, 1, RINGS.size))
    table = resolve_parameters("static_isotropic", {})
    assert ContrastOffset(mode, q, PHI, table).size == 2 * numbers * 3


def test_values_that_differ_by_less_than_a_millionth_are_one_level_and_others_are_not() -> None:
    values = np.array([0.02, 0.01, 0.02 * (1 + 1e-7), 0.0100001])
    found, at = levels(values)
    np.testing.assert_array_equal(found, [0.01, 0.0100001, 0.02])
    np.testing.assert_array_equal(at, [2, 0, 2, 1])
    np.testing.assert_array_equal(is_level(values, 0.02), [True, False, True, False])
