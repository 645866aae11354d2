"""Which radius a robust fit gets: as stated, by its method's rule, or by cross-validation over bins.

The profile rule of a Wasserstein ball takes the smallest ε for which the true parameters are, 95 times in 100, among the answers that laws within
the ball allow. For the root mean square loss this means that the gradient at the truth, mean(A r)/rms, is shorter
than ε in the norm dual to ‖D ·‖:

    ε = sqrt(π/(π−2)) · quantile₀.₉₅ ‖D⁻¹ S‖ / (N rms),   S = Σ A r/sigma over pixels,

the factor covering the worst direction of θ (Blanchet, Kang & Murthy 2019, theorem 7 and its corollary). S is drawn
from a normal law. Its covariance is that of independent pixels unless another one is given; pixels of a two-time map
share frames, so the dyadic one is right there, and the larger.
"""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine import OneTimeObjective, Tiles
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.robust.optimizer import ROBUST_STRATEGIES
from heterodyne_nb.uncertainty.covariance import dyadic_meat, dyadic_sum, whitening

if TYPE_CHECKING:
    from heterodyne_nb.robust.robust_fit import RobustRun

_FACTOR = float(np.sqrt(np.pi / (np.pi - 2.0)))
_DRAWS = 20_000
_RULES = {
    "scenario": "the whole bootstrap",
    "ellipsoidal": "one tolerance of the instrument",
}
#: Most parts the bins are divided into.
FOLDS = 4
_SHARES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)


def chosen_radius(run: RobustRun, method: str, asked: float | str) -> tuple[float, str]:
    """Radius of a method and the rule that gave it, in words.

    Raises ConfigurationError: Neither a number from 0 on, "auto" nor "cv"; or "cv" where it has no meaning.
    """
    if isinstance(asked, Real) and not isinstance(asked, bool) and 0 <= asked < np.inf:
        return float(asked), "stated"
    if asked == "auto" and method in _RULES:
        return 1.0, _RULES[method]
    if method == "wasserstein" and asked in ("auto", "rwpi"):
        return _profile(run), "profile rule: 95 % that the truth is within reach"
    if asked == "cv":
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

    Raises ConfigurationError: The price is not a number from 0 on, "auto" or None.
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
    return max(float(np.trace(dyadic_sum(scores @ whitening(matrix)))), least)


def cross_validated(run: RobustRun, method: str) -> tuple[float, str]:
    """The radius whose fits of some bins predict the others best, and the rule in words.

    The bins are divided into at most four parts; each is predicted from a fit of the others, its own contrast and
    offset taken. Candidates run from 0 to the radius of the profile rule (scenario: to 1).

    Raises ConfigurationError: The radius of ``ellipsoidal`` is asked for (data cannot tell how well the instrument is
    known), or there is only one bin.
    """
    if method == "ellipsoidal":
        raise ConfigurationError(
            "data cannot tell how well the instrument is known",
            where="radius of ellipsoidal",
            expected="a number of tolerances, or 'auto'",
        )
    objective, nominal = run.nominal.objective, run.nominal.theta
    bins = objective.problem.n_bins
    if bins < 2:
        raise ConfigurationError(
            "there is one bin",
            where=f"radius of {method}",
            expected="two at least for 'cv'",
            hint="use 'auto'",
        )
    top = 1.0 if method == "scenario" else profile_radius(objective, nominal)
    radii = [share * top for share in _SHARES]
    strategy = ROBUST_STRATEGIES[method](**run.optimiser_settings([method]))
    parts = np.arange(bins) % min(FOLDS, bins)
    missed = np.zeros(len(radii))
    for part in np.unique(parts):
        kept = parts != part
        training, held = objective.subset(kept), objective.subset(~kept)
        for k, answer in enumerate(strategy.sweep(training, nominal, radii)):
            missed[k] += held.equations(answer.x, derivatives=False).chi2
            if run.options.stop.reason:
                break
    best = int(np.argmin(missed)) if not run.options.stop.reason else 0
    return radii[best], f"cross-validation over {bins} bins"


def profile_radius(
    objective: Any,
    theta: FloatArray,
    *,
    score_covariance: FloatArray | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> float:
    """Radius ε of :class:`WassersteinDRO` by the rule above.

    ``objective`` (Objective). ``theta`` (p,): The nominal answer, published. ``score_covariance`` (n, n): Covariance
    of half the gradient of χ² by the internal coordinates. Default: independent pixels. ``level``: How often the
    truth shall be inside. ``seed``: Of the draws.
    """
    local = objective.normal_equations(theta)
    variance = local.chi2 / max(objective.problem.n_data - objective.n_free, 1)
    covariance = 0.5 * local.hessian * variance if score_covariance is None else score_covariance
    count = objective.problem.n_data
    size = np.sqrt(np.maximum(0.5 * np.diag(local.hessian), 0.0) / count)
    used = size > 0
    if not used.any():
        return 0.0
    scaled = covariance[np.ix_(used, used)] / np.outer(size[used], size[used])
    values, _ = np.linalg.eigh(0.5 * (scaled + scaled.T))
    draws = np.random.default_rng(seed).standard_normal((_DRAWS, used.sum()))
    lengths = np.sqrt(draws**2 @ np.maximum(values, 0.0))
    return float(_FACTOR * np.quantile(lengths, level) / (count * np.sqrt(local.chi2 / count)))
