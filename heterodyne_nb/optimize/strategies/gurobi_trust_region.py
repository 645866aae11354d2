"""Iterative trust-region sequential quadratic programming, its subproblem solved by Gurobi."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from heterodyne_nb.optimize.strategies.curvature import LocalModel, local_model, next_model
from heterodyne_nb.optimize.strategies.gurobi_qp import Norm, TrustRegionProgram, gurobi_readiness
from heterodyne_nb.optimize.strategies.run import IterativeStrategy, Run
from heterodyne_nb.optimize.strategies.strategy import Readiness, register
from heterodyne_nb.options import GurobiOptions

_DEFAULTS = GurobiOptions()


@register
@dataclass(kw_only=True, eq=False)
class GurobiTrustRegionStrategy(IterativeStrategy):
    """Trust-region SQP with Gurobi.

    At each iterate the step minimises gᵀd + ½ dᵀH d inside the trust region |d| ≤ Δ and the bounds. H
    is the full Gauss-Newton matrix when the objective offers it; for a plain callable g and the
    diagonal of H are central differences, and the rest of H is learnt from the steps taken. A step
    that lowers the objective is accepted and Δ grows; otherwise Δ shrinks and the step is tried anew.
    Gurobi is never replaced by another solver: where it cannot run, that is an error.

    Parameters
    ----------
    norm : {"box", "ball"}
        |d_i| ≤ Δ for every scaled coordinate, or ‖d‖₂ ≤ Δ.
    curvature : {"secant", "diagonal"}
        For a plain callable: learn the off-diagonal part of H by BFGS updates, or leave it zero.
    initial_radius, max_radius, min_radius : float
        Δ at the start, its largest, and the smallest at which the search gives up; scaled coordinates.
    expand, shrink : float
        Factors of Δ after an accepted and after a rejected step.
    accept : float
        Least ratio of actual to predicted decrease that is accepted.
    gtol : float
        Largest projected gradient at the end, relative to the objective (absolute below 1).
    ftol : float
        Decrease in one iteration, relative to the objective, below which it is not worth going on.
    xtol : float
        Step, in scaled coordinates, at which to stop.
    max_iterations : int, optional
        Default 100 for each parameter, 300 where the objective does not tell its noise.
    """

    name: ClassVar[str] = "gurobi"
    needs_gradient: ClassVar[bool] = True
    uses_normal_equations: ClassVar[bool] = True

    norm: Norm = _DEFAULTS.norm
    curvature: Literal["secant", "diagonal"] = _DEFAULTS.curvature
    initial_radius: float = _DEFAULTS.initial_radius
    max_radius: float = _DEFAULTS.max_radius
    min_radius: float = _DEFAULTS.min_radius
    expand: float = _DEFAULTS.expand
    shrink: float = _DEFAULTS.shrink
    accept: float = _DEFAULTS.accept
    gtol: float = _DEFAULTS.gtol
    ftol: float = _DEFAULTS.ftol
    xtol: float = _DEFAULTS.xtol

    @classmethod
    def ready(cls) -> Readiness:
        """Whether gurobipy is installed and licensed; starts the shared environment to find out."""
        return gurobi_readiness()

    def _minimise(self, run: Run) -> str:
        limit = self.max_iterations or (100 if run.tells_noise else 300) * run.best_z.size
        model = local_model(run, run.best_z, run.best_fun)
        radius = self.initial_radius
        with TrustRegionProgram(model.z.size, self.norm) as program:
            while run.nit < limit:
                if run.gradient_vanishes(model.z, model.gradient, self.gtol):
                    return "gradient tolerance"
                lower, upper = run.view.lower - model.z, run.view.upper - model.z
                step = program.solve(model.gradient, model.hessian, lower, upper, radius)
                if step is None:
                    return "subproblem failed"
                reason = self._too_small(run, model, step, radius)
                if reason is None:
                    model, radius, reason = self._try(run, model, step, radius)
                    run.iteration()
                if reason is not None:
                    return reason
        return "iteration limit"

    def _try(
        self, run: Run, model: LocalModel, step: np.ndarray, radius: float
    ) -> tuple[LocalModel, float, str | None]:
        """Take the step or shrink the trust region; the third entry says why to end, if so."""
        fun, promised = run.value(model.z + step), model.decrease(step)
        gained, least = model.fun - fun, run.negligible(self.ftol) * abs(model.fun)
        if gained > self.accept * promised:
            done = 0.25 * promised < gained <= least and radius >= 1e-3 * self.max_radius
            following = next_model(run, model, run.view.settle(model.z + step), fun, self.curvature)
            return following, min(self.expand * radius, self.max_radius), "cost tolerance" if done else None
        if self._free(step, radius) and promised <= 10.0 * least:  # within what differences can measure
            return model, radius, "cost tolerance"
        smaller = self.shrink * min(radius, self._length(step))
        return model, smaller, "trust radius" if smaller < self.min_radius else None

    def _too_small(self, run: Run, model: LocalModel, step: np.ndarray, radius: float) -> str | None:
        """Why a step that the trust region did not cut is not worth taking, or None when it is."""
        if not self._free(step, radius):
            return None
        if model.decrease(step) <= 1e-2 * run.negligible(self.ftol) * abs(model.fun):
            return "cost tolerance"
        if run.short(step, model.z, self.xtol):
            return "step tolerance"
        return None

    def _free(self, step: np.ndarray, radius: float) -> bool:
        return self._length(step) < 0.99 * radius

    def _length(self, step: np.ndarray) -> float:
        return float(np.max(np.abs(step)) if self.norm == "box" else np.linalg.norm(step))
