"""Merge bins: two-time maps averaged with pixel weights, still read only when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from heterodyne_nb.data.derived import with_lazy_g2
from heterodyne_nb.data.groups import Groups, grouping

__all__ = ["merge_bins"]


def merge_bins(
    ds: xr.Dataset,
    groups: Sequence[Sequence[int]] | None = None,
    *,
    over: str | None = None,
    phi_width: float | None = None,
) -> xr.Dataset:
    """Average bins with their numbers of pixels as weights.

    Parameters
    ----------
    ds : xarray.Dataset
        In (q, phi) or ``bin`` form.
    groups : list of list of int, optional
        Positions along ``bin`` (for the (q, phi) form: of ``stack_bins(ds, drop_dead=False)``); the result is
        in ``bin`` form, one bin a list.
    over : {"phi", "q"}, optional
        Merge all φ of each q, or all q of each φ.
    phi_width : float, optional
        Merge the φ of each q that lie within sectors of this many degrees, counted from the first bin.

    Returns
    -------
    xarray.Dataset
        c2 = Σ n c2 / Σ n over the bins where the pixel is measured (lazy), and g2 from it on demand. Without
        c2: the measured g2 averaged likewise, g2_err = √(Σ (n err)²)/Σ n. n_pixels = Σ n and
        sigma = √(Σ (n sigma)²)/Σ n. q is the weighted mean, φ the weighted circular mean (0 where the bins
        go all the way round and no direction is left).

    Raises
    ------
    ConfigurationError
        Not exactly one way of merging is given, or it names bins that do not exist.
    """
    plan = grouping(ds, groups, over, phi_width)
    if plan.bin_form and "bin" not in ds.dims:
        from heterodyne_nb.data.bins import stack_bins

        ds = stack_bins(ds, drop_dead=False)
    merged = xr.Dataset(coords=_coords(ds, plan), attrs=dict(ds.attrs))
    merged = merged.assign({name: ds[name] for name in ("mask",) if name in ds})
    merged = merged.assign(_scalars(ds, plan))
    if "c2" not in ds:
        return _with_measured_g2(merged, ds, plan)
    c2 = ds["c2"].transpose(*plan.dims, "t1", "t2")
    lazy = indexing.LazilyIndexedArray(_MergedMaps(c2.variable, plan))
    return with_lazy_g2(merged.assign(c2=((*plan.dims, "t1", "t2"), lazy, c2.attrs)))


def _coords(ds: xr.Dataset, plan: Groups) -> dict[str, Any]:
    kept: dict[str, Any] = {n: ds[n] for n in ("t", "t1", "t2", "frame") if n in ds.coords}
    for name in ("q", "phi"):
        kept[name] = (plan.coord_dim(name), plan.merged_coord(name), ds[name].attrs)
    return kept


def _scalars(ds: xr.Dataset, plan: Groups) -> dict[str, Any]:
    """Merge n_pixels, sigma and usable."""
    pixels = ds["n_pixels"].transpose(*plan.dims) if "n_pixels" in ds else None
    out: dict[str, Any] = {}
    if pixels is not None:
        out["n_pixels"] = (plan.dims, plan.collect(plan.pixels, np.sum), pixels.attrs)
    if "sigma" in ds:
        errors = ds["sigma"].transpose(*plan.dims).values
        out["sigma"] = (plan.dims, _combined_error(errors, plan), ds["sigma"].attrs)
    if "usable" in ds:
        out["usable"] = (plan.dims, plan.collect(plan.pixels, np.sum) > 0, ds["usable"].attrs)
    return out


def _combined_error(errors: np.ndarray, plan: Groups) -> np.ndarray:
    weights = plan.pixels
    known = np.isfinite(errors)
    squares = plan.collect(np.where(known, (weights * errors) ** 2, 0.0), np.sum)
    total = plan.collect(np.where(known, weights, 0.0), np.sum)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(squares) / total


def _with_measured_g2(merged: xr.Dataset, ds: xr.Dataset, plan: Groups) -> xr.Dataset:
    dims = (*plan.dims, "tau")
    g2 = ds["g2"].transpose(*dims).values
    err = ds["g2_err"].transpose(*dims).values if "g2_err" in ds else np.full(g2.shape, np.nan)
    w = np.where(np.isfinite(g2), plan.pixels[..., None], 0.0)
    total = plan.collect(w, np.sum)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = plan.collect(np.where(w > 0, w * g2, 0.0), np.sum) / total
        error = np.sqrt(plan.collect(np.where(w > 0, (w * err) ** 2, 0.0), np.sum)) / total
    merged = merged.assign_coords(tau=ds["tau"])
    return merged.assign(g2=(dims, mean, ds["g2"].attrs), g2_err=(dims, error, ds["g2_err"].attrs))


class _MergedMaps(BackendArray):
    """The merged maps as a lazy array; a block reads that block of one member after the other."""

    def __init__(self, c2: xr.Variable, plan: Groups) -> None:
        self.c2, self.plan, self.weights = c2, plan, plan.pixels
        self.shape = (*plan.shape, *c2.shape[-2:])
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer_indexed
        )

    def _outer_indexed(self, key: tuple[Any, ...]) -> np.ndarray:
        chosen = [np.arange(n)[k] for n, k in zip(self.shape, key, strict=True)]
        *leads, rows, columns = [np.atleast_1d(places) for places in chosen]
        out = np.empty([len(places) for places in (*leads, rows, columns)], dtype=self.dtype)
        for slot in np.ndindex(*out.shape[:-2]):
            cell = tuple(int(p[s]) for p, s in zip(leads, slot, strict=True))
            out[slot] = self._block(self.plan.members[cell], rows, columns)
        return out.reshape([n for places in chosen for n in places.shape])

    def _block(self, members: list[tuple[int, ...]], rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        total, weight = np.zeros((2, len(rows), len(columns)))
        for place in members:
            if self.weights[place] > 0:
                block = np.asarray(self.c2[(*place, rows, columns)].values, dtype=float)
                good = np.isfinite(block)
                total += np.where(good, self.weights[place] * block, 0.0)
                weight += self.weights[place] * good
        with np.errstate(invalid="ignore", divide="ignore"):
            return total / weight
