"""Many one-time curves at once: Levenberg-Marquardt on all of them in one array, contrast and offset eliminated.

Curves of a group share their parameters, groups are independent. Contrast and offset of every curve are solved for
inside their limits at every step (variable projection, Golub & Pereyra 1973), so the search is over the few parameters of
the shape alone; its starts are the best of a grid of shapes that is compared with all curves by matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.models.parameters import ParameterTable
from heterodyne_nb.progress import StopToken

#: Shapes compared for the starts, per free parameter; and how many of them are fitted, by number of free parameters.
_SHAPES, _STARTS = 64, {0: 1, 1: 1, 2: 2}
_MANY_STARTS = 4
#: Frequencies of a grid at most, and decays that each is tried with; and shapes of curves that are compared at a time.
_FREQUENCIES, _DECAYS, _COMPARED = 1500, 32, 4_000_000
#: Choices of what curves share, and of the rest, that are compared where only some parameters are shared.
_NESTED = (160, 128)
#: A fit has converged when a step promises less than this share of χ², or of what χ² is where a curve fits to rounding.
_TOLERANCE, _EXACT = 1e-9, 1e-14
_MOST_STEPS = 500
#: Or when so many steps in a row each gained less than this share of the reduced χ²: an error of one sigma is a change by 1.
_QUIET = (5, 1e-4)
#: Entries of an array of (curves, parameters, lags) worked on at a time.
_ENTRIES = 2_000_000
#: Pairs of contrast and offset that are solved for at a time.
_AT_ONCE = 20_000


@dataclass(frozen=True)
class Levels:
    """Limits and priors of contrast and offset of B curves; a fixed one has equal limits."""

    #: lower, upper (2, B)
    lower: FloatArray
    upper: FloatArray
    prior: FloatArray  #: (2, B): Centre of Gaussian priors.
    weight: FloatArray  #: (2, B): 1/sigma² of these, 0 without.

    def of(self, chosen: Any) -> Levels:
        """The same for some of the curves."""
        return Levels(*(a[:, chosen] for a in (self.lower, self.upper, self.prior, self.weight)))


def boxed_pair(
    mm: FloatArray, m1: FloatArray, one: FloatArray, my: FloatArray, y: FloatArray, levels: Levels
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Contrast and offset that fit best inside their limits, and what χ² falls by against both being 0.

    ``mm``, ``m1``, ``one``, ``my``, ``y``: Sums over the lags of w M², w M, w, w M g2, w g2. ``levels``: Of the B
    curves.
    """
    rows = max(1, _AT_ONCE // max(mm[:1].size, 1))
    if len(mm) > rows:  # so that a block stays in the processor's memory
        parts = [slice(first, first + rows) for first in range(0, len(mm), rows)]
        found = [boxed_pair(mm[k], m1[k], one[k], my[k], y[k], levels.of(k)) for k in parts]
        c, o, gain = (np.concatenate(every) for every in zip(*found, strict=True))
        return c, o, gain
    extra = (slice(None), *(None,) * (np.ndim(mm) - 1))
    limits = [a[k][extra] for k in (0, 1) for a in (levels.lower, levels.upper)]
    low_c, high_c, low_o, high_o = limits
    if levels.weight.any():
        mm, one = mm + levels.weight[0][extra], one + levels.weight[1][extra]
        my = my + (levels.weight[0] * levels.prior[0])[extra]
        y = y + (levels.weight[1] * levels.prior[1])[extra]
    unit = np.where(one > 0, one, 1.0)  # weights of any size: their squares must not overflow
    mm, m1, my, y, one = mm / unit, m1 / unit, my / unit, y / unit, one / unit
    det = mm * one - m1**2
    tiny = 1e-13 * mm * one + 1e-300
    safe = np.where(det > tiny, det, 1.0)
    c, o = (one * my - m1 * y) / safe, (mm * y - m1 * my) / safe
    inside = (det > tiny) & (c >= low_c) & (c <= high_c) & (o >= low_o) & (o <= high_o)
    gain = np.where(inside, c * my + o * y, -np.inf)
    if not np.all(inside):
        outside = ~inside
        ends = [np.broadcast_to(a, c.shape) for a in limits]
        given = [a[outside] for a in (mm, m1, one, my, y, *ends, c, o)]
        c[outside], o[outside], gain[outside] = _on_edge(*given)
    return c, o, gain * unit


def _on_edge(mm, m1, one, my, y, low_c, high_c, low_o, high_o, c, o):
    """The best of the four edges of the limits, (n,); ``c``, ``o``: What stays where no edge has a finite gain."""
    gain = np.full(len(c), -np.inf)
    mm_safe, one_safe = np.maximum(mm, 1e-300), np.maximum(one, 1e-300)  # a curve may have no weight at all
    points = [(edge, np.clip((y - m1 * edge) / one_safe, low_o, high_o)) for edge in (low_c, high_c)]
    points += [(np.clip((my - m1 * edge) / mm_safe, low_c, high_c), edge) for edge in (low_o, high_o)]
    for new_c, new_o in points:
        value = 2 * (new_c * my + new_o * y) - new_c**2 * mm - 2 * new_c * new_o * m1 - new_o**2 * one
        take = value > gain
        c, o, gain = np.where(take, new_c, c), np.where(take, new_o, o), np.where(take, value, gain)
    return c, o, gain


@dataclass(frozen=True)
class Curves:
    """What is fitted."""

    model: Any  #: OneTimeModel
    table: ParameterTable  #: Start values, limits, ties and priors, alike in all groups.
    tau: FloatArray  #: (K,)
    #: g2, weight (B, K): Weight 0: not used.
    g2: FloatArray
    weight: FloatArray
    #: q, phi (B,)
    q: FloatArray
    phi: FloatArray
    group: IntArray  #: (B,): 0 … G-1 in order; curves of a group share their parameters.
    levels: Levels

    def of(self, groups: IntArray) -> Curves:
        """Some of the groups, numbered anew."""
        place = np.full(int(self.group[-1]) + 1, -1)
        place[groups] = np.arange(len(groups))
        kept = np.flatnonzero(place[self.group] >= 0)
        return Curves(
            self.model, self.table, self.tau, self.g2[kept], self.weight[kept], self.q[kept], self.phi[kept],
            place[self.group[kept]], self.levels.of(kept),
        )  # fmt: skip


@dataclass(frozen=True)
class Fitted:
    """The optimum of each group."""

    values: FloatArray  #: (G, p)
    chi2: FloatArray  #: (G,): Priors included.
    #: contrast, offset, chi2_curve (B,)
    contrast: FloatArray
    offset: FloatArray
    chi2_curve: FloatArray
    converged: NDArray[np.bool_]  #: (G,)
    steps: IntArray  #: (G,)


class _Axes:
    """The numbers that move: free parameters, rates and the like as logarithms."""

    def __init__(self, table: ParameterTable) -> None:
        self.free = np.flatnonzero(table.vary)
        lower, upper = table.lower[self.free], table.upper[self.free]
        self.log = (lower > 0) & (upper > 30 * np.maximum(lower, 1e-300))
        safe = np.where(self.log, lower, 1.0), np.where(self.log, upper, 1.0)
        self.lower = np.where(self.log, np.log(safe[0]), lower)
        self.upper = np.where(self.log, np.log(safe[1]), upper)
        source = np.array([table.names.index(t) if t else i for i, t in enumerate(table.tie)])
        self.moves = (source[:, None] == self.free[None, :]).astype(float)  # (p, F)
        self.base = np.array(table.values, float)
        self.base[self.moves.any(axis=1)] = 0.0
        priors = [(k, *table.prior[i]) for k, i in enumerate(self.free) if table.prior[i] is not None]  # type: ignore[misc]
        self.priors = np.array(priors, float).reshape(-1, 3)

    def single(self, z: FloatArray) -> FloatArray:
        """Free parameters in their own units, shape of ``z`` (…, F)."""
        return np.where(self.log, np.exp(np.where(self.log, z, 0.0)), z)

    def published(self, z: FloatArray) -> FloatArray:
        """(…, p)."""
        return np.asarray(self.base + self.single(z) @ self.moves.T)

    def internal(self, theta: FloatArray) -> FloatArray:
        """(…, F) of published values."""
        chosen = theta[..., self.free]
        return np.where(self.log, np.log(np.where(self.log, chosen, 1.0)), chosen)

    def scale(self, z: FloatArray) -> FloatArray:
        """Derivative of each free parameter by its coordinate."""
        return np.where(self.log, self.single(z), 1.0)


@dataclass
class _State:
    """Everything at one point of every group."""

    chi2: FloatArray
    gradient: FloatArray
    hessian: FloatArray
    contrast: FloatArray
    offset: FloatArray
    chi2_curve: FloatArray


def fit_many(
    curves: Curves,
    *,
    start: FloatArray | None = None,
    stop: StopToken | None = None,
    starts: int | None = None,
) -> Fitted:
    """Fit every group of curves.

    ``start`` (G, p): Start of each group; by default the best of a grid of shapes. ``stop``: Ends it; what was
    reached is returned, not converged. ``starts``: How many starts of the grid are fitted.
    """
    groups = int(curves.group[-1]) + 1
    parameters = len(curves.table) + 3
    size = max(1, int(_ENTRIES / (parameters * max(curves.g2.size / groups, 1))))
    if groups <= size:
        return _fit_part(curves, start, stop, starts)
    parts = []
    for first in range(0, groups, size):
        chosen = np.arange(first, min(first + size, groups))
        parts.append(_fit_part(curves.of(chosen), None if start is None else start[chosen], stop, starts))
    return Fitted(*(np.concatenate([getattr(p, f) for p in parts]) for f in Fitted.__dataclass_fields__))


def _fit_part(curves: Curves, start: FloatArray | None, stop: StopToken | None, starts: int | None) -> Fitted:
    axes = _Axes(curves.table)
    if start is not None:
        return _descend(curves, axes, np.clip(axes.internal(start), axes.lower, axes.upper), stop)
    count = starts or _STARTS.get(len(axes.free), _MANY_STARTS)
    candidates = grid_starts(curves, axes, count)  # (count, G, F)
    if len(candidates) == 1:
        return _descend(curves, axes, candidates[0], stop)
    return best_of([_descend(curves, axes, z, stop) for z in candidates], curves.group)


def best_of(found: Sequence[Fitted], group: IntArray, margin: FloatArray | float = 0.0) -> Fitted:
    """The best of several fits, group by group; the first stays, unless without contrast, if no other gains more than the
    share ``margin`` (G,) of χ².
    """
    chi2 = np.array([f.chi2 for f in found])
    best = np.argmin(chi2, axis=0)
    seen = np.bincount(group, found[0].contrast != 0.0) > 0
    best[seen & (chi2.min(axis=0) >= chi2[0] * (1 - margin))] = 0

    def taken(name: str) -> Any:
        index = best if name in ("values", "chi2", "converged", "steps") else best[group]
        return np.stack([getattr(f, name) for f in found])[index, np.arange(len(index))]

    return Fitted(**{name: taken(name) for name in Fitted.__dataclass_fields__})


def nested_starts(curves: Curves, shared: NDArray[np.bool_], count: int) -> FloatArray:
    """Starts of curves that share some parameters: for each choice of these the best of the others, curve by curve.

    ``shared`` (p,): Parameters that all curves share. ``count``: Number of starts. Returns (count, B, p): Published
    values of each curve.
    """
    axes = _Axes(curves.table)
    common = np.flatnonzero(shared[axes.free])
    outer, inner = (
        (_NESTED if len(common) < len(axes.free) else (_NESTED[0], 1)) if len(common) else (1, 4 * _NESTED[1])
    )
    shapes = np.repeat(sampled_shapes(curves, axes, outer), inner, axis=0).reshape(outer, inner, -1)
    own = np.setdiff1d(np.arange(len(axes.free)), common)
    shapes[:, :, own] = sampled_shapes(curves, axes, inner)[None, :, own]
    theta = axes.published(shapes.reshape(outer * inner, -1))
    chi2 = grid_chi2(curves, theta).reshape(len(curves.g2), outer, inner)
    best = np.argmin(chi2, axis=2)
    order = np.argsort(np.min(chi2, axis=2).sum(axis=0))
    span, chosen = np.maximum(np.ptp(shapes[:, 0], axis=0), 1e-300)[common], [order[0]]
    for k in order:  # unlike each other
        away = np.abs(shapes[chosen][:, 0][:, common] - shapes[k, 0][common]) / span
        if len(chosen) < count and len(common) and np.all(away.max(axis=1) > 0.15):
            chosen.append(k)
    theta = theta.reshape(outer, inner, -1)
    return np.stack([theta[k, best[:, k]] for k in chosen])


def sampled_shapes(curves: Curves, axes: Any, count: int) -> FloatArray:
    """Points (N, F) spread over the natural ranges of the free parameters; stated start values are kept."""
    table = curves.table
    first, last = float(curves.tau[0]), float(curves.tau[-1])
    unit = qmc.Halton(d=max(len(axes.free), 1), scramble=False).random(count + 1)[1:]
    out = np.empty((count, len(axes.free)))
    for k, i in enumerate(axes.free):
        if table.given[i]:
            out[:, k] = axes.internal(np.array(table.values))[k]
            continue
        low, high = table.lower[i], table.upper[i]
        natural = curves.model.start_range(int(i), first, last, float(curves.q.max()))
        if natural is not None:
            low, high = max(low, natural[0]), min(high, natural[1])
        if not low < high:
            low, high = table.lower[i], table.upper[i]
        ends = np.array([low, high])
        if axes.log[k]:
            ends = np.log(ends)
        elif low > 0 and high > 30 * low:
            out[:, k] = np.exp(np.log(low) + unit[:, k] * np.log(high / low))
            continue
        out[:, k] = ends[0] + unit[:, k] * (ends[1] - ends[0])
    return out


def fringe_shapes(curves: Curves, axes: Any) -> FloatArray:
    """Points (N, F) with a frequency on a grid so fine that no fringe falls between; none where no frequency is free.

    χ² has a minimum for each fringe more or less in the window, so a frequency must be found nearly. Fringes of the
    frequency ω show as far as the lags are no more than half a period apart, to T, and the grid steps by 1/T.
    """
    table, tau = curves.table, curves.tau
    roles = {c.parameters[0]: c.role for c in curves.model.curve_specs if c.parameters}
    free = [k for k, i in enumerate(axes.free) if roles.get(int(i)) == "frequency" and not table.given[i]]
    if len(free) != 1 or len(tau) < 3:
        return np.empty((0, len(axes.free)))
    k, i = free[0], axes.free[free[0]]
    steps = np.maximum.accumulate(np.diff(tau))
    low, high = 0.3 / tau[-1], min(np.pi / steps[0], 4 * np.pi / tau[0])
    grid = [max(low, float(table.lower[i]))]
    while grid[-1] < min(high, float(table.upper[i])) and len(grid) < _FREQUENCIES:
        seen = np.searchsorted(steps, np.pi / grid[-1], side="right")
        grid.append(grid[-1] + 1.0 / tau[max(int(seen), 1)])
    others = sampled_shapes(curves, axes, _DECAYS)
    shapes = np.repeat(others, len(grid), axis=0)
    values = np.tile(np.array(table.values), (len(grid), 1))
    values[:, i] = np.clip(grid, table.lower[i], table.upper[i])
    shapes[:, k] = np.tile(axes.internal(values)[:, k], len(others))
    return shapes


def grid_starts(curves: Curves, axes: Any, count: int) -> FloatArray:
    """The best shapes of each group, (count, G, F), each unlike the others."""
    groups, free = int(curves.group[-1]) + 1, len(axes.free)
    if free == 0:
        return np.zeros((1, groups, 0))
    shapes, fringes = sampled_shapes(curves, axes, _SHAPES * free), fringe_shapes(curves, axes)
    if not len(fringes):
        return _best_shapes(curves, axes, shapes, count)
    if groups > 1 and len(fringes) * len(curves.g2) > _COMPARED:
        halves = np.array_split(np.arange(groups), 2)
        return np.concatenate([grid_starts(curves.of(half), axes, count) for half in halves], axis=1)
    # a smooth curve comes close to weak fringes, and then leads away from them: starts of both kinds
    return np.concatenate([_best_shapes(curves, axes, one, count) for one in (shapes, fringes)])


def _best_shapes(curves: Curves, axes: Any, shapes: FloatArray, count: int) -> FloatArray:
    groups = int(curves.group[-1]) + 1
    chi2 = grid_chi2(curves, axes.published(shapes))
    total = chi2 if groups == len(chi2) else np.add.reduceat(chi2, _firsts(curves.group), axis=0)
    order = np.argsort(total, axis=1)[:, : _SHAPES * max(len(axes.free), 1)]
    best = [order[:, 0]]
    span = np.maximum(np.ptp(shapes, axis=0), 1e-300)
    while len(best) < min(count, len(shapes)):
        near = np.zeros(order.shape, bool)
        for one in best:
            near |= np.max(np.abs(shapes[order] - shapes[one][:, None]) / span, axis=2) < 0.15
        best.append(order[np.arange(groups), np.argmin(near, axis=1)])
    return shapes[np.stack(best)]


def grid_chi2(curves: Curves, theta: FloatArray) -> FloatArray:
    """χ² of every curve under every shape of a list, (B, N); theta (N, p)."""
    w, y = curves.weight, curves.g2
    wy = w * y
    one, sum_y, total = w.sum(axis=1)[:, None], wy.sum(axis=1)[:, None], np.sum(wy * y, axis=1)[:, None]
    if not curves.model.uses_q:
        m = np.asarray(curves.model.evaluate(theta.T[:, :, None], curves.tau, 0.0, 0.0), float)
        mm, m1, my = w @ (m**2).T, w @ m.T, wy @ m.T
    else:
        mm, m1, my = (np.empty((len(y), len(theta))) for _ in range(3))
        for n, values in enumerate(theta):
            shape = curves.model.evaluate(values, curves.tau, curves.q[:, None], curves.phi[:, None])
            m = np.broadcast_to(np.asarray(shape, float), y.shape)
            wm = w * m
            mm[:, n], m1[:, n], my[:, n] = (wm * m).sum(axis=1), wm.sum(axis=1), (wm * y).sum(axis=1)
    shape = mm.shape
    _, _, gain = boxed_pair(
        mm, m1, np.broadcast_to(one, shape), my, np.broadcast_to(sum_y, shape), curves.levels
    )
    return np.asarray(total - gain)


def _firsts(group: IntArray) -> IntArray:
    return np.flatnonzero(np.diff(group, prepend=-1))


def _summed(values: FloatArray, group: IntArray, groups: int) -> FloatArray:
    return values if groups == len(values) else np.add.reduceat(values, _firsts(group), axis=0)


def _at(curves: Curves, axes: _Axes, z: FloatArray) -> _State:
    """χ², gradient and Gauss-Newton matrix (of ½χ²) of every group."""
    groups = len(z)
    theta, scale = axes.published(z), axes.scale(z)
    values = theta[curves.group].T[:, :, None]
    m, slopes = curves.model.with_derivatives(values, curves.tau, curves.q[:, None], curves.phi[:, None])
    m = np.broadcast_to(m, curves.g2.shape)
    w, y = curves.weight, curves.g2
    wm = w * m
    mm, m1, one = np.einsum("bk,bk->b", wm, m), wm.sum(axis=1), w.sum(axis=1)
    my, sum_y = np.einsum("bk,bk->b", wm, y), np.einsum("bk,bk->b", w, y)
    c, o, _ = boxed_pair(mm, m1, one, my, sum_y, curves.levels)
    residual = c[:, None] * m + o[:, None] - y
    wr = w * residual
    chi2 = np.einsum("bk,bk->b", wr, residual)
    lv = curves.levels
    if lv.weight.any():
        chi2 = chi2 + lv.weight[0] * (c - lv.prior[0]) ** 2 + lv.weight[1] * (o - lv.prior[1]) ** 2
        mm, one = mm + lv.weight[0], one + lv.weight[1]
    jac = np.einsum("pbk,pf->bfk", np.broadcast_to(slopes, (len(slopes), *y.shape)), axes.moves)
    jac *= (c[:, None] * scale[curves.group])[:, :, None]
    gradient = np.einsum("bfk,bk->bf", jac, wr)
    wj = jac * w[:, None, :]
    hessian = wj @ jac.transpose(0, 2, 1)
    hessian -= _eliminated(np.einsum("bfk,bk->bf", wj, m), wj.sum(axis=2), mm, m1, one, c, o, lv)
    total = _summed(chi2, curves.group, groups)
    gradient, hessian = _summed(gradient, curves.group, groups), _summed(hessian, curves.group, groups)
    if len(axes.priors):
        single = axes.single(z)
        for k, mean, width in axes.priors:
            k = int(k)
            pull = (single[:, k] - mean) / width
            total = total + pull**2
            gradient[:, k] += pull * scale[:, k] / width
            hessian[:, k, k] += (scale[:, k] / width) ** 2
    return _State(total, gradient, hessian, c, o, chi2)


def _eliminated(by_m, by_one, mm, m1, one, c, o, levels):
    """What contrast and offset take of the Gauss-Newton matrix, those on a limit counting as fixed."""
    free_c = (c > levels.lower[0]) & (c < levels.upper[0])
    free_o = (o > levels.lower[1]) & (o < levels.upper[1])
    a, d = np.where(free_c, mm, 1.0), np.where(free_o, one, 1.0)
    off = np.where(free_c & free_o, m1, 0.0)
    det = np.maximum(a * d - off**2, 1e-13 * a * d + 1e-300)
    u, v = by_m * free_c[:, None], by_one * free_o[:, None]
    first = (d[:, None] * u - off[:, None] * v) / det[:, None]
    second = (a[:, None] * v - off[:, None] * u) / det[:, None]
    return u[:, :, None] * first[:, None, :] + v[:, :, None] * second[:, None, :]


def _descend(curves: Curves, axes: _Axes, z: FloatArray, stop: StopToken | None) -> Fitted:
    """Levenberg-Marquardt of all groups at once inside the bounds; groups that have converged drop out."""
    groups, free = z.shape
    z = z.copy()
    state = _at(curves, axes, z)
    damping, steps, quiet = np.full(groups, 1e-3), np.zeros(groups, np.int64), np.zeros(groups, np.int64)
    freedom = _summed(np.count_nonzero(curves.weight, axis=1) - 2, curves.group, groups) - free
    exact = _EXACT * _summed(np.einsum("bk,bk->b", curves.weight, curves.g2**2), curves.group, groups)
    done = np.full(groups, free == 0)
    active, part = np.arange(groups), curves
    for _ in range(_MOST_STEPS):
        if done.all() or (stop is not None and stop.reason):
            break
        left = np.flatnonzero(~done)
        if len(left) < 0.7 * len(active):
            active, part = left, curves.of(left)
        here = z[active]
        step, promised = _step(
            state.hessian[active], state.gradient[active], damping[active], here, axes.lower, axes.upper
        )
        # a step that meets a bound may promise a rise: that is no convergence, the damping deals with it
        small = (promised >= 0) & (promised <= _TOLERANCE * np.maximum(state.chi2[active], exact[active]))
        small |= np.max(np.abs(step) / np.maximum(np.abs(here), 1.0), axis=1) < 1e-10
        trial = _at(part, axes, here + step)
        better = trial.chi2 < state.chi2[active]
        gain = state.chi2[active] - trial.chi2
        ratio = np.clip(gain / np.maximum(promised, 1e-300), -1.0, 2.0)
        damping[active] = np.where(
            better, damping[active] * np.clip(1 - (2 * ratio - 1) ** 3, 0.1, 2.0), damping[active] * 8.0
        )
        taken = active[better]
        z[taken] = (here + step)[better]
        inside = np.flatnonzero(better)
        for name in ("chi2", "gradient", "hessian"):
            getattr(state, name)[taken] = getattr(trial, name)[inside]
        source = better[part.group]
        moved = np.flatnonzero(np.isin(curves.group, active))[source] if part is not curves else source
        for name in ("contrast", "offset", "chi2_curve"):
            getattr(state, name)[moved] = getattr(trial, name)[source]
        steps[active] += 1
        idle = gain < _QUIET[1] * state.chi2[active] / np.maximum(freedom[active], 1)
        quiet[active] = np.where(better, np.where(idle, quiet[active] + 1, 0), quiet[active])
        done[active] |= small | (damping[active] > 1e12) | (quiet[active] >= _QUIET[0])
    return Fitted(axes.published(z), state.chi2, state.contrast, state.offset, state.chi2_curve, done, steps)


def _step(
    hessian: FloatArray,
    gradient: FloatArray,
    damping: FloatArray,
    z: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Steps (G, F) inside the box and the fall of χ² they promise; coordinates pressed on a bound stay."""
    held = ((z <= lower) & (gradient > 0)) | ((z >= upper) & (gradient < 0))
    diagonal = np.einsum("gii->gi", hessian)
    top = diagonal.max(axis=1, initial=0.0)[:, None]
    floor = 1e-12 * np.where(top > 0, top, 1.0)
    size = np.maximum(diagonal, floor)
    eye = np.eye(z.shape[1])
    damped = hessian + eye * (damping[:, None] * size + floor)[:, :, None]

    def free_step(fixed: NDArray[np.bool_], right: FloatArray) -> FloatArray:
        matrix = np.where(fixed[:, :, None] | fixed[:, None, :], eye * size[:, :, None], damped)
        return _solved(matrix, np.where(fixed, 0.0, right))

    step: FloatArray = free_step(held, -gradient)
    clipped = np.clip(z + step, lower, upper) - z
    met = clipped != step
    if met.any():  # what meets a bound stays there, and the others go where that leaves them
        clipped = np.where(met, clipped, 0.0)
        rest = free_step(held | met, -gradient - np.einsum("gij,gj->gi", hessian, clipped))
        step = np.clip(z + np.where(met, clipped, rest), lower, upper) - z
    promised = -2 * np.einsum("gi,gi->g", gradient, step) - np.einsum("gi,gij,gj->g", step, hessian, step)
    return step, promised


def _solved(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """Solutions of many small systems."""
    if right.shape[1] == 1:
        return right / matrix[:, 0, :]
    if right.shape[1] == 2:
        a, b, d = matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 1]
        det = a * d - b * b
        return (
            np.stack([d * right[:, 0] - b * right[:, 1], a * right[:, 1] - b * right[:, 0]], axis=1)
            / det[:, None]
        )
    return np.asarray(np.linalg.solve(matrix, right[:, :, None])[:, :, 0], float)
