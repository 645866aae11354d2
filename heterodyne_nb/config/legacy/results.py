"""Results of heterodyne-analysis, heterodyne 2 and xpcsjax: parameters and errors in our conventions.

Known are ``parameters.json``, ``analysis_results_*.json`` and ``heterodyne_analysis_results.json`` of
heterodyne-analysis, ``*_parameters.json`` and ``.npz`` of heterodyne 2, ``nlsq_result.json`` of xpcsjax.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from heterodyne_nb.config.legacy.nlsq import SOLVED_FOR, from_origin, our_name, turned
from heterodyne_nb.config.parameters import PARAMETERS
from heterodyne_nb.errors import DataFormatError, MissingFileError
from heterodyne_nb.guard import guarded

_SCHEMA = "xpcsjax.nlsq.result/"
_MODES = {"two_component": "heterodyne", "heterodyne": "heterodyne"}


@dataclass(frozen=True)
class ForeignResult:
    """What another package found, told as this one tells it."""

    package: str  #: Who wrote it.
    mode: str  #: Analysis mode here.
    #: values, errors: By published name; errors only where they are known.
    values: dict[str, float]
    errors: dict[str, float]
    frames: tuple[int, int] | None  #: First and last frame used, where the file says them.
    notes: tuple[str, ...]  #: What was changed, and what could not be carried over.

    def settings(self) -> dict[str, Any]:
        """A configuration that starts from these values."""
        made: dict[str, Any] = {
            "analysis_settings": {"mode": self.mode},
            "metadata": {"description": f"Start values from a result of {self.package}"},
            "initial_parameters": {"values": dict(self.values)},
        }
        if self.frames is not None:
            made["temporal"] = {"start_frame": self.frames[0], "end_frame": self.frames[1]}
        return made


@dataclass
class _Found:
    """A result as it is written, before anything is changed."""

    package: str
    names: list[str]
    values: list[float]
    errors: list[float]
    turn: bool  # the angle is phi + phi0
    dt: float | None = None
    frames: tuple[int, int] | None = None
    first: float | None = None  # time of their first frame, in units of dt
    mode: str | None = None


def is_foreign_result(path: str | Path) -> bool:
    """Whether a JSON or NPZ file is such a result."""
    try:
        with guarded(path):
            return _recognised(Path(path)) is not None
    except DataFormatError:
        return False


def read_foreign_result(
    path: str | Path, *, dt: float | None = None, start_frame: int | None = None
) -> ForeignResult:
    """Read a result of another package and bring it into our conventions.

    ``path``: JSON or NPZ. ``dt``: Time step in s, where the file does not say it; the origin of time depends on it.
    ``start_frame``: First frame used, counted from 1, where the file does not say it (default 1).

    Raises MissingFileError: No such file. Raises DataFormatError: It is no such result, or its parameters belong to
    no mode.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError("there is no such file", where=str(path))
    with guarded(path, "a result of another package, complete"):
        found = _recognised(path)
    if found is None:
        raise DataFormatError(
            "this is no result of a package that is known",
            where=path.name,
            expected="parameters.json of heterodyne-analysis, *_parameters.json or .npz of heterodyne 2, "
            "nlsq_result.json of xpcsjax",
        )
    with guarded(path, "a result of another package, complete"):
        return _in_our_conventions(found, path.name, dt, start_frame)


def _recognised(path: Path) -> _Found | None:
    if path.suffix == ".npz":
        return _npz(path)
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(told, Mapping):
        return None
    for reader in (_xpcsjax, _heterodyne2, _analysis, _analysis_summary):
        found = reader(told)
        if found is not None:
            return found
    return None


def _xpcsjax(told: Mapping[str, Any]) -> _Found | None:
    if not str(told.get("schema", "")).startswith(_SCHEMA):
        return None
    stated = told.get("parameters", {})
    names = list(stated)
    listed = told.get("config", {}).get("parameter_names")
    if names and all(re.fullmatch(r"param_\d+", n) for n in names) and listed:
        names = [*listed, *names[len(listed) :]]  # unnamed because contrasts and offsets follow
    values = [_number(entry.get("value")) for entry in stated.values()]
    errors = [_number(entry.get("uncertainty")) for entry in stated.values()]
    mode = told.get("config", {}).get("mode")
    heterodyne = "phi0_het" in names
    return _Found("xpcsjax", names, values, errors, heterodyne, first=1.0 if heterodyne else None, mode=mode)


def _heterodyne2(told: Mapping[str, Any]) -> _Found | None:
    names, values = told.get("parameter_names"), told.get("parameters")
    if not isinstance(names, list) or not isinstance(values, list):
        return None
    errors = told.get("uncertainties") or [float("nan")] * len(values)
    numbers = [_number(value) for value in values]
    return _Found("heterodyne 2", names, numbers, [_number(e) for e in errors], True, first=1.0)


def _npz(path: Path) -> _Found | None:
    try:
        with np.load(path, allow_pickle=False) as told:
            if not {"parameters", "reduced_chi_squared"} <= set(told.files):
                return None
            values = told["parameters"].tolist()
            errors = told["uncertainties"].tolist() if "uncertainties" in told.files else []
            names = [str(name) for name in told["parameter_names"]]
    except ValueError:
        raise DataFormatError(
            "names are kept as pickled objects, which are not read, as they can run any code",
            where=path.name,
            hint="use the nlsq_result.json beside it",
        ) from None
    except (OSError, KeyError):
        return None
    return _Found("heterodyne 2", names, values, errors or [float("nan")] * len(values), True, first=1.0)


def _analysis(told: Mapping[str, Any]) -> _Found | None:
    stated = told.get("parameters")
    if not isinstance(stated, Mapping) or "method" not in told or "chi_squared" not in told:
        return None
    return _of_analysis(stated, told.get("experimental_metadata", {}))


def _analysis_summary(told: Mapping[str, Any]) -> _Found | None:
    runs = told.get("optimization_results")
    if not isinstance(runs, Mapping) or "analysis_summary" not in told:
        return None
    runs = {name: run for name, run in runs.items() if isinstance(run, Mapping) and run.get("parameters")}
    if not runs:
        return None
    best = min(runs.values(), key=lambda run: _number(run.get("chi_squared")))
    return _of_analysis(best["parameters"], told.get("experimental_parameters", {}))


def _of_analysis(stated: Mapping[str, Any], setup: Mapping[str, Any]) -> _Found:
    frames = (
        (setup["start_frame"], setup["end_frame"]) if {"start_frame", "end_frame"} <= set(setup) else None
    )
    values = [_number(value) for value in stated.values()]
    errors = [float("nan")] * len(values)
    names = list(stated)
    return _Found("heterodyne-analysis", names, values, errors, False, setup.get("dt"), frames, 0.0)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _in_our_conventions(found: _Found, name: str, dt: float | None, start_frame: int | None) -> ForeignResult:
    mode, names = _published(found, name)
    stated = dict(zip(names, found.values, strict=False))
    errors = dict(zip(names, found.errors, strict=False))
    values = {n: v for n, v in stated.items() if n}
    wrong = [n for n, v in values.items() if not np.isfinite(v)]
    if wrong:
        raise DataFormatError(f"{', '.join(wrong)}: not a number", where=name)
    notes: list[str] = []
    if found.turn and "phi0" in values:
        values = turned(values)
        notes.append("phi0: of the opposite sign, as the angle is phi0 - phi here and phi + phi0 there")
    values = _at_our_times(found, values, dt, start_frame, notes)
    known = {n: e for n, e in errors.items() if n and np.isfinite(e)}
    return ForeignResult(found.package, mode, values, known, found.frames, tuple(notes))


def _published(found: _Found, name: str) -> tuple[str, list[str]]:
    """The mode, and the published name of each parameter; empty for contrasts and offsets."""
    physical = [n for n in found.names if not n.startswith(SOLVED_FOR)]
    stated = _MODES.get(str(found.mode), str(found.mode))
    for mode in dict.fromkeys([stated, *PARAMETERS]):
        known = tuple(spec.name for spec in PARAMETERS.get(mode, ()))
        if not known:
            continue
        if len(physical) == len(known) and all(re.fullmatch(r"p(aram_)?\d+", n) for n in physical):
            return mode, list(known)
        ours = [our_name(n, known) or "" for n in found.names]
        if set(known) == set(ours) - {""}:
            return mode, ours
    raise DataFormatError(
        f"its parameters {', '.join(map(str, found.names))} belong to no mode",
        where=name,
        expected="all of one mode",
    )


def _at_our_times(
    found: _Found, values: dict[str, float], dt: float | None, start: int | None, notes: list[str]
) -> dict[str, float]:
    step = found.dt if dt is None else dt
    first = found.frames[0] if found.frames and start is None else (1 if start is None else start)
    if found.first is None:
        return values
    frames = first - found.first  # our time of the first frame used, less theirs
    if frames and step is None:
        notes.append("the time step is not known, so f2 keeps its origin of time; give dt")
        return values
    moved, words = from_origin(values, frames * (step or 0.0))
    if moved != values:
        notes.append(f"f2: moved by {frames * (step or 0.0):g} s to the origin of time used here")
    notes.extend(words)
    return moved
