"""The same answers bit for bit, whoever works them out; ``test_executors.py`` runs this file in an interpreter of its own.

Where several processes compile the same kernels at once, each keeps its own code in memory and the last one's stays on
disk, with other last bits: workers of a process that began so would be compared with other code than they run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest
from test_executors import START, cluster, measured, pool, spoken, static

import heterodyne_nb as hn

__all__ = ["cluster", "measured", "pool"]


@pytest.fixture(scope="module")
def fitted() -> Any:
    return hn.fit(static(), "static_isotropic", multistart=0, parameters=START)


def asked(fit: Any, **given: Any) -> list[Any]:
    """What is asked of a fit, worked out by somebody."""
    both = ["static_isotropic", "static_anisotropic"]
    return [
        hn.bootstrap(fit, static(), n=6, **given),
        hn.jackknife(fit, static(), over="bin", refit=True, **given),
        hn.profile(fit, static(), ["D0"], **given),
        hn.compare_models(
            static(), both, folds=0, multistart=0, parameters=dict.fromkeys(both, START), **given
        ),
    ]


@pytest.fixture(scope="module")
def alone(fitted: Any) -> list[Any]:
    return asked(fitted)


@pytest.mark.parametrize("who", ["threads", "pool", "cluster"])
def test_what_is_asked_of_a_fit_has_the_same_answer_whoever_works_it_out(
    who: str, fitted: Any, alone: list[Any], request: Any
) -> None:
    answers = asked(fitted, executor=spoken(who, request), workers=2)
    for one, other in zip(answers, alone, strict=True):
        assert one.dataset.identical(other.dataset)


@pytest.mark.filterwarnings("ignore:these robust methods failed")
def test_robust_methods_run_side_by_side_with_the_answers_of_one_after_the_other(
    pool: Any, fitted: Any
) -> None:
    settings: dict[str, Any] = {"methods": ["wasserstein", "scenario"], "start": fitted, "n_scenarios": 5}
    alone = hn.fit_robust(static(), "static_isotropic", **settings)
    both = hn.fit_robust(static(), "static_isotropic", executor=pool, **settings)
    assert {name: one.values for name, one in both.items()} == {
        name: one.values for name, one in alone.items()
    }


def same(a: Any, b: Any) -> bool:
    """Whether two fits have the same numbers, bit for bit; the times of their paths aside."""
    return bool(a.dataset.drop_attrs().identical(b.dataset.drop_attrs()))


@pytest.mark.parametrize("loss", ["linear", "huber"])
def test_a_fit_whose_maps_are_held_by_workers_is_that_of_one_process_bit_for_bit(
    loss: str, measured: Path, pool: Any, cluster: Any
) -> None:
    settings: dict[str, Any] = {"parameters": START, "loss": loss, "multistart": 2}
    alone = hn.fit(hn.open_dataset(measured), "static_isotropic", **settings)
    for who in (pool, cluster):
        one = hn.fit(hn.open_dataset(measured), "static_isotropic", executor=who, workers=2, **settings)
        assert same(one, alone)


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
    assert same(spread, alone)


def test_maps_larger_than_the_memory_asked_for_give_the_same_numbers(measured: Path) -> None:
    settings: dict[str, Any] = {"parameters": START, "multistart": 0}
    alone = hn.fit(hn.open_dataset(measured), "static_isotropic", **settings)
    bounded = hn.fit(hn.open_dataset(measured), "static_isotropic", memory=2 * 4 * 64**2, **settings)
    assert same(bounded, alone)
