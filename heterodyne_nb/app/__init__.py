"""Widgets for the notebook; each observes one :class:`~heterodyne_nb.app.session.AnalysisSession`."""

from __future__ import annotations

import importlib
from typing import Any

_HOME: dict[str, str] = {
    "AnalysisSession": "session",
    "App": "app",
    "ConfigEditor": "config_editor",
    "DataExplorer": "data_explorer",
    "FitEntry": "session",
    "FitPanel": "fit_panel",
    "FitSettings": "session",
    "MapCanvas": "map_view",
    "ResultPanel": "result_panel",
    "RobustPanel": "robust_panel",
    "TraceStrip": "trace_strip",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {__all__}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
