"""Run the configured methods, keep the best answer, tell every failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from heterodyne_nb.errors import ConfigurationError, FitWarning, OptimizationError, warn
from heterodyne_nb.names import squeeze, unknown_name
from heterodyne_nb.optimize.strategies.strategy import (
    STRATEGIES,
    OptimizationStrategy,
    create_strategy,
    settings_of,
    strategy_name,
)


@dataclass(frozen=True)
class Attempt:
    """What became of one method.

    Attributes
    ----------
    method : str
    outcome : {"converged", "not converged", "failed", "skipped"}
    message : str
    fun : float
        Best objective found; NaN when the method failed or was skipped.
    nfev : int
    seconds : float
    """

    method: str
    outcome: str
    message: str
    fun: float = float("nan")
    nfev: int = 0
    seconds: float = 0.0


class ClassicalOptimizer:
    """Minimise by one or several methods from the same start and keep the lowest value.

    Parameters
    ----------
    methods : iterable of str or OptimizationStrategy
        Registered names (any case and punctuation) or strategies already made.
    **settings
        Constructor settings. Each goes to every named method that knows it; one that no method knows
        is an error. A dict under a method's own name holds settings for that method alone, e.g.
        ``nelder_mead={"xtol": 1e-6}``. ``on_progress`` and ``stop`` also reach ready-made strategies.

    Raises
    ------
    ConfigurationError
        No method, an unknown method or setting (the nearest is offered), or a wrong value.
    """

    def __init__(
        self, methods: Iterable[str | OptimizationStrategy] = ("gauss_newton",), **settings: Any
    ) -> None:
        chosen = [methods] if isinstance(methods, str | OptimizationStrategy) else list(methods)
        if not chosen:
            raise ConfigurationError("no optimisation method is given", expected=", ".join(STRATEGIES))
        names = [m if isinstance(m, OptimizationStrategy) else strategy_name(m) for m in chosen]
        common, own = _split(settings, [n for n in names if isinstance(n, str)])
        self.strategies = [self._prepare(name, common, own) for name in names]

    @staticmethod
    def _prepare(
        method: str | OptimizationStrategy, common: dict[str, Any], own: dict[str, dict[str, Any]]
    ) -> OptimizationStrategy:
        if isinstance(method, OptimizationStrategy):
            for key in ("on_progress", "stop"):
                if key in common:
                    setattr(method, key, common[key])
            return method
        known = settings_of(STRATEGIES[method])
        shared = {k: v for k, v in common.items() if k in known}
        return create_strategy(method, **{**shared, **own.get(method, {})})

    def optimize(
        self,
        objective_func: Callable[[np.ndarray], float],
        initial_params: Sequence[float] | np.ndarray,
    ) -> OptimizeResult:
        """Run every method from `initial_params` and return the best result.

        Returns
        -------
        scipy.optimize.OptimizeResult
            That of the method with the lowest ``fun``, plus ``attempts``, a list of :class:`Attempt`,
            one per configured method in order. After a cancel or time limit the remaining methods are
            skipped, and the best result says so in ``success``, ``message`` and ``stop_reason``.

        Raises
        ------
        OptimizationError
            Every method failed; each reason is listed.

        Warns
        -----
        FitWarning
            A method failed and another one's answer is used.
        """
        attempts: list[Attempt] = []
        results: list[OptimizeResult] = []
        stopped: str | None = None
        for strategy in self.strategies:
            if stopped:
                attempts.append(Attempt(_called(strategy), "skipped", stopped))
                continue
            attempt, result = _try(strategy, objective_func, initial_params)
            attempts.append(attempt)
            if result is not None:
                results.append(result)
                stopped = result.message if result.message in ("cancelled", "time limit") else None
        return _best(results, attempts, stopped)


def _try(
    strategy: OptimizationStrategy, objective: Callable[[np.ndarray], float], start: Any
) -> tuple[Attempt, OptimizeResult | None]:
    began = time.perf_counter()
    try:
        result = strategy.optimize(objective, start)
    except Exception as error:
        told = str(error) if isinstance(error, OptimizationError | ConfigurationError) else repr(error)
        spent = time.perf_counter() - began
        return Attempt(_called(strategy), "failed", told, seconds=spent), None
    outcome = "converged" if result.success else "not converged"
    spent = time.perf_counter() - began
    attempt = Attempt(_called(strategy), outcome, str(result.message), float(result.fun), result.nfev, spent)
    return attempt, result


def _best(results: list[OptimizeResult], attempts: list[Attempt], stopped: str | None) -> OptimizeResult:
    failed = [a for a in attempts if a.outcome == "failed"]
    reasons = "\n".join(f"- {a.method}: {a.message}" for a in failed)
    if not results:
        raise OptimizationError(f"every optimisation method failed:\n{reasons}")
    best = min(results, key=lambda r: r.fun if np.isfinite(r.fun) else np.inf)
    if failed:
        warn(f"these methods failed, {best.method!r} is used instead:\n{reasons}", FitWarning)
    best.attempts = attempts
    if stopped:
        best.success, best.message, best.stop_reason = False, stopped, stopped
    return best


def _called(strategy: OptimizationStrategy) -> str:
    return strategy.name or type(strategy).__name__


def _split(settings: dict[str, Any], methods: list[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Settings for all methods, and those given under one method's name."""
    by_method = {squeeze(m): m for m in methods}
    accepted = {key for m in methods for key in settings_of(STRATEGIES[m])} | {"on_progress", "stop"}
    common: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        if key in accepted:
            common[key] = value
        elif squeeze(key) in by_method and isinstance(value, dict):
            own[by_method[squeeze(key)]] = value
        else:
            raise unknown_name(key, [*accepted, *methods], "optimiser setting")
    return common, own
