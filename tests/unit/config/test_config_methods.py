"""Settings of the methods bear the names of the strategies that take them."""

from __future__ import annotations

import pytest

from heterodyne_nb.config import ConfigManager
from heterodyne_nb.optimize import STRATEGIES
from heterodyne_nb.optimize.strategies.strategy import settings_of
from heterodyne_nb.options import METHOD_OPTIONS as CLASSICAL_METHODS

READY = [method for method in CLASSICAL_METHODS if method in STRATEGIES]


def test_the_methods_through_solvers_have_strategies():
    assert {"nelder_mead", "lbfgsb", "trf", "gurobi"} <= set(READY)


@pytest.mark.parametrize("method", READY)
def test_the_settings_of_a_method_make_its_strategy(method):
    options = ConfigManager.template("heterodyne").settings.optimization.classical.options(method)
    strategy = STRATEGIES[method](**options)
    assert {name: getattr(strategy, name) for name in options} == options
    assert set(options) | {"max_iterations"} <= set(settings_of(STRATEGIES[method]))


def test_settings_that_are_null_are_left_to_the_strategy():
    base = ConfigManager.template("heterodyne")
    assert "max_iterations" not in base.settings.optimization.classical.options("trf")
    changed = base.updated({"optimization.classical.trf.max_iterations": 7})
    assert changed.settings.optimization.classical.options("trf")["max_iterations"] == 7
