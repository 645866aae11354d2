"""``fit_robust``: min-max fits of a dataset, each with its certificate."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
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
from heterodyne_nb.optimize.journal import journalled
from heterodyne_nb.optimize.strategies.strategy import settings_of
from heterodyne_nb.options import RobustMethodOptions, RobustOptions, keywords
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken, careful, ignore_progress
from heterodyne_nb.result import FitResult, collect_provenance
from heterodyne_nb.robust.optimizer import ROBUST_STRATEGIES, RobustHeterodyneOptimizer, robust_name
from heterodyne_nb.robust.radius import allowance, chosen_radius, expected_rise
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


Radius = float | str


@keywords()
def fit_robust(
    dataset: xr.Dataset,
    mode: str = "heterodyne",
    *,
    methods: str | Iterable[str] = ("wasserstein", "scenario", "ellipsoidal"),
    radius: Radius | Mapping[str, Radius] = "auto",
    price: float | str | None = "auto",
    start: FitResult | Mapping[str, float] | None = None,
    parameters: Mapping[str, Any] | ParameterTable | None = None,
    contrast: str = "per_bin",
    loss: str = "linear",
    loss_scale: float | str = "auto",
    calibration: Mapping[str, float] | None = None,
    solver: str = "CLARABEL",
    n_scenarios: int = 50,
    cvar: float | None = None,
    tolerance: float = 1e-9,
    max_iterations: int | None = None,
    multistart: int | None = None,
    seed: int = 0,
    gap: float | None = None,
    time_limit: float | None = None,
    executor: Any = None,
    workers: int | None = None,
    on_progress: OnProgress = ignore_progress,
    stop: StopToken | None = None,
    journal: str | os.PathLike[str] | None = None,
) -> dict[str, FitResult]:
    """Fit by minimising a worst case instead of χ² itself; all pixels used.

    Parameters
    ----------
    dataset : Dataset
        With two-time maps for a two-time mode, with ``g2(…, tau)`` for a one-time one.
    mode : str
        Analysis mode; see ``ModelFactory.names()``.
    methods : str or iterable of str
        ``wasserstein``: the worst law of the data near theirs; steadies what they hardly determine.
        ``scenario``: the worst of many block-bootstrap samples of frames and bins (with ``cvar``, the mean of the
        worst ones). ``ellipsoidal``: the worst instrument within its calibration tolerances.
    radius : float, "auto", "cv" or mapping
        Size of the set, by method if a mapping. 0 is the plain fit. "auto": by the profile rule for wasserstein;
        1, the whole bootstrap, for scenario; 1 tolerance for ellipsoidal. "cv": by cross-validation over bins
        (wasserstein and scenario).
    price : float, "auto" or None
        Most that the answer may fit worse than the nominal one, in units of what the truth itself is expected to fit
        worse (in χ² the number of parameters where pixels are independent, more as they share frames): up to 1 the
        data cannot tell the answer from the best fit, and of all such answers it has the lowest worst case. "auto": 1
        for wasserstein; for the others, which move for safety alone, one error bar in any one direction (1 over the
        number of parameters). None: no limit, the plain min-max.
    start : FitResult or mapping, optional
        The nominal fit, or its values; the nominal fit starts there. Without, it searches as ``fit`` does.
    parameters, contrast, loss, loss_scale, multistart, seed, gap, time_limit, on_progress, stop
        As for :func:`heterodyne_nb.fit`; the loss is that of the nominal and of the robust fits. Values stated in
        ``parameters``, and prior means, are the centre that wasserstein leans on; where nothing is stated it is the
        constant curve through the nominal one.
    calibration : mapping, optional
        Tolerances of the instrument for ellipsoidal, any of ``q_scale`` (relative), ``phi_zero_deg`` (degrees),
        ``frame_time`` (relative), ``baseline`` (drift of c2 from the first to the last frame), ``frame_stripe``
        (shift of c2 in a block of frames). What is not named counts as known. Default: q to 1 %, φ to 1°.
    solver : str
        Of the cone programs: CLARABEL, SCS, GUROBI (no ellipsoidal), MOSEK, COPT, CVXOPT, ECOS (no ellipsoidal).
    n_scenarios : int
        Number of bootstrap samples of scenario.
    cvar : float, optional
        Mean of this worst fraction of the scenarios instead of the worst alone.
    tolerance : float
        Relative decrease of the worst case at which it has converged.
    max_iterations : int, optional
        Most linearisations, default 100.
    journal : path, optional
        Keeps the nominal fit, whose search takes most of the time; see :func:`heterodyne_nb.fit`.
    executor, workers
        Who runs the methods side by side; see :func:`heterodyne_nb.fit_batch`.

    Returns
    -------
    dict of str to FitResult
        By method. ``FitResult.robust`` holds nominal and worst-case reduced χ², radius and its rule, the
        certificate (value of the cone program against the inner maximum found without it) and the worst case in
        words.

    Raises
    ------
    ConfigurationError
        A name or value is wrong.
    DataFormatError
        The dataset lacks what the mode needs.
    OptimizationError
        The solver is not ready, or every method failed.

    Examples
    --------
    >>> import heterodyne_nb as hnb                                                  # doctest: +SKIP
    >>> answers = hnb.fit_robust(hnb.example_dataset(), radius={"ellipsoidal": 2})   # doctest: +SKIP
    >>> print(answers["ellipsoidal"].robust["words"])                                # doctest: +SKIP
    """
    on_progress = careful(on_progress)
    options = RobustOptions.read(
        {
            "mode": mode,
            "methods": methods if isinstance(methods, str) else tuple(methods),
            "radius": radius,
            "price": price,
            "contrast": contrast,
            "loss": loss,
            "loss_scale": loss_scale,
            "calibration": calibration,
            "solver": solver,
            "n_scenarios": n_scenarios,
            "cvar": cvar,
            "tolerance": tolerance,
            "max_iterations": max_iterations,
            "multistart": multistart,
            "seed": seed,
            "gap": gap,
            "time_limit": time_limit,
        }
    )
    names, radii = list(options.methods), options.radii()
    with journalled(journal):
        run = RobustRun.begin(dataset, options, start, parameters, on_progress, stop)
    chosen = {name: chosen_radius(run, name, radii[name]) for name in names}
    settings = run.optimiser_settings(names)
    for name, (value, _) in chosen.items():
        settings[name] = {"radius": value, "allowance": allowance(run, name, price)}
    found = RobustHeterodyneOptimizer(names, **settings).optimize(
        run.nominal.objective, run.nominal.theta, executor, workers
    )
    return {name: run.result(name, answer, *chosen[name]) for name, answer in found.items()}


def radius_path(
    dataset: xr.Dataset,
    method: str,
    radii: Sequence[float] | None = None,
    *,
    mode: str = "heterodyne",
    price: float | str | None = None,
    start: FitResult | Mapping[str, float] | None = None,
    parameters: Mapping[str, Any] | ParameterTable | None = None,
    on_progress: OnProgress = ignore_progress,
    stop: StopToken | None = None,
    **settings: Any,
) -> xr.Dataset:
    """The price of robustness: the answers of one method for a rising radius, each started from the last.

    Parameters
    ----------
    dataset, mode, start, parameters, on_progress, stop
        As for :func:`fit_robust`.
    method : str
        ``wasserstein``, ``scenario`` or ``ellipsoidal``.
    price : float, "auto" or None
        As for :func:`fit_robust`, but without a limit unless one is given: the path shows the whole price.
    radii : sequence of float, optional
        From 0 to twice the radius that "auto" chooses (scenario: to 1) when not given.
    **settings
        Further arguments of :func:`fit_robust`.

    Returns
    -------
    Dataset
        On ``radius``: ``nominal`` and ``worst_case`` (reduced χ² of the answer as it is and in its worst case),
        ``worst_case_nominal`` (worst case of the nominal answer), ``relative_gap`` of the certificate,
        ``parameters(radius, parameter)``, and each curve ``(radius, t)`` in its units. Attributes ``method``,
        ``mode``, ``auto_radius`` and ``allowed``, the nominal value up to which the answer fits as well as the
        truth is expected to.

    Raises
    ------
    ConfigurationError, DataFormatError, OptimizationError
        As for :func:`fit_robust`.

    Examples
    --------
    >>> import heterodyne_nb as hnb                                                  # doctest: +SKIP
    >>> path = hnb.radius_path(hnb.example_dataset(), "wasserstein")                 # doctest: +SKIP
    """
    name = robust_name(method)
    options = RobustOptions.read(
        {**settings, "mode": mode, "methods": (name,), "price": price}, kind="argument of radius_path:"
    )
    run = RobustRun.begin(dataset, options, start, parameters, on_progress, stop)
    auto, _ = chosen_radius(run, name, "auto")
    chosen = _radii(name, auto) if radii is None else _checked(name, radii)
    limit = allowance(run, name, price)
    strategy = ROBUST_STRATEGIES[name](**run.optimiser_settings([name]), allowance=limit)
    nominal = run.nominal
    answers = []
    for answer in strategy.sweep(nominal.objective, nominal.theta, chosen):
        answers.append(answer)
        told = f"radius {answer.robust['radius']:.4g}"
        run.options.on_progress(ProgressEvent("radius path", len(answers) / len(chosen), message=told))
        if run.options.stop.reason:
            break
    objective = nominal.objective
    allowed = answers[0].robust["nominal_before"] + objective.reduced(expected_rise(run))
    return path_dataset(objective, name, answers).assign_attrs(auto_radius=auto, allowed=allowed)


def _radii(method: str, auto: float) -> list[float]:
    top = auto if method == "scenario" else 2.0 * auto
    return [0.0, *(top * np.array([0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0]))]


def _checked(method: str, radii: Sequence[float]) -> list[float]:
    """Radii in rising order, each a valid one of the method."""
    try:
        values = sorted(float(radius) for radius in radii)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{radii!r}", where="radii", expected="numbers, 0 or more") from None
    if not values:
        raise ConfigurationError("no radius is given", where="radii", expected="numbers, 0 or more")
    for value in values:
        ROBUST_STRATEGIES[method](radius=value)
    return values
