"""SciPy's Nelder-Mead and L-BFGS-B behind the common call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import Bounds, OptimizeResult, minimize

from heterodyne_nb.optimize.strategies.gauss_newton import gain_left
from heterodyne_nb.optimize.strategies.problem_view import ProblemView
from heterodyne_nb.optimize.strategies.run import EndRun, IterativeStrategy, Run
from heterodyne_nb.optimize.strategies.strategy import register
from heterodyne_nb.options import LBFGSBOptions, NelderMeadOptions

_FRESH_STARTS = 6
_SIMPLEX, _LBFGSB = NelderMeadOptions(), LBFGSBOptions()


@register
@dataclass(kw_only=True, eq=False)
class NelderMeadStrategy(IterativeStrategy):
    """Downhill simplex without derivatives (Nelder & Mead 1965; adaptive form of Gao & Han 2012).

    Parameters
    ----------
    xtol : float
        Largest distance of the simplex corners from the best one at the end, in scaled coordinates.
    ftol : float
        Largest difference of their values, relative to the best value.
    initial_step : float
        Edge of the first simplex in scaled coordinates.
    restarts : int
        Most fresh, smaller simplexes started from the answer while they still improve it; a simplex
        that has collapsed onto a plane is mended by this.
    adaptive : bool
        Coefficients that depend on the number of parameters.
    max_iterations : int, optional
        Default 1000 for each parameter.
    """

    name: ClassVar[str] = "nelder_mead"
    looks_again: ClassVar[bool] = True

    xtol: float = _SIMPLEX.xtol
    ftol: float = _SIMPLEX.ftol
    initial_step: float = _SIMPLEX.initial_step
    restarts: int = _SIMPLEX.restarts
    adaptive: bool = _SIMPLEX.adaptive

    def _minimise(self, run: Run) -> str:
        step = self.initial_step
        for _ in range(1 + self.restarts):
            before = run.best_fun
            if not self._descend(run, step):
                return "iteration limit"
            if before - run.best_fun <= 1e-8 * (
                max(1.0, abs(run.best_fun)) if run.tells_noise else abs(run.best_fun)
            ):
                break
            step *= 0.1
        return "simplex tolerance"

    def _descend(self, run: Run, step: float) -> bool:
        limit = (self.max_iterations or 1000 * run.best_z.size) - run.nit
        if limit <= 0:
            return False
        done = minimize(
            lambda z: run.value(folded(z, run.view.lower, run.view.upper)),
            run.best_z,
            method="Nelder-Mead",
            callback=lambda xk: run.iteration(),
            options={
                "initial_simplex": first_simplex(run.view, run.best_z, step),
                "xatol": self.xtol,
                "fatol": self.ftol * _unit(run),
                "adaptive": self.adaptive,
                "maxiter": limit + 1,  # SciPy counts its iterations from 1
                "maxfev": np.inf,
            },
        )
        return bool(done.success)


def _unit(run: Run) -> float:
    """What a change of the objective counts in: the best χ² (1 at least), of any other function its value at the start."""
    return max(1.0, abs(run.best_fun)) if run.tells_noise else abs(run.history[0][1])


def folded(z: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """`z` mirrored at the bounds until it lies inside: a clipped simplex would collapse in a corner."""
    low, high = np.isfinite(lower), np.isfinite(upper)
    closed = low & high
    width = np.where(closed, upper, 1.0) - np.where(closed, lower, 0.0)
    phase = np.mod(z - np.where(low, lower, 0.0), 2.0 * width)
    waved = np.where(low, lower, 0.0) + np.minimum(phase, 2.0 * width - phase)
    above = np.where(low, lower, 0.0) + np.abs(z - np.where(low, lower, 0.0))
    below = np.where(high, upper, 0.0) - np.abs(np.where(high, upper, 0.0) - z)
    inside = (z >= lower) & (z <= upper)
    return np.select([inside, closed, low], [z, waved, above], below)


def first_simplex(view: ProblemView, z: np.ndarray, step: float) -> np.ndarray:
    """Corners (n+1, n): `z` and one step along each axis, towards the side with more room."""
    up, down = view.upper - z, z - view.lower
    room = np.where(up >= np.minimum(down, step), np.minimum(up, step), -np.minimum(down, step))
    return np.vstack([z, z + np.diag(room)])


@register
@dataclass(kw_only=True, eq=False)
class LBFGSBStrategy(IterativeStrategy):
    """Limited-memory BFGS with bounds (Byrd, Lu, Nocedal & Zhu 1995).

    The gradient comes from the objective's normal equations, or from central differences.

    Parameters
    ----------
    ftol : float
        Relative change of the objective in one iteration at which to stop.
    gtol : float
        Largest projected gradient at the end, in scaled coordinates, relative to the objective
        (absolute below 1).
    memory : int
        Pairs of steps kept to model the curvature.
    max_iterations : int, optional
        Default 500 for each parameter.
    """

    name: ClassVar[str] = "lbfgsb"
    looks_again: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = True

    ftol: float = _LBFGSB.ftol
    gtol: float = _LBFGSB.gtol
    memory: int = _LBFGSB.memory

    def _minimise(self, run: Run) -> str:
        limit = self.max_iterations or 500 * run.best_z.size
        reason = "iteration limit"
        for _ in range(_FRESH_STARTS):  # a bad memory makes steps tiny, which looks like convergence
            before = run.best_fun
            reason = self._descend(run, limit - run.nit)
            settled = before - run.best_fun <= 1e-10 * abs(run.best_fun)
            if settled or reason in ("gradient tolerance", "iteration limit"):
                break
        return reason

    def _descend(self, run: Run, limit: int) -> str:
        if limit <= 0:
            return "iteration limit"
        latest: dict[str, np.ndarray] = {}
        unit = self._units(run)
        whole = (
            1.0 if run.tells_noise else (abs(run.best_fun) or 1.0)
        )  # its first step has the length of the gradient

        def value_and_gradient(w: np.ndarray) -> tuple[float, np.ndarray]:
            fun, latest["gradient"] = run.value_and_gradient(unit * w)
            return fun / whole, unit * latest["gradient"] / whole

        def close_iteration(intermediate_result: OptimizeResult) -> None:
            z = unit * intermediate_result.x
            run.iteration()
            run.end_if_adrift(z)
            if run.gradient_vanishes(z, latest["gradient"], self.gtol):
                raise EndRun("gradient tolerance")

        options = {
            "maxcor": self.memory,
            "ftol": run.negligible(self.ftol),
            "gtol": 0.0,
            "maxiter": limit,
            "maxfun": 10**9,
        }
        done = minimize(
            value_and_gradient,
            run.best_z / unit,
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(run.view.lower / unit, run.view.upper / unit),
            callback=close_iteration,
            options=options,
        )
        if done.status == 1:
            return "iteration limit"
        if run.gradient_vanishes(unit * done.x, whole * done.jac / unit, self.gtol):
            return "gradient tolerance"
        at_floor = done.status == 0 or gain_left(run) <= 1e-9 * abs(run.best_fun)
        return "cost tolerance" if at_floor else "line search failed"

    def _units(self, run: Run) -> np.ndarray:
        """Lengths that make the curvatures alike where the objective tells them, at most 1."""
        equations = run.normal_equations(run.best_z)
        if equations is None:
            return np.ones_like(run.best_z)
        value, curvature = abs(run.best_fun), np.diag(equations.hessian)
        return np.maximum(np.sqrt(value / np.maximum(curvature, value + 1e-300)), 1e-6)
