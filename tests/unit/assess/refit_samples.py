"""Small fits, made once, for the tests of everything that is asked of a finished fit."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import xarray as xr

import heterodyne_nb as hnb
from heterodyne_nb.engine import Objective
from heterodyne_nb.fitting.same_fit import objective_of
from heterodyne_nb.result import FitResult
from heterodyne_nb.simulate import model_maps, speckle

HETERODYNE: dict[str, float] = {
    "D0_ref": 150.0, "alpha_ref": -0.3, "D_offset_ref": 20.0,
    "D0_sample": 1500.0, "alpha_sample": -0.5, "D_offset_sample": 150.0,
    "v0": 300.0, "beta": -0.4, "v_offset": 40.0,
    "f0": 0.35, "f1": -0.04, "f2": 0.0, "f3": 0.27, "phi0": 15.0,
}  # fmt: skip
STATIC = {"D0": 300.0, "alpha": -0.4, "D_offset": 30.0}
PHI = [-60.0, -15.0, 0.0, 30.0, 45.0, 75.0]


@cache
def static_data(dyadic: float = 0.5, seed: int = 1, n_frames: int = 60) -> xr.Dataset:
    """Two rings by four azimuths of the static model, noise shared by frames."""
    grid: dict[str, Any] = {
        "q": [0.01, 0.02],
        "phi": [0.0, 40.0, 80.0, 120.0],
        "n_frames": n_frames,
        "dt": 0.5,
    }
    return model_maps("static_isotropic", STATIC, contrast=0.2, noise=0.01, dyadic=dyadic, seed=seed, **grid)


@cache
def static_fit(dyadic: float = 0.5, seed: int = 1) -> FitResult:
    return hnb.fit(static_data(dyadic, seed), "static_isotropic", parameters=STATIC, multistart=0)


@cache
def static_objective(dyadic: float = 0.5, seed: int = 1) -> Objective:
    return objective_of(static_fit(dyadic, seed), static_data(dyadic, seed))


@cache
def speckle_data(seed: int = 8) -> xr.Dataset:
    """Six azimuths of fluctuating speckle: noise of the real kind."""
    return speckle(
        "heterodyne",
        HETERODYNE,
        q=[0.009],
        phi=PHI,
        n_frames=96,
        dt=0.5,
        n_pixels=1500,
        contrast=0.3,
        seed=seed,
    )


@cache
def speckle_fit(seed: int = 8) -> FitResult:
    return hnb.fit(speckle_data(seed), "heterodyne", parameters=HETERODYNE, multistart=0)


@cache
def speckle_objective(seed: int = 8) -> Objective:
    return objective_of(speckle_fit(seed), speckle_data(seed))


def v_at(theta: np.ndarray, t: float = 24.0) -> float:
    return float(theta[6] * t ** theta[7] + theta[8])
