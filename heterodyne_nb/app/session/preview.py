"""The model of one bin at any parameter values, at once: for sliders, and for a fit while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from heterodyne_nb.app.session.selection import chosen_bins, places
from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.result import FitResult

if TYPE_CHECKING:
    from heterodyne_nb.app.session.running import Running

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
