"""Bins that contradict the others: parasitic scattering, a beamstop's edge, a wrong mask. Offered, never applied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.data.dataset import is_level
from heterodyne_nb.engine import Objective
from heterodyne_nb.engine.losses import MAD_TO_SIGMA
from heterodyne_nb.engine.problem import Problem
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.optimize import GaussNewtonStrategy
from heterodyne_nb.result import FitResult
from heterodyne_nb.robust.robust_fit import nominal_fit

#: Most bins that are left out, as a share of all.
LARGEST_SHARE = 1.0 / 3.0
#: Spread of the bins' reduced χ² below which a difference means nothing.
_LEAST_SPREAD = 0.01


def detect_bad_bins(
    dataset: xr.Dataset,
    mode: str = "heterodyne",
    *,
    start: FitResult | Mapping[str, float] | None = None,
    threshold: float = 6.0,
    **settings: Any,
) -> xr.DataArray:
    """Offer a mask that leaves out bins which the model of all others does not fit; nothing is applied.

    The model is fitted to all bins; the one whose reduced χ² stands out most is left out and the rest is fitted again,
    until none stands out. A fit of all bins is a compromise and hides some; leaving out one at a time brings them out.

    Parameters
    ----------
    dataset : Dataset
        With two-time maps of at least four bins.
    mode : str
        A two-time analysis mode.
    start : FitResult or mapping, optional
        A fit of these data to start from; it is made first when not given.
    threshold : float
        How many robust standard deviations above the median of the bins make one bad.
    **settings
        ``parameters``, ``contrast``, ``gap``, ``seed``, ``multistart``: as for :func:`heterodyne_nb.fit`.

    Returns
    -------
    DataArray
        ``usable`` as in the dataset, on (q, phi) or bin, False for dead bins and those found bad, with coordinates
        ``score`` (robust standard deviations above the median) and ``chi2_reduced``.
        ``dataset.assign(usable=offered)`` applies it.

    Raises
    ------
    ConfigurationError
        A one-time mode, fewer than four bins, or a threshold that is not above 0.
    """
    if ModelFactory.create_model(mode).one_time:
        raise ConfigurationError(f"{mode} is a one-time mode", expected="a two-time mode")
    if not isinstance(dataset, xr.Dataset):
        raise ConfigurationError(
            f"bad bins are looked for in a Dataset, got {type(dataset).__name__}",
            hint="correlate(frames, twotime=True) makes one of frames",
        )
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not threshold > 0:
        raise ConfigurationError(f"{threshold!r}", where="threshold", expected="a number above 0")
    solved = nominal_fit(dataset, mode, start, **settings)
    objective = solved.objective
    if objective.problem.n_bins < 4:
        raise ConfigurationError(
            f"{objective.problem.n_bins} bins can be used",
            expected="at least 4, to tell which one is unlike the others",
        )
    kept, score, chi2 = _search(objective, solved.theta, float(threshold))
    return _offered(dataset, objective.problem, kept, score, chi2)


def _search(
    objective: Objective, theta: FloatArray, threshold: float
) -> tuple[NDArray[np.bool_], FloatArray, FloatArray]:
    problem = objective.problem
    kept = np.ones(problem.n_bins, bool)
    most = int(LARGEST_SHARE * problem.n_bins)
    while True:
        part = Objective(problem.subset(kept), contrast=objective.contrast)
        if not kept.all():
            theta = GaussNewtonStrategy().optimize(part, theta).x
        everywhere = Objective(problem, contrast="per_bin").equations(theta, derivatives=False)
        chi2 = everywhere.chi2_bin / np.maximum(problem.count - 2, 1)
        middle = np.median(chi2[kept])
        spread = MAD_TO_SIGMA * np.median(np.abs(chi2[kept] - middle))
        score = (chi2 - middle) / max(float(spread), _LEAST_SPREAD * float(middle))
        worst = int(np.argmax(np.where(kept, score, -np.inf)))
        if score[worst] <= threshold or np.count_nonzero(~kept) >= most:
            return kept, score, chi2
        kept[worst] = False


def _offered(
    dataset: xr.Dataset, problem: Problem, kept: NDArray[np.bool_], score: FloatArray, chi2: FloatArray
) -> xr.DataArray:
    """Put the verdicts where the dataset has its bins."""
    dims = ("bin",) if "bin" in dataset.dims else tuple(d for d in ("q", "phi") if d in dataset.dims)
    shape = tuple(dataset.sizes[d] for d in dims)
    q, phi = (np.broadcast_to(_along(dataset, name, dims), shape) for name in ("q", "phi"))
    usable = np.zeros(shape, bool)
    scores, reduced = np.full(shape, np.nan), np.full(shape, np.nan)
    for b in range(problem.n_bins):
        here = is_level(q, problem.q[b]) & is_level(phi, problem.phi[b])
        usable[here], scores[here], reduced[here] = kept[b], score[b], chi2[b]
    return xr.DataArray(
        usable,
        dims=dims,
        coords={
            "q": dataset["q"], "phi": dataset["phi"],
            "score": (dims, scores, {"units": "1", "long_name": "robust standard deviations above the median"}),
            "chi2_reduced": (dims, reduced, {"units": "1", "long_name": "reduced χ² of the bin"}),
        },
        name="usable",
        attrs={"long_name": "bin agrees with the others", "units": "1"},
    )  # fmt: skip


def _along(dataset: xr.Dataset, name: str, dims: tuple[str, ...]) -> FloatArray:
    values = np.asarray(dataset[name].values, float)
    return values[:, None] if dims == ("q", "phi") and name == "q" else values
