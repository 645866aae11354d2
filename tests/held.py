"""Work that goes on until a test lets it end, so that what happens meanwhile does not depend on the machine."""

from __future__ import annotations

import threading
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from heterodyne_nb.app.session import tasks
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


def stopped_clock(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> SimpleNamespace:
    """Give a module a clock that stands at its ``now`` until a test moves it."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=time.sleep))
    return clock
