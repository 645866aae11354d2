"""Work handed out to threads, processes, executors and dask: the same answers, whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heterodyne_nb as hn
from heterodyne_nb.engine.executors import answers, ordered, team
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning, OptimizationError, warn


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A dask cluster of two processes on this machine."""
    distributed = pytest.importorskip("distributed", reason="pip install 'heterodyne_nb[dask]'")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as local,
        distributed.Client(local) as client,
    ):
        yield client


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


def test_the_job_of_a_killed_process_is_done_by_another(tmp_path: Path) -> None:
    jobs = {k: partial(dies_once, k, tmp_path) for k in range(4)}
    with team("processes", 2) as two:
        assert dict(answers(two, jobs)) == {k: 10 * k for k in range(4)}
    assert (tmp_path / "died").exists()


def test_a_job_that_always_kills_its_process_is_told_and_costs_no_other() -> None:
    with team("processes", 2) as two:
        found = dict(answers(two, {k: partial(always_dies, k) for k in range(4)}))
    assert isinstance(found.pop(1), OptimizationError)
    assert found == {0: 0, 2: 2, 3: 3}


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
        "static_isotropic", [1000.0, -0.3, 60.0], q=[0.01, 0.02], phi=[0.0, 60.0], n_frames=n, dt=0.5, noise=0.01, seed=3
    )


@pytest.mark.parametrize("who", ["threads", "processes", "dask"])
def test_a_batch_has_the_same_numbers_whoever_fits(who: Any, request: Any) -> None:
    settings: dict[str, Any] = {"over": "q", "multistart": 0, "parameters": START}
    alone = hn.fit_batch(static(), "static_isotropic", **settings)
    executor = request.getfixturevalue("cluster") if who == "dask" else who
    assert hn.fit_batch(static(), "static_isotropic", executor=executor, workers=2, **settings).identical(alone)
    assert np.isfinite(alone["parameters"].values).all()
