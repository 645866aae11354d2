"""A small heterodyne experiment with known truth, and the result that a perfect fit of it would give."""

from __future__ import annotations

import numpy as np
import xarray as xr

from heterodyne_nb.data import make_dataset
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.result import FitResult

Q = np.array([0.005, 0.01])
PHI = np.array([-135.0, -90.0, -45.0, 0.0, 45.0, 90.0, 135.0, 180.0])
DT, FRAMES, SIGMA, CONTRAST = 0.5, 120, 0.01, 0.15
TRUTH = [40.0, 0.0, 0.0, 300.0, 0.2, 20.0, 50.0, 0.1, 0.0, 0.3, -0.03, 0.0, 0.35, 20.0]
STATUS = {6: "at bound", 9: "not determined", 11: "fixed"}
MASKED = slice(40, 45)
DEAD = (1, 2)


def frame_times(frames: int) -> np.ndarray:
    return DT * np.arange(1, frames + 1)


def true_map(q: float, phi: float, t: np.ndarray) -> np.ndarray:
    model = ModelFactory.create_model("heterodyne")
    return model.correlation(TRUTH, t[:, None], t[None, :], q=q, phi=phi)


def make_experiment(frames: int = FRAMES, q: np.ndarray = Q, phi: np.ndarray = PHI) -> xr.Dataset:
    """Dataset in the form the readers give: symmetric, baseline 1, a masked stripe and a dead bin."""
    rng = np.random.default_rng(7)
    t = frame_times(frames)
    c2 = np.empty((q.size, phi.size, frames, frames), dtype=np.float32)
    for i, qi in enumerate(q):
        for j, angle in enumerate(phi):
            noise = np.triu(rng.normal(0, SIGMA, (frames, frames)), 1)
            c2[i, j] = 1 + CONTRAST * true_map(qi, angle, t) + noise + noise.T + 0.4 * np.eye(frames)
    c2[..., MASKED, :] += 0.3
    c2[..., :, MASKED] += 0.3
    mask = np.ones(frames, dtype=bool)
    mask[MASKED] = False
    if q.size > 1 and phi.size > 2:
        c2[DEAD] = np.nan
    return make_dataset(
        c2,
        q=q,
        phi=phi,
        dt=DT,
        sigma=np.full((q.size, phi.size), SIGMA),
        n_pixels=np.full((q.size, phi.size), 900),
        mask=mask,
        usable=np.isfinite(c2[..., 0, 1]),
        attrs={"source": "made_up.h5"},
    )


def make_covariance() -> np.ndarray:
    """A covariance with strong correlations and one parameter without a variance (f2, fixed)."""
    rng = np.random.default_rng(3)
    spread = 0.05 * np.maximum(np.abs(TRUTH), 0.2)
    mixing = np.eye(len(TRUTH)) + 0.4 * rng.normal(size=(len(TRUTH), len(TRUTH)))
    matrix = mixing @ mixing.T
    scale = np.sqrt(np.diag(matrix))
    covariance = matrix / np.outer(scale, scale) * np.outer(spread, spread)
    covariance[11, :] = covariance[:, 11] = 0.0
    return covariance


def make_result(mode: str = "heterodyne", *, shift: float = 0.0, **changes: object) -> FitResult:
    """Result at the truth (times 1 + shift), with bands of 5 % and a path of two runs."""
    model = ModelFactory.create_model(mode)
    usual = TRUTH if mode == "heterodyne" else [100.0, 0.1, 2.0]
    values = (1 + shift) * np.array(changes.pop("parameters", usual))
    t = frame_times(FRAMES)
    bands = {name: (0.95 * y, 1.05 * y) for name, y in model.curves(values, t).items()}
    phi, q = np.meshgrid(PHI, Q)
    rng = np.random.default_rng(1)
    bins = xr.Dataset(
        {
            "contrast": ("bin", np.full(q.size, CONTRAST)),
            "offset": ("bin", np.ones(q.size)),
            "chi2_reduced_bin": ("bin", 1 + 0.02 * rng.normal(size=q.size)),
        },
        coords={"q": ("bin", q.ravel()), "phi": ("bin", phi.ravel())},
    )
    n = len(values)
    parts: dict = {
        "parameters": values,
        "status": [STATUS.get(k, "free") for k in range(n)] if n == 14 else None,
        "covariance": make_covariance()[:n, :n],
        "t": t,
        "bands": bands,
        "bins": bins,
        "chi2": 1.01e5,
        "n_data": 100_045,
        "n_free": 45,
        "success": True,
        "message": "converged: the step is small",
        "method": "gauss_newton",
        "provenance": {"source": "made_up.h5", "seed": 3, "versions": {"heterodyne_nb": "0.1.0"}},
        "path": [
            {"strategy": "nelder_mead", "iterations": 40, "chi2_reduced": 1.9, "seconds": 3.0},
            {
                "strategy": "gauss_newton",
                "iterations": 5,
                "chi2_reduced": 1.01,
                "seconds": 0.4,
                "history": [1.9, 1.4, 1.1, 1.02, 1.011, 1.01],
            },
        ],
    }
    return FitResult.from_parts(model, **{**parts, **changes})
