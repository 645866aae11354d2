"""Widgets for the notebook; each observes one :class:`~heterodyne_nb.app.session.AnalysisSession`."""

from __future__ import annotations

import importlib
from typing import Any

from heterodyne_nb.errors import MissingExtraError

_HOME: dict[str, str] = {
    "AnalysisSession": "session",
    "App": "app",
    "ConfigEditor": "config_editor",
    "DataExplorer": "data_explorer",
    "FitEntry": "session",
    "FitPanel": "fit_panel",
    "FitSettings": "session",
    "G2Panel": "g2_panel",
    "LivePanel": "live_panel",
    "MapCanvas": "map_view",
    "ResultPanel": "result_panel",
    "RobustPanel": "robust_panel",
    "RunsPanel": "runs_panel",
    "TraceStrip": "map_view",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {__all__}")
    try:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] == "heterodyne_nb":
            raise
        raise MissingExtraError(
            f"{name} needs {error.name}, which is not installed", hint='pip install "heterodyne_nb[app]"'
        ) from error
    globals()[name] = value
    return value
