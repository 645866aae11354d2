"""Work handed out to threads, processes, executors and dask: the same answers, whoever dies meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heterodyne_nb as hn
from heterodyne_nb.data import write_apsu
from heterodyne_nb.engine.executors import answers, ordered, team
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning, OptimizationError, warn


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A dask cluster of two processes on this machine."""
    distributed = pytest.importorskip("distributed", reason="pip install 'heterodyne_nb[dask]'")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        ) as local,
        distributed.Client(local) as client,
    ):
        yield client


def spoken(who: str, request: Any) -> Any:
    return request.getfixturevalue(who) if who in ("cluster", "pool") else who


@pytest.fixture(scope="module")
def pool() -> Iterator[Any]:
    """Two spawned processes, as a user may have made them."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as two:
        yield two


def squared(x: float) -> float:
    return x * x


def dies_once(x: int, folder: Path) -> int:
    if x == 2 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * x


def always_dies(x: int) -> int:
    if x == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def complains(x: int) -> int:
    warn(f"number {x}", DataWarning)
    if x == 1:
        raise DataFormatError("is damaged", where="file.h5", expected="a whole one", hint="copy it again")
    return x


@pytest.mark.parametrize("who", [None, "threads", "processes", "own", "dask"])
def test_every_executor_gives_the_answers_in_the_order_of_the_questions(who: Any, request: Any) -> None:
    if who == "dask":
        who = request.getfixturevalue("cluster")
    with ThreadPoolExecutor(2) as pool, team(pool if who == "own" else who, 2) as some:
        assert list(ordered(some, squared, range(7))) == [k * k for k in range(7)]


def test_what_a_job_warns_of_and_its_error_come_back_from_another_process() -> None:
    jobs = {k: partial(complains, k) for k in range(2)}
    with team("processes", 1) as one, pytest.warns(DataWarning) as heard:
        found = dict(answers(one, jobs))
    assert [str(one.message) for one in heard] == ["0: number 0", "1: number 1"]
    assert found[0] == 0
    assert isinstance(found[1], DataFormatError)
    assert str(found[1]) == "file.h5: is damaged\n  expected: a whole one\n  to mend it: copy it again"


def test_the_job_of_a_killed_process_is_done_by_another_and_one_that_always_kills_it_costs_no_other(
    tmp_path: Path,
) -> None:
    jobs: dict[Any, Any] = {k: partial(dies_once, k, tmp_path) for k in range(4)}
    jobs["bad"] = partial(always_dies, 1)
    with team("processes", 2) as two:
        found = dict(answers(two, jobs))
    assert isinstance(found.pop("bad"), OptimizationError)
    assert found == {k: 10 * k for k in range(4)}
    assert (tmp_path / "died").exists()


def test_the_job_of_a_killed_dask_worker_is_done_by_another(cluster: Any, tmp_path: Path) -> None:
    jobs = {k: partial(dies_once, k, tmp_path) for k in range(4)}
    with team(cluster) as some:
        assert dict(answers(some, jobs)) == {k: 10 * k for k in range(4)}
    assert (tmp_path / "died").exists()


@pytest.mark.parametrize("wrong", ["thread", 3, "no scheduler here"])
def test_what_is_no_executor_is_refused_with_what_is_one(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"executor(.|\n)*no executor(.|\n)*Client"), team(wrong):
        pass


START = {"D0": 900.0, "alpha": -0.3, "D_offset": 50.0}


def static(n: int = 40) -> Any:
    return hn.simulate.model_maps(
        "static_isotropic",
        [1000.0, -0.3, 60.0],
        q=[0.01, 0.02],
        phi=[0.0, 60.0],
        n_frames=n,
        dt=0.5,
        noise=0.01,
        seed=3,
    )


@pytest.mark.parametrize("who", ["threads", "pool", "cluster"])
def test_a_batch_has_the_same_numbers_whoever_fits(who: Any, request: Any) -> None:
    settings: dict[str, Any] = {"over": "phi", "multistart": 0, "parameters": START}
    alone = hn.fit_batch(static(), "static_isotropic", **settings)
    executor = spoken(who, request)
    assert hn.fit_batch(static(), "static_isotropic", executor=executor, workers=2, **settings).identical(
        alone
    )
    assert np.isfinite(alone["parameters"].values).all()


@pytest.fixture(scope="module")
def measured(tmp_path_factory: Any) -> Path:
    """A file with four maps."""
    path = tmp_path_factory.mktemp("run") / "run.h5"
    write_apsu(static(64), path)
    return path


@pytest.mark.slow
def test_everything_is_the_same_bit_for_bit_whoever_works_it_out() -> None:
    file = Path(__file__).with_name("same_bits.py")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, env=without_xdist(os.environ))
    assert done.returncode == 0, done.stdout
    assert "8 passed" in done.stdout


def without_xdist(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in environment.items() if not name.startswith("PYTEST_")}


def test_a_file_that_workers_cannot_see_is_told(measured: Path, tmp_path: Path, pool: Any) -> None:
    path = tmp_path / "gone.h5"
    path.write_bytes(measured.read_bytes())
    data = hn.open_dataset(path)
    path.unlink()
    with pytest.raises(DataFormatError, match=r"gone\.h5"):
        hn.fit(data, "static_isotropic", executor=pool, parameters=START, multistart=0)
