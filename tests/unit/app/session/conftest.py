"""A file with the small data, and a session on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray as xr

from heterodyne_nb import AnalysisSession
from heterodyne_nb.data.formats.native import write_dataset


@pytest.fixture
def small_file(small: xr.Dataset, tmp_path: Path) -> Path:
    """The small data in a file."""
    path = tmp_path / "run1.nc"
    write_dataset(small, path)
    return path


@pytest.fixture
def session(small_file: Path, remembered: None) -> Iterator[AnalysisSession]:
    """A session on the file, ready for a quick fit."""
    with_file = AnalysisSession(small_file)
    with_file.change_settings(mode="static_isotropic", multistart=0)
    yield with_file
    with_file.close()
