"""ClassicalOptimizer: the best of several methods, every failure told."""

from __future__ import annotations

import numpy as np
import pytest
from known_problems import ExponentialDecay, rosenbrock

from heterodyne_nb.errors import ConfigurationError, FitWarning, OptimizationError
from heterodyne_nb.optimize import ClassicalOptimizer, LBFGSBStrategy, NelderMeadStrategy
from heterodyne_nb.optimize.strategies.strategy import OptimizationStrategy
from heterodyne_nb.progress import StopToken


class Broken(OptimizationStrategy):
    """Always fails, with a message of its own."""

    name = "broken"

    def optimize(self, objective_func, initial_params):
        raise ValueError("pivot vanished")


def test_the_lowest_of_several_methods_is_kept(decay: ExponentialDecay) -> None:
    optimizer = ClassicalOptimizer(["Nelder-Mead", "trf"], nelder_mead={"max_iterations": 10})
    result = optimizer.optimize(decay, [1.0, 0.5, 0.1, 7.0])
    assert result.method == "trf"
    assert result.success
    assert [(a.method, a.outcome) for a in result.attempts] == [
        ("nelder_mead", "not converged"),
        ("trf", "converged"),
    ]
    assert result.fun == result.attempts[1].fun < result.attempts[0].fun
    assert all(a.nfev > 0 and a.seconds >= 0 for a in result.attempts)


def test_the_answer_does_not_depend_on_the_order(decay: ExponentialDecay) -> None:
    one, other = (
        ClassicalOptimizer(order, nelder_mead={"max_iterations": 10}).optimize(decay, [1.0, 0.5, 0.1, 7.0])
        for order in (["nelder_mead", "trf"], ["trf", "nelder_mead"])
    )
    np.testing.assert_array_equal(one.x, other.x)


def test_a_failing_method_falls_back_to_the_next_and_says_so() -> None:
    with pytest.warns(
        FitWarning, match=r"(?s)'lbfgsb' is used instead.*broken: .*ValueError\('pivot vanished'\)"
    ):
        result = ClassicalOptimizer([Broken(), "lbfgsb"]).optimize(rosenbrock, [-1.2, 1.0])
    assert result.success
    assert [a.outcome for a in result.attempts] == ["failed", "converged"]
    assert "pivot vanished" in result.attempts[0].message


def test_when_all_fail_every_reason_is_listed() -> None:
    with pytest.raises(OptimizationError) as caught:
        ClassicalOptimizer([Broken(), "lbfgsb", "trf"]).optimize(lambda x: np.nan, [1.0])
    told = str(caught.value)
    assert "broken: the objective is nan at the start" in told
    assert "lbfgsb: the objective is nan at the start" in told
    assert "trf: the objective is nan at the start" in told


def test_a_cancel_skips_the_remaining_methods_and_marks_the_result() -> None:
    stop = StopToken()
    seen = []

    def objective(x: np.ndarray) -> float:
        seen.append(x)
        if len(seen) == 5:
            stop.cancel()
        return rosenbrock(x)

    result = ClassicalOptimizer(["lbfgsb", "nelder_mead", "trf"], stop=stop).optimize(objective, [-1.2, 1.0])
    assert len(seen) == 5
    assert [a.outcome for a in result.attempts] == ["not converged", "skipped", "skipped"]
    assert (result.success, result.message, result.stop_reason) == (False, "cancelled", "cancelled")


def test_a_cancel_in_the_second_method_keeps_the_first_ones_better_answer() -> None:
    stop = StopToken()
    second = NelderMeadStrategy(
        on_progress=lambda event: stop.cancel() if event.stage == "nelder_mead" else None
    )
    result = ClassicalOptimizer([LBFGSBStrategy(), second], stop=stop).optimize(rosenbrock, [-1.2, 1.0])
    assert result.method == "lbfgsb"
    assert result.fun < 1e-10
    assert result.message == "cancelled"


def test_shared_settings_reach_the_methods_that_know_them() -> None:
    optimizer = ClassicalOptimizer(["nelder_mead", "trf"], gtol=1e-5, bounds=[(0, 1)], trf={"xtol": 1e-4})
    simplex, trf = optimizer.strategies
    assert trf.gtol == 1e-5
    assert trf.xtol == 1e-4
    assert simplex.bounds == trf.bounds == [(0, 1)]


def test_progress_reaches_ready_made_strategies() -> None:
    events = []
    ClassicalOptimizer([LBFGSBStrategy()], on_progress=events.append).optimize(rosenbrock, [-1.2, 1.0])
    assert events


@pytest.mark.parametrize(
    ("methods", "settings", "told"),
    [
        ([], {}, "no optimisation method"),
        (["newton raphson"], {}, "unknown method 'newton raphson'"),
        (["trf"], {"gtoll": 1.0}, r"(?s)'gtoll'.*did you mean 'gtol'"),
        (["trf"], {"initial_step": 1.0}, "unknown optimiser setting 'initial_step'"),
        (["trf"], {"trf": {"xtoll": 1.0}}, r"(?s)'xtoll'.*did you mean 'xtol'"),
    ],
)
def test_a_wrong_configuration_is_an_error_at_once(methods: list, settings: dict, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        ClassicalOptimizer(methods, **settings)


def test_one_method_may_be_given_by_itself() -> None:
    assert ClassicalOptimizer("lbfgsb").optimize(rosenbrock, [-1.2, 1.0]).success
