"""Run robust methods one after the other from the nominal answer; keep every answer, tell every failure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from scipy.optimize import OptimizeResult

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine.executors import ordered, team
from heterodyne_nb.errors import ConfigurationError, FitWarning, HeterodyneError, OptimizationError, warn
from heterodyne_nb.names import unknown_name
from heterodyne_nb.optimize.strategies.strategy import settings_of
from heterodyne_nb.options import ROBUST_METHODS
from heterodyne_nb.progress import ignore_progress
from heterodyne_nb.robust.ellipsoidal import EllipsoidalRobust
from heterodyne_nb.robust.scenario import ScenarioRobust
from heterodyne_nb.robust.sequential import RobustStrategy
from heterodyne_nb.robust.wasserstein import WassersteinDRO

#: Robust methods by name.
ROBUST_STRATEGIES = ROBUST_METHODS
ROBUST_STRATEGIES.update({s.name: s for s in (WassersteinDRO, ScenarioRobust, EllipsoidalRobust)})


def robust_name(name: str) -> str:
    """The method that `name` spells.

    Raises ConfigurationError: No such method; the nearest is offered.
    """
    return ROBUST_STRATEGIES.find(name)


class RobustHeterodyneOptimizer:
    """Minimise the worst case by one or several methods, from the answer of a nominal fit.

    Parameters
    ----------
    methods : iterable of str
        Of ``wasserstein``, ``scenario``, ``ellipsoidal``.
    **settings
        Constructor settings. Each goes to every method that knows it; a dict under a method's own name holds
        settings for that method alone, e.g. ``wasserstein={"radius": 0.01}``.

    Attributes
    ----------
    strategies : dict of str to RobustStrategy
    failures : dict of str to str
        After :meth:`optimize`: methods that gave no answer, and why.

    Raises
    ------
    ConfigurationError
        No method, or an unknown method, setting or value.
    """

    def __init__(
        self, methods: Iterable[str] = ("wasserstein", "scenario", "ellipsoidal"), **settings: Any
    ) -> None:
        names = [robust_name(m) for m in ([methods] if isinstance(methods, str) else methods)]
        if not names:
            raise ConfigurationError("no robust method is given", expected=", ".join(ROBUST_STRATEGIES))
        _check(settings, names)
        self.strategies = {name: _made(name, settings) for name in names}
        self.failures: dict[str, str] = {}

    def optimize(
        self,
        objective_func: Any,
        initial_params: FloatArray,
        executor: Any = None,
        workers: int | None = None,
    ) -> dict[str, OptimizeResult]:
        """Run every method from the nominal answer.

        Parameters
        ----------
        objective_func : Objective
        initial_params : (p,)
            The nominal answer, published.
        executor, workers
            Who runs the methods side by side; see :func:`heterodyne_nb.fit_batch`.

        Returns
        -------
        dict of str to OptimizeResult
            By method, in the order they ran; each with ``robust``, its certificate (see
            :meth:`RobustStrategy.optimize`).

        Raises
        ------
        OptimizationError
            Every method failed.

        Warns
        -----
        FitWarning
            A method failed; the others' answers stand.
        """
        self.failures = {}
        results: dict[str, OptimizeResult] = {}
        with team(executor, workers) as who:
            strategies = {
                name: replace(s, on_progress=ignore_progress, stop=None) if who.apart else s
                for name, s in self.strategies.items()
            }
            work = partial(_one, objective_func, initial_params)
            for name, (answer, failure) in zip(
                strategies, ordered(who, work, strategies.values()), strict=True
            ):
                if answer is None:
                    self.failures[name] = failure
                else:
                    results[name] = answer
        told = "".join(f"\n- {name}: {why}" for name, why in self.failures.items())
        if not results:
            raise OptimizationError(f"every robust method failed:{told}")
        if told:
            warn(f"these robust methods failed:{told}", FitWarning)
        return results


def _one(objective: Any, start: FloatArray, strategy: RobustStrategy) -> tuple[OptimizeResult | None, str]:
    """The answer of one method, or why there is none."""
    try:
        return strategy.optimize(objective, start), ""
    except HeterodyneError as error:
        return None, str(error)
    except Exception as error:  # of CVXPY or a solver
        return None, f"{type(error).__name__}: {error}"


def _made(name: str, settings: Mapping[str, Any]) -> RobustStrategy:
    cls: type[RobustStrategy] = ROBUST_STRATEGIES[name]
    known = settings_of(cls)
    return cls(**{**{k: v for k, v in settings.items() if k in known}, **settings.get(name, {})})


def _check(settings: Mapping[str, Any], names: list[str]) -> None:
    common = {key for name in names for key in settings_of(ROBUST_STRATEGIES[name])}
    for key, value in settings.items():
        if key in ROBUST_STRATEGIES and isinstance(value, Mapping):
            for inner in value:
                if inner not in settings_of(ROBUST_STRATEGIES[key]):
                    raise unknown_name(inner, settings_of(ROBUST_STRATEGIES[key]), f"setting of {key!r}:")
        elif key not in common:
            raise unknown_name(key, [*common, *names], "setting of the robust optimiser:")
