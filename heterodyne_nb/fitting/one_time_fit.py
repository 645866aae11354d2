"""A one-time fit: g2 of every bin at once, with the same strategies, bounds, ties and priors."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import OptimizeResult

from heterodyne_nb.config import ParameterTable
from heterodyne_nb.data import stack_bins
from heterodyne_nb.data.units import standard_units
from heterodyne_nb.engine import NormalEquations, Objective, OneTimeObjective, OneTimeProblem
from heterodyne_nb.engine.from_dataset import warn_if_not_normalised
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning, warn
from heterodyne_nb.fitting.two_time_fit import FitRun, Solved
from heterodyne_nb.models.symmetries import canonical
from heterodyne_nb.optimize.guess import drawn_between, start_ranges
from heterodyne_nb.progress import ProgressEvent
from heterodyne_nb.result import FitResult, collect_provenance

_SAMPLES, _STARTS = 300, 6


def one_time_problem(dataset: xr.Dataset, model: Any, table: ParameterTable) -> OneTimeProblem:
    """g2 and its weights from a dataset; where no error is known every lag counts alike.

    Raises
    ------
    DataFormatError
        There is no g2, it has dimensions besides bins and lag, no bin can be used, or a unit is unknown.
    """
    if "g2" not in dataset:
        raise DataFormatError("the dataset has no g2", where="g2", expected="g2(q, phi, tau)")
    keep = [name for name in ("g2", "g2_err") if name in dataset]
    data = standard_units(dataset[keep])
    if not {"q", "phi"} <= set(data.dims) and "bin" not in data.dims:
        data = data.expand_dims([d for d in ("q", "phi") if d not in data.dims])
    extra = {str(d) for d in data["g2"].dims} - {"q", "phi", "bin", "tau"}
    if extra:
        raise DataFormatError(
            f"g2 has the dimension {', '.join(sorted(extra))}",
            where="g2",
            expected="one curve a bin",
            hint="fit_batch fits one after the other along such a dimension",
        )
    stacked = stack_bins(data, drop_dead=True).transpose("bin", "tau")
    g2 = np.asarray(stacked["g2"].values, float)
    err = np.asarray(stacked["g2_err"].values, float) if "g2_err" in stacked else np.full_like(g2, np.nan)
    if not np.isfinite(err).any():
        err = np.ones_like(g2)
    tau = np.asarray(stacked["tau"].values, float)
    used = np.isfinite(g2) & np.isfinite(err) & (err > 0) & (tau > 0)[None, :]
    weight = np.where(used, 1.0 / np.where(used, err, 1.0) ** 2, 0.0)
    alive = used.any(axis=1)
    if not alive.any():
        raise DataFormatError("no bin has a usable g2", where="g2")
    q, phi = (np.broadcast_to(stacked[name].values, len(g2)).astype(float) for name in ("q", "phi"))
    for b in np.flatnonzero(~alive):
        where = f"bin q = {q[b]:.5g} 1/Å, phi = {phi[b]:.4g}°"
        warn(f"{where}: no lag of its g2 can be used; the bin is left out", DataWarning)
    lags = np.flatnonzero(used.any(axis=0))
    here = np.ix_(alive, lags[np.argsort(tau[lags])])
    problem = OneTimeProblem(
        model, table, np.sort(tau[lags]), np.where(used, g2, 1.0)[here], weight[here], q[alive], phi[alive]
    )
    warn_if_not_normalised(problem.scale.unit, table, "g2")
    return problem


def fit_one_time(
    dataset: xr.Dataset, model: Any, table: ParameterTable, options: FitRun, asked: dict[str, Any]
) -> FitResult:
    """Fit a one-time model; arguments are those of :func:`heterodyne_nb.fit`, resolved.

    Without ``g2_err`` every lag counts alike and the reduced chi-square is 1 by construction.
    """
    solved = solve_one_time(dataset, model, table, options)
    return one_time_result(solved, options, collect_provenance(dataset, asked, seed=options.seed))


def solve_one_time(dataset: xr.Dataset, model: Any, table: ParameterTable, options: FitRun) -> Solved:
    """Read g2 and search; see :func:`fit_one_time`."""
    if options.loss != "linear":
        raise ConfigurationError(
            f"loss {options.loss!r} is for two-time fits",
            where="loss",
            expected="'linear' for one-time modes",
        )
    strategy = replace(options.strategy(), stop=options.stop)
    strategy.require_ready()
    problem = one_time_problem(dataset, model, table)
    if _has_errors(dataset):
        best, path = _search(problem, strategy, options)
    else:
        problem, best, path = _search_without_errors(problem, strategy, options)
    objective = OneTimeObjective(_centred(problem, best.x), contrast=options.contrast)
    theta = canonical(problem.model, best.x, np.array(problem.ends), problem.table)
    return Solved(objective, theta, bool(best.success), str(best.message), path)


def _has_errors(dataset: xr.Dataset) -> bool:
    return "g2_err" in dataset and bool(np.isfinite(dataset["g2_err"]).any())


Path = list[dict[str, Any]]


def _search_without_errors(
    problem: OneTimeProblem, strategy: Any, options: FitRun
) -> tuple[OneTimeProblem, OptimizeResult, Path]:
    """The residuals are all that is known of the noise: their variance is the unit, also of the priors."""
    priors = problem.table.prior
    plain = replace(problem, table=replace(problem.table, prior=(None,) * len(priors)))
    best, path = _search(plain, strategy, options)
    objective = OneTimeObjective(_centred(plain, best.x), contrast=options.contrast)
    unit = max(objective.reduced(objective(best.x)), 1e-300)
    problem = replace(problem, weight=problem.weight / unit)
    path = [{**step, "chi2_reduced": step["chi2_reduced"] / unit} for step in path]
    if any(priors) and not options.stop.reason:
        best, more = _search(problem, strategy, options)
        path += more
    return problem, best, path


def _search(problem: OneTimeProblem, strategy: Any, options: FitRun) -> tuple[OptimizeResult, Path]:
    """Fit from each start; from sampled ones too where the stated start led to a fit without any contrast."""
    objective = OneTimeObjective(problem, contrast=options.contrast)
    starts, path = _starts(objective, options), Path()
    best: OptimizeResult | None = None
    while len(path) < len(starts):
        result, entry = _one_fit(problem, starts[len(path)], strategy, options, number=len(path) + 1)
        path.append(entry)
        if best is None or result.fun < best.fun:
            best = result
        done = len(path) / len(starts)
        options.on_progress(ProgressEvent("fit", done, objective.reduced(float(best.fun))))
        if options.stop.reason:
            break
        if len(starts) == 1 and options.multistart is None and not _has_contrast(objective, best.x):
            starts += _sampled(objective, options, _STARTS)
    assert best is not None
    return best, path


def _one_fit(
    problem: OneTimeProblem, start: np.ndarray, strategy: Any, options: FitRun, number: int
) -> tuple[OptimizeResult, dict[str, Any]]:
    """One fit and its entry in the path."""
    objective = OneTimeObjective(_centred(problem, start), contrast=options.contrast)
    begun = time.perf_counter()
    result = strategy.optimize(objective, start)
    return result, {
        "start": str(number),
        "strategy": strategy.name,
        "chi2_reduced": objective.reduced(float(result.fun)),
        "iterations": int(result.nit),
        "nfev": int(result.nfev),
        "seconds": round(time.perf_counter() - begun, 4),
        "message": str(result.message),
    }


def _has_contrast(objective: OneTimeObjective, theta: np.ndarray) -> bool:
    """Whether the model explains anything there; where no bin has contrast, χ² is flat."""
    return bool(np.any(objective.equations(theta, derivatives=False).contrast != 0.0))


def _centred(problem: OneTimeProblem, start: np.ndarray) -> OneTimeProblem:
    """The same problem with its start, and so the scale of its coordinates, at ``start``."""
    return replace(problem, table=replace(problem.table, values=start))


def _starts(objective: OneTimeObjective, options: FitRun) -> list[np.ndarray]:
    """The given start, and unless it is complete the best of many samples."""
    table = objective.problem.table
    given = [objective.from_internal(objective.to_internal(objective.x0))]
    if options.multistart == 0 or not objective.coordinates.size:
        return given
    complete = bool(np.all(table.given[objective.free]))
    if complete and options.multistart is None:
        return given
    chosen = _sampled(objective, options, options.multistart or _STARTS, keep_given=not complete)
    return (given if table.given[objective.free].any() else []) + chosen


def _sampled(
    objective: OneTimeObjective, options: FitRun, count: int, *, keep_given: bool = False
) -> list[np.ndarray]:
    """The best of many samples, ranked by χ² and kept apart."""
    rng = np.random.default_rng(options.seed)
    points = [_sample(objective, rng, keep_given) for _ in range(max(_SAMPLES, 5 * count))]
    order = np.argsort([objective(point) for point in points])
    return [points[int(k)] for k in order[: 5 * count : 5]]


def _sample(objective: OneTimeObjective, rng: np.random.Generator, keep_given: bool) -> np.ndarray:
    """One start vector; stated values kept if ``keep_given``."""
    problem, table = objective.problem, objective.problem.table
    theta = np.array(table.values, float)
    for i, ends in start_ranges(problem.model, table, problem.q, *problem.ends).items():
        if not (keep_given and table.given[i]):
            theta[i] = drawn_between(rng, *ends)
    return objective.from_internal(objective.to_internal(theta))


def one_time_result(
    solved: Solved, options: FitRun, provenance: dict[str, Any], *, extra_covariance: Any = None
) -> FitResult:
    """Put the result of a one-time fit together; see :func:`heterodyne_nb.fitting.two_time_fit.result_of`."""
    objective, theta, problem = solved.objective, solved.theta, solved.objective.problem
    local = objective.equations(theta)
    covariance, at_bound = _covariance(objective, theta, local)
    if extra_covariance is not None:
        covariance = covariance + extra_covariance
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    table, stopped = problem.table, options.stop.reason
    status = [
        "tied" if table.tie[i] else "fixed" if not table.vary[i] else "at bound" if at_bound[i] else "free"
        for i in range(len(table))
    ]
    bins = xr.Dataset(
        {
            "contrast": ("bin", local.contrast, {"units": "1", "long_name": "contrast"}),
            "offset": ("bin", local.offset, {"units": "1", "long_name": "offset"}),
            "chi2_reduced_bin": ("bin", local.chi2_bin / np.maximum(problem.count - 2, 1), {"units": "1"}),
        },
        coords={"q": ("bin", problem.q, {"units": "1/Å"}), "phi": ("bin", problem.phi, {"units": "deg"})},
    )
    return FitResult.from_parts(
        problem.model,
        parameters=theta,
        stderr=np.where(errors > 0, errors, np.nan),
        status=status,
        covariance=covariance,
        hessian=local.hessian,
        sigma2=objective.reduced(local.chi2),
        bins=bins,
        chi2=local.chi2,
        n_data=problem.n_data,
        n_free=objective.n_free,
        success=solved.success and not stopped,
        message=f"{stopped}: best so far" if stopped else solved.message,
        method=options.method_name,
        provenance=provenance,
        path=solved.path,
        bounds=table.bounds,
        uncertainty="least squares, scaled by the reduced chi-square",
    )


def _covariance(
    objective: Objective, theta: np.ndarray, local: NormalEquations
) -> tuple[np.ndarray, np.ndarray]:
    """Inverse curvature times the residual variance; a parameter on a bound counts as fixed."""
    lower, upper = objective.bounds.T
    near = 1e-9 * np.abs(theta)
    at_bound = np.zeros(len(theta), bool)
    moving = objective.moving
    at_bound[moving] = ((theta - lower <= near) | (upper - theta <= near))[moving]
    jacobian = objective.coordinates.jacobian(theta)
    kept = ~at_bound[objective.coordinates.order]
    curvature = 0.5 * jacobian.T @ local.hessian @ jacobian
    inverse = np.zeros_like(curvature)
    inverse[np.ix_(kept, kept)] = np.linalg.pinv(curvature[np.ix_(kept, kept)], rcond=1e-13, hermitian=True)
    return jacobian @ inverse @ jacobian.T * objective.reduced(local.chi2), at_bound
