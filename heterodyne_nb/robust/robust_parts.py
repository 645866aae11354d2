"""The parts of a robust fit: the nominal answer, the settings of the methods, and the result of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import OptimizeResult

from heterodyne_nb.config import ParameterTable
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.fitting.fitting import asked_parameters, parameter_table, stop_token
from heterodyne_nb.fitting.one_time_fit import one_time_result, solve_one_time
from heterodyne_nb.fitting.two_time_fit import FitRun, Solved, result_of, solve_two_time
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.names import unknown_name
from heterodyne_nb.optimize.strategies.strategy import settings_of
from heterodyne_nb.options import RobustMethodOptions, RobustOptions
from heterodyne_nb.progress import OnProgress, StopToken
from heterodyne_nb.result import FitResult, collect_provenance
from heterodyne_nb.robust.optimizer import ROBUST_STRATEGIES
from heterodyne_nb.robust.solvers import require_solver

#: Settings that are those of a fit.
_OF_FIT = ("contrast", "loss", "loss_scale", "multistart", "seed", "gap", "on_progress")
_OF_STRATEGY = ("calibration", "n_scenarios", "cvar", "seed", *RobustMethodOptions.model_fields)


@dataclass(frozen=True)
class RobustRun:
    """A nominal answer and what the robust fits that start from it need."""

    nominal: Solved
    options: FitRun
    dataset: xr.Dataset
    strategy: dict[str, Any]  #: Settings of the robust strategies that are not None.
    asked: dict[str, Any]  #: Arguments of the call, for the record.

    @classmethod
    def begin(
        cls,
        dataset: xr.Dataset,
        asked: RobustOptions,
        start: Any,
        parameters: Mapping[str, Any] | ParameterTable | None,
        on_progress: OnProgress,
        stop: StopToken | None,
    ) -> RobustRun:
        """Check the arguments of :func:`fit_robust`, then make the nominal fit (from ``start``, if there is one)."""
        model = ModelFactory.create_model(asked.mode)
        if not isinstance(dataset, xr.Dataset):
            raise ConfigurationError(
                f"a robust fit needs a Dataset, got {type(dataset).__name__}",
                hint="open the file with open_dataset first",
            )
        if not model.one_time:
            model.checked_gap(asked.gap)
        require_solver(asked.solver)
        strategy = {key: value for key in _OF_STRATEGY if (value := getattr(asked, key)) is not None}
        table = parameter_table(model, parameters)
        strategy["reference"] = {
            name: float(value)
            for name, value, given in zip(table.names, table.values, table.given, strict=True)
            if given
        }
        values = _start_values(start, model.parameter_names, asked.mode)
        plain = {key: getattr(asked, key) for key in _OF_FIT if key != "on_progress"}
        if values is not None:
            table, plain["multistart"] = _started(table, values), 0
        options = FitRun(on_progress=on_progress, stop=stop_token(stop, asked.time_limit), **plain)
        nominal = _solve(dataset, model, table, options)
        told = {"start": values, "parameters": asked_parameters(parameters)}
        record = asked.record() | {name: value for name, value in told.items() if value is not None}
        return cls(nominal, options, dataset, strategy, record)

    def optimiser_settings(self, methods: list[str]) -> dict[str, Any]:
        """Settings of the robust optimiser that at least one of the methods knows."""
        every = {**self.strategy, "on_progress": self.options.on_progress, "stop": self.options.stop}
        known = {key for name in methods for key in settings_of(ROBUST_STRATEGIES[name])}
        return {key: value for key, value in every.items() if key in known}

    def result(self, method: str, answer: OptimizeResult, radius: float, rule: str) -> FitResult:
        """The result of one method: parameters, errors, bands, and the certificate as :attr:`FitResult.robust`."""
        objective = self.nominal.objective
        robust = {**answer.robust, "radius": radius, "radius_rule": rule}
        extra = robust.pop("covariance", None)
        entry = {
            "strategy": method,
            "start": "nominal fit",
            "chi2_reduced": robust["nominal"],
            "iterations": int(answer.nit),
            "nfev": int(answer.nfev),
            "seconds": round(robust["timings"]["total"], 4),
            "message": str(answer.message),
        }
        entry |= {"fallback": "; ".join(robust["fallbacks"])} if robust["fallbacks"] else {}
        solved = Solved(
            objective, np.asarray(answer.x), bool(answer.success), str(answer.message),
            [*self.nominal.path, entry],
        )  # fmt: skip
        asked = {**self.asked, "methods": [method], "radius": {method: radius}}
        provenance = collect_provenance(self.dataset, asked, seed=self.options.seed)
        provenance["robust_call"] = asked  # what the script of the result calls, whatever "config" becomes
        options = self.options.model_copy(update={"method": method})
        finish = one_time_result if objective.problem.model.one_time else result_of
        result = finish(solved, options, provenance, extra_covariance=extra)
        text = json.dumps(robust, sort_keys=True, ensure_ascii=False)
        attributes = {"robust": text}
        if extra is not None:
            told = result.uncertainty + ", and the calibration"
            attributes["uncertainty"] = told
        return FitResult(result.dataset.assign_attrs(attributes))


def nominal_fit(
    dataset: xr.Dataset,
    mode: str,
    start: FitResult | Mapping[str, float] | None,
    parameters: Mapping[str, Any] | ParameterTable | None = None,
    **settings: Any,
) -> Solved:
    """The optimum of a plain fit, from ``start`` if there is one; ``settings`` are those of FitRun."""
    model = ModelFactory.create_model(mode)
    table = parameter_table(model, parameters)
    values = _start_values(start, model.parameter_names, mode)
    if values is not None:
        table, settings = _started(table, values), {**settings, "multistart": 0}
    for key in settings:
        if key not in _OF_FIT:
            raise unknown_name(key, ("parameters", *_OF_FIT), "setting of the fit:")
    return _solve(dataset, model, table, FitRun(**settings))


def _solve(dataset: xr.Dataset, model: Any, table: ParameterTable, options: FitRun) -> Solved:
    solve = solve_one_time if model.one_time else solve_two_time
    return solve(dataset, model, table, options)


def _start_values(start: Any, names: tuple[str, ...], mode: str) -> dict[str, float] | None:
    """Published values to start from, checked."""
    if start is None:
        return None
    if isinstance(start, FitResult):
        if start.mode != mode and start.parameter_names != names:
            raise ConfigurationError(
                f"the start is a fit of mode {start.mode!r}", expected=f"one of {mode!r}"
            )
        return start.values
    if not isinstance(start, Mapping):
        raise ConfigurationError(
            f"a {type(start).__name__} is no start", where="start", expected="a FitResult, or name -> value"
        )
    for name in start:
        if name not in names:
            raise unknown_name(name, names, f"parameter of {mode}:")
    return {str(name): float(value) for name, value in start.items()}


def _started(table: ParameterTable, values: Mapping[str, float]) -> ParameterTable:
    """The table with its varied parameters at these values, inside their bounds; what was stated stays stated."""
    out = np.array(table.values)
    for i, name in enumerate(table.names):
        own = name if table.tie[i] is None else str(table.tie[i])
        if own in values and (table.vary[i] or table.tie[i] is not None):
            out[i] = np.clip(values[own], table.lower[i], table.upper[i])
    return replace(table, values=out)


def path_dataset(objective: Any, method: str, answers: list[OptimizeResult]) -> xr.Dataset:
    """The Dataset of :func:`heterodyne_nb.radius_path`."""
    problem = objective.problem
    model, one_time = problem.model, problem.model.one_time
    robust = [answer.robust for answer in answers]
    described = {
        "nominal": ("nominal", "reduced χ² of the data as they are"),
        "worst_case": ("worst_case", "reduced χ² in the worst case"),
        "worst_case_nominal": ("worst_case_before", "reduced χ² of the nominal answer in its worst case"),
        "relative_gap": ("relative_gap", "program value against inner maximum"),
    }
    columns: dict[str, Any] = {
        name: ("radius", [one[key] for one in robust], {"units": "1", "long_name": words})
        for name, (key, words) in described.items()
    }
    theta = np.array([answer.x for answer in answers])
    columns["parameters"] = (("radius", "parameter"), theta, {"long_name": "published parameters"})
    coords: dict[str, Any] = {
        "radius": (
            "radius",
            [one["radius"] for one in robust],
            {"units": "1", "long_name": f"radius of {method}"},
        ),
        "parameter": list(model.parameter_names),
        "unit": ("parameter", list(problem.table.units)),
    }
    if model.curve_units and not one_time:
        coords["t"] = ("t", problem.t, {"units": "s", "long_name": "time"})
        curves = [model.curves(row, problem.t) for row in theta]
        for name, unit in model.curve_units.items():
            columns[name] = (("radius", "t"), np.array([c[name] for c in curves]), {"units": unit})
    return xr.Dataset(columns, coords=coords, attrs={"method": method, "mode": model.name})
