"""A small experiment on disk with its configuration, and a way to run the programs in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heterodyne_nb.data import write_apsu
from heterodyne_nb.simulate import model_maps


@pytest.fixture(scope="session")
def truth() -> tuple[float, ...]:
    """D0, alpha and D_offset of the small experiment."""
    return 80.0, -0.3, 20.0


@pytest.fixture(scope="session")
def data_file(truth: tuple[float, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static sample on two q rings and three angles, 100 frames of 0.1 s, in the APS-U layout."""
    path = tmp_path_factory.mktemp("cli") / "static.h5"
    maps = model_maps(
        "static_anisotropic",
        truth,
        q=[0.05, 0.08],
        phi=[-60.0, 0.0, 60.0],
        n_frames=100,
        dt=0.1,
        contrast=0.2,
        noise=0.005,
        seed=3,
    )
    write_apsu(maps, path)
    return path


@pytest.fixture
def settings(data_file: Path) -> dict[str, Any]:
    """A configuration of a static fit to the small experiment, from stated values, of which the result is saved."""
    return {
        "analysis_settings": {"mode": "static_anisotropic"},
        "data": {"file": str(data_file)},
        "temporal": {"dt": 0.1, "start_frame": 3, "end_frame": 98},
        "masks": {"frames": [[10, 12]]},
        "initial_parameters": {"values": [100.0, 0.0, 10.0]},
        "optimization": {"multistart": {"n": 0}},
        "output": {"formats": ["netcdf"]},
    }


@pytest.fixture
def config_file(settings: dict[str, Any], tmp_path: Path) -> Callable[..., Path]:
    """Write the configuration, with changes by section, and return its path."""

    def write(**changes: dict[str, Any]) -> Path:
        path = tmp_path / "config.json"
        merged = {name: {**settings.get(name, {}), **changes.get(name, {})} for name in settings | changes}
        path.write_text(json.dumps(merged), encoding="utf-8")
        return path

    return write
