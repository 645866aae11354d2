"""``fit``: from a dataset to a result, in one call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import xarray as xr

from heterodyne_nb.config import ParameterTable, asked_of, resolve_parameters
from heterodyne_nb.data.door import checked, one_run
from heterodyne_nb.data.units import standard_units
from heterodyne_nb.engine import Objective, problem_from_dataset
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.fitting.one_time_fit import fit_one_time
from heterodyne_nb.fitting.two_time_fit import FitRun, fit_two_time
from heterodyne_nb.frames import FrameSet, correlate
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.optimize import OptimizationStrategy
from heterodyne_nb.optimize.guess import initial_guess as guess_from_objective
from heterodyne_nb.optimize.journal import journalled
from heterodyne_nb.options import keywords
from heterodyne_nb.progress import OnProgress, StopToken, careful, ignore_progress
from heterodyne_nb.result.fit_result import FitResult, remember


@keywords()
def fit(
    dataset: xr.Dataset | FrameSet,
    mode: str = "heterodyne",
    *,
    parameters: Mapping[str, Any] | ParameterTable | None = None,
    method: str | OptimizationStrategy = "gauss_newton",
    contrast: str = "per_bin",
    loss: str = "linear",
    loss_scale: float | str = "auto",
    multistart: int | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    gap: float | None = None,
    via: str = "auto",
    integral: str = "exact",
    options: Mapping[str, Any] | None = None,
    on_progress: OnProgress = ignore_progress,
    stop: StopToken | None = None,
    journal: str | os.PathLike[str] | None = None,
    executor: Any = None,
    workers: int | None = None,
    memory: str | float = "50 %",
) -> FitResult:
    """Fit a model to every bin of a dataset at once, all pixels used.

    The parameters of the curves are shared by all (q, phi) bins; contrast and offset belong to each bin unless
    tied. Without start values the fit finds its own (fringes, decays, then many starts).

    Parameters
    ----------
    dataset : Dataset or FrameSet
        With two-time maps for a two-time mode, with ``g2(…, tau)`` for a one-time one; or detector frames, which need
        no map: a two-time mode is fitted to the photons themselves, with errors from speckles.
    mode : str
        Analysis mode; see ``ModelFactory.names()``.
    parameters : mapping or ParameterTable, optional
        Name -> start value, or ``dict(value=, min=, max=, vary=, tie=, prior=(mu, sigma))``. ``contrast`` and
        ``offset`` of the bins take limits, a fixed value (``vary=False``) and a prior in the same way; without, the
        contrast stays in (0, 1], as that of speckle does, and the offset in (0.8, 2), or (−0.2, 1) for c2 − 1.
        :func:`heterodyne_nb.calibrate_contrast` makes such an entry from a static sample, a value a bin or q.
        In one-time modes each may also have a ``scope=``: ``"shared"`` (all bins, the default), ``"q"``, ``"phi"``,
        ``"each"`` (every bin), or a law, ``"power"`` (``Gamma.mid`` (q/q0)^``Gamma.n``), ``"diffusive"``
        (D q²), ``"flow"`` (``q v |cos(phi0 - phi)|``), ``"linear"``; ``value`` may then be one a group. See
        :mod:`heterodyne_nb.models.one_time_scopes`.
    method : str or OptimizationStrategy
        Name of a strategy: ``gauss_newton``, ``trf``, ``lbfgsb``, ``nelder_mead``, ``gurobi`` or a registered one; or
        a strategy of one's own, made or as a class, whose ``optimize`` returns SciPy's OptimizeResult.
    contrast : {"per_bin", "shared", "per_q", "smooth_phi"}
        How contrast and offset are tied over bins.
    loss : {"linear", "huber", "soft_l1", "cauchy", "tukey"}
        Robust losses bound the pull of outlying pixels.
    loss_scale : float or "auto"
        Scale of the residuals in units of sigma; "auto" estimates it.
    multistart : int, optional
        Number of start vectors that are fitted; 0: the given start alone. Default: the search decides. Each search
        goes on with hops from its best answer to other basins.
    time_limit : float, optional
        Seconds; the best so far is returned, marked so. The pass over the data that runs is ended, and one more gives
        the errors.
    seed : int
        Of the search.
    gap : float, optional
        Gap of the shear cell in Å (laminar_flow).
    via : {"auto", "map", "frames"}
        For detector frames: through a two-time map or without one. ``"auto"`` takes what costs less, and the
        provenance of the result says which.
    integral : {"exact", "trapezoid", "rectangle"}
        How a two-time model integrates its curves over time. The last two are sums over frames, only to reproduce
        figures of packages that integrate so: a step from frame to frame counts with the mean of its ends, or with
        its later frame.
    options : mapping, optional
        Settings of the strategy.
    on_progress : callable, optional
        Receives each :class:`~heterodyne_nb.progress.ProgressEvent`: a function, or an observer such as
        ``ConsoleProgressObserver()``.
    stop : StopToken, optional
        To cancel from another thread.
    journal : path, optional
        A small file in which the best point of a fit is kept while it runs, at most every second. Where it
        exists, the fit goes on from it, for instance after the process was killed: a search that had ended is not
        made again. It stays after the fit.
    executor : str, Executor or dask.distributed.Client, optional
        Who holds the maps of a two-time fit and adds up their pixels: ``"processes"``, an executor of
        ``concurrent.futures``, a dask client or the address of a scheduler. Each worker reads its bins from the file,
        and those of one that dies are read again; the numbers are the same bit for bit. It is for data larger than the
        memory of one machine: on one machine the threads of the kernels do the same without copies. Default: here.
    workers : int, optional
        Processes; more than 1 without an executor.
    memory : str or float
        What the maps may take here: bytes, ``"3 GB"``, or a share of what is free, ``"50 %"``. Larger ones are kept in a
        temporary file (``TMPDIR`` says where) and pass through memory bin by bin, at least one at a time.

    Returns
    -------
    FitResult

    Raises
    ------
    ConfigurationError
        A name, value or bound is wrong.
    DataFormatError
        The dataset lacks what the mode needs.
    OptimizationError
        The fit cannot start.

    Examples
    --------
    >>> import heterodyne_nb as hnb                                       # doctest: +SKIP
    >>> result = hnb.fit(hnb.example_dataset(), "heterodyne")             # doctest: +SKIP
    """
    on_progress, given = careful(on_progress), dataset
    model = ModelFactory.create_model(mode)
    if not isinstance(dataset, FrameSet):
        dataset = standard_units(checked(one_run(dataset, "fit")))
    if via != "auto" and not isinstance(dataset, FrameSet):
        raise ConfigurationError(f"via = {via!r} is for detector frames", where="via", expected="'auto'")
    if not model.one_time:
        model.checked_gap(gap)
        table = parameter_table(model, parameters)
    elif integral != "exact":
        raise ConfigurationError(
            f"{mode} is a one-time mode and integrates nothing", where="integral", expected="'exact'"
        )
    settings = FitRun.read(
        {
            "mode": mode,
            "method": method,
            "contrast": contrast,
            "loss": loss,
            "loss_scale": loss_scale,
            "multistart": multistart,
            "time_limit": time_limit,
            "seed": seed,
            "gap": gap,
            "via": via,
            "integral": integral,
            "options": dict(options or {}),
            "on_progress": on_progress,
            "stop": stop_token(stop, time_limit),
            "executor": executor,
            "workers": workers,
            "memory": memory,
        }
    )
    asked = asked_parameters(parameters)
    record = {**settings.record(), **({} if asked is None else {"parameters": asked})}
    with journalled(journal):
        if model.one_time:
            curves = correlate(dataset) if isinstance(dataset, FrameSet) else dataset
            return fit_one_time(curves, model, parameters, settings, record)
        return remember(fit_two_time(dataset, model, table, settings, record), given)


@keywords()
def initial_guess(
    dataset: xr.Dataset,
    mode: str = "heterodyne",
    *,
    parameters: Mapping[str, Any] | ParameterTable | None = None,
    gap: float | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Start values of a two-time mode from the data alone.

    The fringes of all bins give velocity and direction, the frames' resolution the range of the decays; many
    combinations are compared by χ² on fewer frames and the best is returned.

    Parameters
    ----------
    dataset, mode, parameters, gap, seed
        As for :func:`fit`; what ``parameters`` states is kept.

    Returns
    -------
    dict
        Published name -> value.

    Raises
    ------
    ConfigurationError, DataFormatError
        As for :func:`fit`.
    """
    model = ModelFactory.create_model(mode)
    problem = problem_from_dataset(dataset, model, parameter_table(model, parameters), gap=gap)
    return guess_from_objective(Objective(problem), seed=seed)


def parameter_table(model: Any, parameters: Mapping[str, Any] | ParameterTable | None) -> ParameterTable:
    """The checked table of a model's parameters, made from what the user states."""
    if isinstance(parameters, ParameterTable):
        if parameters.names != model.parameter_names:
            raise ConfigurationError(
                f"the parameter table is for mode {parameters.mode!r}",
                expected=f"one for {model.name!r}: {', '.join(model.parameter_names)}",
            )
        return parameters
    return resolve_parameters(model.name, parameters or {}, specs=model.parameters)


def asked_parameters(parameters: Mapping[str, Any] | ParameterTable | None) -> Mapping[str, Any] | None:
    """What the user states of the parameters, as a mapping that a record can hold."""
    if isinstance(parameters, ParameterTable):
        return asked_of(parameters) if parameters.scopes else parameters.to_dict()
    return parameters


def stop_token(stop: StopToken | None, time_limit: float | None) -> StopToken:
    """A token that obeys both, one of them, or neither."""
    if stop is None:
        return StopToken(time_limit)
    return stop if time_limit is None else stop.within(time_limit)
