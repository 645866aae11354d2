"""Work of a panel that takes seconds: done in a thread, its outcome dealt with where the page lives."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from heterodyne_nb.app.session.work import Mailbox, Work
from heterodyne_nb.errors import OptimizationError
from heterodyne_nb.progress import StopToken

__all__ = ["Background"]


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
