"""Figures without a fit: the data as they were loaded, and maps of the model at the start values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from heterodyne_nb.analysis.loading import load
from heterodyne_nb.cli.report import embed, write_page
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.errors import ConfigurationError

if TYPE_CHECKING:
    import xarray as xr

#: Frames of a simulated map where the configuration names no last frame.
_FRAMES = 200


def plot_experiment(config: ConfigManager, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Write ``experimental_data.html`` and return it with the account of what was loaded."""
    from heterodyne_nb import plots

    loaded = load(config)
    folder.mkdir(parents=True, exist_ok=True)
    sections = ["<h1>Experimental data</h1>", *embed([plots.c2(loaded.dataset)])]
    return write_page(folder / "experimental_data.html", "Experimental data", sections), loaded.account


def plot_simulation(
    config: ConfigManager, folder: Path, *, phi: Sequence[float], contrast: float = 1.0, offset: float = 0.0
) -> Path:
    """Write ``simulated_data.html``: c2 = offset + contrast * M at the start values, one map an angle.

    Parameters
    ----------
    config : ConfigManager
        Gives the mode, start values, q, frames, dt and gap.
    folder : pathlib.Path
        Where the page goes.
    phi : sequence of float
        Angles in degrees.
    contrast, offset : float
    """
    from heterodyne_nb import plots

    dataset = simulated(config, phi, contrast, offset)
    folder.mkdir(parents=True, exist_ok=True)
    title = f"Model {config.settings.mode} at the start values"
    sections = [f"<h1>{title}</h1>", *embed([plots.c2(dataset)])]
    return write_page(folder / "simulated_data.html", title, sections)


def simulated(config: ConfigManager, phi: Sequence[float], contrast: float, offset: float) -> xr.Dataset:
    """The model's maps at the start values, as a Dataset with dims (q, phi, t1, t2)."""
    from heterodyne_nb.data import make_dataset, prepare
    from heterodyne_nb.models import ModelFactory

    settings = config.settings
    dt = _needed(settings.temporal.dt, "temporal.dt", "s")
    q = np.atleast_1d(_needed(settings.scattering.wavevector_q, "scattering.wavevector_q", "1/Å"))
    first, last = settings.temporal.frames
    t = dt * np.arange(1, (last or first + _FRAMES - 1) + 1)
    model, gap = ModelFactory.create_model(settings.mode), settings.geometry.gap
    start = config.parameters.values
    maps = [
        [model.correlation(start, t[:, None], t, q=ring, phi=angle, gap=gap) for angle in phi] for ring in q
    ]
    c2 = offset + contrast * np.array(maps, dtype=np.float32)
    return prepare.crop_frames(make_dataset(c2=c2, q=q, phi=np.array(phi), dt=dt), first, last)


def _needed(value: Any, where: str, unit: str) -> Any:
    if value is None:
        raise ConfigurationError("is needed to simulate maps", where=where, expected=f"a value in {unit}")
    return value
