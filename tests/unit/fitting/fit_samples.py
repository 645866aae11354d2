"""Small simulated experiments for the tests of fits, and what they were made from."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.engine import Objective, problem_from_dataset
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.simulate import model_maps

HETERODYNE: dict[str, float] = {
    "D0_ref": 150.0, "alpha_ref": -0.3, "D_offset_ref": 20.0,
    "D0_sample": 1500.0, "alpha_sample": -0.5, "D_offset_sample": 150.0,
    "v0": 300.0, "beta": -0.4, "v_offset": 40.0,
    "f0": 0.35, "f1": -0.04, "f2": 0.0, "f3": 0.27, "phi0": 15.0,
}  # fmt: skip
STATIC = {"D0": 300.0, "alpha": -0.4, "D_offset": 30.0}
PHI = [-60.0, -15.0, 30.0, 75.0]


@cache
def heterodyne_maps(
    n_frames: int = 60, noise: float = 0.02, seed: int = 1, dyadic: float = 0.0
) -> xr.Dataset:
    """Four azimuths of the heterodyne model with independent (or dyadic) noise; not to be changed in place."""
    grid: dict[str, Any] = {"q": [0.009], "phi": PHI, "n_frames": n_frames, "dt": 0.5}
    return model_maps("heterodyne", HETERODYNE, contrast=0.3, noise=noise, seed=seed, dyadic=dyadic, **grid)


@cache
def static_maps(n_frames: int = 50, noise: float = 0.01, seed: int = 1) -> xr.Dataset:
    """Two q rings with two azimuths each of the static model."""
    grid: dict[str, Any] = {"q": [0.01, 0.02], "phi": [0.0, 60.0], "n_frames": n_frames, "dt": 0.5}
    return model_maps("static_isotropic", STATIC, contrast=0.2, noise=noise, seed=seed, **grid)


def near(truth: dict[str, float], seed: int = 0, share: float = 0.05) -> dict[str, float]:
    """Start values a few per cent off the truth."""
    rng = np.random.default_rng(seed)
    return {name: value * (1 + share * rng.uniform(-1, 1)) for name, value in truth.items()}


def objective_of(ds: xr.Dataset, mode: str, parameters: dict[str, Any], **options: Any) -> Objective:
    """The objective that a fit of these data would minimise."""
    model = ModelFactory.create_model(mode)
    table = resolve_parameters(mode, parameters, specs=model.parameters)
    return Objective(problem_from_dataset(ds, model, table), **options)


def chi2_at(ds: xr.Dataset, mode: str, values: dict[str, float]) -> float:
    """χ² of a parameter vector."""
    return objective_of(ds, mode, values)(np.array(list(values.values())))


def with_outliers(ds: xr.Dataset, share: float, size: float, seed: int = 5) -> xr.Dataset:
    """The maps with a share of their pixels far off, the same across the diagonal."""
    rng = np.random.default_rng(seed)
    c2 = ds["c2"].values.copy()
    struck = np.triu(rng.random(c2.shape) < share, 1)
    struck |= np.swapaxes(struck, -1, -2)
    return ds.assign(c2=(ds["c2"].dims, c2 + size * struck, ds["c2"].attrs))
