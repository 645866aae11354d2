"""Work handed out to threads, processes, executors and dask: the same answers, whoever dies meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import xarray as xr

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
    settings: dict[str, Any] = {"over": "q", "multistart": 0, "parameters": START}
    alone = hn.fit_batch(static(), "static_isotropic", **settings)
    executor = spoken(who, request)
    assert hn.fit_batch(static(), "static_isotropic", executor=executor, workers=2, **settings).identical(
        alone
    )
    assert np.isfinite(alone["parameters"].values).all()


@pytest.fixture(scope="module")
def fitted() -> Any:
    return hn.fit(static(), "static_isotropic", multistart=0, parameters=START)


@pytest.mark.parametrize("who", ["threads", "pool", "cluster"])
def test_what_is_asked_of_a_fit_has_the_same_answer_whoever_works_it_out(
    who: str, fitted: Any, request: Any
) -> None:
    given = {"executor": spoken(who, request), "workers": 2}
    for ask in (
        lambda **more: hn.bootstrap(fitted, static(), n=12, **more),
        lambda **more: hn.jackknife(fitted, static(), over="bin", refit=True, **more),
        lambda **more: hn.profile(fitted, static(), ["D0", "alpha"], **more),
        lambda **more: hn.compare_models(
            static(), ["static_isotropic", "static_anisotropic"], folds=0, multistart=0,
            parameters=dict.fromkeys(["static_isotropic", "static_anisotropic"], START), **more,
        ),
    ):  # fmt: skip
        assert same(ask(**given).dataset, ask().dataset)


@pytest.mark.filterwarnings("ignore:these robust methods failed")
def test_robust_methods_run_side_by_side_with_the_answers_of_one_after_the_other(
    pool: Any, fitted: Any
) -> None:
    settings: dict[str, Any] = {"methods": ["wasserstein", "scenario"], "start": fitted, "n_scenarios": 5}
    alone = hn.fit_robust(static(), "static_isotropic", **settings)
    both = hn.fit_robust(static(), "static_isotropic", executor=pool, **settings)
    assert set(both) == set(alone)
    for name, one in both.items():
        assert one.values == pytest.approx(alone[name].values, rel=1e-6)


def same(a: Any, b: Any) -> bool:
    """Whether two answers have the same numbers; the times of their paths aside.

    Fresh processes give the same bits; one that has run hundreds of other tests may round the last ones otherwise.
    """
    xr.testing.assert_allclose(a.drop_attrs(), b.drop_attrs(), rtol=1e-6, atol=1e-9)
    return True


@pytest.fixture(scope="module")
def measured(tmp_path_factory: Any) -> Path:
    """A file with four maps."""
    path = tmp_path_factory.mktemp("run") / "run.h5"
    write_apsu(static(64), path)
    return path


@pytest.mark.parametrize("loss", ["linear", "huber"])
@pytest.mark.parametrize("who", ["pool", "cluster"])
def test_a_fit_whose_maps_are_held_by_workers_is_that_of_one_process_bit_for_bit(
    who: str, loss: str, measured: Path, request: Any
) -> None:
    settings: dict[str, Any] = {"parameters": START, "loss": loss, "multistart": 2}
    alone = hn.fit(hn.open_dataset(measured), "static_isotropic", **settings)
    given = {"executor": spoken(who, request), "workers": 2}
    assert same(
        hn.fit(hn.open_dataset(measured), "static_isotropic", **given, **settings).dataset, alone.dataset
    )


def test_bins_of_a_worker_killed_in_mid_fit_are_read_again_and_the_numbers_stay(
    measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"parameters": START, "multistart": 0}
    alone = hn.fit(hn.open_dataset(measured), "static_isotropic", **settings)
    killed: list[int] = []

    def kill_one(event: Any) -> None:
        if event.stage == "all pixels" or (event.chi2 is not None and not killed):
            for child in psutil.Process().children(recursive=True):
                if "spawn_main" in " ".join(child.cmdline()) and not killed:
                    killed.append(child.pid)
                    child.kill()

    spread = hn.fit(
        hn.open_dataset(measured),
        "static_isotropic",
        executor="processes",
        workers=2,
        on_progress=kill_one,
        **settings,
    )
    assert killed
    assert same(spread.dataset, alone.dataset)


def test_maps_larger_than_the_memory_asked_for_give_the_same_numbers(measured: Path) -> None:
    settings: dict[str, Any] = {"parameters": START, "multistart": 0}
    alone = hn.fit(hn.open_dataset(measured), "static_isotropic", **settings)
    bounded = hn.fit(hn.open_dataset(measured), "static_isotropic", memory=2 * 4 * 64**2, **settings)
    assert same(bounded.dataset, alone.dataset)


def test_a_file_that_workers_cannot_see_is_told(measured: Path, tmp_path: Path, pool: Any) -> None:
    path = tmp_path / "gone.h5"
    path.write_bytes(measured.read_bytes())
    data = hn.open_dataset(path)
    path.unlink()
    with pytest.raises(DataFormatError, match=r"gone\.h5"):
        hn.fit(data, "static_isotropic", executor=pool, parameters=START, multistart=0)
