"""Every strategy on plain callables and on an objective with normal equations."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
from held import stopped_clock
from known_problems import ExponentialDecay, ready_or_skip, rosenbrock
from scipy.optimize import Bounds, least_squares

from heterodyne_nb import progress
from heterodyne_nb.errors import ConfigurationError, FitWarning, OptimizationError
from heterodyne_nb.optimize import STRATEGIES, OptimizationStrategy, create_strategy, register, strategy_name
from heterodyne_nb.progress import ProgressEvent, StopToken

BOUNDS = [(-2.0, 0.5), (-2.0, 2.0)]
STARTS = ([1.0, 0.5, 0.1, 7.0], [30.0, 10.0, -2.0, 7.0], [1e-3, 1e-3, 0.28, 7.0])


def best_chi2(problem: ExponentialDecay) -> float:
    """The optimum by SciPy on the full residuals, which no strategy here sees."""
    lower, upper = problem.internal_bounds(np.zeros(4))
    start = np.clip([0.5, 0.2, 2.0], lower, upper - 0.1)
    tight = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15}
    done = least_squares(
        lambda z: problem.residuals(problem.from_internal(z)), start, bounds=(lower, upper), **tight
    )
    return 2.0 * float(done.cost)


def test_rosenbrock_without_bounds_is_solved(method: str) -> None:
    result = create_strategy(method).optimize(rosenbrock, [-1.2, 1.0])
    assert result.success
    assert result.fun < 1e-10
    np.testing.assert_allclose(result.x, [1.0, 1.0], atol=1e-5)


def test_rosenbrock_with_an_active_bound_ends_on_it(method: str) -> None:
    result = create_strategy(method, bounds=BOUNDS).optimize(rosenbrock, [-1.2, 1.0])
    assert result.success
    np.testing.assert_allclose(result.fun, 0.25, rtol=1e-6)
    np.testing.assert_allclose(result.x, [0.5, 0.25], atol=1e-5)
    assert result.x[0] <= 0.5


def test_a_start_in_a_corner_of_the_bounds_is_left(method: str) -> None:
    bounds = Bounds([0.5, 1.5], [2.0, 3.0])
    result = create_strategy(method, bounds=bounds).optimize(rosenbrock, [0.5, 3.0])
    np.testing.assert_allclose(result.fun, 0.0504261878936, rtol=1e-6)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("b_upper", [10.0, 0.28])
def test_all_agree_with_full_residuals_on_an_objective(
    method: str, start: list[float], b_upper: float
) -> None:
    problem = ExponentialDecay(b_upper=b_upper)
    result = create_strategy(method).optimize(problem, start)
    assert result.success, result.message
    np.testing.assert_allclose(result.fun, best_chi2(problem), rtol=1e-6)
    assert result.x[3] == 7.0
    np.testing.assert_allclose(problem(result.x), result.fun, rtol=1e-12)


@pytest.mark.parametrize("start", STARTS)
def test_all_agree_when_the_objective_is_seen_as_a_plain_callable(method: str, start: list[float]) -> None:
    problem = ExponentialDecay(b_upper=0.28)
    result = create_strategy(method, bounds=problem.bounds).optimize(lambda x: problem(x), start)
    np.testing.assert_allclose(result.fun, best_chi2(problem), rtol=1e-6)
    assert result.success, result.message
    assert problem.passes == 0


def test_normal_equations_are_used_by_those_who_say_so(method: str, decay: ExponentialDecay) -> None:
    result = create_strategy(method).optimize(decay, STARTS[0])
    if STRATEGIES[method].needs_gradient:
        assert decay.passes > 0
        assert result.nfev < 100
        assert result.njev == decay.passes
    else:
        assert decay.passes == 0


def test_the_result_tells_the_whole_story(method: str, decay: ExponentialDecay) -> None:
    result = create_strategy(method).optimize(decay, STARTS[0])
    iterations, values = zip(*result.history, strict=True)
    assert list(iterations) == list(range(result.nit + 1))
    assert all(later <= earlier for earlier, later in itertools.pairwise(values))
    assert values[-1] == pytest.approx(result.fun, rel=1e-6)
    assert result.method == method
    assert "tolerance" in result.stop_reason
    assert result.message.startswith("converged")
    assert result.nfev >= decay.calls


def test_progress_events_carry_names_and_the_reduced_chi2(method: str, decay: ExponentialDecay) -> None:
    events: list[ProgressEvent] = []
    result = create_strategy(method, on_progress=events.append).optimize(decay, STARTS[0])
    assert len(events) == len(result.history)
    assert events[-1].stage == method
    assert set(events[-1].parameters) == {"A", "k", "b", "c"}
    assert events[-1].chi2 == pytest.approx(result.fun / 57, rel=1e-6)


def test_trial_points_that_are_not_finite_are_survived(method: str) -> None:
    hits = []

    def holed(x: np.ndarray) -> float:  # minimum at (1, 2); undefined for x <= 0 and right beside the start
        if (x <= 0.0).any() or x[0] > 6.0 or x[1] > 8.0:
            hits.append(x)
            return np.nan if x[0] <= 0.0 else np.inf
        return float(x[0] - np.log(x[0]) + x[1] - 2.0 * np.log(x[1]) + 10.0 * (x[0] / x[1] - 0.5) ** 2)

    result = create_strategy(method, scale=[20.0, 20.0]).optimize(holed, [6.0, 0.05])
    assert result.success, result.message
    np.testing.assert_allclose(result.x, [1.0, 2.0], atol=1e-3)
    assert hits


def test_at_a_wall_of_infinity_the_best_so_far_is_returned_within_reason(method: str) -> None:
    def walled(x: np.ndarray) -> float:
        return np.inf if x[0] < -1.3 else rosenbrock(x)

    result = create_strategy(method).optimize(walled, [-1.25, 1.9])
    assert np.isfinite(result.fun)
    assert result.fun < 0.6 * rosenbrock(np.array([-1.25, 1.9]))
    assert result.x[0] >= -1.3
    assert result.nfev < 20_000


def test_derivatives_that_are_not_finite_end_the_run_with_the_best_so_far(decay: ExponentialDecay) -> None:
    equations = decay.normal_equations
    decay.normal_equations = lambda theta: equations(theta * (np.nan if decay.passes > 2 else 1.0))
    result = create_strategy("trf").optimize(decay, STARTS[0])
    assert not result.success
    assert result.stop_reason == "derivatives not finite"
    assert result.fun < decay(np.array(STARTS[0]))


def test_a_start_that_is_not_finite_is_an_error(method: str) -> None:
    with pytest.raises(OptimizationError, match="nan at the start"):
        create_strategy(method).optimize(lambda x: np.nan, [1.0])


def test_an_objective_that_raises_is_reported_with_the_point(method: str) -> None:
    def broken(x: np.ndarray) -> float:
        if x[0] != 1.5:
            raise ZeroDivisionError("no such luck")
        return 3.0

    with pytest.raises(OptimizationError, match=r"(?s)evaluation 2.*ZeroDivisionError: no such luck.*x = \["):
        create_strategy(method).optimize(broken, [1.5])


def test_an_objective_that_returns_a_vector_is_reported(method: str) -> None:
    with pytest.raises(OptimizationError, match="array of shape"):
        create_strategy(method).optimize(lambda x: x, [1.0, 2.0])


def test_an_error_of_ours_from_the_objective_passes_unchanged(method: str) -> None:
    def refuses(x: np.ndarray) -> float:
        raise ConfigurationError("gap is missing")

    with pytest.raises(ConfigurationError, match=r"^gap is missing$"):
        create_strategy(method).optimize(refuses, [1.0])


@pytest.mark.parametrize("plain", [True, False])
def test_cancel_is_obeyed_before_the_next_evaluation(
    method: str, plain: bool, decay: ExponentialDecay
) -> None:
    stop, counted = StopToken(), []

    class Counting(ExponentialDecay):
        def residuals(self, theta: np.ndarray) -> np.ndarray:
            counted.append(theta)
            if len(counted) == 4:
                stop.cancel()
            return super().residuals(theta)

    problem = Counting()
    objective = (lambda x: problem(x)) if plain else problem
    result = create_strategy(method, stop=stop).optimize(objective, STARTS[0])
    assert len(counted) == 4
    assert not result.success
    assert result.message == result.stop_reason == "cancelled"
    assert result.fun == pytest.approx(min(decay(x) for x in counted), rel=1e-12)


def test_a_run_cancelled_before_it_starts_still_has_a_value(method: str) -> None:
    stop = StopToken()
    stop.cancel()
    result = create_strategy(method, stop=stop).optimize(rosenbrock, [-1.2, 1.0])
    assert result.nfev == 1
    assert result.fun == rosenbrock(np.array([-1.2, 1.0]))
    np.testing.assert_allclose(result.x, [-1.2, 1.0])


def test_cancel_from_another_thread_ends_a_run(method: str) -> None:
    strategy = create_strategy(method)
    strategy.stop = StopToken()

    def cancelling(x: np.ndarray) -> float:
        other = threading.Thread(target=strategy.stop.cancel)
        other.start()
        other.join()
        return rosenbrock(x)

    result = strategy.optimize(cancelling, [-1.2, 1.0])
    assert result.message == "cancelled"
    assert result.nfev == 1


def test_a_time_limit_returns_the_best_so_far(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = stopped_clock(monkeypatch, progress)

    def second_long(x: np.ndarray) -> float:
        clock.now += 1
        return rosenbrock(x)

    result = create_strategy(method, stop=StopToken(20)).optimize(second_long, [-1.2, 1.0])
    assert result.nfev <= 21
    assert not result.success
    assert result.message == "time limit"
    assert result.fun < rosenbrock(np.array([-1.2, 1.0]))


def test_an_iteration_limit_is_told(method: str) -> None:
    result = create_strategy(method, max_iterations=3).optimize(rosenbrock, [-1.2, 1.0])
    assert not result.success
    assert result.stop_reason == "iteration limit"
    assert result.nit == 3


def test_fixed_parameters_keep_their_value_and_nothing_free_returns_at_once(method: str) -> None:
    half = create_strategy(method, bounds=[(0.3, 0.3), (-2, 2)]).optimize(rosenbrock, [0.3, 1.0])
    np.testing.assert_allclose(half.x, [0.3, 0.09], atol=1e-6)
    none = create_strategy(method, bounds=[(0.3, 0.3), (1, 1)]).optimize(rosenbrock, [0.3, 1.0])
    assert (none.nfev, none.stop_reason, none.success) == (1, "nothing to fit", True)


@pytest.mark.parametrize(
    ("settings", "start", "told"),
    [
        ({"bounds": BOUNDS}, [0.7, 1.0], r"x0 = 0.7 not in \[-2, 0.5\]"),
        ({"bounds": [(0, 1)]}, [0.7, 1.0], "2 pairs"),
        ({"bounds": [(1, 0), (0, 1)]}, [0.7, 1.0], "lower <= upper"),
        ({"bounds": "wide"}, [0.7, 1.0], "cannot be read"),
        ({"scale": [1.0, -1.0]}, [0.7, 1.0], "2 numbers above 0"),
        ({}, [0.7, np.nan], r"start values \[1\] are not finite"),
        ({}, [[0.7], [1.0]], "one number per parameter"),
        ({}, ["a"], "are not numbers"),
    ],
)
def test_a_wrong_start_or_bound_is_one_clear_error(
    method: str, settings: dict, start: list, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        create_strategy(method, **settings).optimize(rosenbrock, start)


def test_bounds_for_an_objective_that_has_its_own_are_an_error(method: str, decay: ExponentialDecay) -> None:
    with pytest.raises(ConfigurationError, match="the objective has its own"):
        create_strategy(method, bounds=decay.bounds).optimize(decay, STARTS[0])


def test_a_start_outside_internal_bounds_is_moved_and_told(decay: ExponentialDecay) -> None:
    with pytest.warns(FitWarning, match="moved to the nearest bound"):
        result = create_strategy("lbfgsb").optimize(decay, [1.0, 500.0, 0.1, 7.0])
    assert result.history[0][1] == pytest.approx(decay(np.array([1.0, 100.0, 0.1, 7.0])))


class MovingBox(ExponentialDecay):
    """Internal bounds that hold only near a point: ln k may move by 0.5 from where they are asked for."""

    def internal_bounds(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lower, upper = super().internal_bounds(theta)
        lower[1], upper[1] = np.log(theta[1]) - 0.5, np.log(theta[1]) + 0.5
        return lower, upper


def test_bounds_that_move_with_the_point_do_not_hold_the_answer_back(method: str) -> None:
    problem = MovingBox()
    result = create_strategy(method).optimize(problem, [1.0, 0.2, 0.1, 7.0])
    assert result.success, result.message
    np.testing.assert_allclose(result.fun, best_chi2(ExponentialDecay()), rtol=1e-6)


def test_an_objective_that_is_not_callable_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="cannot be called"):
        create_strategy("lbfgsb").optimize(3.0, [1.0])


@pytest.mark.parametrize("spelling", ["Nelder-Mead", "nelder mead", "NELDER_MEAD"])
def test_names_are_found_in_any_spelling(spelling: str) -> None:
    assert strategy_name(spelling) == "nelder_mead"


def test_aliases_of_other_packages_are_understood() -> None:
    assert strategy_name("L-BFGS-B") == "lbfgsb"
    assert strategy_name("Gurobi_Trust_Region") == "gurobi"


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)'nedler_mead'.*did you mean 'nelder_mead'"):
        create_strategy("nedler_mead")


def test_an_unknown_setting_offers_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)'max_iteration'.*did you mean 'max_iterations'"):
        create_strategy("lbfgsb", max_iteration=3)


@pytest.mark.parametrize(("key", "value"), [("ftol", 0.0), ("gtol", -1.0), ("max_iterations", "many")])
def test_a_setting_that_is_not_above_zero_is_an_error(key: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"lbfgsb\.{key}.*"):
        create_strategy("lbfgsb", **{key: value})


def test_settings_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        STRATEGIES["lbfgsb"](BOUNDS)


def test_a_strategy_of_ones_own_can_be_registered_and_made_by_name() -> None:
    class Lazy(OptimizationStrategy):
        name = "lazy"

        def optimize(self, objective_func, initial_params):
            return create_strategy("lbfgsb", bounds=self.bounds).optimize(objective_func, initial_params)

    register(Lazy)
    try:
        result = create_strategy("lazy", bounds=BOUNDS).optimize(rosenbrock, [-1.2, 1.0])
        np.testing.assert_allclose(result.x, [0.5, 0.25], atol=1e-5)
    finally:
        del STRATEGIES["lazy"]


def test_capabilities_are_declared() -> None:
    for name, cls in STRATEGIES.items():
        ready_or_skip(name)
        assert cls.name == name
        assert cls.ready(), cls.ready().detail
    assert not STRATEGIES["nelder_mead"].needs_gradient
    assert STRATEGIES["trf"].uses_normal_equations
    assert STRATEGIES["gurobi"].uses_normal_equations
