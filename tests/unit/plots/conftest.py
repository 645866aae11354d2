"""Fixtures of the figures' tests."""

from __future__ import annotations

import pytest
import xarray as xr
from plot_samples import make_experiment, make_result

from heterodyne_nb.result import FitResult


@pytest.fixture(scope="session")
def experiment() -> xr.Dataset:
    return make_experiment()


@pytest.fixture(scope="session")
def result() -> FitResult:
    return make_result()
