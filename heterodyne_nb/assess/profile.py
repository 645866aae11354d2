"""Profiles of χ²: how far a number can move while everything else follows, and the interval that this gives.

For a number ψ (a parameter, a curve at a time, a derived figure) the profile is the least χ² over all parameters with
that ψ; bounds, ties and priors hold, and the interval is as asymmetric as the data make it.

Where pixels are correlated the rise of χ² is not χ²₁. Near the optimum it is (ψ - ψ̂)² / N, N the variance that
independent pixels of unit noise would give, while ψ̂ scatters with the dyadic variance V. So the rise divided by V/N is
χ²₁ (Kent 1982; Rotnitzky & Jewell 1990; for one number this is the first-order correction of Rao & Scott). V is itself
an estimate with ν degrees of freedom (Satterthwaite), which makes it t²_ν: the 95 % interval ends where χ² has risen
by t²_ν V/N, t_ν = 1.96 for many ν. The signed root of rise N/V is given turned to its normal equivalent, so that an
interval of 95 % ends at ±1.96 whatever ν is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import norm
from scipy.stats import t as student

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.assess.one_time import OneTimeSpread
from heterodyne_nb.engine import NormalEquations, Objective
from heterodyne_nb.engine.executors import ordered, team
from heterodyne_nb.errors import ConfigurationError, FitWarning, OptimizationError, warn
from heterodyne_nb.fitting.same_fit import objective_of, one_time_objective_of, optimum
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.old_paths import either_order
from heterodyne_nb.optimize import GaussNewtonStrategy
from heterodyne_nb.options import ProfileOptions, keywords
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken, ignore_progress
from heterodyne_nb.result.fit_result import FitResult
from heterodyne_nb.text.html import Printed, Tabular
from heterodyne_nb.text.numbers import number, value_with_band
from heterodyne_nb.uncertainty.covariance import ERROR_CLUSTERS
from heterodyne_nb.uncertainty.derived import Quantity, TargetName, target
from heterodyne_nb.uncertainty.reweighting import Reweighting

#: Stiffness with which a point is held at its value: the reached value falls short by this part of the way.
_SLACK = 1e-3
#: First and finest step in standard errors; most steps a side.
_STEP, _FINEST, _MOST = 0.5, 0.02, 24
#: Rise of the signed root below which steps grow, above which they shrink, and above which one is taken back.
_SLOW, _FAST, _FAR = 0.25, 0.8, 1.0
#: The walk goes on to this many times the root that the level asks for.
_BEYOND = 1.15
#: As many degrees of freedom as make no difference.
_MANY = 1e6
#: A step that gets less far than this part of the way is stopped by a bound.
_STUCK = 0.25
#: What is said of an end that was not reached.
_ENDS = {
    "reached": "",
    "bound": "at a bound",
    "open": "no end found",
    "stopped": "stopped before its end",
}


@keywords(ProfileOptions)
@either_order
def profile(
    dataset: xr.Dataset | Objective,
    result: FitResult,
    names: TargetName | Sequence[TargetName],
    *,
    level: float = 0.95,
    max_iterations: int = 100,
    executor: Any = None,
    workers: int | None = None,
    on_progress: OnProgress = ignore_progress,
    stop: StopToken | None = None,
) -> Profiles:
    """Profile χ² along chosen numbers.

    Parameters
    ----------
    dataset : Dataset or Objective
        The data that were fitted.
    result : FitResult
        Of a two-time or a one-time fit.
    names : str, (str, float), or a sequence of them
        Published parameters (``"phi0"``), curves at mid-time (``"v"``) or at a time in s (``"v(12.5)"`` or
        ``("v", 12.5)``), derived figures (``"displacement"``).
    level : float
        Level of the interval that the walk has to reach, in (0, 1).
    max_iterations : int
        Most iterations of the refit at each point, each started from the point before.
    executor, workers
        Who does the work, and how many; see :func:`heterodyne_nb.fit_batch`.
    on_progress : callable, optional
        Receives an event for every point.
    stop : StopToken, optional
        Ends it; ends not yet reached are marked ``"stopped"``.

    Returns
    -------
    Profiles

    Raises
    ------
    ConfigurationError
        An unknown name, a wrong level, or data that were not fitted.
    OptimizationError
        The number is fixed by the fit's settings, or the data do not tell it at all.

    Warns
    -----
    FitWarning
        A lower χ² than that of the fit was found on the way.
    """
    theta = optimum(result)
    spread: Any
    if ModelFactory.create_model(result.mode).one_time and isinstance(dataset, xr.Dataset):
        spread = OneTimeSpread.at(one_time_objective_of(dataset, result), theta)
        objective: Objective = spread.objective
    else:
        objective = objective_of(dataset, result)
        spread = Reweighting.at(objective, theta, ERROR_CLUSTERS)
    wanted: list[Any] = [names] if isinstance(names, str) or _is_pair(names) else list(names)
    t = objective.problem.times
    targets = [target(objective.problem.model, name, t) for name in wanted]
    strategy = GaussNewtonStrategy(max_iterations=max_iterations, ftol=1e-9, stop=stop)

    def tell(at: int, done: float, message: str) -> None:
        on_progress(ProgressEvent("profile", (at + done) / len(targets), message=message))

    with team(executor, workers) as who:
        if who.apart:  # targets and callbacks stay here
            away = replace(strategy, stop=None)
            lines = list(ordered(who, partial(_named_line, spread, away, level), wanted))
            lines = [replace(line, target=one) for line, one in zip(lines, targets, strict=True)]
        else:
            lots = list(enumerate(targets))
            lines = list(ordered(who, partial(_numbered_line, spread, strategy, level, tell), lots))
    return Profiles.from_lines(result, lines, level)


def _numbered_line(spread: Any, strategy: GaussNewtonStrategy, level: float, tell: Any, one: Any) -> Line:
    return _line(_Walk(spread, one[1], strategy), level, partial(tell, one[0]))


def _named_line(spread: Any, strategy: GaussNewtonStrategy, level: float, name: Any) -> Line:
    """The profile of a number by its name, without the functions of the number, which do not travel."""
    problem = spread.objective.problem
    one = target(problem.model, name, problem.times)
    line = _line(_Walk(spread, one, strategy), level, lambda done, message: None)
    return replace(line, target=None)


@dataclass(frozen=True)
class Line:
    """Profile of one number: points in order, and how each end came about."""

    target: Any
    value: float
    stderr: float
    ratio: float
    freedom: float
    position: FloatArray
    rise: FloatArray
    root: FloatArray
    theta: FloatArray
    unfinished: int
    ends: tuple[str, str]


class _Held:
    """An objective with a number held near a value by a stiff spring.

    The minimum with the spring is the constrained minimum at the value it reaches, so nothing is lost by the spring.
    """

    def __init__(self, objective: Objective, target: Quantity, centre: float, width: float) -> None:
        self.objective, self.target, self.centre, self.width = objective, target, centre, width
        self.parameter_names = objective.parameter_names
        self.to_internal, self.from_internal = objective.to_internal, objective.from_internal
        self.internal_bounds, self.reduced = objective.internal_bounds, objective.reduced

    def __call__(self, theta: FloatArray) -> float:
        chi2 = self.objective(theta)
        return chi2 + self._pull(theta) ** 2 if np.isfinite(chi2) else chi2

    def normal_equations(self, theta: FloatArray) -> NormalEquations:
        """See :meth:`heterodyne_nb.engine.Objective.normal_equations`."""
        local = self.objective.normal_equations(theta)
        slopes = self.target.slopes(theta) @ self.objective.coordinates.jacobian(theta) / self.width
        pull = self._pull(theta)
        return replace(
            local,
            chi2=local.chi2 + pull**2,
            gradient=local.gradient + 2 * pull * slopes,
            hessian=local.hessian + 2 * np.outer(slopes, slopes),
        )

    def _pull(self, theta: FloatArray) -> float:
        return (self.target.compute(theta) - self.centre) / self.width


class _Walk:
    """Steps along one number, both ways from the optimum."""

    def __init__(self, tiles: Any, target: Quantity, strategy: GaussNewtonStrategy) -> None:
        self.objective, self.target, self.strategy = tiles.objective, target, strategy
        self.theta, self.value = tiles.theta, target.compute(tiles.theta)
        self.base = self.objective(self.theta)
        slopes = target.slopes(self.theta) @ self.objective.coordinates.jacobian(self.theta)
        self.unit = float(slopes @ tiles.naive @ slopes)
        variance, noise = (float(slopes @ part @ slopes) for part in (tiles.covariance, tiles.noise))
        if not self.unit > 0 or not variance > 0:
            raise OptimizationError(
                f"{target.name} does not move: it is fixed, or rests on a bound",
                hint="profile a number that the fit varies",
            )
        self.stderr, self.ratio = float(np.sqrt(variance)), variance / self.unit
        known = (variance / max(noise, 1e-300)) ** 2  # the part of a prior is not estimated
        self.freedom = min(float(tiles.freedom(target.slopes(self.theta))[0]) * known, _MANY)
        self.unfinished = 0
        self.along = tiles.naive @ slopes / self.unit

    def side(self, sign: float, reach: float, tell: Any) -> tuple[list[tuple[float, float, FloatArray]], str]:
        """Points (value, rise of χ², parameters) on one side, and how the walk ended."""
        points: list[tuple[float, float, FloatArray]] = []
        position, root, theta, step = self.value, 0.0, self.theta, _STEP
        for count in range(_MOST):
            if self.strategy.stop is not None and self.strategy.stop.reason is not None:
                return points, "stopped"
            asked = position + sign * step * self.stderr
            found = self._point(asked, theta, asked - position)
            reached = self.target.compute(found)
            rise = self.objective(found) - self.base
            points.append((reached, rise, found))
            tell((count + 1) / _MOST, f"{self.target.name} = {reached:.6g}")
            new = float(normal_root(np.sqrt(max(rise, 0.0) / self.ratio), self.freedom))
            if sign * (reached - position) < _STUCK * step * self.stderr:
                return points, "bound"
            if new - root > _FAR and step > _FINEST:  # too far to read between: go there in smaller steps
                step *= 0.5
                continue
            if new >= reach:
                return points, "reached"
            step *= 1.6 if new - root < _SLOW else 0.6 if new - root > _FAST else 1.0
            position, root, theta = reached, new, found
        return points, "open"

    def _point(self, asked: float, theta: FloatArray, change: float) -> FloatArray:
        """The constrained minimum near a value, from the point before."""
        width = float(np.sqrt(_SLACK * self.unit))
        held = _Held(self.objective, self.target, asked, width)
        guess = self.objective.from_internal(self.objective.to_internal(theta) + change * self.along)
        start = min((guess, theta), key=held)
        start = self.objective.from_internal(self.objective.to_internal(start))
        found = self.strategy.optimize(held, start)
        self.unfinished += found.stop_reason in ("iteration limit", "bounds moved")
        return np.asarray(found.x, float)


def _line(walk: _Walk, level: float, tell: Any) -> Line:
    reach = _BEYOND * float(norm.ppf(0.5 * (1 + level)))
    below, lower = walk.side(-1.0, reach, lambda done, text: tell(0.5 * done, text))
    above, upper = walk.side(1.0, reach, lambda done, text: tell(0.5 + 0.5 * done, text))
    points = _distinct([*below, (walk.value, 0.0, walk.theta), *above], 1e-6 * walk.stderr)
    rise = np.array([point[1] for point in points])
    if rise.min() < -0.1 * walk.ratio:
        warn(
            f"χ² falls {-rise.min():.3g} below that of the fit along {walk.target.name}: "
            "the fit had not come to the bottom; fit again from there",
            FitWarning,
        )
    position, risen = np.array([point[0] for point in points]), rise - min(rise.min(), 0.0)
    root = np.sign(position - walk.value) * normal_root(np.sqrt(risen / walk.ratio), walk.freedom)
    theta = np.array([point[2] for point in points])
    return Line(
        walk.target, walk.value, walk.stderr, walk.ratio, walk.freedom, position, risen, root, theta,
        walk.unfinished, (lower, upper),
    )  # fmt: skip


def _distinct(
    points: list[tuple[float, float, FloatArray]], apart: float
) -> list[tuple[float, float, FloatArray]]:
    """Points in order; of those at one place the lowest."""
    kept: list[tuple[float, float, FloatArray]] = []
    for point in sorted(points, key=lambda point: point[0]):
        if kept and point[0] - kept[-1][0] <= apart:
            kept[-1] = min(kept[-1], point, key=lambda p: p[1])
        else:
            kept.append(point)
    return kept


def normal_root(root: Any, freedom: float) -> FloatArray:
    """The normal deviate that is as unlikely as a positive deviate of Student's law."""
    return np.asarray(norm.isf(student.sf(root, freedom)), float)


def _is_pair(names: Any) -> bool:
    return isinstance(names, tuple) and len(names) == 2 and not isinstance(names[1], str | tuple)


@dataclass(frozen=True, eq=False, repr=False)
class Profiles(Tabular):
    """Profiles along one or several numbers; made by :func:`heterodyne_nb.profile`.

    Attributes
    ----------
    dataset : xarray.Dataset
        On (quantity, point), NaN beyond the last point: ``position`` (the number), ``rise`` of χ², ``root``, the signed
        root of the rise in units of its scale as a normal deviate (an interval of level 95 % ends at ±1.96), and
        ``parameters`` (also on parameter). On (quantity,): ``value``, ``stderr`` (delta method, dyadic), ``scale`` (rise
        of χ² that counts as one), ``unfinished`` (points whose refit did not come to its end), ``freedom`` (degrees of freedom of the scale), ``lower``, ``upper`` at the level of the walk, ``lower_end``, ``upper_end`` (reached, bound, open,
        stopped), ``unit``.
    """

    dataset: xr.Dataset

    @classmethod
    def from_lines(cls, result: FitResult, lines: Sequence[Line], level: float) -> Profiles:
        """Put lines of different length into one dataset."""
        size, ds = max(len(line.position) for line in lines), result.dataset
        padded = np.full((3, len(lines), size), np.nan)
        parameters = np.full((len(lines), size, ds.sizes["parameter"]), np.nan)
        for k, line in enumerate(lines):
            count = len(line.position)
            padded[:, k, :count] = line.position, line.rise, line.root
            parameters[k, :count] = line.theta
        data = {
            "position": (("quantity", "point"), padded[0]),
            "rise": (("quantity", "point"), padded[1]),
            "root": (("quantity", "point"), padded[2]),
            "parameters": (("quantity", "point", "parameter"), parameters),
            "value": ("quantity", [line.value for line in lines]),
            "stderr": ("quantity", [line.stderr for line in lines]),
            "scale": ("quantity", [line.ratio for line in lines]),
            "freedom": ("quantity", [line.freedom for line in lines]),
            "unfinished": ("quantity", [line.unfinished for line in lines]),
            "lower_end": ("quantity", [line.ends[0] for line in lines]),
            "upper_end": ("quantity", [line.ends[1] for line in lines]),
            "unit": ("quantity", [line.target.unit for line in lines]),
            "description": ("quantity", [line.target.description for line in lines]),
        }
        coords = {
            "quantity": [line.target.name for line in lines],
            "parameter": ds["parameter"].values,
            "point": np.arange(size),
        }
        found = xr.Dataset(data, coords=coords, attrs={"mode": result.mode, "level": level})
        lower, upper = _interval_ends(found, level)
        return cls(found.assign(lower=("quantity", lower), upper=("quantity", upper)))

    def intervals(self, level: float | None = None) -> pd.DataFrame:
        """Asymmetric intervals: one row a number.

        Parameters
        ----------
        level : float, optional
            Default, and at most, the level of the walk.

        Raises
        ------
        ConfigurationError
            The level is above that of the walk.
        """
        walked = float(self.dataset.attrs["level"])
        level = walked if level is None else level
        if not 0 < level <= walked:
            raise ConfigurationError(
                f"{level!r}", where="level", expected=f"above 0, at most {walked:g}, the level of the walk"
            )
        lower, upper = _interval_ends(self.dataset, level)
        ds = self.dataset
        columns = {
            "value": ds["value"].values,
            "lower": lower,
            "upper": upper,
            "unit": ds["unit"].values,
            "note": [_note(ds, k) for k in range(ds.sizes["quantity"])],
        }
        return pd.DataFrame(columns, index=pd.Index(ds["quantity"].values, name="quantity"))

    def curve(self, name: str) -> xr.Dataset:
        """Points of one profile: ``position``, ``rise``, ``root`` on (point,), without padding.

        Raises
        ------
        ConfigurationError
            No such profile.
        """
        known = self.dataset["quantity"].values.tolist()
        if name not in known:
            raise ConfigurationError(f"no profile of {name!r}", expected=f"one of {known}")
        one = self.dataset.isel(quantity=known.index(name))
        return one.isel(point=np.isfinite(one["position"].values))

    def _printed(self) -> Printed:
        rows = [["", "value [interval]", "unit", "−", "+", ""]]
        for name, row in self.intervals().iterrows():
            value, lower, upper = float(row["value"]), float(row["lower"]), float(row["upper"])
            if np.isfinite([lower, upper]).all():
                shown = value_with_band(value, lower, upper)
            else:
                shown = f"{number(value)} [{number(lower)}, {number(upper)}]"
            unit = "" if row["unit"] == "1" else str(row["unit"])
            ends = number(value - lower, 2), number(upper - value, 2)
            rows.append([str(name), shown, unit, *ends, str(row["note"])])
        attrs = self.dataset.attrs
        return Printed(f"{attrs['mode']}: profile of χ², {100 * float(attrs['level']):g} % intervals", rows)


def _interval_ends(ds: xr.Dataset, level: float) -> tuple[FloatArray, FloatArray]:
    """Lower and upper ends at a level: where the signed root is ∓z; a bound's place, or infinite where none is."""
    wanted = float(norm.ppf(0.5 * (1 + level)))
    lower, upper = np.empty(ds.sizes["quantity"]), np.empty(ds.sizes["quantity"])
    for k in range(len(lower)):
        position, root = ds["position"].values[k], ds["root"].values[k]
        known = np.isfinite(position)
        position, root = position[known], np.maximum.accumulate(root[known])
        ends = str(ds["lower_end"].values[k]), str(ds["upper_end"].values[k])
        lower[k] = _end(-root[::-1], position[::-1], wanted, ends[0], -np.inf)
        upper[k] = _end(root, position, wanted, ends[1], np.inf)
    return lower, upper


def _end(root: FloatArray, position: FloatArray, wanted: float, how: str, open_end: float) -> float:
    """Place where an increasing root reaches a value."""
    if root[-1] >= wanted:
        return float(np.interp(wanted, root, position))
    return float(position[-1]) if how == "bound" else open_end


def _note(ds: xr.Dataset, k: int) -> str:
    told = [
        f"{side} end {_ENDS[str(ds[f'{side}_end'].values[k])]}"
        for side in ("lower", "upper")
        if _ENDS[str(ds[f"{side}_end"].values[k])]
    ]
    if left := int(ds["unfinished"].values[k]):
        told.append(f"{left} point{'s' if left > 1 else ''} not at the minimum, it may be wider")
    return "; ".join(told)
