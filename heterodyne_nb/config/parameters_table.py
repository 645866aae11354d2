"""The parameters of one fit: what the optimiser is given, checked and complete."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

#: What every mode has besides its parameters; solved for in every bin at every step.
LEVELS = ("contrast", "offset")
_COLUMNS = ("parameter", "value", "lower", "upper", "unit", "role", "prior")


def _frozen(values: object, dtype: type) -> np.ndarray:
    array: np.ndarray = np.array(values, dtype=dtype)
    array.flags.writeable = False
    return array


@dataclass(frozen=True)
class Level:
    """Limits of contrast or offset, alike in all bins.

    Attributes
    ----------
    lower, upper : float
    fixed : float or None
        The value it is held at.
    prior : (float, float) or None
        Mean and standard deviation of a Gaussian prior.
    given : bool
        Whether the user stated any of these.
    """

    lower: float
    upper: float
    fixed: float | None = None
    prior: tuple[float, float] | None = None
    given: bool = False

    def to_dict(self) -> dict[str, object]:
        """The form that ``heterodyne_nb.fit(parameters=...)`` accepts; empty where nothing was stated."""
        if not self.given:
            return {}
        entry: dict[str, object] = {"min": self.lower, "max": self.upper}
        if self.fixed is not None:
            entry |= {"value": self.fixed, "vary": False}
        if self.prior is not None:
            entry["prior"] = self.prior
        return entry


@dataclass(frozen=True, eq=False)
class ParameterTable:
    """Start value, bounds and role of every published parameter of a mode, in published order.

    Attributes
    ----------
    mode : str
        Analysis mode.
    names : tuple of str
        Published names, p of them.
    values : ndarray, shape (p,)
        Start values in published units; a tied parameter holds the value of its target. Where the user
        stated none: the default of the mode, or the middle of the user's bounds that leave it out.
    lower, upper : ndarray, shape (p,)
        Bounds, finite, ``lower <= values <= upper``. A group of tied parameters has the
        intersection of its members' bounds.
    vary : ndarray of bool, shape (p,)
        True where the parameter is fitted on its own: neither fixed nor tied.
    tie : tuple of (str or None)
        Name of the parameter this one always equals (never itself tied), or None.
    prior : tuple of ((float, float) or None)
        Mean and standard deviation of a Gaussian prior in published units, or None.
    units : tuple of str
        Unit of each parameter.
    given : ndarray of bool, shape (p,)
        True where the user stated the start value; elsewhere a guess from data may replace it.
    notes : tuple of str
        What was adjusted on the way, in words.
    contrast, offset : Level
        Limits of contrast and offset; default ones follow the data where their baseline is 0 or they are not
        normalised.
    """

    mode: str
    names: tuple[str, ...]
    values: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    vary: np.ndarray
    tie: tuple[str | None, ...]
    prior: tuple[tuple[float, float] | None, ...]
    units: tuple[str, ...]
    given: np.ndarray
    notes: tuple[str, ...] = field(default=())
    contrast: Level = Level(0.0, 1.0)
    offset: Level = Level(0.8, 2.0)

    def __post_init__(self) -> None:
        for name in ("values", "lower", "upper"):
            object.__setattr__(self, name, _frozen(getattr(self, name), float))
        for name in ("vary", "given"):
            object.__setattr__(self, name, _frozen(getattr(self, name), bool))

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ParameterTable):
            return NotImplemented
        plain = ("mode", "names", "tie", "prior", "units", *LEVELS)
        arrays = ("values", "lower", "upper", "vary", "given")
        return all(getattr(self, n) == getattr(other, n) for n in plain) and all(
            np.array_equal(getattr(self, n), getattr(other, n)) for n in arrays
        )

    __hash__ = None  # type: ignore[assignment]

    def index(self, name: str) -> int:
        """Return the position of a published name."""
        return self.names.index(name)

    @property
    def bounds(self) -> np.ndarray:
        """Bounds as an array of shape (p, 2)."""
        return np.column_stack([self.lower, self.upper])

    @property
    def role(self) -> tuple[str, ...]:
        """``"free"``, ``"fixed"`` or ``"tied to NAME"`` of each parameter."""
        pairs = zip(self.tie, self.vary, strict=True)
        return tuple(f"tied to {t}" if t else "free" if v else "fixed" for t, v in pairs)

    def to_dict(self) -> dict[str, dict[str, object]]:
        """Return the form that ``heterodyne_nb.fit(parameters=...)`` accepts."""
        entries: dict[str, dict[str, object]] = {}
        for i, name in enumerate(self.names):
            entry: dict[str, object] = {"min": float(self.lower[i]), "max": float(self.upper[i])}
            if self.tie[i]:
                entry["tie"] = self.tie[i]
            else:
                entry |= {"value": float(self.values[i]), "vary": bool(self.vary[i])}
            if self.prior[i]:
                entry["prior"] = self.prior[i]
            entries[name] = entry
        return entries | {name: told for name in LEVELS if (told := getattr(self, name).to_dict())}

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield one row of text a parameter: name, value, lower, upper, unit, role, prior."""
        for i, name in enumerate(self.names):
            numbers = (f"{x[i]:g}" for x in (self.values, self.lower, self.upper))
            prior = self.prior[i]
            shown = f"{prior[0]:g} ± {prior[1]:g}" if prior else ""
            yield (name, *numbers, self.units[i], self.role[i], shown)

    def __str__(self) -> str:
        table = [_COLUMNS, *self.rows()]
        widths = [max(len(row[k]) for row in table) for k in range(len(_COLUMNS))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in table]
        return "\n".join([f"{self.mode}: {int(self.vary.sum())} free of {len(self)} parameters", *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cells = "".join(f"<th>{c}</th>" for c in _COLUMNS)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in self.rows()
        )
        return (
            f"<table><caption>{html.escape(self.mode)}</caption>"
            f"<thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
        )
