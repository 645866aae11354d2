"""What a running command shows, and how Ctrl-C stops it: the first asks, the second insists."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from heterodyne_nb.progress import StopToken
from heterodyne_nb.text.escaping import printable

if TYPE_CHECKING:
    from heterodyne_nb.analysis.observers import ProgressObserver


@contextmanager
def observers_for(args: Namespace) -> Iterator[list[ProgressObserver]]:
    """Give the observers a command's flags ask for; close them when the work is over.

    A bar on a terminal; with ``--verbose`` lines of text instead; nothing under ``--quiet`` or when
    standard error is not a terminal.
    """
    from heterodyne_nb.analysis.observers import LoggingProgressObserver, TqdmProgressObserver

    observers: list[ProgressObserver] = []
    if args.verbose:
        observers.append(LoggingProgressObserver(_verbose_logger()))
    elif not args.quiet and sys.stderr.isatty():
        observers.append(TqdmProgressObserver())
    try:
        yield observers
    finally:
        for observer in observers:
            observer.close()


@contextmanager
def stoppable(stop: StopToken) -> Iterator[None]:
    """Let the first Ctrl-C ask the work to stop, keeping the best so far; the second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return

    def ask(signum: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nstopping, the best so far is kept; Ctrl-C again to leave at once", file=sys.stderr)
        stop.cancel()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def tell(args: Namespace, text: str) -> None:
    """Print to standard output unless ``--quiet``."""
    if not args.quiet:
        print(printable(text, keep="\n"))


def _verbose_logger() -> logging.Logger:
    logger = logging.getLogger("heterodyne_nb.cli")
    logger.handlers = [logging.StreamHandler(sys.stderr)]
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    return logger
