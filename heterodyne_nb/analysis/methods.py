"""Run the configured methods one after the other; keep every answer, name every failure, choose the best."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import OptimizeResult

from heterodyne_nb.errors import FitWarning, HeterodyneError, OptimizationError, warn
from heterodyne_nb.progress import StopToken
from heterodyne_nb.text.escaping import storable

if TYPE_CHECKING:
    from heterodyne_nb.result import FitResult


@dataclass(frozen=True)
class Outcome:
    """What became of each method."""

    #: Those that gave an answer, in the order they ran.
    results: dict[str, FitResult] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)  #: Those that did not, with the reason.

    @property
    def best_method(self) -> str:
        """The method with the lowest chi-square.

        Raises OptimizationError: No method gave an answer; every reason is listed.
        """
        if not self.results:
            reasons = "".join(f"\n  - {name}: {reason}" for name, reason in self.failures.items())
            raise OptimizationError(f"every method failed:{reasons}")
        return min(self.results, key=lambda name: _rank(self.results[name].chi2))

    @property
    def best(self) -> FitResult:
        """The answer with the lowest chi-square; raises as :attr:`best_method` does."""
        return self.results[self.best_method]


def run_methods(methods: Sequence[str], run: Callable[[str], FitResult], stop: StopToken) -> Outcome:
    """Run each method; one that fails is told in a FitWarning, and the next one takes its place.

    ``methods``: Names, in order. ``run``: Fits by the method it is given. ``stop``: Once it asks to stop, the
    remaining methods are not run, and are listed as failures with the reason.

    Warns FitWarning: Naming each method that failed and the one that is tried next.
    """
    outcome = Outcome()
    for place, method in enumerate(methods):
        if outcome.results and stop.reason:
            outcome.failures[method] = f"not run: {stop.reason}"
            continue
        try:
            outcome.results[method] = run(method)
        except HeterodyneError as error:
            outcome.failures[method] = str(error)
            following = methods[place + 1] if place + 1 < len(methods) else None
            then = f"{following!r} is tried next" if following else "no method is left to try"
            warn(f"method {method!r} failed, {then}; {error}", FitWarning)
    return outcome


def as_optimize_result(result: FitResult, failures: dict[str, str] | None = None) -> OptimizeResult:
    """A fit in the form SciPy users know.

    Returns: ``x`` (published order), ``fun`` (chi-square), ``success``, ``message``, ``nfev`` and ``nit`` (summed
    over the path), ``method``, ``failures`` (pairs of method and reason) and ``fit_result``.
    """
    return OptimizeResult(
        x=np.array(list(result.values.values())),
        fun=result.chi2,
        success=result.success,
        message=result.message,
        nfev=_summed(result, "nfev"),
        nit=_summed(result, "iterations"),
        method=result.method,
        failures=tuple((failures or {}).items()),
        fit_result=result,
    )


def with_provenance(result: FitResult, **entries: Any) -> FitResult:
    """The same result with more to say of where it came from; entries of a known name are replaced."""
    text = storable(json.dumps({**result.provenance, **entries}, sort_keys=True, ensure_ascii=False))
    return type(result)(result.dataset.assign_attrs(provenance=text))


def _summed(result: FitResult, key: str) -> int:
    return sum(int(step.get(key) or 0) for step in result.path)


def _rank(chi2: float) -> float:
    return chi2 if np.isfinite(chi2) else np.inf
