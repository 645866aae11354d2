"""Fixtures of the optimiser tests."""

from __future__ import annotations

import pytest
from known_problems import ExponentialDecay, ready_or_skip


@pytest.fixture
def decay() -> ExponentialDecay:
    return ExponentialDecay()


@pytest.fixture(params=["nelder_mead", "lbfgsb", "trf", "gurobi", "gauss_newton"])
def method(request: pytest.FixtureRequest) -> str:
    """Every strategy of this area by name."""
    ready_or_skip(request.param)
    return str(request.param)
