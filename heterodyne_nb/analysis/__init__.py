"""Analyses: from a dataset or a configuration to fits, step by step, under observers."""

from heterodyne_nb.analysis.bad_bins import detect_bad_bins
from heterodyne_nb.analysis.batch import fit_batch
from heterodyne_nb.analysis.commands import AnalysisCommand, LoadDataCommand, OptimizeCommand, Pipeline
from heterodyne_nb.analysis.comparison_table import ModelComparison
from heterodyne_nb.analysis.core import HeterodyneAnalysisCore
from heterodyne_nb.analysis.fitting import fit, initial_guess
from heterodyne_nb.analysis.model_comparison import compare_models
from heterodyne_nb.analysis.observers import (
    ConsoleProgressObserver,
    LoggingProgressObserver,
    ProgressObserver,
    TqdmProgressObserver,
    notify,
)
from heterodyne_nb.analysis.robust_fit import fit_robust, radius_path
from heterodyne_nb.analysis.session import AnalysisSession, FitEntry, FitSettings

__all__ = [
    "AnalysisSession",
    "FitEntry",
    "FitSettings",
    "AnalysisCommand",
    "ConsoleProgressObserver",
    "HeterodyneAnalysisCore",
    "LoadDataCommand",
    "LoggingProgressObserver",
    "ModelComparison",
    "OptimizeCommand",
    "Pipeline",
    "ProgressObserver",
    "TqdmProgressObserver",
    "detect_bad_bins",
    "compare_models",
    "fit",
    "fit_batch",
    "fit_robust",
    "initial_guess",
    "notify",
    "radius_path",
]
