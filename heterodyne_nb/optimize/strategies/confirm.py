"""Whether the answer of a run is a minimum: slopes and curvature there, whatever made the run stop.

Small steps or a small relative decrease also come from a narrow valley, a plateau, or an objective whose rounding hides
its slope (f + 1e8). So the answer counts as converged only when the Newton step from it is a small part of every
parameter, the Hessian is positive definite beyond its own error, and the rounding of the objective leaves every
parameter determined. None of these depends on the units of the objective or of the parameters.

A function has minima of its own making besides: a plateau that rounding curves, a period missed. Methods without a model of
the curvature end there more often, so a trust region goes the same way again (``looks_again``), and the lower end is given.

An objective that tells its noise (``reduced``) is judged by that noise instead: there a direction that the data hardly
determine is the normal case, and it belongs in the error bars.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heterodyne_nb.optimize.strategies.run import ENDINGS, FINAL, EndRun, Run

_EPS = float(np.finfo(float).eps)
_ROUNDING = 4.0 * _EPS  # of one evaluation, relative
_NEWTON = 1e-5  # largest Newton step, relative to the parameter
_RESOLVED = 1e-4  # largest part of a parameter that rounding may hide
_NIL = 1e-8  # of the start: no smaller parameter has digits
_POLISH = 10


@dataclass(frozen=True)
class Curvature:
    """Second-order picture of the objective at a point, over the coordinates that bounds leave free."""

    free: np.ndarray  #: (n,)
    gradient: np.ndarray  #: (k,)
    hessian: np.ndarray  #: (k, k)
    error: float  #: Of an entry of the Hessian scaled to a diagonal of ones.
    resolution: float  #: Change of the objective that rounding hides.


def confirmed(run: Run, reason: str) -> str:
    """Why the run ended, after looking whether its answer is a minimum; Newton steps that still help are taken.

    ``reason``: A key of :data:`~heterodyne_nb.optimize.strategies.run.ENDINGS`, as the strategy gave it.
    """
    if run.tells_noise or reason in FINAL or not run.best_z.size:
        return reason
    try:
        verdict = _polished(run)
        if verdict == "minimum" and run.looks_again and _lower_elsewhere(run):
            verdict, reason = _polished(run), "another method"
    except EndRun as end:
        return end.reason
    converged = ENDINGS[reason][0]
    if verdict == "minimum":
        return reason if converged else "rounding"
    return verdict if converged else reason


def _polished(run: Run) -> str:
    """The verdict on the best point after Newton steps that help."""
    for _ in range(_POLISH):
        verdict, step = _judge(run)
        before = run.best_fun
        if step is None or not (run.value(run.best_z + step) < before):
            break
    return verdict


def _lower_elsewhere(run: Run) -> bool:
    """Whether a trust region from the same start ends lower; its end is then the best point of the run."""
    from heterodyne_nb.optimize.strategies.trf import TRFStrategy  # it needs the run

    again = TRFStrategy(stop=run.stop).run_again(run.view)
    run.nfev, run.njev = run.nfev + again.nfev, run.njev + again.njev
    if not again.best_fun < run.best_fun - 1e-9 * abs(run.best_fun):
        return False
    run.best_z, run.best_fun = again.best_z, again.best_fun
    return True


def _judge(run: Run) -> tuple[str, np.ndarray | None]:
    """A verdict on the best point, and the Newton step from it where that can be trusted."""
    seen = curvature(run)
    if seen is None or not seen.free.any():
        return ("small steps" if seen is None else "minimum"), None
    diagonal = np.diag(seen.hessian)
    if not (np.isfinite(seen.hessian).all() and (diagonal > 0.0).all()):
        return "flat", None
    unit = 1.0 / np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(seen.hessian * np.outer(unit, unit))
    if values[0] <= 3.0 * len(values) * seen.error:
        return "flat", None
    root = unit[:, None] * vectors / np.sqrt(values)  # its square is the inverse Hessian
    spread = np.sqrt(np.sum(root**2, axis=1))
    newton = -root @ (root.T @ seen.gradient)
    z = run.best_z[seen.free]
    near_zero = np.clip(
        np.sqrt(abs(run.best_fun)) * spread, _NIL, 1e-3
    )  # what is a small change of a vanishing one
    size = np.maximum(np.abs(z), near_zero)
    hidden = np.sqrt(2.0 * seen.resolution) * spread
    step = np.zeros_like(run.best_z)
    step[seen.free] = newton
    if (hidden > _RESOLVED * size).any():
        return "flat", step
    return ("small steps" if (np.abs(newton) > _NEWTON * size).any() else "minimum"), step


def curvature(run: Run) -> Curvature | None:
    """From the normal equations, or by differences; None where the derivatives are not finite."""
    z, fun = run.best_z.copy(), run.best_fun
    if run.view.offers_normal_equations:
        equations = run.normal_equations(z)
        if equations is None:
            return None
        free = _free(run, z, np.asarray(equations.gradient, float))
        hessian = np.asarray(equations.hessian, float)[np.ix_(free, free)]
        return Curvature(free, np.asarray(equations.gradient, float)[free], hessian, _EPS, 0.0)
    noise = _ROUNDING * abs(fun) + float(np.finfo(float).tiny)
    gradient, diagonal = run.differences(z, fun)
    with np.errstate(
        all="ignore"
    ):  # where rounding and curvature weigh the same, within a hundredth of the parameter
        best = np.sqrt(2.0 * np.sqrt(_EPS) * abs(fun) / np.abs(diagonal))
    size = np.where(z != 0.0, np.abs(z), 1.0)
    steps = np.clip(np.where(np.isfinite(best), best, 0.0), 1e-6 * size, 1e-2 * size)
    free = _free(run, z, gradient)
    free &= (z - steps >= run.view.lower) & (z + steps <= run.view.upper)
    gradient, hessian = _by_differences(run, z, fun, steps, np.flatnonzero(free))
    h = steps[free]
    with np.errstate(all="ignore"):
        error = float(np.max(noise / (h**2 * np.diag(hessian)), initial=0.0))
    return Curvature(free, gradient, hessian, error, noise)


def _free(run: Run, z: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Coordinates that no bound stops."""
    return (run.unblocked(z, gradient) == gradient) & (run.view.lower < run.view.upper)


def _by_differences(
    run: Run, z: np.ndarray, fun: float, steps: np.ndarray, free: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (k,) and Hessian (k, k) over the coordinates `free` by central differences."""

    def at(*moves: tuple[int, float]) -> float:
        moved = z.copy()
        for i, sign in moves:
            moved[i] += sign * steps[i]
        return run.evaluate(moved)

    gradient, hessian = np.zeros(len(free)), np.zeros((len(free), len(free)))
    for a, i in enumerate(free):
        up, down = at((i, 1.0)), at((i, -1.0))
        gradient[a] = (up - down) / (2.0 * steps[i])
        hessian[a, a] = (up - 2.0 * fun + down) / steps[i] ** 2
        for b, j in enumerate(free[:a]):
            corners = at((i, 1.0), (j, 1.0)) + at((i, -1.0), (j, -1.0))
            corners -= at((i, 1.0), (j, -1.0)) + at((i, -1.0), (j, 1.0))
            hessian[a, b] = hessian[b, a] = corners / (4.0 * steps[i] * steps[j])
    return gradient, hessian
