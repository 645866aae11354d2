"""The same fit many times: per q, per age, per file; the answers in one Dataset."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import xarray as xr

from heterodyne_nb.data import open_dataset, prepare
from heterodyne_nb.data.door import RUN, runs_of
from heterodyne_nb.engine.executors import answers, team
from heterodyne_nb.errors import ConfigurationError, FitWarning, HeterodyneError, OptimizationError, warn
from heterodyne_nb.files import make_folder
from heterodyne_nb.fitting.fitting import fit, parameter_table
from heterodyne_nb.fitting.one_time_batch import at_once, one_time_batch
from heterodyne_nb.frames import FrameSet
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.options import ExecutionOptions
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken, careful, ignore_progress
from heterodyne_nb.result import FitResult, batch_table


def fit_batch(
    data: Any,
    mode: str = "heterodyne",
    *,
    over: str = "q",
    windows: int | None = None,
    executor: Any = None,
    workers: int | None = None,
    on_progress: OnProgress = ignore_progress,
    stop: StopToken | None = None,
    journal: str | os.PathLike[str] | None = None,
    **arguments: Any,
) -> xr.Dataset:
    """Fit each part of the data by itself.

    Parameters
    ----------
    data : Dataset, DataTree, mapping of label to Dataset, or paths
        A dataset is cut along the dimension ``over`` (``"q"``, ``"phi"``, ``"age"``, ``"bin"``); a mapping or tree is
        fitted entry by entry, for instance one per file or per age window, and so is a dataset of many runs. A list of
        files, or a pattern such as ``"runs/*.hdf"``, is fitted file by file along ``run``, each opened where it is fitted;
        see also ``heterodyne-nb batch``, which goes on after it was killed.
    mode : str
        Analysis mode.
    over : str
        Dimension of the answer; for a mapping, or several sets of ``parameters``, the name of their labels.
    windows : int, optional
        With ``over="age"`` and two-time maps: the run is cut into this many equal windows of frames, each
        fitted by itself; the age is that of the window's middle.
    executor : str, Executor or dask.distributed.Client, optional
        Who fits: ``"threads"``, ``"processes"``, an executor of ``concurrent.futures``, a dask client or the address of
        a scheduler; the numbers do not depend on it. A process needs some seconds to start, so they pay for parts that
        take longer than that, and for plug-in models, whose code holds one core.
    workers : int, optional
        How many fit side by side, each with its share of the threads; more than 1 without an executor: processes.
    on_progress, stop
        As for :func:`heterodyne_nb.fit`.
    journal : path, optional
        A folder with a journal of each part, from which a batch that was killed goes on; see :func:`heterodyne_nb.fit`.
        One-time modes are then fitted part by part, too, instead of all at once.
    **arguments
        Passed on to :func:`heterodyne_nb.fit`. ``parameters`` may be a list of them: a dataset is then fitted whole
        with each, for instance from several start values.

    Returns
    -------
    Dataset
        ``parameters(over, parameter)``, ``stderr``, ``status``, ``chi2_reduced(over)``, the curves with their bands
        and the trust flags of
        :func:`heterodyne_nb.result.batch_table`. A part that cannot be fitted is left out with a warning
        and listed in the attribute ``failed``.

    Raises
    ------
    ConfigurationError
        The dataset has no such dimension, or a setting is wrong.
    OptimizationError
        No part could be fitted.

    Notes
    -----
    Plain one-time fits are done all at once, all curves in one array, with the answers that fits one by one would give.
    """
    stop, on_progress = stop or StopToken(), careful(on_progress)
    where = ExecutionOptions.read({"executor": executor, "workers": workers})
    alone = where.executor in (None, "serial") and where.workers in (None, 1)
    if isinstance(data, str | os.PathLike | list | tuple):
        data, over = files_of(data), RUN if over == "q" else over
    if isinstance(data, xr.DataTree) or (
        isinstance(data, xr.Dataset) and RUN in data.dims and over in (RUN, "q")
    ):
        over = over if isinstance(data, xr.DataTree) and over != "q" else RUN
        data = runs_of(data)
    sets = arguments.get("parameters")
    known = data[over].attrs if isinstance(data, xr.Dataset) and over in data.coords else {}
    unit = "s" if windows else str(known.get("units", ""))
    cut = _parts(data, over, windows)
    model = ModelFactory.create_model(mode)
    paths = isinstance(data, Mapping) and any(isinstance(one, Path) for one in data.values())
    if (
        alone
        and journal is None
        and not paths
        and not isinstance(sets, list | tuple)
        and at_once(model, arguments)
    ):
        asked = parameter_table(model, sets)
        whole = (
            data if isinstance(data, xr.Dataset) and "g2" in data and over in ("q", "phi", "bin") else None
        )
        return one_time_batch(model, asked, whole, cut, over, unit=unit, on_progress=on_progress, stop=stop)
    if isinstance(sets, list | tuple):
        del arguments["parameters"]
        jobs = {k: {"dataset": data, "parameters": one} for k, one in enumerate(sets)}
    else:
        jobs = {label: {"dataset": part} for label, part in cut}
    jobs = {label: {**job, "mode": mode, **arguments} for label, job in jobs.items()}
    if journal is not None:
        folder = make_folder(journal)
        for k, job in enumerate(jobs.values()):
            job["journal"] = folder / f"part-{k:04d}.json"
    done: dict[Any, FitResult] = {}
    failed: dict[str, str] = {}
    with team(executor, workers) as who:
        work = {label: partial(_of_file if paths else fit, **job) for label, job in jobs.items()}
        for number, (label, answer) in enumerate(answers(who, work, stop)):
            if isinstance(answer, ConfigurationError):  # what was asked is wrong, for one part as for all
                raise answer
            if isinstance(answer, HeterodyneError):
                failed[str(label)] = str(answer)
                warn(f"{over} = {label} is left out: {answer}", FitWarning)
            else:
                done[label] = answer
            on_progress(ProgressEvent("batch", (number + 1) / len(jobs), message=f"{over} = {label}"))
    done = {label: done[label] for label in jobs if label in done}
    failed |= {str(k): str(stop.reason) for k in jobs if k not in done and str(k) not in failed}
    if not done:
        raise OptimizationError(f"none of the {len(jobs)} fits succeeded", hint="; ".join(failed.values()))
    table = batch_table(list(done.values()), over, list(done), unit=unit)
    return table.assign_attrs(failed="; ".join(f"{k}: {v}" for k, v in failed.items()))


def files_of(paths: Any) -> dict[str, Path]:
    """Files by name, of a list of them or of a pattern.

    Raises ConfigurationError: No file matches, or two have one name.
    """
    pattern = isinstance(paths, str | os.PathLike)
    found = [Path(p) for p in (sorted(glob.glob(os.fspath(paths))) if pattern else paths)]
    named = {path.name: path for path in found}
    if not found or len(named) < len(found):
        told = "no file matches" if not found else "several files have one name"
        raise ConfigurationError(
            told, where=str(paths) if pattern else "data", hint="a mapping gives them labels"
        )
    return named


def _of_file(dataset: Path, **job: Any) -> FitResult:
    return fit(open_dataset(dataset), **job)


def _parts(
    data: xr.Dataset | Mapping[Any, xr.Dataset], over: str, windows: int | None
) -> Iterable[tuple[Any, xr.Dataset]]:
    if isinstance(data, FrameSet):
        raise ConfigurationError(
            "a batch goes along a Dataset, not along frames",
            where="dataset",
            hint="give a mapping of FrameSets, such as {k: frames.select(bins=[k]) for k in range(frames.n_bins)}",
        )
    if not isinstance(data, xr.Dataset):
        yield from data.items()
        return
    if windows is not None:
        yield from _age_windows(data, over, windows)
        return
    offered = [name for name in ("q", "phi", "age", "bin") if name in data.dims]
    if over not in offered:
        hint = ', or over="age" with windows' if "frame" in data.coords else ""
        raise ConfigurationError(
            f"the dataset has no {over!r} to go along",
            where="over",
            expected=f"one of {', '.join(offered)}{hint}",
        )
    for k in range(data.sizes[over]):
        part = data.isel({over: [k]} if over in ("q", "phi", "bin") else {over: k})
        yield (data[over].values[k].item() if over in data.coords else k), part


def _age_windows(data: xr.Dataset, over: str, windows: int) -> Iterable[tuple[float, xr.Dataset]]:
    if over != "age" or "frame" not in data.coords:
        raise ConfigurationError(
            f"windows = {windows} with over = {over!r}",
            expected='over="age" and a dataset with two-time maps',
        )
    frames = data["frame"].values
    if not 1 <= windows <= len(frames) // 10:
        raise ConfigurationError(
            f"windows is {windows}", expected=f"1 to {len(frames) // 10}, so that each has 10 frames or more"
        )
    edges = [round(k * len(frames) / windows) for k in range(windows + 1)]
    for first, last in pairwise(edges):
        part = prepare.crop_frames(data, int(frames[first]), int(frames[last - 1]))
        yield float(part["t"].values.mean()), part
