"""What workers gain, and how a campaign saturates.  python tests/benchmarks/scale_study.py

Ratios of one run on one machine; seconds of different machines say little. Printed are

- a whole fit without a start over a read of its file (targets of the project: 8 x 1000² at most 8),
- a campaign by two processes over one (target: 1.8 times as fast), and by a dask cluster of two processes over that,
- the same fit with its maps held by two processes: what the road for data larger than one memory costs,
- how many answers a second the client of a campaign can take, with 2 to 8 workers that only wait, and from it a
  simulation on paper of 10⁴ runs over 100 nodes: the time is the longest of computing (fits over workers), reading (all
  bytes over the file system) and answering (fits over what the client can take).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import heterodyne_nb as hn
from heterodyne_nb.analysis.campaign import Campaign, find_runs
from heterodyne_nb.data import write_apsu
from heterodyne_nb.engine.executors import answers, team
from heterodyne_nb.errors import HeterodyneWarning

TRUTH, START = [1000.0, -0.3, 60.0], {"D0": 800.0, "alpha": -0.2, "D_offset": 80.0}
CONFIG = {"analysis_settings": {"mode": "static_isotropic"}, "initial_parameters": {"values": START}}
#: The campaign on paper: runs, nodes, workers a node, bytes a run, bytes a second of the file system.
RUNS, NODES, A_NODE, SIZE, DISK = 10_000, 100, 16, 200e6, 10e9


def seconds(call: Any) -> float:
    """Wall clock of one call."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def maps(bins: int, frames: int, seed: int) -> Any:
    """A static experiment."""
    phi = np.arange(bins) * 22.5
    return hn.simulate.model_maps(
        "static_isotropic", TRUTH, q=[0.01], phi=phi, n_frames=frames, dt=0.1, noise=0.01, seed=seed
    )


def against_reading(folder: Path) -> None:
    """Whole fits, without a start, over reading the file."""
    for bins, frames in ((8, 200), (8, 1000)):
        path = folder / f"{frames}.h5"
        write_apsu(maps(bins, frames, 1), path)
        hn.fit(hn.open_dataset(path), "static_isotropic", multistart=0, parameters=START)
        read = seconds(lambda path=path: hn.open_dataset(path)["c2"].values)
        whole = seconds(lambda path=path: hn.fit(hn.open_dataset(path), "static_isotropic"))
        spread = seconds(
            lambda path=path: hn.fit(
                hn.open_dataset(path), "static_isotropic", executor="processes", workers=2
            )
        )
        print(f"{bins} x {frames}²: fit {whole:.2f} s, {whole / read:.0f} x reading; maps held by two new "
              f"processes {spread / whole:.1f} x that", flush=True)  # fmt: skip


def campaigns(folder: Path, runs: int) -> float:
    """One worker, two, and two of dask; seconds a fit of one worker."""
    (folder / "runs").mkdir()
    for k in range(runs):
        write_apsu(maps(8, 200, k), folder / "runs" / f"run{k:03d}.hdf")
    paths = find_runs(folder / "runs" / "*.hdf")

    def took(name: str, **who: Any) -> float:
        return seconds(lambda: Campaign(CONFIG, folder / name).run(paths, **who))

    one, two = took("one", executor="processes", workers=1), took("two", workers=2)
    print(f"{runs} runs of 8 x 200²: one process {one:.1f} s, two {one / two:.2f} x as fast", flush=True)
    from distributed import Client

    with Client(n_workers=2, threads_per_worker=1, dashboard_address=":0") as client:
        dask = took("dask", executor=client)
    print(
        f"a dask cluster of two processes, already there: {dask / two:.2f} x the time of two processes",
        flush=True,
    )
    return one / runs


def on_paper(folder: Path, fit: float) -> None:
    """What the client can take, and where 10⁴ runs over 100 nodes saturate."""
    for workers in (2, 4, 8):
        with team("threads", workers) as who:
            jobs = dict.fromkeys(range(500), partial(time.sleep, 0.0))
            begun = time.perf_counter()
            done = len(list(answers(who, jobs)))
            print(f"{workers} waiting workers: {done / (time.perf_counter() - begun):.0f} jobs a second")
    result = hn.fit(maps(8, 200, 0), "static_isotropic", multistart=0, parameters=START)
    kept = seconds(lambda: [result.save(folder / f"{k}.nc") for k in range(10)]) / 10
    times = {
        "computing": RUNS * fit / (NODES * A_NODE),
        "reading": RUNS * SIZE / DISK,
        "answering": RUNS * kept,
    }
    told = ", ".join(f"{name} {value:.0f} s" for name, value in times.items())
    most = max(times, key=lambda name: times[name])
    print(f"{RUNS} runs over {NODES} nodes of {A_NODE} workers: {told} (a fit {fit:.2f} s, saving one {1e3 * kept:.0f} ms); "
          f"{most} is the longest: more than {RUNS * fit / max(times['reading'], times['answering']):.0f} workers "
          "gain nothing")  # fmt: skip


def main(runs: int) -> None:
    """Print a line a figure."""
    warnings.simplefilter("ignore", HeterodyneWarning)
    folder = Path(tempfile.mkdtemp())
    try:
        against_reading(folder)
        on_paper(folder, campaigns(folder, runs))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 40)
