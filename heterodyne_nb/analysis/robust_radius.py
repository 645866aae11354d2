"""Which radius a robust fit gets: as stated, by its method's rule, or by cross-validation over bins."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine import OneTimeObjective
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.optimize.robust import profile_radius
from heterodyne_nb.results.uncertainty import CLUSTERS, dyadic_meat, tile_scores

if TYPE_CHECKING:
    from heterodyne_nb.analysis.robust_parts import RobustRun

FloatArray = NDArray[np.float64]
_RULES = {
    "scenario": "the whole bootstrap",
    "ellipsoidal": "one tolerance of the instrument",
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
    if asked == "auto" and method in _RULES:
        return 1.0, _RULES[method]
    if method == "wasserstein" and asked in ("auto", "rwpi"):
        return _profile(run), "profile rule: 95 % that the truth is within reach"
    if asked == "cv":
        from heterodyne_nb.analysis.cross_validation import cross_validated

        return cross_validated(run, method)
    raise ConfigurationError(
        f"{asked!r} is not a radius",
        where=f"radius of {method}",
        expected="a number, 0 or more, 'auto', 'cv'" + (" or 'rwpi'" if method == "wasserstein" else ""),
    )


def allowance(run: RobustRun, price: float | None) -> float | None:
    """Rise of χ² that a price allows; None for no limit.

    Raises
    ------
    ConfigurationError
        The price is not a number from 0 on.
    """
    if price is None or price == np.inf:
        return None
    if isinstance(price, bool) or not isinstance(price, Real) or not price >= 0:
        raise ConfigurationError(
            f"{price!r}", where="price", expected="a number, 0 or more, or None for no limit"
        )
    return float(price) * expected_rise(run)


def _scores(run: RobustRun) -> tuple[FloatArray, FloatArray]:
    """Covariance of half the gradient of χ² and half its matrix, by the internal coordinates, both (n, n).

    Dyadic where there are frames; independent data, in units of the reduced χ², for one-time fits.
    """
    objective, theta = run.nominal.objective, run.nominal.theta
    if isinstance(objective, OneTimeObjective):
        local = objective.normal_equations(theta)
        return 0.5 * local.hessian * objective.reduced(local.chi2), 0.5 * local.hessian
    local = objective.equations(theta)
    clusters = max(2, min(CLUSTERS, len(objective.problem.t) // 4))
    scores, matrix = tile_scores(objective, theta, local, clusters)
    n = objective.coordinates.size
    outer = np.eye(n, len(matrix))
    outer[:, n:] = -np.linalg.solve(matrix[n:, n:], matrix[n:, :n]).T  # contrast and offset follow
    return outer @ dyadic_meat(scores) @ outer.T, outer @ matrix @ outer.T


def _profile(run: RobustRun) -> float:
    """The profile rule with the covariance of correlated pixels."""
    objective, theta = run.nominal.objective, run.nominal.theta
    if not objective.coordinates.size:
        return 0.0
    return profile_radius(objective, theta, score_covariance=_scores(run)[0], seed=run.options.seed)


def expected_rise(run: RobustRun) -> float:
    """How much χ² at the truth exceeds that of the best fit on average: tr(A⁻¹ M).

    A is half the matrix of χ², M the covariance of half its gradient. For independent pixels of known noise it is the
    number of parameters; for pixels that share frames it is more.
    """
    if not run.nominal.objective.coordinates.size:
        return 0.0
    covariance, matrix = _scores(run)
    known = np.diag(matrix) > 0
    here = np.ix_(known, known)
    size = np.sqrt(np.outer(np.diag(matrix), np.diag(matrix))[here])
    inverse = np.linalg.pinv(matrix[here] / size, rcond=1e-11, hermitian=True)
    return float(np.sum(inverse * covariance[here] / size))
