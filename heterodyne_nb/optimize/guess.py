"""Start values from the data: physically scaled samples around what the fringes and decays show.

A cut of a heterodyne map along the lag is a smooth decay plus exp(-mu tau) cos(omega tau), with
omega = q |cos(phi0 - phi)| v. The smooth part is projected out, the fit improvement of a damped cosine is scanned
over omega for every bin and age window, and the improvements are added up over bins for every (v, phi0).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.config import ParameterTable
from heterodyne_nb.engine import Objective, Problem
from heterodyne_nb.engine.executors import side_by_side
from heterodyne_nb.errors import FitWarning, warn
from heterodyne_nb.models.curves import FLOWS, Curve

#: Phase per frame (of pi) above which the same fringes may come from the other side of Nyquist.
FEW_FRAMES = 0.5
_WINDOWS = 3
_MAX_LAGS = 300


def searched_curves(model: Any) -> tuple[Curve, ...]:
    """The curves of a model that a search knows how to draw and to change."""
    forms = {
        "transport": "power_law",
        "velocity": "power_law",
        "shear_rate": "power_law",
        "fraction": "exponential",
    }
    return tuple(curve for curve in model.fitted_curves if curve.form == forms.get(curve.role))


def start_ranges(
    model: Any, table: ParameterTable, q: FloatArray, shortest: float, longest: float
) -> dict[int, tuple[float, float]]:
    """Where each parameter may be at the start: inside its bounds and, where the model says more, what data can show.

    ``model``, ``table``: Of the fit. ``q`` (B,): 1/Å. ``shortest``, ``longest``: Times (s) that the data resolve.
    Returns: Place of a parameter that varies -> least and largest start value.
    """
    largest = max(float(q.max()), 1e-12)
    said = dict.fromkeys(model.directions, (-90.0, 90.0))
    for curve in model.curve_specs:
        span = curve.start_range(largest, shortest, longest)
        if span is not None:
            said[curve.parameters[0]] = span
    ranges = {}
    for i in np.flatnonzero(table.vary).tolist():
        lower, upper = float(table.lower[i]), float(table.upper[i])
        low, high = said.get(i, (lower, upper))
        low, high = max(low, lower), min(high, upper)
        ranges[i] = (low, high) if low < high else (lower, upper)
    return ranges


def drawn_between(rng: np.random.Generator, low: float, high: float) -> float:
    """A random number: log-uniform where the range spans decades, uniform elsewhere."""
    if low > 0 and high / low > 30:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return float(rng.uniform(low, high))


@dataclass(frozen=True)
class FlowCandidate:
    """A flow that explains fringes: v(t) ~ speed * (t / time)**exponent at azimuth ``phi0`` (degrees).

    ``speed`` is in Å/s at ``time`` (s); ``score`` is the improvement of the cuts in units of their noise.
    """

    speed: float
    time: float
    exponent: float
    phi0: float
    score: float


def _frame_time(problem: Problem) -> float:
    return float(np.median(np.diff(problem.t)))


def lag_cuts(problem: Problem, windows: int = _WINDOWS) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean of each map along the lag inside age windows.

    Returns ``ages`` (W,): Middle of each window in s. Returns ``lags`` (K,): In s. Returns ``cuts`` (W, B, K): NaN
    where no pixel is used.
    """
    n = len(problem.t)
    size = max(n // windows, min(n, 16))
    starts = np.unique(np.linspace(0, n - size, windows).astype(int))
    count = min(size - 1, _MAX_LAGS)
    cuts = np.full((len(starts), problem.n_bins, count), np.nan)
    for w, first in enumerate(starts):
        for b in range(problem.n_bins):
            block = problem.data[b, first : first + size, first : first + size]
            mask = problem.mask[b, first : first + size]
            for k in range(1, count + 1):
                values = np.diagonal(block, -k)
                used = (mask[k:] * mask[:-k] > 0) & (values != 0.0)
                if used.any():
                    cuts[w, b, k - 1] = values[used].mean(dtype=float)
    ages = problem.t[starts + size // 2]
    return np.asarray(ages, float), _frame_time(problem) * np.arange(1.0, count + 1), cuts


def _filled(cuts: FloatArray, lags: FloatArray) -> FloatArray:
    """The cuts with lags that masked frames left empty taken from their neighbours."""
    out = cuts.copy()
    for cut in out.reshape(-1, len(lags)):
        known = np.isfinite(cut)
        cut[~known] = np.interp(lags[~known], lags[known], cut[known])
    return out


def _improvement(cuts: FloatArray, lags: FloatArray, omegas: FloatArray) -> FloatArray:
    """How much a damped cosine of each omega improves a smooth decay: (W, B, len(omegas)), in noise units."""
    span = lags[-1]
    rates = np.concatenate([[0.0], np.geomspace(0.5 / span, 0.5 / lags[0], 6)])
    smooth, _ = np.linalg.qr(np.exp(-rates[None, :] * lags[:, None]))
    rest = cuts - (cuts @ smooth) @ smooth.T
    noise = np.maximum(np.mean(rest**2, axis=2), 1e-30)
    best = np.zeros((*cuts.shape[:2], len(omegas)))
    for rate in rates[:-1]:
        wave = np.cos(omegas[:, None] * lags[None, :]) * np.exp(-rate * lags[None, :])
        wave -= (wave @ smooth) @ smooth.T
        norm = np.sum(wave**2, axis=1)
        good = norm > 1e-3 * len(lags) * np.exp(-2 * rate * lags).mean()
        gain = np.maximum(rest @ wave.T, 0.0) ** 2 / np.maximum(norm, 1e-30) * good
        best = np.maximum(best, gain / noise[:, :, None])
    return best


def flow_candidates(problem: Problem, most: int = 4) -> list[FlowCandidate]:
    """Flows that explain the fringes of all bins together, best first.

    ``most``: How many to return.
    """
    ages, lags, cuts = lag_cuts(problem)
    if cuts.shape[2] < 12:
        return []
    alive = np.all(np.isfinite(cuts).mean(axis=2) > 0.7, axis=0)
    if not alive.any():
        return []
    nyquist = np.pi / lags[0]
    omegas = np.linspace(0.0, nyquist, 2 * len(lags) + 1)
    power = _improvement(_filled(cuts[:, alive], lags), lags, omegas)
    q, phi = problem.q[alive], problem.phi[alive]
    speeds = omegas[1:] / q.max()
    angles = np.arange(-87.5, 90.0, 5.0) if len(np.unique(phi)) > 1 else np.unique(phi)[:1]
    scores = np.empty((len(angles), len(ages), len(speeds)))
    for a, phi0 in enumerate(angles):
        kappa = q * np.abs(np.cos(np.radians(phi0 - phi)))
        place = np.minimum(np.rint(kappa[:, None] * speeds / omegas[1]).astype(int), len(omegas) - 1)
        every = np.broadcast_to(place, (len(ages), *place.shape))
        scores[a] = np.take_along_axis(power, every, 2).sum(axis=1)
    return _pick(scores, angles, ages, speeds, most)


def _pick(
    scores: FloatArray, angles: FloatArray, ages: FloatArray, speeds: FloatArray, most: int
) -> list[FlowCandidate]:
    """Best (direction, speed per age window), told apart by direction and speed."""
    found: list[FlowCandidate] = []
    total = scores.max(axis=2).sum(axis=1)
    for a in np.argsort(-total)[: 3 * most]:
        by_age = speeds[scores[a].argmax(axis=1)]
        weight = scores[a].max(axis=1)
        logs, when = np.log(by_age), np.log(ages)
        slope = float(np.polyfit(when, logs, 1, w=np.sqrt(weight + 1e-12))[0]) if len(ages) > 1 else 0.0
        strongest = int(weight.argmax())
        for exponent in (slope, 0.0):
            candidate = FlowCandidate(
                float(by_age[strongest]), float(ages[strongest]), float(np.clip(exponent, -1.5, 1.5)),
                float(angles[a]), float(total[a]),
            )  # fmt: skip
            if all(_differ(candidate, other) for other in found):
                found.append(candidate)
    return found[:most]


def _differ(one: FlowCandidate, other: FlowCandidate) -> bool:
    turned = abs((one.phi0 - other.phi0 + 90.0) % 180.0 - 90.0)
    return (
        turned > 12.0
        or abs(np.log(one.speed / other.speed)) > 0.08
        or abs(one.exponent - other.exponent) > 0.15
    )


class StartSampler:
    """Draws published start vectors for a problem.

    Transport coefficients are log-uniform over what the frames can resolve (a decay between one frame and the
    whole run), velocities and directions come from :func:`flow_candidates`, fractions are spread over (0, 1), and
    what the model says no more of has its default or lies anywhere inside its bounds.
    Values the user stated are kept as long as ``keep_given`` is true.

    ``objective``: Whose coordinates make every sample feasible.
    """

    def __init__(self, problem: Problem, objective: Objective, rng: np.random.Generator) -> None:
        self.problem, self.objective, self.rng = problem, objective, rng
        self.span, self.step = problem.t[-1] - problem.t[0], _frame_time(problem)
        self.curves = searched_curves(problem.model)
        self.transports = [curve for curve in self.curves if curve.role == "transport"]
        self.ranges = start_ranges(problem.model, problem.table, problem.q, self.step, self.span)
        drawn = {i for curve in self.curves for i in (*curve.parameters, curve.direction)}
        self.ranges = {i: ends for i, ends in self.ranges.items() if i not in drawn}
        self.keep_given = not np.all(problem.table.given[objective.free])
        self.middle = float(np.sqrt(problem.t[0] * problem.t[-1]))
        has_flow = any(curve.role == "velocity" for curve in self.curves)
        self.flows: list[FlowCandidate] = flow_candidates(problem) if has_flow else []

    def sample(self) -> FloatArray:
        """One feasible published vector (p,)."""
        table = self.problem.table
        theta = np.array(table.values, float)
        low = 0.02 / (self.problem.q.max() ** 2 * self.span)
        high = 2.0 / (self.problem.q.min() ** 2 * self.step)
        levels = np.sort(np.exp(self.rng.uniform(np.log(low), np.log(high), len(self.transports))))
        for curve, level in zip(self.transports, levels, strict=True):
            self._transport(theta, curve, level)
        for k, curve in enumerate(curve for curve in self.curves if curve.role in FLOWS):
            self._flow(theta, curve, k)
        for curve in self.curves:
            if curve.role == "fraction":
                self._fraction(theta, curve)
        for i, ends in self.ranges.items():
            if self.rng.random() < 0.5:  # else its default, which whoever wrote the model chose
                theta[i] = drawn_between(self.rng, *ends)
        if self.keep_given:
            theta[table.given] = table.values[table.given]
        theta[~table.vary] = table.values[~table.vary]
        coordinates = self.objective.coordinates
        return coordinates.from_internal(coordinates.to_internal(np.clip(theta, table.lower, table.upper)))

    def mixed(self, base: FloatArray) -> FloatArray:
        """A vector like ``base`` with one or two of its curves drawn anew."""
        theta, drawn = np.array(base), self.sample()
        flow = list(self.problem.model.directions)
        groups = [[*curve.indices, *(flow if curve.role in FLOWS else ())] for curve in self.curves]
        groups += [[i] for i in self.ranges]
        for k in self.rng.permutation(len(groups))[: self.rng.integers(1, 3)]:
            theta[groups[k]] = drawn[groups[k]]
        coordinates = self.objective.coordinates
        return coordinates.from_internal(coordinates.to_internal(theta))

    def _transport(self, theta: FloatArray, curve: Curve, level: float) -> None:
        i, j, k = curve.indices
        exponent = float(np.clip(self.rng.normal(0.0, 0.5), -1.5, 1.5))
        share = self.rng.choice([1.0, 0.5])
        theta[i], theta[j] = share * level * self.middle**-exponent, exponent
        theta[k] = (1.0 - share) * level

    def _flow(self, theta: FloatArray, curve: Curve, which: int) -> None:
        i, j, k = curve.indices
        directed, shear = curve.direction is not None, curve.role == "shear_rate"
        when = self.middle
        if shear:
            assert self.problem.gap is not None
            speed = 2.0 * self._any_speed() / self.problem.gap
            exponent = float(np.clip(self.rng.normal(0.0, 0.4), -1.5, 1.5))
            phi0 = self.rng.uniform(-90.0, 90.0) if directed else 0.0
        elif self.flows and self.rng.random() < 0.5:
            flow = self.flows[min(int(self.rng.integers(0, len(self.flows))) for _ in range(2))]
            speed, exponent = flow.speed * np.exp(self.rng.normal(0.0, 0.04)), flow.exponent
            phi0, when = flow.phi0 + self.rng.normal(0.0, 3.0), flow.time
        else:
            speed, exponent = self._any_speed(), float(self.rng.normal(0.0, 0.3))
            phi0 = self.rng.uniform(-90.0, 90.0)
        if which > 0 and not shear and self.rng.random() < 0.5:
            speed = -speed
        theta[i], theta[j], theta[k] = speed * when**-exponent, exponent, 0.0
        if curve.direction is not None:
            theta[curve.direction] = phi0

    def _any_speed(self) -> float:
        q = self.problem.q.max()
        return float(np.exp(self.rng.uniform(np.log(0.3 / (q * self.span)), np.log(np.pi / (q * self.step)))))

    def _fraction(self, theta: FloatArray, curve: Curve) -> None:
        i, j, k = curve.indices
        most = 1.8 / max(len(self.transports), 2)
        first, last = np.clip(self.rng.uniform(0.1, most, 2), 0.05, 0.95)
        rate = self.rng.choice([-1.0, 1.0]) * np.exp(self.rng.uniform(np.log(0.3), np.log(6.0))) / self.span
        shift = 0.0 if curve.shift is None else theta[curve.shift]
        early = np.exp(np.clip(rate * (self.problem.t[0] - shift), -50, 50))
        late = np.exp(np.clip(rate * (self.problem.t[-1] - shift), -50, 50))
        amplitude = (last - first) / (late - early)
        theta[i], theta[j], theta[k] = amplitude, rate, first - amplitude * early


def screened_starts(
    sampler: StartSampler, coarse: Objective, count: int, samples: int, bases: list[FloatArray] | None = None
) -> list[FloatArray]:
    """The best start vectors of many samples, ranked by the χ² of a coarse problem, kept apart.

    ``coarse``: The problem with fewer frames, where the samples are compared. ``count``, ``samples``: How many to
    return, out of how many. ``bases`` (p,): Answers found so far; half of the samples are then variations of them.
    """
    bases = bases or []
    points = [sampler.sample() for _ in range(samples // 2 if bases else samples)]
    points += [sampler.mixed(bases[k % len(bases)]) for k in range(samples - len(points))]
    shares = [points[k::4] for k in range(4)]
    values = np.empty(samples)
    for k, part in enumerate(side_by_side([partial(_values, coarse, share) for share in shares])):
        values[k::4] = part
    chosen: list[FloatArray] = []
    internal: list[FloatArray] = [coarse.to_internal(base) for base in bases]
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
    step = _frame_time(problem)
    model, notes = problem.model, []
    for name, curve in model.curves(theta, problem.t).items():
        rates = [problem.q * np.abs(np.cos(np.radians(theta[i] - problem.phi))) for i in model.directions]
        if model.curve(name).role != "velocity" or not rates:
            continue
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
