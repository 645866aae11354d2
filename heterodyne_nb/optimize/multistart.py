"""Many starts, coarse to fine: screen, fit the best on fewer frames, finish on all pixels."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from heterodyne_nb.engine import Objective
from heterodyne_nb.models.symmetries import near_twin
from heterodyne_nb.optimize.gauss_newton import GaussNewtonStrategy
from heterodyne_nb.optimize.guess import StartSampler, screened_starts
from heterodyne_nb.optimize.side_by_side import side_by_side
from heterodyne_nb.optimize.strategy import OptimizationStrategy
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken, ignore_progress

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class MultistartSettings:
    """How wide to search.

    Attributes
    ----------
    samples : int
        Start vectors compared by χ².
    starts : int
        How many of them are fitted on the coarse problem.
    rounds : tuple of (int, int)
        How many of the best are fitted on in each round, for at most how many iterations.
    finish : int
        How many distinct coarse optima are fitted on all pixels.
    screen_frames, coarse_frames : int
        Frames of the two coarse problems (all, when the run is shorter).
    agree : float
        Two fits with χ² this close (relative) have found the same optimum.
    batches : int
        Most batches of starts; another one is drawn until the best optimum has been found ``repeats`` times, and
        once more when it fits the data badly (reduced χ² above ``good``).
    repeats : int
    good : float
    seed : int
    """

    samples: int = 800
    starts: int = 16
    rounds: tuple[tuple[int, int], ...] = ((16, 10), (6, 20), (3, 60))
    finish: int = 2
    screen_frames: int = 70
    coarse_frames: int = 120
    agree: float = 1e-5
    batches: int = 3
    repeats: int = 2
    good: float = 1.02
    seed: int = 0


@dataclass(frozen=True)
class Found:
    """An optimum of the coarse problem and how many starts led to it."""

    chi2: float
    point: FloatArray
    times: int = 1


def _distinct(fits: list[Found], agree: float) -> list[Found]:
    """The fits whose χ² differ, best first, those that agree counted together."""
    kept: list[Found] = []
    for fit in sorted(fits, key=lambda fit: fit.chi2):
        if kept and fit.chi2 - kept[-1].chi2 <= agree * kept[-1].chi2:
            kept[-1] = replace(kept[-1], times=kept[-1].times + fit.times)
        else:
            kept.append(fit)
    return kept


@dataclass
class Multistart:
    """Runs a search and remembers its path.

    Attributes
    ----------
    path : list of dict
        One entry a fit: stage, start, χ² reached, iterations, seconds.
    """

    objective: Objective
    strategy: OptimizationStrategy
    settings: MultistartSettings = field(default_factory=MultistartSettings)
    extra_starts: list[FloatArray] = field(default_factory=list)
    on_progress: OnProgress = ignore_progress
    stop: StopToken | None = None
    path: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> OptimizeResult:
        """Search, and return the best fit on all pixels; stopped early, the best so far."""
        found = self._search()
        if self._stopped():  # no time for a fit: of what was found, take what all pixels like best
            found = sorted((replace(f, chi2=self.objective(f.point)) for f in found), key=lambda f: f.chi2)
        best: OptimizeResult | None = None
        strategy = replace(self.strategy, stop=self.stop, on_progress=self.on_progress)
        promising = [fit for fit in found if not fit.chi2 > 1.02 * found[0].chi2]
        for candidate in promising[: self.settings.finish]:
            result, entry = self._one_fit(self.objective, candidate.point, strategy, "all pixels")
            self.path.append(entry)
            if best is None or result.fun < best.fun:
                best = result
            if self._stopped():
                break
        assert best is not None
        return best

    def _search(self) -> list[Found]:
        """Optima of the coarse problem, best first; more batches of starts until the best repeats."""
        start = self.objective.from_internal(self.objective.to_internal(self.objective.x0))
        if self.settings.samples <= 0 or self._stopped() or not self.objective.coordinates.size:
            return [Found(np.inf, point) for point in self.extra_starts or [start]]
        self.on_progress(ProgressEvent("start values", 0.0, message="reading fringes and decays"))
        coarse, screen = self._coarse(self.settings.coarse_frames), self._coarse(self.settings.screen_frames)
        sampler = StartSampler(self.objective.problem, coarse, np.random.default_rng(self.settings.seed))
        starts, found = list(self.extra_starts), list[Found]()
        for batch in range(self.settings.batches):
            bases = [fit.point for fit in found[:2]]
            starts += screened_starts(sampler, screen, self.settings.starts, self.settings.samples, bases)
            starts = starts or [start]  # no sample had a finite χ²
            found = _distinct([*found, *self._coarse_fits(coarse, starts)], self.settings.agree)
            fits_well = coarse.reduced(found[0].chi2) < self.settings.good
            if self._stopped() or (found[0].times >= self.settings.repeats and (fits_well or batch > 0)):
                break
            starts, sampler.keep_given = [], False
        problem = coarse.problem
        twin = near_twin(problem.model, found[0].point, problem.t, problem.table)
        if twin is None or self._stopped():
            return found
        twin = coarse.from_internal(coarse.to_internal(twin))
        return _distinct([*found, *self._coarse_fits(coarse, [twin])], self.settings.agree)

    def _coarse(self, frames: int) -> Objective:
        problem = self.objective.problem
        stride = max(1, round(len(problem.t) / frames))
        if stride == 1:
            return self.objective
        return Objective(problem.every(stride), contrast=self.objective.contrast)

    def _coarse_fits(self, coarse: Objective, points: list[FloatArray]) -> list[Found]:
        """Fit in rounds: many starts for a few iterations, the best of them for more; several at a time."""
        fits = [Found(np.inf, point) for point in points]
        for number, (keep, iterations) in enumerate(self.settings.rounds):
            quick = GaussNewtonStrategy(max_iterations=iterations, ftol=1e-7, stop=self.stop)
            kept = fits[:keep]
            jobs = [
                partial(self._one_fit, coarse, fit.point, quick, f"search, round {number + 1}")
                for fit in kept
            ]
            results: list[Found] = []
            for fit, (result, entry) in zip(kept, side_by_side(jobs), strict=True):
                results.append(Found(float(result.fun), result.x, fit.times))
                self.path.append(entry)
                best = coarse.reduced(min(found.chi2 for found in results))
                done = (number + len(results) / len(jobs)) / len(self.settings.rounds)
                self.on_progress(ProgressEvent("search", done, best))
            fits = _distinct(results, self.settings.agree)
            if self._stopped():
                break
        return fits

    def _one_fit(
        self, objective: Objective, start: FloatArray, strategy: OptimizationStrategy, stage: str
    ) -> tuple[OptimizeResult, dict[str, Any]]:
        """One fit and its entry in the path."""
        begun = time.perf_counter()
        result = strategy.optimize(objective, start)
        return result, {
            "start": stage,
            "strategy": strategy.name,
            "frames": len(objective.problem.t),
            "chi2_reduced": objective.reduced(float(result.fun)),
            "iterations": int(result.nit),
            "nfev": int(result.nfev),
            "seconds": round(time.perf_counter() - begun, 4),
            "message": str(result.message),
            "history": [(int(k), objective.reduced(float(f))) for k, f in result.history],
        }

    def _stopped(self) -> bool:
        return self.stop is not None and self.stop.reason is not None
