"""The optimisers on problems with certified answers: right, or not called converged, whatever the units."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from known_problems import ready_or_skip
from nist import WithEquations, problems

from heterodyne_nb.optimize import create_strategy

METHODS = ("gauss_newton", "trf", "gurobi")
EASY = ("Misra1a", "Chwirut2", "DanWood", "Misra1b", "BoxBOD", "Hahn1", "Rat42", "Rat43", "Thurber", "MGH09")
#: Plateaus, narrow valleys and sums of nearly equal exponentials.
HARD = ("Rat42", "MGH09", "MGH17", "BoxBOD", "Eckerle4", "Nelson", "Roszman1")
FORMS: dict[str, Callable[[float], float]] = {
    "as it is": lambda f: f,
    "times 1e-12": lambda f: 1e-12 * f,
    "plus 1e8": lambda f: f + 1e8,
}


@pytest.mark.parametrize("name", problems())
def test_the_data_give_the_certified_sum_of_squares_at_the_certified_answer(name: str) -> None:
    problem = problems()[name]
    floor = 1e-20 if name == "Lanczos1" else 0.0  # its certified sum is below what eleven digits give
    np.testing.assert_allclose(problem.function(problem.certified), problem.sum_of_squares, 2e-10, floor)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [1.0, 1e-12])
def test_normal_equations_give_six_digits_from_either_start(method: str, factor: float) -> None:
    ready_or_skip(method)
    for name in EASY:
        problem = problems()[name]
        for start in problem.starts[1:] if name == "BoxBOD" else problem.starts:
            result = create_strategy(method).optimize(WithEquations(problem, factor=factor), start)
            assert result.success, (name, result.message)
            assert problem.digits(result.x) >= 6.0, name


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", [*METHODS, "lbfgsb", "nelder_mead"])
def test_no_answer_of_a_plain_function_is_called_converged_with_fewer_than_four_right_digits(
    method: str, form: str
) -> None:
    ready_or_skip(method)
    for name in HARD:
        problem = problems()[name]
        for start in problem.starts if form == "as it is" else problem.starts[:1]:  # the far one
            strategy = create_strategy(method, max_iterations=150)
            result = strategy.optimize(lambda b, p=problem: FORMS[form](p.function(b)), start)
            assert not result.success or problem.digits(result.x) >= 4.0, (name, result.message)


def test_an_answer_hidden_by_rounding_and_one_on_a_plateau_are_told_apart_from_a_minimum() -> None:
    def hidden(x: np.ndarray) -> float:
        return float(1e-12 * np.sum((x - 1.5) ** 2)) + 1.0

    assert create_strategy("gauss_newton").optimize(hidden, [1.0, 2.0]).stop_reason == "flat"
    valley = create_strategy("trf").optimize(lambda x: float((x[0] + x[1] - 3.0) ** 2 + 1.0), [1.0, 1.0])
    assert not valley.success
    assert "no single point is best" in valley.message


@pytest.mark.parametrize("method", [*METHODS, "lbfgsb", "nelder_mead"])
@pytest.mark.parametrize("factor", [1e-12, 1.0, 1e12])
def test_the_units_of_a_function_do_not_change_the_answer(method: str, factor: float) -> None:
    ready_or_skip(method)

    def bowl(x: np.ndarray) -> float:
        return factor * float(1.0 + (x[0] - 2.0) ** 2 + 10.0 * (x[1] - x[0]) ** 4 + (x[1] - 2.5) ** 2)

    results = (
        create_strategy(method).optimize(bowl, [1.0, 1.0]),
        create_strategy("trf").optimize(bowl, [3.0, 3.0]),
    )
    assert all(result.success for result in results), [result.message for result in results]
    np.testing.assert_allclose(results[0].x, results[1].x, rtol=1e-5)


def test_a_minimum_that_a_trust_region_undercuts_from_the_same_start_is_not_given() -> None:
    problem = problems()["ENSO"]
    result = create_strategy("lbfgsb").optimize(problem.function, problem.starts[0])
    assert result.stop_reason == "another method"  # its own minimum is 8 % higher
    assert problem.digits(result.x) >= 6.0
