"""Iterative trust-region sequential quadratic programming, its subproblem solved by Gurobi."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.optimize.curvature import LocalModel, local_model, next_model
from heterodyne_nb.optimize.gurobi_qp import Norm, TrustRegionProgram, gurobi_readiness
from heterodyne_nb.optimize.run import IterativeStrategy, Run
from heterodyne_nb.optimize.strategy import Readiness, register


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
        Predicted decrease, relative to the objective, below which a step is not worth taking.
    xtol : float
        Step, in scaled coordinates, at which to stop.
    max_iterations : int, optional
        Default 100 for each parameter.
    """

    name: ClassVar[str] = "gurobi"
    needs_gradient: ClassVar[bool] = True
    uses_normal_equations: ClassVar[bool] = True

    norm: Norm = "box"
    curvature: Literal["secant", "diagonal"] = "secant"
    initial_radius: float = 0.1
    max_radius: float = 1.0
    min_radius: float = 1e-8
    expand: float = 2.0
    shrink: float = 0.5
    accept: float = 1e-4
    gtol: float = 1e-9
    ftol: float = 1e-11
    xtol: float = 1e-10

    def __post_init__(self) -> None:
        self.require_positive("initial_radius", "max_radius", "min_radius", "expand", "shrink", "accept")
        self.require_positive("gtol", "ftol", "xtol", "max_iterations")
        for key, choices in (("norm", ("box", "ball")), ("curvature", ("secant", "diagonal"))):
            if getattr(self, key) not in choices:
                raise ConfigurationError(
                    f"{getattr(self, key)!r} is not a choice",
                    where=f"gurobi.{key}",
                    expected=" or ".join(map(repr, choices)),
                )
        ordered = self.min_radius <= self.initial_radius <= self.max_radius
        if not (ordered and self.shrink < 1.0 <= self.expand):
            raise ConfigurationError(
                "the trust-region settings contradict each other",
                where="gurobi",
                expected="shrink < 1 <= expand and min_radius <= initial_radius <= max_radius",
            )

    @classmethod
    def ready(cls) -> Readiness:
        """Whether gurobipy is installed and licensed; starts the shared environment to find out."""
        return gurobi_readiness()

    def _minimise(self, run: Run) -> str:
        limit = self.max_iterations or 100 * run.best_z.size
        model = local_model(run, run.best_z, run.best_fun)
        radius = self.initial_radius
        with TrustRegionProgram(model.z.size, self.norm) as program:
            while run.nit < limit:
                if self._stationary(run, model):
                    return "gradient tolerance"
                lower, upper = run.view.lower - model.z, run.view.upper - model.z
                step = program.solve(model.gradient, model.hessian, lower, upper, radius)
                if step is None:
                    return "subproblem failed"
                reason = self._too_small(model, step, radius)
                if reason:
                    return reason
                fun = run.value(model.z + step)
                accepted = model.fun - fun > self.accept * model.decrease(step)
                if accepted:
                    model = next_model(run, model, run.view.settle(model.z + step), fun, self.curvature)
                    radius = min(self.expand * radius, self.max_radius)
                else:
                    if self._within_noise(model, step, radius):
                        return "cost tolerance"
                    radius = self.shrink * min(radius, self._length(step))
                run.iteration()
                if radius < self.min_radius:
                    return "trust radius"
        return "iteration limit"

    def _stationary(self, run: Run, model: LocalModel) -> bool:
        return run.projected_gradient(model.z, model.gradient) <= self.gtol * max(1.0, abs(model.fun))

    def _too_small(self, model: LocalModel, step: np.ndarray, radius: float) -> str | None:
        """Why an unrestricted step is not worth taking, or None when it is."""
        length = self._length(step)
        if length >= 0.99 * radius:
            return None
        if model.decrease(step) <= self.ftol * abs(model.fun):
            return "cost tolerance"
        if length <= self.xtol * max(1.0, float(np.max(np.abs(model.z)))):
            return "step tolerance"
        return None

    def _within_noise(self, model: LocalModel, step: np.ndarray, radius: float) -> bool:
        """Whether a rejected, unrestricted step promised no more than differences can measure."""
        promised = model.decrease(step)
        return self._length(step) < 0.99 * radius and promised <= 1e3 * self.ftol * abs(model.fun)

    def _length(self, step: np.ndarray) -> float:
        return float(np.max(np.abs(step)) if self.norm == "box" else np.linalg.norm(step))
