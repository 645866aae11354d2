"""Processes killed at random moments: nothing earlier is lost, and fits go on to the same optimum.

    python tests/benchmarks/kill_study.py [KILLS] [TERMS]      default: 200 kill -9, 50 SIGTERM

Each case is forked from a parent that has imported all it needs but run no kernel. It fits (the command, over earlier
results of the same folder), fits a batch, saves (result, dataset as .nc and .zarr, session, each over an earlier one)
or converts with --overwrite, and is ended at a random moment within the time that the work takes undisturbed. Then the
earlier files must load and be either what they were or what was being written, whole; a fit or batch that is started
again, with what its journal holds, must end at the χ² of an undisturbed one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import fuzz

from heterodyne_nb import AnalysisSession, FitResult, fit_batch, open_dataset
from heterodyne_nb.cli.app import main
from heterodyne_nb.cli.running import JOURNALS
from heterodyne_nb.data import write_dataset
from heterodyne_nb.optimize.journal import Journal
from heterodyne_nb.simulate import model_maps

Journal.every = 0.0
TRUTH = (80.0, -0.3, 20.0)
SAVED = ("result.nc", "data.nc", "data.zarr", "session")


def maps(seed: int) -> Any:
    """Maps of 40 frames, q and two angles."""
    grid = {"q": [0.05], "phi": [0.0, 90.0], "n_frames": 40, "dt": 0.1}
    return model_maps("static_isotropic", TRUTH, contrast=0.2, noise=0.02, seed=seed, **grid)


def fork(work: Callable[[], Any]) -> int:
    """Start some work in a process of its own, silent."""
    if child := os.fork():
        return child
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError), open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1), os.dup2(nothing.fileno(), 2)
    code = 1
    try:
        warnings.simplefilter("ignore")
        code = work() or 0
    except BaseException:
        code = 99
    os._exit(code if isinstance(code, int) else 0)


def ended(child: int) -> int:
    """The exit code of a process, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Campaign:
    """The folder of one case, the work in it, and what must hold afterwards."""

    def __init__(self, home: Path) -> None:
        self.home, self.case, self.batch = home, home / "case", None
        write_dataset(maps(1), home / "data.nc")
        settings = {
            "analysis_settings": {"mode": "static_isotropic"},
            "data": {"file": str(home / "data.nc")},
            "output": {"formats": ["netcdf"]},
        }
        (home / "config.json").write_text(json.dumps(settings))
        self.works = {"fit": self.fit, "batch": self.fit_batch, "save": self.save, "convert": self.convert}
        self.prepare()
        assert ended(fork(self.fit)) == 0
        self.optimum = FitResult.load(self.newest()).chi2
        assert ended(fork(self.fit_batch)) == 0
        self.table = np.load(self.case / "table.npy")
        self.seconds = {name: self.timed(work) for name, work in self.works.items()}

    def timed(self, work: Callable[[], Any]) -> float:
        """How long some work takes undisturbed."""
        self.prepare()
        begun = time.monotonic()
        assert ended(fork(work)) == 0
        return time.monotonic() - begun

    def prepare(self) -> None:
        """Earlier results, datasets and a session in a fresh folder."""
        shutil.rmtree(self.case, ignore_errors=True)
        kept = self.home / "earlier"
        if not kept.exists():
            (kept / "out").mkdir(parents=True)
            result, data = fuzz._fit_result(), maps(2)
            result.save(kept / "out/results.nc")
            result.save(kept / "result.nc")
            for name in ("data.nc", "data.zarr", "converted.nc"):
                write_dataset(data, kept / name)
            fuzz._write_session(kept / "session")
        shutil.copytree(kept, self.case)

    def newest(self) -> Path:
        """The results of the last run."""
        return max(self.case.glob("out/run-*/results.nc"), key=lambda path: path.parent.name)

    def fit(self, *more: str) -> int:
        """The command, into a folder with earlier results."""
        return main(
            ["fit", str(self.home / "config.json"), "--output", str(self.case / "out"), "--quiet", *more]
        )

    def fit_batch(self) -> None:
        """Two parts, each with a journal."""
        data = open_dataset(self.home / "data.nc")
        table = fit_batch(data, "static_isotropic", over="phi", journal=self.case / "journals")
        np.save(self.case / "table.npy", table["chi2_reduced"].values)

    def save(self) -> None:
        """Everything that can be saved, over what is there."""
        result, data = fuzz._fit_result(chi2=4000.0), maps(3)
        result.save(self.case / "result.nc")
        write_dataset(data, self.case / "data.nc")
        write_dataset(data, self.case / "data.zarr")
        session = AnalysisSession.of_result(result, data)
        session.save(self.case / "session")

    def convert(self) -> int:
        """The command, over an earlier file."""
        return main(
            ["convert", str(self.home / "data.nc"), str(self.case / "converted.nc"), "--overwrite", "--quiet"]
        )

    def lost(self, name: str) -> str:
        """What of the earlier files is not whole, or of a fit does not go on; empty where all is well."""
        for file in SAVED:
            kind = next(k for k in fuzz.KINDS if k.name.endswith(file.replace("data", "own")))
            fuzz.digest(kind.read(self.case / file))
        for file in ("converted.nc",):
            fuzz.digest(fuzz._data(self.case / file))
        if FitResult.load(self.case / "out/results.nc") != fuzz._fit_result():
            return "the earlier result has changed"
        if name == "fit":
            resume = ["--resume"] if list(self.case.glob(f"out/{JOURNALS}")) else []
            code = ended(fork(lambda: self.fit(*resume)))
            chi2 = FitResult.load(self.newest()).chi2 if code == 0 else np.nan
            if not abs(chi2 / self.optimum - 1) < 1e-8:
                return f"the fit that goes on ends with {code}, χ² {chi2} instead of {self.optimum}"
        if name == "batch":
            code = ended(fork(self.fit_batch))
            if code or not np.allclose(np.load(self.case / "table.npy"), self.table, rtol=1e-8):
                return f"the batch that goes on ends with {code}, another χ²"
        left = [p.name for p in self.case.rglob(".heterodyne_nb-*")]
        return f"left behind: {left}" if left and name in ("fit", "batch") else ""


def run(kills: int, terms: int, seed: int = 0) -> int:
    """Run the cases, print the table, return how many lost something."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder))
        print("seconds undisturbed:", {k: round(v, 1) for k, v in campaign.seconds.items()}, flush=True)
        counted: Counter[tuple[str, str, str]] = Counter()
        for number in range(kills + terms):
            how = signal.SIGKILL if number < kills else signal.SIGTERM
            name = list(campaign.works)[number % 4]
            campaign.prepare()
            child = fork(campaign.works[name])
            time.sleep(rng.random() * campaign.seconds[name])
            os.kill(child, how)
            code = ended(child)
            try:
                lost = campaign.lost(name)
            except Exception as error:
                lost = f"{type(error).__name__}: {error}"
            verdict = "lost" if lost else "had ended" if code in (0, 1) else "kept"
            print(f"case {number}, {how.name} during {name}: {verdict} {lost}", flush=True)
            counted[how.name, name, verdict] += 1
    print(f"{'signal':10}{'during':10}{'kept':>8}{'had ended':>12}{'lost':>8}")
    for how, name in dict.fromkeys(key[:2] for key in sorted(counted)):
        row = [counted[how, name, verdict] for verdict in ("kept", "had ended", "lost")]
        print(f"{how:10}{name:10}{row[0]:8}{row[1]:12}{row[2]:8}")
    return sum(n for (_, _, verdict), n in counted.items() if verdict == "lost")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    raise SystemExit(run(*(numbers or [200, 50])) > 0)
