"""Dataset -> Problem: read the bins once, leave out what cannot be used, and say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.data import stack_bins
from heterodyne_nb.data.age_lag import CELLS, AgeLagCells, cells_of
from heterodyne_nb.data.dataset import live_bins
from heterodyne_nb.data.door import checked, one_run, with_bin_dims
from heterodyne_nb.data.sigma import noise_parts, sigma_of
from heterodyne_nb.data.units import standard_units
from heterodyne_nb.engine.cells import CellData, CellProblem
from heterodyne_nb.engine.executors import Team
from heterodyne_nb.engine.problem import Problem, bins_at_once, let_go, maps_of, room
from heterodyne_nb.engine.spread import spread_problem
from heterodyne_nb.errors import DataFormatError, DataWarning, warn
from heterodyne_nb.models import TwoTimeModel
from heterodyne_nb.models.parameters import ParameterTable


def problem_from_dataset(
    ds: xr.Dataset,
    model: Any,
    table: ParameterTable,
    *,
    gap: float | None = None,
    executor: Team | None = None,
    memory: Any = None,
) -> Problem:
    """Read every usable bin of a dataset into a :class:`Problem`.

    ``ds``: With ``c2(q, phi, t1, t2)`` or ``c2(bin, t1, t2)`` and ``mask(t)``. ``model`` (TwoTimeModel). ``gap``: Å;
    needed by models with a shear factor. ``executor``: Where it works in other processes, these hold the maps; see
    :mod:`heterodyne_nb.engine.spread`. ``memory`` (str or float): What the maps may take here, default half of what
    is free; see :class:`heterodyne_nb.options.ExecutionOptions`.

    Raises DataFormatError: If there is no two-time map, no usable bin, or a coordinate in an unknown unit.
    """
    if not isinstance(model, TwoTimeModel):
        raise DataFormatError(f"model {model.name!r} is a one-time model and does not describe two-time maps")
    if not isinstance(ds, xr.Dataset | xr.DataTree):
        raise DataFormatError(
            f"a {type(ds).__name__} has no two-time maps",
            hint="correlate(frames, twotime=True) makes them of frames",
        )
    ds = checked(one_run(ds, "dataset"))
    if "c2" not in ds and "c2_cells" not in ds:
        raise DataFormatError(
            "the dataset has no two-time maps", where="c2", hint="fit its g2 with a one-time mode instead"
        )
    gap = model.checked_gap(gap)
    stacked = _live_bins(with_bin_dims(standard_units(ds)))
    n = stacked.sizes["t"]
    used = int(np.count_nonzero(stacked["mask"].values))
    if used < 3:
        raise DataFormatError(f"{used} of {n} frames are used", where="mask", expected="at least 3")
    cells = cells_of(stacked)
    if "c2" not in stacked:
        problem: Problem = _problem_of_cells(stacked, cells, model, table, gap)
    elif executor is not None and executor.apart and cells is None:
        problem = spread_problem(executor, stacked, model, table, gap)
    else:
        most = room(memory)
        bins = read_bins(stacked, most)
        dropped(len(bins.kept), bins.told, stacked.sizes["bin"])
        stacked = stacked.isel(bin=bins.kept)
        rest = (
            coordinate(stacked, "q"), coordinate(stacked, "phi"), np.asarray(stacked["t"].values, float), bins.mask,
            noise_of(stacked, bins.noise),
        )  # fmt: skip
        if cells is None:
            where = bins_at_once(bins.data, most)
            problem = Problem(model, table, bins.data, *rest, bins.holes, gap, where)
        else:
            data = CellData.of_maps(bins.data, bins.mask, cells)
            problem = CellProblem(model, table, data, *rest, bins.holes[:0], gap)
    if not problem.n_data:
        raise DataFormatError(
            "no cell of age and lag is whole", where="mask", expected="cells with all of their frames used",
            hint="a masked frame leaves out every cell that it has a share in: mask fewer",
        )  # fmt: skip
    warn_if_not_normalised(problem.scale.unit, table, "c2")
    return problem


def _problem_of_cells(
    stacked: xr.Dataset, cells: AgeLagCells | None, model: Any, table: ParameterTable, gap: float | None
) -> CellProblem:
    """The problem of cells without a map; the noise of a pixel is what makes up the errors of its cells."""
    if cells is None:
        raise DataFormatError("the frames of the cells are gone", where="t", expected="consecutive frames")
    used = np.tile(np.asarray(stacked["mask"].values, bool), (stacked.sizes["bin"], 1))
    if "intensity" in stacked and stacked["intensity"].dims == ("bin", "t"):
        used &= stacked["intensity"].values > 0
    by_cell = ("bin", "lag_cell", "age_cell")
    values, errors, pixels = (stacked[name].transpose(*by_cell).values.astype(float) for name in CELLS)
    kinds, kind_of = np.unique(used, axis=0, return_inverse=True)
    count = np.array([cells.counts(kind) for kind in kinds], float)[kind_of.ravel()]
    whole = (count > 0) & (count == pixels) & np.isfinite(values)
    kept = np.flatnonzero(whole.any(axis=(1, 2)))
    told = [
        f"{_name(stacked, b)}: none of its cells is whole; the bin is left out"
        for b in np.flatnonzero(~whole.any(axis=(1, 2)))
    ]
    dropped(len(kept), told, len(whole))
    stacked, data = stacked.isel(bin=kept), CellData(cells, values[kept], np.where(whole, pixels, 0.0)[kept])
    if _noise_is_known(stacked):
        sigma = np.asarray(stacked["sigma"].values, float)
    else:
        known = whole & np.isfinite(errors) & (errors > 0)
        square = np.where(known, pixels * errors**2, 0.0).sum(axis=(1, 2)) / np.maximum(
            known.sum(axis=(1, 2)), 1
        )
        sigma = np.sqrt(square)[kept]
    return CellProblem(
        model, table, data, coordinate(stacked, "q"), coordinate(stacked, "phi"),
        np.asarray(stacked["t"].values, float), used[kept].astype(float), sigma, np.zeros((0, 3), np.int64), gap,
    )  # fmt: skip


@dataclass(frozen=True)
class ReadBins:
    """The maps of bins that can be used, as a problem has them."""

    kept: NDArray[np.int64]  #: (B,): Which of the bins that were asked for.
    told: list[str]  #: What the others lack.
    #: data, mask, holes: As of :class:`Problem`.
    data: NDArray[np.float32]
    mask: NDArray[np.float64]
    holes: NDArray[np.int64]
    noise: dict[tuple[int, ...], Any]  #: Parts of the noise by place; empty where the dataset says it.


def read_bins(stacked: xr.Dataset, most: float) -> ReadBins:
    """Read the bins of a stacked dataset one by one, those that cannot be used left out.

    Maps of more than ``most`` bytes together go to a temporary file, see :func:`heterodyne_nb.engine.problem.maps_of`.
    """
    n, bins = stacked.sizes["t1"], stacked.sizes["bin"]
    data = maps_of((bins, n, n), most)
    usual = np.asarray(stacked["mask"].values, float)
    known = _noise_is_known(stacked)
    kept: list[int] = []
    told: list[str] = []
    masks: list[np.ndarray] = []
    holes: list[np.ndarray] = []
    parts: dict[tuple[int, ...], Any] = {}
    for b in range(bins):
        at, mask = len(kept), usual.copy()  # a bin that is left out makes room for the next one
        found = _read_bin(stacked, b, data[at], mask)
        if not _varies(data[at], mask > 0):
            what = "is constant" if np.any(mask > 0) else "has no pixel that can be used"
            told.append(f"{_name(stacked, b)}: its map {what}; the bin is left out")
            continue
        if not known:
            here = stacked.isel(bin=[b]).assign(c2=(("bin", "t1", "t2"), data[at : at + 1]))
            for part in noise_parts(here).values():  # none of a bin that cannot be used
                parts[at,] = part
        holes.append(np.column_stack([np.full(len(found), at), found]))
        masks.append(mask)
        kept.append(b)
        let_go(data)
    every = np.concatenate([np.zeros((0, 3)), *holes]).astype(np.int64)
    mask = np.array(masks).reshape(len(kept), n)
    return ReadBins(np.array(kept, np.int64), told, data[: len(kept)], mask, every, parts)


def dropped(kept: int, told: list[str], bins: int) -> None:
    """Warn of the bins that are left out; raise where none is kept."""
    if not kept:
        raise DataFormatError(
            f"none of {bins} bins can be used", where="c2", expected="at least one map that varies"
        )
    for text in told:
        warn(text, DataWarning)


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


def coordinate(stacked: xr.Dataset, name: str) -> np.ndarray:
    """q or phi of every bin, (B,)."""
    return np.ascontiguousarray(np.broadcast_to(stacked[name].values, stacked.sizes["bin"]), dtype=float)


def _name(stacked: xr.Dataset, b: int | np.integer) -> str:
    return f"bin q = {coordinate(stacked, 'q')[b]:.5g} 1/Å, phi = {coordinate(stacked, 'phi')[b]:.4g}°"


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


def _noise_is_known(stacked: xr.Dataset) -> bool:
    if "sigma" not in stacked or stacked["sigma"].dims != ("bin",):
        return False
    sigma = np.asarray(stacked["sigma"].values, float)
    return bool(np.all(np.isfinite(sigma) & (sigma > 0)))


def noise_of(stacked: xr.Dataset, parts: dict[tuple[int, ...], Any]) -> np.ndarray:
    """Noise of a pixel of each bin: as the dataset says, else from the parts that were found, by place."""
    if _noise_is_known(stacked):
        return np.asarray(stacked["sigma"].values, float)
    sigma = np.asarray(sigma_of(stacked, parts).values, float)
    unknown = np.flatnonzero(~(np.isfinite(sigma) & (sigma > 0)))
    if unknown.size:
        raise DataFormatError(
            f"the noise of {', '.join(_name(stacked, b) for b in unknown[:4])} cannot be estimated",
            where="sigma",
            hint="use more frames, give the dataset sigma(q, phi), or leave the bin out",
        )
    return sigma
