"""The robust objective: a function of the parameters, with the gradient of its own values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_problems import formula_z, make_problem, used_pixels
from scipy.optimize import minimize

from heterodyne_nb.engine import Objective, Problem, RobustObjective, get_loss, products, residual_scale

CONVEX = ("huber", "soft_l1")


def spoiled(seed: int = 1, share: float = 0.03) -> tuple[Problem, np.ndarray]:
    """A static problem with a share of its pixels far off."""
    problem, theta = make_problem("static_isotropic", 40, 2, seed)
    rng = np.random.default_rng(seed)
    problem.data[rng.random(problem.data.shape) < share] += 2.0
    names = ("model", "table", "data", "q", "phi", "t", "mask", "sigma", "holes")
    return Problem(*(getattr(problem, name) for name in names)), theta


def robust(problem: Problem, theta: np.ndarray, loss: str, **options) -> RobustObjective:
    local = Objective(problem).equations(theta)
    scale = residual_scale(problem, theta, local.contrast, local.offset)
    return RobustObjective(problem, loss=loss, scale=scale, start=(local.contrast, local.offset), **options)


def test_the_scale_of_the_residuals_ignores_outliers() -> None:
    problem, theta = spoiled()
    clean, _ = make_problem("static_isotropic", 40, 2, 1)
    local = Objective(clean).equations(theta)
    inner = local.contrast, local.offset
    scale = residual_scale(problem, theta, *inner)
    assert scale == pytest.approx(residual_scale(clean, theta, *inner), rel=0.08)
    assert scale == pytest.approx(np.median(0.02 / clean.sigma), rel=0.1)


def test_the_scale_is_the_median_deviation_of_the_used_pixels() -> None:
    problem, theta = make_problem("heterodyne", 90, 3, 2, masked=0.2, holes=9)
    contrast, offset = np.array([0.2, 0.3, 0.1]), np.array([1.0, 1.01, 0.99])
    by_bin = []
    for b in range(3):
        z = formula_z(problem, theta, np.zeros(0, int), b)
        residual = (z[-1] - offset[b] - contrast[b] * z[-3])[used_pixels(problem, b) > 0]
        by_bin.append(
            1.482602218505602 * np.median(np.abs(residual - np.median(residual))) / problem.sigma[b]
        )
    assert residual_scale(problem, theta, contrast, offset) == pytest.approx(np.median(by_bin), rel=1e-10)


@pytest.mark.parametrize("loss", CONVEX)
def test_its_value_is_the_least_loss_over_contrast_and_offset(loss: str) -> None:
    problem, theta = spoiled()
    objective = robust(problem, theta, loss)
    rule, total = get_loss(loss), 0.0
    for b in range(problem.n_bins):
        z, used = formula_z(problem, theta, np.zeros(0, int), b), used_pixels(problem, b) > 0
        m, data = z[-3][used], z[-1][used]

        def cost(inner: np.ndarray, m=m, data=data, b=b) -> float:
            residual = (data - inner[1] - inner[0] * m) / (problem.sigma[b] * objective.scale)
            return float(objective.scale**2 * rule.rho(residual**2).sum())

        total += minimize(cost, [0.2, 1.0], method="BFGS", options={"gtol": 1e-9}).fun
    assert objective(theta) == pytest.approx(total, rel=1e-7)


@pytest.mark.parametrize("loss", ["huber", "soft_l1", "cauchy", "tukey"])
@pytest.mark.parametrize("contrast", ["per_bin", "shared"])
def test_its_gradient_is_that_of_its_values(loss: str, contrast: str) -> None:
    problem, theta = spoiled(3)
    objective = robust(problem, theta, loss, contrast=contrast)
    z = objective.to_internal(theta) * np.array([1.1, 0.9, 1.2])
    point = objective.from_internal(z)
    local = objective.normal_equations(point)
    slopes = []
    for k, unit in enumerate(np.eye(3)):
        h = 1e-4 * max(1.0, abs(z[k]))
        values = [objective(objective.from_internal(z + s * h * unit)) for s in (-1, 1)]
        slopes.append((values[1] - values[0]) / (2 * h))
    size = np.sqrt(np.diag(local.hessian) * local.chi2)
    np.testing.assert_allclose(local.gradient / size, np.array(slopes) / size, atol=3e-5)
    assert np.all(np.linalg.eigvalsh(local.hessian) > -1e-9 * np.trace(local.hessian))


def test_the_same_point_has_the_same_value_whatever_was_asked_before() -> None:
    problem, theta = spoiled(4)
    objective = robust(problem, theta, "huber")
    first = objective(theta)
    objective(theta * 1.5)
    objective.normal_equations(theta * 0.7)
    assert objective(theta) == first


def test_on_clean_data_with_a_wide_tuning_it_is_chi_square() -> None:
    problem, theta = make_problem("static_isotropic", 40, 2, 5)
    local = Objective(problem).equations(theta)
    wide = RobustObjective(problem, loss="huber", scale=100.0, start=(local.contrast, local.offset))
    assert wide(theta) == pytest.approx(local.chi2, rel=1e-12)
    np.testing.assert_allclose(wide.equations(theta).gradient, local.gradient, rtol=1e-9)


def test_outliers_pull_less_than_in_chi_square() -> None:
    problem, theta = spoiled(6, share=0.05)
    clean, _ = make_problem("static_isotropic", 40, 2, 6)
    truth = Objective(clean).equations(theta)
    off = [
        np.abs(o.equations(theta).offset - truth.offset).max()
        for o in (Objective(problem), robust(problem, theta, "huber"))
    ]
    assert off[1] < 0.15 * off[0]


def test_a_point_outside_physics_costs_infinitely_much_here_too() -> None:
    problem, theta = spoiled(7)
    objective = robust(problem, theta, "huber")
    theta[2] = -1e9
    assert objective(theta) == np.inf


def test_asked_again_at_the_same_point_it_makes_one_pass_and_says_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes = []
    inner = products.tile_products

    def counted(*arguments: Any) -> None:
        passes.append(1)
        inner(*arguments)

    monkeypatch.setattr(products, "tile_products", counted)
    problem, theta = spoiled()
    objective = robust(problem, theta, "huber")
    first = objective.equations(theta, derivatives=False)
    assert len(passes) > 2  # rounds of reweighting
    passes.clear()
    again = objective.equations(theta)
    assert len(passes) == 1
    assert again.chi2 == pytest.approx(first.chi2, rel=1e-12)
    fresh = robust(problem, theta, "huber").equations(theta)
    assert (again.chi2, *again.gradient) == (fresh.chi2, *fresh.gradient)
    objective.equations(1.01 * theta)
    assert objective.equations(theta).chi2 == fresh.chi2
