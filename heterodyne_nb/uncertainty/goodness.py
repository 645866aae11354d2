"""Whether a fit describes its data, by two tests whose scale is not set by the misfit.

*Shape of the curves*: cosines, and single steps, are added to every curve and estimated in one step. Their errors are those of the fit's
own parameters (pixels that share frames are correlated), taken at the residuals that are left after the step: a real
misfit therefore does not hide itself by widening its own error.

*Size of the residuals*: what speckle of the fitted model leaves over is known. Fields of it are simulated, correlated
and fitted in one step like the data. Judged is the mean square of the residuals over the typical square of the second
differences along the diagonals of the map: the number of pixels then does not count, nor does a signal that depends on
the lag alone, fringes included. Noise of photons only makes the ratio smaller.

Both run on at most ``FRAMES`` frames, evenly spaced: the model is exact at any times.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student
from threadpoolctl import threadpool_limits

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.config.parameters import build_table
from heterodyne_nb.engine import Objective, Problem, Tiles
from heterodyne_nb.engine.cells import CellProblem
from heterodyne_nb.engine.normal import normal_equations
from heterodyne_nb.engine.products import products_at
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import SeparableModel
from heterodyne_nb.models.free_form import FreeFormModel, Step, waves
from heterodyne_nb.progress import StopToken
from heterodyne_nb.simulate.components import Axes, components
from heterodyne_nb.simulate.fields import mode_weights
from heterodyne_nb.uncertainty.covariance import (
    ERROR_CLUSTERS,
    LEAST_DYADIC,
    degrees_of_freedom,
    dyadic_parts,
    pseudo_inverse,
)

#: Frames that the tests look at.
FRAMES = 150
#: Cosines added to each curve.
WAVES = 6
#: Steps tried in each curve, and the share of the run at either end without one: a cluster of frames, for nothing tells
#: the noise of what a single one holds.
STEPS, STEP_ENDS = 8, 1.0 / ERROR_CLUSTERS
#: Simulated bins in all, and pixels of each.
_SIMULATED, _PIXELS = 64, 100
#: Runs that are simulated first; no more where they all leave over more than the data do.
_FIRST = 3
#: Least contrast that is simulated: a mode more for each share of it.
_LEAST_CONTRAST = 0.15


@dataclass(frozen=True)
class Goodness:
    """What the two tests found."""

    #: (float, float, float): Chance of a bend as large in each curve, where it is largest (s), and its size there,
    #: in the curve's unit. Empty for a model without curves that can be bent.
    curves: dict[str, tuple[float, float, float]]
    #: (B,): Mean square residual of each bin over that expected of speckle; 1 for a right model, less with photon
    #: noise.
    ratio: FloatArray
    #: chance, bin_chance (B,): Chance of so large a ratio, over all bins and of each; NaN where nothing could be
    #: simulated.
    chance: float
    bin_chance: FloatArray


def goodness(
    objective: Objective, theta: FloatArray, *, seed: int = 0, stop: StopToken | None = None
) -> Goodness:
    """Test a fit of two-time maps at its optimum.

    ``theta`` (p,): The optimum, published. ``seed``: Of the simulated speckle. ``stop``: Once it asks, nothing more is simulated.
    """
    problem = objective.problem
    if isinstance(problem, CellProblem):  # no simulated speckle has such cells
        unknown = np.full(problem.n_bins, np.nan)
        return Goodness(_bends(objective, theta), unknown, float("nan"), unknown)
    stride = -(-len(problem.t) // FRAMES)
    thin = problem.every(stride)
    short = Objective(thin, contrast=objective.contrast)
    bends = _bends(short, theta)
    if stop is not None and stop.reason is not None:
        unknown = np.full(problem.n_bins, np.nan)
        return Goodness(bends, unknown, float("nan"), unknown)
    return Goodness(bends, *_residuals(short, theta, seed))


def _bends(objective: Objective, theta: FloatArray) -> dict[str, tuple[float, float, float]]:
    """Chance, place and size of the best determined bend of every curve."""
    problem = objective.problem
    base = problem.model
    curves = base.curves(theta, problem.t)
    if not isinstance(base, SeparableModel):
        return {}
    model = FreeFormModel(base, theta, problem.t, waves(problem.t, WAVES))
    if not model.shapes:
        return {}
    free = Objective(with_model(problem, model), contrast=objective.contrast)
    point = np.concatenate([theta, np.zeros(len(model.shapes))])
    sums = Tiles.at(free, point, ERROR_CLUSTERS)
    n, added = free.coordinates.size, len(model.shapes)
    place = np.arange(n - added, n)
    matrix = sums.joint_matrix.copy()
    matrix[place, place] += free.coordinates.scale[place] ** 2  # a bend as large as the curve is far
    z, (lower, upper) = free.to_internal(point), free.internal_bounds(point)
    held = np.flatnonzero((z - lower < 1e-6) | (upper - z < 1e-6))
    moves = np.setdiff1d(np.arange(len(matrix)), held)
    inverse = np.zeros_like(matrix)
    inverse[np.ix_(moves, moves)] = pseudo_inverse(matrix[np.ix_(moves, moves)])
    step = -inverse @ sums.joint_scores.sum(axis=(0, 1))
    total, shares = dyadic_parts(sums, inverse, step)
    noise, shares = total[np.ix_(place, place)], shares[:, :, place[:, None], place]
    naive = inverse[np.ix_(place, place)]
    unit = objective.reduced(objective.equations(theta, derivatives=False).chi2)
    found = {}
    for name in dict(model.shapes):
        own = np.array([i for i, (curve, _) in enumerate(model.shapes) if curve == name])
        part = np.ix_(own, own)
        _, turn = np.linalg.eigh(naive[part])
        size_of = turn.T @ step[place][own]
        least = LEAST_DYADIC * unit * np.einsum("ij,ik,kj->j", turn, naive[part], turn)
        variance = np.maximum(np.einsum("ij,ik,kj->j", turn, noise[part], turn), least)
        tiled = shares[:, :, own[:, None], own]
        freedom = np.maximum(degrees_of_freedom(np.einsum("ij,btik,kj->btj", turn, tiled, turn)), 1.0)
        known = variance > 0
        ratio = np.divide(np.abs(size_of), np.sqrt(variance), out=np.zeros_like(size_of), where=known)
        chances = 2 * student.sf(ratio, freedom)
        k = int(np.argmin(chances))
        bend = np.zeros(len(point) - len(theta))
        bend[own] = turn[:, k] * size_of[k] * free.coordinates.scale[place][own]
        shape = model.curves(np.concatenate([theta, bend]), problem.t)[name] - curves[name]
        at = int(np.argmax(np.abs(shape)))
        found[name] = (min(1.0, float(chances[k]) * added), float(problem.t[at]), float(shape[at]))
    jumps = _jumps(objective, theta, unit)
    return {name: min(one, jumps.get(name, one)) for name, one in found.items()}


def _jumps(objective: Objective, theta: FloatArray, unit: float) -> dict[str, tuple[float, float, float]]:
    """Chance, place and size of the step that each curve asks for most: cosines follow one badly.

    ``unit``: Variance of the residuals in units of sigma.
    """
    problem = objective.problem
    times = np.quantile(problem.t, np.linspace(STEP_ENDS, 1.0 - STEP_ENDS, STEPS))
    model = FreeFormModel(problem.model, theta, problem.t, [Step(float(at)) for at in times])
    free = Objective(with_model(problem, model), contrast=objective.contrast)
    point = np.concatenate([theta, np.zeros(len(model.shapes))])
    sums = Tiles.at(free, point, ERROR_CLUSTERS)
    n, added, matrix = free.coordinates.size, len(model.shapes), sums.joint_matrix
    z, (lower, upper) = free.to_internal(point), free.internal_bounds(point)
    held = np.flatnonzero((z - lower < 1e-6) | (upper - z < 1e-6))
    place, score = np.arange(n - added, n), sums.joint_scores.sum(axis=(0, 1))

    def alone(k: int) -> FloatArray:
        """Inverse of the matrix with the k-th step only."""
        moves = np.setdiff1d(np.arange(len(matrix)), [*held, *np.delete(place, k)])
        inverse = np.zeros_like(matrix)
        inverse[np.ix_(moves, moves)] = pseudo_inverse(matrix[np.ix_(moves, moves)])
        return inverse

    found = {}
    for name in dict(model.shapes):
        own = [k for k, (curve, _) in enumerate(model.shapes) if curve == name]
        tried = [(k, alone(k)) for k in own]
        gains = [
            (inverse[place[k]] @ score) ** 2 / max(inverse[place[k], place[k]], 1e-300)
            for k, inverse in tried
        ]
        k, inverse = tried[int(np.argmax(gains))]
        at, step = place[k], -inverse @ score
        total, shares = dyadic_parts(sums, inverse, step)
        variance = max(float(total[at, at]), LEAST_DYADIC * unit * float(inverse[at, at]))
        if variance <= 0:
            continue
        freedom = max(float(degrees_of_freedom(shares[:, :, [at], [at]])[0]), 1.0)
        chance = 2 * float(student.sf(abs(step[at]) / np.sqrt(variance), freedom))
        size = float(step[at] * free.coordinates.scale[at] * model.sizes[k])
        form = model.shapes[k][1]
        assert isinstance(form, Step)
        found[name] = (min(1.0, 2 * added * chance), float(form.at), size)  # 2: cosines were tried as well
    return found


def with_model(problem: Problem, model: Any) -> Problem:
    """The problem with further parameters, free and without priors."""
    old = problem.table
    more = build_table(model.name, model.parameters[len(old) :], {}, [])
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(old, name), getattr(more, name)])
        for name in ("values", "lower", "upper", "vary", "given")
    }
    joined |= {name: getattr(old, name) + getattr(more, name) for name in ("names", "tie", "prior", "units")}
    return replace(problem, model=model, table=replace(old, **joined), layouts={})


def _residuals(objective: Objective, theta: FloatArray, seed: int) -> tuple[FloatArray, float, FloatArray]:
    """Ratio of every bin's residuals to those of simulated speckle, and the chances of such ratios."""
    problem, bins = objective.problem, objective.problem.n_bins
    local = objective.equations(theta, derivatives=False)
    contrast = np.clip(local.contrast, _LEAST_CONTRAST, 1.0)
    unknown = np.full(bins, np.nan)
    maps = _model_maps(problem, theta)
    try:
        fields = _field_correlations(problem, theta, maps)
    except ConfigurationError:  # no fields have such parameters
        return unknown, float("nan"), unknown
    level = local.contrast[:, None, None] * maps + local.offset[:, None, None]
    measured = np.log(_over(problem, objective, theta, problem.data, problem.data - level))
    signal = contrast[:, None, None] * maps

    def simulated_logs(runs: int, part: int) -> FloatArray:
        noise = _speckle_noise(fields, maps, contrast, runs, [seed, part])
        data = ((1.0 + signal + one).astype(np.float32) for one in noise)
        return np.log(
            [_over(problem, objective, theta, c2, one) for c2, one in zip(data, noise, strict=True)]
        )

    simulated, runs = simulated_logs(_FIRST, 0), max(_FIRST, -(-_SIMULATED // bins))
    if runs > _FIRST and not np.all(measured < simulated.min(axis=0)):
        simulated = np.concatenate([simulated, simulated_logs(runs - _FIRST, 1)])
    runs = len(simulated)
    excess = measured - simulated.mean(axis=0)
    spread = np.sqrt(np.mean(np.var(simulated, axis=0, ddof=1)))
    error, freedom = spread * np.sqrt(1.0 + 1.0 / runs), bins * (runs - 1)
    chance = float(student.sf(excess.mean() / error * np.sqrt(bins), freedom))
    each = np.minimum(1.0, bins * student.sf(excess / error, freedom))
    return np.exp(excess), chance, each


def _model_maps(problem: Problem, theta: FloatArray) -> FloatArray:
    """M of every bin, (B, N, N)."""
    t = problem.t
    extra = {} if problem.gap is None else {"gap": problem.gap}
    return np.stack(
        [
            np.asarray(problem.model.correlation(theta, t[None, :], t[:, None], q=q, phi=phi, **extra), float)
            for q, phi in zip(problem.q, problem.phi, strict=True)
        ]
    )


def _speckle_noise(
    fields: list[Any], maps: FloatArray, contrast: FloatArray, runs: int, seed: list[int]
) -> FloatArray:
    """What c2 of simulated speckle scatters about its mean, (runs, B, N, N); ``fields`` are correlations (N, N)."""
    out = np.empty((runs, *maps.shape))
    shape = maps.shape[1], runs * _PIXELS
    with threadpool_limits(limits=1, user_api="blas"):  # matrices this small only make threads wait
        modes = [np.linalg.eigh(field) for field in fields]
    for b, (values, vectors) in enumerate(modes):
        root = (vectors * np.sqrt(np.maximum(values, 0.0))).astype(np.complex64)
        rng = np.random.default_rng([*seed, b])
        intensity, white = np.zeros(shape, np.float32), np.empty(shape, np.complex64)
        for weight in mode_weights(float(contrast[b])):
            rng.standard_normal(out=white.view(np.float32), dtype=np.float32)
            amplitude = (root @ white).view(np.float32)
            np.square(amplitude, out=amplitude)
            intensity += np.float32(0.5 * weight) * (amplitude[:, ::2] + amplitude[:, 1::2])
        each = np.moveaxis(intensity.reshape(len(root), runs, _PIXELS), 1, 0)
        relative = each / each.mean(axis=2, keepdims=True)
        out[:, b] = relative @ np.swapaxes(relative, 1, 2) / _PIXELS - 1.0 - contrast[b] * maps[b]
    return out


def _field_correlations(problem: Problem, theta: FloatArray, maps: FloatArray) -> list[Any]:
    """Correlation of the field (N, N) of every bin, of unit variance; its square modulus is M."""
    t = problem.t
    axes = Axes(problem.q, problem.phi, t, float(t[1] - t[0]))
    parts = components(problem.model.name, theta, axes, problem.gap)
    power = np.sqrt(np.sum([part.amplitude**2 for part in parts], axis=0))
    fields = []
    for q, phi in zip(problem.q, problem.phi, strict=True):
        total = np.zeros((len(t), len(t)), complex)
        for part in parts:
            spread = np.concatenate([[0.0], np.cumsum(part.spread)])
            phase = q * np.cos(np.radians(part.direction - phi)) * part.displacement
            wave = part.amplitude / power * np.exp(1j * phase)
            total += np.outer(wave, wave.conj()) * np.exp(-0.5 * q**2 * np.abs(spread[:, None] - spread))
        fields.append(total)
    return fields


def _over(
    problem: Problem, objective: Objective, theta: FloatArray, data: NDArray[np.float32], residual: FloatArray
) -> FloatArray:
    """Mean square of each bin's residuals after one more step over the noise of its map, (B,)."""
    b, late, early = problem.holes.T
    data, residual = data.copy(), residual.copy()
    data[b, late, early] = 0.0  # as the products expect of a pixel that is not measured
    residual[b, late, early] = residual[b, early, late] = np.nan
    own = replace(problem, data=data, sigma=np.ones(problem.n_bins))
    products = products_at(own, theta, objective.moving)
    weighted = products / problem.sigma[:, None, None] ** 2
    local = normal_equations(weighted, objective.linear)
    jacobian = objective.coordinates.jacobian(theta)[objective.moving]
    hessian = jacobian.T @ local.hessian @ jacobian
    step = -pseudo_inverse(hessian) @ (jacobian.T @ local.gradient) if hessian.size else np.zeros(0)
    left = []
    for b, one in enumerate(products):
        inner = np.concatenate([local.contrast[b] * (jacobian @ step), [0.0, 0.0, -1.0]])
        linear = slice(len(inner) - 3, len(inner) - 1)
        against = one[linear] @ inner
        fit = np.linalg.lstsq(one[linear, linear], -against, rcond=None)[0]
        inner[linear] = fit
        left.append(inner @ one @ inner / own.count[b])
    return np.asarray(left) / _differences(problem, residual)


def _differences(problem: Problem, residual: FloatArray) -> FloatArray:
    """Typical square of the second differences along the diagonals of each bin's map, on used frames, (B,)."""
    late, early = np.tril_indices(len(problem.t) - 2, -1)
    use = (problem.mask[:, 2:] * problem.mask[:, 1:-1] * problem.mask[:, :-2]) > 0
    out = []
    for b, r in enumerate(residual):
        second = (r[2:, 2:] - 2.0 * r[1:-1, 1:-1] + r[:-2, :-2])[late, early]
        good = use[b, late] & use[b, early] & np.isfinite(second)
        out.append(np.median(second[good] ** 2) if good.any() else np.nan)
    return np.asarray(out)
