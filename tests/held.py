"""Fits of sessions that wait until a test lets them end, or that are remembered, and a clock that stands still."""

from __future__ import annotations

import threading
import time
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from heterodyne_nb.app.session import tasks
from heterodyne_nb.app.session.entries import asked_of
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken

_THE_FIT = tasks.fit


class Held:
    """Takes the place of the fit of sessions: reports, waits until it may go on or is stopped, then fits.

    Parameters
    ----------
    reports : int
        How many reports it makes before it waits.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, reports: int = 1) -> None:
        self.reports, self.reported, self.may_go_on = reports, threading.Event(), threading.Event()
        monkeypatch.setattr(tasks, "fit", self)

    def __call__(
        self, dataset: Any, settings: Any, parameters: Any, on_progress: OnProgress, stop: StopToken
    ) -> Any:
        for _ in range(self.reports):
            on_progress(ProgressEvent("held", 0.5, 30.5, {"D0": 1.0}, "working"))
        self.reported.set()
        while not self.may_go_on.wait(0.01) and stop.reason is None:
            pass
        return _THE_FIT(dataset, settings, parameters, on_progress, stop)


class Remembered:
    """Takes the place of the fit of sessions: what was fitted before is not fitted again.

    The same data, settings and parameters give the first answer, with the reports that were made on the way to it. Fits
    that keep a journal or are stopped are made each time.
    """

    _made: ClassVar[dict[Any, tuple[Any, list[ProgressEvent]]]] = {}

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tasks, "fit", self)

    def __call__(
        self,
        dataset: Any,
        settings: Any,
        parameters: Any,
        on_progress: OnProgress,
        stop: StopToken,
        **more: Any,
    ) -> Any:
        numbers = [
            dataset[name].values.tobytes() for name in dataset.variables if dataset[name].dtype != object
        ]
        key = repr((settings, asked_of(parameters), dataset.attrs, list(dataset.variables))), *numbers
        answer, reports = self._made.get(key, (None, []))
        for report in reports:
            on_progress(report)
        if more or answer is None or stop.reason:
            made: list[ProgressEvent] = []

            def noted(event: ProgressEvent) -> None:
                made.append(event)
                on_progress(event)

            answer = _THE_FIT(dataset, settings, parameters, noted, stop, **more)
            if not more and stop.reason is None:
                self._made[key] = answer, made
        return answer


def stopped_clock(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> SimpleNamespace:
    """Give a module a clock that stands at its ``now`` until a test moves it."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=time.sleep))
    return clock
