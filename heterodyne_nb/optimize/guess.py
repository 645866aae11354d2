"""Start values from the data: physically scaled samples around what the fringes and decays show."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine import Objective, Problem
from heterodyne_nb.errors import FitWarning, warn
from heterodyne_nb.models.coordinates import Block
from heterodyne_nb.optimize.fringe_search import FlowCandidate, flow_candidates
from heterodyne_nb.optimize.side_by_side import side_by_side

FloatArray = NDArray[np.float64]
#: Phase per frame (of pi) above which the same fringes may come from the other side of Nyquist.
FEW_FRAMES = 0.5


class StartSampler:
    """Draws published start vectors for a problem.

    Transport coefficients are log-uniform over what the frames can resolve (a decay between one frame and the
    whole run), velocities and directions come from :func:`flow_candidates`, fractions are spread over (0, 1).
    Values the user stated are kept as long as ``keep_given`` is true.

    Parameters
    ----------
    problem : Problem
    objective : Objective
        Whose coordinates make every sample feasible.
    rng : numpy.random.Generator
    """

    def __init__(self, problem: Problem, objective: Objective, rng: np.random.Generator) -> None:
        self.problem, self.objective, self.rng = problem, objective, rng
        self.names = list(problem.table.names)
        self.keep_given = not np.all(problem.table.given[objective.free])
        self.middle = float(np.sqrt(problem.t[0] * problem.t[-1]))
        has_flow = any(b.kind == "power" for b in problem.model.blocks) and not problem.model.needs_gap
        self.flows: list[FlowCandidate] = flow_candidates(problem) if has_flow else []

    def sample(self) -> FloatArray:
        """One feasible published vector (p,)."""
        table = self.problem.table
        theta = np.array(table.values, float)
        transports = [b for b in self.problem.model.blocks if b.kind == "transport"]
        levels = np.sort(self._levels(len(transports)))
        for block, level in zip(transports, levels, strict=True):
            self._transport(theta, block, level)
        flows = [b for b in self.problem.model.blocks if b.kind == "power"]
        for k, block in enumerate(flows):
            self._flow(theta, block, k)
        for block in self.problem.model.blocks:
            if block.kind == "fraction":
                self._fraction(theta, block, len(transports))
        if self.keep_given:
            theta[table.given] = table.values[table.given]
        theta[~table.vary] = table.values[~table.vary]
        coordinates = self.objective.coordinates
        return coordinates.from_internal(coordinates.to_internal(np.clip(theta, table.lower, table.upper)))

    def mixed(self, base: FloatArray) -> FloatArray:
        """A vector like ``base`` with one or two of its curves drawn anew."""
        theta, drawn = np.array(base), self.sample()
        blocks = self.problem.model.blocks
        chosen = self.rng.permutation(len(blocks))[: self.rng.integers(1, 3)]
        for k in chosen:
            indices = list(blocks[k].indices)
            if blocks[k].kind == "power":
                indices += [n for n, name in enumerate(self.names) if name.startswith("phi0")]
            theta[indices] = drawn[indices]
        coordinates = self.objective.coordinates
        return coordinates.from_internal(coordinates.to_internal(theta))

    def _levels(self, count: int) -> FloatArray:
        span, step = self.problem.t[-1] - self.problem.t[0], float(np.median(np.diff(self.problem.t)))
        low, high = 0.02 / (self.problem.q.max() ** 2 * span), 2.0 / (self.problem.q.min() ** 2 * step)
        return np.exp(self.rng.uniform(np.log(low), np.log(high), count))

    def _transport(self, theta: FloatArray, block: Block, level: float) -> None:
        i, j, k = block.indices
        exponent = float(np.clip(self.rng.normal(0.0, 0.5), -1.5, 1.5))
        share = self.rng.choice([1.0, 0.5])
        theta[i], theta[j] = share * level * self.middle**-exponent, exponent
        theta[k] = (1.0 - share) * level

    def _flow(self, theta: FloatArray, block: Block, which: int) -> None:
        i, j, k = block.indices
        if self.problem.model.needs_gap:
            self._shear(theta, block)
            return
        if self.flows and self.rng.random() < 0.5:
            flow = self.flows[
                min(self.rng.integers(0, len(self.flows)), self.rng.integers(0, len(self.flows)))
            ]
            speed, exponent = flow.speed * np.exp(self.rng.normal(0.0, 0.04)), flow.exponent
            phi0, when = flow.phi0 + self.rng.normal(0.0, 3.0), flow.time
        else:
            speed, exponent, when = self._any_speed(), float(self.rng.normal(0.0, 0.3)), self.middle
            phi0 = self.rng.uniform(-90.0, 90.0)
        if which > 0 and self.rng.random() < 0.5:
            speed = -speed
        theta[i], theta[j], theta[k] = speed * when**-exponent, exponent, 0.0
        direction = [n for n, name in enumerate(self.names) if name.startswith("phi0")]
        theta[direction[min(which, len(direction) - 1)]] = phi0

    def _any_speed(self) -> float:
        span, step = self.problem.t[-1] - self.problem.t[0], float(np.median(np.diff(self.problem.t)))
        q = self.problem.q.max()
        return float(np.exp(self.rng.uniform(np.log(0.3 / (q * span)), np.log(np.pi / (q * step)))))

    def _shear(self, theta: FloatArray, block: Block) -> None:
        assert self.problem.gap is not None
        i, j, k = block.indices
        rate = 2.0 * self._any_speed() / self.problem.gap
        exponent = float(np.clip(self.rng.normal(0.0, 0.4), -1.5, 1.5))
        theta[i], theta[j], theta[k] = rate * self.middle**-exponent, exponent, 0.0
        theta[self.names.index("phi0")] = self.rng.uniform(-90.0, 90.0)

    def _fraction(self, theta: FloatArray, block: Block, components: int) -> None:
        i, j, k = block.indices
        first, last = np.clip(self.rng.uniform(0.1, 1.8 / components, 2), 0.05, 0.95)
        span = self.problem.t[-1] - self.problem.t[0]
        rate = self.rng.choice([-1.0, 1.0]) * np.exp(self.rng.uniform(np.log(0.3), np.log(6.0))) / span
        shift = 0.0 if block.shift is None else theta[block.shift]
        early = np.exp(np.clip(rate * (self.problem.t[0] - shift), -50, 50))
        late = np.exp(np.clip(rate * (self.problem.t[-1] - shift), -50, 50))
        amplitude = (last - first) / (late - early)
        theta[i], theta[j], theta[k] = amplitude, rate, first - amplitude * early


def screened_starts(
    sampler: StartSampler, coarse: Objective, count: int, samples: int, bases: list[FloatArray] | None = None
) -> list[FloatArray]:
    """The best start vectors of many samples, ranked by the χ² of a coarse problem, kept apart.

    Parameters
    ----------
    sampler : StartSampler
    coarse : Objective
        The problem with fewer frames, where the samples are compared.
    count, samples : int
        How many to return, out of how many.
    bases : list of (p,), optional
        Answers found so far; half of the samples are then variations of them.
    """
    points = [sampler.sample() for _ in range(samples if not bases else samples // 2)]
    for k in range(samples - len(points)):
        points.append(sampler.mixed(bases[k % len(bases)]))  # type: ignore[index, arg-type]
    shares = [points[k::4] for k in range(4)]
    values = np.empty(samples)
    for k, part in enumerate(side_by_side([partial(_values, coarse, share) for share in shares])):
        values[k::4] = part
    chosen: list[FloatArray] = []
    internal: list[FloatArray] = [coarse.to_internal(base) for base in bases or []]
    for index in np.argsort(values):
        z = coarse.to_internal(points[index])
        if np.isfinite(values[index]) and all(np.max(np.abs(z - other)) > 0.15 for other in internal):
            chosen.append(points[index])
            internal.append(z)
        if len(chosen) == count:
            break
    return chosen


def _values(objective: Objective, points: list[FloatArray]) -> list[float]:
    return [objective(point) for point in points]


def initial_guess(objective: Objective, *, samples: int = 600, seed: int = 0) -> dict[str, float]:
    """Start values from the data alone.

    Parameters
    ----------
    objective : Objective
    samples : int
        Number of samples compared.
    seed : int

    Returns
    -------
    dict
        Published name -> value; what the user stated is kept.
    """
    problem = objective.problem
    coarse = Objective(problem.every(max(1, len(problem.t) // 100)), contrast=objective.contrast)
    sampler = StartSampler(problem, coarse, np.random.default_rng(seed))
    best = screened_starts(sampler, coarse, 1, samples)
    return dict(zip(objective.parameter_names, (float(v) for v in best[0]), strict=True))


def warn_if_aliased(problem: Problem, theta: FloatArray) -> list[str]:
    """Warn for every moving component whose fringes advance too far per frame to count them for sure.

    Beyond half a fringe (Nyquist) always; from a quarter on where all bins see the same frequency, so that the same
    frames fit the alias exactly as well.
    """
    step = float(np.median(np.diff(problem.t)))
    notes = []
    for name, curve in problem.model.curves(theta, problem.t).items():
        if not name.startswith("v"):
            continue
        directions = [v for n, v in zip(problem.table.names, theta, strict=True) if n.startswith("phi0")]
        rates = [problem.q * np.abs(np.cos(np.radians(d - problem.phi))) for d in directions]
        fastest = max(rates, key=np.max)
        speed = float(np.max(np.abs(curve)))
        phase = float(np.max(fastest)) * speed * step
        told = f"{name}: fringes advance {phase / np.pi:.2g} pi per frame"
        if phase > np.pi:
            notes.append(
                f"{told}, beyond Nyquist; the velocity may be aliased (a shorter frame time or a smaller q would tell)"
            )
        elif phase > FEW_FRAMES * np.pi and np.ptp(fastest) < 1e-3 * np.max(fastest):
            alias = (2.0 * np.pi / phase - 1.0) * speed
            notes.append(
                f"{told}, in all bins alike: {alias:.3g} instead of {speed:.3g} Å/s would look the same "
                "(a shorter frame time, another q or another angle would tell)"
            )
    for note in notes:
        warn(note, FitWarning)
    return notes
