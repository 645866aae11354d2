"""What every fitting command does: run under observers and Ctrl-C, save, tell, end with the right code.

Of the files a fit leaves behind each is complete or not there at all.
"""

from __future__ import annotations

import logging
import re
import sys
import warnings as python_warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heterodyne_nb.cli.arguments import FAILED, INTERRUPTED, OK, tell
from heterodyne_nb.errors import ConfigurationError, HeterodyneError, HeterodyneWarning, OutputError
from heterodyne_nb.files import alone_in, check_folder, make_folder
from heterodyne_nb.progress import StopToken, stopped_by_signals
from heterodyne_nb.remote import Place
from heterodyne_nb.text.escaping import printable

if TYPE_CHECKING:
    import xarray as xr

    from heterodyne_nb.analysis.core import HeterodyneAnalysisCore
    from heterodyne_nb.analysis.observers import ProgressObserver
    from heterodyne_nb.result import FitResult

#: File name by the name the configuration uses in ``output.formats``.
FILES = {
    "netcdf": "results.nc",
    "zarr": "results.zarr",
    "nexus": "results.nxs",
    "json": "summary.json",
    "csv": "parameters.csv",
    "text": "results.txt",
    "html": "report.html",
}
#: Bytes that a run needs at most: the report with its figures takes 10 MB, results of 10⁴ frames 5 MB.
ROOM = 32_000_000
_OTHERS = re.compile(r"results_\w+\.nc")
#: Journals of unfinished fits in a folder of results.
JOURNALS = "journal_*.json"


@dataclass
class Finished:
    """A fit that has been saved."""

    core: HeterodyneAnalysisCore
    best: FitResult
    others: dict[str, FitResult] = field(default_factory=dict)  #: Further answers by method.
    files: list[Place] = field(default_factory=list)  #: What was written.
    #: What earlier results were kept, and so why this fit is not where it was asked for; empty if it is.
    kept: str = ""
    warnings: list[str] = field(default_factory=list)  #: What was warned of on the way.


def fit_and_save(args: Namespace, config: Any, family: str, folder: Path | None) -> Finished:
    """Load, fit by a family of methods, and write the files.

    ``args``: The command's arguments; says how much to tell. ``config`` (path, mapping or ConfigManager): As
    :class:`HeterodyneAnalysisCore` takes it. ``family`` {"classical", "robust", "all"}. ``folder``: Where the files
    go; that of the configuration if None. Where it holds results already, a new folder in it, unless
    ``args.overwrite``.
    """
    from heterodyne_nb.analysis.commands import LoadDataCommand, OptimizeCommand, Pipeline
    from heterodyne_nb.analysis.core import HeterodyneAnalysisCore

    stop = StopToken()
    with observers(args) as watching, _collected_warnings() as told:
        core = HeterodyneAnalysisCore(config, observers=watching, stop=stop)
        output = core.config.settings.output
        if not output.formats:
            raise ConfigurationError("nothing would be saved", where="output.formats", expected="a format")
        folder = Path(folder or output.directory)
        check_folder(folder, ROOM)
        if getattr(args, "resume", False) and not any(folder.glob(JOURNALS)):
            raise ConfigurationError(
                "there is no journal of an unfinished fit", where=str(folder), hint="leave out --resume"
            )
        limit = core.config.settings.optimization.time_limit
        if limit is not None:  # reading and compiling count, too
            core.stop = stop.within(limit)
        with stopped_by_signals(stop), _journals(core, folder, getattr(args, "resume", False)):
            made = Pipeline([LoadDataCommand(core), OptimizeCommand(core, family)], stop=stop).run()
            if "optimize" not in made:
                raise KeyboardInterrupt
            finished = _answers(core, made["optimize"])
            finished.warnings = list(told)
            _save(finished, folder, args.overwrite)
    return finished


@contextmanager
def _journals(core: HeterodyneAnalysisCore, folder: Path, resume: bool) -> Iterator[None]:
    """Keep a journal of each classical fit in the folder until it has ended and its results are saved."""
    for old in [] if resume else list(folder.glob(JOURNALS)):
        text = f"warning: the journal of an unfinished fit, {old}, is replaced (--resume would go on)"
        print(text, file=sys.stderr)
        old.unlink(missing_ok=True)
    core.journal = folder
    try:
        yield
    except KeyboardInterrupt:
        if any(folder.glob(JOURNALS)):
            print(f"the best point is kept in {folder}; add --resume to go on", file=sys.stderr)
        raise
    for done in [] if core.stop.reason else list(folder.glob(JOURNALS)):
        done.unlink(missing_ok=True)


def conclude(args: Namespace, finished: Finished) -> int:
    """Print the summary and the files, and return the exit code."""
    best = finished.best
    tell(args, "\n".join(finished.core.account))
    tell(args, f"\n{best.summary()}\n")
    for name, other in finished.others.items():
        tell(args, f"{name}: reduced chi2 {other.chi2_reduced:.6g} ({other.message})")
    names = ", ".join(path.name for path in finished.files)
    tell(args, f"wrote {names} in {finished.files[0].parent}")
    if finished.kept:  # under --quiet too: who looks for this fit would find another
        print(printable(finished.kept), file=sys.stderr)
    if finished.core.stop.reason == "cancelled":
        print("interrupted: the best so far was saved", file=sys.stderr)
        return INTERRUPTED
    if not best.success:
        message = printable(best.message)
        print(f"error: the fit did not succeed: {message}; its best so far was saved", file=sys.stderr)
        return FAILED
    return OK


def _answers(core: HeterodyneAnalysisCore, made: Any) -> Finished:
    if hasattr(made, "fit_result"):
        return Finished(core, made.fit_result)
    if "methods" in made:
        answers = {name: answer.fit_result for name, answer in made["methods"].items()}
        return Finished(core, answers.pop(made["best_method"]), answers)
    first, *others = made  # robust answers by name: each guards against something else, so none is the best
    return Finished(core, made[first], {name: made[name] for name in others})


def _save(finished: Finished, folder: Path, overwrite: bool) -> None:
    from heterodyne_nb.analysis.core import with_provenance

    dataset, output = finished.core.dataset, finished.core.config.settings.output
    assert dataset is not None
    finished.best = with_provenance(finished.best, warnings=finished.warnings)
    formats = [name for name in output.formats if output.plots or name != "html"]

    def save(*how: Any) -> None:
        with chosen_folder(folder, finished.best, *how) as (place, finished.kept):
            finished.files = save_fit(place, finished.best, dataset, formats)
            finished.files += [
                one.save(place / f"results_{name}.nc") for name, one in finished.others.items()
            ]

    try:
        save(overwrite)
    except OutputError as error:
        if not overwrite:
            raise
        save(False, f"they could not be replaced: {error.where} {error.message}")


@contextmanager
def _collected_warnings() -> Iterator[list[str]]:
    """Keep a copy of our own warnings' texts while they are shown as before."""
    told: list[str] = []
    shown = python_warnings.showwarning

    def keep(message: Any, category: Any, *where: Any, **more: Any) -> None:
        if issubclass(category, HeterodyneWarning):
            told.append(str(message))
        shown(message, category, *where, **more)

    python_warnings.showwarning = keep
    try:
        yield told
    finally:
        python_warnings.showwarning = shown


@contextmanager
def observers(args: Namespace) -> Iterator[list[ProgressObserver]]:
    """Give the observers a command's flags ask for; close them when the work is over.

    A bar on a terminal; with ``--verbose`` lines of text instead; nothing under ``--quiet`` or when
    standard error is not a terminal.
    """
    from heterodyne_nb.analysis.observers import LoggingProgressObserver, TqdmProgressObserver

    watching: list[ProgressObserver] = []
    if args.verbose:
        logger = logging.getLogger("heterodyne_nb.cli")
        logger.handlers = [logging.StreamHandler(sys.stderr)]
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        watching.append(LoggingProgressObserver(logger))
    elif not args.quiet and sys.stderr.isatty():
        watching.append(TqdmProgressObserver())
    try:
        yield watching
    finally:
        for observer in watching:
            observer.close()


@contextmanager
def chosen_folder(
    folder: Path, result: FitResult, overwrite: bool, reason: str = "--overwrite replaces them"
) -> Iterator[tuple[Path, str]]:
    """Yield the folder a fit is to be saved in, and what is to be told where it is another than was asked for.

    A folder without results is used as it is. Where it holds some they are kept, and the fit goes to the first free
    ``run-002``, ``run-003`` and so on in it. No other process is given the same one meanwhile.

    ``folder``: As asked for; made if need be. ``overwrite``: Replace earlier results, unless this fit did not succeed
    and those are not known to have failed too. ``reason``: Told beside what was kept.
    """
    if foreign := [one.name for one in _results(folder) if overwrite and not _is_ours(one)]:
        overwrite, reason = False, f"{foreign[0]} is no file of this program"
    elif overwrite:
        earlier = None if result.success else kept_result(folder)
        if result.success or (earlier is not None and not earlier.success):
            yield make_folder(folder), ""
            return
        reason = "it did not succeed"
    for place in chain([folder], (folder / f"run-{number:03d}" for number in count(2))):
        if place.exists() and not place.is_dir():
            continue
        try:
            with alone_in(make_folder(place)) as alone:
                if alone and not _results(place):
                    told = f"the earlier results in {folder} are kept, this fit is in {place} ({reason})"
                    yield place, "" if place == folder else told
                    return
        finally:
            if place != folder:
                with suppress(OSError):  # it stays where something was saved
                    place.rmdir()


def _results(place: Path) -> list[Path]:
    """The files in a folder that have names of results."""
    found = place.iterdir() if place.is_dir() else ()
    return [one for one in found if one.name in FILES.values() or _OTHERS.fullmatch(one.name)]


#: What a file of ours holds, by its ending.
_MARKS = {".json": b'"schema_version"', ".csv": b"name,value,stderr,unit", ".html": b"heterodyne_nb"}


def _is_ours(path: Path) -> bool:
    """Whether a file that has the name of a result was written by this program."""
    file = path / ".zattrs" if path.suffix == ".zarr" else path
    return file.is_file() and _MARKS.get(path.suffix, b"schema_version") in file.read_bytes()


def kept_result(folder: Path) -> FitResult | None:
    """The fit that a folder holds, or None where there is none that can be read."""
    from heterodyne_nb.result import FitResult

    for name in ("netcdf", "zarr"):
        with suppress(HeterodyneError):
            return FitResult.load(folder / FILES[name])
    return None


def save_fit(folder: Path, result: FitResult, dataset: xr.Dataset, formats: Sequence[str]) -> list[Place]:
    """Write a fit in every format asked for.

    ``folder``: One of :func:`chosen_folder`. A file of the same name is replaced once its successor is complete.
    ``result``, ``dataset``: The fit and the data it was made from. ``formats``: Keys of :data:`FILES`. Returns: The
    files written.
    """
    written = [result.save(folder / FILES[name]) for name in formats if name != "html"]
    if "html" in formats:
        from heterodyne_nb import plots

        written.append(plots.report(dataset, result, folder / FILES["html"]))
    return written
