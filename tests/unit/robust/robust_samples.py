"""Small experiments for robust fits, their objectives and nominal answers."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.engine import Objective, problem_from_dataset
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.optimize import GaussNewtonStrategy
from heterodyne_nb.simulate import model_maps

STATIC = {"D0": 300.0, "alpha": -0.4, "D_offset": 30.0}
HETERODYNE = {
    "D0_ref": 150.0, "alpha_ref": -0.3, "D_offset_ref": 20.0,
    "D0_sample": 1500.0, "alpha_sample": -0.5, "D_offset_sample": 150.0,
    "v0": 300.0, "beta": -0.4, "v_offset": 40.0,
    "f0": 0.35, "f1": -0.04, "f2": 0.0, "f3": 0.27, "phi0": 15.0,
}  # fmt: skip
LAMINAR = {
    "D0": 200.0, "alpha": -0.2, "D_offset": 20.0,
    "gamma_dot_0": 2e-3, "beta": -0.3, "gamma_dot_offset": 5e-4, "phi0": 10.0,
}  # fmt: skip
GAP = 2.0e6
TRUTH = {"static_isotropic": STATIC, "heterodyne": HETERODYNE, "laminar_flow": LAMINAR}


@cache
def maps(
    mode: str = "static_isotropic", n_frames: int = 40, noise: float = 0.02, seed: int = 1
) -> xr.Dataset:
    """Maps of one q and four angles (static: of two q and two angles); not to be changed in place."""
    grid: dict[str, Any] = {"q": [0.009], "phi": [-60.0, -15.0, 30.0, 75.0], "n_frames": n_frames, "dt": 0.5}
    if mode == "static_isotropic":
        grid |= {"q": [0.01, 0.02], "phi": [0.0, 60.0]}
    if mode == "laminar_flow":
        grid |= {"gap": GAP, "q": [0.005]}
    return model_maps(mode, TRUTH[mode], contrast=0.3, noise=noise, seed=seed, **grid)


def objective_of(
    ds: xr.Dataset, mode: str, parameters: dict[str, Any] | None = None, **options: Any
) -> Objective:
    """The objective that a fit of these data would minimise, from the truth unless told otherwise."""
    model = ModelFactory.create_model(mode)
    table = resolve_parameters(mode, parameters or TRUTH[mode], specs=model.parameters)
    gap = GAP if mode == "laminar_flow" else None
    return Objective(problem_from_dataset(ds, model, table, gap=gap), **options)


@cache
def solved(mode: str = "static_isotropic", seed: int = 1) -> tuple[Objective, np.ndarray]:
    """An objective and its nominal answer."""
    objective = objective_of(maps(mode, seed=seed), mode)
    answer = GaussNewtonStrategy().optimize(objective, objective.x0)
    assert answer.success
    return objective, answer.x
