"""Long work in a thread of its own: what it reports reaches the kernel's event loop, where one runs."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from heterodyne_nb.errors import HeterodyneError, OptimizationError, heard_by
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken

#: Least time between two reports that reach the page, in seconds.
_EVERY = 0.05
#: How much less of the processor a task asks for than the page, as Unix's nice counts it.
_NICE = 19

Task = Callable[[OnProgress, StopToken], Any]


def in_our_words(error: BaseException) -> HeterodyneError:
    """The error itself if it is ours; otherwise one of ours that names it."""
    if isinstance(error, HeterodyneError):
        return error
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    ours = OptimizationError(
        f"this went wrong in an unforeseen way ({told})",
        hint="everything done before is kept; if it comes again, report it with its traceback (error.__cause__)",
    )
    ours.__cause__ = error
    return ours


class Mailbox:
    """Calls made by a worker thread, run on the thread whose event loop was running when it was opened.

    Where no loop runs (a script, a test) each call runs at once in the thread that makes it.

    Parameters
    ----------
    on_failure : callable
        Receives what a call raises.
    turn : RLock
        Held while calls run.
    """

    def __init__(self, on_failure: Callable[[BaseException], None], turn: Any) -> None:
        self._calls: deque[Callable[[], None]] = deque()
        self._on_failure = on_failure
        self._arrived = threading.Event()
        self._turn = turn
        self._owner = threading.get_ident()
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Let the calling thread be the one that runs the calls, if it has a running event loop."""
        self._owner = threading.get_ident()
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def post(self, call: Callable[[], None]) -> None:
        """Have a call run; from any thread."""
        self._calls.append(call)
        self._arrived.set()
        loop = self._loop
        try:
            if loop is None or threading.get_ident() == self._owner:
                self.drain()
            else:
                loop.call_soon_threadsafe(self.drain)
        except RuntimeError:  # the loop has been closed: nobody else will do it
            self.drain()

    def drain(self) -> None:
        """Run every call that waits, in order."""
        with self._turn:
            self._arrived.clear()
            while self._calls:
                call = self._calls.popleft()
                try:
                    call()
                except Exception as error:
                    self._on_failure(error)

    def wait(self, seconds: float) -> None:
        """Wait for a call to arrive, and run it if this thread is the one to do so."""
        self._arrived.wait(seconds)
        if self._loop is None or threading.get_ident() == self._owner:
            self.drain()
        else:
            time.sleep(min(seconds, 0.01))


@dataclass
class Work:
    """One task while it runs.

    Attributes
    ----------
    kind : str
        ``"fit"``, ``"guess"``, ``"robust"`` or ``"bad frames"``.
    outcome : object
        What the task returned, once it has.
    failure : HeterodyneError or None
    warnings : list of str
    trace : list of (seconds, reduced chi-square, stage)
        Every report that had a chi-square.
    urgent : bool
        Whether somebody waits for its picture; what is not lets the page go first.
    """

    kind: str
    task: Task
    stop: StopToken
    mailbox: Mailbox
    on_progress: OnProgress
    on_end: Callable[[Work], None]
    outcome: Any = None
    failure: HeterodyneError | None = None
    warnings: list[str] = field(default_factory=list)
    trace: list[tuple[float, float, str]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    ended: threading.Event = field(default_factory=threading.Event)
    urgent: bool = False

    def __post_init__(self) -> None:
        self._latest: ProgressEvent | None = None
        self._next = 0.0
        self._thread = threading.Thread(target=self._run, name=f"heterodyne_nb {self.kind}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def seconds(self) -> float:
        """Time since it began."""
        return time.monotonic() - self.began

    def wait(self, timeout: float | None) -> bool:
        """Wait until its end has been dealt with; False when the time runs out first."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self.ended.is_set():
            left = 0.1 if end is None else min(0.1, end - time.monotonic())
            if left <= 0:
                return False
            self.mailbox.wait(left)
        return True

    def join(self, timeout: float) -> bool:
        """Wait for the thread alone, whatever becomes of its reports."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        if not self.urgent:
            _step_back()
        with heard_by(lambda text, _: self.warnings.append(text)):
            try:
                self.outcome = self.task(self._report, self.stop)
            except BaseException as error:
                self.failure = in_our_words(error)
        self.mailbox.post(self._end)

    def _end(self) -> None:
        try:
            self.on_end(self)
        finally:
            self.ended.set()

    def _report(self, event: ProgressEvent) -> None:
        now = time.monotonic()
        if event.chi2 is not None:
            self.trace.append((now - self.began, float(event.chi2), event.stage))
        self._latest = event
        if now >= self._next:
            self._next = math.inf  # until this one has been dealt with: reports must not queue up
            self.mailbox.post(self._tell)

    def _tell(self) -> None:
        """Hand the latest report over; the page has as long to itself afterwards as this took."""
        began = time.monotonic()
        try:
            if self._latest is not None:
                self.on_progress(self._latest)
        finally:
            ended = time.monotonic()
            self._next = ended + max(_EVERY, ended - began)


def _step_back() -> None:
    """Let the page go first on a busy machine: this thread, and those it starts, ask for less of the processor.

    Only Linux has threads with a priority of their own.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
