"""Does the default fit find the best answer, or say that there are several?

python tests/benchmarks/basin_study.py [experiments of each kind, default 34] [processes, default 2] [first seed, default 0]

One experiment of every kind after the other; ended by Ctrl-C or SIGTERM, it prints the table of what is done.

Ten kinds of experiment; angles, lengths, sizes, noise and curves are drawn anew for each. "Best known" is the lower χ²
of the default fit and of a fit from the truth. An answer counts as

    best     its χ² is the best known, within 3 units of the noise of one pixel (or 1e-5 of it);
    listed   it is not, and a serious flag says that answers are left or that something is wrong;
    wrong    neither: a worse answer without a word.

The table also counts how often the flow of the truth is among the answers: phi0 within 2° or its error times 4.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # one process a core

import numpy as np

import heterodyne_nb as hnb
from heterodyne_nb.errors import HeterodyneWarning

KINDS = ("regular", "few", "symmetric", "random", "near J", "creep", "start-up", "weak", "several q", "fast")
_SAYS = {"several_answers", "poor_chi2", "not_converged", "contrast_limit", "loose_contrast"}


def experiment(kind: str, seed: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Truth and measurement of one experiment."""
    rng = np.random.default_rng([KINDS.index(kind), seed])

    def log(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    duration, frames, q = (
        10 ** rng.uniform(0.8, 2.0),
        int(rng.integers(60, 200)),
        10 ** rng.uniform(-2.3, -1.5),
    )
    middle = duration / 2
    slow = log(0.05, 1.5) / (q**2 * duration)
    fast = slow * (log(1.05, 1.6) if kind == "near J" else log(2.0, 40.0))
    alpha = rng.uniform(-0.5, 0.5, 2) if kind != "creep" else rng.uniform(-0.6, [0.3, -0.2])
    limits = {"creep": (-0.9, -0.4), "start-up": (0.3, 1.0)}.get(kind, (-0.4, 0.4))
    beta = rng.uniform(*limits)
    phase = log(60.0, 0.8 * np.pi * frames) if kind == "fast" else log(4.0, min(50.0, 0.8 * np.pi * frames))
    share = rng.uniform(0.4, 1.0)
    rate = rng.choice([-1.0, 1.0]) * log(0.3, 4.0) / duration
    f0 = rng.uniform(-0.2, 0.2) * (np.exp(-rate * duration) if rate > 0 else 1.0)
    truth = {
        "D0_ref": slow * share * middle ** -alpha[0], "alpha_ref": alpha[0], "D_offset_ref": slow * (1 - share),
        "D0_sample": fast * share * middle ** -alpha[1], "alpha_sample": alpha[1],
        "D_offset_sample": fast * (1 - share),
        "v0": phase / (q * duration) * middle**-beta, "beta": beta, "v_offset": 0.0,
        "f0": f0, "f1": rate, "f2": 0.0, "f3": rng.uniform(0.25, 0.75), "phi0": rng.uniform(-90.0, 90.0),
    }  # fmt: skip
    contrast = log(0.04, 0.5)
    return truth, {
        "q": q * np.array([1.0, 1.5, 2.2])[: int(rng.integers(2, 4)) if kind == "several q" else 1],
        "phi": _angles(kind, rng),
        "n_frames": frames,
        "dt": duration / frames,
        "contrast": contrast,
        "noise": contrast * (log(0.3, 2.0) if kind == "weak" else log(0.03, 0.3)),
    }


def _angles(kind: str, rng: np.random.Generator) -> np.ndarray:
    if kind == "regular":
        return np.arange(8) * 22.5 + rng.choice([0.0, -67.5, 11.25, -90.0])
    if kind == "few":
        return np.sort(rng.uniform(-90.0, 90.0, int(rng.integers(2, 4))))
    if kind == "symmetric":
        four = np.array([0.0, 90.0, 180.0, 270.0]) + rng.choice([0.0, 30.0, 45.0])
        return four if rng.random() < 0.5 else np.array([-60.0, -20.0, 20.0, 60.0])
    return np.sort(rng.uniform(-180.0, 180.0, int(rng.integers(4, 10))))


def judged(task: tuple[str, int]) -> dict[str, Any]:
    """One experiment, fitted with defaults and from the truth."""
    kind, seed = task
    truth, how = experiment(kind, seed)
    data = hnb.simulate.model_maps("heterodyne", truth, seed=seed, **how)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeterodyneWarning)
        begun = time.process_time()
        result = hnb.fit(data)
        seconds = time.process_time() - begun
        large = [name for name in truth if name.startswith(("D", "v"))]
        limits = {
            n: {"value": truth[n], "min": 0.0 if n.startswith("D0") else -1e7, "max": 1e7} for n in large
        }
        known = hnb.fit(data, parameters=truth | limits, multistart=0)
    unit = max(known.chi2_reduced, 1e-300)
    behind = (result.chi2 - known.chi2) / unit
    best = behind < max(3.0, 1e-5 * known.chi2 / unit)
    says = bool(_SAYS & {flag.code for flag in result.flags if flag.serious})
    apart = [abs((s.values["phi0"] - truth["phi0"] + 90.0) % 180.0 - 90.0) for s in result.solutions]
    near = min(apart) < max(2.0, 4.0 * np.nan_to_num(result.errors["phi0"]))
    verdict = "best" if best else "listed" if says else "wrong"
    return {"kind": kind, "seed": seed, "verdict": verdict, "behind": behind, "flow": near, "says": says,
            "answers": len(result.solutions), "seconds": seconds}  # fmt: skip


def main(count: int, processes: int, first: int) -> None:
    """Print each answer that is not the best, and the table."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the first is ignored in a shell's background
        signal.signal(number, signal.default_int_handler)
    rows: list[dict[str, Any]] = []
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    waiting = [pool.submit(judged, (kind, seed)) for seed in range(first, first + count) for kind in KINDS]
    with suppress(KeyboardInterrupt):
        for done in waiting:
            rows.append(row := done.result())
            if row["verdict"] != "best" or not (row["flow"] or row["says"]):
                print({k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    table(rows)
    pool.shutdown(cancel_futures=True)


def table(rows: list[dict[str, Any]]) -> None:
    """Counts by kind."""
    print(
        f"{'kind':12s} {'best':>5s} {'listed':>7s} {'wrong':>6s} {'true flow':>10s} {'several':>8s} {'CPU s':>6s}"
    )
    for kind in (*KINDS, "all"):
        mine = [row for row in rows if kind in (row["kind"], "all")]
        if not mine:
            continue
        counts = [sum(row["verdict"] == word for row in mine) for word in ("best", "listed", "wrong")]
        flow, several = sum(row["flow"] for row in mine), sum(row["answers"] > 1 for row in mine)
        cpu = np.median([row["seconds"] for row in mine])
        print(
            f"{kind:12s} {counts[0]:5d} {counts[1]:7d} {counts[2]:6d} {flow:10d} {several:8d} {cpu:6.1f}",
            flush=True,
        )


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*(numbers + [34, 2, 0][len(numbers) :]))
