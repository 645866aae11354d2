"""A robust loss over the residuals of one two-time map, against reading them."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from heterodyne_nb.optimize import LOSSES, robust_scale

RESIDUALS = np.random.default_rng(0).standard_normal((1000, 1000))


def seconds_to_square_and_sum() -> float:
    """Shortest of five plain passes over the same residuals."""
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        float(np.sum(RESIDUALS * RESIDUALS))
        spent.append(time.perf_counter() - began)
    return min(spent)


@pytest.mark.parametrize("name", list(LOSSES))
def test_cost_and_weights_of_a_million_residuals(name: str, benchmark: BenchmarkFixture) -> None:
    loss = LOSSES[name]
    cost, weight = benchmark(lambda: (loss.rho(RESIDUALS**2).sum(), loss.weight(RESIDUALS)))
    assert 0 < cost <= np.sum(RESIDUALS**2) * (1 + 1e-12)
    assert weight.shape == RESIDUALS.shape
    if benchmark.stats:
        benchmark.extra_info["times a plain pass"] = benchmark.stats["min"] / seconds_to_square_and_sum()


def test_scale_of_a_million_residuals(benchmark: BenchmarkFixture) -> None:
    assert benchmark(lambda: robust_scale(RESIDUALS)) == pytest.approx(1.0, rel=0.01)
