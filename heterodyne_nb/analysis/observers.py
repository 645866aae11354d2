"""Observers of long work: the console, a tqdm bar, a log; and the adapter that feeds them progress events."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterable
from typing import Any, TextIO

from heterodyne_nb.progress import OnProgress, ProgressEvent, careful


class ProgressObserver:
    """Watches long work and does nothing; subclasses say what to do with a stage and the part of it that is done."""

    def update(self, stage: str, progress: float) -> None:
        """Receive one report.

        Parameters
        ----------
        stage : str
            What is being done, for instance ``"load"`` or ``"gauss_newton"``.
        progress : float
            Done part of the stage in [0, 1]; NaN where it cannot be known.
        """

    def on_event(self, event: ProgressEvent) -> None:
        """Receive a full event; the default hands its stage and fraction to :meth:`update`."""
        self.update(event.stage, _fraction(event))

    def __call__(self, event: ProgressEvent) -> None:
        """Receive an event: an observer is an ``on_progress`` callback by itself."""
        self.on_event(event)

    def close(self) -> None:
        """Let go of whatever the observer holds (a bar on the screen, a file)."""


class ConsoleProgressObserver(ProgressObserver):
    """Prints lines such as ``fit: 25.0%``.

    Parameters
    ----------
    stream : text file, optional
        Where to print; standard output if not given.
    every : float
        Least time between two lines that events of one stage print, in seconds; :meth:`update` always prints.

    Examples
    --------
    >>> ConsoleProgressObserver().update("fit", 0.25)
    fit: 25.0%
    """

    def __init__(self, stream: TextIO | None = None, *, every: float = 0.5) -> None:
        self._stream, self._every = stream, every
        self._stage, self._printed_at = "", -math.inf

    def update(self, stage: str, progress: float) -> None:
        """Print the stage and its percentage."""
        self._print(stage, progress, "")

    def on_event(self, event: ProgressEvent) -> None:
        """Print the stage, its percentage, the best reduced chi-square and the event's message, now and then."""
        now = time.monotonic()
        if event.stage == self._stage and event.fraction != 1.0 and now - self._printed_at < self._every:
            return
        self._stage, self._printed_at = event.stage, now
        self._print(event.stage, _fraction(event), _details(event))

    def _print(self, stage: str, progress: float, details: str) -> None:
        done = "" if math.isnan(progress) else f" {progress:.1%}"
        print(f"{stage}:{done}{details}", file=self._stream or sys.stdout, flush=True)


class TqdmProgressObserver(ProgressObserver):
    """One tqdm bar a stage, on standard error.

    Parameters
    ----------
    stream : text file, optional
        Where to draw; standard error if not given.
    leave : bool
        Keep finished bars on the screen.
    """

    def __init__(self, stream: TextIO | None = None, *, leave: bool = False) -> None:
        self._stream, self._leave = stream, leave
        self._stage: str | None = None
        self._bar: Any = None

    def update(self, stage: str, progress: float) -> None:
        """Move the stage's bar; a new stage closes the old bar and opens its own."""
        bar = self._bar_of(stage)
        if not math.isnan(progress):
            bar.n = round(1000 * min(max(progress, 0.0), 1.0)) / 10
        bar.refresh()

    def on_event(self, event: ProgressEvent) -> None:
        """Move the bar and write the best reduced chi-square behind it."""
        bar = self._bar_of(event.stage)
        bar.set_postfix_str(_details(event).strip(" |"), refresh=False)
        self.update(event.stage, _fraction(event))

    def close(self) -> None:
        """Close the open bar, if any."""
        if self._bar is not None:
            self._bar.close()
        self._stage, self._bar = None, None

    def _bar_of(self, stage: str) -> Any:
        if stage != self._stage:
            from tqdm import tqdm

            self.close()
            layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} {postfix}"
            self._stage = stage
            self._bar = tqdm(
                total=100.0, desc=stage, file=self._stream or sys.stderr, leave=self._leave, bar_format=layout
            )
        return self._bar


class LoggingProgressObserver(ProgressObserver):
    """Writes progress to a logger: the begin of each stage at INFO, the rest at DEBUG.

    Parameters
    ----------
    logger : logging.Logger, optional
        The logger to write to; ``heterodyne_nb.progress`` if not given.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("heterodyne_nb.progress")
        self._stage = ""

    def update(self, stage: str, progress: float) -> None:
        """Log the stage and its fraction."""
        self._log(stage, progress, "")

    def on_event(self, event: ProgressEvent) -> None:
        """Log the stage, its fraction, the best reduced chi-square and the event's message."""
        self._log(event.stage, _fraction(event), _details(event))

    def _log(self, stage: str, progress: float, details: str) -> None:
        level = logging.DEBUG if stage == self._stage else logging.INFO
        self._stage = stage
        done = "" if math.isnan(progress) else f" {progress:.1%}"
        self._logger.log(level, "%s%s%s", stage, done, details)


def notify(observers: Iterable[ProgressObserver]) -> OnProgress:
    """Make the ``on_progress`` callback that hands each event to all observers.

    An observer that raises must not end the work it watches: it is dropped, and a FitWarning names it.

    Parameters
    ----------
    observers : iterable of ProgressObserver

    Returns
    -------
    callable
        Takes a ProgressEvent, returns nothing.
    """
    watching = [careful(observer.on_event) for observer in observers]

    def deliver(event: ProgressEvent) -> None:
        for tell in watching:
            tell(event)

    return deliver


def _fraction(event: ProgressEvent) -> float:
    return math.nan if event.fraction is None else float(event.fraction)


def _details(event: ProgressEvent) -> str:
    parts = [] if event.chi2 is None else [f"reduced chi2 {event.chi2:.5g}"]
    if event.message:
        parts.append(event.message)
    return "".join(f" | {part}" for part in parts)
