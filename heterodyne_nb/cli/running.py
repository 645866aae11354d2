"""What every fitting command does: run under observers and Ctrl-C, save, tell, end with the right code."""

from __future__ import annotations

import sys
import warnings as python_warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heterodyne_nb.cli.exits import FAILED, INTERRUPTED, OK
from heterodyne_nb.cli.outputs import ROOM, chosen_folder, save_fit
from heterodyne_nb.cli.watching import observers_for, tell
from heterodyne_nb.errors import ConfigurationError, HeterodyneWarning, OutputError
from heterodyne_nb.files import check_folder
from heterodyne_nb.progress import StopToken, stopped_by_signals
from heterodyne_nb.text.escaping import printable

if TYPE_CHECKING:
    from heterodyne_nb.analysis.core import HeterodyneAnalysisCore
    from heterodyne_nb.result import FitResult

#: Journals of unfinished fits in a folder of results.
JOURNALS = "journal_*.json"


@dataclass
class Finished:
    """A fit that has been saved.

    Attributes
    ----------
    core : HeterodyneAnalysisCore
    best : FitResult
    others : dict of str to FitResult
        Further answers by method.
    files : list of pathlib.Path
        What was written.
    kept : str
        What earlier results were kept, and so why this fit is not where it was asked for; empty if it is.
    warnings : list of str
        What was warned of on the way.
    """

    core: HeterodyneAnalysisCore
    best: FitResult
    others: dict[str, FitResult] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    kept: str = ""
    warnings: list[str] = field(default_factory=list)


def fit_and_save(args: Namespace, config: Any, family: str, folder: Path | None) -> Finished:
    """Load, fit by a family of methods, and write the files.

    Parameters
    ----------
    args : argparse.Namespace
        The command's arguments; says how much to tell.
    config : path, mapping or ConfigManager
        As :class:`HeterodyneAnalysisCore` takes it.
    family : {"classical", "robust", "all"}
    folder : pathlib.Path or None
        Where the files go; that of the configuration if None. Where it holds results already, a new
        folder in it, unless ``args.overwrite``.
    """
    from heterodyne_nb.analysis.commands import LoadDataCommand, OptimizeCommand, Pipeline
    from heterodyne_nb.analysis.core import HeterodyneAnalysisCore

    stop = StopToken()
    with observers_for(args) as observers, _collected_warnings() as told:
        core = HeterodyneAnalysisCore(config, observers=observers, stop=stop)
        output = core.config.settings.output
        if not output.formats:
            raise ConfigurationError("nothing would be saved", where="output.formats", expected="a format")
        folder = Path(folder or output.directory)
        check_folder(folder, ROOM)
        if getattr(args, "resume", False) and not any(folder.glob(JOURNALS)):
            raise ConfigurationError(
                "there is no journal of an unfinished fit", where=str(folder), hint="leave out --resume"
            )
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
        print(
            f"warning: the journal of an unfinished fit, {old}, is replaced (--resume would go on)",
            file=sys.stderr,
        )
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
    if (
        "methods" not in made
    ):  # robust answers by name: each guards against something else, so none is the best
        first, *_ = made
        return Finished(core, made[first], {name: one for name, one in made.items() if name != first})
    answers = {name: answer.fit_result for name, answer in made["methods"].items()}
    best = answers.pop(made["best_method"])
    return Finished(core, best, answers)


def _save(finished: Finished, folder: Path, overwrite: bool) -> None:
    from heterodyne_nb.analysis.methods import with_provenance

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
