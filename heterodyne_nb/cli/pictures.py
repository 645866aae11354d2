"""Figures without a fit: the data as they were loaded, and maps of the model at the start values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heterodyne_nb.analysis.loading import load
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.files import make_folder

if TYPE_CHECKING:
    import xarray as xr

#: File names of the two figures.
EXPERIMENT, SIMULATION = "experimental_data.html", "simulated_data.html"
#: Frames of a simulated map where the configuration names no last frame.
_FRAMES = 200


def plot_experiment(config: ConfigManager, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Write ``experimental_data.html`` and return it with the account of what was loaded."""
    from heterodyne_nb import plots

    loaded = load(config)
    make_folder(folder)
    return plots.save_html(plots.c2(loaded.dataset), folder / EXPERIMENT), loaded.account


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
    make_folder(folder)
    figure = plots.c2(dataset)
    figure.layout.title.text += f", model {config.settings.mode} at its start values"
    return plots.save_html(figure, folder / SIMULATION)


def simulated(config: ConfigManager, phi: Sequence[float], contrast: float, offset: float) -> xr.Dataset:
    """The model's maps at the start values, as a Dataset with dims (q, phi, t1, t2)."""
    from heterodyne_nb.data import prepare
    from heterodyne_nb.simulate import model_maps

    settings = config.settings
    first, last = settings.temporal.frames
    last = last or first + _FRAMES - 1
    maps = model_maps(
        settings.mode,
        config.parameters.values,
        q=_needed(settings.scattering.wavevector_q, "scattering.wavevector_q", "1/Å"),
        phi=phi,
        n_frames=last,
        dt=_needed(settings.temporal.dt, "temporal.dt", "s"),
        contrast=contrast,
        offset=offset,
        gap=settings.geometry.gap,
    )
    return prepare.crop_frames(maps, first, last)


def _needed(value: Any, where: str, unit: str) -> Any:
    if value is None:
        raise ConfigurationError("is needed to simulate maps", where=where, expected=f"a value in {unit}")
    return value
