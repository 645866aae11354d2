"""One-time fits in the engine's form: g2 of every bin against lag, for any model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine.normal import (
    ContrastOffset,
    NormalEquations,
    Solution,
    contrast_design,
    level_limits,
)
from heterodyne_nb.engine.objective import Objective
from heterodyne_nb.engine.one_time_many import Levels, boxed_pair
from heterodyne_nb.engine.one_time_noise import FitDesign, fluctuation_rates
from heterodyne_nb.engine.problem import OneTimeProblem, Scale
from heterodyne_nb.engine.products import Weighting
from heterodyne_nb.models.one_time_scopes import ScopedModel, bin_groups
from heterodyne_nb.models.parameters import LEVELS, ParameterTable


@dataclass(frozen=True)
class LevelRequest:
    """What is asked of contrast or offset beyond what a :class:`ParameterTable` holds."""

    #: ``"shared"``, ``"q"``, ``"phi"`` or ``"each"``; None: as the fit's ``contrast`` says.
    scope: str | None = None
    values: FloatArray | None = None  #: (B,): Values it is fixed at, bin by bin.

    def subset(self, keep: NDArray[np.bool_]) -> LevelRequest:
        """The same for some of the bins."""
        return self if self.values is None else LevelRequest(self.scope, self.values[keep])


def curve_levels(table: ParameterTable, scale: Scale, q: FloatArray, phi: FloatArray) -> Levels:
    """Limits and priors of contrast and offset of curves (B,) that each have their own."""
    limits, bins = level_limits(table, scale), len(q)
    lower, upper = (np.repeat(a[:, None], bins, axis=1) for a in limits)
    prior, weight = np.zeros((2, bins)), np.zeros((2, bins))
    for k, name in enumerate(LEVELS):
        level = getattr(table, name)
        known = level.known(q, phi)
        if not level.free:
            lower[k] = upper[k] = level.fixed if known is None else known[0]
        elif known is not None:
            prior[k], weight[k] = known[0], known[1] ** -2.0
    return Levels(lower, upper, prior, weight)


def level_pulls(
    m: FloatArray, weighted: FloatArray, weight: FloatArray, values: FloatArray, levels: Levels
) -> FloatArray:
    """Errors by which contrast and offset (2, B) would pass the limit they are held by; 0 where none holds them.

    ``m`` (B, K), ``weighted`` residuals (fit - data)/err² (B, K), ``weight`` 1/err², ``values`` (2, B).
    """
    slope = np.stack([np.sum(m * weighted, axis=1), np.sum(weighted, axis=1)])
    size = np.stack([np.sum(weight * m**2, axis=1), np.sum(weight, axis=1)])
    pressed = (values <= levels.lower) & (slope > 0) | (values >= levels.upper) & (slope < 0)
    free = levels.upper > levels.lower
    return np.where(pressed & free, np.abs(slope) / np.sqrt(np.maximum(size, 1e-300)), 0.0)


class OneTimeLevels(ContrastOffset):
    """Contrast and offset of one-time curves: each may have a scope of its own, and values fixed bin by bin.

    See :class:`ContrastOffset`; where every bin has a contrast and an offset of its own these are solved for in all bins
    at once.
    """

    def __init__(self, mode: str, problem: OneTimeProblem) -> None:
        q, phi, table = problem.q, problem.phi, problem.table
        super().__init__(mode, q, phi, table, problem.scale)
        asked = [problem.levels.get(name, LevelRequest()) for name in LEVELS]
        whole = contrast_design(mode, q, phi)
        half = whole.shape[2] // 2
        bases = []
        for k, request in enumerate(asked):
            basis = whole[:, k, k * half : (k + 1) * half]
            if request.scope is not None:
                group, labels = bin_groups(request.scope, q, phi)
                basis = np.eye(len(labels))[group]
            if request.values is not None:
                self.base[:, k], self.free[k] = request.values, False
            bases.append(basis)
        own = [b if free else b[:, :0] for b, free in zip(bases, self.free, strict=True)]
        self.design = np.zeros((len(q), 2, own[0].shape[1] + own[1].shape[1]))
        self.design[:, 0, : own[0].shape[1]], self.design[:, 1, own[0].shape[1] :] = own
        free = [b for b, f in zip(bases, self.free, strict=True) if f]
        self.separate = mode != "smooth_phi" and (len(free) < 2 or np.array_equal(free[0], free[1]))
        self.single = all(b.shape == (len(q), len(q)) and np.array_equal(b, np.eye(len(q))) for b in free)
        self._priors = self._terms(*(b.shape[1] for b in bases))

    def limits(self, bins: int) -> Levels:
        """The same for curves that are taken one by one."""
        lower, upper = (np.repeat(a[:, None], bins, axis=1) for a in (self.lower, self.upper))
        prior, weight = np.zeros((2, bins)), np.zeros((2, bins))
        for k in range(2):
            if not self.free[k]:
                lower[k] = upper[k] = self.base[:, k]
        for k, mean, strength in self._priors:
            prior[k], weight[k] = mean, strength
        return Levels(lower, upper, prior, weight)

    def solve(self, products: FloatArray) -> Solution:
        """See :meth:`ContrastOffset.solve`."""
        if not self.single or not self.free.any():
            return super().solve(products)
        p, bins = products, len(products)
        levels = self.limits(bins)
        sums = p[:, -3, -3], p[:, -3, -2], p[:, -2, -2], p[:, -3, -1], p[:, -2, -1]
        contrast, offset, _ = boxed_pair(*sums, levels)
        values = np.stack([contrast, offset])
        inside = (values > levels.lower) & (values < levels.upper)
        kinds = np.flatnonzero(self.free)
        n = bins * len(kinds)
        matrix, place = np.zeros((n, n)), np.arange(bins)
        linear = p[:, -3:-1, -3:-1]
        for a, i in enumerate(kinds):
            for b, j in enumerate(kinds):
                matrix[a * bins + place, b * bins + place] = linear[:, i, j] + (i == j) * levels.weight[i]
        held = ~inside[kinds].ravel()
        matrix += 1e-13 * (np.trace(matrix) / max(n, 1)) * np.eye(n)
        free = np.eye(n)[:, ~held]
        return Solution(contrast, offset, free, matrix[np.ix_(~held, ~held)], self._penalty(contrast, offset))


class OneTimeObjective(Objective):
    """χ² of a one-time fit; derivatives from the model, by central differences unless it has its own."""

    linear: OneTimeLevels

    def __init__(self, problem: OneTimeProblem, *, contrast: str = "per_bin") -> None:
        super().__init__(problem, contrast=contrast)
        self.linear = OneTimeLevels(contrast, problem)
        self.scoped = isinstance(problem.model, ScopedModel)

    def correlation(self, theta: FloatArray) -> FloatArray:
        """M of every bin and lag, (B, K)."""
        p = self.problem
        model, values = (p.model.base, p.model.local(theta)[:, :, None]) if self.scoped else (p.model, theta)
        m = model.evaluate(values, p.tau[None, :], p.q[:, None], p.phi[:, None])
        return np.broadcast_to(np.asarray(m, float), p.g2.shape)

    def weighted_products(self, theta: FloatArray, wanted: NDArray[np.int64]) -> FloatArray:
        """See :meth:`Objective.weighted_products`."""
        return self.tile_products(theta, wanted, 1)[:, 0]

    def tile_products(
        self, theta: FloatArray, wanted: NDArray[np.int64], blocks: int, weighting: Weighting | None = None
    ) -> FloatArray:
        """Over each block of lags; there are no robust losses of g2."""
        return np.asarray(self.problem.block_products(self.columns(theta, wanted), blocks))

    def equations(
        self, theta: ArrayLike, *, derivatives: bool = True, wanted: NDArray[np.int64] | None = None
    ) -> NormalEquations:
        """See :meth:`Objective.equations`; products are of the few parameters of a curve, also where a fit has many."""
        if not self.scoped or not derivatives:
            return super().equations(theta, derivatives=derivatives, wanted=wanted)
        theta = np.asarray(theta, float)
        self.evaluations += 1
        z = self._stacked(*self._local_derivatives(theta))
        products = (z * self.problem.weight[:, None, :]) @ z.transpose(0, 2, 1)
        best = self.linear.solve(products)
        contrast, inner, chain = best.contrast, best.inner, self.problem.model.chain(theta)
        chi2_bin = np.maximum(np.einsum("bi,bij,bj->b", inner, products[:, -3:, -3:], inner), 0.0)
        by_local = contrast[:, None] * np.einsum("bpj,bj->bp", products[:, :-3, -3:], inner)
        local = contrast[:, None, None] ** 2 * products[:, :-3, :-3]
        half = np.einsum("bpr,rbQ->bpQ", local, chain)
        flat = chain.transpose(1, 0, 2).reshape(-1, len(theta))
        hessian = flat.T @ half.reshape(-1, len(theta))
        cross = np.einsum(
            "pbQ,bpi,bia->Qa",
            chain,
            contrast[:, None, None] * products[:, :-3, -3:-1],
            self.linear.design,
            optimize=True,
        )
        hessian = hessian - cross @ best.share(cross)
        gradient, hessian = 2 * np.einsum("bp,pbQ->Q", by_local, chain), hessian + hessian.T
        found = NormalEquations(
            float(chi2_bin.sum()) + best.penalty, gradient, hessian, contrast, best.offset, chi2_bin
        )
        return self.priors.added(found, theta)

    def chi2_of(self, thetas: FloatArray) -> FloatArray:
        """What a call gives for every one of many published vectors (N, p), all at once where each bin has its own levels."""
        if not self.linear.single or not len(thetas):
            return np.array([self(theta) for theta in thetas])
        p, model = self.problem, self.problem.model
        local = np.array(
            [model.local(one) if self.scoped else np.repeat(one[:, None], p.n_bins, 1) for one in thetas]
        )
        values = local.transpose(1, 2, 0)[..., None]  # (p, B, N, 1)
        curve = model.base if self.scoped else model
        m = curve.evaluate(values, p.tau, p.q[:, None, None], p.phi[:, None, None])
        m = np.broadcast_to(np.asarray(m, float), (p.n_bins, len(thetas), len(p.tau)))
        levels, weight = self.linear.limits(p.n_bins), p.weight[:, :, None]
        one, y = (np.broadcast_to((p.weight * a).sum(axis=1)[:, None], m.shape[:2]) for a in (1.0, p.g2))
        mm, m1, my = ((a @ weight)[..., 0] for a in (m**2, m, m * p.g2[:, None]))
        contrast, offset, _ = boxed_pair(mm, m1, one, my, y, levels)
        residual = contrast[..., None] * m + offset[..., None] - p.g2[:, None]
        chi2 = ((residual**2) @ weight)[..., 0]
        for k, level in enumerate((contrast, offset)):
            chi2 = chi2 + levels.weight[k][:, None] * (level - levels.prior[k][:, None]) ** 2
        priors = np.array([self.priors.penalty(one) for one in thetas])
        allowed = np.array([self.physical(one) for one in thetas])
        return np.where(allowed, chi2.sum(axis=0) + priors, np.inf)

    def columns(self, theta: FloatArray, wanted: NDArray[np.int64]) -> FloatArray:
        """z = (derivatives, M, 1, data) of every bin and lag, (B, P+3, K)."""
        if len(wanted) == 0:
            return self._stacked(self.correlation(theta), np.empty((0, *self.problem.g2.shape)))
        m, slopes = self._local_derivatives(theta)
        if self.scoped:
            slopes = np.einsum("pbk,pbQ->Qbk", slopes, self.problem.model.chain(theta)[:, :, wanted])
        else:
            slopes = slopes[wanted]
        return self._stacked(m, slopes)

    def _stacked(self, m: FloatArray, slopes: FloatArray) -> FloatArray:
        p = self.problem
        z = np.empty((p.n_bins, len(slopes) + 3, len(p.tau)))
        z[:, :-3] = slopes.transpose(1, 0, 2)
        z[:, -3], z[:, -2], z[:, -1] = m, 1.0, p.g2
        return z

    def _local_derivatives(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """M (B, K) and its derivatives by the parameters of a curve (p, B, K)."""
        p = self.problem
        model = p.model.base if self.scoped else p.model
        values = p.model.local(theta) if self.scoped else np.repeat(theta[:, None], p.n_bins, axis=1)
        m, slopes = model.with_derivatives(values[:, :, None], p.tau[None, :], p.q[:, None], p.phi[:, None])
        return np.broadcast_to(m, p.g2.shape), np.broadcast_to(slopes, (len(slopes), *p.g2.shape))

    def design(self, theta: FloatArray) -> FitDesign:
        """Derivatives and residuals over the errors, which errors are read from."""
        p = self.problem
        z = self.columns(theta, self.moving)
        best = self.linear.solve((z * p.weight[:, None, :]) @ z.transpose(0, 2, 1))
        root = np.sqrt(p.weight)[:, :, None]
        slopes = z[:, :-3].transpose(0, 2, 1) @ self.coordinates.jacobian(theta)[self.moving]
        slopes = slopes * (best.contrast[:, None, None] * root)
        pairs = root * z[:, -3:-1].transpose(0, 2, 1)
        residual = root[:, :, 0] * (best.contrast[:, None] * z[:, -3] + best.offset[:, None] - p.g2)
        limits = self.linear.limits(p.n_bins)
        lags: Any = {"tau": p.tau, "rates": fluctuation_rates(z[:, -3], p.tau)}
        if self.linear.single:
            values = np.stack([best.contrast, best.offset])
            moves = ((values > limits.lower) & (values < limits.upper)).T
            return FitDesign(
                slopes, pairs * moves[:, None, :], residual, p.weight > 0, limits.weight.T * moves, **lags
            )
        slopes = np.concatenate([slopes, pairs @ (self.linear.design @ best.free)], axis=2)
        none = np.zeros((p.n_bins, 2))
        return FitDesign(
            slopes, np.zeros_like(pairs), residual, p.weight > 0, none, self.linear.design @ best.free, **lags
        )
