"""``fit_robust``: min-max fits of a dataset, each with its certificate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import xarray as xr

from heterodyne_nb.analysis.robust_parts import RobustRun
from heterodyne_nb.analysis.robust_radius import chosen_radius
from heterodyne_nb.config import ParameterTable
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.optimize.robust import RobustHeterodyneOptimizer, robust_name
from heterodyne_nb.progress import OnProgress, StopToken, ignore_progress
from heterodyne_nb.results import FitResult

METHODS = ("wasserstein", "scenario", "ellipsoidal")
Radius = float | str


def fit_robust(
    dataset: xr.Dataset,
    mode: str = "heterodyne",
    *,
    methods: str | Iterable[str] = METHODS,
    radius: Radius | Mapping[str, Radius] = "auto",
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
    on_progress: OnProgress = ignore_progress,
    stop: StopToken | None = None,
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
    start : FitResult or mapping, optional
        The nominal fit, or its values; the nominal fit starts there. Without, it searches as ``fit`` does.
    parameters, contrast, loss, loss_scale, multistart, seed, gap, time_limit, on_progress, stop
        As for :func:`heterodyne_nb.fit`; the loss is that of the nominal and of the robust fits.
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
        Most linearisations, default 50.

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
    names = [robust_name(m) for m in ([methods] if isinstance(methods, str) else methods)]
    radii = _by_method(radius, names)
    run = RobustRun.begin(
        dataset,
        mode,
        start,
        parameters,
        strategy={
            "solver": solver,
            "tolerance": tolerance,
            "max_iterations": max_iterations,
            "n_scenarios": n_scenarios,
            "cvar": cvar,
            "seed": seed,
            "calibration": calibration,
        },
        fit={
            "contrast": contrast,
            "loss": loss,
            "loss_scale": loss_scale,
            "multistart": multistart,
            "seed": seed,
            "gap": gap,
            "time_limit": time_limit,
            "on_progress": on_progress,
            "stop": stop,
        },
        methods=names,
    )
    chosen = {name: chosen_radius(run, name, radii[name]) for name in names}
    settings = run.optimiser_settings(names)
    for name, (value, _) in chosen.items():
        settings[name] = {**settings.get(name, {}), "radius": value}
    found = RobustHeterodyneOptimizer(names, **settings).optimize(run.nominal.objective, run.nominal.theta)
    return {name: run.result(name, answer, *chosen[name]) for name, answer in found.items()}


def _by_method(radius: Radius | Mapping[str, Radius], names: list[str]) -> dict[str, Radius]:
    """The radius asked for each method; "auto" where a mapping names none."""
    if not names:
        raise ConfigurationError("no robust method is given", expected=f"any of {', '.join(METHODS)}")
    if not isinstance(radius, Mapping):
        return dict.fromkeys(names, radius)
    asked = {robust_name(name): value for name, value in radius.items()}
    return {name: asked.get(name, "auto") for name in names}
