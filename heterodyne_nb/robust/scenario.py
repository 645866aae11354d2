"""Scenario fits: the worst, or the mean of the worst, of many block-bootstrap samples of the data.

A sample draws blocks of frames and bins with replacement; a tile (block k1, block k2) of bin b then counts
n_b m_k1 m_k2 times (the pigeonhole bootstrap of dyadic data, Owen 2007). All samples come from one pass over the
pixels. The value of a sample is its mean square residual, its own best contrast and offset taken, times the number
of pixels, so that samples of different size compare. Minimised is

    (1 − radius) χ²(θ) + radius · worst_s χ²_s(θ),

"worst" being the maximum over samples or the mean of the worst fraction (CVaR; Rockafellar & Uryasev 2000), both in
their epigraph form. The share of further samples that could be worse than the reported worst one is bounded by
scenario theory from the number of samples that hold the answer in place (Campi & Garatti, Math. Program. 167 (2018)
155); the bound is that of the linearised program at the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammaln

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine import BLOCKS, NormalEquations, Tiles
from heterodyne_nb.options import ScenarioOptions
from heterodyne_nb.robust.sequential import RobustProblem, RobustStrategy, WorstCase
from heterodyne_nb.robust.solvers import Cap, ConeProgram, Quadratic, SolverChain, below, newton_gain, root

_NONE = np.zeros(0, np.int64)
_DEFAULTS = ScenarioOptions()


def draw_weights(objective: Any, count: int, seed: int) -> FloatArray:
    """How often each tile of each bin counts in each sample, (S, B, T).

    Blocks of frames are drawn for all bins together (a bad frame is bad in all of them), bins among themselves.
    """
    rng = np.random.default_rng(seed)
    problem = objective.problem
    blocks, bins = problem.blocks(BLOCKS), problem.n_bins
    frames = rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=count).astype(float)
    drawn = rng.multinomial(bins, np.full(bins, 1.0 / bins), size=count).astype(float)
    late, early = problem.places(blocks)
    both = frames if len(late) == blocks else frames[:, late] * frames[:, early]
    return np.asarray(drawn[:, :, None] * both[:, None, :])


@dataclass(frozen=True)
class ScenarioModel:
    """Quadratics of the plain χ² and of each sample (values (S,), gradients (S, n), matrices (S, n, n))."""

    plain: Quadratic
    values: FloatArray
    gradients: FloatArray
    hessians: FloatArray
    radius: float
    fraction: float


class ScenarioProgram(ConeProgram):
    """min (1 − ρ) f₀(δ) + ρ [η + mean of excesses] with f_s(δ) ≤ t_s as one stack of cones.

    Samples that cannot matter within the trust region are left out, so that the program keeps its size; it is
    solved again with those that the answer violates.

    ``slots``: Samples in the program at a time.
    """

    def __init__(self, size: int, chain: SolverChain, slots: int) -> None:
        super().__init__(size, chain)
        self.slots = slots
        self.chosen = np.zeros(0, np.int64)

    def base(self, model: ScenarioModel) -> float:
        """The mixed value at the present point."""
        tail = tail_mean(model.values, model.fraction)[0]
        return (1.0 - model.radius) * model.plain.value + model.radius * tail

    def solve(
        self, model: ScenarioModel, lower: FloatArray, upper: FloatArray, cap: Cap | None = None
    ) -> tuple[FloatArray, float]:
        """See :meth:`ConeProgram.solve`."""
        inside = np.argsort(model.values)[::-1][: self.slots]
        while True:
            self.chosen = np.sort(inside)
            step, value = super().solve(model, lower, upper, cap)
            after = sample_values(model, step)
            _, weights = tail_mean(after, model.fraction)
            missing = np.setdiff1d(np.flatnonzero(weights > 0), self.chosen)
            if not missing.size or len(inside) == len(model.values):
                return step, value
            kept = self.chosen[np.argsort(after[self.chosen])[::-1]]
            inside = np.concatenate([missing, kept])[: self.slots]
            if set(inside) == set(self.chosen) or missing.size >= self.slots:
                return step, value

    def _build(self) -> Any:
        import cvxpy as cp

        n, m = self.size, self.slots
        box = self._box()
        t, eta, excess = cp.Variable(m), cp.Variable(), cp.Variable(m, nonneg=True)
        plain = cp.Variable()
        self._plain_root, self._plain_slope = cp.Parameter((n, n)), cp.Parameter(n)
        self._roots, self._slopes = cp.Parameter((m * n, n)), cp.Parameter((m, n))
        self._levels = cp.Parameter(m)
        self._share, self._mixed, self._tail = (cp.Parameter(nonneg=True) for _ in range(3))
        room = t - self._levels - self._slopes @ self.x
        rows = cp.reshape(2.0 * (self._roots @ self.x), (n, m), order="F")
        above = plain - self._plain_slope @ self.x
        cones = [
            cp.SOC(room + 1.0, cp.vstack([rows, cp.reshape(room - 1.0, (1, m), order="F")]), axis=0),
            below(self._plain_root @ self.x, above, 1.0),
            excess >= t - eta,
        ]
        worst = self._mixed * eta + self._tail * cp.sum(excess)
        value = self._share * plain + worst + self.overshoot
        return cp.Problem(cp.Minimize(value), [*box, *cones])

    def _fill(self, model: ScenarioModel, sizes: FloatArray) -> float:
        tail = tail_mean(model.values, model.fraction)[0]
        chosen = self.chosen
        unit = max(1.0, newton_gain(model.plain), 0.1 * float(np.ptp(model.values[chosen])))
        roots = np.concatenate([root(0.5 * model.hessians[s]) for s in chosen])
        self._roots.value = roots * sizes / np.sqrt(unit)
        self._slopes.value = model.gradients[chosen] * sizes / unit
        self._levels.value = (model.values[chosen] - tail) / unit
        self._plain_root.value = root(0.5 * model.plain.hessian) * sizes / np.sqrt(unit)
        self._plain_slope.value = model.plain.gradient * sizes / unit
        self._share.value, self._mixed.value = 1.0 - model.radius, model.radius
        self._tail.value = model.radius / max(model.fraction * len(model.values), 1.0)
        return unit


def sample_values(model: ScenarioModel, step: FloatArray) -> FloatArray:
    """The quadratic model of every sample after a step, (S,)."""
    return np.asarray(
        model.values + model.gradients @ step + 0.5 * np.einsum("i,sij,j->s", step, model.hessians, step)
    )


class ScenarioProblem(RobustProblem):
    """Worst bootstrap sample; see the module.

    ``objective`` (Objective). ``weights`` (S, B, T): See :func:`draw_weights`. ``radius``: In [0, 1]. ``fraction``:
    Of the samples that the tail mean takes; 1/S and less: the worst alone.
    """

    def __init__(self, objective: Any, weights: FloatArray, radius: float, fraction: float) -> None:
        super().__init__(objective)
        self.weights, self.radius, self.fraction = weights, radius, fraction
        self._counts: FloatArray | None = None

    def worst_case(self, theta: FloatArray) -> WorstCase:
        """χ² of every sample by itself, then their maximum or tail mean by sorting."""
        theta = np.asarray(theta, float)
        plain, samples = self._equations(theta, _NONE)
        values = np.array([sample.chi2 for sample in samples])
        tail, weights = tail_mean(values, self.fraction)
        worst = (1.0 - self.radius) * plain.chi2 + self.radius * tail
        return WorstCase(float(worst), plain.chi2, {"samples": values, "tail_weights": weights})

    def linearised(self, theta: FloatArray) -> ScenarioModel:
        """See :meth:`RobustProblem.linearised`."""
        theta = np.asarray(theta, float)
        jacobian = self.objective.coordinates.jacobian(theta)
        plain, samples = self._equations(theta, self.objective.moving)
        moving = jacobian[self.objective.moving]
        parts = [plain.by(jacobian), *(sample.by(moving) for sample in samples)]
        values, gradients, hessians = (
            np.array([getattr(part, name) for part in parts[1:]]) for name in ("chi2", "gradient", "hessian")
        )
        nominal = Quadratic(parts[0].chi2, parts[0].gradient, parts[0].hessian)
        return ScenarioModel(nominal, values, gradients, hessians, self.radius, self.fraction)

    def corrected(self, model: ScenarioModel, step: FloatArray, theta: FloatArray) -> ScenarioModel:
        """See :meth:`RobustProblem.corrected`: every sample's value is that found after the step."""
        found, plain = self.worst_case(theta), model.plain
        missed = found.details["samples"] - sample_values(model, step)
        corrected = replace(plain, value=plain.value + found.nominal - plain.after(step))
        return replace(model, values=model.values + missed, plain=corrected)

    def program(self, chain: SolverChain) -> ScenarioProgram:
        """See :meth:`RobustProblem.program`."""
        tail = int(np.ceil(self.fraction * len(self.weights)))
        return ScenarioProgram(self.objective.coordinates.size, chain, min(len(self.weights), tail + 12))

    def verified(self, theta: FloatArray) -> WorstCase:
        """The inner maximum, with the active samples and the bound on further ones."""
        found = self.worst_case(theta)
        values = found.details["samples"]
        near = 1e-6 * abs(found.value)
        edge = np.min(values[found.details["tail_weights"] > 0])
        active = np.flatnonzero(values >= edge - near)
        details = {
            "active_scenarios": [int(s) for s in active],
            "n_scenarios": len(values),
            "scenario_values": [self.reduced(float(v)) for v in values],
            "violation_bound": violation_bound(len(values), len(active)),
            "words": self._words(values, active, found),
        }
        return WorstCase(found.value, found.nominal, details)

    def _equations(
        self, theta: FloatArray, wanted: NDArray[np.int64]
    ) -> tuple[NormalEquations, list[NormalEquations]]:
        """Normal equations of the plain data by all parameters, and of every sample by the wanted ones."""
        plain = self.objective.equations(theta, derivatives=len(wanted) > 0)
        tiles = Tiles.at(self.objective, theta, BLOCKS, wanted=wanted, local=plain)
        if self._counts is None:  # factor of each sample that makes its number of pixels that of the data
            ones = tiles.products[:, :, -2, -2] * _squared_noise(self.objective)
            self._counts = ones.sum() / np.einsum("sbt,bt->s", self.weights, ones)
        return plain, [
            tiles.equations(weights * count)
            for weights, count in zip(self.weights, self._counts, strict=True)
        ]

    def _words(self, values: FloatArray, active: NDArray[np.int64], found: WorstCase) -> str:
        worst = int(np.argmax(values))
        grown = 100.0 * (values[worst] / max(found.nominal, np.finfo(float).tiny) - 1.0)
        weights = self.weights[worst].sum(axis=0)
        spread = self.weights[worst].sum(axis=1)
        bins = self.objective.problem
        most = int(np.argmax(spread))
        where = f"q = {bins.q[most]:.4g} 1/Å, φ = {bins.phi[most]:.4g}°"
        blocks = bins.blocks(BLOCKS)
        block = bins.block_name(int(bins.places(blocks)[0][int(np.argmax(weights))]), blocks)
        return (
            f"the worst of {len(values)} samples of the data ({len(active)} hold the answer) has a mean square residual "
            f"{grown:.3g} % above that of all data; it counts the bin {where} most, and {block}"
        )


def _squared_noise(objective: Any) -> FloatArray:
    """sigma² of each bin, to turn weighted counts into numbers of pixels; 1 where every datum has its own."""
    sigma = getattr(objective.problem, "sigma", None)
    return np.ones((objective.problem.n_bins, 1)) if sigma is None else sigma[:, None] ** 2


def tail_mean(values: FloatArray, fraction: float) -> tuple[float, FloatArray]:
    """Mean of the worst fraction of equally likely values (CVaR), by sorting.

    ``values`` (S,). ``fraction``: In (0, 1]; at most 1/S picks the largest value alone. Returns ``weights`` (S,):
    What each value counts, summing to 1.
    """
    count = max(fraction * len(values), 1.0)
    order = np.argsort(values)[::-1]
    weights = np.zeros(len(values))
    whole = int(np.floor(count + 1e-12))
    weights[order[:whole]] = 1.0
    if whole < len(values):
        weights[order[whole]] = max(count - whole, 0.0)
    weights /= weights.sum()
    return float(weights @ values), weights


def violation_bound(count: int, support: int, *, confidence: float = 1e-6) -> float:
    """Largest probability, but for a chance ``confidence``, that a new scenario exceeds the worst of those drawn.

    With N scenarios and k support ones the bound is 1 − t, t the root in (0, 1) of

        β/(N+1) Σ_{m=k}^{N} C(m, k) t^{m−k} = C(N, k) t^{N−k}

    (Campi & Garatti, Math. Program. 167 (2018) 155, theorem 2).

    ``count``: N, the number of scenarios. ``support``: k, those without which the answer would change.
    ``confidence``: β, in (0, 1). Returns: 1 when every scenario is needed.
    """
    if support >= count:
        return 1.0
    m = np.arange(support, count + 1)
    choose = gammaln(m + 1) - gammaln(support + 1) - gammaln(m - support + 1)

    def balance(t: float) -> float:
        terms = choose + (m - support) * np.log(t)
        top = terms.max()
        total = top + np.log(np.exp(terms - top).sum())
        return float(np.log(confidence / (count + 1)) + total - terms[-1])

    return float(1.0 - brentq(balance, 1e-12, 1.0 - 1e-12, xtol=1e-14))


@dataclass(kw_only=True, eq=False)
class ScenarioRobust(RobustStrategy):
    """Worst of bootstrap samples of the data; see the module.

    Parameters
    ----------
    radius : float
        In [0, 1]: how much the worst sample counts against the data as they are.
    n_scenarios : int
        Number of samples.
    cvar : float, optional
        Mean of this worst fraction, in (0, 1), instead of the worst alone: softer.
    seed : int
        Of the samples.
    """

    name: ClassVar[str] = "scenario"

    n_scenarios: int = _DEFAULTS.n_scenarios
    cvar: float | None = _DEFAULTS.cvar
    seed: int = _DEFAULTS.seed

    def problem(self, objective: Any, nominal: FloatArray) -> ScenarioProblem:
        """See :meth:`RobustStrategy.problem`."""
        weights = draw_weights(objective, int(self.n_scenarios), self.seed)
        fraction = 1.0 / self.n_scenarios if self.cvar is None else float(self.cvar)
        return ScenarioProblem(objective, weights, float(self.radius), fraction)
