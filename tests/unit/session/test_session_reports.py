"""Reports of long work reach a slow page without a queue, so that its end and its buttons are not kept waiting."""

from __future__ import annotations

import asyncio
import threading
import time

from heterodyne_nb.analysis.session.work import Mailbox, Work
from heterodyne_nb.progress import ProgressEvent, StopToken


def test_a_page_slower_than_the_work_sees_the_latest_reports_and_the_end_at_once():
    seen: list[float] = []

    def task(on_progress, stop):
        for k in range(200):
            on_progress(ProgressEvent("work", k / 200, chi2=1.0))
            time.sleep(0.005)
        return time.monotonic()

    def slow_page(event):
        seen.append(event.fraction)
        time.sleep(0.2)

    async def page():
        mailbox, ended = Mailbox(lambda error: None, threading.RLock()), asyncio.Event()
        mailbox.open()
        work = Work("fit", task, StopToken(), mailbox, slow_page, lambda work: ended.set())
        work.start()
        clicks = 0
        while not ended.is_set():
            await asyncio.sleep(0)
            clicks += 1
        return time.monotonic() - work.outcome, clicks, len(work.trace)

    late, clicks, traced = asyncio.run(page())
    assert late < 1.0
    assert traced == 200  # the course of the fit keeps every report
    assert 2 <= len(seen) < 20
    assert seen == sorted(seen)
    assert clicks > 3 * len(seen)  # between two reports the page has time for the user
