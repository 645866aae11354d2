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
from heterodyne_nb.optimize.strategies.gauss_newton import usable_curvature
from heterodyne_nb.optimize.strategies.gurobi_trust_region import (
    GurobiTrustRegionStrategy,
    TrustRegionProgram,
)
from heterodyne_nb.optimize.strategies.own import made_strategy
from heterodyne_nb.optimize.strategies.problem_view import GRADIENT_STEP, differences, view_problem
from heterodyne_nb.optimize.strategies.run import EndRun, Run, confirmed
from heterodyne_nb.optimize.strategies.strategy import (
    STRATEGIES,
    OptimizationStrategy,
    settings_of,
    strategy_name,
)

Methods = str | OptimizationStrategy | type[OptimizationStrategy]


@dataclass(frozen=True)
class Attempt:
    """What became of one method."""

    method: str
    outcome: str  #: {"converged", "not converged", "failed", "skipped"}
    message: str
    fun: float = float("nan")  #: Best objective found; NaN when the method failed or was skipped.
    nfev: int = 0
    seconds: float = 0.0


class ClassicalOptimizer:
    """Minimise by one or several methods from the same start and keep the lowest value.

    Parameters
    ----------
    methods : iterable of str or OptimizationStrategy
        Registered names (any case and punctuation), strategies already made, or their classes.
    **settings
        Constructor settings. Each goes to every named method that knows it; one that no method knows
        is an error. A dict under a method's own name holds settings for that method alone, e.g.
        ``nelder_mead={"xtol": 1e-6}``. ``on_progress`` and ``stop`` also reach ready-made strategies.

    Raises
    ------
    ConfigurationError
        No method, an unknown method or setting (the nearest is offered), or a wrong value.
    """

    def __init__(self, methods: Methods | Iterable[Methods] = ("gauss_newton",), **settings: Any) -> None:
        chosen = [methods] if isinstance(methods, str | OptimizationStrategy | type) else list(methods)
        if not chosen:
            raise ConfigurationError("no optimisation method is given", expected=", ".join(STRATEGIES))
        names = [strategy_name(m) if isinstance(m, str) else made_strategy(m) for m in chosen]
        common, own = _split(settings, [n for n in names if isinstance(n, str)])
        self.strategies = [self._prepare(name, common, own) for name in names]
        #: Of :meth:`_run_gurobi_optimization`; None for 100 for each parameter.
        self.max_iterations: int | None = common.get("max_iterations")

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
        return made_strategy(method, {**shared, **own.get(method, {})})

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

    def _run_gurobi_optimization(
        self, objective_func: Callable[[np.ndarray], float], initial_parameters: Sequence[float] | np.ndarray
    ) -> OptimizeResult:
        """Minimise by sequential quadratic programs with a diagonal Hessian, each solved by Gurobi.

        At each point gradient and diagonal Hessian are measured by differences, Gurobi minimises the quadratic model
        inside the box |d_i| ≤ Δ, and a step that lowers the objective is taken. Δ begins at 0.1, doubles after a step
        that was taken (to 1 at most) and halves after one that was not (to 1e-8 at least, where it ends).

        Two things differ from method ``"gurobi"`` (:class:`GurobiTrustRegionStrategy`), which is what fits use: that one
        has the full Gauss-Newton matrix of a fit, or learns the off-diagonal part of H from its steps, and judges a
        step by the decrease it promised. Without the off-diagonal part correlated parameters take many more
        iterations. Steps and Δ are in coordinates scaled to the size of the start values, or of the objective's own
        internal coordinates, because one Δ for parameters from 1e-3 to 1e5 would mean nothing.

        Parameters
        ----------
        objective_func : callable
            ``f(x) -> float``, or an :class:`~heterodyne_nb.engine.Objective`, whose bounds are kept.
        initial_parameters : sequence of float
            Start values.

        Returns
        -------
        scipy.optimize.OptimizeResult
            As of :meth:`OptimizationStrategy.optimize`.

        Raises
        ------
        OptimizationError
            Gurobi is missing or unlicensed, or the objective is not finite at the start.
        """
        strategy = GurobiTrustRegionStrategy(curvature="diagonal", max_iterations=self.max_iterations)
        strategy.require_ready()
        view = view_problem(objective_func, initial_parameters)
        run = Run(view, strategy, objective_func)
        f_start = run.start()
        try:
            return run.result(confirmed(run, self._diagonal_descent(run, strategy, f_start)))
        except EndRun as end:
            return run.result(end.reason)

    def _diagonal_descent(self, run: Run, strategy: GurobiTrustRegionStrategy, f_current: float) -> str:
        """The iteration of :meth:`_run_gurobi_optimization`; returns why it ended."""
        x_current, trust_radius = run.view.z0.copy(), strategy.initial_radius
        for _ in range(strategy.max_iterations or 100 * x_current.size):
            grad = self._compute_gradient(run.value, x_current)
            if run.gradient_vanishes(x_current, grad, strategy.gtol):
                return "gradient tolerance"
            hessian_diag = self._compute_hessian_diagonal(run.value, x_current)
            x_new = run.view.clip(x_current + self._solve_trust_region_qp(grad, hessian_diag, trust_radius))
            gained = f_current - run.value(x_new)
            if gained > 0.0:
                x_current, f_current = x_new, f_current - gained
                trust_radius = min(strategy.max_radius, strategy.expand * trust_radius)
            elif trust_radius <= strategy.min_radius:
                return "step tolerance"
            else:
                trust_radius = max(strategy.min_radius, strategy.shrink * trust_radius)
            run.iteration()
            if 0.0 < gained <= run.negligible(1e-12) * abs(f_current):
                return "cost tolerance"
        return "iteration limit"

    def _compute_gradient(self, objective_func: Callable[[np.ndarray], float], x: np.ndarray) -> np.ndarray:
        """Gradient (n,) at x by central differences."""
        x = np.asarray(x, float)
        open_end = np.full(x.size, np.inf)
        return differences(objective_func, x, objective_func(x), -open_end, open_end, GRADIENT_STEP)[0]

    def _compute_hessian_diagonal(
        self, objective_func: Callable[[np.ndarray], float], x: np.ndarray
    ) -> np.ndarray:
        """Diagonal of the Hessian (n,) at x by central differences, NaN where it cannot be measured."""
        x = np.asarray(x, float)
        open_end = np.full(x.size, np.inf)
        return differences(objective_func, x, objective_func(x), -open_end, open_end)[1]

    def _solve_trust_region_qp(
        self, grad: np.ndarray, hessian_diag: np.ndarray, trust_radius: float
    ) -> np.ndarray:
        """The step d (n,) that minimises gᵀd + ½ Σ h_i d_i² with |d_i| ≤ Δ, by Gurobi; negative h count by their size.

        Raises
        ------
        OptimizationError
            Gurobi cannot run, or finds no descent.
        """
        grad, curvature = np.asarray(grad, float), usable_curvature(np.asarray(hessian_diag, float))
        room = np.full(grad.size, trust_radius)
        with TrustRegionProgram(grad.size) as program:
            step = program.solve(grad, np.diag(curvature), -room, room, trust_radius)
        if step is None:
            raise OptimizationError("Gurobi finds no descent in the quadratic model", where="gurobi")
        return step


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
