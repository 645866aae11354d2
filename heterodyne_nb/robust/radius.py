"""How large a Wasserstein ball: the robust Wasserstein profile rule.

The rule takes the smallest ε for which the true parameters are, 95 times in 100, among the answers that laws within
the ball allow. For the root mean square loss this means that the gradient at the truth, mean(A r)/rms, is shorter
than ε in the norm dual to ‖D ·‖:

    ε = sqrt(π/(π−2)) · quantile₀.₉₅ ‖D⁻¹ S‖ / (N rms),   S = Σ A r/sigma over pixels,

the factor covering the worst direction of θ (Blanchet, Kang & Murthy 2019, theorem 7 and its corollary). S is drawn
from a normal law. Its covariance is that of independent pixels unless another one is given; pixels of a two-time map
share frames, so the dyadic one is right there, and the larger.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_FACTOR = float(np.sqrt(np.pi / (np.pi - 2.0)))
_DRAWS = 20_000


def profile_radius(
    objective: Any,
    theta: FloatArray,
    *,
    score_covariance: FloatArray | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> float:
    """Radius ε of :class:`WassersteinDRO` by the rule above.

    Parameters
    ----------
    objective : Objective
    theta : (p,)
        The nominal answer, published.
    score_covariance : (n, n), optional
        Covariance of half the gradient of χ² by the internal coordinates. Default: independent pixels.
    level : float
        How often the truth shall be inside.
    seed : int
        Of the draws.
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
