"""Who does the work: this process, threads, processes, any executor of concurrent.futures, or a dask cluster.

All of them get the same jobs and hand back the same numbers: a job is a function with its arguments, answers are put
together in the order of the jobs, and kernels add up alike on any number of threads. A worker that dies (killed, out of
memory, a node lost) costs its jobs in hand, which are given to another one.
"""

from __future__ import annotations

import multiprocessing
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import numba as nb

from heterodyne_nb.errors import (
    ConfigurationError,
    HeterodyneError,
    HeterodyneWarning,
    MissingExtraError,
    OptimizationError,
    heard_by,
    warn,
)
from heterodyne_nb.models import ModelFactory, registry
from heterodyne_nb.options.fit import ExecutionOptions, is_client
from heterodyne_nb.progress import StopToken

T = TypeVar("T")

#: Seconds between two looks at the stop token, and how often a job is given to another worker when its own died.
_LOOK, _AGAIN = 0.2, 1
_flag: list[Any] = []


class _SharedStop(StopToken):
    """The stop of the process that started this one."""

    @property
    def reason(self) -> str | None:
        return "cancelled" if _flag and _flag[0].is_set() else None

    def __reduce__(self) -> tuple[type[StopToken], tuple[()]]:
        return type(self), ()


class Team:
    """Those who do jobs; made by :func:`team`. This one does each at once, in the calling thread.

    Attributes: ``slots``: Jobs that can be under way at a time. ``threads``: Threads that the kernels of a job may
    use; None leaves them as they are. ``apart``: Whether jobs run in other processes, so that what they get is
    copied.
    """

    slots: int = 1
    threads: int | None = None
    apart = False

    def submit(self, place: int, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Begin a job; who has done those of the same place is asked first, as it may hold the data."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except BaseException as error:
            if not isinstance(error, Exception):
                raise
            future.set_exception(error)
        return future

    def everywhere(self, function: Callable[..., Any], *args: Any) -> None:
        """Have every worker that outlives this team do something, if it can be reached."""

    def stop(self) -> None:
        """Ask jobs under way to end soon, where they can hear it."""

    def close(self) -> None:
        """Let go of what was started for this team."""


class _Pool(Team):
    """Somebody's executor of concurrent.futures; threads unless it says otherwise."""

    def __init__(self, executor: Executor, slots: int | None = None, *, own: bool = False) -> None:
        self.executor, self.own = executor, own
        self.slots = slots or int(getattr(executor, "_max_workers", None) or nb.get_num_threads())
        self.threads = max(1, nb.get_num_threads() // self.slots)
        self.apart = not isinstance(executor, ThreadPoolExecutor)

    def submit(self, place: int, function: Callable[..., Any], *args: Any) -> Future[Any]:
        return self.executor.submit(function, *args)

    def close(self) -> None:
        if self.own:
            self.executor.shutdown(wait=True, cancel_futures=True)


class _Processes(Team):
    """Processes of our own, each a pool by itself: one that dies takes no job with it but its own.

    They are spawned, not forked: a fork would take over threads and locks of the kernels half way. So functions must be
    importable, and a script needs its ``if __name__ == "__main__":``.
    """

    apart = True

    def __init__(self, workers: int) -> None:
        self.slots, self.threads = workers, max(1, nb.get_num_threads() // workers)
        self.context = multiprocessing.get_context("spawn")
        self.event = self.context.Event()
        self.pools: dict[int, ProcessPoolExecutor] = {}

    def submit(self, place: int, function: Callable[..., Any], *args: Any) -> Future[Any]:
        place %= self.slots
        for _ in range(2):
            if place not in self.pools:
                self.pools[place] = ProcessPoolExecutor(
                    1, self.context, initializer=partial(_begin, self.event, self.threads)
                )
            try:
                return self.pools[place].submit(function, *args)
            except BrokenExecutor:
                self.pools.pop(place).shutdown(wait=False)
        raise OptimizationError("no process can be started", hint="executor=None works in this one")

    def stop(self) -> None:
        self.event.set()

    def close(self) -> None:
        self.event.set()
        for pool in self.pools.values():
            pool.shutdown(wait=True, cancel_futures=True)


class _Dask(Team):
    """Workers of a dask cluster, which may come and go."""

    apart, threads = True, 1

    def __init__(self, client: Any, *, own: bool = False) -> None:
        self.client, self.own = client, own

    @property
    def slots(self) -> int:  # type: ignore[override]
        """Threads of all workers now; one where they are still to come."""
        return int(max(1, sum(self.client.ncores().values())))

    def submit(self, place: int, function: Callable[..., Any], *args: Any) -> Future[Any]:
        homes = [address for address, n in sorted(self.client.ncores().items()) for _ in range(n)]
        near = {"workers": [homes[place % len(homes)]], "allow_other_workers": True} if homes else {}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")  # data in memory have to travel once
            future: Future[Any] = self.client.get_executor(pure=False, retries=3, **near).submit(
                function, *args
            )
            return future

    def everywhere(self, function: Callable[..., Any], *args: Any) -> None:
        self.client.run(function, *args)

    def close(self) -> None:
        if self.own:
            self.client.close()


@contextmanager
def team(executor: Any = None, workers: int | None = None) -> Iterator[Team]:
    """Those who an executor stands for; what is started here is ended with the block.

    ``executor`` (object): None or ``"serial"``: this thread. ``"threads"``, ``"processes"``: as many as ``workers``,
    default the cores. An executor of ``concurrent.futures``, a ``dask.distributed.Client``, or the address of a dask
    scheduler. ``workers``: More than 1 without an executor: processes.

    Raises ConfigurationError: It is none of these. Raises MissingExtraError: An address, and dask is not installed.
    """
    made = executor if isinstance(executor, Team) else _team(executor, workers)
    try:
        yield made
    finally:
        if made is not executor:
            made.close()


def _team(executor: Any, workers: int | None) -> Team:
    asked = ExecutionOptions.read({"executor": executor, "workers": workers})
    executor, workers = asked.executor, asked.workers
    if executor is None:
        executor = "serial" if workers in (None, 1) else "processes"
    count = workers or nb.get_num_threads()
    if isinstance(executor, Executor):
        return _Pool(executor)
    if is_client(executor):
        return _Dask(executor)
    if executor == "serial":
        return Team()
    if executor == "threads":
        return _Pool(ThreadPoolExecutor(count), count, own=True)
    return _Processes(count) if executor == "processes" else _Dask(_client(executor), own=True)


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError(
            "a dask cluster needs dask.distributed", hint="pip install 'heterodyne_nb[dask]'"
        ) from error
    try:
        return Client(address, timeout="30s")
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"there is no dask scheduler: {error}",
            where=address,
            expected="an address such as tcp://host:8786",
        ) from error


def answers(
    team: Team, jobs: Mapping[Any, Callable[..., Any]], stop: StopToken | None = None, *, sticky: bool = False
) -> Iterator[tuple[Any, Any]]:
    """Do jobs and yield (label, result or HeterodyneError) as they end; what they warn of is warned of here.

    ``jobs``: Called without arguments; or with ``stop=`` where there is one, for jobs that can be ended early.
    ``stop``: Ends the jobs under way; what has not begun is left out. ``sticky``: Labels are numbers, and a job goes
    to the worker of its number, which may hold its data.
    """
    models = (
        tuple(registry._registered[name]() for name in sorted(registry._registered)) if team.apart else ()
    )
    todo, tried = deque(jobs), dict.fromkeys(jobs, 0)
    free: deque[int] = deque()
    waiting: dict[Future[Any], tuple[int, Any]] = {}
    opened = 0
    try:
        while todo or waiting:
            if stop is not None and stop.reason:
                team.stop()
                todo.clear()
                for future in [f for f in waiting if f.cancel()]:
                    del waiting[future]
            while todo and len(waiting) < max(team.slots, 1):
                if not free:
                    free.append(opened)
                    opened += 1
                place, label = free.popleft(), todo.popleft()
                place = label if sticky else place
                own = None if stop is None else _SharedStop() if team.apart else stop
                future = _submitted(team, place, jobs[label], team.threads, models, own)
                waiting[future] = place, label
                if future.done():
                    break  # done here and now: told before the next begins
            done, _ = wait(waiting, timeout=_LOOK, return_when=FIRST_COMPLETED)
            for future in done & set(waiting):
                place, label = waiting.pop(future)
                free.append(place)
                answer, heard = _answer(future, label)
                if isinstance(answer, _Lost) and tried[label] < _AGAIN:
                    tried[label] += 1
                    todo.appendleft(label)
                    continue
                for message, category in heard:
                    warn(message if sticky else f"{label}: {message}", category)
                if answer is not _LEFT_OUT:
                    yield label, answer
    finally:
        if waiting:
            team.stop()
        for future in waiting:
            future.cancel()


def ordered(
    team: Team, function: Callable[..., Any], items: Iterable[Any], stop: StopToken | None = None
) -> Iterator[Any]:
    """``function(item)`` of every item, in the order of the items; an error of one is raised.

    Where work is stopped, what was not done is left out at the end.
    """
    if stop is not None and stop.reason:
        return
    jobs = {k: partial(function, item) for k, item in enumerate(items)}
    kept: dict[int, Any] = {}
    following = 0
    for k, answer in answers(team, jobs, None):
        if isinstance(answer, HeterodyneError):
            raise answer
        kept[k] = answer
        while following in kept:
            yield kept.pop(following)
            following += 1
            if stop is not None and stop.reason:
                return


def _called(job: Callable[[], T]) -> T:
    return job()


def side_by_side(jobs: Sequence[Callable[[], T]], team: Team | None = None) -> Iterator[T]:
    """Run the jobs on as many threads as numba has, or by a team, and yield their results in the order given.

    Kernels of a small problem finish in about a millisecond, too short to share between cores (a busy core would hold
    up every pass); whole fits share well, each with kernels of one thread, because these release the interpreter's lock.
    """
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


class _Lost(OptimizationError):
    """A worker died with its job."""


_LEFT_OUT = object()


def _submitted(team: Team, place: int, *job: Any) -> Future[Any]:
    try:
        return team.submit(place, _work, *job)
    except HeterodyneError:
        raise
    except Exception as error:  # dask pickles at once, pools in a thread of theirs
        failed: Future[Any] = Future()
        failed.set_exception(error)
        return failed


def _answer(future: Future[Any], label: Any) -> Any:
    try:
        answer = future.result()
    except (BrokenExecutor, CancelledError) as error:
        told = "its worker died (killed, or out of memory)"
        answer = _Lost(told, where=str(label), hint="fewer workers; a script starts its work under "
                       "`if __name__ == '__main__':`"), []  # fmt: skip
        answer[0].__cause__ = error
    except Exception as error:
        kind = type(error).__name__
        if kind in ("KilledWorker", "CommClosedError"):
            return _Lost(
                f"its worker died: {error}", where=str(label), hint="fewer workers, or more memory"
            ), []
        answer = (
            OptimizationError(
                f"cannot be done by a worker: {kind}: {error}",
                where=str(label),
                hint="executor=None; models and functions of one's own must be importable from a module",
            ),
            [],
        )
        answer[0].__cause__ = error
    return (_LEFT_OUT, []) if answer is None else answer


def _begin(event: Any, threads: int | None) -> None:
    """In each new process: hear the stop, and take a share of the threads."""
    from threadpoolctl import threadpool_limits

    _flag[:] = [event]
    threadpool_limits(threads, "blas")


def _work(
    job: Callable[..., Any], threads: int | None, models: tuple[Any, ...], stop: StopToken | None
) -> tuple[Any, list[tuple[str, type[HeterodyneWarning]]]] | None:
    """One job where it is done: with its share of threads, its models known, its warnings and errors brought back."""
    if stop is not None and stop.reason:
        return None
    before = nb.get_num_threads()
    heard: list[tuple[str, type[HeterodyneWarning]]] = []
    for model in models:
        if model.name not in registry._registered:
            ModelFactory.register(model)
    if threads is not None:
        nb.set_num_threads(min(threads, nb.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    try:
        with heard_by(lambda message, category: heard.append((message, category))):
            return (job() if stop is None else job(stop=stop)), heard
    except HeterodyneError as error:
        return error, heard
    finally:
        with suppress(ValueError):
            nb.set_num_threads(before)
