"""Every number with its unit and meaning: what a file or a person says is obeyed, converted, or refused by name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning, warn

__all__ = [
    "FRAMES",
    "Quantity",
    "QUANTITIES",
    "convert",
    "convert_delays",
    "frame_step",
    "number",
    "reading",
    "standard_units",
]


class Quantity(NamedTuple):
    """A meaning: its unit in this package, the same as pint spells it, and what may be written."""

    unit: str
    pint: str
    expected: str


_Q = Quantity("1/Å", "1/angstrom", "1/Å or 1/nm, or another unit of 1/length")
_ANGLE = Quantity("degrees", "degree", "a unit of angle: degrees, rad, …")
_TIME = Quantity("s", "second", "a unit of time: s, ms, µs, ns, …")
_DELAY = Quantity("s", "second", "a unit of time (s, ms, µs, ns, …), or frames")
_LENGTH = Quantity("m", "meter", "a unit of length: m, mm, µm, …")
QUANTITIES: dict[str, Quantity] = {
    **dict.fromkeys(("q", "qx", "qy", "qz", "qr"), _Q),
    **dict.fromkeys(("phi", "alpha", "tth"), _ANGLE),
    **dict.fromkeys(("dt", "t", "t1", "t2", "age", "exposure"), _TIME),
    "tau": _DELAY,
    **dict.fromkeys(("detector_distance", "pixel_size", "wavelength"), _LENGTH),
    "energy": Quantity("keV", "kiloelectron_volt", "a unit of energy: keV, eV, J"),
    "temperature": Quantity("K", "kelvin", "a unit of temperature: K, degC"),
}
METADATA: dict[str, str] = {
    **dict.fromkeys(("start_time", "end_time", "sample", "uid", "scan_number", "averaged_files"), ""),
    **{name: QUANTITIES[name].unit for name in ("temperature", "exposure", "energy", "detector_distance")},
    **{"pixel_size": QUANTITIES["pixel_size"].unit, "beam_center_x": "pixel", "beam_center_y": "pixel"},
}
"""What is kept of a run, as attributes of a dataset: name -> unit (empty: a text)."""
METADATA_NUMBERS = {name for name, unit in METADATA.items() if unit}
FRAMES = "frames"
_FRAME_WORDS = {
    *("frame", "frames", "frame number", "frame numbers", "count", "counts", "number", "index", "steps"),
    *("1", "dimensionless", "unitless"),
    *("nx_count", "nx_int", "nx_unitless", "nx_dimensionless"),
}
_NOTHING = {"", "none", "n/a", "na", "null", "nx_any", "a.u.", "arb. units"}
_HIGHEST_Q = 10.0
"""1/Å: back-scattering of 10 keV; a larger number is in another unit."""


class _Reading:
    """What is known while one file is read: units that the user states, and those that had to be assumed."""

    def __init__(self, stated: Mapping[str, str] | None = None) -> None:
        self.stated, self.assumed = dict(stated or {}), dict[str, str]()
        unknown = sorted(set(self.stated) - set(QUANTITIES))
        if unknown:
            raise ConfigurationError(f"{unknown}", where="units", expected=f"names of {sorted(QUANTITIES)}")


_current: ContextVar[_Reading | None] = ContextVar("reading", default=None)


@contextmanager
def reading(stated: Mapping[str, str] | None = None) -> Iterator[_Reading]:
    """While a file is read: obey the units that the user states (name: unit), note those that are assumed."""
    token = _current.set(found := _Reading(stated))
    try:
        yield found
    finally:
        _current.reset(token)


def convert(values: Any, unit: str | None, name: str, where: str, assumed: str | None = None) -> Any:
    """Numbers in the unit that this package uses for what they mean.

    Parameters
    ----------
    values : float or array
        Numbers as they are written.
    unit : str or None
        The unit that is written beside them, in any spelling; None where nothing is.
    name : str
        What the numbers mean: a key of :data:`QUANTITIES`.
    where : str
        File and key, for messages.
    assumed : str, optional
        Unit where none is written: that of the package by default. A note is kept for the dataset.

    Raises
    ------
    DataFormatError
        The unit is unknown, or one of something else.

    Examples
    --------
    >>> round(convert(0.1, "nm^-1", "q", "file.h5:/q"), 12)
    0.01
    """
    unit = _unit_in_force(unit, name, where, assumed)
    quantity = QUANTITIES[name]
    if unit == quantity.unit:
        return values
    scale, offset = _factor(unit, name)
    if scale is None:
        expected = _TIME.expected if unit.lower() in _FRAME_WORDS else quantity.expected
        raise DataFormatError(f"the unit of {name} is {unit!r}", where=where, expected=expected)
    if (scale, offset) == (1.0, 0.0):
        return values
    numbers, divisor = np.asarray(values, dtype=float), round(1 / scale) if scale < 1 else 0
    whole = divisor and abs(divisor * scale - 1) < 1e-14  # 30 ms / 1000 is 0.03 s, 30 × 0.001 is not quite
    return (numbers / divisor if whole else numbers * scale) + offset


def convert_delays(
    values: Any, unit: str | None, where: str, assumed: str = FRAMES, name: str = "tau"
) -> tuple[Any, bool]:
    """Delays, and whether they count frames; else they are in s."""
    unit = _unit_in_force(unit, name, where, assumed)
    if unit.lower() in _FRAME_WORDS:
        return values, True
    return convert(values, unit, name, where), False


def frame_step(times: Any, where: str) -> float:
    """Time from frame to frame of the times of frames, s; equal to a tenth of a frame everywhere.

    Raises
    ------
    DataFormatError
        Frames are missing or steps differ: a map has one step.
    """
    t = np.asarray(times, dtype=float)
    step = float(t[-1] - t[0]) / max(t.size - 1, 1)
    off = np.abs(t - t[0] - step * np.arange(t.size))
    if not np.all(off <= 0.1 * abs(step)):
        smallest, largest = np.diff(t).min(), np.diff(t).max()
        raise DataFormatError(
            f"the times of the frames step by {smallest:.6g} to {largest:.6g} s", where=where, expected="equal steps",
            hint="put NaN where frames are missing, take a part that is equidistant, or correlate such frames again",
        )  # fmt: skip
    return step


def warn_if_odd_delays(tau: Any, dt: float, where: str) -> None:
    """Say so where the shortest delay, in s, is hardly one of this many frames: a unit may be wrong."""
    shortest = float(np.min(tau, where=np.asarray(tau) > 0, initial=np.inf))
    if np.isfinite(shortest) and not 0.5 * dt < shortest < 300 * dt:
        warn(
            f"{where}: the shortest delay, {shortest:g} s, is {shortest / dt:.3g} frames of {dt:g} s: if a unit is "
            "wrong, say units={'tau': …} or dt=…",
            DataWarning,
        )


def _unit_in_force(unit: str | None, name: str, where: str, assumed: str | None) -> str:
    """The user's word, then the file's, then what the layout means where it says nothing (which is noted)."""
    current = _current.get()
    if current is not None and name in current.stated:
        return current.stated[name]
    said = "" if unit is None else unit.strip()
    category = re.fullmatch(r"NX_[A-Z]+", said) and not (name == "tau" and said.lower() in _FRAME_WORDS)
    if said.lower() not in _NOTHING and not category:
        return said
    assumed = assumed or QUANTITIES[name].unit
    if said == "NX_TIME" and assumed == FRAMES:
        assumed = "s"
    if current is not None:
        current.assumed[where.partition(":")[2] or name] = assumed
    return assumed


@cache
def _factor(unit: str, name: str) -> tuple[float | None, float]:
    """What to multiply by and to add; None where the unit is unknown or one of something else."""
    quantity = QUANTITIES[name]
    target = _registry().parse_units(quantity.pint)
    for exact in (True, False):
        for text in _spellings(unit, name):
            try:
                found = _registry().parse_units(text, case_sensitive=exact)
                zero, one = (float(_registry().Quantity(x, found).to(target).magnitude) for x in (0.0, 1.0))
            except Exception:  # pint raises errors of many kinds on what is not a unit
                continue
            angle = _registry().get_base_units(found)[1] == _registry().radian
            if angle == (quantity is _ANGLE):
                # without the rounding of a detour over SI units: 1/nm is exactly a tenth
                return float(f"{one - zero:.15g}"), float(f"{zero:.15g}")
    return None, 0.0


def _spellings(unit: str, name: str) -> Iterator[str]:
    """The unit as pint may know it: powers, Å and °C in all the ways in which they are written."""
    text = unicodedata.normalize("NFC", unit.strip()).replace("⁻¹", "^-1").replace("−", "-")
    text = re.sub(r"\\mathrm|[${}\\]", "", text)
    text = re.sub(r"^(inverse|reciprocal|per|inv\.?)[\s_]+", "1/", text, flags=re.I)
    text = re.sub(r"(?<=[^\W\d_])\s*(?:\^|\*\*)?\s*\(?-(\d)\)?", r"**-\1", text)
    text = re.sub(r"\b(angstroms?|ang\b\.?|AA\b)", "angstrom", text, flags=re.I)
    if QUANTITIES[name] in (_Q, _LENGTH):
        text = re.sub(r"\b[aA]\b", "angstrom", text)
    if name == "temperature":
        text = re.sub(r"^(°\s*c|c|deg\.?\s*c|celsius)$", "degC", text, flags=re.I)
    yield text
    yield text.lower()


@cache
def _registry() -> Any:
    import pint  # half a second: only for units other than our own

    return pint.UnitRegistry(cache_folder=None)


def number(value: Any, name: str, where: str | None = None) -> Any:
    """Numbers that a person gives: plain, with a ``units`` attribute (xarray) or as a pint quantity."""
    where = where or name
    if hasattr(value, "magnitude") and hasattr(value, "units"):
        return convert(value.magnitude, str(value.units), name, where)
    said = getattr(value, "attrs", {}).get("units")
    plain = getattr(value, "values", value)
    current = _current.get()
    if said is None and (current is None or name not in current.stated):
        return plain
    return convert(np.asarray(plain, dtype=float), said, name, where)


def metadatum(value: float, unit: str | None, name: str, where: str, assumed: str = "") -> float:
    """One number of :data:`METADATA` in its unit; a beam centre counts pixels."""
    if name in QUANTITIES:
        return float(convert(value, unit, name, where, assumed or None))
    if unit and unit.lower() not in ("pixel", "pixels", "px", "1", *_FRAME_WORDS, *_NOTHING):
        raise DataFormatError(f"the unit of {name} is {unit!r}", where=where, expected="pixels")
    return float(value)


def check_q(q: np.ndarray, where: str | None = None) -> None:
    """Refuse wave vectors that no X-ray experiment of this kind reaches: they are in another unit.

    Raises
    ------
    DataFormatError
        Above 10 1/Å, or not above 0.
    """
    q = np.asarray(q, dtype=float)
    wrong = q[np.isfinite(q) & ((q > _HIGHEST_Q) | (q <= 0))]
    if wrong.size:
        raise DataFormatError(
            f"q = {wrong[0]:g} 1/Å is not possible",
            where=where,
            expected=f"a modulus above 0, at most {_HIGHEST_Q:g} 1/Å",
            hint="say its unit: units={'q': '1/nm'}, or an attribute units='1/nm' of the coordinate q",
        )


def warn_if_radians(phi: np.ndarray, unit: str | None, where: str) -> None:
    """Say so where angles without a unit look like radians."""
    distinct = np.unique(np.asarray(phi, dtype=float)[np.isfinite(phi)])
    if unit is None and distinct.size > 2 and np.ptp(distinct) > 3 and np.abs(distinct).max() < 6.2832:
        warn(
            f"{where}: the angles lie within {distinct[0]:.3g} … {distinct[-1]:.3g} and have no unit: read as "
            "degrees, but they look like radians (then say units={'phi': 'rad'})",
            DataWarning,
        )


def standard_units(ds: xr.Dataset) -> xr.Dataset:
    """The dataset with its coordinates in the package's units: the check at the door of every fit.

    Parameters
    ----------
    ds : Dataset
        Coordinates may have another ``units`` attribute, as ``ds.assign_coords(q=("q", q, {"units": "1/nm"}))``
        gives them.

    Raises
    ------
    DataFormatError
        An unknown unit, a q that is not possible, or no q at all.
    """
    ds = converted(ds)
    if "q" in ds.coords:
        if not np.isfinite(ds["q"].values).all():
            raise DataFormatError(
                "the q of some bins is not known", where="q", hint='give it: ds.assign_coords(q=("bin", […]))'
            )
        check_q(ds["q"].values, "q")
    return ds


def converted(ds: xr.Dataset) -> xr.Dataset:
    """The dataset with its coordinates in the units that the package uses; the data are not touched.

    A scalar coordinate called ``units``, which ``ds.assign_coords(q=…, units="1/nm")`` makes, is that of q.
    """
    stated = {}
    if "units" in ds.coords and ds["units"].ndim == 0:
        stated["q"] = str(ds["units"].values)
        ds = ds.drop_vars("units")
    for name in ("q", "phi", "t", "t1", "t2", "tau"):
        if name not in ds.coords:
            continue
        old = ds[name]
        if old.dtype.kind in "mM":
            old = _seconds(old)
            ds = ds.assign_coords({name: old})
        elif old.dtype.kind not in "iufb":
            raise DataFormatError(
                f"values of type {old.dtype}", where=name, expected=f"numbers in {QUANTITIES[name].unit}"
            )
        unit = stated.get(name, old.attrs.get("units", old.attrs.get("unit")))
        if unit is not None and unit != QUANTITIES[name].unit:
            values = convert(old.values, str(unit), name, name)
            new = (old.dims, values, {**old.attrs, "units": QUANTITIES[name].unit})
            ds = ds.assign_coords({name: new})
    return ds


def _seconds(times: xr.DataArray) -> xr.DataArray:
    """Times of a clock, or since some moment, in s; the first frame of a clock's is at t = dt."""
    values = times.values
    if values.dtype.kind == "M":
        first = np.sort(np.ravel(values))[:2]
        values = values - first[0] + (first[-1] - first[0])
    attrs = {k: v for k, v in times.attrs.items() if k not in ("units", "unit")}
    return times.copy(data=values / np.timedelta64(1, "s")).assign_attrs(attrs | {"units": "s"})


class Axis(NamedTuple):
    """One of the two axes along which a partition divides the detector, as a file gives it."""

    name: str
    values: np.ndarray
    unit: str | None
    where: str


class Bins(NamedTuple):
    """q and phi of each bin, what else it is told by (name: (values, unit)), its grid, and what to note."""

    q: np.ndarray
    phi: np.ndarray
    others: dict[str, tuple[np.ndarray, str]]
    cells: tuple[np.ndarray, np.ndarray, np.ndarray] | None
    notes: dict[str, str]


_AXIS_NAMES = {
    **dict.fromkeys(("q", "|q|", "q_list", "ql", "qmap", "sqmap"), "q"),
    **dict.fromkeys(("phi", "φ", "azimuth", "azimuthal", "chi", "phi_list", "angle"), "phi"),
    **dict.fromkeys(("tth", "2theta", "2θ", "two_theta", "twotheta"), "tth"),
    **dict.fromkeys(("alpha", "alphaf", "alpha_f", "α"), "alpha"),
    **dict.fromkeys(("", "none", "null", "na", "n/a"), ""),
}
KEV_ANGSTROM = 12.398419843320026
"""hc: energy in keV × wavelength in Å."""


def axis_name(name: str) -> str:
    """The package's name of an axis of a partition, where it has one."""
    return _AXIS_NAMES.get(name.strip().lower(), name.strip())


def bins_of_axes(axes: Sequence[Axis], cells: np.ndarray, geometry: Mapping[str, Any]) -> Bins:
    """What the names of a partition's axes make of its values.

    Parameters
    ----------
    axes : two Axis
        By name: q and phi in either order are the grid of the package; (x, y), (qx, qy), (q, y), (q, alpha), …
        stay coordinates of the bins under these names.
    cells : ndarray of int
        Place of each label in the ravelled grid of the two axes.
    geometry : mapping
        energy (keV), detector_distance and pixel_size (m), beam_center_x and _y (pixels), where the file has them.

    Returns
    -------
    Bins
        q is NaN where neither the axes nor the geometry give it.
    """
    names = [axis_name(a.name) for a in axes]
    values = []
    for axis, name in zip(axes, names, strict=True):
        if name in ("phi", "tth", "alpha"):
            warn_if_radians(axis.values, axis.unit, axis.where)
        known = name in QUANTITIES
        values.append(convert(axis.values, axis.unit, name, axis.where) if known else axis.values)
    where = [cells // axes[1].values.size, cells % axes[1].values.size]
    if set(names) <= {"q", "phi", ""} and names.count("q") == 1:
        at = names.index("q")
        other = 1 - at
        phi_axis = values[other] if names[other] == "phi" else np.zeros(1)
        places = where[other] if names[other] == "phi" else np.zeros_like(cells)
        notes = {} if names[other] == "phi" else {"phi_origin": "the partition has none: 0 assumed"}
        if names[other] == "phi" or axes[other].values.size == 1:
            grid = (values[at], phi_axis, where[at] * phi_axis.size + places)
            return Bins(values[at][where[at]], phi_axis[places], {}, grid, notes)
    column = {n: v[w] for n, v, w in zip(names, values, where, strict=True) if n}
    notes = {"partition_axes": ", ".join(column)}
    q, phi = _q_and_phi(column, geometry, notes)
    others = {
        n: (column[n], QUANTITIES[n].unit if n in QUANTITIES else a.unit or "1")
        for n, a in zip(names, axes, strict=True)
        if n in column and n not in ("q", "phi")
    }
    if not np.isfinite(q).any():
        warn(
            f"{axes[0].where}: the partition is one of {' and '.join(column)}, and nothing gives the q of its bins; "
            'say it before a fit: ds.assign_coords(q=("bin", […]))',
            DataWarning,
        )
    elif "phi_origin" in notes and "0" in notes["phi_origin"]:
        warn(f"{axes[0].where}: the partition is one of {' and '.join(column)}: phi is set to 0", DataWarning)
    return Bins(q, phi, others, None, notes)


def _q_and_phi(
    column: Mapping[str, np.ndarray], geometry: Mapping[str, Any], notes: dict[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """q and phi of bins told by other axes; how they were found goes to the notes."""
    size = next(iter(column.values())).size
    phi = column.get("phi")
    for pair in (("qx", "qy"), ("qr", "qz"), ("x", "y")):
        if phi is None and set(pair) == set(column):
            x, y = (column[n] for n in pair)
            if pair == ("x", "y"):
                x, y = x - geometry.get("beam_center_x", np.nan), y - geometry.get("beam_center_y", np.nan)
            if np.isfinite(x + y).all():
                phi, notes["phi_origin"] = np.rad2deg(np.arctan2(y, x)), f"angle of ({pair[0]}, {pair[1]})"
    if "q" in column:
        q = column["q"]
    elif {"qx", "qy"} <= set(column) or {"qr", "qz"} <= set(column):
        a, b = ("qx", "qy") if "qx" in column else ("qr", "qz")
        q, notes["q_origin"] = np.hypot(column[a], column[b]), f"√({a}² + {b}²)"
    else:
        q = _q_of_angle(_two_theta(column, geometry), geometry)
        if np.isfinite(q).any():
            notes["q_origin"] = f"from {', '.join(column)} and the geometry in the file"
    if phi is None:
        phi, notes["phi_origin"] = np.zeros(size), "the partition has none: 0 assumed"
    return np.broadcast_to(q, size).astype(float), phi


def _two_theta(column: Mapping[str, np.ndarray], geometry: Mapping[str, Any]) -> np.ndarray:
    if "tth" in column:
        return np.deg2rad(column["tth"])
    needed = ("beam_center_x", "beam_center_y", "pixel_size", "detector_distance")
    if {"x", "y"} <= set(column) and all(n in geometry for n in needed):
        x, y, pixel, distance = (float(geometry[n]) for n in needed)
        return np.arctan(np.hypot(column["x"] - x, column["y"] - y) * pixel / distance)
    return np.array(np.nan)


def _q_of_angle(two_theta: np.ndarray, geometry: Mapping[str, Any]) -> np.ndarray:
    energy = float(geometry.get("energy", np.nan))
    return 4 * np.pi * energy / KEV_ANGSTROM * np.sin(two_theta / 2)
