"""Between a session and a configuration, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from heterodyne_nb.analysis.loading import opening, prepare_for_fit
from heterodyne_nb.app.session.entries import FitSettings, asked_of
from heterodyne_nb.app.session.selection import in_order, places, prepared, same_bin
from heterodyne_nb.app.session.state import Opened
from heterodyne_nb.app.session.tasks import bad_frames
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.config.schema import settings_by_path
from heterodyne_nb.data.formats.arrays import ENDINGS
from heterodyne_nb.errors import ConfigurationWarning, warn
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.models.one_time_scopes import LAWS, law_numbers
from heterodyne_nb.progress import StopToken, ignore_progress
from heterodyne_nb.remote import told

if TYPE_CHECKING:
    from heterodyne_nb.app.session.session import AnalysisSession

#: Half width, in degrees, of the range of angles that stands for one angle.
_SLACK = 1e-3
#: Limits of contrast and offset are stated in pairs.
_NONE = (0.0, 0.0)


def apply_config(session: AnalysisSession, config: Any) -> dict[str, Any]:
    """The choices a configuration makes; its data file is opened where it names one that is not open.

    Raises
    ------
    ConfigurationError, DataFormatError
    """
    manager = _manager(config)
    manager.require_valid()
    new: dict[str, Any] = {
        "config": manager,
        "settings": FitSettings(**dict(manager.settings.fit_options())),
        "parameters": manager.parameters,
    }
    opened = _opened(session, manager)
    if opened is not None:
        new |= {"opened": opened, "bins": None, "bin": same_bin(session._place_shown(), opened.dataset)}
    if opened is None and session.original is None:
        return new
    dataset = opened.dataset if opened is not None else session.original
    assert dataset is not None
    new["bins"] = _bins_asked(dataset, manager)
    if "frame" in dataset.coords:
        frames = dataset["frame"].values
        first, last = manager.settings.temporal.frames
        whole = first == 1 and last is None
        new["crop"] = (
            None if whole else (max(first, int(frames[0])), int(frames[-1]) if last is None else last)
        )
        asked = [(int(a), int(b)) for a, b in manager.settings.masks.frames]
        if manager.settings.masks.detect:
            masked = prepared(dataset, asked, None)
            asked += bad_frames(masked, ignore_progress, StopToken())
        new["masked"] = in_order(asked)
    return new


def _bins_asked(dataset: xr.Dataset, manager: ConfigManager) -> tuple[int, ...] | None:
    """Places of the bins whose q and angle the configuration asks for; None for all."""
    q, phi = places(dataset)
    numbers = xr.Dataset(
        {"number": ("bin", np.arange(q.size))}, coords={"q": ("bin", q), "phi": ("bin", phi)}
    )
    chosen, _ = prepare_for_fit(numbers, manager.settings)
    kept = tuple(sorted(int(k) for k in chosen["number"].values))
    return None if len(kept) == q.size else kept


def _manager(config: Any) -> ConfigManager:
    if isinstance(config, ConfigManager):
        return config
    return ConfigManager.from_dict(config) if isinstance(config, Mapping) else ConfigManager(config)


def _opened(session: AnalysisSession, manager: ConfigManager) -> Opened | None:
    from heterodyne_nb.data import open_dataset

    data = manager.settings.data
    if data.file is None:
        return None
    path = manager.data_path
    if session.source == told(path):
        return None
    given = opening(manager)
    return Opened(open_dataset(path, **given), told(path), tuple(given.items()), ours_to_close=True)


def config_of(session: AnalysisSession) -> ConfigManager:
    """The configuration that asks for what the session would do now."""
    settings, start = session.settings, session.config
    if start is None or start.settings.model != settings.mode:
        start = ConfigManager.template(settings.mode).updated({"data.file": None})
    changes: dict[str, Any] = {
        "initial_parameters": _initial(session),
        **settings_by_path(settings),
        "masks.frames": [list(pair) for pair in session.masked],
        "temporal.start_frame": session.crop[0] if session.crop else 1,
        "temporal.end_frame": session.crop[1] if session.crop else None,
        **_opened_as(session),
    }
    if session.source and not session.source.startswith("<"):
        changes |= {"data.file": session.source, "data.folder": None}
    return start.updated(changes | _bins_in_words(session))


def _opened_as(session: AnalysisSession) -> dict[str, Any]:
    """What the session was told of its file when it was opened, but for the choice of bins."""
    if session._opened is None or session._opened.in_memory:
        return {}
    told_of = dict(session._opened.options)
    names = {n: f"data.{n}" for n in ("layout", "analysis", "units", "keep_empty")} | {"dt": "temporal.dt"}
    if _says_no_q(session):
        names |= {"q": "data.q", "phi": "data.phi"}
    found = {names[n]: v for n, v in told_of.items() if n in names and v is not None}
    for name in {"data.q", "data.phi"} & set(found):
        found[name] = np.atleast_1d(np.asarray(found[name], float)).ravel().tolist()
    original = session._opened.dataset
    if "frame" in original.coords and {"frames", "mask"} & set(told_of):
        frame, lost = (
            original["frame"].values,
            original["frame"].values[~original["mask"].values.astype(bool)],
        )
        runs = np.split(lost, np.flatnonzero(np.diff(lost) > 1) + 1) if lost.size else []
        pairs = [(int(run[0]), int(run[-1])) for run in runs]
        found["masks.frames"] = [list(pair) for pair in in_order([*session.masked, *pairs])]
        if session.crop is None:
            found |= {"temporal.start_frame": int(frame[0]), "temporal.end_frame": int(frame[-1])}
    return found


def _says_no_q(session: AnalysisSession) -> bool:
    """Whether the file is a plain array, whose q and phi are given with it."""
    return str(session.source).lower().endswith(ENDINGS)


def _bins_in_words(session: AnalysisSession) -> dict[str, Any]:
    """The chosen bins as a list of q and ranges of angles, where they form a grid of these."""
    every: dict[str, Any] = {
        "scattering.wavevector_q": None,
        "scattering.q_range": None,
        "angle_filtering.enabled": False,
        "angle_filtering.target_ranges": [],
    }
    if session.original is None or session._opened is None:
        return every
    picked = {n for n, v in session._opened.options if n in ("q", "phi") and v is not None}
    if session.bins is None and (not picked or _says_no_q(session)):
        return every
    q, phi = places(session.original)
    if session.bins is not None:
        q, phi = q[list(session.bins)], phi[list(session.bins)]
    pairs = set(zip(q.tolist(), phi.tolist(), strict=True))
    if pairs != {(a, b) for a in q.tolist() for b in phi.tolist()}:
        text = "the chosen bins are no grid of q and phi, which is all that a configuration can say: it takes all"
        warn(text, ConfigurationWarning)
        return every
    ranges = [{"min_angle": one - _SLACK, "max_angle": one + _SLACK} for one in sorted(set(phi.tolist()))]
    return {
        **every,
        "scattering.wavevector_q": sorted(set(q.tolist())),
        "angle_filtering.enabled": True,
        "angle_filtering.target_ranges": ranges,
    }


def _initial(session: AnalysisSession) -> dict[str, Any]:
    table, asked = session.parameters, asked_of(session.parameters)
    usual = {name: (table.lower[i], table.upper[i]) for i, name in enumerate(table.names)}
    for spec in ModelFactory.create_model(table.mode).parameters:
        if table.scopes.get(spec.name) in LAWS:
            usual |= {n.name: (n.lower, n.upper) for n in law_numbers(table.scopes[spec.name], spec)}
    limits = {
        name: [
            float(entry.get("min", usual.get(name, _NONE)[0])),
            float(entry.get("max", usual.get(name, _NONE)[1])),
        ]
        for name, entry in asked.items()
        if {"min", "max"} & set(entry)
    }
    return {
        "values": {name: entry["value"] for name, entry in asked.items() if "value" in entry} or None,
        "fixed": [name for name, entry in asked.items() if entry.get("vary") is False],
        "tied": {name: entry["tie"] for name, entry in asked.items() if "tie" in entry},
        "bounds": limits,
        "calibration": {n: entry["calibration"] for n, entry in asked.items() if "calibration" in entry},
        "priors": {name: list(entry["prior"]) for name, entry in asked.items() if "prior" in entry},
        "scopes": dict(table.scopes),
    }
