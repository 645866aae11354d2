"""Sequential convex programming: linearise, solve a cone program in a trust region, accept on the true worst case."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import OptimizeResult

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.errors import ConfigurationError, FitWarning, OptimizationError, warn
from heterodyne_nb.optimize.strategies.problem_view import view_problem
from heterodyne_nb.optimize.strategies.run import EndRun, IterativeStrategy, Run
from heterodyne_nb.optimize.strategies.strategy import Readiness
from heterodyne_nb.options import ROBUST_METHOD_OPTIONS, Options, RobustMethodOptions
from heterodyne_nb.robust.solvers import Cap, ConeProgram, SolverChain, solver_readiness, step_sizes

Box = tuple[FloatArray, FloatArray]
_DEFAULTS = RobustMethodOptions()
_FIRST_RADIUS, _LARGEST_RADIUS, _SMALLEST_RADIUS = 0.05, 1.0, 1e-7
#: A promise below this share of the reduced χ² moves the answer by less than a twentieth of its error; enough, too,
#: are this many steps in a row that gain ten times as little.
_QUIET_GAIN, _QUIET_STEPS = 1e-3, 5
#: Where no solver answers, the trust region shrinks down to this.
_LEAST_TRIED = 1e-4
#: For the certificate: the step is held this close to 0, in errors of each coordinate (a slope of the worst case that
#: only the cap holds back shows as a gap in proportion); and the box around the answer.
_PIN, _NEARBY = 1e-5, 1e-3


@dataclass(frozen=True)
class WorstCase:
    """The inner maximum at one point, found without a convex-programming library.

    Attributes
    ----------
    value : float
        Worst-case χ², in the units of the nominal one.
    nominal : float
        χ² of the data as they are.
    details : dict
        The worst perturbation: what it is, and in words.
    """

    value: float
    nominal: float
    details: dict[str, Any] = field(default_factory=dict)


class RobustProblem(ABC):
    """A worst-case objective around an :class:`~heterodyne_nb.engine.Objective`: callable, and linearised on demand.

    Parameters
    ----------
    objective : Objective
        χ² or a robust loss, contrast and offset eliminated.
    """

    def __init__(self, objective: Any) -> None:
        self.objective = objective
        self.parameter_names = objective.parameter_names
        self.cap: Cap | None = None

    def __call__(self, theta: FloatArray) -> float:
        """Worst-case χ² at a published vector, more beyond the cap; infinite where the curves are unphysical."""
        theta = np.asarray(theta, float)
        if not self.objective.physical(theta):
            return float("inf")
        found = self.worst_case(theta)
        if self.cap is None:
            return found.value
        return found.value + self.cap.weight * max(found.nominal - self.cap.limit, 0.0)

    def capped(self, nominal: FloatArray, allowance: float | None) -> None:
        """Let the nominal χ² rise by at most ``allowance`` above that of the nominal answer.

        The cap is kept by an exact penalty: for a convex worst case the gain by one more unit of χ² is at most all
        there is to gain, the worst less the nominal value, over the allowance.
        """
        if allowance is None or not np.isfinite(allowance):
            return
        found = self.worst_case(nominal)
        weight = 1.0 + 2.0 * (found.value - found.nominal) / max(allowance, 1e-12)
        self.cap = Cap(found.nominal + allowance, allowance, weight)

    def to_internal(self, theta: FloatArray) -> FloatArray:
        """Internal coordinates of a published vector."""
        return np.asarray(self.objective.to_internal(theta))

    def from_internal(self, z: FloatArray) -> FloatArray:
        """Published vector of internal coordinates, inside all bounds."""
        return np.asarray(self.objective.from_internal(z))

    def internal_bounds(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Box of the internal coordinates, at a published vector."""
        lower, upper = self.objective.internal_bounds(theta)
        return lower, upper

    def reduced(self, chi2: float) -> float:
        """χ² per degree of freedom."""
        return float(self.objective.reduced(chi2))

    @abstractmethod
    def worst_case(self, theta: FloatArray) -> WorstCase:
        """The inner maximum at a published vector, in closed form."""

    @abstractmethod
    def linearised(self, theta: FloatArray) -> Any:
        """The numbers of the cone program around a published vector."""

    @abstractmethod
    def program(self, chain: SolverChain) -> ConeProgram:
        """The cone program, for any point."""

    def corrected(self, model: Any, step: FloatArray, theta: FloatArray) -> Any:
        """The numbers of the program with constants that fit the truth after the step; None where there are none.

        Along a kink of the worst case, where several perturbations tie, a linearisation is wrong to second order
        and the step cut short without end (the Maratos effect); this second-order correction follows the kink.
        """
        return None

    def verified(self, theta: FloatArray) -> WorstCase:
        """The inner maximum for the certificate; here the same closed form."""
        return self.worst_case(theta)


@dataclass(kw_only=True, eq=False)
class RobustStrategy(IterativeStrategy):
    """What the robust methods share: the iteration, its settings, and the certificate at its end.

    Parameters
    ----------
    radius : float
        Size of the set the answer guards against; 0 is the plain fit.
    allowance : float, optional
        Most that the nominal χ² may rise above that of the nominal answer. Default: no limit.
    solver : str
        Of the cone programs: CLARABEL, SCS, GUROBI, or another that CVXPY knows; see ``solvers.SOLVERS``.
    tolerance : float
        Relative decrease of the worst case, promised by the cone program, at which it has converged.
    max_iterations : int, optional
        Default 100.
    """

    semidefinite: ClassVar[bool] = False
    uses_normal_equations: ClassVar[bool] = True

    radius: float = 1.0
    allowance: float | None = None
    solver: str = _DEFAULTS.solver
    tolerance: float = _DEFAULTS.tolerance

    def __post_init__(self) -> None:
        own = ROBUST_METHOD_OPTIONS.get(self.name, Options)
        for options in (RobustMethodOptions, own):
            known = [name for name in options.model_fields if hasattr(self, name)]
            options.read({name: getattr(self, name) for name in known}, where=self.name)
        if isinstance(self.radius, str):  # a rule: it takes a fit to know what it gives
            raise ConfigurationError(
                f"{self.radius!r} is not a number",
                where=f"{self.name}.radius",
                expected="a number, 0 or more",
            )

    @classmethod
    def ready(cls) -> Readiness:
        """Whether CVXPY and its default solver are there."""
        return solver_readiness("CLARABEL")

    @abstractmethod
    def problem(self, objective: Any, nominal: FloatArray) -> RobustProblem:
        """The worst-case objective around the nominal answer (p,)."""

    def optimize(
        self, objective_func: Callable[[FloatArray], float], initial_params: Sequence[float] | FloatArray
    ) -> OptimizeResult:
        """Minimise the worst case, starting from the nominal answer.

        Parameters
        ----------
        objective_func : Objective
            Of the nominal fit: it must offer internal coordinates and normal equations.
        initial_params : (p,)
            The nominal answer, published; with radius 0 it is the result.

        Returns
        -------
        scipy.optimize.OptimizeResult
            As every strategy's, ``fun`` being the worst-case χ², and ``robust`` (dict), the certificate.
        """
        return next(self.sweep(objective_func, initial_params, [self.radius]))

    def sweep(
        self, objective_func: Any, initial_params: Sequence[float] | FloatArray, radii: Iterable[float]
    ) -> Iterator[OptimizeResult]:
        """Minimise for one radius after the other, each from the last one's answer, with one program for all.

        Parameters
        ----------
        objective_func, initial_params
            As for :meth:`optimize`.
        radii : iterable of float
            In rising order, for the answers to follow each other.

        Yields
        ------
        scipy.optimize.OptimizeResult
            As :meth:`optimize` returns.
        """
        if not hasattr(objective_func, "normal_equations"):
            raise OptimizationError(
                "robust methods need an objective with normal equations",
                where=self.name,
                hint="make it with heterodyne_nb.Objective, or call heterodyne_nb.fit_robust",
            )
        chain = SolverChain(self.solver, semidefinite=self.semidefinite)
        nominal = np.array(initial_params, float)
        start, program = nominal, None
        for radius in radii:
            strategy = replace(self, radius=radius)
            problem = strategy.problem(objective_func, nominal)
            problem.capped(nominal, self.allowance)
            program = program or problem.program(chain)
            result = strategy._from(problem, program, chain, nominal, start)
            start = result.x
            yield result

    def _from(
        self,
        problem: RobustProblem,
        program: ConeProgram,
        chain: SolverChain,
        nominal: FloatArray,
        start: FloatArray,
    ) -> OptimizeResult:
        """One run from ``start``, or from the nominal answer where that is no worse."""
        began = time.perf_counter()
        before = problem.worst_case(nominal)
        if problem(start) > problem(nominal):
            start = nominal
        view = view_problem(problem, start)
        run = Run(view, self, problem)
        run.start()
        self._parts = problem, program
        if self.radius == 0.0 or not view.z0.size:
            why = "radius 0: the plain fit" if view.z0.size else "every parameter is fixed"
            result = run.result("nothing to fit", why)
            result.x = nominal
        else:
            result = run.result(self._settled(run))
        result.robust = certificate(problem, program, chain, result, before) | {
            "method": self.name,
            "radius": float(self.radius),
            "timings": {
                "total": time.perf_counter() - began,
                "evaluations": run.nfev,
                "iterations": run.nit,
            },
        }
        return result

    def _minimise(self, run: Run) -> str:
        problem, program = self._parts
        limit, radius, quiet, grow = self.max_iterations or 100, _FIRST_RADIUS, 0, 3.0
        model = problem.linearised(run.view.to_x(run.best_z))
        z, fun = run.best_z, run.best_fun
        while run.nit < limit:
            run.check_stop()
            box = trust_box(run, z, radius)
            try:
                step, value = program.solve(model, *box, problem.cap)
            except OptimizationError as error:
                if radius <= _LEAST_TRIED:
                    warn(f"{self.name} ends at its best point so far; {error}", FitWarning)
                    raise EndRun("subproblem failed") from None
                radius *= 0.1
                continue
            promised = fun - value
            if promised <= max(self.tolerance * abs(fun), _QUIET_GAIN * run.noise):
                return "cost tolerance"
            step, trial = self._tried(run, z, fun, step, promised, model, box)
            length = float(np.max(np.abs(step), initial=0.0))
            if fun - trial > 0.05 * promised:
                quiet = quiet + 1 if fun - trial <= 10 * _QUIET_GAIN * run.noise else 0
                if fun - trial > 0.7 * promised and length > 0.9 * radius:
                    radius = min(grow * radius, _LARGEST_RADIUS)
                    grow = 3.0
                z, fun = run.view.settle(z + step), trial
                model = problem.linearised(run.view.to_x(z))
            else:
                radius, grow = (
                    0.25 * min(radius, length),
                    1.5,
                )  # slowly up again: the same step would fail again
            run.iteration()
            if quiet >= _QUIET_STEPS:
                return "cost tolerance"
            if radius < _SMALLEST_RADIUS:
                return "trust radius"
        return "iteration limit"

    def _tried(
        self, run: Run, z: FloatArray, fun: float, step: FloatArray, promised: float, model: Any, box: Box
    ) -> tuple[FloatArray, float]:
        """The true worst case after the step, or after one corrected for what the linearisation missed there."""
        problem, program = self._parts
        trial = run.value(z + step)
        if fun - trial > 0.7 * promised:
            return step, trial
        corrected = problem.corrected(model, step, run.view.to_x(run.view.clip(z + step)))
        if corrected is None:
            return step, trial
        try:
            again, _ = program.solve(corrected, *box, problem.cap)
        except OptimizationError:  # the plain step stands
            return step, trial
        other = run.value(z + again)
        return (again, other) if other < trial else (step, trial)


def trust_box(run: Run, z: FloatArray, radius: float) -> tuple[FloatArray, FloatArray]:
    """The part of the box around z that the trust region leaves, as bounds of a step."""
    return np.maximum(run.view.lower - z, -radius), np.minimum(run.view.upper - z, radius)


def certificate(
    problem: RobustProblem,
    program: ConeProgram,
    chain: SolverChain,
    result: OptimizeResult,
    before: WorstCase,
) -> dict[str, Any]:
    """Nominal and worst-case values, and the program's value against the inner maximum found without it.

    Values are per degree of freedom. The program is solved twice at the answer: with the step held at 0, where its
    value is the inner maximum by duality (``program_value``, ``relative_gap``), and in a small box, for the decrease
    it still promises there (``still_promised``, relative; the iteration ended because the truth does not keep it, or
    because it is too small to matter).
    """
    theta = result.x
    after = problem.verified(theta)
    value = promised = after.value
    if problem.objective.coordinates.size:
        z = problem.to_internal(theta)
        lower, upper = problem.internal_bounds(theta)
        model = problem.linearised(theta)
        near = _PIN * np.minimum(1.0, step_sizes(model.plain.hessian, np.ones_like(z)))
        value = _value(program, model, -near, near, None)  # the inner maximum knows no cap
        box = np.clip(lower - z, -_NEARBY, 0.0), np.clip(upper - z, 0.0, _NEARBY)
        promised = _value(program, model, *box, problem.cap)
    return {
        "nominal": problem.reduced(after.nominal),
        "worst_case": problem.reduced(after.value),
        "nominal_before": problem.reduced(before.nominal),
        "worst_case_before": problem.reduced(before.value),
        "program_value": problem.reduced(value),
        "inner_maximum": problem.reduced(after.value),
        "relative_gap": abs(value - after.value) / max(abs(after.value), np.finfo(float).tiny),
        "still_promised": max(after.value - promised, 0.0) / max(abs(after.value), np.finfo(float).tiny),
        "solver": chain.used,
        "fallbacks": list(chain.fallbacks),
        **after.details,
    }


def _value(program: ConeProgram, model: Any, lower: FloatArray, upper: FloatArray, cap: Cap | None) -> float:
    """Value of the program; NaN, and so no certificate, where no solver answers."""
    try:
        return program.solve(model, lower, upper, cap)[1]
    except OptimizationError:
        return float("nan")
