"""Which bins are merged into which: a plan, with no data in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.data.bins import levels
from heterodyne_nb.errors import ConfigurationError

__all__ = ["Groups", "grouping"]

_NO_DIRECTION = 0.05
"""Shortest mean direction vector that still gives a φ."""


@dataclass(frozen=True)
class Groups:
    """Places of the bins merged into each new bin.

    Attributes
    ----------
    dims : tuple of str
        ``("q", "phi")`` or ``("bin",)``, of the data and of the result.
    members : ndarray of object
        In the shape of the result: a list of places (index tuples) of the data for each new bin.
    q, phi, pixels : ndarray
        Of the data, in its shape; a dead bin has 0 pixels.
    """

    dims: tuple[str, ...]
    members: np.ndarray
    q: np.ndarray
    phi: np.ndarray
    pixels: np.ndarray

    @property
    def bin_form(self) -> bool:
        """Whether the result has a ``bin`` dimension."""
        return self.dims == ("bin",)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dims of the result."""
        return self.members.shape

    def collect(self, values: np.ndarray, how: Callable[..., Any]) -> np.ndarray:
        """Apply ``how(values of the members, axis=0)`` for each new bin."""
        rows = [how(np.stack([values[place] for place in cell]), axis=0) for cell in self.members.flat]
        return np.stack(rows).reshape(*self.shape, *values.shape[len(self.dims) :])

    def coord_dim(self, name: str) -> str:
        """Return the dimension that coordinate q or phi belongs to."""
        return "bin" if self.bin_form else name

    def merged_coord(self, name: str) -> np.ndarray:
        """Return the q or phi of the new bins; a whole row or column of bins shares one."""
        cells = self.members if self.bin_form else np.moveaxis(self.members, self.dims.index(name), 0)
        merge = _mean_q if name == "q" else _mean_phi
        values = self.q if name == "q" else self.phi
        out = []
        for one in cells.reshape(len(cells), -1):
            places = [place for cell in one for place in cell]
            out.append(merge(*(np.array([a[place] for place in places]) for a in (values, self.pixels))))
        return np.array(out)


def _mean_q(q: np.ndarray, weights: np.ndarray) -> float:
    return float(np.average(q, weights=weights) if weights.sum() > 0 else q.mean())


def _mean_phi(phi: np.ndarray, weights: np.ndarray) -> float:
    if np.unique(phi).size == 1:
        return float(phi[0])
    weights = weights if weights.sum() > 0 else np.ones(len(phi))
    direction = np.average(np.exp(1j * np.deg2rad(phi)), weights=weights)
    if abs(direction) < _NO_DIRECTION:
        return 0.0
    mean = float(np.rad2deg(np.angle(direction)))
    return mean if phi.max() <= 180 or mean >= 0 else mean + 360


def grouping(
    ds: xr.Dataset, groups: Sequence[Sequence[int]] | None, over: str | None, phi_width: float | None
) -> Groups:
    """Return the plan that the arguments of :func:`heterodyne_nb.data.prepare.merge_bins` ask for."""
    if sum(choice is not None for choice in (groups, over, phi_width)) != 1:
        raise ConfigurationError(
            "say in one way which bins to merge",
            where="merge_bins",
            expected="exactly one of groups=[[0, 1], …], over='phi', over='q', phi_width=30",
        )
    if groups is not None:
        return _by_lists(ds, groups)
    if over is not None and over not in ("phi", "q"):
        raise ConfigurationError(f"cannot merge over {over!r}", where="over", expected="'phi' or 'q'")
    if phi_width is not None:
        _check_width(phi_width)
    return _by_bin(ds, over, phi_width) if "bin" in ds.dims else _by_axis(ds, over, phi_width)


def _check_width(phi_width: Any) -> None:
    if not isinstance(phi_width, (int, float)) or not 0 < phi_width <= 360:
        raise ConfigurationError(
            f"{phi_width!r}", where="phi_width", expected="degrees, above 0, at most 360"
        )


def _plan(ds: xr.Dataset, dims: tuple[str, ...], members: np.ndarray) -> Groups:
    shape = [ds.sizes[d] for d in dims]
    like = xr.DataArray(np.zeros(shape), dims=dims, coords={n: ds[n].variable for n in ("q", "phi")})
    q, phi = ((like + like[name]).transpose(*dims).values for name in ("q", "phi"))
    return Groups(dims, members, q, phi, _weights(ds, dims))


def _weights(ds: xr.Dataset, dims: tuple[str, ...]) -> np.ndarray:
    """Return the pixels of each bin; a dead bin weighs nothing."""
    pixels = np.ones([ds.sizes[d] for d in dims])
    if "n_pixels" in ds:
        pixels = ds["n_pixels"].transpose(*dims).values.astype(float)
    if "usable" in ds:
        pixels = np.where(ds["usable"].transpose(*dims).values, pixels, 0.0)
    return np.where(np.isfinite(pixels), pixels, 0.0)


def _as_cells(lists: list[Any]) -> np.ndarray:
    cells = np.empty(len(lists), dtype=object)
    cells[:] = lists
    return cells


def _by_lists(ds: xr.Dataset, groups: Any) -> Groups:
    if "bin" not in ds.dims:
        from heterodyne_nb.data.bins import stack_bins

        ds = stack_bins(ds, drop_dead=False)
    n_bins = ds.sizes["bin"]
    lists = [_checked_group(group, n_bins) for group in groups]
    if not lists:
        raise ConfigurationError("no groups", where="groups", expected="a list of lists of bin positions")
    return _plan(ds, ("bin",), _as_cells([[(int(b),) for b in one] for one in lists]))


def _checked_group(group: Any, n_bins: int) -> np.ndarray:
    members = np.atleast_1d(np.asarray(group))
    whole = members.size > 0 and members.ndim == 1 and np.issubdtype(members.dtype, np.integer)
    if not whole or members.min() < 0 or members.max() >= n_bins or np.unique(members).size < members.size:
        raise ConfigurationError(
            f"{group!r} is not a group of bins",
            where="groups",
            expected=f"different positions from 0 to {n_bins - 1}",
        )
    return members


def _by_axis(ds: xr.Dataset, over: str | None, phi_width: float | None) -> Groups:
    axis = over or "phi"
    kept = range(ds.sizes["q" if axis == "phi" else "phi"])
    if phi_width is None:
        sets = [np.arange(ds.sizes[axis])]
    else:
        sets = _sectors(ds["phi"].values, float(phi_width))
    cells = np.empty((len(kept), len(sets)), dtype=object)
    for k in kept:
        for column, members in enumerate(sets):
            cells[k, column] = [(k, int(m)) if axis == "phi" else (int(m), k) for m in members]
    return _plan(ds, ("q", "phi"), cells if axis == "phi" else cells.T)


def _by_bin(ds: xr.Dataset, over: str | None, phi_width: float | None) -> Groups:
    q, phi = ds["q"].values, ds["phi"].values
    lists: list[np.ndarray] = []
    for inside in _spokes(phi) if over == "q" else _same(levels(q)[1]):
        parts = [np.arange(inside.size)] if phi_width is None else _sectors(phi[inside], float(phi_width))
        lists += [inside[part] for part in parts]
    return _plan(ds, ("bin",), _as_cells([[(int(b),) for b in one] for one in lists]))


def _spokes(phi: np.ndarray) -> list[np.ndarray]:
    return _same(np.unique(np.round(phi % 360, 6) % 360, return_inverse=True)[1])


def _same(labels: np.ndarray) -> list[np.ndarray]:
    """Return the positions of each label, in the order in which the labels first appear."""
    return [np.flatnonzero(labels == label) for label in dict.fromkeys(labels.tolist())]


def _sectors(phi: np.ndarray, width: float) -> list[np.ndarray]:
    """Group φ into sectors [first, first + width), [first + width, …) counted from the first bin."""
    sector = np.floor(((phi - phi[0]) % 360 + 1e-9) / width).astype(int)
    return _same(sector)
