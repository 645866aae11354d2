"""A one-time fit: g2 of every bin at once, with the same strategies, bounds, ties and priors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import OptimizeResult

from heterodyne_nb.config import ParameterTable
from heterodyne_nb.data.door import checked, one_run
from heterodyne_nb.data.units import standard_units
from heterodyne_nb.engine import NormalEquations, OneTimeObjective, OneTimeProblem
from heterodyne_nb.engine.from_dataset import warn_if_not_normalised
from heterodyne_nb.engine.one_time import level_pulls
from heterodyne_nb.engine.one_time_many import Curves, best_of, fit_many, nested_starts
from heterodyne_nb.engine.one_time_noise import FitDesign, LagNoise, fit_errors, lag_noise
from heterodyne_nb.engine.one_time_window import decay_in_window
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning, warn
from heterodyne_nb.fitting.one_time_parameters import one_time_parameters
from heterodyne_nb.fitting.two_time_fit import PULL, FitRun, Solved, ended, status_words
from heterodyne_nb.models.one_time_scopes import ScopedModel
from heterodyne_nb.models.symmetries import canonical
from heterodyne_nb.optimize.journal import Journal, current_journal
from heterodyne_nb.optimize.multistart import one_fit
from heterodyne_nb.progress import ProgressEvent
from heterodyne_nb.result import FitResult, collect_provenance
from heterodyne_nb.result.trust import ALIKE

#: Starts that the search compares where none is stated.
_STARTS = 6
#: Choices at least of what the bins of a joint fit share, where a curve has more than two numbers; and the best of all
#: starts that are followed to the end.
_JOINT, _FINISHED = 12, 8


@dataclass(frozen=True)
class OneTimeData:
    """g2 of the bins that can be used: arguments of :class:`OneTimeProblem`; and where these bins are in the dataset."""

    tau: np.ndarray
    g2: np.ndarray
    weight: np.ndarray
    q: np.ndarray
    phi: np.ndarray
    errors_known: bool
    places: tuple[np.ndarray, ...] = ()  #: Index of each bin along each of ``axes``.
    axes: tuple[str, ...] = ()


def read_one_time(dataset: xr.Dataset) -> OneTimeData:
    """g2 and its weights from a dataset; where no error is known every lag counts alike.

    Raises DataFormatError: There is no g2, it has dimensions besides bins and lag, no bin can be used, or a unit is
    unknown.
    """
    dataset = checked(one_run(dataset, "dataset"))
    if "g2" not in dataset:
        raise DataFormatError("the dataset has no g2", where="g2", expected="g2(q, phi, tau)")
    dataset = standard_units(dataset[[name for name in ("g2", "g2_err") if name in dataset]])
    extra = {str(d) for d in dataset["g2"].dims} - {"q", "phi", "bin", "tau"}
    if extra:
        raise DataFormatError(
            f"g2 has the dimension {', '.join(sorted(extra))}",
            where="g2",
            expected="one curve a bin",
            hint="fit_batch fits one after the other along such a dimension",
        )
    axes = [d for d in ("q", "phi", "bin") if d in dataset["g2"].dims]

    def rows(name: str) -> np.ndarray:
        values = np.asarray(dataset[name].transpose(*axes, "tau").values, float)
        return values.reshape(-1, values.shape[-1])

    g2 = rows("g2")
    err = rows("g2_err") if "g2_err" in dataset else np.full_like(g2, np.nan)
    errors_known = bool(np.isfinite(err).any())
    if not errors_known:
        err = np.ones_like(g2)
    sizes = [dataset["g2"].sizes[d] for d in axes]
    q, phi = (
        np.broadcast_to(dataset[n].values.reshape([-1 if d in dataset[n].dims else 1 for d in axes]), sizes)
        .astype(float).ravel()
        for n in ("q", "phi")
    )  # fmt: skip
    tau = np.asarray(dataset["tau"].values, float)
    used = np.isfinite(g2) & np.isfinite(err) & (err > 0) & (tau > 0)[None, :]
    weight = np.where(used, 1.0 / np.where(used, err, 1.0) ** 2, 0.0)
    alive = used.any(axis=1)
    if not alive.any():
        raise DataFormatError("no bin has a usable g2", where="g2")
    for b in np.flatnonzero(~alive & np.isfinite(g2).any(axis=1)):
        where = f"bin q = {q[b]:.5g} 1/Å, phi = {phi[b]:.4g}°"
        warn(f"{where}: no lag of its g2 can be used; the bin is left out", DataWarning)
    lags = np.flatnonzero(used.any(axis=0))
    lags = lags[np.argsort(tau[lags])]
    here = np.ix_(alive, lags)
    return OneTimeData(
        tau[lags], np.where(used, g2, 1.0)[here], weight[here], q[alive], phi[alive], errors_known,
        np.unravel_index(np.flatnonzero(alive), sizes) if sizes else (np.zeros(1, int),), tuple(axes),
    )  # fmt: skip


def one_time_problem(
    dataset: xr.Dataset,
    model: Any,
    parameters: Mapping[str, Any] | ParameterTable | None,
    data: OneTimeData | None = None,
) -> OneTimeProblem:
    """A dataset with a model on its bins and what is asked of the parameters; see :func:`read_one_time`."""
    data = read_one_time(dataset) if data is None else data
    model, table, levels = one_time_parameters(model, parameters, data.q, data.phi)
    problem = OneTimeProblem(
        model, table, data.tau, data.g2, data.weight, data.q, data.phi, data.errors_known, levels
    )
    warn_if_not_normalised(problem.scale.unit, table, "g2")
    return problem


def fit_one_time(
    dataset: xr.Dataset,
    model: Any,
    parameters: Mapping[str, Any] | ParameterTable | None,
    options: FitRun,
    asked: dict[str, Any],
) -> FitResult:
    """Fit a one-time model; arguments are those of :func:`heterodyne_nb.fit`.

    Without ``g2_err`` every lag counts alike and the reduced chi-square is 1 by construction.
    """
    solved = solve_one_time(dataset, model, parameters, options)
    return one_time_result(solved, options, collect_provenance(dataset, asked, seed=options.seed))


def solve_one_time(
    dataset: xr.Dataset,
    model: Any,
    parameters: Mapping[str, Any] | ParameterTable | None,
    options: FitRun,
) -> Solved:
    """Read g2 and search; see :func:`fit_one_time`."""
    if options.loss != "linear":
        raise ConfigurationError(
            f"loss {options.loss!r} is for two-time fits",
            where="loss",
            expected="'linear' for one-time modes",
        )
    strategy = replace(options.strategy(), stop=options.stop)
    strategy.require_ready()
    problem = one_time_problem(dataset, model, parameters)
    if problem.errors_known:
        best, path = _search(problem, strategy, options, current_journal())
    else:
        problem, best, path = _search_without_errors(problem, strategy, options)
    objective = OneTimeObjective(_centred(problem, best.x), contrast=options.contrast)
    theta = canonical(problem.model, best.x, np.array(problem.ends), problem.table)
    return Solved(objective, theta, bool(best.success), str(best.message), path)


Path = list[dict[str, Any]]


def _search_without_errors(
    problem: OneTimeProblem, strategy: Any, options: FitRun
) -> tuple[OneTimeProblem, OptimizeResult, Path]:
    """The residuals are all that is known of the noise: their variance is the unit, also of the priors."""
    priors = problem.table.prior
    plain = replace(problem, table=replace(problem.table, prior=(None,) * len(priors)))
    best, path = _search(plain, strategy, options, current_journal())
    objective = OneTimeObjective(_centred(plain, best.x), contrast=options.contrast)
    unit = max(objective.reduced(objective(best.x)), 1e-300)
    problem = replace(problem, weight=problem.weight / unit)
    path = [{**step, "chi2_reduced": step["chi2_reduced"] / unit} for step in path]
    if any(priors) and not options.stop.reason:
        best, more = _search(problem, strategy, options)
        path += more
    return problem, best, path


def _search(
    problem: OneTimeProblem, strategy: Any, options: FitRun, journal: Journal | None = None
) -> tuple[OptimizeResult, Path]:
    """Fit from each start; from others too where the stated start led to a fit without any contrast.

    A journal keeps the best point and the starts that are left.
    """
    objective = OneTimeObjective(problem, contrast=options.contrast)
    names, kept = objective.parameter_names, None
    if journal is not None:
        journal.begin(problem, options.contrast)
        kept = journal.optima(names)
    starts, path = kept or _starts(objective, options), Path()
    best: OptimizeResult | None = None
    while len(path) < len(starts):
        result, entry = _one_fit(problem, starts[len(path)], strategy, options, number=len(path) + 1)
        path.append(entry)
        if best is None or result.fun < best.fun:
            best = result
        if journal is not None:
            journal.search_ended(names, [best.x, *starts[len(path) :]])
        done = len(path) / len(starts)
        options.on_progress(ProgressEvent("fit", done, objective.reduced(float(best.fun))))
        if options.stop.reason:
            break
        if len(starts) == 1 and options.multistart is None and not _has_contrast(objective, best.x):
            starts += _found(objective, _STARTS, options, keep_given=False)
    assert best is not None
    return best, path


def _one_fit(
    problem: OneTimeProblem, start: np.ndarray, strategy: Any, options: FitRun, number: int
) -> tuple[OptimizeResult, dict[str, Any]]:
    """One fit and its entry in the path."""
    objective = OneTimeObjective(_centred(problem, start), contrast=options.contrast)
    return one_fit(objective, start, strategy, str(number))


def _has_contrast(objective: OneTimeObjective, theta: np.ndarray) -> bool:
    """Whether the model explains anything there; where no bin has contrast, χ² is flat."""
    return bool(np.any(objective.equations(theta, derivatives=False).contrast != 0.0))


def _centred(problem: OneTimeProblem, start: np.ndarray) -> OneTimeProblem:
    """The same problem with its start, and so the scale of its coordinates, at ``start``."""
    return replace(problem, table=replace(problem.table, values=start))


def _starts(objective: OneTimeObjective, options: FitRun) -> list[np.ndarray]:
    """The given start, and unless it is complete those that a fit of all shapes finds."""
    table = objective.problem.table
    given = [objective.from_internal(objective.to_internal(objective.x0))]
    if options.multistart == 0 or not objective.coordinates.size:
        return given
    complete = bool(np.all(table.given[objective.free]))
    if complete and options.multistart is None:
        return given
    found = _found(objective, options.multistart or _STARTS, options, keep_given=not complete)
    return (given if table.given[objective.free].any() else []) + found


def curves_of(objective: OneTimeObjective, table: ParameterTable, group: np.ndarray) -> Curves:
    """The data of an objective for :func:`heterodyne_nb.engine.one_time_many.fit_many`."""
    p = objective.problem
    model = p.model.base if objective.scoped else p.model
    return Curves(model, table, p.tau, p.g2, p.weight, p.q, p.phi, group, objective.linear.limits(p.n_bins))


def _found(objective: OneTimeObjective, count: int, options: FitRun, *, keep_given: bool) -> list[np.ndarray]:
    """Starts from fits of all bins together, and with scopes also of each bin by itself."""
    problem, stop = objective.problem, options.stop
    table = problem.table if keep_given else replace(problem.table, given=np.zeros(len(problem.table), bool))
    if not objective.scoped:
        together = np.zeros(problem.n_bins, int)
        fitted = fit_many(curves_of(objective, table, together), starts=count, stop=stop)
        return [
            objective.from_internal(
                objective.to_internal(np.clip(fitted.values[0], table.lower, table.upper))
            )
        ]
    model, apart = problem.model, np.arange(problem.n_bins)
    base = _table_of_base(model, table)
    fitted = fit_many(curves_of(objective, base, apart), stop=stop)
    values = [canonical(model.base, one, problem.tau, base) for one in fitted.values]
    locals_ = [np.array(values).T]
    shared = np.array([place.scope == "shared" for place in model.places])
    tied = np.array([tie is not None for tie in base.tie])
    sets = [np.where(shared[:, None], np.median(locals_[0], axis=1)[:, None], locals_[0]).T]
    count = max(count, _JOINT) if np.count_nonzero(base.vary) > 2 else count
    sets += list(nested_starts(curves_of(objective, base, apart), shared & ~tied, count))
    for local in sets:  # what the bins share held, each bin fitted for the rest
        held = replace(base, values=np.clip(local[0], base.lower, base.upper), vary=base.vary & ~shared)
        own = curves_of(objective, held, apart)
        near, anew = fit_many(own, start=local, stop=stop), fit_many(own, stop=stop)
        locals_.append(best_of([near, anew], apart).values.T)
    starts = []
    for local in locals_:
        theta = np.where(table.given | ~table.vary, table.values, model.start(local))
        theta = np.clip(theta, table.lower, table.upper)
        starts.append(objective.from_internal(objective.to_internal(theta)))
    return sorted(starts, key=objective)[:_FINISHED]


def _table_of_base(model: ScopedModel, table: ParameterTable) -> ParameterTable:
    """Table of the parameters of one curve: limits and stated values of the first group of each."""
    first = [place.first for place in model.places]
    laws = np.array([place.law is not None for place in model.places])
    specs = model.base.parameters
    names = model.base.parameter_names

    def taken(values: np.ndarray, of_spec: list[Any]) -> np.ndarray:
        return np.where(laws, of_spec, np.asarray(values)[first])

    return replace(
        table,
        names=names,
        values=taken(table.values, [s.default for s in specs]),
        lower=taken(table.lower, [s.lower for s in specs]),
        upper=taken(table.upper, [s.upper for s in specs]),
        vary=taken(table.vary, [True] * len(specs)).astype(bool),
        given=taken(table.given, [False] * len(specs)).astype(bool),
        tie=tuple(None if table.tie[i] is None else str(table.tie[i]).split("[")[0] for i in first),
        prior=tuple(None if law else table.prior[i] for i, law in zip(first, laws, strict=True)),
        units=tuple(s.unit for s in specs),
    )


def one_time_result(
    solved: Solved, options: FitRun, provenance: dict[str, Any], *, extra_covariance: Any = None
) -> FitResult:
    """Put the result of a one-time fit together; see :func:`heterodyne_nb.fitting.two_time_fit.result_of`."""
    objective, theta, problem = solved.objective, solved.theta, solved.objective.problem
    assert isinstance(objective, OneTimeObjective)
    local = objective.equations(theta)
    spread = one_time_errors(objective, theta, local)
    covariance = spread.covariance if extra_covariance is None else spread.covariance + extra_covariance
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    return FitResult.from_parts(
        problem.model,
        parameters=theta,
        stderr=np.where(errors > 0, errors, np.nan),
        status=status_words(problem.table, spread.at_bound),
        covariance=covariance,
        hessian=local.hessian,
        sigma2=objective.reduced(local.chi2),
        bins=_bins(objective, theta, local, spread, covariance),
        **ended(solved, options, local.chi2, provenance),
        uncertainty=spread.told,
        extra={"scopes": problem.model.scopes, "q0": problem.model.q0} if objective.scoped else None,
    )


@dataclass(frozen=True)
class Spread:
    """Errors of a one-time fit."""

    #: covariance, naive (p, p): With the correlation of lags, and without it in units of the stated errors.
    covariance: np.ndarray
    naive: np.ndarray
    at_bound: np.ndarray  #: (p,)
    levels: np.ndarray  #: (B, 2): Errors of contrast and offset.
    noise: LagNoise
    told: str  #: How they were estimated, in words.


def one_time_errors(objective: OneTimeObjective, theta: np.ndarray, local: NormalEquations) -> Spread:
    """Errors with the correlation of lags; a parameter on a bound counts as fixed."""
    lower, upper = objective.bounds.T
    near = 1e-9 * np.abs(theta)
    at_bound = np.zeros(len(theta), bool)
    moving = objective.moving
    at_bound[moving] = ((theta - lower <= near) | (upper - theta <= near))[moving]
    jacobian = objective.coordinates.jacobian(theta)
    kept = np.flatnonzero(~at_bound[objective.coordinates.order])
    design = objective.design(theta)
    n = jacobian.shape[1]
    columns = np.concatenate([kept, np.arange(n, design.slopes.shape[2])])
    design = replace(design, slopes=design.slopes[:, :, columns])
    prior = level_priors(objective, design)
    prior[: len(kept), : len(kept)] += objective.priors.curvature(jacobian)[np.ix_(kept, kept)]
    known = objective.problem.errors_known
    noise = lag_noise(design, known=known)
    found = fit_errors(design, noise, prior=prior, floor=1.0 if known else 0.0)
    plain = fit_errors(design, LagNoise(0.0, 1.0), prior=prior)
    back = jacobian[:, kept]
    covariance, naive = (back @ one.covariance[: len(kept), : len(kept)] @ back.T for one in (found, plain))
    told = "least squares" + (
        " with the stated errors of g2" if known and noise.scale <= 1 else ", scaled by the scatter"
    )
    told += f", neighbouring lags correlated by {noise.neighbours:.2f}" if noise.neighbours > 0.005 else ""
    told += ALIKE if noise.lowers_chi2 else ""
    return Spread(covariance, naive, at_bound, found.levels, noise, told)


def level_priors(objective: OneTimeObjective, design: FitDesign) -> np.ndarray:
    """What priors of contrasts and offsets that bins share add to the curvature by the n numbers, (n, n)."""
    out = np.zeros((design.slopes.shape[2], design.slopes.shape[2]))
    if design.shared is None:
        return out
    for k, _, strength in objective.linear._priors:
        rows = design.shared[:, k]
        out[-rows.shape[1] :, -rows.shape[1] :] += (rows.T * strength) @ rows
    return out


def _bins(
    objective: OneTimeObjective,
    theta: np.ndarray,
    local: NormalEquations,
    spread: Spread,
    covariance: np.ndarray,
) -> xr.Dataset:
    problem = objective.problem
    curves = curves_of(objective, problem.table, np.arange(problem.n_bins))
    unit = spread.noise.inflation
    window = decay_in_window(curves, local.chi2_bin, errors_known=problem.errors_known, unit=unit)
    m = objective.correlation(theta)
    residual = local.contrast[:, None] * m + local.offset[:, None] - problem.g2
    values = np.stack([local.contrast, local.offset])
    pulls = np.zeros((2, problem.n_bins))
    if objective.linear.single:
        pulls = level_pulls(m, problem.weight * residual, problem.weight, values, curves.levels)
    entries: dict[str, Any] = {
        "contrast": ("bin", local.contrast, {"units": "1", "long_name": "contrast"}),
        "offset": ("bin", local.offset, {"units": "1", "long_name": "offset"}),
        "contrast_error": ("bin", spread.levels[:, 0], {"units": "1", "long_name": "error of the contrast"}),
        "offset_error": ("bin", spread.levels[:, 1], {"units": "1", "long_name": "error of the offset"}),
        "contrast_pull": ("bin", pulls[0], {"units": "1", "long_name": PULL.format("contrast")}),
        "offset_pull": ("bin", pulls[1], {"units": "1", "long_name": PULL.format("offset")}),
        "chi2_reduced_bin": ("bin", local.chi2_bin / np.maximum(problem.count - 2, 1), {"units": "1"}),
        "decay": ("bin", window, {"long_name": "what keeps the window of lags from telling a rate"}),
    }
    if objective.scoped:
        model = problem.model
        values, chain = model.local(theta), model.chain(theta)
        errors = np.sqrt(np.maximum(np.einsum("pbm,mn,pbn->pb", chain, covariance, chain), 0.0))
        for i, spec in enumerate(model.base.parameters):
            about = {"units": spec.unit, "long_name": f"{spec.name} of the bin"}
            entries[spec.name] = ("bin", values[i], about)
            entries[f"{spec.name}_error"] = ("bin", errors[i], about)
    coords = {"q": ("bin", problem.q, {"units": "1/Å"}), "phi": ("bin", problem.phi, {"units": "deg"})}
    return xr.Dataset(entries, coords=coords)
