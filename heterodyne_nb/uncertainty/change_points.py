"""Where a curve changes at once: steps added to every curve of a free-form fit, estimated to first order.

A step may be a slow change that the splines follow badly, so it counts only where splines with no more pieces than
:data:`COARSE` and the step predict better than the splines that were chosen; and where it differs from 0 by its dyadic
error, with a chance that counts every curve and time tried.

How many pieces the splines of a free-form fit need: what pixels not fitted would say, on the dyadic scale.

One pass over the data at the present curves, with every spline cut into many pieces, gives scores and matrices of all
tiles. Splines with fewer pieces are inside those with more, so a step to the optimum of any choice of pieces, what it
gains in χ², and how much of that noise gains, are small linear algebra: with A the matrix of χ²/2 and M the dyadic
variance of the scores, noise alone gains tr(A⁻¹ M), and pixels that were not fitted lose as much. The choice with the
largest gain less :data:`PRICE` times that is taken (with a price of 2 and independent pixels, Akaike's criterion).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.config.parameters import build_table
from heterodyne_nb.engine import Objective, Tiles
from heterodyne_nb.models.free_form import FreeFormModel, Step
from heterodyne_nb.models.splines import SplineModel
from heterodyne_nb.uncertainty.covariance import (
    ERROR_CLUSTERS,
    LEAST_DYADIC,
    degrees_of_freedom,
    dyadic_parts,
    dyadic_sum,
    pseudo_inverse,
)
from heterodyne_nb.uncertainty.goodness import with_model

#: Times tried, the share of the run at either end that is left out, and pieces of the stepping curve.
TRIED, ENDS, COARSE = 24, 0.08, (1, 2, 4)
#: Chance, over all curves and times, below which a step is told.
CHANCE = 0.01


@dataclass(frozen=True)
class ChangePoint:
    """A time at which a curve changes at once."""

    t: float  #: In s.
    curve: str
    #: before, after: Values of the curve around it, in its unit.
    before: float
    after: float
    sigma: float  #: Strength: the chance of such a step by noise, as standard errors of a normal law.


def strongest_step(objective: Objective, theta: FloatArray) -> ChangePoint | None:
    """The step that describes the data best, or None where none is better than smooth curves.

    ``objective``: Of a :class:`SplineModel`. ``theta`` (p,): Its optimum.
    """
    chosen: SplineModel = objective.problem.model
    fine = chosen.with_pieces(dict.fromkeys(chosen.pieces, max(*chosen.pieces.values(), *COARSE)))
    problem, start = objective.problem, chosen.refinement(fine) @ theta
    times = np.quantile(problem.t, np.linspace(ENDS, 1.0 - ENDS, TRIED))
    wide = FreeFormModel(fine, start, problem.t, [Step(float(at)) for at in times])
    own = ("values", "lower", "upper", "vary", "given", "names", "tie", "prior", "units")
    plain = build_table(fine.name, fine.parameters, {}, [])
    table = replace(problem.table, **{name: getattr(plain, name) for name in own})
    free = Objective(
        with_model(replace(problem, table=replace(table, values=start)), wide), contrast=objective.contrast
    )
    sums = Tiles.at(free, np.concatenate([start, np.zeros(len(wide.shapes))]), ERROR_CLUSTERS)
    return _Steps(sums, fine, wide).strongest(chosen, theta)


class _Steps:
    """Tiles at the optimum of splines, by coefficients of finer ones and by steps."""

    def __init__(self, sums: Tiles, fine: SplineModel, wide: FreeFormModel) -> None:
        self.sums, self.fine, self.wide = sums, fine, wide
        self.n, self.shapes = sums.objective.coordinates.size, len(wide.shapes)
        self.matrix, self.score = sums.joint_matrix, sums.joint_scores.sum(axis=(0, 1))
        self.order = np.array(sums.objective.coordinates.order)
        self.first = self.n - self.shapes  # steps come last, then contrast and offset
        self.noise = self._noise()

    def _noise(self) -> FloatArray:
        """Dyadic variance of the scores that are left after the splines are fitted.

        Not corrected for what the fit took up, as errors are: with so many local coefficients that would count the few
        clusters that hold a coefficient's information as noise alone.
        """
        kept = np.setdiff1d(np.arange(len(self.matrix)), np.arange(self.first, self.n))
        part = np.ix_(kept, kept)
        step, total = np.zeros(len(self.matrix)), np.zeros_like(self.matrix)
        step[kept] = -pseudo_inverse(self.matrix[part]) @ self.score[kept]
        for b, scores in enumerate(self.sums.joint_scores):
            acting, matrices = self.sums.of_bin(b)
            total[np.ix_(acting, acting)] += dyadic_sum((scores[:, acting] + matrices @ step[acting])[None])
        return np.asarray(ERROR_CLUSTERS / (ERROR_CLUSTERS - 1.0) * total)

    def _into(self, coarse: SplineModel) -> FloatArray:
        """Coordinates here by those of splines with fewer pieces, contrast and offset."""
        own = self.order[: self.first]
        into = coarse.refinement(self.fine)[own] / self.sums.objective.coordinates.scale[: self.first, None]
        out = np.zeros((len(self.matrix), into.shape[1] + len(self.matrix) - self.n))
        out[: self.first, : into.shape[1]], out[self.n :, into.shape[1] :] = (
            into,
            np.eye(len(self.matrix) - self.n),
        )
        return out

    def strongest(self, chosen: SplineModel, theta: FloatArray) -> ChangePoint | None:
        """See :func:`strongest_step`."""
        smooth = _Way(self, self._into(chosen), np.zeros(len(self.matrix))).worth
        best, most = None, smooth
        scale = self.sums.objective.coordinates.scale
        for name, pieces in product(chosen.pieces, COARSE):
            coarse = chosen.with_pieces(chosen.pieces | {name: pieces})
            into, leave = self._into(coarse), np.zeros(len(self.matrix))
            there = coarse.refinement(self.fine) @ (chosen.refinement(coarse) @ theta)
            leave[: self.n] = (np.append(there, np.zeros(self.shapes)) - self.sums.theta)[self.order] / scale
            for i, (curve, _) in enumerate(self.wide.shapes):
                if curve == name:
                    step = np.eye(len(self.matrix))[:, [self.first + i]]
                    way = _Way(self, np.concatenate([into, step], axis=1), leave)
                    if way.worth > most:
                        best, most = (i, way), way.worth
        return None if best is None else self._told(*best)

    def _told(self, shape: int, way: _Way) -> ChangePoint | None:
        objective = self.sums.objective
        unit = objective.reduced(objective.equations(self.sums.theta, derivatives=False).chi2)
        pull = way.ways @ way.back[:, -1]  # of the step, per unit of score
        variance = max(float(pull @ self.noise @ pull), LEAST_DYADIC * unit * float(way.back[-1, -1]))
        shares = np.stack([self._shares(b, pull) for b in range(len(self.sums.products))])[:, :, None]
        size = float(way.moved[-1]) / np.sqrt(variance)
        chance = min(1.0, 2 * self.shapes * float(student.sf(abs(size), degrees_of_freedom(shares)[0])))
        if chance > CHANCE:
            return None
        curve, form = self.wide.shapes[shape]
        assert isinstance(form, Step)
        params = self.sums.theta.copy()
        params[self.order] += objective.coordinates.scale * (way.leave + way.ways @ way.moved)[: self.n]
        t = objective.problem.t
        after = int(np.searchsorted(t, form.at, side="right"))
        before, behind = self.wide.curves(params, t[after - 1 : after + 1])[curve]
        return ChangePoint(
            float(t[after]), curve, float(before), float(behind), float(norm.isf(max(chance, 1e-300) / 2))
        )

    def _shares(self, b: int, pull: FloatArray) -> FloatArray:
        acting, matrices = self.sums.of_bin(b)
        return np.asarray(np.einsum("i,tij,j->t", pull[acting], matrices, pull[acting]))


class _Way:
    """The optimum of coordinates ``leave + ways @ moved``, to first order, and what it would gain in other pixels."""

    def __init__(self, steps: _Steps, ways: FloatArray, leave: FloatArray) -> None:
        self.ways, self.leave = ways, leave
        score = ways.T @ (steps.score + steps.matrix @ leave)
        self.back = pseudo_inverse(ways.T @ steps.matrix @ ways)
        self.moved = -self.back @ score
        gain = -float(2 * steps.score @ leave + leave @ steps.matrix @ leave) + float(
            score @ self.back @ score
        )
        self.worth = gain - PRICE * float(np.trace(self.back @ (ways.T @ steps.noise @ ways)))


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
