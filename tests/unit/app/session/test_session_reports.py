"""Reports of long work reach a slow page without a queue, so that its end and its buttons are not kept waiting."""

from __future__ import annotations

import asyncio
import threading

import pytest
from held import stopped_clock

from heterodyne_nb.app.session import work as working
from heterodyne_nb.app.session.work import Mailbox, Work
from heterodyne_nb.progress import ProgressEvent, StopToken


def test_reports_made_while_the_page_is_busy_do_not_queue_up_before_the_end():
    seen: list[float] = []
    busy, done = threading.Event(), threading.Event()

    def task(on_progress, stop):
        on_progress(ProgressEvent("work", 0.0, chi2=1.0))
        assert busy.wait(600)
        for k in range(1, 200):
            on_progress(ProgressEvent("work", k / 200, chi2=1.0))
        done.set()

    def slow_page(event):
        seen.append(event.fraction)
        busy.set()
        assert done.wait(600)

    async def page():
        mailbox, ended = Mailbox(lambda error: None, threading.RLock()), asyncio.Event()
        mailbox.open()
        work = Work("fit", task, StopToken(), mailbox, slow_page, lambda work: ended.set())
        work.start()
        await ended.wait()
        return work

    work = asyncio.run(page())
    assert work.failure is None
    assert seen == [0.0]
    assert len(work.trace) == 200  # the course of the fit keeps every report


@pytest.mark.parametrize(("takes", "seen"), [(0.0, [0, 4, 8, 12, 16]), (0.125, [0, 8, 16])])
def test_the_page_has_as_long_to_itself_as_a_report_took(
    monkeypatch: pytest.MonkeyPatch, takes: float, seen: list[int]
) -> None:
    clock, told = stopped_clock(monkeypatch, working), []

    def task(on_progress, stop):
        for k in range(20):
            on_progress(ProgressEvent("work", k))
            clock.now += 1 / 64

    def page(event):
        told.append(event.fraction)
        clock.now += takes

    mailbox = Mailbox(lambda error: None, threading.RLock())
    work = Work("fit", task, StopToken(), mailbox, page, lambda work: None)
    work.start()
    assert work.wait(None)
    assert told == seen
