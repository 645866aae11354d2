"""The objective of some of the bins: for fits that leave angles out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine import Objective, Problem, RobustObjective


def keep_bins(objective: Objective, keep: NDArray[np.bool_]) -> Objective:
    """The same objective on some of its bins.

    Parameters
    ----------
    objective : Objective
        Of a two-time fit.
    keep : (B,) bool
    """
    old, chosen = objective.problem, np.flatnonzero(keep)
    place = np.full(old.n_bins, -1)
    place[chosen] = np.arange(len(chosen))
    holes = old.holes[np.isin(old.holes[:, 0], chosen)].copy()
    holes[:, 0] = place[holes[:, 0]]
    problem = Problem(
        old.model, old.table, np.ascontiguousarray(old.data[chosen]), old.q[chosen], old.phi[chosen], old.t,
        np.ascontiguousarray(old.mask[chosen]), old.sigma[chosen], holes, old.gap,
    )  # fmt: skip
    if isinstance(objective, RobustObjective):
        contrast, offset = objective.start
        start = np.asarray(contrast)[chosen], np.asarray(offset)[chosen]
        return RobustObjective(
            problem, loss=objective.loss.name, scale=objective.scale, start=start, contrast=objective.contrast
        )
    return Objective(problem, contrast=objective.contrast)
