"""Fits in processes of their own, for many parts or many start values at once."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numba as nb

from heterodyne_nb.errors import HeterodyneError, HeterodyneWarning, OptimizationError, heard_by, warn
from heterodyne_nb.models import ModelFactory, registry
from heterodyne_nb.progress import StopToken

_LOOK = 0.2
_stopped: list[Any] = []


class _SharedStop(StopToken):
    """The stop of the process that started this one."""

    @property
    def reason(self) -> str | None:
        return "cancelled" if _stopped[0].is_set() else None


def fits_in_processes(
    fit: Callable[..., Any], jobs: Mapping[Any, Mapping[str, Any]], workers: int, stop: StopToken
) -> Iterator[tuple[Any, Any]]:
    """Run ``fit(**job, stop=...)`` for each job, and yield (label, result or HeterodyneError) as they end.

    The processes are spawned, not forked: a fork would take over threads and locks of the kernels half way. So `fit`
    and the jobs must be picklable, and a script needs its ``if __name__ == "__main__":``.

    Parameters
    ----------
    fit : callable
    jobs : mapping of label to keyword arguments
    workers : int
        Processes; each takes its share of the threads.
    stop : StopToken
        Asks all of them; what has not begun is left out.

    Raises
    ------
    OptimizationError
        A process died, or a job cannot be sent to one.
    """
    context = multiprocessing.get_context("spawn")
    event = context.Event()
    if stop.reason:
        event.set()
    modes = {str(job["mode"]) for job in jobs.values() if "mode" in job} & set(registry._registered)
    models = [registry._registered[mode]() for mode in sorted(modes)]
    threads = max(1, nb.get_num_threads() // workers)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin, initargs=(event, threads, models)
    )
    waiting: dict[Future[Any], Any] = {}
    try:
        waiting = {pool.submit(_one, fit, dict(job)): label for label, job in jobs.items()}
        while waiting:
            done, _ = wait(waiting, timeout=_LOOK, return_when=FIRST_COMPLETED)
            if stop.reason:
                event.set()
                for future in [f for f in waiting if f.cancel()]:
                    del waiting[future]
            for future in done & set(waiting):
                label = waiting.pop(future)
                answer, heard = _answer(future, label)
                for message, category in heard:
                    warn(f"{label}: {message}", category)
                if answer is not None:
                    yield label, answer
    finally:
        event.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _answer(future: Future[Any], label: Any) -> Any:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise OptimizationError(
            "a process of the pool died (killed, or out of memory)",
            where=f"fit of {label}",
            hint="fewer workers; in a script, start the work under `if __name__ == '__main__':`",
        ) from error
    except HeterodyneError as error:
        return error, []
    except Exception as error:
        raise OptimizationError(
            f"the fit cannot be sent to a process: {type(error).__name__}: {error}",
            where=f"fit of {label}",
            hint="workers=1; models and functions of one's own must be importable from a module",
        ) from error


def _begin(event: Any, threads: int, models: list[Any]) -> None:
    """In each new process: hear the stop, take a share of the threads, know the models registered by hand."""
    _stopped[:] = [event]
    os.environ.setdefault("NUMBA_NUM_THREADS", str(threads))
    nb.set_num_threads(min(threads, nb.get_num_threads()))
    for model in models:
        ModelFactory.register(model)


def _one(
    fit: Callable[..., Any], job: dict[str, Any]
) -> tuple[Any, list[tuple[str, type[HeterodyneWarning]]]]:
    heard: list[tuple[str, type[HeterodyneWarning]]] = []
    if _stopped[0].is_set():
        return None, heard
    with heard_by(lambda message, category: heard.append((message, category))):
        return fit(**job, stop=_SharedStop()), heard
