"""Configurations to start from, one for each mode."""

from __future__ import annotations

from typing import Any

from heterodyne_nb.config.resolve import MULTICOMPONENT, mode_parameters

_TYPICAL_GAP = 2e6  # 200 µm, a usual shear cell


def template_values(mode: str, n_components: int | None = None) -> dict[str, Any]:
    """Return the sections that a person fills in, with the bounds of the mode and no start values.

    Without start values a fit guesses them from the data, which beats any constant.

    Parameters
    ----------
    mode : str
        Analysis mode.
    n_components : int, optional
        For mode ``"multicomponent"``; 2 when not given.

    Raises
    ------
    ConfigurationError
        For an unknown mode.
    """
    if mode == MULTICOMPONENT and n_components is None:
        n_components = 2
    specs = mode_parameters(mode, n_components)
    values: dict[str, Any] = {
        "metadata": {"title": "Untitled analysis"},
        "analysis_settings": {"mode": mode, "n_components": n_components},
        "data": {"file": "my_data.h5"},
        "initial_parameters": {"bounds": {spec.name: [spec.lower, spec.upper] for spec in specs}},
    }
    if mode == "laminar_flow":
        values["geometry"] = {"gap": _TYPICAL_GAP}
    return values
