"""Small data, quick to fit: three parameters, four bins, forty frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray as xr

from heterodyne_nb import AnalysisSession, simulate
from heterodyne_nb.data.formats.native import write_dataset

TRUTH = {"D0": 300.0, "alpha": -0.4, "D_offset": 40.0}


@pytest.fixture
def small() -> xr.Dataset:
    """Static maps with noise, q (0.006, 0.01) × phi (0, 90), 40 frames of 0.5 s."""
    return simulate.model_maps(
        "static_isotropic", TRUTH, q=[0.006, 0.01], phi=[0.0, 90.0], n_frames=40, dt=0.5,
        contrast=0.3, noise=0.01, seed=3,
    )  # fmt: skip


@pytest.fixture
def small_file(small: xr.Dataset, tmp_path: Path) -> Path:
    """The same in a file."""
    path = tmp_path / "run1.nc"
    write_dataset(small, path)
    return path


@pytest.fixture
def session(small_file: Path) -> Iterator[AnalysisSession]:
    """A session on the file, ready for a quick fit."""
    with_file = AnalysisSession(small_file)
    with_file.change_settings(mode="static_isotropic", multistart=0)
    yield with_file
    with_file.close()
