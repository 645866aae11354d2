"""Strategies of one's own, as they come: ``optimize`` gets a plain function and returns SciPy's OptimizeResult."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from heterodyne_nb.errors import ConfigurationError, HeterodyneError, OptimizationError
from heterodyne_nb.optimize.strategies.problem_view import view_problem
from heterodyne_nb.optimize.strategies.run import EndRun, IterativeStrategy, Run
from heterodyne_nb.optimize.strategies.strategy import OptimizationStrategy, create_strategy


class Watched:
    """The objective of a run for a strategy of one's own: counted, guarded, stopped when asked, its best point kept.

    Beyond a call it offers what the objective offers (bounds, normal equations, internal coordinates).
    """

    def __init__(self, objective: Callable[[np.ndarray], float], run: Run) -> None:
        self._objective, self._run = objective, run

    def __call__(self, x: Any) -> float:
        run, before = self._run, self._run.best_fun
        value = run.value(run.view.to_z(np.asarray(x, float)))
        if run.best_fun < before:
            run.iteration()
        return value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)


@dataclass(kw_only=True, eq=False)
class OwnStrategy(IterativeStrategy):
    """Adapter: any :class:`OptimizationStrategy` whose answer has ``x``, with the services every strategy has here.

    Start, bounds and fixed parameters are the objective's: points outside count as the nearest one inside. The answer
    is the best point evaluated, whether the strategy returned it or not.
    """

    inner: OptimizationStrategy

    def __post_init__(self) -> None:
        self.name = self.inner.name or type(self.inner).__name__  # type: ignore[misc]
        for setting in ("bounds", "scale"):
            if getattr(self, setting) is None:
                setattr(self, setting, getattr(self.inner, setting, None))

    def optimize(
        self, objective_func: Callable[[np.ndarray], float], initial_params: Sequence[float] | np.ndarray
    ) -> OptimizeResult:
        """Minimise; see :meth:`OptimizationStrategy.optimize`."""
        self.inner.require_ready()
        view = view_problem(objective_func, initial_params, bounds=self.bounds, scale=self.scale)
        run = Run(view, self, objective_func)
        run.start()
        if not view.z0.size:
            return run.result("nothing to fit")
        try:
            answer = self._answer(self.inner.optimize(Watched(objective_func, run), view.to_x(view.z0)))
            run.evaluate(view.to_z(answer.x))
        except EndRun as end:
            return run.result(end.reason)
        except HeterodyneError:
            raise
        except Exception as error:
            raise OptimizationError(repr(error), where=f"{type(self.inner).__name__}.optimize") from error
        reason = "own criterion" if answer.get("success", True) else "not converged"
        result = run.result(reason, str(answer.get("message") or "") or None)
        result.nit = int(answer.get("nit") or run.nit)
        return result

    def _minimise(self, run: Run) -> str:
        raise NotImplementedError

    def _answer(self, found: Any) -> OptimizeResult:
        try:
            x = np.asarray(found.x, float)
        except (AttributeError, TypeError, ValueError):
            x = np.empty(0)
        if not x.size or not np.isfinite(x).all():
            raise OptimizationError(
                f"it returned {type(found).__name__} instead of a result with finite x",
                where=f"{type(self.inner).__name__}.optimize",
                expected="scipy.optimize.OptimizeResult with x (and success, message, nit)",
            )
        return OptimizeResult({**dict(found), "x": x} if isinstance(found, dict) else {"x": x})


def made_strategy(
    method: str | OptimizationStrategy | type[OptimizationStrategy], settings: Mapping[str, Any] | None = None
) -> OptimizationStrategy:
    """The strategy that a name, a class or a ready-made strategy stands for, with every service of the package's own.

    ``settings``: Constructor settings, for a name or a class.

    Raises ConfigurationError: An unknown name or setting, settings for a ready-made strategy, or something else than
    a strategy.
    """
    if isinstance(method, str) or (isinstance(method, type) and issubclass(method, OptimizationStrategy)):
        strategy = create_strategy(method, **(settings or {}))
    elif isinstance(method, OptimizationStrategy):
        if settings:
            raise ConfigurationError(
                f"settings {', '.join(settings)} are given for a strategy that is already made",
                where="options",
                hint="give them where it is made",
            )
        strategy = method
    else:
        raise ConfigurationError(f"{method!r} is no method", expected="a name or an OptimizationStrategy")
    return strategy if isinstance(strategy, IterativeStrategy) else OwnStrategy(inner=strategy)
