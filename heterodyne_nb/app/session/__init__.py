"""One observable session of an analysis: data, choices, fits, history, undo."""

from heterodyne_nb.app.session.entries import FitEntry, FitSettings
from heterodyne_nb.app.session.session import AnalysisSession

__all__ = ["AnalysisSession", "FitEntry", "FitSettings"]
