"""What the worker thread does, with the arguments a script would give; the preview of one bin at any parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from heterodyne_nb.app.session.entries import FitSettings, asked_of
from heterodyne_nb.app.session.selection import Range, chosen_bins, places
from heterodyne_nb.config import ParameterTable
from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.options import RobustOptions
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken
from heterodyne_nb.result import FitResult

if TYPE_CHECKING:
    from heterodyne_nb.app.session.running import Running


def fit(
    dataset: xr.Dataset,
    settings: FitSettings,
    parameters: ParameterTable,
    on_progress: OnProgress,
    stop: StopToken,
    *,
    journal: Path | None = None,
) -> dict[str, FitResult]:
    """Fit; the stop token has the time limit already."""
    from heterodyne_nb.fitting.fitting import fit as fit_model

    given = {k: v for k, v in settings.arguments().items() if k != "time_limit"}
    if journal is not None and not ModelFactory.create_model(settings.mode).one_time:
        given["journal"] = journal
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


#: Frames along each side at which contrast and offset are found; more would not show.
_FRAMES = 100


def preview_of(session: Running, parameters: Mapping[str, float] | None) -> FitResult:
    """See :meth:`AnalysisSession.preview`."""
    model = ModelFactory.create_model(session.settings.mode)
    table = session.parameters
    given = parameters or {}
    values = np.array([given.get(name, x) for name, x in zip(table.names, table.values, strict=True)])
    dataset = session._need_data()
    sample = _sample(session, dataset, model.one_time)
    q, phi = sample.attrs["q"], sample.attrs["phi"]
    where = {"q": q, "phi": phi}
    if model.one_time:
        shape = model.correlation(values, sample["tau"].values, **where)
    else:
        gap = model.checked_gap(session.settings.gap)
        shape = model.correlation(values, sample["t1"].values, sample["t2"].values, **where, gap=gap)
    contrast, offset, left = _scaled(np.asarray(shape, float), sample["data"].values)
    bins = xr.Dataset(
        {"contrast": ("bin", [contrast]), "offset": ("bin", [offset])},
        coords={"q": ("bin", [q]), "phi": ("bin", [phi])},
    )
    return FitResult.from_parts(
        model,
        parameters=values,
        chi2=left,
        n_data=sample.sizes["pair"],
        n_free=2,
        success=False,
        t=None if model.one_time else dataset["t"].values,
        bins=bins,
        message="a preview, not a fit",
        method="preview",
        gap=session.settings.gap,
    )


def _sample(session: Any, dataset: xr.Dataset, one_time: bool) -> xr.Dataset:
    """Data of the bin shown, at pairs of times or at lags; kept until bin or data change."""
    kept = session.__dict__.get("_preview_sample")
    if kept is not None and kept[0] is dataset and kept[1:3] == (session.bin, one_time):
        return kept[3]
    sample = _one_time_sample(session, dataset) if one_time else _two_time_sample(session, dataset)
    session.__dict__["_preview_sample"] = (dataset, session.bin, one_time, sample)
    return sample


def _two_time_sample(session: Any, dataset: xr.Dataset) -> xr.Dataset:
    if "c2" not in dataset:
        raise DataFormatError("the data have no two-time maps", hint="choose a one-time mode")
    used = np.flatnonzero(dataset["mask"].values)
    some = used[np.unique(np.linspace(0, used.size - 1, min(_FRAMES, used.size)).round().astype(int))]
    one = chosen_bins(dataset, [session.bin]).isel(bin=0)["c2"].transpose("t1", "t2")
    c2 = np.asarray(one.values, float)[np.ix_(some, some)]
    t = dataset["t"].values[some]
    first, second = np.triu_indices(some.size, 1)
    return _measured(session, dataset, c2[first, second], t1=t[first], t2=t[second])


def _one_time_sample(session: Any, dataset: xr.Dataset) -> xr.Dataset:
    g2 = chosen_bins(dataset, [session.bin]).isel(bin=0)["g2"].values
    return _measured(session, dataset, np.asarray(g2, float), tau=dataset["tau"].values)


def _measured(session: Any, dataset: xr.Dataset, data: np.ndarray, **times: np.ndarray) -> xr.Dataset:
    good = np.isfinite(data) & (data != 0.0)
    q, phi = places(dataset)
    return xr.Dataset(
        {"data": ("pair", data[good]), **{name: ("pair", t[good]) for name, t in times.items()}},
        attrs={"q": float(q[session.bin]), "phi": float(phi[session.bin])},
    )


def _scaled(shape: np.ndarray, data: np.ndarray) -> tuple[float, float, float]:
    """Contrast and offset that bring the model nearest to the data, and the sum of squares that is left."""
    if data.size < 2 or not np.isfinite(shape).all():
        return float("nan"), float("nan"), float("nan")
    about = shape - shape.mean()
    spread = float(about @ about)
    contrast = float(about @ data) / spread if spread > 0 else 0.0
    offset = float(data.mean() - contrast * shape.mean())
    return contrast, offset, float(np.sum((data - offset - contrast * shape) ** 2))
