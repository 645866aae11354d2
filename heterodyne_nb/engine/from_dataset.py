"""Dataset -> Problem: read the bins once, leave out what cannot be used, and say so."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.config import ParameterTable
from heterodyne_nb.data import stack_bins
from heterodyne_nb.data.prepare import estimate_sigma
from heterodyne_nb.engine.problem import Problem
from heterodyne_nb.errors import DataFormatError, DataWarning, warn
from heterodyne_nb.models import TwoTimeModel


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
        If there is no two-time map, or no usable bin.
    """
    if not isinstance(model, TwoTimeModel):
        raise DataFormatError(f"model {model.name!r} is a one-time model and does not describe two-time maps")
    if "c2" not in ds:
        raise DataFormatError(
            "the dataset has no two-time maps", where="c2", hint="fit its g2 with a one-time mode instead"
        )
    stacked = stack_bins(ds, drop_dead=True)
    if stacked.sizes["bin"] == 0:
        raise DataFormatError("no usable bin is left", where="c2", expected="at least one bin with data")
    n = stacked.sizes["t1"]
    data = np.zeros((stacked.sizes["bin"], n, n), np.float32)
    mask = np.tile(np.asarray(stacked["mask"].values, float), (len(data), 1))
    holes = [_read_bin(stacked, b, data[b], mask[b]) for b in range(len(data))]
    sigma = _noise(stacked.assign(c2=(("bin", "t1", "t2"), data)))  # from memory: read once
    return Problem(
        model, table, data, _coordinate(stacked, "q"), _coordinate(stacked, "phi"),
        np.asarray(stacked["t"].values, float), mask, sigma, np.concatenate(holes), gap,
    )  # fmt: skip


def _coordinate(stacked: xr.Dataset, name: str) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(stacked[name].values, stacked.sizes["bin"]), dtype=float)


def _read_bin(stacked: xr.Dataset, b: int, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Copy one map (rows t2), put 0 where it is unmeasured, and return those pixels as (bin, t2, t1)."""
    target[:] = stacked["c2"].isel(bin=b).transpose("t2", "t1").values
    np.fill_diagonal(target, 0.0)
    bad = ~np.isfinite(target) | (target == 0.0)
    np.fill_diagonal(bad, False)
    if not bad.any():
        return np.empty((0, 3), np.int64)
    target[bad] = 0.0
    used = mask > 0
    dead = used & (bad[:, used].sum(axis=1) + bad[used].sum(axis=0) >= used.sum())
    if dead.any():
        mask[dead] = 0.0
        where = f"q = {float(stacked.q[b]):.5g} 1/Å, phi = {float(stacked.phi[b]):.4g}°"
        warn(
            f"bin {where}: {int(dead.sum())} frames without data are left out, the rest is used", DataWarning
        )
    bad &= (mask[:, None] > 0) & (mask[None, :] > 0)
    rows, columns = np.nonzero(np.tril(bad, -1))
    return np.column_stack([np.full(len(rows), b), rows, columns]).astype(np.int64)


def _noise(stacked: xr.Dataset) -> np.ndarray:
    if "sigma" in stacked and stacked["sigma"].dims == ("bin",):
        sigma = np.asarray(stacked["sigma"].values, float)
        if np.all(np.isfinite(sigma) & (sigma > 0)):
            return sigma
    return np.asarray(estimate_sigma(stacked).values, float)
