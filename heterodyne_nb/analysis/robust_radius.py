"""Which radius a robust fit gets: as stated, by its method's rule, or by cross-validation over bins."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from heterodyne_nb.engine import OneTimeObjective
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.optimize.robust import profile_radius
from heterodyne_nb.results.uncertainty import CLUSTERS, dyadic_meat, tile_scores

if TYPE_CHECKING:
    from heterodyne_nb.analysis.robust_parts import RobustRun

_RULES = {
    "scenario": "1: the whole bootstrap",
    "ellipsoidal": "1: one tolerance of the instrument",
}


def chosen_radius(run: RobustRun, method: str, asked: float | str) -> tuple[float, str]:
    """Radius of a method and the rule that gave it, in words.

    Raises
    ------
    ConfigurationError
        Neither a number from 0 on, "auto" nor "cv"; or "cv" where it has no meaning.
    """
    if isinstance(asked, Real) and not isinstance(asked, bool) and 0 <= asked < np.inf:
        return float(asked), "stated"
    if asked == "auto":
        if method in _RULES:
            return 1.0, _RULES[method]
        return _profile(run), "profile rule: 95 % that the truth is within reach"
    if asked == "cv":
        from heterodyne_nb.analysis.cross_validation import cross_validated

        return cross_validated(run, method)
    raise ConfigurationError(
        f"{asked!r} is not a radius",
        where=f"radius of {method}",
        expected="a number, 0 or more, 'auto' or 'cv'",
    )


def _profile(run: RobustRun) -> float:
    """The profile rule with the dyadic covariance of the scores, where there are frames."""
    objective, theta = run.nominal.objective, run.nominal.theta
    if isinstance(objective, OneTimeObjective) or not objective.coordinates.size:
        return profile_radius(objective, theta, seed=run.options.seed)
    local = objective.equations(theta)
    clusters = max(2, min(CLUSTERS, len(objective.problem.t) // 4))
    scores, matrix = tile_scores(objective, theta, local, clusters)
    n = objective.coordinates.size
    outer = np.eye(n, len(matrix))
    outer[:, n:] = -np.linalg.solve(matrix[n:, n:], matrix[n:, :n]).T  # contrast and offset follow
    covariance = outer @ dyadic_meat(scores) @ outer.T
    return profile_radius(objective, theta, score_covariance=covariance, seed=run.options.seed)
