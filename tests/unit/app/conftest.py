"""Small data that are simulated once, and fits that are made once."""

from __future__ import annotations

import pytest
import xarray as xr
from held import Remembered

from heterodyne_nb import simulate

TRUTH = {"D0": 300.0, "alpha": -0.4, "D_offset": 40.0}


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit that an earlier test has made is not made again."""
    Remembered(monkeypatch)


@pytest.fixture(scope="session")
def small() -> xr.Dataset:
    """Static maps with noise, q (0.006, 0.01) × phi (0, 90), 40 frames of 0.5 s; not to be changed in place."""
    return simulate.model_maps(
        "static_isotropic", TRUTH, q=[0.006, 0.01], phi=[0.0, 90.0], n_frames=40, dt=0.5,
        contrast=0.3, noise=0.01, seed=3,
    )  # fmt: skip
