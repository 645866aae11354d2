"""Small jobs side by side: one Python thread a core, each with kernels of one thread.

Kernels of a small problem finish in about a millisecond, too short to share between cores (a busy core would hold up
every pass); whole fits share well, because the kernels release the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numba as nb

from heterodyne_nb.engine.executors import Team, ordered

T = TypeVar("T")


def _called(job: Callable[[], T]) -> T:
    return job()


def side_by_side(jobs: Sequence[Callable[[], T]], team: Team | None = None) -> Iterator[T]:
    """Run the jobs on as many threads as numba has, or by a team, and yield their results in the order given."""
    if team is not None and team.apart:
        yield from ordered(team, _called, jobs)
        return
    if nb.get_num_threads() == 1:
        yield from (job() for job in jobs)
        return
    with ThreadPoolExecutor(nb.get_num_threads(), initializer=nb.set_num_threads, initargs=(1,)) as pool:
        waiting = [pool.submit(job) for job in jobs]
        try:
            for future in waiting:
                yield future.result()
        finally:
            for future in waiting:
                future.cancel()
