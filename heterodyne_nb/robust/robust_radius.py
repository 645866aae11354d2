"""Which radius a robust fit gets: as stated, by its method's rule, or by cross-validation over bins."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine import OneTimeObjective, Tiles
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.robust.radius import profile_radius
from heterodyne_nb.uncertainty.clusters import dyadic_meat, dyadic_sum

if TYPE_CHECKING:
    from heterodyne_nb.robust.robust_parts import RobustRun

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
        from heterodyne_nb.robust.cross_validation import cross_validated

        return cross_validated(run, method)
    raise ConfigurationError(
        f"{asked!r} is not a radius",
        where=f"radius of {method}",
        expected="a number, 0 or more, 'auto', 'cv'" + (" or 'rwpi'" if method == "wasserstein" else ""),
    )


def allowance(run: RobustRun, method: str, price: float | str | None) -> float | None:
    """Rise of χ² that a price allows a method; None for no limit.

    "auto" is 1 for wasserstein, whose lean on the centre makes up for noise. The others move for safety alone, and
    may go as far as one error bar in any one direction: 1 over the number of parameters.

    Raises
    ------
    ConfigurationError
        The price is not a number from 0 on, "auto" or None.
    """
    if price is None or price == np.inf:
        return None
    if price == "auto":
        price = 1.0 if method == "wasserstein" else 1.0 / max(run.nominal.objective.coordinates.size, 1)
    if isinstance(price, bool) or not isinstance(price, Real) or not price >= 0:
        raise ConfigurationError(
            f"{price!r}", where="price", expected="a number, 0 or more, 'auto', or None for no limit"
        )
    return float(price) * expected_rise(run)


def _internal_scores(run: RobustRun) -> tuple[FloatArray, FloatArray]:
    """Scores (B, T, n) of the tiles by the internal coordinates, and half the matrix of χ² (n, n)."""
    objective, theta = run.nominal.objective, run.nominal.theta
    tiles = Tiles.at(objective, theta)
    return tiles.scores(), tiles.matrix()


def _profile(run: RobustRun) -> float:
    """The profile rule with the covariance of correlated pixels, where there are frames."""
    objective, theta = run.nominal.objective, run.nominal.theta
    if not objective.coordinates.size:
        return 0.0
    one_time = isinstance(objective, OneTimeObjective)
    covariance = None if one_time else dyadic_meat(_internal_scores(run)[0])
    return profile_radius(objective, theta, score_covariance=covariance, seed=run.options.seed)


def expected_rise(run: RobustRun) -> float:
    """How much χ² at the truth exceeds that of the best fit on average.

    That is the trace of A⁻¹ M, A half the matrix of χ² and M the covariance of half its gradient: the number of
    parameters for independent pixels of known noise, which it is at least, and more for pixels that share frames.
    M is the dyadic sum without its negative part cut off, so that its trace is right on average.
    """
    objective, theta = run.nominal.objective, run.nominal.theta
    n = objective.coordinates.size
    local = objective.equations(theta, derivatives=False)
    least = n * objective.reduced(local.chi2)
    if not n or isinstance(objective, OneTimeObjective):
        return least
    scores, matrix = _internal_scores(run)
    size = np.sqrt(np.where(np.diag(matrix) > 0, np.diag(matrix), np.inf))
    values, vectors = np.linalg.eigh(matrix / np.outer(size, size))
    good = values > 1e-11 * np.max(values, initial=0.0)
    white = scores @ (vectors[:, good] / np.sqrt(values[good]) / size[:, None])
    return max(float(np.trace(dyadic_sum(white))), least)
