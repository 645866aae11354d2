"""What a running command shows."""

from __future__ import annotations

import logging
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

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
