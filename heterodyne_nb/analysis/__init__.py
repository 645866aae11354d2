"""Analyses: from a dataset or a configuration to fits, step by step, under observers."""

from __future__ import annotations

from typing import Any

from heterodyne_nb import old_paths
from heterodyne_nb.analysis.commands import AnalysisCommand, LoadDataCommand, OptimizeCommand, Pipeline
from heterodyne_nb.analysis.core import HeterodyneAnalysisCore
from heterodyne_nb.analysis.live_fit import Live, LiveUpdate, known_to, live
from heterodyne_nb.analysis.observers import (
    ConsoleProgressObserver,
    LoggingProgressObserver,
    ProgressObserver,
    TqdmProgressObserver,
    notify,
)

__all__ = [
    "AnalysisCommand",
    "ConsoleProgressObserver",
    "HeterodyneAnalysisCore",
    "Live",
    "LiveUpdate",
    "LoadDataCommand",
    "LoggingProgressObserver",
    "OptimizeCommand",
    "Pipeline",
    "ProgressObserver",
    "TqdmProgressObserver",
    "known_to",
    "live",
    "notify",
]


def __getattr__(name: str) -> Any:
    return old_paths.moved_name("analysis", name)
