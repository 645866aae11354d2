"""Progress is data: events emitted by long work, and the token that stops it."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Real

from heterodyne_nb.errors import ConfigurationError, FitWarning, warn


@dataclass(frozen=True)
class ProgressEvent:
    """One report from long work."""

    stage: str  #: What is being done, e.g. ``"load"``, ``"start values"``, ``"gauss_newton"``.
    fraction: float | None = None  #: Done part in [0, 1]; None when it cannot be known.
    chi2: float | None = None  #: Reduced chi-square of the best point so far.
    #: Best published parameters so far (a copy).
    parameters: Mapping[str, float] = field(default_factory=dict)
    message: str = ""  #: One line for a person.


OnProgress = Callable[[ProgressEvent], None]


def ignore_progress(event: ProgressEvent) -> None:
    """Receive an event and do nothing with it."""


def careful(on_progress: OnProgress) -> OnProgress:
    """The same callback, dropped with one FitWarning when it raises: who watches work must not end it."""
    watching = [on_progress]

    def deliver(event: ProgressEvent) -> None:
        for told in tuple(watching):
            try:
                told(event)
            except Exception as error:
                watching.clear()
                owner = getattr(told, "__self__", told)
                name = getattr(owner, "__qualname__", type(owner).__name__)
                warn(
                    f"the observer {name} raised {type(error).__name__}: {error}; "
                    "it gets no more reports, the work goes on",
                    FitWarning,
                )

    return deliver


class StopToken:
    """Asks long work to stop: by hand from any thread, or when a time limit passes.

    ``time_limit``: Seconds from now after which :attr:`reason` becomes ``"time limit"``.

    Raises ConfigurationError: The limit is not a number above 0.
    """

    def __init__(self, time_limit: float | None = None) -> None:
        if time_limit is not None and (not isinstance(time_limit, Real) or not time_limit > 0):
            raise ConfigurationError(f"{time_limit!r}", where="time_limit", expected="seconds, more than 0")
        self._cancelled = threading.Event()
        self._deadline = None if time_limit is None else time.monotonic() + time_limit

    def within(self, time_limit: float) -> StopToken:
        """A token that obeys this one and a time limit of its own, in seconds from now."""
        limited = StopToken(time_limit)
        limited._cancelled = self._cancelled
        if self._deadline is not None and limited._deadline is not None:
            limited._deadline = min(self._deadline, limited._deadline)
        return limited

    def cancel(self) -> None:
        """Ask the work to stop at its next check."""
        self._cancelled.set()

    @property
    def reason(self) -> str | None:
        """``"cancelled"``, ``"time limit"`` or None (go on)."""
        if self._cancelled.is_set():
            return "cancelled"
        if self._deadline is not None and time.monotonic() > self._deadline:
            return "time limit"
        return None


@contextmanager
def stopped_by_signals(stop: StopToken) -> Iterator[None]:
    """Let the first Ctrl-C, or a request to terminate (SIGTERM), ask the work inside to stop; the second ends it at once.

    Elsewhere than in the main thread, which alone may handle signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(signum: int, frame: object) -> None:
        if stop.reason == "cancelled":
            raise KeyboardInterrupt
        print(
            "\nstopping, the best so far is kept; Ctrl-C again to leave at once", file=sys.stderr, flush=True
        )
        stop.cancel()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
