"""Profiles of χ² as a value: points to plot, asymmetric intervals, and how they print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import norm

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.result.fit_result import FitResult
from heterodyne_nb.text.html import heading, page, table
from heterodyne_nb.text.numbers import number, value_with_band

if TYPE_CHECKING:
    from heterodyne_nb.assess.profile import Line

FloatArray = NDArray[np.float64]

_ENDS = {
    "reached": "",
    "bound": "at a bound",
    "open": "no end found",
    "stopped": "stopped before its end",
}


@dataclass(frozen=True, eq=False, repr=False)
class Profiles:
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
        lower, upper = _ends(found, level)
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
        lower, upper = _ends(self.dataset, level)
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

    def __repr__(self) -> str:
        rows = _rows(self)
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([_title(self.dataset), *lines])

    def _repr_html_(self) -> str:
        head, *rows = _rows(self)
        return page(heading(_title(self.dataset)) + table(head, rows))


def _ends(ds: xr.Dataset, level: float) -> tuple[FloatArray, FloatArray]:
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


def _title(ds: xr.Dataset) -> str:
    return f"{ds.attrs['mode']}: profile of χ², {100 * float(ds.attrs['level']):g} % intervals"


def _rows(found: Profiles) -> list[list[str]]:
    rows = [["", "value [interval]", "unit", "−", "+", ""]]
    for name, row in found.intervals().iterrows():
        value, lower, upper = float(row["value"]), float(row["lower"]), float(row["upper"])
        if np.isfinite([lower, upper]).all():
            shown = value_with_band(value, lower, upper)
        else:
            shown = f"{number(value)} [{number(lower)}, {number(upper)}]"
        unit = "" if row["unit"] == "1" else str(row["unit"])
        rows.append(
            [str(name), shown, unit, number(value - lower, 2), number(upper - value, 2), str(row["note"])]
        )
    return rows
