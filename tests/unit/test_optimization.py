"""Optimisation, its fallbacks, progress and pools in the words of the architecture page."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

import heterodyne_nb as hn
from heterodyne_nb.errors import ConfigurationError, OptimizationError
from heterodyne_nb.optimize import GurobiTrustRegionStrategy
from heterodyne_nb.progress import ProgressEvent, StopToken

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
START = {"D0": 800.0, "alpha": -0.4, "D_offset": 120.0}
gurobi = pytest.mark.skipif(not GurobiTrustRegionStrategy.ready(), reason="Gurobi cannot run here")


class PageStrategy(hn.OptimizationStrategy):
    def optimize(self, objective_func: Any, initial_params: Any) -> Any:
        return minimize(objective_func, initial_params, method="Nelder-Mead")


class Stubborn(hn.OptimizationStrategy):
    def optimize(self, objective_func: Any, initial_params: Any) -> Any:
        while True:
            objective_func(initial_params)


class Careless(hn.OptimizationStrategy):
    def optimize(self, objective_func: Any, initial_params: Any) -> Any:
        return [1.0, 2.0]


class Broken(hn.OptimizationStrategy):
    def optimize(self, objective_func: Any, initial_params: Any) -> Any:
        raise ValueError("pivot vanished")


def data() -> Any:
    return hn.open_dataset(FIXTURES / "test_data.h5")


def core(**optimization: Any) -> hn.HeterodyneAnalysisCore:
    values = hn.ConfigManager(FIXTURES / "sample_config.json").to_dict()
    values["data"]["file"] = str(FIXTURES / "test_data.h5")
    values["optimization"] = {"multistart": {"n": 0}, **optimization}
    return hn.HeterodyneAnalysisCore(values)


@pytest.mark.parametrize("method", [PageStrategy, PageStrategy()], ids=["class", "object"])
def test_a_strategy_that_returns_scipys_result_is_a_method_of_fit(method: Any) -> None:
    mine = hn.fit(data(), "static_isotropic", parameters=START, multistart=0, method=method)
    usual = hn.fit(data(), "static_isotropic", parameters=START, multistart=0)
    assert (mine.success, mine.method) == (True, "PageStrategy")
    assert mine.chi2 == pytest.approx(usual.chi2, rel=1e-6)
    assert mine.path[0]["nfev"] > 20
    assert mine.path[0]["history"][-1][1] == pytest.approx(mine.chi2_reduced, rel=1e-6)


def test_it_fits_one_time_data_and_keeps_what_is_held() -> None:
    asked = {"Gamma": 1.0, "alpha": {"value": 1.2, "vary": False}}
    result = hn.fit(data(), "kww", parameters=asked, method=PageStrategy)
    usual = hn.fit(data(), "kww", parameters=asked)
    assert result.values["alpha"] == 1.2
    assert result.values["Gamma"] == pytest.approx(usual.values["Gamma"], rel=1e-3)


def test_a_strategy_that_never_ends_is_stopped_and_its_best_point_kept() -> None:
    token, seen = StopToken(), list[ProgressEvent]()

    def watch(event: ProgressEvent) -> None:
        seen.append(event)
        if event.stage == "Stubborn":
            token.cancel()

    settings = {"multistart": 0, "parameters": START, "on_progress": watch, "stop": token}
    result = hn.fit(data(), "static_isotropic", method=Stubborn, **settings)
    assert not result.success
    assert result.message == "cancelled: best so far"
    assert dict(result.values) == pytest.approx(START)


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (Careless, "returned list instead of a result with finite x"),
        (Broken, r"Broken\.optimize: ValueError\('pivot vanished'\)"),
    ],
)
def test_a_strategy_that_fails_says_so_in_an_error_of_ours(method: Any, told: str) -> None:
    with pytest.raises(OptimizationError, match=told):
        hn.fit(data(), "static_isotropic", parameters=START, multistart=0, method=method)


def test_something_else_is_no_method_and_settings_go_to_classes_alone() -> None:
    with pytest.raises(ConfigurationError, match="is no method"):
        hn.fit(data(), "static_isotropic", method=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="already made"):
        hn.fit(data(), "static_isotropic", method=PageStrategy(), options={"bounds": None})


def valley(x: np.ndarray) -> float:
    return float((x[0] - 3.0) ** 2 + 10.0 * (x[1] + 2.0) ** 2 + 1.5 * (x[0] - 3.0) * (x[1] + 2.0))


@gurobi
def test_the_pages_gurobi_iteration_minimises_a_function_and_a_fit() -> None:
    optimizer = hn.ClassicalOptimizer("gurobi")
    found = optimizer._run_gurobi_optimization(valley, np.array([1.0, 1.0]))
    assert found.success
    np.testing.assert_allclose(found.x, [3.0, -2.0], atol=1e-4)
    assert found.history[0] == (0, valley(np.array([1.0, 1.0])))
    falls = np.diff([value for _, value in found.history])
    assert np.all(falls <= 0)


@gurobi
def test_its_step_is_the_minimum_of_the_diagonal_model_in_the_trust_region() -> None:
    optimizer = hn.ClassicalOptimizer("gurobi")
    x = np.array([1.0, 1.0])
    grad = optimizer._compute_gradient(valley, x)
    hessian_diag = optimizer._compute_hessian_diagonal(valley, x)
    np.testing.assert_allclose(grad, [2 * -2.0 + 1.5 * 3.0, 20 * 3.0 + 1.5 * -2.0], rtol=1e-6)
    np.testing.assert_allclose(hessian_diag, [2.0, 20.0], rtol=1e-3)
    np.testing.assert_allclose(
        optimizer._solve_trust_region_qp(grad, hessian_diag, 10.0), -grad / hessian_diag, rtol=1e-3
    )
    np.testing.assert_allclose(
        optimizer._solve_trust_region_qp(grad, hessian_diag, 0.1), [-0.1, -0.1], rtol=1e-6
    )


@gurobi
def test_the_default_hessian_needs_fewer_iterations_than_the_pages_diagonal_one() -> None:
    def tilted(x: np.ndarray) -> float:
        return float((x[0] + x[1] - 2.0) ** 2 + 0.01 * (x[0] - x[1]) ** 2)

    start = np.array([4.0, -3.0])
    page = hn.ClassicalOptimizer("gurobi")._run_gurobi_optimization(tilted, start)
    ours = hn.ClassicalOptimizer("gurobi").optimize(tilted, start)
    assert ours.success
    assert ours.fun <= page.fun + 1e-9
    assert ours.nit < page.nit


def test_robust_optimization_takes_the_primary_answer_where_there_is_one(caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        result = core().robust_optimization()
    assert (result.success, result.method, result.failures) == (True, "gauss_newton", ())
    assert not caplog.records


@pytest.mark.filterwarnings("ignore:.*did not converge:heterodyne_nb.errors.FitWarning")
def test_robust_optimization_falls_back_and_tells_the_logger(caplog: Any) -> None:
    short = {"methods": ["nelder_mead", "trf"], "nelder_mead": {"max_iterations": 2}}
    analysis = core(classical=short)
    with pytest.raises(OptimizationError, match=r"nelder_mead(.|\n)*iteration limit"):
        analysis.primary_optimization()
    with caplog.at_level(logging.WARNING, logger="heterodyne_nb.analysis"):
        result = analysis.robust_optimization()
    assert (result.success, result.method) == (True, "trf")
    assert [method for method, _ in result.failures] == ["nelder_mead"]
    (record,) = caplog.records
    assert record.getMessage().startswith("Primary optimization failed, trying fallback")


def test_observers_work_as_the_page_writes_them(capsys: Any) -> None:
    hn.ProgressObserver().update("fit", 0.25)
    hn.ConsoleProgressObserver().update("fit", 0.25)
    assert capsys.readouterr().out == "fit: 25.0%\n"


def test_parameter_sets_are_fitted_by_a_pool_of_processes_as_by_this_one() -> None:
    settings = {"over": "start", "multistart": 0, "parameters": [START, {**START, "D0": 1500.0}]}
    alone = hn.fit_batch(data(), "static_isotropic", **settings)
    pooled = hn.fit_batch(data(), "static_isotropic", workers=2, **settings)
    assert pooled.identical(alone)


def test_a_pool_that_is_stopped_before_it_begins_fits_nothing() -> None:
    token = StopToken()
    token.cancel()
    with pytest.raises(OptimizationError, match="cancelled"):
        hn.fit_batch(
            data(), "static_isotropic", over="phi", workers=2, stop=token, multistart=0, parameters=START
        )


def test_the_public_robust_optimiser_is_at_hand() -> None:
    assert hn.RobustHeterodyneOptimizer(["wasserstein"]).strategies["wasserstein"].name == "wasserstein"
