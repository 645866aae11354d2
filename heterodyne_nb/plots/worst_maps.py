"""The model of a bin as fitted, and as the worst instrument within its tolerances would show it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.binmodel import BinModel
from heterodyne_nb.plots.comparison import residual_of, three_maps
from heterodyne_nb.plots.maps import Limits, MapView, read_map, reduced_curve
from heterodyne_nb.plots.paired import pixel_noise
from heterodyne_nb.plots.select import Choice, frame_times, need, one_bin, used_frames
from heterodyne_nb.plots.worst import robust_record


def worst_case_maps(
    ds: xr.Dataset,
    result: Any,
    *,
    q: Choice = None,
    phi: Choice = None,
    bin: int | None = None,
    percentiles: Limits = (1.0, 99.0),
    limits: Limits | None = None,
    max_size: int = 400,
    theme: str = "light",
) -> go.Figure:
    """Model as fitted | with the worst instrument | their difference in σ, of an ellipsoidal fit.

    Contrast and offset are fitted to the bin for the worst instrument too, as the fit itself does.

    Parameters
    ----------
    ds : xarray.Dataset
        The data that were fitted.
    result : FitResult
        Of :func:`heterodyne_nb.fit_robust` with method ``"ellipsoidal"``.
    q, phi, bin, percentiles, limits, max_size, theme
        As in :func:`comparison`.

    Raises
    ------
    ConfigurationError
        If there is no such bin, or the worst case of this fit is no instrument.
    """
    need(ds, "c2", "the model of a bin")
    robust = robust_record(result)
    if not isinstance(robust.get("perturbation"), list):
        raise ConfigurationError(
            f"the worst case of a {robust['method']} fit is no instrument, so it has no map of its own",
            where="result",
            expected="an ellipsoidal fit",
            hint="plots.worst_case draws what it is",
        )
    chosen = one_bin(ds, q=q, phi=phi, bin=bin)
    data = read_map(ds, chosen, max_size, diagonal=False)
    fitted, worst = models_of(ds, result, BinModel.of(result, chosen), robust["perturbation"], data)
    noise = pixel_noise(ds, chosen)
    return three_maps(
        ds,
        (fitted, worst, residual_of(worst, fitted, noise.sigma)),
        title=f"Worst instrument, {chosen.label}",
        note=f"{robust['words']} · σ = {noise.sigma:.3g}, {noise.origin}",
        names=("as fitted", "with the worst instrument", "(worst − fitted) / σ"),
        colours=(percentiles, limits),
        least=1e-6,
        theme=theme,
    )


def models_of(
    ds: xr.Dataset, result: Any, one: BinModel, errors: list[dict[str, Any]], data: MapView
) -> tuple[MapView, MapView]:
    """Model of a bin as fitted, and with the instrument off by `errors`, blank where the data are."""
    times, used = frame_times(ds), used_frames(ds)
    frames = np.arange(times.size)
    fitted = one.reduced(times, used, frames, frames, data.factor)
    off = {part["name"]: part["value"] for part in errors}
    wrong = replace(
        one, q=one.q * (1 + off.get("q_scale", 0.0)), phi=one.phi + off.get("phi_zero_deg", 0.0),
        contrast=1.0, offset=0.0,
    )  # fmt: skip
    shape = wrong.reduced(times * (1 + off.get("frame_time", 0.0)), used, frames, frames, data.factor)
    added = _added(errors, times.size, data.factor)
    known = np.isfinite(data.values) & np.isfinite(shape)
    design = np.stack([shape[known], np.ones(int(known.sum()))], axis=1)
    if not known.any():
        raise ConfigurationError("this bin has no data", where="bin")
    contrast, offset = np.linalg.lstsq(design, (data.values - added)[known], rcond=None)[0]
    worst = contrast * shape + offset + added
    return tuple(data.with_values(np.where(known, values, np.nan)) for values in (fitted, worst))  # type: ignore[return-value]


def _added(errors: list[dict[str, Any]], size: int, factor: int) -> np.ndarray:
    """c2 that a drift of the baseline and shifted blocks of frames add, as block means of frames."""
    drift = sum(part["value"] for part in errors if part["name"] == "baseline")
    along = reduced_curve(drift * np.linspace(-0.5, 0.5, size), factor)
    total = 0.5 * (along[:, None] + along)
    shifts = [part["value"] for part in errors if part["name"] == "frame_stripe"]
    edges = np.rint(np.linspace(0, size, len(shifts) + 1)).astype(int)
    for shift, first, last in zip(shifts, edges[:-1], edges[1:], strict=True):
        inside = np.zeros(size)
        inside[first:last] = 1.0
        share = reduced_curve(inside, factor)
        total = total + shift * (share[:, None] + share - share[:, None] * share)
    return total
