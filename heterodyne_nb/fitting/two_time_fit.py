"""A two-time fit: search, finish on all pixels, estimate errors, put the result together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from pydantic import ConfigDict, Field, field_validator
from scipy.optimize import OptimizeResult

from heterodyne_nb.config import ParameterTable
from heterodyne_nb.engine import (
    BLOCKS,
    FrameProblem,
    Objective,
    Problem,
    RobustObjective,
    Tiles,
    described,
    kernels_ready,
    problem_from_dataset,
    problem_from_frames,
    residual_record,
    residual_scale,
)
from heterodyne_nb.engine.cells import CellProblem
from heterodyne_nb.engine.executors import Team, team
from heterodyne_nb.engine.frame_problem import SEARCHED
from heterodyne_nb.engine.spread import Spread
from heterodyne_nb.errors import FitWarning, warn
from heterodyne_nb.fitting.free_form import FreeForm, carried, states_curves, with_ends
from heterodyne_nb.frames import FrameSet
from heterodyne_nb.models.splines import SplineModel
from heterodyne_nb.models.symmetries import along_the_angle, canonical, other_label, unseen_directions
from heterodyne_nb.optimize import OptimizationStrategy
from heterodyne_nb.optimize.guess import warn_if_aliased
from heterodyne_nb.optimize.multistart import Multistart
from heterodyne_nb.optimize.strategies.own import made_strategy
from heterodyne_nb.options import METHODS, ExecutionOptions, FitOptions, SearchOptions
from heterodyne_nb.progress import ProgressEvent, StopToken, ignore_progress
from heterodyne_nb.result import FitResult, collect_provenance
from heterodyne_nb.result.trust import LEFT_OVER, left_over, united
from heterodyne_nb.uncertainty.bands import curve_bands
from heterodyne_nb.uncertainty.covariance import error_tiles, estimate_covariance
from heterodyne_nb.uncertainty.goodness import Goodness, goodness

PULL = "errors by which the {} would pass its limit"
_DYADIC = "dyadic cluster-robust (frames as clusters), corrected for the fit"
_SPECKLES = "from speckles (clusters of neighbouring pixels)"
_COMPILING = "preparing the kernels: half a minute at the first fit after installing, then a second"


class FitRun(FitOptions, ExecutionOptions):
    """Settings of a fit, who is told of its progress, and what ends it.

    ``warm``: from the start values to the optimum next to them, no more.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    warm: bool = Field(default=False, exclude=True)
    method: Any = FitOptions.default("method")

    on_progress: Any = Field(default=ignore_progress, exclude=True)
    stop: Any = Field(default_factory=StopToken, exclude=True)

    def strategy(self) -> OptimizationStrategy:
        """The strategy asked for, with its settings."""
        return made_strategy(self.method, self.options)

    @property
    def method_name(self) -> str:
        """The method in a word, for results and records."""
        return self.method if isinstance(self.method, str) else made_strategy(self.method).name

    def record(self) -> dict[str, Any]:
        """The settings that a record of the fit holds: all that say anything."""
        silent = {"method", *(["loss_scale"] if self.loss == "linear" else [])}
        silent |= {name for name in ("via", "integral") if getattr(self, name) == self.default(name)}
        silent |= set(ExecutionOptions.model_fields)
        values = {**self.model_dump(exclude=silent), "method": self.method_name}
        return {name: value for name, value in values.items() if value is not None and value != {}}

    def search(self) -> SearchOptions:
        """How wide to search: no further than the next optimum when warm."""
        none = {"samples": 0, "starts": 0, "hops": 0} if self.warm else {}
        return super().search().model_copy(update=none)

    @field_validator("method", mode="before")
    @classmethod
    def _by_name_or_made(cls, method: Any) -> Any:
        return METHODS.find(method) if isinstance(method, str) else method


def fit_two_time(
    dataset: xr.Dataset | FrameSet,
    model: Any,
    table: ParameterTable,
    options: FitRun,
    asked: dict[str, Any],
) -> FitResult:
    """Fit a two-time model; arguments are those of :func:`heterodyne_nb.fit`, resolved."""
    with team(options.executor, options.workers) as who:
        run = options.model_copy(update={"executor": who})
        solved = solve_two_time(dataset, model, table, run)
        try:
            return _concluded(solved, dataset, options, asked)
        finally:
            if isinstance(solved.objective.problem.data, Spread):
                solved.objective.problem.data.close()


def _concluded(
    solved: Solved, dataset: xr.Dataset | FrameSet, options: FitRun, asked: dict[str, Any]
) -> FitResult:
    if isinstance(dataset, FrameSet):
        about = collect_provenance(dataset.about(), asked, source_path=dataset.source.path, seed=options.seed)
        return result_of(solved, options, about | described(solved.objective.problem, dataset))
    tested = options.loss == "linear" and not options.stop.reason
    tests = goodness(solved.objective, solved.theta, seed=options.seed, stop=options.stop) if tested else None
    return result_of(solved, options, collect_provenance(dataset, asked, seed=options.seed), tests=tests)


@dataclass(frozen=True)
class Solved:
    """The optimum of a fit before anything is said about it."""

    objective: Objective  #: What was minimised, with its data.
    theta: np.ndarray  #: (p,): The optimum, published, in its reported form.
    #: success, message: How the optimiser ended.
    success: bool
    message: str
    path: list[dict[str, Any]]  #: One entry a run of a strategy.
    #: Further optima of all pixels that the search met, with their χ².
    others: list[tuple[np.ndarray, float]] = field(default_factory=list)


def solve_two_time(
    dataset: xr.Dataset | FrameSet, model: Any, table: ParameterTable, options: FitRun
) -> Solved:
    """Read the maps or frames, search, and finish on all pixels; with a robust loss if one is asked for."""
    strategy = options.strategy()
    strategy.require_ready()
    wanted, asked = model, table
    if isinstance(model, SplineModel) and not states_curves(model, table):  # begins with the power laws
        model.integrating(options.integral, np.ones(1))  # or says that it cannot
        model, table = model.base, carried(model.base, table, {})
        if options.multistart == 0 and not table.given.any():  # else it would begin at the defaults
            options = options.model_copy(update={"multistart": None})
    options.on_progress(ProgressEvent("load", 0.0, message="reading the data"))
    if isinstance(dataset, FrameSet):
        robust = options.loss != "linear"
        problem = problem_from_frames(dataset, model, table, gap=options.gap, via=options.via, robust=robust)
    else:
        who = options.executor if isinstance(options.executor, Team) else None
        problem = problem_from_dataset(
            dataset, model, table, gap=options.gap, executor=who, memory=options.memory
        )
    problem = replace(problem, model=problem.model.integrating(options.integral, problem.t))
    if isinstance(model, SplineModel):
        problem = replace(problem, table=with_ends(table, *problem.ends))
    objective = Objective(problem, contrast=options.contrast)
    if not kernels_ready():
        options.on_progress(ProgressEvent("load", 1.0, message=_COMPILING))
    best, path, others = _search(objective, strategy, options)
    if model is not wanted:
        free = FreeForm(objective, wanted, asked, strategy, options)
        objective, best, found = free.run([best.x, *(x for x, _ in others)])
        model, table, problem = objective.model(), objective.problem.table, objective.problem
        path, others = path + free.path, [(fit.point, fit.chi2) for fit in found]
    if options.loss != "linear":
        objective, best, more = _robust(objective, best, strategy, options)
        path, others = path + more, []

    def reported(x: np.ndarray) -> np.ndarray:
        return canonical(model, along_the_angle(model, x, problem.phi, table), problem.t, table)

    others, theta = [(reported(x), chi2) for x, chi2 in others], reported(best.x)
    return Solved(objective, theta, bool(best.success), str(best.message), path, others)


def _search(
    objective: Objective, strategy: OptimizationStrategy, options: FitRun
) -> tuple[OptimizeResult, list[dict[str, Any]], list[tuple[np.ndarray, float]]]:
    problem = objective.problem
    long = isinstance(problem, CellProblem) and len(problem.t) > SEARCHED
    if (long or isinstance(problem, FrameProblem)) and not options.warm:
        return _search_on_frames(objective, strategy, options)
    table = problem.table
    settings = options.search()
    if isinstance(problem.model, SplineModel):  # no search knows how to draw splines
        settings = SearchOptions(samples=0, hops=0)
    extra = [objective.x0] if table.given[objective.free].any() or settings.samples == 0 else []
    search = Multistart(
        objective,
        strategy,
        settings,
        extra_starts=[objective.from_internal(objective.to_internal(x)) for x in extra],
        on_progress=options.on_progress,
        stop=options.stop,
        team=options.executor if isinstance(options.executor, Team) else None,
    )
    best = search.run()
    return best, search.path, [(fit.point, fit.chi2) for fit in search.solutions[1:]]


def _search_on_frames(
    objective: Objective, strategy: OptimizationStrategy, options: FitRun
) -> tuple[OptimizeResult, list[dict[str, Any]], list[tuple[np.ndarray, float]]]:
    """Search on a small map of sums of frames (of cells), and finish what it finds on all photons (cells)."""
    problem: Any = objective.problem
    small = Objective(problem.small, contrast=options.contrast)
    best, path, others = _search(small, strategy, options)
    points, beside = [best.x, *(x for x, _ in others)], False
    finer = problem.finer if isinstance(problem, FrameProblem) and not options.stop.reason else None
    if finer is not None:
        middle = _onward(Objective(finer, contrast=options.contrast), strategy, options, points)
        best, beside = middle.run(), True
        path += middle.path
        points = _possible(middle) if not options.stop.reason else [best.x]
        del middle, finer  # large, and of no more use
    finish = _onward(objective, strategy, options, points, beside=beside)
    best = finish.run()
    of = "sums of frames" if isinstance(problem, FrameProblem) else "some frames"
    path = [{**step, "data": of} for step in path if step["chi2_reduced"] is not None] + finish.path
    return best, path, [(fit.point, fit.chi2) for fit in finish.solutions[1:]]


def _onward(
    objective: Objective,
    strategy: OptimizationStrategy,
    options: FitRun,
    points: list[np.ndarray],
    **how: Any,
) -> Multistart:
    """Fits from optima of fewer data."""
    return Multistart(
        objective, strategy, SearchOptions(samples=0, hops=0), points, on_progress=options.on_progress,
        stop=options.stop, **how,
    )  # fmt: skip


def _possible(search: Multistart) -> list[np.ndarray]:
    """The optima, best first, that more data of the same run may leave as answers."""
    first, *others = search.solutions
    if not others:
        return [first.point]
    spread = estimate_covariance(search.objective, first.point)
    most = first.chi2 + 2.0 * LEFT_OVER * search.objective.reduced(first.chi2) * spread.inflation
    return [first.point, *(fit.point for fit in others if fit.chi2 <= most)]


def _robust(
    objective: Objective, best: OptimizeResult, strategy: OptimizationStrategy, options: FitRun
) -> tuple[Objective, OptimizeResult, list[dict[str, Any]]]:
    """Go on from the least-squares answer with a robust loss; tukey, not convex, by way of huber."""
    if options.stop.reason:
        return objective, best, []
    local = objective.equations(best.x, derivatives=False)
    inner = local.contrast, local.offset
    scale = (
        residual_scale(objective.problem, best.x, *inner)
        if options.loss_scale == "auto"
        else float(options.loss_scale)
    )
    path: list[dict[str, Any]] = []
    robust: Objective = objective
    for loss in ("huber", "tukey") if options.loss == "tukey" else (options.loss,):
        robust = RobustObjective(
            objective.problem, loss=loss, scale=scale, start=inner, contrast=options.contrast
        )
        search = Multistart(
            robust, strategy, SearchOptions(samples=0, hops=0), [best.x],
            on_progress=options.on_progress, stop=options.stop,
        )  # fmt: skip
        best = search.run()
        path += [{**step, "loss": loss, "scale": scale} for step in search.path]
        if options.stop.reason:
            break
        local = robust.equations(best.x, derivatives=False)
        inner = local.contrast, local.offset
    return robust, best, path


def result_of(
    solved: Solved,
    options: FitRun,
    provenance: dict[str, Any],
    *,
    extra_covariance: Any = None,
    tests: Goodness | None = None,
) -> FitResult:
    """Put the result of a two-time fit together, its errors estimated.

    ``extra_covariance`` (p, p) is what other sources than noise add to the covariance of the parameters; ``tests`` is
    what is known of the goodness of fit.
    """
    objective, theta, problem = solved.objective, solved.theta, solved.objective.problem
    stopped = options.stop.reason
    tiles = error_tiles(objective, theta, BLOCKS)
    local = objective.equations(theta, derivatives=False) if tiles is None else tiles.equations()
    warn_if_aliased(problem, theta)
    spread = estimate_covariance(objective, theta, tiles=tiles)
    covariance = spread.covariance if extra_covariance is None else spread.covariance + extra_covariance
    bands, others = _answers(solved, spread, local.chi2, extra_covariance, options.stop)
    unseen = unseen_directions(problem.model, problem.phi, problem.table)
    if not solved.success and not stopped:
        warn(f"the fit did not converge: {solved.message}", FitWarning)
    return FitResult.from_parts(
        problem.model,
        parameters=theta,
        stderr=_errors(covariance, problem.table),
        status=status_words(problem.table, spread.at_bound, unseen),
        covariance=covariance,
        hessian=spread.hessian,
        sigma2=objective.reduced(local.chi2),
        t=problem.t,
        bands=bands,
        solutions=others,
        bins=_bins(problem, local, spread, tests).merge(_left_over(objective, theta, local, tiles)),
        goodness=None if tests is None else {"curves": tests.curves, "chance": tests.chance},
        **ended(solved, options, local.chi2, provenance),
        passing=spread.passing,
        gap=problem.gap,
        extra=None if options.integral == "exact" else {"integral": options.integral},
        uncertainty=_SPECKLES if spread.speckles else _DYADIC,
    )


def ended(solved: Solved, options: FitRun, chi2: float, provenance: dict[str, Any]) -> dict[str, Any]:
    """How a fit ended, as parts of its result."""
    objective, stopped = solved.objective, options.stop.reason
    early = options.loss not in ("linear", *(step.get("loss") for step in solved.path))
    left = f"{stopped}: best so far{f', before the loss {options.loss}' if early else ''}"
    return {
        "chi2": chi2,
        "n_data": objective.problem.n_data,
        "n_free": objective.n_free,
        "success": solved.success and not stopped,
        "message": left if stopped else solved.message,
        "method": options.method_name,
        "provenance": provenance,
        "path": [
            {**step, "chi2_reduced": objective.reduced(chi2)} if step.get("chi2_reduced", 0) is None else step
            for step in solved.path
        ],
        "bounds": objective.problem.table.bounds,
    }


def _left_over(objective: Objective, theta: np.ndarray, local: Any, tiles: Tiles | None) -> xr.Dataset:
    """Residuals by blocks of frames; where there is no map, those of a map of sums of frames."""
    if tiles is not None:
        return tiles.residual_record()
    if not isinstance(objective.problem, FrameProblem):
        return residual_record(objective, theta, local=local)
    return residual_record(Objective(objective.problem.small, contrast=objective.contrast), theta)


def _answers(
    solved: Solved, spread: Any, chi2: float, extra: Any, stop: StopToken
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Bands that hold every answer the data leave, and the answers besides the reported one."""
    objective, problem = solved.objective, solved.objective.problem
    bands = _bands(problem, solved.theta, spread, extra)
    exchanged = other_label(problem.model, solved.theta, bands, problem.t, problem.table)
    others = solved.others if exchanged is None else [(exchanged, chi2), *solved.others]
    if not others or stop.reason:  # each further answer takes passes of its own
        return bands, []
    errors = np.sqrt(np.maximum(np.diag(spread.covariance), 0.0))
    points = [(solved.theta, chi2), *others]
    unit = objective.reduced(chi2) * spread.inflation
    kept = left_over(problem.model, points, bands, errors, problem.t, unit, problem.phi)
    every, told = [bands], []
    for x, value, rise in kept:
        if stop.reason:
            break
        every.append(_bands(problem, x, estimate_covariance(objective, x), extra))
        told.append({"parameters": x.tolist(), "chi2": value, "rise": rise})
    return united(every), told


def _bands(problem: Problem, theta: np.ndarray, spread: Any, extra: Any) -> dict[str, Any]:
    """Student's bands of the noise; joined in quadrature with the normal ones of ``extra``, whose size is known."""
    bands = curve_bands(problem.model, theta, spread.covariance, problem.t, spread=spread)
    if extra is None:
        return bands
    more = curve_bands(problem.model, theta, extra, problem.t)
    for name, curve in problem.model.curves(theta, problem.t).items():
        (low, high), (lower, upper) = bands[name], more[name]
        least, most = problem.model.curve(name).range
        lower = np.maximum(curve - np.hypot(curve - low, curve - lower), least)
        upper = np.minimum(curve + np.hypot(high - curve, upper - curve), most)
        bands[name] = np.minimum(lower, curve), np.maximum(upper, curve)
    return bands


def _bins(problem: Problem, local: Any, spread: Any, tests: Goodness | None) -> xr.Dataset:
    freedom = np.maximum(problem.count - 2, 1)
    bins = xr.Dataset(
        {
            "contrast": ("bin", local.contrast, {"units": "1", "long_name": "contrast"}),
            "offset": ("bin", local.offset, {"units": "1", "long_name": "offset"}),
            "contrast_error": (
                "bin",
                spread.linear[:, 0],
                {"units": "1", "long_name": "error of the contrast"},
            ),
            "offset_error": ("bin", spread.linear[:, 1], {"units": "1", "long_name": "error of the offset"}),
            "contrast_pull": ("bin", spread.pull[:, 0], {"units": "1", "long_name": PULL.format("contrast")}),
            "offset_pull": ("bin", spread.pull[:, 1], {"units": "1", "long_name": PULL.format("offset")}),
            "sigma": ("bin", problem.sigma, {"units": "1", "long_name": "noise of one c2 pixel"}),
            "chi2_reduced_bin": ("bin", local.chi2_bin / freedom, {"units": "1"}),
        },
        coords={"q": ("bin", problem.q, {"units": "1/Å"}), "phi": ("bin", problem.phi, {"units": "deg"})},
    )
    if tests is None or np.isnan(tests.chance):
        return bins
    return bins.assign(
        speckle_ratio=("bin", tests.ratio, {"units": "1", "long_name": "residuals over those of speckle"}),
        speckle_chance=("bin", tests.bin_chance, {"units": "1", "long_name": "chance of such residuals"}),
    )


def _errors(covariance: np.ndarray, table: ParameterTable) -> np.ndarray:
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    moved = table.vary | np.array([t is not None for t in table.tie])
    return np.where(moved & (errors > 0), errors, np.nan)


def status_words(table: ParameterTable, at_bound: np.ndarray, unseen: Sequence[int] = ()) -> list[str]:
    """What became of each parameter of a fit; ``unseen`` are places that the data cannot tell."""
    words = []
    for i in range(len(table)):
        tied, free = table.tie[i] is not None, bool(table.vary[i])
        held = "at bound" if at_bound[i] else "not determined" if i in unseen else "free"
        words.append("tied" if tied else "fixed" if not free else held)
    return words
