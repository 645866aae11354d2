"""The objective a result came from, made again: what every later question about a fit begins with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.config import ParameterTable
from heterodyne_nb.config.parameters import build_table, read_requests
from heterodyne_nb.engine import (
    FrameProblem,
    Objective,
    OneTimeObjective,
    RobustObjective,
    problem_from_dataset,
    problem_from_frames,
)
from heterodyne_nb.engine.cells import CellProblem
from heterodyne_nb.engine.pixels import z_rows
from heterodyne_nb.errors import ConfigurationError, OptimizationError
from heterodyne_nb.fitting.one_time_fit import one_time_problem
from heterodyne_nb.frames import FrameSet
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.old_paths import either_order
from heterodyne_nb.options.problems import Problem as SettingProblem
from heterodyne_nb.result.fit_result import FitResult

#: Relative difference of χ² above which a dataset is not the one that was fitted.
_SAME = 1e-5
#: Frames of an objective without noise at most: of longer runs every k-th.
_FRAMES = 400
_NO_COLUMNS = np.zeros(0, np.int64)


@either_order
def one_time_objective_of(dataset: xr.Dataset, result: FitResult) -> OneTimeObjective:
    """The objective of a one-time fit, with its scopes, bounds, ties, priors and contrast mode.

    ``result``, ``dataset``: As for :func:`objective_of`.

    Raises ConfigurationError: The data are not those that were fitted.
    """
    settings = result.provenance.get("config") or {}
    asked = settings.get("parameters") or {}
    problem = one_time_problem(dataset, ModelFactory.create_model(result.mode), asked)
    table = replace(problem.table, values=np.clip(optimum(result), *problem.table.bounds.T))
    objective = OneTimeObjective(
        replace(problem, table=table), contrast=str(settings.get("contrast", "per_bin"))
    )
    if not problem.errors_known:  # the scatter about the fit was the unit
        penalty = objective.priors.penalty(optimum(result))
        found = objective.equations(optimum(result), derivatives=False).chi2 - penalty
        unit = found / max(result.chi2 - penalty, 1e-300)
        weighted = replace(problem, table=table, weight=problem.weight / unit)
        objective = OneTimeObjective(weighted, contrast=objective.contrast)
    _check_same(result, objective)
    return objective


@either_order
def objective_of(dataset: xr.Dataset | FrameSet | Objective, result: FitResult) -> Objective:
    """The objective of a two-time fit, with its bounds, ties, priors, contrast mode and loss.

    Parameters
    ----------
    dataset : Dataset, FrameSet or Objective
        The data that were fitted. An objective made by this function is returned as it is, so that several
        questions read the maps once.
    result : FitResult
        Of :func:`heterodyne_nb.fit`.

    Raises
    ------
    ConfigurationError
        The result is not of a plain two-time fit, or the data are not those that were fitted.
    OptimizationError
        The result does not say which parameters were tied to which.
    """
    if isinstance(dataset, Objective):
        _check_same(result, dataset)
        return dataset
    if not isinstance(dataset, xr.Dataset | FrameSet):
        raise ConfigurationError(
            f"a {type(dataset).__name__} is no dataset", where="dataset", expected="the data that were fitted"
        )
    model = ModelFactory.create_model(result.mode)
    if model.one_time:
        raise ConfigurationError(
            f"{result.mode} is a one-time mode: its data have no two-time maps",
            hint="fit the two-time maps, or repeat the one-time fit over several ages",
        )
    if "robust" in result.dataset.attrs:
        raise ConfigurationError(
            "a min-max answer is no minimum of chi-square, so nothing can be expanded around it",
            hint="use the nominal fit of the same data",
        )
    settings = result.provenance.get("config") or {}
    if isinstance(dataset, FrameSet):
        via = str(result.provenance.get("road", "frames")).partition(":")[0]
        problem = problem_from_frames(dataset, model, table_of(result), gap=result.gap, via=via)
    else:
        problem = problem_from_dataset(dataset, model, table_of(result), gap=result.gap)
    problem = replace(
        problem, model=problem.model.integrating(result.extra.get("integral", "exact"), problem.t)
    )
    contrast = str(settings.get("contrast", "per_bin"))
    loss = str(settings.get("loss", "linear"))
    objective = Objective(problem, contrast=contrast)
    if loss != "linear":
        objective = RobustObjective(
            problem, loss=loss, scale=_scale(result), start=_inner(result, problem.n_bins), contrast=contrast
        )
    _check_same(result, objective)
    return objective


def noiseless(objective: Objective, theta: FloatArray) -> Objective:
    """The same objective with the model in place of the data, on so many frames that a pass takes a millisecond.

    ``theta`` (p,): Published parameters of that model.
    """
    problem: Any = objective.problem
    local = objective.equations(theta, derivatives=False)
    if isinstance(objective, OneTimeObjective):
        fitted = local.contrast[:, None] * objective.correlation(theta) + local.offset[:, None]
        small: Objective = OneTimeObjective(replace(problem, g2=fitted), contrast=objective.contrast)
        small.linear.about(local.contrast, local.offset)
        return small
    problem = problem.small if isinstance(problem, FrameProblem | CellProblem) else problem
    problem = problem.every(-(-len(problem.t) // _FRAMES)) if len(problem.t) > _FRAMES else problem
    data = np.zeros_like(problem.data)
    for b in range(problem.n_bins):
        m = z_rows(problem, theta, _NO_COLUMNS, b, 0, len(problem.t))[-3]
        data[b] = np.where(problem.data[b] != 0.0, local.offset[b] + local.contrast[b] * m, 0.0)
    small = Objective(replace(problem, data=data, layouts={}), contrast=objective.contrast)
    small.linear.about(local.contrast, local.offset)
    return small


def optimum(result: FitResult) -> FloatArray:
    """The published values of a result, (p,)."""
    return np.array(result.dataset["parameters"].values, float)


def table_of(result: FitResult) -> ParameterTable:
    """The parameters of a fit as they were asked for, with the values it found."""
    model = ModelFactory.create_model(result.mode)
    settings = result.provenance.get("config")
    problems: list[SettingProblem] = []
    asked = (settings.get("parameters") or {}) if settings else _asked(result)
    requests = read_requests(asked, model.parameter_names, problems)
    table = build_table(model.name, model.parameters, requests, problems)
    values = np.clip(optimum(result), table.lower, table.upper)
    return replace(table, values=values, given=np.ones(len(values), bool), notes=())


def _asked(result: FitResult) -> dict[str, Any]:
    """What an old result without settings still tells: bounds, and what was held."""
    if "tied" in result.status.values():
        raise OptimizationError(
            "the result does not say which parameters were tied to which", hint="fit the data again"
        )
    ds = result.dataset
    asked: dict[str, Any] = {}
    for i, name in enumerate(result.parameter_names):
        asked[name] = {
            "value": float(ds["parameters"].values[i]),
            "vary": result.status[name] != "fixed",
            "min": float(ds["bound_lower"].values[i]),
            "max": float(ds["bound_upper"].values[i]),
        }
    return asked


def _scale(result: FitResult) -> float:
    known = [step["scale"] for step in result.path if step.get("scale") is not None]
    if not known:
        raise OptimizationError("the result does not say the scale of its loss", hint="fit the data again")
    return float(known[-1])


def _inner(result: FitResult, n_bins: int) -> tuple[FloatArray, FloatArray]:
    ds = result.dataset
    if "contrast" not in ds or ds.sizes["bin"] != n_bins:
        raise ConfigurationError("the dataset has other bins than the one that was fitted", where="dataset")
    return np.array(ds["contrast"].values, float), np.array(ds["offset"].values, float)


def _check_same(result: FitResult, objective: Objective) -> None:
    if objective.parameter_names != result.parameter_names:
        raise ConfigurationError(
            f"the objective has other parameters than the result of {result.mode!r}", where="dataset"
        )
    if not np.isfinite(result.chi2):
        return
    found = objective.equations(optimum(result), derivatives=False).chi2
    if abs(found - result.chi2) > _SAME * max(abs(result.chi2), 1e-30):
        raise ConfigurationError(
            f"chi-square of the result is {result.chi2:.8g}, and on these data {found:.8g}",
            where="dataset",
            expected="the data that were fitted, with the same selection and mask",
        )
