"""Parts of a heterodyne result with everything in it, its curves in plain NumPy."""

from __future__ import annotations

import numpy as np
import xarray as xr

from heterodyne_nb.config.parameters import PARAMETERS
from heterodyne_nb.models.heterodyne import HeterodyneModel

VALUES = (100.0, 0.1, 5.0, 4180.0, -0.25, 120.0, 1234.5, 0.05, 10.0, 0.3, 0.01, 0.0, 0.2, 12.5)
ERRORS = (1.5, 0.02, np.nan, 31.0, 0.004, np.nan, 2.1, 0.003, np.nan, np.nan, 0.0004, 0.0, 0.011, 0.35)
STATUS = (
    *("free", "free", "not determined", "free", "free", "fixed", "free", "at bound", "tied"),
    *("not determined", "free", "fixed", "free", "free"),
)

BOUNDS = np.array([(spec.lower, spec.upper) for spec in PARAMETERS["heterodyne"]])
BOUNDS[7, 1] = VALUES[7]


def heterodyne_curves(p, t):
    """Curves of THEORY section 2 in plain NumPy."""
    t = np.asarray(t, dtype=float)
    return {
        "J_ref": p[0] * t ** p[1] + p[2],
        "J_sample": p[3] * t ** p[4] + p[5],
        "v": p[6] * t ** p[7] + p[8],
        "x_sample": p[9] * np.exp(p[10] * (t - p[11])) + p[12],
    }


class PlainModel(HeterodyneModel):
    """The heterodyne model with these curves."""

    def curves(self, params, t):
        return heterodyne_curves(params, t)


def parts(**changes):
    """Arguments of FitResult.from_parts; `changes` replace some."""
    t = 0.5 * np.arange(1, 41)
    curves = heterodyne_curves(VALUES, t)
    width = {"J_ref": 1.9, "J_sample": 40.0, "v": 4.0, "x_sample": 0.012}
    bins = xr.Dataset(
        {
            "contrast": ("bin", [0.21, 0.2, 0.19, 0.18]),
            "offset": ("bin", [1.0, 1.001, 0.999, 1.002]),
            "chi2_reduced_bin": ("bin", [1.01, 0.98, 1.03, 1.0]),
        },
        coords={
            "bin": np.arange(4),
            "q": ("bin", [0.004, 0.004, 0.008, 0.008], {"units": "1/Å"}),
            "phi": ("bin", [-45.0, 30.0, -45.0, 30.0], {"units": "deg"}),
        },
    )
    variance = np.nan_to_num(np.array(ERRORS)) ** 2
    arguments = {
        "parameters": VALUES,
        "stderr": ERRORS,
        "status": STATUS,
        "covariance": np.diag(variance),
        "t": t,
        "bands": {name: (curve - width[name], curve + width[name]) for name, curve in curves.items()},
        "bins": bins,
        "chi2": 3187.2,
        "n_data": 3120,
        "n_free": 16,
        "success": True,
        "message": "relative change of chi2 below 1e-9",
        "method": "gauss_newton",
        "provenance": {
            "source": "run_0042.h5",
            "source_sha256": "0f" * 32,
            "layout": "aps_u",
            "date": "2025-01-31T12:00:00+00:00",
            "seed": 7,
            "versions": {"heterodyne_nb": "0.1.0", "numpy": "2.0.0", "python": "3.11.2"},
        },
        "path": [
            {
                "strategy": "gauss_newton",
                "start": "guess",
                "iterations": 14,
                "chi2_reduced": 1.03,
                "seconds": 0.8,
            },
            {
                "strategy": "gauss_newton",
                "start": "random 1",
                "iterations": 22,
                "chi2_reduced": 1.41,
                "seconds": 1.1,
            },
        ],
    }
    return {**arguments, **changes}
