"""What a moving slider or an opened file asks for: computed beside the page, the newest question first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from heterodyne_nb.app.session.work import Mailbox, Work
from heterodyne_nb.errors import OptimizationError
from heterodyne_nb.progress import StopToken

__all__ = ["Background", "Latest"]

_Question = tuple[Callable[[], Any], Callable[[Any], None]]


class Latest:
    """Answers questions in a thread, one at a time; of those asked meanwhile only the last is kept.

    Parameters
    ----------
    on_failure : callable
        Takes the error of a question that failed.
    """

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._mailbox = Mailbox(on_failure, threading.RLock())
        self._work: Work | None = None
        self._waiting: _Question | None = None
        self._timer: asyncio.TimerHandle | None = None

    def ask(
        self,
        compute: Callable[[], Any],
        show: Callable[[Any], None],
        *,
        at_once: bool,
        after: float = 0.0,
    ) -> None:
        """Compute, then show what came out.

        Parameters
        ----------
        compute : callable
            May run in another thread.
        show : callable
            Takes the answer where widgets may be touched; not called when a newer question waits.
        at_once : bool
            Do both now, in this thread: where no page is to be kept alive.
        after : float
            Seconds to wait for a newer question first, where an event loop runs.
        """
        self._forget_timer()
        if at_once:
            self._work = self._waiting = None
            show(compute())
        elif self._work is not None:
            self._waiting = (compute, show)
        elif (loop := _running_loop()) is not None and after > 0:
            self._timer = loop.call_later(after, self._start, compute, show)
        else:
            self._start(compute, show)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _start(self, compute: Callable[[], Any], show: Callable[[Any], None]) -> None:
        def end(work: Work) -> None:
            if work is not self._work:
                return  # closed, or answered otherwise, meanwhile
            self._work = None
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                self._start(*waiting)
            elif work.failure is not None:
                raise work.failure
            else:
                show(work.outcome)

        self._timer = None
        self._mailbox.open()
        work = Work(
            "figure",
            lambda report, stop: compute(),
            StopToken(),
            self._mailbox,
            lambda e: None,
            end,
            urgent=True,
        )
        self._work = work
        work.start()

    def wait(self, timeout: float = 60.0) -> bool:
        """Wait until nothing is asked any more; False when the time runs out first."""
        while self._work is not None:
            if not self._work.wait(timeout):
                return False
        return True

    def close(self) -> None:
        """Let every question go, and wait for the thread."""
        self._forget_timer()
        work, self._work, self._waiting = self._work, None, None
        if work is not None:
            work.join(5.0)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Background:
    """One task at a time, whose outcome goes to a function that may touch widgets.

    Parameters
    ----------
    on_failure : callable
        Takes the error of a task that failed.
    """

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._mailbox = Mailbox(on_failure, threading.RLock())
        self._work: Work | None = None

    @property
    def busy(self) -> bool:
        """Whether a task runs."""
        return self._work is not None and not self._work.ended.is_set()

    def start(self, kind: str, task: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Run `task` in a thread and hand what it returns to `then`; nothing is handed over after :meth:`close`.

        Raises
        ------
        OptimizationError
            A task runs already.
        """
        if self.busy:
            raise OptimizationError("this is being computed already", hint="wait a moment")
        self._mailbox.open()

        def end(work: Work) -> None:
            if work is not self._work:
                return
            if work.failure is not None:
                raise work.failure
            then(work.outcome)

        self._work = Work(
            kind, lambda on_progress, stop: task(), StopToken(), self._mailbox, lambda event: None, end
        )
        self._work.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the task has ended and its outcome was dealt with; False when the time runs out first."""
        return self._work is None or self._work.wait(timeout)

    def close(self) -> None:
        """Let the outcome of a running task go, and wait for its thread."""
        work, self._work = self._work, None
        if work is not None:
            work.join(5.0)
