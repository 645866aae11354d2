"""Kernels in containers and pools: no folder to keep them in, processes forked and spawned."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest

import heterodyne_nb as hn

DATA = Path(__file__).resolve().parents[1] / "fixtures" / "test_data.h5"
START = {"D0": 800.0, "alpha": -0.4, "D_offset": 120.0}
FIT = f"""
import heterodyne_nb as hn
def work(seed):
    result = hn.fit(hn.open_dataset({str(DATA)!r}), "static_isotropic", parameters={START}, multistart=0, seed=seed)
    return result.chi2
"""
#: Number, sum and sum of squares of the data below the diagonal of a map: 2, 3 and 4.
KERNEL = """
import numpy as np
from heterodyne_nb.engine.problem import data_moments
c2 = np.array([[[0, 0, 0], [2, 0, 0], [3, 4, 0]]], np.float32)
print(data_moments(c2, np.ones((1, 3))).tolist())
"""
#: What a read-only installation does, for root too: neither beside the package nor in the user's folder can be written.
READ_ONLY = """
import tempfile
from numba.core import caching
allowed = {allowed!r}
real, made = tempfile.TemporaryFile, caching.os.makedirs
def refuse(*args, dir=None, **more):
    if dir is None or not any(str(dir).startswith(one) for one in allowed):
        raise PermissionError(13, "Read-only file system")
    return real(*args, dir=dir, **more)
tempfile.TemporaryFile = refuse
"""


#: Two kernels that are ours by their module.
SMALL = """
import resource, signal, sys
import numba
from heterodyne_nb import kernels
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def twice(x):
    return 2 * x
def thrice(x):
    return 3 * x
twice.__module__ = thrice.__module__ = "heterodyne_nb.small"
if sys.argv[1] == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
print(numba.njit(cache=True)(twice)(2.0) + numba.njit(cache=True)(thrice)(2.0))
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | environment
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False, env=variables
    )


def fitted(seed: int) -> float:
    result = hn.fit(hn.open_dataset(DATA), "static_isotropic", parameters=START, multistart=0, seed=seed)
    return result.chi2


@pytest.mark.parametrize("writable", [True, False])
def test_without_a_usual_cache_folder_a_temporary_one_is_taken_or_none(
    tmp_path: Path, writable: bool
) -> None:
    """Of all kernels one that threads share: it is compiled anew."""
    refused = READ_ONLY.format(allowed=[str(tmp_path)] if writable else [])
    done = run(f"{refused}\n{KERNEL}", TMPDIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "[[3.0, 9.0, 29.0]]\n"), done.stderr
    words = "compiled kernels are kept in" if writable else "compiled kernels are not kept"
    assert done.stderr.count("compiled kernels") == done.stderr.count(words) == 1
    kept = list(tmp_path.rglob("*.nbc"))
    assert bool(kept) == writable


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are those of POSIX")
def test_a_full_disk_or_a_damaged_file_under_compiled_kernels_costs_time_and_nothing_else(
    tmp_path: Path,
) -> None:
    script, cache = tmp_path / "small.py", tmp_path / "cache"
    script.write_text(SMALL)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}

    def ran(how: str) -> str:
        command = [sys.executable, str(script), how]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=600, check=False, env=environment
        )
        assert (done.returncode, done.stdout) == (0, "10.0\n"), done.stderr
        return done.stderr

    assert ran("full").count("compiled kernels cannot be kept in") == 1
    assert not list(cache.rglob("*.nbc"))
    assert ran("room") == ""
    kept = sorted(cache.rglob("*.nbi"))
    assert len(kept) == 2
    whole = [one.stat().st_size for one in kept]
    for one in kept:
        one.write_bytes(b"not what numba wrote")
    assert ran("room") == ""
    assert [one.stat().st_size for one in kept] == whole


#: A kernel of ours that says when it is compiled, which lasts until a line comes, and when it waits for another process.
TOLD = """
import sys, time
import numba
from numba.core import dispatcher
from heterodyne_nb import kernels
compiled, pause = dispatcher._FunctionCompiler.compile, time.sleep
def compile(*asked):
    print("compiles", flush=True)
    sys.stdin.readline()
    return compiled(*asked)
def sleep(seconds):
    print("waits", flush=True)
    time.sleep = pause
    pause(seconds)
dispatcher._FunctionCompiler.compile, time.sleep = compile, sleep
def twice(x):
    return 2 * x
twice.__module__ = "heterodyne_nb.small"
sys.modules[twice.__module__] = sys.modules["__main__"]
print(numba.njit(cache=True)(twice)(2.0))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="locks are those of POSIX")
def test_a_kernel_is_compiled_by_one_process_and_others_wait_for_it(tmp_path: Path) -> None:
    path = tmp_path / "small.py"
    path.write_text(TOLD)
    pipe, surroundings = subprocess.PIPE, {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept")}

    def started() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, path], stdin=pipe, stdout=pipe, text=True, env=surroundings)

    with started() as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "compiles\n"
        with started() as second:
            assert second.stdout is not None
            assert second.stdout.readline() == "waits\n"
            assert first.communicate("\n")[0] == "4.0\n"
            assert second.communicate("\n")[0] == "4.0\n"


@pytest.mark.slow
def test_the_process_that_compiles_finds_the_same_bits_as_those_that_read_its_code(tmp_path: Path) -> None:
    code = f"""{FIT}
truth = hn.example_truth()["parameters"]
settings = {{"q": [0.01], "phi": [0.0, 45.0, 80.0], "n_frames": 100, "dt": 0.5, "noise": 0.01, "seed": 0}}
flowing = hn.simulate.model_maps("heterodyne", truth, **settings)
for result in (
    hn.fit(hn.open_dataset({str(DATA)!r}), "static_isotropic", parameters={START}, multistart=0),
    hn.fit(flowing, "heterodyne", parameters=truth, multistart=0),
):
    print(result.chi2.hex(), *(error.hex() for error in map(float, result.errors.values())))
"""
    compiled, read = (run(code, NUMBA_CACHE_DIR=str(tmp_path)).stdout for _ in range(2))
    assert compiled
    assert compiled == read


@pytest.mark.slow
def test_a_fit_in_a_process_forked_after_a_fit_is_an_error_that_says_how_to_do_it() -> None:
    code = f"""{FIT}
import multiprocessing
def told(seed):
    try:
        return str(work(seed))
    except hn.OptimizationError as error:
        return str(error)
first = work(0)
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.apply_async(told, (0,)).get(300))
print(work(0) == first)
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert "threads do not survive a fork" in done.stdout or "tbb" in sys.modules
    assert "get_context('spawn')" in done.stdout
    assert done.stdout.endswith("True\n")


@pytest.mark.slow
def test_a_fit_in_a_process_forked_before_any_fit_works() -> None:
    code = f"""{FIT}
import multiprocessing
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.apply_async(work, (0,)).get(300))
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(fitted(0), rel=1e-9)


@pytest.mark.slow
def test_a_pool_of_spawned_processes_fits_after_a_fit_here() -> None:
    asked = partial(hn.fit, mode="static_isotropic", parameters=START, multistart=0)
    here = asked(hn.open_dataset(DATA).load())
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        (there,) = pool.map(asked, [hn.open_dataset(DATA).load()])
    assert there.chi2 == pytest.approx(here.chi2, rel=1e-9)
    assert there.values == pytest.approx(here.values)


@pytest.mark.slow
def test_dask_fits_in_its_processes() -> None:
    dask = pytest.importorskip("dask")
    job = dask.delayed(hn.fit)(
        hn.open_dataset(DATA).load(), "static_isotropic", parameters=START, multistart=0
    )
    (there,) = dask.compute(job, scheduler="processes", num_workers=1)
    assert there.chi2 == pytest.approx(fitted(0), rel=1e-9)


def test_a_missing_extra_is_named_with_the_way_to_install_it() -> None:
    code = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ipywidgets", "anywidget"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import heterodyne_nb as hn
for get in (lambda: hn.App, lambda: hn.app.MapCanvas):
    try:
        get()
    except hn.HeterodyneError as error:
        assert isinstance(error, ImportError)
        print(error)
print(hn.AnalysisSession.__name__)
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    first, _, second, _, session = done.stdout.splitlines()
    assert (first, second) == (
        "App needs ipywidgets, which is not installed",
        "MapCanvas needs anywidget, which is not installed",
    )
    assert done.stdout.count('pip install "heterodyne_nb[app]"') == 2
    assert session == "AnalysisSession"
