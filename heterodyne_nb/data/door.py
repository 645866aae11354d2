"""The door: what any verb is given, mended to the data model or refused; many runs are told from one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import xarray as xr

from heterodyne_nb.data.units import METADATA, converted, frame_step
from heterodyne_nb.errors import ConfigurationError, DataFormatError

__all__ = ["RUN", "checked", "of_run", "one_index", "one_run", "over_runs", "runs_of", "with_bin_dims"]

RUN = "run"
"""Dimension of a dataset that holds several runs."""
Verb = TypeVar("Verb", bound=Callable[..., Any])


def runs_of(data: xr.Dataset | xr.DataTree) -> dict[str, xr.Dataset]:
    """The runs of a dataset with the dimension ``run``, or of a tree of datasets, by name."""
    if isinstance(data, xr.DataTree):
        leaves = {leaf.path.strip("/"): leaf.to_dataset() for leaf in data.leaves}
        return {name: ds for name, ds in leaves.items() if ds.data_vars}
    found = {}
    for k in range(data.sizes[RUN]):
        one = of_run(data.isel({RUN: k}))
        found[str(data[RUN].values[k]) if RUN in data.coords else f"run {k + 1}"] = one
    return found


def of_run(ds: xr.Dataset) -> xr.Dataset:
    """One run that was picked from many, as its own file would give it: what is known of it goes to the attributes."""
    known = {n: ds[n].item() for n in (RUN, "file", *METADATA) if n in ds.coords and ds[n].ndim == 0}
    if not known:
        return ds
    attrs = {
        name: value for name, value in known.items() if name in METADATA and value == value and value != ""
    }
    attrs["source"] = str(known.get(RUN, ds.attrs.get("source", "")))
    out = ds.drop_vars(known).assign_attrs(attrs)
    if known.get("file"):
        out.encoding = {**ds.encoding, "source": str(known["file"])}
    return out


def one_run(data: Any, purpose: str) -> xr.Dataset:
    """A dataset of a single run, or an error that says what can be done with many.

    Raises
    ------
    ConfigurationError
        It is no Dataset, or holds several runs.
    """
    if isinstance(data, xr.Dataset):
        if data.sizes.get(RUN, 1) == 1:
            return of_run(data.isel({RUN: 0}) if RUN in data.dims else data)
        many = f"{data.sizes[RUN]} runs"
    elif isinstance(data, xr.DataTree):
        many = f"a tree of {len(runs_of(data))} runs"
    else:
        raise ConfigurationError(
            f"a {type(data).__name__} is no dataset",
            where=purpose,
            expected="a Dataset or a FrameSet" if purpose == "fit" else "a Dataset, as open_dataset gives it",
        )
    raise ConfigurationError(
        f"the data are {many}",
        where=purpose,
        expected="a single run",
        hint="data.isel(run=0) or tree['name'].to_dataset() picks one, average_runs(data) averages repeats, "
        "fit_batch(data, over='run') fits each",
    )


def over_runs(verb: Verb) -> Verb:
    """Let a function of one dataset take many runs: it is done run by run, and the answers are joined again."""

    @functools.wraps(verb)
    def done(ds: Any, *args: Any, **settings: Any) -> Any:
        if isinstance(ds, xr.Dataset):
            ds = checked(ds)
        elif not hasattr(ds, "dims") and not isinstance(ds, xr.DataTree):
            ds = one_run(ds, verb.__name__)  # which says what it is instead
        if not isinstance(ds, xr.DataTree) and RUN not in getattr(ds, "dims", ()):
            return verb(ds, *args, **settings)
        parts, made = runs_of(ds), {}
        for k, (name, one) in enumerate(parts.items()):
            own = [a.isel({RUN: k}) if RUN in getattr(a, "dims", ()) else a for a in args]
            own_settings = {
                n: a.isel({RUN: k}) if RUN in getattr(a, "dims", ()) else a for n, a in settings.items()
            }
            made[name] = verb(one, *own, **own_settings)
        answers = list(made.values())
        if isinstance(ds, xr.DataTree):
            whole = all(isinstance(one, xr.Dataset) for one in answers)
            return xr.DataTree.from_dict(made) if whole else made
        if all(isinstance(one, xr.Dataset) for one in answers):
            from heterodyne_nb.data.runs import join_runs

            return join_runs(answers, list(made))
        arrays = [one if isinstance(one, xr.DataArray) else xr.DataArray(one) for one in answers]
        return xr.concat(arrays, xr.Variable(RUN, list(made)))

    return cast(Verb, done)


_BINS = ("q", "phi", "bin")
_FRAMES = ("t", "t1", "t2")
_DIMS: dict[str, tuple[str, ...]] = {
    "c2": (*_BINS, "t1", "t2"),
    **dict.fromkeys(("g2", "g2_err"), (*_BINS, "tau", "age")),
    **dict.fromkeys(("n_pixels", "sigma", "usable"), _BINS),
    "mask": ("t",),
    **dict.fromkeys(("c2_cells", "c2_cells_err", "cell_pixels"), (*_BINS, "lag_cell", "age_cell")),
    "lag_edges": ("lag_edge",),
    "age_edges": ("age_edge",),
    "intensity": (*_BINS, "t"),  # of the detector, or one a bin
}
"""Dimensions that a variable may have, beside ``run``."""


def checked(ds: xr.Dataset) -> xr.Dataset:
    """A dataset after any steps of xarray as the data model has it; itself where nothing is to be mended.

    Parameters
    ----------
    ds : Dataset
        Opened or made by this package, then selected, masked (``where``), cropped (``sel(t=…)``), joined, coarsened,
        chunked, transposed, or saved and opened by xarray.

    Returns
    -------
    Dataset
        Coordinates in the package's units, float64; ``t``, ``t1`` and ``t2`` the same frames, those that all three
        have kept; ``dt`` the step of t; ``mask(t)`` true where every frame that went into a row is used; a dimension
        that ``where`` spread over a variable is taken back, NaN being what it left out.

    Raises
    ------
    DataFormatError
        Something that is not a correlation map or curve of bins: named, with what was expected.
    """
    ds = converted(ds)
    names = [name for name in ("c2", "g2") if name in ds]
    if not names:
        return ds
    ds = one_index(ds)
    if lost := [name for name in ("q", "phi") if name not in ds.coords]:
        raise DataFormatError(
            f"the {' and '.join(lost)} of the bins is not there",
            where=lost[0],
            expected="coordinates q and phi",
            hint=f"give it: ds.assign_coords({lost[0]}=…)",
        )
    changes: dict[str, Any] = {}
    for name in [n for n in _DIMS if n in ds]:
        if ds[name].dtype.kind not in "iufb":
            raise DataFormatError(f"values of type {ds[name].dtype}", where=name, expected="numbers")
        extra = [d for d in ds[name].dims if d not in (*_DIMS[name], RUN)]
        if extra:
            changes[name] = _taken_back(ds, name, extra)
    ds = ds.assign(changes) if changes else ds
    if "c2" in ds:
        ds = _framed(ds, "c2" in changes or "mask" in changes)
    narrow = {
        n: ds[n].astype(float) for n in (*_BINS, *_FRAMES, "tau") if n in ds.coords and _is_narrow(ds[n])
    }
    return ds.assign_coords({n: (v.dims, v.values, ds[n].attrs) for n, v in narrow.items()}) if narrow else ds


def with_bin_dims(ds: xr.Dataset) -> xr.Dataset:
    """The dataset with dimensions q and phi where a single one was picked with ``isel`` or ``sel``."""
    if "bin" in ds.dims:
        return ds
    picked = [name for name in ("q", "phi") if name in ds.coords and name not in ds.dims]
    if not picked:
        return ds
    by_bin = [name for name in _DIMS if name in ds and set(_BINS) & set(_DIMS[name])]
    return ds.assign({name: ds[name].expand_dims(picked) for name in by_bin})


def one_index(ds: xr.Dataset) -> xr.Dataset:
    """The dataset with q and phi as coordinates of ``bin``, where xarray's ``stack`` made levels of one index of them."""
    levels = ds.indexes["bin"].names if "bin" in ds.indexes else []
    return ds.reset_index("bin") if len(levels) > 1 else ds


def _is_narrow(values: xr.DataArray) -> bool:
    return values.dtype.kind == "f" and values.dtype.itemsize < 8


def _taken_back(ds: xr.Dataset, name: str, extra: list[Any]) -> xr.DataArray:
    """The variable without dimensions that ``where`` spread it over."""
    array, allowed = ds[name], {*_DIMS["c2"], "t", "tau", "age", RUN}
    if not set(extra) <= allowed:
        raise DataFormatError(
            f"{name} has the dimension {', '.join(sorted(map(str, extra)))}",
            where=name,
            expected=f"some of {', '.join((RUN, *_DIMS[name]))}",
            hint="pick one along it with isel, or rename it to what it is",
        )
    if name == "c2":  # large: any place where the condition holds
        known = ds["mask"] if "mask" in ds and set(extra) <= set(ds["mask"].dims) else array
        known = known.notnull().any([d for d in known.dims if d not in extra])
        place = np.argwhere(known.transpose(*extra).values)
        if not len(place):
            raise DataFormatError("c2 is NaN everywhere", where=name, expected="some values")
        return array.isel(dict(zip(extra, place[0].tolist(), strict=True)))
    if array.dtype.kind != "f":
        low, high = array.min(extra), array.max(extra)
        same = bool((low == high).all())
    else:
        low, high = array.min(extra, skipna=True), array.max(extra, skipna=True)
        same = bool(((low == high) | high.isnull()).all())
    if not same:
        raise DataFormatError(
            f"{name} differs along {', '.join(map(str, extra))}",
            where=name,
            expected=f"one {name} for all of {', '.join(map(str, extra))}",
            hint="fit such parts one by one, or set what differs to NaN in c2",
        )
    return high.assign_attrs(array.attrs)


def _framed(ds: xr.Dataset, changed: bool = False) -> xr.Dataset:
    """The frames of a two-time map as one: t, t1, t2, frame, mask and dt belong together."""
    from heterodyne_nb.data.dataset import ATTRS

    lost = [d for d in ("t1", "t2") if d not in ds["c2"].dims]
    if lost or not any(b in ds["c2"].dims or b in ds.coords for b in _BINS):
        raise DataFormatError(
            f"c2 has the dimensions {', '.join(map(str, ds['c2'].dims))}",
            where="c2",
            expected="c2(q, phi, t1, t2) or c2(bin, t1, t2)",
            hint="rename them; one time is not enough: sel(t=…) or prepare.crop_frames crops both",
        )
    for d in _FRAMES:
        if d in ds.indexes and not ds.indexes[d].is_monotonic_increasing:
            ds = ds.sortby(d)
    times = {d: ds[d].values for d in _FRAMES if d in ds.coords}
    if len(times) < 3 or any(v.shape != times["t"].shape or np.any(v != times["t"]) for v in times.values()):
        ds, cropped = _same_frames(ds, times)
        changed |= cropped
    n = ds.sizes["t1"]
    if ds.sizes["t2"] != n or ("t" in ds.sizes and ds.sizes["t"] != n):
        raise DataFormatError(
            f"there are {n} t1 and {ds.sizes['t2']} t2", where="c2", expected="the same frames along both",
            hint="crop with sel(t=…) or prepare.crop_frames",
        )  # fmt: skip
    changes: dict[str, Any] = {}
    t = ds["t"].values
    step = frame_step(t, "t") if n > 1 else float(ds.attrs.get("dt", np.nan))
    dt = ds.attrs.get("dt")
    if not isinstance(dt, int | float | np.number) or not np.isclose(float(dt), step, rtol=1e-6):
        ds = ds.assign_attrs(dt=step)
    frame = ds["frame"].values if "frame" in ds.coords else np.empty(0)
    if frame.shape != (n,) or frame.dtype.kind != "i":
        numbers = np.rint(frame).astype(int)
        if frame.shape != (n,) or np.any(frame != numbers):  # none, or those of coarsened frames
            numbers = max(1, round(t[0] / step)) + np.arange(n)
        ds = ds.drop_vars("frame", errors="ignore").assign_coords(frame=("t", numbers, ATTRS["frame"]))
    if "mask" not in ds:
        changes["mask"] = ("t", np.ones(n, bool), ATTRS["mask"])
    for name in ("mask", "usable"):
        if name in ds and ds[name].dtype != bool:
            changes[name] = (ds[name] == 1).assign_attrs(ds[name].attrs or ATTRS[name])
    if ds["c2"].dtype.kind in "iub":
        changes["c2"] = ds["c2"].astype(np.float32)
    ds = ds.assign(changes) if changes else ds
    changed |= "tau" in ds.dims and bool(np.max(ds["tau"].values, initial=0) > (n - 1) * step * (1 + 1e-9))
    if changed and "g2" in ds and ds["g2"].attrs.get("origin") == "computed from c2":
        from heterodyne_nb.data.lazyarray import with_lazy_g2

        return with_lazy_g2(ds)
    return ds


def _same_frames(ds: xr.Dataset, times: dict[str, np.ndarray]) -> tuple[xr.Dataset, bool]:
    """Crop t, t1 and t2 to the frames that all of them have; make those that are not there."""
    from heterodyne_nb.data.dataset import ATTRS

    if not times:
        dt = ds.attrs.get("dt")
        if dt is None:
            raise DataFormatError(
                "neither t nor dt is there", where="t", expected="times of the frames, s",
                hint="ds.assign_attrs(dt=…)",
            )  # fmt: skip
        times = {"t1": (np.arange(ds.sizes["t1"]) + 1) * float(dt)}
    common = functools.reduce(np.intersect1d, times.values())
    if not common.size:
        raise DataFormatError("t, t1 and t2 have no frame in common", where="t", expected="the same frames")
    ds = ds.isel({d: np.flatnonzero(np.isin(v, common)) for d, v in times.items() if d in ds.dims})
    new = {d: (d, common, ATTRS[d]) for d in _FRAMES if ds.sizes.get(d, common.size) == common.size}
    return ds.assign_coords(new), any(v.size != common.size for v in times.values())
