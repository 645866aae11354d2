"""The free-form referee: curves that may take any course beside the fitted ones, and where the two differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.stats import norm

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine import Objective
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.fitting.free_form import FreeForm, carried
from heterodyne_nb.fitting.same_fit import noiseless, objective_of, optimum, table_of
from heterodyne_nb.fitting.two_time_fit import FitRun, Solved, result_of
from heterodyne_nb.frames import FrameSet
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.models.splines import SplineModel
from heterodyne_nb.models.symmetries import canonical
from heterodyne_nb.result.fit_result import FitResult
from heterodyne_nb.result.trust import LEFT_OVER
from heterodyne_nb.text.html import bullets, heading, page
from heterodyne_nb.text.numbers import number
from heterodyne_nb.uncertainty.bands import NORMAL_95
from heterodyne_nb.uncertainty.change_points import ChangePoint, strongest_step
from heterodyne_nb.uncertainty.covariance import estimate_covariance

#: Errors beyond which a curve is said to fail.
SIGMA = 3.0


@dataclass(frozen=True)
class Departure:
    """Where the free form of a curve leaves the fitted one."""

    #: Largest difference in standard errors of the free form, less what looking at all ages makes likely.
    sigma: float
    #: t, fitted, free: Where it is (s), and the two curves there.
    t: float
    fitted: float
    free: float
    #: first, last: The ages (s) around it at which they differ by more than two errors.
    first: float
    last: float


@dataclass(frozen=True, eq=False, repr=False)
class Referee:
    """A fit and its free form; made by :meth:`heterodyne_nb.FitResult.referee`, drawn by ``hnb.plots.referee``."""

    #: result, free: The fit, and that with splines for curves.
    result: FitResult
    free: FitResult
    departures: dict[str, Departure]  #: By curve.
    #: The time at which a curve changes at once, with its strength; None where none does. After a split at it the
    #: parts may be asked again.
    change_points: tuple[ChangePoint, ...] | None
    #: Whether the free form lowers chi-square by more than noise lets its further numbers do; else no curve fails.
    better: bool = True

    @property
    def fails(self) -> tuple[str, ...]:
        """The curves whose published form fails, the worst first."""
        if not self.better:
            return ()
        worst = sorted(self.departures, key=lambda name: -self.departures[name].sigma)
        return tuple(name for name in worst if self.departures[name].sigma > SIGMA)

    @property
    def findings(self) -> tuple[str, ...]:
        """What was found, in sentences."""
        ds, told = self.result.dataset, []
        for name in self.fails:
            one, unit = self.departures[name], str(ds[name].attrs.get("units", "1"))
            shown = "" if unit == "1" else f" {unit}"
            told.append(
                f"{name}(t) fails from {number(one.first, 3)} to {number(one.last, 3)} s, most near t = {number(one.t, 3)} s: "
                f"{number(one.fitted, 3)}{shown} fitted, {number(one.free, 3)}{shown} by the free form ({number(one.sigma, 2)} "
                "sigma)."
            )
        if not told:
            same = (
                "has the same curves within their errors" if self.better else "describes the data no better"
            )
            told.append(f"The free form ({self.free.mode}) {same}.")
        for change in self.change_points or ():
            unit = str(ds[change.curve].attrs.get("units", "1"))
            told.append(
                f"{change.curve} changes at once at t = {number(change.t, 4)} s, from {number(change.before, 3)} to "
                f"{number(change.after, 3)}{'' if unit == '1' else f' {unit}'} ({number(change.sigma, 2)} sigma): fit the run "
                f"before and after it on its own (data.sel(t1=slice(None, {number(change.t, 4)}), …)), or use {self.free.mode}."
            )
        return tuple(told)

    def verdict(self) -> str:
        """One line."""
        if not self.fails and not self.change_points:
            return "The free form agrees with the fitted curves."
        return f"The fitted form fails for {', '.join(self.fails) or self.change_points[0].curve}."  # type: ignore[index]

    def __repr__(self) -> str:
        return "\n".join([self.verdict(), *(f"  - {text}" for text in self.findings)])

    def _repr_html_(self) -> str:
        return page(heading(self.verdict()) + bullets(self.findings))


def referee(result: FitResult, dataset: xr.Dataset | FrameSet) -> Referee:
    """See :meth:`heterodyne_nb.FitResult.referee`."""
    model = ModelFactory.create_model(result.mode)
    if isinstance(model, SplineModel):
        raise ConfigurationError(
            f"the curves of {result.mode!r} are free already", hint="ask a fit of power laws"
        )
    free = SplineModel(model)
    objective, theta = objective_of(dataset, result), optimum(result)
    options = FitRun.read({"mode": result.mode, "contrast": objective.contrast})
    table = carried(free, table_of(result), {})
    made = FreeForm(objective, free, table, options.strategy(), options)
    others = [np.array(list(one.values.values())) for one in result.solutions[1:]]
    own, best, _ = made.run([theta, *others])
    point = canonical(own.model(), best.x, own.problem.t, own.problem.table)
    solved = Solved(own, point, bool(best.success), str(best.message), made.path)
    found = result_of(solved, options, result.provenance)
    alike = made.seen(noiseless(objective, theta), theta, own)
    departures = {
        name: one
        for name in result.curve_names
        if name in found.curve_names and (one := _departure(result, found, name, alike[name]))
    }
    step, better = strongest_step(own, point), _better(objective, theta, own, point)
    return Referee(result, found, departures, None if step is None else (step,), better)


def _better(objective: Objective, theta: FloatArray, free: Objective, point: FloatArray) -> bool:
    """Whether splines gain more than noise lets them, chi-square counted as its scatter between frames asks."""
    plain = Objective(objective.problem, contrast=objective.contrast)  # without a robust loss
    lowest = free.equations(point, derivatives=False).chi2
    gain = plain.equations(theta, derivatives=False).chi2 - lowest
    unit = free.reduced(lowest) * estimate_covariance(free, point).inflation
    more = max(free.coordinates.size - objective.coordinates.size, 0)
    return bool(gain > unit * (more + LEFT_OVER))


def _departure(result: FitResult, free: FitResult, name: str, alike: FloatArray) -> Departure | None:
    """How far two curves differ; None where the free one has no band.

    ``alike`` (N,): The free form of data that the fitted curves describe exactly. What splines cannot follow is in both
    free forms, so their difference is of the data.
    """
    fitted, other = result.curve(name)["value"].values, free.curve(name)
    value, apart = other["value"].values, np.full(len(fitted), np.inf)
    for expected in (fitted, alike):
        lower, upper = other["lower"].values, other["upper"].values
        side = np.where(expected < value, value - lower, upper - value)
        error = (
            np.maximum(side, 0.5 * (upper - lower)) / NORMAL_95
        )  # limits of contrast shift bands to one side
        off = np.divide(np.abs(value - expected), error, out=np.zeros_like(value), where=error > 0)
        apart = np.minimum(apart, off)
    if not np.isfinite(apart).all():
        return None
    at, t = int(np.argmax(apart)), result.dataset["t"].values
    tried = len(ModelFactory.create_model(free.mode).curve(name).parameters) or 1
    chance = min(1.0, tried * 2 * float(norm.sf(apart[at])))
    near = np.flatnonzero(apart <= 2.0)
    first = near[near < at].max(initial=-1) + 1
    last = near[near > at].min(initial=len(t)) - 1
    return Departure(
        float(norm.isf(max(chance, 1e-300) / 2)), float(t[at]), float(fitted[at]), float(value[at]),
        float(t[min(first, at)]), float(t[max(last, at)]),
    )  # fmt: skip
