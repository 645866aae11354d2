"""χ² of a one-time fit: contrast and offset eliminated, central differences inside the bounds."""

from __future__ import annotations

import numpy as np
import pytest

from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.engine import CONTRAST_MODES, OneTimeObjective, OneTimeProblem
from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.models import ModelFactory

TAU = np.geomspace(0.1, 50.0, 60)
TRUTH = {"kww": [0.2, 0.8], "heterodyne_equilibrium": [0.3, 150.0, 2500.0, 400.0, 20.0]}


def curves(
    mode: str, bins: int = 4, noise: float = 0.003, seed: int = 1, **asked
) -> tuple[OneTimeProblem, np.ndarray]:
    rng, model = np.random.default_rng(seed), ModelFactory.create_model(mode)
    q, phi = np.repeat([0.008, 0.012], bins // 2), np.tile(np.linspace(-60, 60, bins // 2), 2)
    theta = np.array(TRUTH[mode])
    m = np.broadcast_to(model.correlation(theta, TAU, q=q[:, None], phi=phi[:, None]), (bins, len(TAU)))
    g2 = 1.01 + 0.25 * m + noise * rng.standard_normal(m.shape)
    weight = np.full(g2.shape, noise**-2)
    weight[rng.random(g2.shape) < 0.1] = 0.0
    named = dict(zip(model.parameter_names, TRUTH[mode], strict=True))
    rows = {name: asked.get(name, {}) | {"value": value} for name, value in named.items()}
    return OneTimeProblem(model, resolve_parameters(mode, rows), TAU, g2, weight, q, phi), theta


@pytest.mark.parametrize("mode", TRUTH)
@pytest.mark.parametrize("contrast", CONTRAST_MODES)
def test_contrast_and_offset_are_the_least_squares_solution(mode: str, contrast: str) -> None:
    problem, theta = curves(mode)
    objective = OneTimeObjective(problem, contrast=contrast)
    local = objective.equations(theta)
    m, root = objective.correlation(theta), np.sqrt(problem.weight)
    rows = m[:, :, None] * objective.linear.design[:, None, 0] + objective.linear.design[:, None, 1]
    columns = (root[:, :, None] * rows).reshape(-1, objective.linear.design.shape[2])
    solution, *_ = np.linalg.lstsq(columns, (root * problem.g2).ravel(), rcond=None)
    np.testing.assert_allclose(
        [local.contrast, local.offset], np.einsum("bia,a->ib", objective.linear.design, solution), rtol=1e-8
    )
    assert local.chi2 == pytest.approx(
        np.sum((columns @ solution - (root * problem.g2).ravel()) ** 2), rel=1e-9
    )
    assert objective.reduced(local.chi2) == pytest.approx(1.0, abs=0.35)


@pytest.mark.parametrize("mode", TRUTH)
@pytest.mark.parametrize("contrast", CONTRAST_MODES)
def test_the_gradient_is_that_of_the_values(mode: str, contrast: str) -> None:
    problem, theta = curves(mode)
    objective = OneTimeObjective(problem, contrast=contrast)
    z = objective.to_internal(theta) * 1.05
    point = objective.from_internal(z)
    local = objective.normal_equations(point)
    for k, unit in enumerate(np.eye(len(z))):
        h = 1e-4 * max(1.0, abs(z[k]))
        high, low = (objective(objective.from_internal(z + s * h * unit)) for s in (1, -1))
        size = np.sqrt(local.hessian[k, k] * local.chi2)
        assert local.gradient[k] / size == pytest.approx((high - low) / (2 * h) / size, abs=1e-5)


def test_at_a_bound_the_difference_is_taken_inside() -> None:
    problem, theta = curves("heterodyne_equilibrium", fraction={"min": 0.3}, v={"max": 400.0})
    objective = OneTimeObjective(problem)
    local = objective.equations(theta)
    free, _ = curves("heterodyne_equilibrium")
    np.testing.assert_allclose(
        local.gradient, OneTimeObjective(free).equations(theta).gradient, rtol=2e-3, atol=1e-3
    )


def test_unused_lags_do_not_count() -> None:
    problem, theta = curves("kww")
    before = OneTimeObjective(problem)(theta)
    problem.g2[problem.weight == 0.0] = 1e9
    assert OneTimeObjective(problem)(theta) == before
    np.testing.assert_array_equal(problem.count, (problem.weight > 0).sum(axis=1))
    assert problem.n_data == (problem.weight > 0).sum()


def test_too_few_lags_are_an_error() -> None:
    problem, _ = curves("kww", bins=2)
    weight = np.zeros_like(problem.weight)
    weight[0, :2] = 1.0
    with pytest.raises(DataFormatError, match="only 2 lags can be used"):
        OneTimeProblem(problem.model, problem.table, TAU, problem.g2, weight, problem.q, problem.phi)
