"""heterodyne_nb: heterodyne X-ray photon correlation spectroscopy in the notebook.

The public names below are imported on first use, so ``import heterodyne_nb`` costs milliseconds.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from heterodyne_nb import old_paths

# GNU OpenMP reads this when the first kernel loads it: threads that wait for each other sleep instead of spinning. Where
# other programs want the cores too, passes are then ten times as fast; your own setting is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.2.0"

_PUBLIC: dict[str, str] = {
    "HeterodyneError": "errors",
    "ConfigurationError": "errors",
    "DataFormatError": "errors",
    "OptimizationError": "errors",
    "ConfigManager": "config",
    "open_dataset": "data",
    "make_dataset": "data",
    "write_dataset": "data",
    "list_analyses": "data",
    "average_runs": "data",
    "scan_folder": "data",
    "open_frames": "frames",
    "FrameSet": "frames",
    "correlate": "frames",
    "LazyDataLoader": "data",
    "ChunkedDataProcessor": "data",
    "monitor_memory_usage": "data",
    "prepare": "data",
    "ModelFactory": "models",
    "ModelPlugin": "models",
    "HeterodyneModel": "models",
    "heterodyne_model": "models",
    "Objective": "engine",
    "OptimizationStrategy": "optimize",
    "GaussNewtonStrategy": "optimize",
    "NelderMeadStrategy": "optimize",
    "GurobiTrustRegionStrategy": "optimize",
    "ClassicalOptimizer": "optimize",
    "FitResult": "result",
    "bootstrap": "assess",
    "jackknife": "assess",
    "profile": "assess",
    "goodness_of_fit": "assess",
    "criticise": "assess",
    "simulate": "",
    "plots": "",
    "app": "",
    "data": "",
    "models": "",
    "example_dataset": "simulate",
    "example_truth": "simulate",
    "fit": "fitting",
    "calibrate_contrast": "fitting",
    "fit_batch": "fitting",
    "compare_models": "assess",
    "fit_robust": "robust",
    "RobustHeterodyneOptimizer": "robust",
    "radius_path": "robust",
    "detect_bad_bins": "robust",
    "initial_guess": "fitting",
    "AnalysisSession": "app",
    "App": "app",
    "HeterodyneAnalysisCore": "analysis",
    "AnalysisCommand": "analysis",
    "LoadDataCommand": "analysis",
    "OptimizeCommand": "analysis",
    "live": "analysis",
    "ProgressObserver": "analysis",
    "ConsoleProgressObserver": "analysis",
}

__all__ = ["__version__", *_PUBLIC]

old_paths.install()


def __getattr__(name: str) -> Any:
    if name == "widgets":
        return old_paths.moved_module(name)
    if name not in _PUBLIC:
        raise AttributeError(f"module 'heterodyne_nb' has no attribute {name!r}; {_offer(name)}")
    home = _PUBLIC[name]
    if not home:
        return importlib.import_module(f"heterodyne_nb.{name}")
    value = getattr(importlib.import_module(f"heterodyne_nb.{home}"), name)
    globals()[name] = value
    return value


def _offer(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, _PUBLIC, n=1)
    return f"did you mean {near[0]!r}?" if near else f"it offers {sorted(_PUBLIC)}"


def __dir__() -> list[str]:
    return sorted(__all__)
