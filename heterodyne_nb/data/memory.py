"""How much memory a function took."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import psutil

__all__ = ["MemoryUse", "monitor_memory_usage"]

_log = logging.getLogger(__name__)
_MB = 1e6
_PERIOD = 0.01

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class MemoryUse:
    """Resident memory of the process around one call, in MB (10⁶ bytes).

    Attributes
    ----------
    before, after : float
        At its start and end.
    peak : float
        Highest value seen; the memory is looked at every 10 ms, so a shorter spike may be missed.
    """

    before: float
    after: float
    peak: float

    @property
    def growth(self) -> float:
        """What is kept after the call, MB."""
        return self.after - self.before

    def __str__(self) -> str:
        return f"{self.before:.1f} MB before, {self.after:.1f} MB after, {self.peak:.1f} MB at most"


def monitor_memory_usage(function: F) -> F:
    """Print how much the resident memory of the process has grown over each call of a function.

    Parameters
    ----------
    function : callable
        Any function or method; what it returns and raises is passed on.

    Returns
    -------
    callable
        The function, with the :class:`MemoryUse` of its last call as ``last_memory`` (None before the first);
        each call prints ``Memory usage: … MB`` and is logged in full at level INFO under
        ``heterodyne_nb.data.memory``.

    Examples
    --------
    >>> @monitor_memory_usage
    ... def load():
    ...     return bytearray(10_000_000)
    >>> data = load()                                    # doctest: +ELLIPSIS
    Memory usage: ... MB
    >>> load.last_memory.peak >= load.last_memory.before
    True
    """

    @functools.wraps(function)
    def measured(*args: Any, **kwargs: Any) -> Any:
        watch = _Watch()
        try:
            return function(*args, **kwargs)
        finally:
            measured.last_memory = use = watch.stop()  # type: ignore[attr-defined]
            print(f"Memory usage: {use.growth:.1f} MB")
            _log.info("%s: %s", function.__qualname__, use)

    measured.last_memory = None  # type: ignore[attr-defined]
    return cast(F, measured)


class _Watch:
    """Samples the resident memory in a thread until stopped."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._peak = self._resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _resident(self) -> float:
        return self._process.memory_info().rss / _MB

    def _sample(self) -> None:
        while not self._done.wait(_PERIOD):
            self._peak = max(self._peak, self._resident())

    def stop(self) -> MemoryUse:
        self._done.set()
        self._thread.join()
        after = self._resident()
        return MemoryUse(self._before, after, max(self._peak, after))
