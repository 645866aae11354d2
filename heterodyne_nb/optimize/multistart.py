"""Many starts, coarse to fine: screen, fit the best on fewer frames, hop to other basins, finish on all pixels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import OptimizeResult

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine import Objective
from heterodyne_nb.engine.executors import Team, side_by_side
from heterodyne_nb.engine.spread import Spread
from heterodyne_nb.errors import OptimizationError
from heterodyne_nb.models.curves import FLOWS, Curve
from heterodyne_nb.models.symmetries import SAME_DIRECTION, distinct_angles, near_twin
from heterodyne_nb.optimize.guess import StartSampler, screened_starts, searched_curves
from heterodyne_nb.optimize.hops import Hops
from heterodyne_nb.optimize.journal import Journal, current_journal
from heterodyne_nb.optimize.strategies.gauss_newton import GaussNewtonStrategy, LocalModel, Quiet
from heterodyne_nb.optimize.strategies.run import Run
from heterodyne_nb.optimize.strategies.strategy import OptimizationStrategy
from heterodyne_nb.options import SearchOptions
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken, ignore_progress

#: Optima of the coarse problem are finished on all pixels up to this rise of χ², in units of the noise of one pixel:
#: 3.5 standard errors where correlated pixels make χ² scatter 20 times as much.
_WORTH = 250.0
#: An optimum of all pixels that is worse than the best by more than this, in the same units, is not refined.
_REFINED = 10.0
#: From this far above a known optimum, in the same units, a fit is followed no more where χ² is what the quadratic
#: form around that optimum says.
_NEAR = 50.0
#: Damping and most iterations of fits that go on from optima of nearly the same data; only that of the best goes on.
_BESIDE, _FEW = 1e-7, 2
#: What the search found is tried again on so many times the frames: fewer do not tell close optima apart.
_FINER = 2
#: Damping at the start of a fit from a sample, which is far from any optimum: less only costs steps not taken.
_FAR_DAMPING = 0.03


@dataclass(frozen=True, eq=False)
class Found:
    """An optimum, how many starts led to it, the direction of flow there (degrees), where the data tell it, and the
    damping of steps with which a fit goes on from there."""

    chi2: float
    point: FloatArray
    times: int = 1
    directions: FloatArray = field(default_factory=lambda: np.zeros(0))
    damping: float = 1e-3

    def same_as(self, other: Found, agree: float) -> bool:
        """Whether the χ² and the directions, modulo half a turn, agree."""
        if not np.isfinite(self.chi2) or abs(self.chi2 - other.chi2) > agree * abs(other.chi2):
            return False
        turned = (self.directions - other.directions + 90.0) % 180.0 - 90.0
        return bool(np.all(np.abs(turned) < SAME_DIRECTION))


def _distinct(fits: list[Found], agree: float) -> list[Found]:
    """The fits that differ, best first, those that agree counted together."""
    kept: list[Found] = []
    for fit in sorted(fits, key=lambda fit: fit.chi2):
        k = next((k for k, other in enumerate(kept) if fit.same_as(other, agree)), None)
        if k is None:
            kept.append(fit)
        else:
            kept[k] = replace(kept[k], times=kept[k].times + fit.times)
    return kept


@dataclass(frozen=True, eq=False)
class _Basin:
    """χ² around an optimum to second order, in internal coordinates."""

    z: FloatArray
    chi2: float
    hessian: FloatArray

    def holds(self, z: FloatArray, chi2: float, noise: float) -> bool:
        """Whether a point is so near that downhill from it is this optimum."""
        rise, step = chi2 - self.chi2, z - self.z
        if not 0.0 <= rise <= _NEAR * noise:
            return False
        return abs(0.5 * float(step @ self.hessian @ step) - rise) <= 0.5 * rise + 0.5 * noise


@dataclass(kw_only=True, eq=False)
class _QuickStrategy(GaussNewtonStrategy):
    """Gauss-Newton that only has to tell which optimum a start leads to."""

    quiet: ClassVar[Quiet] = ((5, 1e-2), (5, 1e-2))
    ftol: float = 1e-7
    basins: Sequence[_Basin] = ()

    def _arrived(self, run: Run, model: LocalModel) -> bool:
        return any(basin.holds(model.z, model.fun, run.noise) for basin in self.basins)


@dataclass
class Multistart:
    """Runs a search and remembers its path."""

    objective: Objective
    strategy: OptimizationStrategy
    settings: SearchOptions = field(default_factory=SearchOptions)
    extra_starts: list[FloatArray] = field(default_factory=list)
    on_progress: OnProgress = ignore_progress
    stop: StopToken | None = None
    #: Whether the extra starts are optima of nearly the same data: a step or two is then enough.
    beside: bool = False
    team: Team | None = None  #: Who makes the fits on fewer frames, where it works in other processes.
    #: One entry a fit: stage, start, χ² reached, iterations, seconds.
    path: list[dict[str, Any]] = field(default_factory=list)
    solutions: list[Found] = field(default_factory=list)
    _made: dict[int, Objective] = field(default_factory=dict, init=False)

    def run(self) -> OptimizeResult:
        """Search, and return the best fit on all pixels; stopped early, the best so far."""
        journal = (
            current_journal() if self.settings.hops else None
        )  # else it goes on from a search that has one
        if journal is not None:
            journal.begin(self.objective.problem, self.objective.contrast)
            self.on_progress = journal.hears(self.on_progress)
        found = self._begun(journal) or self._search()
        if self._stopped():
            best = self._left(found)
            if journal is not None:
                journal.stopped_at(self.objective.parameter_names, best.x)
            return best
        promising = self._promising(found)
        if journal is not None and not self._stopped():
            journal.search_ended(self.objective.parameter_names, [fit.point for fit in promising])
        results = self._finished([fit.point for fit in promising], [])
        coarse = self._hopped_again()
        if coarse is not None:
            start = self._coarse_fits(coarse, [result.x for result in results])
            hopped = self._promising(self._hopped(coarse, start, near=self.settings.samples > 0))
            results = self._finished([fit.point for fit in hopped if fit not in start], results)
        fits = [Found(float(r.fun), r.x, directions=self._directions(r.x)) for r in results]
        self.solutions = _distinct(fits, self.settings.agree)
        if self.settings.hops and not self._stopped():
            self.solutions += self._without_flow([fit.point for fit in self.solutions])
        return min(results, key=lambda result: float(result.fun))

    def _left(self, found: list[Found]) -> OptimizeResult:
        """The best of what was found when time was up, with no pass over all pixels; its χ² is found with its errors."""
        found = [fit for fit in found if self.objective.physical(fit.point)] or found[:1]
        if len(found) > 1 and not np.isfinite(found[0].chi2):
            coarse = self._coarse(self.settings.coarse_frames)
            found = sorted(found, key=lambda fit: coarse(fit.point))
        point, reason = found[0].point, str(self.stop and self.stop.reason)
        if not self.objective.physical(point):
            return self._finish(point, replace(self.strategy, stop=self.stop))  # says what is wrong with it
        names = {"start": "all pixels", "strategy": self.strategy.name, "message": reason}
        self.path.append({**names, "chi2_reduced": None, "iterations": 0, "nfev": 0, "seconds": 0.0})
        self.solutions = [Found(np.inf, point)]
        return OptimizeResult(
            x=point, fun=np.inf, success=False, message=reason, nit=0, nfev=0, stop_reason=reason
        )

    def _hopped_again(self) -> Objective | None:
        """Where hops from the optima of all pixels are made; None where the search hopped on as many frames."""
        settings = self.settings
        if not settings.hops or self._stopped():
            return None
        coarse = self._coarse(settings.coarse_frames)
        if settings.samples <= 0:
            return coarse
        fine = self._coarse(_FINER * settings.coarse_frames)
        return fine if len(fine.problem.t) > len(coarse.problem.t) else None

    def _without_flow(self, points: list[FloatArray]) -> list[Found]:
        """The best fit without each flow: where fringes are lost in the noise, it describes the data as well."""
        problem, found = self.objective.problem, list[Found]()
        table = problem.table
        bound = {name for name in table.tie if name} | {
            n for n, p in zip(table.names, table.prior, strict=True) if p
        }
        for curve in searched_curves(problem.model):
            own, named = list(curve.parameters), {table.names[i] for i in curve.parameters}
            fixed = not np.all(table.vary[own]) or any(table.tie[i] for i in own) or named & bound
            if (
                curve.role not in FLOWS
                or fixed
                or np.any(table.lower[own] > 0)
                or np.any(table.upper[own] < 0)
            ):
                continue
            fits = [fit for point in points[:2] if (fit := self._still(point, curve)) is not None]
            found += fits and [min(fits, key=lambda fit: fit.chi2)]
        return found

    def _still(self, point: FloatArray, curve: Curve) -> Found | None:
        """The fit without a flow, from a point; None where fewer frames say that it is no answer."""
        if self._stopped():
            return None
        quick = _QuickStrategy(max_iterations=40, stop=self.stop)
        coarse = self._coarse(self.settings.coarse_frames)
        worth = coarse(point) + _WORTH * self._noise(coarse(point))
        for objective in (coarse, self.objective):
            table, still = objective.problem.table, point.copy()
            still[list(curve.parameters)] = 0.0
            vary = table.vary.copy()
            vary[[*curve.parameters, *([] if curve.direction is None else [curve.direction])]] = False
            fixed = replace(objective.problem, table=replace(table, values=still, vary=vary))
            result, entry = _one_fit(
                Objective(fixed, contrast=objective.contrast), still, quick, "without flow"
            )
            self.path.append(entry)
            if objective is coarse and (self._stopped() or not float(result.fun) < worth):
                return None
            point = result.x
        return Found(float(result.fun), result.x, directions=self._directions(result.x))

    def _begun(self, journal: Journal | None) -> list[Found]:
        """Where a journal says that the search had gone: its optima where it had ended, else one more start."""
        if journal is None:
            return []
        names = self.objective.parameter_names
        best, optima = journal.point(names), journal.optima(names)
        if optima is not None:
            points = optima if best is None else [best, *optima]
            if self._stopped():
                return [Found(np.inf, points[0])]
            fits = [Found(self.objective(point), point) for point in points]
            return _distinct([fit for fit in fits if np.isfinite(fit.chi2)], self.settings.agree)
        if best is not None:
            self.extra_starts.append(self.objective.from_internal(self.objective.to_internal(best)))
        return []

    def _promising(self, found: list[Found]) -> list[Found]:
        """What is worth a fit on all pixels."""
        best = found[0].chi2
        most = min(1.02 * best, best + _WORTH * self._noise(best))
        worth = [fit for fit in found if not fit.chi2 > most]
        return worth[: self.settings.finish]

    def _noise(self, chi2: float) -> float:
        """χ² per coarse pixel: what one degree of freedom of independent pixels is worth."""
        return self._coarse(self.settings.coarse_frames).reduced(chi2) if np.isfinite(chi2) else np.inf

    def _finished(self, points: list[FloatArray], results: list[OptimizeResult]) -> list[OptimizeResult]:
        """The results with the optima of all pixels that the points lead to; refined are those that may be the best."""
        careful = replace(self.strategy, stop=self.stop, on_progress=self.on_progress)
        quick = _QuickStrategy(max_iterations=40, stop=self.stop, on_progress=self.on_progress)
        if self.beside:
            quick.max_iterations, quick.damping = _FEW, _BESIDE
            if isinstance(careful, GaussNewtonStrategy):
                careful.damping = min(careful.damping, _BESIDE)
        results, basins = list(results), list[_Basin]()
        for point in points:
            if results and self._stopped():
                break
            if results:
                missing = results[len(basins) :]
                basins += self._basins(self.objective, [Found(float(r.fun), r.x) for r in missing])
                quick.basins = basins
                result = self._finish(point, quick)
                best = min(float(r.fun) for r in results)
                if result.stop_reason == "known optimum":
                    continue
                if not result.fun < best + _REFINED * self.objective.reduced(best):
                    results.append(result)
                    continue
                point = result.x
            results.append(self._finish(point, careful))
        return results

    def _finish(self, point: FloatArray, strategy: OptimizationStrategy) -> OptimizeResult:
        result, entry = _one_fit(self.objective, point, strategy, "all pixels")
        self.path.append(entry)
        return result

    @staticmethod
    def _basins(objective: Objective, found: list[Found]) -> list[_Basin]:
        return [
            _Basin(objective.to_internal(fit.point), fit.chi2, objective.normal_equations(fit.point).hessian)
            for fit in found
        ]

    def _search(self) -> list[Found]:
        """Optima of the coarse problem, best first; more batches of starts until the best repeats, then hops."""
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
            fits = self._coarse_fits(coarse, starts, damping=_FAR_DAMPING)
            found = self._hopped(coarse, _distinct([*found, *fits], self.settings.agree))
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

    def _hopped(self, coarse: Objective, found: list[Found], *, near: bool = False) -> list[Found]:
        """The optima with those that hops from the best lead to; again from a better one until none is found.

        With ``near`` only where curves bend another way.
        """
        hops, rng = Hops(coarse), np.random.default_rng([self.settings.seed, 1])
        for _ in range(self.settings.hops):
            if self._stopped():
                break
            best = found[0]
            if near:
                points = hops.bends(best.point)
            else:
                points = [*hops.structural(best.point), *hops.flows(best.point)]
            points += hops.kicks(best.point, rng, self.settings.kicks)
            found = _distinct([*found, *self._coarse_fits(coarse, points, found)], self.settings.agree)
            if not found[0].chi2 < best.chi2 - self.settings.agree * best.chi2:
                break
        return found

    def _directions(self, point: FloatArray) -> FloatArray:
        """Directions of flow, where there are angles enough to tell them."""
        problem = self.objective.problem
        if len(distinct_angles(problem.phi)) < 2:
            return np.zeros(0)
        return np.array(point[list(problem.model.directions)])

    def _coarse(self, frames: int) -> Objective:
        if frames in self._made:
            return self._made[frames]
        problem = self.objective.problem
        stride = max(1, round(len(problem.t) / frames))
        coarse = self.objective
        if stride > 1 or isinstance(problem.data, Spread):
            coarse = Objective(problem.every(stride), contrast=self.objective.contrast)
        self._made[frames] = coarse
        return coarse

    def _coarse_fits(
        self, coarse: Objective, points: list[FloatArray], known: Sequence[Found] = (), damping: float = 1e-3
    ) -> list[Found]:
        """Fit in rounds: many starts for a few iterations, the best of them for more; several at a time.

        What comes back to one of the optima ``known``, best first, is not fitted on.
        """
        fits = [Found(np.inf, point, damping=damping) for point in points]
        stage = "hops" if known else "search"
        own = None if self.team is not None and self.team.apart else self.stop  # it does not travel
        basins = self._basins(coarse, list(known[: self.settings.finish]))
        for number, (keep, iterations) in enumerate(self.settings.rounds):
            kept = fits if known and number == 0 else fits[:keep]
            jobs = [
                partial(
                    _one_try, coarse, fit.point,
                    _QuickStrategy(
                        max_iterations=iterations, stop=own, damping=fit.damping, basins=basins
                    ),
                    f"{stage}, round {number + 1}", hop=bool(known),
                )
                for fit in kept
            ]  # fmt: skip
            results: list[Found] = []
            for count, (fit, answer) in enumerate(zip(kept, side_by_side(jobs, self.team), strict=True), 1):
                if answer is None:
                    continue
                result, entry = answer
                self.path.append(entry)
                if result.stop_reason != "known optimum":
                    where, damping = self._directions(result.x), result.get("damping", fit.damping)
                    results.append(Found(float(result.fun), result.x, fit.times, where, damping))
                best = min([*known, *results], key=lambda found: found.chi2)
                done = (number + count / len(jobs)) / len(self.settings.rounds)
                self.on_progress(
                    ProgressEvent(stage, done, coarse.reduced(best.chi2), self._named(best.point))
                )
            if not (results or known):  # stopped before any of this round
                break
            fits = _distinct(results, self.settings.agree)
            if known:
                fits = [fit for fit in fits if not fit.same_as(known[0], 10 * self.settings.agree)]
            if self._stopped() or not fits:
                break
        return fits

    def _named(self, point: FloatArray) -> dict[str, float]:
        return dict(zip(self.objective.parameter_names, point.tolist(), strict=True))

    def _stopped(self) -> bool:
        return self.stop is not None and self.stop.reason is not None


def _one_try(
    objective: Objective, start: FloatArray, strategy: OptimizationStrategy, stage: str, *, hop: bool
) -> tuple[OptimizeResult, dict[str, Any]] | None:
    """A fit on fewer frames; None once time is up, and after a hop to where the model cannot be evaluated."""
    if strategy.stop is not None and strategy.stop.reason is not None:
        return None
    try:
        return _one_fit(objective, start, strategy, stage)
    except OptimizationError:
        if not hop:
            raise
        return None


def _one_fit(
    objective: Objective, start: FloatArray, strategy: OptimizationStrategy, stage: str
) -> tuple[OptimizeResult, dict[str, Any]]:
    """See :func:`one_fit`; its entry also says on how many frames, and its course."""
    result, entry = one_fit(objective, start, strategy, stage)
    history = [(int(k), objective.reduced(float(f))) for k, f in result.history]
    return result, {**entry, "frames": len(objective.problem.t), "history": history}


def one_fit(
    objective: Any, start: FloatArray, strategy: OptimizationStrategy, stage: str
) -> tuple[OptimizeResult, dict[str, Any]]:
    """One fit and its entry in the path."""
    begun = time.perf_counter()
    result = strategy.optimize(objective, start)
    return result, {
        "start": stage,
        "strategy": strategy.name,
        "chi2_reduced": objective.reduced(float(result.fun)),
        "iterations": int(result.nit),
        "nfev": int(result.nfev),
        "seconds": round(time.perf_counter() - begun, 4),
        "message": str(result.message),
    }
