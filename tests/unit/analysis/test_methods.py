"""Every configured method runs; failures are told, kept, and never hidden behind a success."""

from __future__ import annotations

import numpy as np
import pytest

from heterodyne_nb.analysis.core import as_optimize_result, run_methods, with_provenance
from heterodyne_nb.errors import FitWarning, OptimizationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.progress import StopToken
from heterodyne_nb.result import FitResult


def _result(chi2: float, method: str = "trf", **more: object) -> FitResult:
    model = ModelFactory.create_model("static_isotropic")
    path = [
        {"strategy": method, "nfev": 7, "iterations": 3},
        {"strategy": method, "nfev": 5, "iterations": 2},
    ]
    facts = {"success": True, "message": "converged", "path": path, **more}
    return FitResult.from_parts(
        model, parameters=[1.0, -0.5, 2.0], chi2=chi2, n_data=100, n_free=3, method=method, **facts
    )


def _run(table: dict[str, FitResult | Exception]):
    def fit(method: str) -> FitResult:
        if isinstance(table[method], Exception):
            raise table[method]
        return table[method]

    return fit


def test_the_lowest_chi2_is_the_best_whatever_the_order() -> None:
    table = {"a": _result(120.0), "b": _result(101.0), "c": _result(float("nan"))}
    outcome = run_methods(("c", "a", "b"), _run(table), StopToken())
    assert list(outcome.results) == ["c", "a", "b"]
    assert outcome.best_method == "b"
    assert outcome.best == table["b"]


def test_a_failing_method_is_warned_of_kept_and_followed_by_the_next() -> None:
    table = {"gurobi": OptimizationError("no licence"), "trf": _result(101.0)}
    with pytest.warns(FitWarning, match="method 'gurobi' failed, 'trf' is tried next; no licence"):
        outcome = run_methods(("gurobi", "trf"), _run(table), StopToken())
    assert outcome.best_method == "trf"
    assert outcome.failures == {"gurobi": "no licence"}


def test_when_all_methods_fail_every_reason_is_listed() -> None:
    table = {"gurobi": OptimizationError("no licence"), "trf": OptimizationError("no finite start")}
    with pytest.warns(FitWarning) as warned:
        outcome = run_methods(("gurobi", "trf"), _run(table), StopToken())
    assert "no method is left to try" in str(warned[-1].message)
    with pytest.raises(OptimizationError, match=r"(?s)gurobi: no licence.*trf: no finite start"):
        _ = outcome.best


def test_a_fault_that_is_not_ours_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        run_methods(("a",), _run({"a": ZeroDivisionError()}), StopToken())


def test_after_a_stop_request_the_rest_is_listed_as_not_run() -> None:
    stop = StopToken()

    def fit(method: str) -> FitResult:
        stop.cancel()
        return _result(101.0)

    outcome = run_methods(("a", "b"), fit, stop)
    assert list(outcome.results) == ["a"]
    assert outcome.failures == {"b": "not run: cancelled"}


def test_a_fit_in_scipys_form_has_the_published_order_and_the_whole_result() -> None:
    fit = _result(101.0)
    found = as_optimize_result(fit, {"gurobi": "no licence"})
    np.testing.assert_array_equal(found.x, [1.0, -0.5, 2.0])
    assert (found.fun, found.success, found.message, found.method) == (101.0, True, "converged", "trf")
    assert (found.nfev, found.nit) == (12, 5)
    assert found.failures == (("gurobi", "no licence"),)
    assert found.fit_result is fit
    assert "converged" in repr(found)
    assert "converged" in repr(as_optimize_result(fit))


def test_provenance_is_added_without_touching_the_rest() -> None:
    before = _result(101.0, provenance={"source": "a.h5", "used": []})
    after = with_provenance(before, used=["frames 1 to 9"], warnings=["bin 3 is dead"])
    expected = {"source": "a.h5", "used": ["frames 1 to 9"], "warnings": ["bin 3 is dead"]}
    assert after.provenance == expected
    assert before.provenance == {"source": "a.h5", "used": []}
    assert after.values == before.values
