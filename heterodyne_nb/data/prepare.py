"""Prepare a dataset for a fit: select, crop, mask, merge, cut, and look at its noise.

Every function takes an :class:`xarray.Dataset` of the package's data model, in its (q, phi) or its ``bin``
form, changes nothing in place, and reads at most one two-time map at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from xarray.core import indexing

from heterodyne_nb.data.age_lag import EDGES
from heterodyne_nb.data.cuts import g2_cuts
from heterodyne_nb.data.dataset import levels
from heterodyne_nb.data.door import over_runs, with_bin_dims
from heterodyne_nb.data.fringes import fringe_spectrum, fringe_velocity
from heterodyne_nb.data.lazyarray import BinArray, with_lazy_g2
from heterodyne_nb.data.sigma import detect_bad_frames, estimate_sigma
from heterodyne_nb.errors import ConfigurationError

__all__ = [
    "crop_frames",
    "detect_bad_frames",
    "estimate_sigma",
    "exclude_points",
    "fringe_spectrum",
    "fringe_velocity",
    "g2_cuts",
    "mask_frames",
    "merge_bins",
    "select",
    "unmask",
]


Choice = float | Sequence[float] | tuple[float, float] | None

_SINGLE_PHI_TOLERANCE = 10.0
"""How far (degrees) a wanted φ may be from the only φ there is."""


@over_runs
def select(ds: xr.Dataset, *, q: Choice = None, phi: Choice = None) -> xr.Dataset:
    """Keep some q and φ, reading nothing.

    Parameters
    ----------
    ds : xarray.Dataset
        A dataset with dims ``q``, ``phi`` or with dim ``bin``.
    q : float, list of float, or (lo, hi), optional
        In 1/Å. A number keeps the nearest q, a list the nearest of each, a tuple of two the inclusive range.
    phi : float, list of float, or (lo, hi), optional
        In degrees, equal modulo 360. ``(170, -170)`` and ``(170, 190)`` are the same range across the cut.

    Returns
    -------
    xarray.Dataset
        With all its dimensions, in the order of ``ds`` (a list of numbers: in the order of the list).

    Raises
    ------
    ConfigurationError
        Nothing matches, or a number is further from every value than these are from each other.
    """
    if "bin" in ds.dims:
        return _select_bins(ds, q, phi)
    for name, choice in (("q", q), ("phi", phi)):
        if choice is not None:
            ds = ds.isel({name: _matching(name, np.atleast_1d(ds[name].values), choice)})
    return ds


def _select_bins(ds: xr.Dataset, q: Choice, phi: Choice) -> xr.Dataset:
    """Keep the bins that satisfy q first, then those of them that satisfy phi (ring by ring for numbers)."""
    if q is not None:
        rings, ring_of_bin = levels(ds["q"].values)
        ds = ds.isel(bin=_bins_of(ring_of_bin, _matching("q", rings, q)))
    if phi is None:
        return ds
    if isinstance(phi, tuple):
        return ds.isel(bin=_matching("phi", ds["phi"].values, phi))
    _, ring_of_bin = levels(ds["q"].values)
    kept = []
    for ring in dict.fromkeys(ring_of_bin.tolist()):
        members = np.flatnonzero(ring_of_bin == ring)
        kept.append(members[_matching("phi", ds["phi"].values[members], phi)])
    return ds.isel(bin=np.concatenate(kept))


def _bins_of(ring_of_bin: np.ndarray, rings: np.ndarray) -> np.ndarray:
    return np.concatenate([np.flatnonzero(ring_of_bin == ring) for ring in rings])


def _matching(name: str, values: np.ndarray, choice: Any) -> np.ndarray:
    """Return the indices of ``values`` that ``choice`` asks for."""
    numbers = _numbers(name, choice)
    if isinstance(choice, tuple):
        return _in_range(name, values, numbers)
    found = [_nearest(name, values, wanted) for wanted in numbers]
    return np.array(list(dict.fromkeys(found)), dtype=int)


def _numbers(name: str, choice: Any) -> np.ndarray:
    expected = "a number, a list of numbers, or a (lo, hi) tuple"
    try:
        numbers = np.atleast_1d(np.asarray(choice, dtype=float))
    except (TypeError, ValueError):
        numbers = np.array([])
    if numbers.ndim != 1 or not numbers.size or not np.isfinite(numbers).all():
        raise ConfigurationError(f"cannot select {choice!r}", where=name, expected=expected)
    if isinstance(choice, tuple) and numbers.size != 2:
        raise ConfigurationError(
            f"the range {choice!r} has {numbers.size} numbers",
            where=name,
            expected=expected,
            hint="write a list, [..], to ask for single values",
        )
    return numbers


def _in_range(name: str, values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    lo, hi = limits
    inside = _RANGE[name](values, lo, hi)
    if not inside.any():
        raise ConfigurationError(f"no {name} in [{lo:g}, {hi:g}]", where=name, expected=_offer(name, values))
    return np.flatnonzero(inside)


def _q_inside(values: np.ndarray, lo: float, hi: float) -> np.ndarray:
    slack = 1e-9 * max(abs(lo), abs(hi))
    return (values >= lo - slack) & (values <= hi + slack)


def _phi_inside(values: np.ndarray, lo: float, hi: float) -> np.ndarray:
    if hi - lo >= 360:
        return np.isfinite(values)
    slack = 1e-9 * 360
    return (values - lo + slack) % 360 <= (hi - lo) % 360 + 2 * slack


def _q_distance(values: np.ndarray, wanted: float) -> np.ndarray:
    return np.abs(values - wanted)


def _phi_distance(values: np.ndarray, wanted: float) -> np.ndarray:
    return np.abs((values - wanted + 180) % 360 - 180)


_RANGE: dict[str, Callable[..., np.ndarray]] = {"q": _q_inside, "phi": _phi_inside}
_DISTANCE: dict[str, Callable[..., np.ndarray]] = {"q": _q_distance, "phi": _phi_distance}


def _nearest(name: str, values: np.ndarray, wanted: float) -> int:
    distance = np.where(np.isfinite(values), _DISTANCE[name](values, wanted), np.inf)
    best = int(np.argmin(distance))
    if distance[best] > _tolerance(name, values):
        raise ConfigurationError(
            f"no {name} near {wanted:g}; the nearest, {values[best]:g}, is too far to be meant",
            where=name,
            expected=_offer(name, values),
            hint="q is in 1/Å (0.1 nm⁻¹ is 0.01 1/Å), phi in degrees",
        )
    return best


def _tolerance(name: str, values: np.ndarray) -> float:
    """Return the widest spacing of the values: a number further away than that is a mistake."""
    distinct = np.unique(values[np.isfinite(values)])
    if distinct.size > 1:
        return float(np.diff(distinct).max())
    return _SINGLE_PHI_TOLERANCE if name == "phi" else 0.5 * float(np.abs(distinct).max(initial=0))


def _offer(name: str, values: np.ndarray) -> str:
    distinct = np.unique(values[np.isfinite(values)])
    shown = [f"{v:.6g}" for v in distinct]
    if len(shown) > 24:
        shown = [*shown[:12], "…", *shown[-12:]]
    return f"one of the {distinct.size} {name} in the data: {', '.join(shown)}"


_EXPECTED = "frame numbers, (first, last) ranges, or one bool a frame (True: used)"


@over_runs
def crop_frames(ds: xr.Dataset, start: int | None = None, end: int | None = None) -> xr.Dataset:
    """Keep the frames from ``start`` to ``end``, both included.

    Parameters
    ----------
    ds : xarray.Dataset
        With a two-time map.
    start, end : int, optional
        Absolute 1-based frame numbers, as in ``ds.frame``. None, and -1 for ``end``: the limit of ``ds``.

    Returns
    -------
    xarray.Dataset
        Times stay absolute (t = frame × dt). g2 is computed anew from the kept frames, on demand.

    Raises
    ------
    ConfigurationError
        A frame outside the data, fewer than two frames left, or only a measured g2, which cannot be cropped.
    """
    if start is None and end in (None, -1):
        return ds
    _need_c2(ds, "cropped")
    frame = ds["frame"].values
    lo = int(frame[0]) if start is None else _frame_number(start, frame, "start")
    hi = int(frame[-1]) if end is None or end == -1 else _frame_number(end, frame, "end")
    if lo >= hi:
        raise ConfigurationError(
            f"start {lo} and end {hi} leave fewer than two frames", where="frames", expected="start < end"
        )
    if lo == frame[0] and hi == frame[-1]:
        return ds
    kept = slice(int(np.searchsorted(frame, lo)), int(np.searchsorted(frame, hi, side="right")))
    _enough_used(ds["mask"].values[kept])
    cropped = ds.drop_dims("tau_measured", errors="ignore").isel(dict.fromkeys(("t", "t1", "t2"), kept))
    return with_lazy_g2(cropped)


def _frame_number(value: Any, frame: np.ndarray, where: str) -> int:
    expected = f"a frame number from {frame[0]} to {frame[-1]} (the first frame of a run is 1)"
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ConfigurationError(f"{value!r} is not a frame number", where=where, expected=expected)
    if not frame[0] <= value <= frame[-1]:
        raise ConfigurationError(f"frame {value} is not in the data", where=where, expected=expected)
    return int(value)


@over_runs
def mask_frames(ds: xr.Dataset, frames: Any) -> xr.Dataset:
    """Leave frames out of everything computed from now on; masks add up.

    Parameters
    ----------
    ds : xarray.Dataset
        With a two-time map.
    frames : int, (first, last), list of these, or bool array of shape (N,)
        1-based absolute frame numbers to leave out; a tuple of two is an inclusive range. A bool array says
        which frames are USED, as ``ds.mask`` and :func:`detect_bad_frames` do.

    Returns
    -------
    xarray.Dataset
        ``mask(t)`` is False for these frames. g2 is computed anew from c2, on demand; a measured g2 is kept
        as ``g2_measured(…, tau_measured)`` and comes back with :func:`unmask`.

    Raises
    ------
    ConfigurationError
        Not frames, outside the data, fewer than two left, or only a measured g2, which cannot be masked.
    """
    _need_c2(ds, "masked")
    used = ds["mask"].values.astype(bool) & ~named_frames(ds["frame"].values, frames)
    return _with_mask(ds, used)


@over_runs
def exclude_points(ds: xr.Dataset, points: Iterable[Sequence[float]]) -> xr.Dataset:
    """Leave points of g2 out of fits: they become NaN.

    Parameters
    ----------
    ds : xarray.Dataset
        With ``g2(…, tau)``.
    points : iterable of (q, phi, tau)
        In 1/Å, degrees and s; each within 1e-4 of q and tau and 0.01° of one there is.

    Returns
    -------
    xarray.Dataset
        The attribute ``excluded_points`` lists all that were left out, flat.

    Raises
    ------
    ConfigurationError
        The data have no g2, or no such point.
    """
    if "g2" not in ds:
        raise ConfigurationError("the dataset has no g2", where="dataset", expected="g2(q, phi, tau)")
    out: Any = False
    listed = [tuple(map(float, point)) for point in points]
    for q, phi, tau in listed:
        here = (abs(ds["q"] / q - 1) < 1e-4) & (abs((ds["phi"] - phi + 180) % 360 - 180) < 1e-2)
        here = here & (abs(ds["tau"] / tau - 1) < 1e-4)
        if not bool(here.any()):
            raise ConfigurationError(
                f"g2 has no point at {(q, phi, tau)}", where="points", expected="(q, phi, tau)"
            )
        out = out | here
    if not listed:
        return ds
    before = np.atleast_1d(ds.attrs.get("excluded_points", [])).tolist()
    kept = ds["g2"].where(~out).transpose(*ds["g2"].dims).assign_attrs(ds["g2"].attrs)
    return ds.assign(g2=kept).assign_attrs(excluded_points=[*before, *np.ravel(listed).tolist()])


@over_runs
def unmask(ds: xr.Dataset, frames: Any = None) -> xr.Dataset:
    """Use frames again: those named (a bool array: where it is False), or all.

    Parameters
    ----------
    ds : xarray.Dataset
        As returned by :func:`mask_frames`.
    frames : optional
        As for :func:`mask_frames`; None for all frames.

    Returns
    -------
    xarray.Dataset
        With a measured g2 back in place once all frames are used.
    """
    _need_c2(ds, "unmasked")
    used = np.ones(ds.sizes["t"], dtype=bool)
    if frames is not None:
        used = ds["mask"].values.astype(bool) | named_frames(ds["frame"].values, frames)
    return _with_mask(ds, used)


def named_frames(frame: np.ndarray, frames: Any) -> np.ndarray:
    """Return a bool array, True at the frames that are named."""
    if isinstance(frames, xr.DataArray):
        frames = frames.values
    items = _items(frames)
    if items and all(isinstance(item, (bool, np.bool_)) for item in items):
        return ~_bool_per_frame(np.array(items, dtype=bool), frame)
    named = np.zeros(len(frame), dtype=bool)
    for item in items:
        lo, hi = _range_of(item, frame)
        named |= (frame >= lo) & (frame <= hi)
    return named


def _items(frames: Any) -> list[Any]:
    """Return what is listed; a number or a (first, last) tuple is a list of one."""
    is_range = isinstance(frames, tuple) and len(frames) == 2 and not any(map(_is_sequence, frames))
    return list(frames) if _is_sequence(frames) and not is_range else [frames]


def _is_sequence(value: Any) -> bool:
    return (
        isinstance(value, Iterable) and not isinstance(value, (str, bytes)) and getattr(value, "ndim", 1) > 0
    )


def _bool_per_frame(used: np.ndarray, frame: np.ndarray) -> np.ndarray:
    if used.shape != frame.shape:
        raise ConfigurationError(
            f"{used.size} true/false values", where="frames", expected=f"{len(frame)}, one a frame"
        )
    return used


def _range_of(item: Any, frame: np.ndarray) -> tuple[int, int]:
    if isinstance(item, (tuple, list, np.ndarray)) and len(item) == 2:
        lo, hi = (_frame_number(limit, frame, "frames") for limit in item)
        if lo > hi:
            raise ConfigurationError(f"the range {item!r} runs backwards", where="frames", expected=_EXPECTED)
        return lo, hi
    if isinstance(item, (bool, np.bool_)) or not isinstance(item, (int, np.integer)):
        raise ConfigurationError(f"{item!r} is not a frame number", where="frames", expected=_EXPECTED)
    number = _frame_number(item, frame, "frames")
    return number, number


def _with_mask(ds: xr.Dataset, used: np.ndarray) -> xr.Dataset:
    _enough_used(used)
    ds = ds.assign(mask=("t", used, ds["mask"].attrs))
    if used.all() and "g2_measured" in ds:
        return _measured_back(ds)
    return with_lazy_g2(_measured_aside(ds))


def _enough_used(used: np.ndarray) -> None:
    if np.count_nonzero(used) < 2:
        raise ConfigurationError(
            f"only {np.count_nonzero(used)} of {used.size} frames would be used",
            where="frames",
            expected="at least two",
        )


def _need_c2(ds: xr.Dataset, done: str) -> None:
    if "c2" not in ds:
        raise ConfigurationError(
            f"there is only a measured g2, an average over all frames: it cannot be {done} afterwards",
            where="frames",
            expected="a dataset with a two-time map c2",
            hint="open the run's two-time result, or correlate it again without these frames",
        )


def _measured_aside(ds: xr.Dataset) -> xr.Dataset:
    if "g2" not in ds or ds["g2"].attrs.get("origin") == "computed from c2" or "g2_measured" in ds:
        return ds
    names = {"g2": "g2_measured", "g2_err": "g2_err_measured", "tau": "tau_measured"}
    return ds.rename({old: new for old, new in names.items() if old in ds.variables})


def _measured_back(ds: xr.Dataset) -> xr.Dataset:
    ds = ds.drop_vars(["g2", "g2_err", "tau"], errors="ignore")
    names = {"g2_measured": "g2", "g2_err_measured": "g2_err", "tau_measured": "tau"}
    return ds.rename({old: new for old, new in names.items() if old in ds.variables})


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
        from heterodyne_nb.data.dataset import stack_bins

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


@over_runs
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
    ds = with_bin_dims(ds)
    plan = grouping(ds, groups, over, phi_width)
    if plan.bin_form and "bin" not in ds.dims:
        from heterodyne_nb.data.dataset import stack_bins

        ds = stack_bins(ds, drop_dead=False)
    merged = xr.Dataset(coords=_coords(ds, plan), attrs=dict(ds.attrs))
    kept = ("mask", *EDGES) if "c2" in ds else ("mask",)
    merged = merged.assign({name: ds[name] for name in kept if name in ds}).assign(_scalars(ds, plan))
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


class _MergedMaps(BinArray):
    """The merged maps as a lazy array; a block reads that block of one member after the other."""

    def __init__(self, c2: xr.Variable, plan: Groups) -> None:
        self.c2, self.plan, self.weights = c2, plan, plan.pixels
        self.shape = (*plan.shape, *c2.shape[-2:])
        self.dtype = np.dtype(np.float32)

    def read_bin(self, place: tuple[int, ...], *wanted: np.ndarray) -> np.ndarray:
        rows, columns = wanted
        total, weight = np.zeros((2, len(rows), len(columns)))
        for member in self.plan.members[place]:
            if self.weights[member] > 0:
                block = np.asarray(self.c2[(*member, rows, columns)].values, dtype=float)
                good = np.isfinite(block)
                total += np.where(good, self.weights[member] * block, 0.0)
                weight += self.weights[member] * good
        with np.errstate(invalid="ignore", divide="ignore"):
            return total / weight
