"""``import heterodyne_nb`` must stay well under half a second: the heavy packages come when used."""

from __future__ import annotations

import subprocess
import sys

from pytest_benchmark.fixture import BenchmarkFixture

HEAVY = ("numba", "cvxpy", "gurobipy", "plotly", "xarray", "ipywidgets")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_import_in_a_fresh_interpreter(benchmark: BenchmarkFixture) -> None:
    code = f"import sys, heterodyne_nb; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert benchmark.pedantic(lambda: run(code), rounds=5, warmup_rounds=1) == "[]"
    timed = "import time; t = time.perf_counter(); import heterodyne_nb; print(time.perf_counter() - t)"
    seconds = min(float(run(timed)) for _ in range(3))
    benchmark.extra_info["import seconds"] = seconds
    assert seconds < 0.5
