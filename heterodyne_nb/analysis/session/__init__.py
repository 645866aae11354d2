"""One observable session of an analysis: data, choices, fits, history, undo."""

from heterodyne_nb.analysis.session.entries import FitEntry
from heterodyne_nb.analysis.session.session import AnalysisSession
from heterodyne_nb.analysis.session.settings import FitSettings

__all__ = ["AnalysisSession", "FitEntry", "FitSettings"]
