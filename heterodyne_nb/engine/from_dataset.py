"""Dataset -> Problem: read the bins once, leave out what cannot be used, and say so."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.data import stack_bins
from heterodyne_nb.data.dataset import live_bins
from heterodyne_nb.data.door import checked, one_run, with_bin_dims
from heterodyne_nb.data.prepare import estimate_sigma
from heterodyne_nb.data.units import standard_units
from heterodyne_nb.engine.problem import Problem
from heterodyne_nb.errors import DataFormatError, DataWarning, warn
from heterodyne_nb.models import TwoTimeModel
from heterodyne_nb.models.parameters import ParameterTable


def problem_from_dataset(
    ds: xr.Dataset, model: Any, table: ParameterTable, *, gap: float | None = None
) -> Problem:
    """Read every usable bin of a dataset into a :class:`Problem`.

    Parameters
    ----------
    ds : Dataset
        With ``c2(q, phi, t1, t2)`` or ``c2(bin, t1, t2)`` and ``mask(t)``.
    model : TwoTimeModel
    table : ParameterTable
    gap : float, optional
        Å; needed by models with a shear factor.

    Raises
    ------
    DataFormatError
        If there is no two-time map, no usable bin, or a coordinate in an unknown unit.
    """
    if not isinstance(model, TwoTimeModel):
        raise DataFormatError(f"model {model.name!r} is a one-time model and does not describe two-time maps")
    if not isinstance(ds, xr.Dataset | xr.DataTree):
        raise DataFormatError(
            f"a {type(ds).__name__} has no two-time maps",
            hint="correlate(frames, twotime=True) makes them of frames",
        )
    ds = checked(one_run(ds, "dataset"))
    if "c2" not in ds:
        raise DataFormatError(
            "the dataset has no two-time maps", where="c2", hint="fit its g2 with a one-time mode instead"
        )
    gap = model.checked_gap(gap)
    stacked = _live_bins(with_bin_dims(standard_units(ds)))
    n = stacked.sizes["t1"]
    used = int(np.count_nonzero(stacked["mask"].values))
    if used < 3:
        raise DataFormatError(f"{used} of {n} frames are used", where="mask", expected="at least 3")
    data = np.zeros((stacked.sizes["bin"], n, n), np.float32)
    mask = np.tile(np.asarray(stacked["mask"].values, float), (len(data), 1))
    holes = [_read_bin(stacked, b, data[b], mask[b]) for b in range(len(data))]
    varied = _varied(stacked, data, mask)
    if len(varied) < len(data):
        stacked, data, mask = stacked.isel(bin=varied), data[varied], mask[varied]
        holes = [holes[b] for b in varied]
    holes = [np.column_stack([np.full(len(part), b), part]) for b, part in enumerate(holes)]
    sigma = _noise(stacked.assign(c2=(("bin", "t1", "t2"), data)))  # from memory: read once
    problem = Problem(
        model, table, data, _coordinate(stacked, "q"), _coordinate(stacked, "phi"),
        np.asarray(stacked["t"].values, float), mask, sigma, np.concatenate(holes).astype(np.int64), gap,
    )  # fmt: skip
    warn_if_not_normalised(problem.scale.unit, table, "c2")
    return problem


def warn_if_not_normalised(unit: float, table: ParameterTable, name: str) -> None:
    """Say so where the limits of contrast and offset had to be stretched to the scale of the data."""
    if unit != 1.0 and not (table.contrast.given and table.offset.given):
        warn(
            f"{name} is {unit:.4g} on average, so it is not normalised: contrast and offset are in its units, "
            f"and their limits {unit:.4g} times the usual ones",
            DataWarning,
        )


def _live_bins(ds: xr.Dataset) -> xr.Dataset:
    """The stacked form without dead bins; a reader has named those of a file, so only others are named here."""
    if "layout" not in ds.attrs:
        every = stack_bins(ds, drop_dead=False)
        alive = live_bins(every)
        for b in np.flatnonzero(~alive) if alive.any() else ():
            warn(f"{_name(every, b)}: its map holds no data; the bin is left out", DataWarning)
    return stack_bins(ds, drop_dead=True)


def _coordinate(stacked: xr.Dataset, name: str) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(stacked[name].values, stacked.sizes["bin"]), dtype=float)


def _name(stacked: xr.Dataset, b: int | np.integer) -> str:
    return f"bin q = {_coordinate(stacked, 'q')[b]:.5g} 1/Å, phi = {_coordinate(stacked, 'phi')[b]:.4g}°"


def _read_bin(stacked: xr.Dataset, b: int, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Copy one map (rows t2), put 0 where it is unmeasured, and return those pixels as (t2, t1)."""
    target[:] = stacked["c2"].isel(bin=b).transpose("t2", "t1").values
    np.fill_diagonal(target, 0.0)
    bad = np.tril(~np.isfinite(target) | (target == 0.0), -1)
    if not bad.any():
        return np.empty((0, 2), np.int64)
    target[~np.isfinite(target)] = 0.0
    used = mask > 0
    partners = used.sum() - 1
    dead = used & (bad[:, used].sum(axis=1) + bad[used].sum(axis=0) >= partners)
    if dead.sum() >= partners:  # nothing left: said where constant bins are
        mask[:] = 0.0
        return np.empty((0, 2), np.int64)
    mask[dead] = 0.0
    bad &= (mask[:, None] > 0) & (mask[None, :] > 0)
    rows, columns = np.nonzero(bad)
    left_out = [(dead.sum(), "frame"), (len(rows), "pixel")]
    told = " and ".join(f"{n} {what}{'s' if n > 1 else ''}" for n, what in left_out if n)
    if told:
        warn(f"{_name(stacked, b)}: {told} without data left out, the rest is used", DataWarning)
    return np.column_stack([rows, columns])


def _varied(stacked: xr.Dataset, data: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Bins whose used pixels are not all the same; the others are named."""
    found = np.array([_varies(one, used > 0) for one, used in zip(data, mask, strict=True)])
    if not found.any():
        raise DataFormatError(
            f"none of {len(found)} bins can be used", where="c2", expected="at least one map that varies"
        )
    for b in np.flatnonzero(~found):
        what = "is constant" if np.any(mask[b] > 0) else "has no pixel that can be used"
        warn(f"{_name(stacked, b)}: its map {what}; the bin is left out", DataWarning)
    return np.flatnonzero(found)


def _varies(one: np.ndarray, used: np.ndarray) -> bool:
    first = 0.0
    for j in np.flatnonzero(used):
        row = one[j, :j][used[:j]]
        row = row[row != 0.0]
        if row.size and first == 0.0:
            first = row[0]
        if np.any(row != first):
            return True
    return False


def _noise(stacked: xr.Dataset) -> np.ndarray:
    if "sigma" in stacked and stacked["sigma"].dims == ("bin",):
        sigma = np.asarray(stacked["sigma"].values, float)
        if np.all(np.isfinite(sigma) & (sigma > 0)):
            return sigma
    sigma = np.asarray(estimate_sigma(stacked).values, float)
    unknown = np.flatnonzero(~(np.isfinite(sigma) & (sigma > 0)))
    if unknown.size:
        raise DataFormatError(
            f"the noise of {', '.join(_name(stacked, b) for b in unknown[:4])} cannot be estimated",
            where="sigma",
            hint="use more frames, give the dataset sigma(q, phi), or leave the bin out",
        )
    return sigma
