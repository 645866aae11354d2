"""What a pass over the pixels costs.  python tests/benchmarks/engine_study.py

Everything in one run, best of many repeats: a plain read-and-sum of the float32 triangle, a χ² pass, a pass with all
derivatives, the vectorised NumPy twin doing the same, and how the cost grows with the number of pixels.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numba as nb
import numpy as np

from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.engine import Objective, Problem, products_at, tile_products_at
from heterodyne_nb.models import ModelFactory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "engine"))
import reference_sums as twin

PARAMETERS = [50.0, -0.2, 30.0, 3000.0, -0.5, 100.0, 800.0, 0.2, 50.0, 0.3, -0.02, 2.0, 0.4, 20.0]
BINS = 8


@nb.njit(parallel=True, fastmath=True, cache=True)
def read_and_sum(data):
    """Sum of the pixels t1 < t2 of every bin."""
    out = np.zeros(len(data))
    for b in nb.prange(len(data)):
        total = 0.0
        for j in range(data.shape[1]):
            row = data[b, j, :j]
            for i in range(j):
                total += row[i]
        out[b] = total
    return out


def best(function: Callable[[], object], repeats: int = 15) -> float:
    """Shortest of several runs in seconds, after one that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return min(times)


def problem(frames: int) -> Problem:
    """Eight angles of noise around a heterodyne signal's level; the values do not matter for the cost."""
    model = ModelFactory.create_model("heterodyne")
    rng = np.random.default_rng(0)
    data = rng.standard_normal((BINS, frames, frames), dtype=np.float32)
    data *= np.float32(0.01)
    data += np.float32(1.1)
    table = resolve_parameters("heterodyne", dict(zip(model.parameter_names, PARAMETERS, strict=True)))
    times = 20.0 / frames * np.arange(1, frames + 1)
    return Problem(
        model, table, data, np.full(BINS, 0.01), np.linspace(-80.0, 77.5, BINS), times,
        np.ones((BINS, frames)), np.full(BINS, 0.01), np.zeros((0, 3), np.int64),
    )  # fmt: skip


def twin_pass(p: Problem, theta: np.ndarray, wanted: np.ndarray) -> None:
    """The NumPy twin: same products, all bins."""
    terms = p.model.terms(theta, p.t, p.phi)
    weight = np.ones((len(p.t), len(p.t)))
    for b in range(p.n_bins):
        m, dm = twin.separable_maps(terms, p.q[b], b, wanted)
        twin.products(p.data[b], m, dm, weight)


def main() -> None:
    """Print the table."""
    theta, every, none = np.array(PARAMETERS) * 1.01, np.arange(14), np.zeros(0, np.int64)
    print(f"{nb.get_num_threads()} threads, {BINS} bins; times in ms, x = multiple of read-and-sum")
    for frames in (200, 500, 1000, 2000, 4000):
        p = problem(frames)
        read = best(lambda p=p: read_and_sum(p.data))
        value = best(lambda p=p: products_at(p, theta, none))
        full = best(lambda p=p: products_at(p, theta, every))
        pixels = BINS * frames * (frames - 1) / 2
        print(
            f"{frames:5d}²  read {read * 1e3:8.3f}   chi2 {value * 1e3:8.2f} ({value / read:5.1f} x)"
            f"   14 derivatives {full * 1e3:8.2f} ({full / read:5.1f} x)"
            f"   {full / pixels * 1e9:6.2f} ns/pixel",
            flush=True,
        )
        if frames == 1000:
            slow_value = best(lambda p=p: twin_pass(p, theta, none), 1)
            slow_full = best(lambda p=p: twin_pass(p, theta, every), 1)
            tiles = best(lambda p=p: tile_products_at(p, theta, every, 12), 3)
            objective = Objective(p)
            whole = best(lambda o=objective: o.normal_equations(theta))
            print(
                f"       NumPy twin: chi2 {slow_value / value:.0f} x slower, derivatives {slow_full / full:.0f} x slower"
            )
            print(
                f"       per tile, pixel by pixel {tiles * 1e3:.1f} ms; Objective.normal_equations {whole * 1e3:.1f} ms"
            )


if __name__ == "__main__":
    main()
