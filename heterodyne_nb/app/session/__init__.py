"""One observable session of an analysis: data, choices, fits, history, undo."""

from heterodyne_nb.app.session.entries import FitEntry
from heterodyne_nb.app.session.session import AnalysisSession
from heterodyne_nb.app.session.settings import FitSettings

__all__ = ["AnalysisSession", "FitEntry", "FitSettings"]
