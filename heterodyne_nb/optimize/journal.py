"""The journal of a fit: a small file with its best point, from which it goes on where the process was killed."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.errors import ConfigurationError, HeterodyneError, OutputError
from heterodyne_nb.files import make_folder, write_text
from heterodyne_nb.progress import OnProgress, ProgressEvent

_SAMPLE = 1 << 16
_FORM = "heterodyne_nb journal 1"


class Journal:
    """Best point of a running fit and the optima its search has found, written at most once a second.

    ``path``: A JSON file; where it exists the fit goes on from it.

    Raises ConfigurationError: The file is there and is no journal.
    """

    #: Least time between two writings in s; the end of the search is always written.
    every: ClassVar[float] = 1.0

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._values: dict[str, Any] = {"form": _FORM, "problem": "", "best": None, "optima": None}
        self._written, self._pending = -np.inf, False
        if self.path.exists():
            self._values = self._read()

    def _read(self) -> dict[str, Any]:
        with suppress(OSError, ValueError, RecursionError):
            values = json.loads(self.path.read_text(encoding="utf-8"))
            if isinstance(values, dict) and values.get("form") == _FORM:
                return values
        raise ConfigurationError(
            "is no journal of a fit", where=str(self.path), hint="name another file, or remove this one"
        )

    def begin(self, problem: Any, *settings: Any) -> None:
        """Say which fit this is.

        Raises ConfigurationError: The file is the journal of another fit: of other data, another model, or other
        limits.
        """
        mark = _fingerprint(problem, settings)
        if self._values["problem"] not in ("", mark):
            raise ConfigurationError(
                "is the journal of another fit: its data, model, parameters or loss differ",
                where=str(self.path),
                hint="name another file, or remove this one to start anew",
            )
        self._values["problem"] = mark

    def point(self, names: Sequence[str]) -> FloatArray | None:
        """The best point (p,) written so far."""
        return _vector(self._values.get("best"), names)

    def optima(self, names: Sequence[str]) -> list[FloatArray] | None:
        """What a search that had ended found, best first; None where it had not ended."""
        kept = self._values.get("optima")
        points = [_vector(one, names) for one in kept] if isinstance(kept, list) else []
        return [point for point in points if point is not None] or None

    def search_ended(self, names: Sequence[str], points: Sequence[FloatArray]) -> None:
        """Write the optima that are finished on all pixels from now on."""
        self._values["optima"] = [dict(zip(names, map(float, point), strict=True)) for point in points]
        self._values["best"] = self._values["optima"][0] if points else None
        self._best = np.inf
        self._write()

    def stopped_at(self, names: Sequence[str], point: FloatArray) -> None:
        """Write where a search was stopped, unless it had told of a point before."""
        if self._values["best"] is None:
            self._values["best"] = dict(zip(names, map(float, point), strict=True))
        self._write()

    _best = np.inf

    def hears(self, on_progress: OnProgress) -> OnProgress:
        """The same callback, after the best point of an event has been noted."""

        def note(event: ProgressEvent) -> None:
            if event.parameters and event.chi2 is not None and event.chi2 < self._best:
                self._best = float(event.chi2)
                self._values["best"] = {name: float(value) for name, value in event.parameters.items()}
                self._pending = True
                if time.monotonic() - self._written >= self.every:
                    self._write()
            on_progress(event)

        return note

    def flush(self) -> None:
        """Write what has not been written yet."""
        if self._pending:
            self._write()

    def _write(self) -> None:
        try:
            make_folder(self.path.parent)
            write_text(self.path, json.dumps(self._values))
        except (HeterodyneError, OSError) as error:
            raise OutputError(f"the journal cannot be written: {error}", where=str(self.path)) from error
        self._written, self._pending = time.monotonic(), False


_current: ContextVar[Journal | None] = ContextVar("journal", default=None)


@contextmanager
def journalled(path: str | os.PathLike[str] | None) -> Iterator[None]:
    """Keep a journal of the fit that runs inside; none where the path is None."""
    if path is None:
        yield
        return
    journal = Journal(path)
    token = _current.set(journal)
    try:
        yield
    finally:
        _current.reset(token)
        journal.flush()


def current_journal() -> Journal | None:
    """The journal of the fit that runs now in this thread, if it keeps one."""
    return _current.get()


def _vector(values: Any, names: Sequence[str]) -> FloatArray | None:
    if not isinstance(values, dict) or set(values) != set(names):
        return None
    try:
        point = np.array([values[name] for name in names], float)
    except (TypeError, ValueError):
        return None
    return point if np.isfinite(point).all() else None


def _fingerprint(problem: Any, settings: Sequence[Any]) -> str:
    """Which data, model and parameters a fit is about: a hash of what it is given, of large data of a sample."""
    table, hashed = problem.table, hashlib.sha256()
    told = [problem.model.name, *table.names, table.tie, table.prior, table.contrast, table.offset, *settings]
    hashed.update(repr(told).encode())
    if hasattr(problem, "sums"):
        data = problem.sums
    else:  # two-time maps, what stands for them, or one-time curves
        data = problem.data if hasattr(problem, "data") else problem.g2
        data = data.numbers if hasattr(data, "numbers") else np.asarray(data).ravel()
    for array in (
        table.lower,
        table.upper,
        table.vary,
        problem.q,
        problem.phi,
        data[:: 1 + data.size // _SAMPLE],
    ):
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()
