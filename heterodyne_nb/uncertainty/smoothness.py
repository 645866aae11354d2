"""How many pieces the splines of a free-form fit need: what pixels not fitted would say, on the dyadic scale.

One pass over the data at the present curves, with every spline cut into many pieces, gives scores and matrices of all
tiles. Splines with fewer pieces are inside those with more, so a step to the optimum of any choice of pieces, what it
gains in χ², and how much of that noise gains, are small linear algebra: with A the matrix of χ²/2 and M the dyadic
variance of the scores, noise alone gains tr(A⁻¹ M), and pixels that were not fitted lose as much. The choice with the
largest gain less :data:`PRICE` times that is taken (with a price of 2 and independent pixels, Akaike's criterion).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine import Objective, Tiles
from heterodyne_nb.models.splines import SplineModel
from heterodyne_nb.uncertainty.covariance import ERROR_CLUSTERS, dyadic_parts, pseudo_inverse

FloatArray = NDArray[np.float64]

#: Numbers of pieces that are tried, and the frames that the shortest piece needs.
LEVELS, FRAMES_A_PIECE = (1, 2, 4, 8, 16, 32), 5
#: What a further coefficient must gain, in units of what noise gains by it.
PRICE = 2.0


def finest(frames: int) -> int:
    """Most pieces for so many frames."""
    return max(n for n in LEVELS if n == 1 or n * FRAMES_A_PIECE <= frames)


def better_pieces(objective: Objective, theta: FloatArray, pieces: dict[str, int]) -> dict[str, int]:
    """The pieces, or others of one of the curves that predict better.

    ``objective``: Of a :class:`SplineModel` in which every curve has the most pieces. ``theta`` (p,): The optimum
    with ``pieces``. ``pieces``: Of each curve.
    """
    model: SplineModel = objective.problem.model
    sums = Tiles.at(objective, theta, ERROR_CLUSTERS)
    n, matrix, score = objective.coordinates.size, sums.joint_matrix, sums.joint_scores.sum(axis=(0, 1))
    z, (lower, upper) = objective.to_internal(theta), objective.internal_bounds(theta)
    held = np.flatnonzero((z - lower < 1e-6) & (score[:n] > 0) | (upper - z < 1e-6) & (score[:n] < 0))
    moves = np.setdiff1d(np.arange(len(matrix)), held)
    inverse = np.zeros_like(matrix)
    inverse[np.ix_(moves, moves)] = pseudo_inverse(matrix[np.ix_(moves, moves)])
    total, _ = dyadic_parts(sums, inverse, -inverse @ score)
    noise = matrix @ total @ matrix
    order = np.array(objective.coordinates.order)
    scale = objective.coordinates.scale[:n]

    def worth(tried: dict[str, int]) -> float:
        into = model.with_pieces(tried).refinement(model)[order] / scale[:, None]
        into[held] = 0.0
        own = np.zeros((len(matrix), into.shape[1] + len(matrix) - n))
        own[:n, : into.shape[1]], own[n:, into.shape[1] :] = into, np.eye(len(matrix) - n)
        back = pseudo_inverse(own.T @ matrix @ own)
        step = own.T @ score
        return float(step @ back @ step - PRICE * np.trace(back @ (own.T @ noise @ own)))

    levels = [level for level in LEVELS if level <= min(model.pieces.values())]
    tried = [pieces | {name: level} for name in pieces for level in levels]
    return max([pieces, *tried], key=worth)
