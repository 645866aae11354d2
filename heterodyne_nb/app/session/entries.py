"""One entry of the history: what was asked, on which data, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from heterodyne_nb.app.session.selection import Range
from heterodyne_nb.app.session.settings import FitSettings
from heterodyne_nb.config import ParameterTable
from heterodyne_nb.result import FitResult


@dataclass(frozen=True)
class FitEntry:
    """A finished fit, or a set of robust fits made together.

    Attributes
    ----------
    name : str
        Shown in lists; no two entries of a session share it.
    kind : {"fit", "robust", "result"}
        ``"result"``: made outside the session.
    results : dict of str to FitResult
        One per method; a fit has one.
    settings : FitSettings
    parameters : ParameterTable
        As asked, before the fit.
    source : str
        The data file, or ``"<memory 1>"`` and so on for data made in memory.
    source_options : mapping
        Keyword arguments the file was opened with.
    masked : tuple of (first, last)
    crop : (first, last) or None
    bins : tuple of int or None
        Places of the bins fitted in the stacked form; None for all.
    time : str
        When it ended, ISO 8601 in UTC.
    seconds : float
    warnings : tuple of str
    robust : mapping
        Keyword arguments of ``fit_robust``; empty for a fit.
    start : str
        Name of the entry whose result a robust fit started from, or ``""``.
    """

    name: str
    kind: str
    results: Mapping[str, FitResult]
    settings: FitSettings
    parameters: ParameterTable
    source: str = ""
    source_options: Mapping[str, Any] = field(default_factory=dict)
    masked: tuple[Range, ...] = ()
    crop: Range | None = None
    bins: tuple[int, ...] | None = None
    time: str = ""
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    robust: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""

    @property
    def result(self) -> FitResult:
        """The result, of a robust set the first one."""
        return next(iter(self.results.values()))

    @property
    def label(self) -> str:
        """One line for a list: name, mode, method, reduced chi-square."""
        methods = ", ".join(self.results).replace("_", " ")
        ended = "" if self.result.success else f" · {self.result.message}"
        mode = self.settings.mode.replace("_", " ")
        return f"{self.name} · {mode} · {methods} · reduced χ² {self.result.chi2_reduced:.5g}{ended}"
