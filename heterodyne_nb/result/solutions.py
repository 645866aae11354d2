"""Every answer that the data leave: the basins whose χ² differs by no more than noise can make it differ.

χ² of correlated pixels scatters more than that of independent ones, by about the ratio of the dyadic variance of the
parameters to the naive one. A basin counts as left over when its χ² lies within so many of these units of the best.
Velocity and direction enter only by the fringe frequencies at the angles measured, so with few or regular angles other
pairs of them fit exactly as well.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.models import ModelFactory
from heterodyne_nb.models.symmetries import SAME_DIRECTION, distinct_angles
from heterodyne_nb.result.record import model_of
from heterodyne_nb.text.numbers import number

FloatArray = NDArray[np.float64]

#: Rise of χ² in units of its scatter up to which a basin is left over: 3.5 standard errors.
LEFT_OVER = 12.0
#: Two curves differ when they are farther apart than the band of the best is wide, at more than this share of the times.
_ELSEWHERE = 0.25

Bands = dict[str, tuple[FloatArray, FloatArray]]


@dataclass(frozen=True)
class Solution:
    """One answer that the data leave.

    Attributes
    ----------
    mode : str
    values : dict
        Published parameters by name.
    chi2 : float
    rise : float
        χ² above the best, in units that respect correlated pixels (9 is three standard errors).
    """

    mode: str
    values: dict[str, float]
    chi2: float
    rise: float = 0.0

    def curves(self, t: FloatArray) -> dict[str, FloatArray]:
        """Curves at times ``t`` (s), in the units of the model."""
        return ModelFactory.create_model(self.mode).curves(list(self.values.values()), t)


def left_over(
    model: Any,
    points: Sequence[tuple[FloatArray, float]],
    bands: Bands,
    errors: FloatArray,
    t: FloatArray,
    unit: float,
    angles: FloatArray,
) -> list[tuple[FloatArray, float, float]]:
    """Which optima are other answers than the first, as (published vector, χ², rise).

    Parameters
    ----------
    model : model of :class:`heterodyne_nb.models.ModelFactory`
    points : sequence of ((p,), float)
        Reported optimum first, then the others; with their χ².
    bands : dict
        95 % bands of the curves of the first.
    errors : (p,)
        Standard errors of its parameters.
    t : (N,)
        Times of the bands in s.
    unit : float
        Scatter of χ² for one degree of freedom.
    angles : (B,)
        Azimuths measured, degrees: a single one tells no direction.
    """
    directed = len(distinct_angles(angles)) > 1
    (best, lowest), *others = points
    kept: list[tuple[FloatArray, float, float]] = []
    for theta, chi2 in others:
        rise = max(chi2 - lowest, 0.0) / unit
        same = [
            _same(model, theta, other, bands, errors, t, directed) for other in (best, *(k[0] for k in kept))
        ]
        if rise <= LEFT_OVER and not any(same):
            kept.append((theta, chi2, rise))
    return kept


def _same(
    model: Any,
    one: FloatArray,
    other: FloatArray,
    bands: Bands,
    errors: FloatArray,
    t: FloatArray,
    directed: bool,
) -> bool:
    """Whether two optima say the same within the errors."""
    for i in model.directions if directed else ():
        turned = abs((one[i] - other[i] + 90.0) % 180.0 - 90.0)
        if turned > max(SAME_DIRECTION, 3.0 * np.nan_to_num(errors[i])):
            return False
    first, second = model.curves(one, t), model.curves(other, t)
    for name, (lower, upper) in bands.items():
        apart = np.abs(first[name] - second[name]) > np.nan_to_num(upper - lower, nan=np.inf)
        if np.mean(apart) > _ELSEWHERE:
            return False
    return True


def united(bands: Sequence[Bands]) -> Bands:
    """Bands that hold those of every answer."""
    return {
        name: (np.min([b[name][0] for b in bands], axis=0), np.max([b[name][1] for b in bands], axis=0))
        for name in bands[0]
    }


def solutions_of(record: xr.Dataset) -> tuple[Solution, ...]:
    """The answers that a result holds, the reported one first."""
    mode, names = str(record.attrs["mode"]), [str(n) for n in record["parameter"].values]
    reported = dict(zip(names, map(float, record["parameters"].values), strict=True))
    found = [Solution(mode, reported, float(record.attrs["chi2"]))]
    for one in json.loads(record.attrs.get("solutions", "[]")):
        values = dict(zip(names, map(float, one["parameters"]), strict=True))
        found.append(Solution(mode, values, float(one["chi2"]), float(one["rise"])))
    return tuple(found)


def in_words(record: xr.Dataset) -> str:
    """The answers by what tells them apart, in one sentence; empty where there is one only."""
    every = solutions_of(record)
    if len(every) == 1 or "t" not in record:
        return ""
    t = record["t"].values
    names = list(every[0].values)
    middle = t[len(t) // 2 : len(t) // 2 + 1]
    curves = [{name: float(c[0]) for name, c in one.curves(middle).items()} for one in every]
    ways = [names[i] for i in model_of(record).directions]
    directed = "phi" in record and len(distinct_angles(record["phi"].values)) > 1
    told = [name for name in curves[0] if _differ([c[name] for c in curves])]
    directions = [
        name for name in ways if directed and np.ptp([one.values[name] for one in every]) > SAME_DIRECTION
    ]
    answers = []
    for one, curve in zip(every, curves, strict=True):
        parts = [f"{name} = {number(one.values[name], 3)}°" for name in directions]
        parts += [f"{name} = {_with_unit(record, name, curve[name])}" for name in told]
        answers.append(" with ".join([parts[0], ", ".join(parts[1:])]) if len(parts) > 1 else "".join(parts))
    text = f"The data leave {len(every)} answers (at mid-time): {', or '.join(answers)}."
    if directions:
        text += " The angles measured cannot tell them apart; another angle between them would."
    return text


def _differ(values: list[float]) -> bool:
    return float(np.ptp(values)) > 0.02 * max(map(abs, values))


def _with_unit(record: xr.Dataset, name: str, value: float) -> str:
    unit = str(record[name].attrs.get("units", "1")) if name in record else "1"
    return number(value, 3) + ("" if unit == "1" else f" {unit}")
