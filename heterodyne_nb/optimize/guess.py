"""Start values from the data: physically scaled samples around what the fringes and decays show."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.config import ParameterTable
from heterodyne_nb.engine import Objective, Problem
from heterodyne_nb.errors import FitWarning, warn
from heterodyne_nb.models.curves import FLOWS, Curve
from heterodyne_nb.optimize.fringe_search import FlowCandidate, flow_candidates
from heterodyne_nb.optimize.side_by_side import side_by_side

FloatArray = NDArray[np.float64]
#: Phase per frame (of pi) above which the same fringes may come from the other side of Nyquist.
FEW_FRAMES = 0.5


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

    Parameters
    ----------
    model, table
        Of the fit.
    q : (B,)
        1/Å.
    shortest, longest : float
        Times (s) that the data resolve.

    Returns
    -------
    dict of int to (float, float)
        Place of a parameter that varies -> least and largest start value.
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


class StartSampler:
    """Draws published start vectors for a problem.

    Transport coefficients are log-uniform over what the frames can resolve (a decay between one frame and the
    whole run), velocities and directions come from :func:`flow_candidates`, fractions are spread over (0, 1), and
    what the model says no more of has its default or lies anywhere inside its bounds.
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
        self.span, self.step = problem.t[-1] - problem.t[0], float(np.median(np.diff(problem.t)))
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
        levels = np.sort(self._levels(len(self.transports)))
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

    def _levels(self, count: int) -> FloatArray:
        low, high = (
            0.02 / (self.problem.q.max() ** 2 * self.span),
            2.0 / (self.problem.q.min() ** 2 * self.step),
        )
        return np.exp(self.rng.uniform(np.log(low), np.log(high), count))

    def _transport(self, theta: FloatArray, curve: Curve, level: float) -> None:
        i, j, k = curve.indices
        exponent = float(np.clip(self.rng.normal(0.0, 0.5), -1.5, 1.5))
        share = self.rng.choice([1.0, 0.5])
        theta[i], theta[j] = share * level * self.middle**-exponent, exponent
        theta[k] = (1.0 - share) * level

    def _flow(self, theta: FloatArray, curve: Curve, which: int) -> None:
        i, j, k = curve.indices
        if curve.role == "shear_rate":
            self._shear(theta, curve)
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
        if curve.direction is not None:
            theta[curve.direction] = phi0

    def _any_speed(self) -> float:
        q = self.problem.q.max()
        return float(np.exp(self.rng.uniform(np.log(0.3 / (q * self.span)), np.log(np.pi / (q * self.step)))))

    def _shear(self, theta: FloatArray, curve: Curve) -> None:
        assert self.problem.gap is not None
        i, j, k = curve.indices
        rate = 2.0 * self._any_speed() / self.problem.gap
        exponent = float(np.clip(self.rng.normal(0.0, 0.4), -1.5, 1.5))
        theta[i], theta[j], theta[k] = rate * self.middle**-exponent, exponent, 0.0
        if curve.direction is not None:
            theta[curve.direction] = self.rng.uniform(-90.0, 90.0)

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
