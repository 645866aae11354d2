"""From validated settings to the dataset of a fit, with a plain account of what was used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.config import ConfigManager
from heterodyne_nb.config.schema import AngleFiltering, Masks, Settings, Temporal
from heterodyne_nb.data.door import one_run
from heterodyne_nb.data.formats.arrays import ENDINGS
from heterodyne_nb.errors import ConfigurationError, ConfigurationWarning, DataWarning, warn


@dataclass(frozen=True)
class Loaded:
    """Data ready for a fit."""

    dataset: xr.Dataset  #: Selected, masked and cropped; maps still on disk.
    account: tuple[str, ...]  #: What was used, one line each.


def load(config: ConfigManager) -> Loaded:
    """Open the data a configuration names and keep what it asks for.

    ``config``: Names the file, and selects frames, q and angles.

    Raises ConfigurationError: The configuration names no file, or selects what is not in the data. Raises
    DataFormatError: The file is missing, damaged, or of no known layout. Warns DataWarning: Angle filtering matched
    nothing and fell back to all angles; a bin is dead.
    """
    from heterodyne_nb.data import open_dataset

    path, given = config.data_path, opening(config)
    unused = [
        f"data.{n}" for n in ("q", "phi") if getattr(config.settings.data, n) is not None and n not in given
    ]
    if unused:
        warn(f"{' and '.join(unused)} not used: {path.name} says these itself", ConfigurationWarning)
    whole = one_run(open_dataset(path, **given), "data.file")
    dataset, lines = prepare_for_fit(whole, config.settings)
    layout = f", layout {whole.attrs['layout']}" if "layout" in whole.attrs else ""
    return Loaded(dataset, (f"file: {path.name}{layout}", *lines))


def opening(config: ConfigManager) -> dict[str, Any]:
    """What a configuration says of its data file, as keywords of ``open_dataset``; q and phi only for plain arrays."""
    data = config.settings.data
    found: dict[str, Any] = {"dt": config.settings.temporal.dt}
    found |= {name: getattr(data, name) for name in ("layout", "analysis", "units", "keep_empty")}
    if config.data_path.suffix in ENDINGS:
        found |= {n: None if v is None else list(v) for n, v in (("q", data.q), ("phi", config.angles))}
    return {name: value for name, value in found.items() if value not in (None, False, {})}


def prepare_for_fit(dataset: xr.Dataset, settings: Settings) -> tuple[xr.Dataset, tuple[str, ...]]:
    """Apply the frames, masks, q and angles of a configuration to a dataset.

    Returns: What is left, and what was done in words.
    """
    from heterodyne_nb.data import prepare

    has_maps = "c2" in dataset.variables
    if has_maps:
        dataset = _framed(dataset, settings.temporal, settings.masks)
    if settings.scattering.selection is not None:
        dataset = prepare.select(dataset, q=settings.scattering.selection)
    dataset = _angled(dataset, settings.angle_filtering)
    return dataset, tuple(describe(dataset))


def describe(dataset: xr.Dataset) -> Iterable[str]:
    """Say in words which frames, q and angles a dataset holds."""
    if "c2" in dataset.variables:
        frame, used = dataset["frame"].values, dataset["mask"].values.astype(bool)
        step = float(dataset.attrs.get("dt", np.nan))
        yield f"frames: {frame[0]} to {frame[-1]}, {step:g} s each; {int(used.sum())} of {used.size} used"
        if not used.all():
            yield f"masked frames: {ranges_in_words(frame[~used])}"
    yield f"q: {_numbers(np.unique(dataset['q'].values), '.4g')} 1/Å"
    yield f"phi: {_numbers(np.unique(dataset['phi'].values), '.4g')} deg"


def ranges_in_words(numbers: np.ndarray) -> str:
    """``"4, 7-9"`` for 4, 7, 8, 9."""
    groups = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(f"{g[0]}" if g.size == 1 else f"{g[0]}-{g[-1]}" for g in groups)


def _framed(dataset: xr.Dataset, temporal: Temporal, masks: Masks) -> xr.Dataset:
    from heterodyne_nb.data import prepare

    if masks.frames:
        dataset = prepare.mask_frames(dataset, [tuple(pair) for pair in masks.frames])
    first, last = temporal.frames
    if first != 1 or last is not None:
        dataset = prepare.crop_frames(dataset, first, last)
    return mask_detected(dataset) if masks.detect else dataset


def mask_detected(dataset: xr.Dataset) -> xr.Dataset:
    """Mask the frames that look bad in the data themselves."""
    from heterodyne_nb.data import prepare

    return prepare.mask_frames(dataset, prepare.detect_bad_frames(dataset))


def _angled(dataset: xr.Dataset, filtering: AngleFiltering) -> xr.Dataset:
    if not filtering.ranges:
        return dataset
    along = "bin" if "bin" in dataset.dims else "phi"
    phi = np.atleast_1d(dataset["phi"].values)
    inside = np.zeros(phi.size, dtype=bool)
    for low, high in filtering.ranges:
        inside |= (phi - low) % 360 <= (high - low) % 360
    if inside.any():
        return dataset.isel({along: np.flatnonzero(inside)})
    there = f"the data have phi = {_numbers(np.unique(phi), '.4g')} deg"
    if not filtering.fallback_to_all_angles:
        raise ConfigurationError(
            "no angle of the data is in any target range", where="angle_filtering", expected=there
        )
    warn(f"angle_filtering: no angle is in any range, all are used; {there}", DataWarning)
    return dataset


def _numbers(values: np.ndarray, form: str) -> str:
    shown = [format(float(value), form) for value in values]
    return ", ".join(shown if len(shown) <= 12 else [*shown[:6], "…", *shown[-3:]])
