"""One configuration, many runs: each is fitted by itself, and all come into one table.

The folder of a campaign holds ``fits/RUN.nc`` (each fit as it is saved elsewhere), ``journal/`` (what became of each run,
a line each, a file for each process that writes) and ``table.nc`` with ``table.csv``, made from these. A campaign that
was killed goes on where it was: runs whose file and configuration are those of a finished fit are not fitted again.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.config import ConfigManager
from heterodyne_nb.data.formats.native import write_netcdf
from heterodyne_nb.data.units import METADATA
from heterodyne_nb.engine.executors import answers, team
from heterodyne_nb.errors import ConfigurationError, FitWarning, HeterodyneError, OutputError, warn
from heterodyne_nb.files import check_folder, make_folder, new_h5, write_text
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken, careful, ignore_progress
from heterodyne_nb.result import FitResult, batch_table
from heterodyne_nb.text.escaping import csv_table, printable

#: Seconds between two looks for new runs, between two writings of the table, and bytes that a fit needs at most.
_LOOK, _TABLE, _ROOM = 1.0, 10.0, 5_000_000


def find_runs(patterns: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Files that patterns such as ``"runs/*.hdf"`` or names mean, each once, in the order of their names.

    A name that is no file stays: that it is missing is then told of its run.
    """
    every = [patterns] if isinstance(patterns, str | os.PathLike) else list(patterns)
    found: set[str] = set()
    for one in (os.fspath(name) for name in every):
        found |= set(glob.glob(one)) if glob.has_magic(one) and not os.path.exists(one) else {one}
    return sorted((Path(one) for one in found), key=lambda path: (path.name, str(path)))


@dataclass
class Campaign:
    """Fits every run by one configuration; see :meth:`run`.

    ``config`` (ConfigManager, path or mapping): Its data file is not used: each run takes its place. ``output``:
    Folder of the campaign, made if need be. ``on_progress``: Receives an event a run, with the remaining time in its
    message. ``stop``: Ends the campaign; what is done is kept.
    """

    config: Any
    output: Path
    on_progress: OnProgress = ignore_progress
    stop: StopToken = field(default_factory=StopToken)
    #: By run: ``status`` (``"done"``, ``"not converged"``, ``"failed"``), ``message``, ``path``, ``seconds`` and
    #: ``mark``, which says of which file and configuration it is.
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        config = self.config
        if not isinstance(config, ConfigManager):
            config = ConfigManager.from_dict(config) if isinstance(config, Mapping) else ConfigManager(config)
        self.config, self.output = config, Path(self.output)
        self.on_progress = careful(self.on_progress)
        check_folder(self.output, _ROOM)
        told = {
            k: v for k, v in config.to_dict().items() if k not in ("data", "output", "execution", "metadata")
        }
        told["data"] = {k: v for k, v in config.to_dict()["data"].items() if k not in ("file", "folder")}
        self._settings = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[
            :16
        ]
        self._writes = (
            make_folder(self.output / "journal") / f"{platform.node() or 'host'}-{os.getpid()}.jsonl"
        )
        make_folder(self.output / "fits")
        self._read_journal()

    def run(
        self,
        runs: Callable[[], list[Path]] | Iterable[Path],
        *,
        executor: Any = None,
        workers: int | None = None,
        follow: float | None = None,
        table: bool = True,
    ) -> xr.Dataset | None:
        """Fit the runs that are not done yet, and write the table.

        ``runs``: Asked again and again in follow mode. ``executor``, ``workers``: Who fits; see
        :func:`heterodyne_nb.fit_batch`. ``follow``: Go on with new runs as they appear, until none has for so many
        seconds, or until it is stopped. ``table``: Whether the table is written; for one of many processes of a
        campaign it is not. Returns: The table, see :meth:`table`; None where none is asked for, or no run was ever
        fitted.
        """
        look = runs if callable(runs) else lambda: list(runs)
        quiet, seen = time.monotonic(), dict[Path, str]()
        with team(executor, workers) as who:
            while True:
                names = self._named(look())
                fresh = {name: path for name, path in names.items() if not self.is_done(name, path)}
                if follow is not None:
                    new = {name: path for name, path in fresh.items() if not self._tried(name, path)}
                    fresh = {name: path for name, path in new.items() if self._at_rest(path, seen)}
                if fresh:
                    self._fit(who, fresh, len(names), table)
                if follow is not None and new:
                    if fresh and table:
                        self.table(names)
                    quiet = time.monotonic()
                over = follow is None or time.monotonic() - quiet > follow
                if over or self.stop.reason:
                    break
                time.sleep(min(_LOOK, (follow or _LOOK) / 4))
        return self.table(names) if table else None

    def _fit(self, who: Any, fresh: dict[str, Path], total: int, table: bool) -> None:
        begun, written, done = time.monotonic(), time.monotonic(), 0
        alone = self.config.updated({"execution.executor": None, "execution.workers": None})
        work = {name: partial(_fitted, alone, str(path.resolve())) for name, path in fresh.items()}
        marks = {name: self.mark(path) for name, path in fresh.items()}
        for name, answer in answers(who, work, self.stop):
            record: dict[str, Any] = {"run": name, "path": str(fresh[name]), "mark": marks[name]}
            if isinstance(answer, OutputError):
                raise answer
            if isinstance(answer, HeterodyneError):
                record |= {"status": "failed", "message": str(answer), "seconds": None}
                warn(f"run {name} is left out: {answer}", FitWarning)
            else:
                result, seconds = answer
                if self.stop.reason and not result.success:
                    continue  # broken off: it is fitted again when the campaign goes on
                status = "done" if result.success else "not converged"
                result.save(self._fit_of(name))
                record |= {"status": status, "message": result.message, "seconds": round(seconds, 3)}
            self._note(record)
            done += 1
            left = (time.monotonic() - begun) / done * (len(fresh) - done)
            failed = sum(one["status"] == "failed" for one in self.records.values())
            told = f"{name}: {record['status']}; {total - len(fresh) + done} of {total} runs, {failed} failed"
            told += f", about {_in_words(left)} left" if done < len(fresh) else ""
            self.on_progress(ProgressEvent("campaign", (total - len(fresh) + done) / total, message=told))
            if table and time.monotonic() - written > _TABLE:
                self.table(self.records)
                written = time.monotonic()

    def result_of(self, name: str) -> FitResult:
        """The saved fit of a run."""
        return FitResult.load(self._fit_of(name))

    def is_done(self, name: str, path: Path) -> bool:
        """Whether a run has its fit: of this file as it is now, by this configuration."""
        record = self.records.get(name, {})
        fitted = record.get("status") in ("done", "not converged") and self._fit_of(name).exists()
        return fitted and record.get("mark") in (self.mark(path), self._gone(path, record))

    def _gone(self, path: Path, record: Mapping[str, Any]) -> Any:
        """The mark of a run that was fitted and whose file is not there any more: its fit stays."""
        return None if path.exists() else record.get("mark")

    def mark(self, path: Path) -> str:
        """Of which file, by its size and time of change, and of which configuration a fit is."""
        with suppress(OSError):
            state = path.stat()
            return f"{self._settings}-{state.st_size}-{state.st_mtime_ns}"
        return f"{self._settings}-missing"

    def table(self, runs: Iterable[str]) -> xr.Dataset | None:
        """Write and return the table of the runs that have a record.

        Returns: What :func:`heterodyne_nb.result.batch_table` says along ``run``, with ``run_status``,
        ``run_message``, ``path``, ``seconds`` and what the files say of each run (``temperature``, ``start_time``,
        …); values of a run without a fit are NaN. None where no run has a fit.
        """
        names = [name for name in runs if name in self.records]
        fits: dict[str, FitResult] = {}
        for name in names:
            if self.records[name]["status"] != "failed":
                try:
                    fits[name] = self.result_of(name)
                except HeterodyneError as error:
                    told = {"status": "failed", "message": f"its saved fit cannot be read: {error}"}
                    self.records[name] = self.records[name] | told
        if not fits:
            return None
        table = _filled(batch_table(list(fits.values()), "run", list(fits)), names)
        records = [self.records[name] for name in names]
        unit = {"seconds": "s"}
        for key in ("status", "message", "path", "seconds"):
            values = [one.get(key) for one in records]
            column = "seconds" if key == "seconds" else "path" if key == "path" else f"run_{key}"
            typed = np.array(values, float) if key == "seconds" else np.array(values, str)
            table[column] = ("run", typed, {"units": unit[key]} if key in unit else {})
        for key, unit_of in METADATA.items():
            values = [fits[n].provenance.get("run", {}).get(key) if n in fits else None for n in names]
            if any(value is not None for value in values):
                numbers = np.array([np.nan if v is None else v for v in values], float) if unit_of else None
                texts = np.array(["" if v is None else str(v) for v in values])
                table[key] = (
                    "run",
                    texts if numbers is None else numbers,
                    {"units": unit_of} if unit_of else {},
                )
        with new_h5(self.output / "table.nc", table.nbytes, track_order=True) as h5file:
            write_netcdf(table, h5file)
        write_text(self.output / "table.csv", _as_csv(table))
        return table

    # -- the journal -----------------------------------------------------------------------------

    def _note(self, record: dict[str, Any]) -> None:
        self.records[record["run"]] = record
        try:
            with self._writes.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"the journal cannot be written: {error}", where=str(self._writes)) from error

    def _read_journal(self) -> None:
        """What earlier processes noted, the latest of a run last; a line that was cut off counts for nothing."""
        files = sorted(self._writes.parent.glob("*.jsonl"), key=lambda file: file.stat().st_mtime_ns)
        for file in files:
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError, KeyError, TypeError):
                    record = json.loads(line)
                    self.records[record["run"]] = {"message": "", "path": "", "seconds": None, **record}

    def _named(self, paths: list[Path]) -> dict[str, Path]:
        """A name for each run: that of its file, with its folder where two have the same one."""
        named: dict[str, Path] = {}
        for path in paths:
            twin = any(other != path and other.name == path.name for other in paths)
            named[f"{path.parent.name}/{path.name}" if twin else path.name] = path
        if len(named) < len(paths):
            raise ConfigurationError("several runs have the same name and folder", where="runs")
        return named

    def _fit_of(self, name: str) -> Path:
        return self.output / "fits" / f"{name.replace('/', '__')}.nc"

    def _tried(self, name: str, path: Path) -> bool:
        return self.records.get(name, {}).get("mark") == self.mark(path)

    def _at_rest(self, path: Path, seen: dict[Path, str]) -> bool:
        """Whether a file is as it was at the last look, so that nobody is writing it."""
        before, seen[path] = seen.get(path), self.mark(path)
        return before == seen[path]


def _fitted(config: ConfigManager, path: str, stop: StopToken | None = None) -> tuple[FitResult, float]:
    """One run by a configuration, and how long it took in s."""
    from heterodyne_nb.analysis.core import HeterodyneAnalysisCore

    begun = time.perf_counter()
    here = config.updated({"data.file": path, "data.folder": None})
    result = HeterodyneAnalysisCore(here, stop=stop).optimize_classical().fit_result
    return result, time.perf_counter() - begun


def _filled(table: xr.Dataset, names: list[str]) -> xr.Dataset:
    """The table with a row for every run; one without a fit has NaN, False or an empty text."""
    empty = {"f": np.nan, "b": False, "i": 0, "u": 0}
    fill = {name: empty.get(table[name].dtype.kind, "") for name in table.data_vars}
    return table.reindex(run=names, fill_value=fill)


def _as_csv(table: xr.Dataset) -> str:
    """A row a run: values and errors of the parameters, then every column that has one value a run."""
    plain = [name for name in table.data_vars if table[name].dims == ("run",)]
    frame = table[plain].to_dataframe()
    for k, name in enumerate(table["parameter"].values.tolist()):
        unit = str(table["unit"].values[k])
        frame.insert(2 * k, f"{name} ({unit})", table["parameters"].values[:, k])
        frame.insert(2 * k + 1, f"{name} error", table["stderr"].values[:, k])
    return csv_table(frame)


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def job_script(runs: list[Path], config: Path, output: Path, *, at_once: int | None = None) -> str:
    """A SLURM job array for a campaign, a job a run, for sites without dask; writes the list of runs beside it.

    Every job fits one run and notes it; afterwards the same ``heterodyne-nb batch`` makes the table, and fits what
    is missing.

    Raises ConfigurationError: A name has a line break or the like, which no list or script can hold.
    """
    for path in (*runs, config, output):
        if not (name := str(path.resolve())).isprintable():
            raise ConfigurationError(
                "such a name can stand in no script", where=printable(name), hint="rename it"
            )
    listed = make_folder(output).resolve() / "runs.txt"
    write_text(listed, "".join(f"{path.resolve()}\n" for path in runs))
    limit = f"%{at_once}" if at_once else ""
    where, settings = shlex.quote(str(output.resolve())), shlex.quote(str(config.resolve()))
    return f"""#!/bin/bash
#SBATCH --job-name=heterodyne-nb
#SBATCH --array=0-{len(runs) - 1}{limit}
#SBATCH --cpus-per-task=2
#SBATCH --time=01:00:00
#SBATCH --output={output.resolve()}/job-%A_%a.log
# Afterwards: heterodyne-nb batch {shlex.quote(f"@{listed}")} --config {settings} --output {where}
export NUMBA_NUM_THREADS="${{SLURM_CPUS_PER_TASK:-2}}"
run=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {shlex.quote(str(listed))})
exec heterodyne-nb batch "$run" --config {settings} --output {where} --no-table
"""
