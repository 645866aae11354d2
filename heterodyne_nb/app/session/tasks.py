"""What the worker thread does: the package's own functions, with the arguments a script would give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.app.session.parameters import asked_of
from heterodyne_nb.app.session.selection import Range
from heterodyne_nb.app.session.settings import FitSettings
from heterodyne_nb.config import ParameterTable
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.options import RobustOptions
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken
from heterodyne_nb.result import FitResult


def fit(
    dataset: xr.Dataset,
    settings: FitSettings,
    parameters: ParameterTable,
    on_progress: OnProgress,
    stop: StopToken,
) -> dict[str, FitResult]:
    """Fit; the stop token has the time limit already."""
    from heterodyne_nb.fitting.fitting import fit as fit_model

    given = {k: v for k, v in settings.arguments().items() if k != "time_limit"}
    result = fit_model(dataset, parameters=asked_of(parameters), on_progress=on_progress, stop=stop, **given)
    return {result.method: result}


def guess(
    dataset: xr.Dataset,
    settings: FitSettings,
    parameters: ParameterTable,
    on_progress: OnProgress,
    stop: StopToken,
) -> dict[str, float]:
    """Start values; what is fixed or tied is kept, the present values of the others are not."""
    from heterodyne_nb.fitting.fitting import fit as fit_model
    from heterodyne_nb.fitting.fitting import initial_guess

    on_progress(ProgressEvent("guess", None, message="looking at fringes and decays"))
    asked = {name: _without_start(entry) for name, entry in asked_of(parameters).items()}
    if ModelFactory.create_model(settings.mode).one_time:
        found = fit_model(dataset, settings.mode, parameters=asked, on_progress=on_progress, stop=stop)
        return found.values
    return initial_guess(dataset, settings.mode, parameters=asked, gap=settings.gap, seed=settings.seed)


def _without_start(entry: Mapping[str, Any]) -> dict[str, Any]:
    keep = entry.get("vary") is False
    return {field: value for field, value in entry.items() if keep or field != "value"}


def fit_robust(
    dataset: xr.Dataset,
    settings: FitSettings,
    parameters: ParameterTable,
    start: FitResult | None,
    asked: Mapping[str, Any],
    on_progress: OnProgress,
    stop: StopToken,
) -> dict[str, FitResult]:
    """Robust fits, each by its method's name."""
    import heterodyne_nb

    results = heterodyne_nb.fit_robust(
        dataset,
        start=start,
        on_progress=on_progress,
        stop=stop,
        **robust_arguments(settings, parameters, asked),
    )
    return dict(results)


def radius_path(
    dataset: xr.Dataset,
    settings: FitSettings,
    parameters: ParameterTable,
    start: FitResult | None,
    asked: Mapping[str, Any],
    on_progress: OnProgress,
    stop: StopToken,
) -> xr.Dataset:
    """Answers of one robust method for a rising radius."""
    import heterodyne_nb

    given = robust_arguments(settings, parameters, asked)
    return heterodyne_nb.radius_path(dataset, start=start, on_progress=on_progress, stop=stop, **given)


def robust_arguments(
    settings: FitSettings, parameters: ParameterTable, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """Keyword arguments of ``fit_robust`` that a script states."""
    known = set(RobustOptions.model_fields) - {"time_limit"}
    shared = {k: v for k, v in settings.arguments().items() if k in known}
    return {**shared, "parameters": asked_of(parameters), **asked}


def bad_frames(dataset: xr.Dataset, on_progress: OnProgress, stop: StopToken) -> list[Range]:
    """Frames that look bad in the data and are used now, as ranges."""
    from heterodyne_nb.data.prepare import detect_bad_frames
    from heterodyne_nb.result.provenance import ranges

    on_progress(ProgressEvent("bad frames", None, message="comparing every frame with the others"))
    good = np.asarray(detect_bad_frames(dataset), dtype=bool)
    frames = dataset["frame"].values[~good & dataset["mask"].values.astype(bool)]
    return [(first, last) for first, last in ranges(frames)] if frames.size else []
