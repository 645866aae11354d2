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
from heterodyne_nb.optimize.gauss_newton import GaussNewtonStrategy
from heterodyne_nb.optimize.guess import screened_starts
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
    seed : int
    """

    samples: int = 800
    starts: int = 16
    rounds: tuple[tuple[int, int], ...] = ((16, 10), (6, 20), (3, 60))
    finish: int = 2
    screen_frames: int = 70
    coarse_frames: int = 120
    agree: float = 1e-5
    seed: int = 0


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
        coarse = self._coarse(self.settings.coarse_frames)
        candidates = self._coarse_fits(coarse, self._starts())
        best: OptimizeResult | None = None
        worst = 1.02 * candidates[0][0]
        strategy = replace(self.strategy, stop=self.stop, on_progress=self.on_progress)
        for _, point in [fit for fit in candidates if fit[0] <= worst][: self.settings.finish]:
            result, entry = self._one_fit(self.objective, point, strategy, "all pixels")
            self.path.append(entry)
            if best is None or result.fun < best.fun:
                best = result
            if self._stopped():
                break
        assert best is not None
        return best

    def _coarse(self, frames: int) -> Objective:
        problem = self.objective.problem
        stride = max(1, round(len(problem.t) / frames))
        if stride == 1:
            return self.objective
        return Objective(problem.every(stride), contrast=self.objective.contrast)

    def _starts(self) -> list[FloatArray]:
        self.on_progress(ProgressEvent("start values", 0.0, message="reading fringes and decays"))
        if self.settings.samples <= 0 or self._stopped():
            return self.extra_starts or [
                self.objective.from_internal(self.objective.to_internal(self.objective.x0))
            ]
        screen = self._coarse(self.settings.screen_frames)
        found = screened_starts(
            self.objective, screen, self.settings.starts, self.settings.samples, self.settings.seed
        )
        return [*self.extra_starts, *found]

    def _coarse_fits(self, coarse: Objective, points: list[FloatArray]) -> list[tuple[float, FloatArray]]:
        """Fit in rounds: many starts for a few iterations, the best of them for more; several at a time."""
        fits = [(np.inf, point) for point in points]
        rounds = self.settings.rounds if self.settings.samples > 0 else ()
        for number, (keep, iterations) in enumerate(rounds):
            quick = GaussNewtonStrategy(max_iterations=iterations, ftol=1e-7, stop=self.stop)
            jobs = [
                partial(self._one_fit, coarse, point, quick, f"search, round {number + 1}")
                for _, point in fits[:keep]
            ]
            results = []
            for result, entry in side_by_side(jobs):
                results.append((float(result.fun), result.x))
                self.path.append(entry)
                best = coarse.reduced(min(fun for fun, _ in results))
                done = (number + len(results) / len(jobs)) / len(rounds)
                self.on_progress(ProgressEvent("search", done, best))
            fits = self._distinct(results)
            if self._stopped():
                break
        return fits

    def _distinct(self, fits: list[tuple[float, FloatArray]]) -> list[tuple[float, FloatArray]]:
        """The fits whose χ² differ, best first."""
        kept: list[tuple[float, FloatArray]] = []
        for fun, point in sorted(fits, key=lambda fit: fit[0]):
            if all(abs(fun - other) > self.settings.agree * other for other, _ in kept):
                kept.append((fun, point))
        return kept

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
