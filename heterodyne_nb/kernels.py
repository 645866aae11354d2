"""Before the first kernel is compiled: where compiled code is kept, and what a fork after a fit means."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, ClassVar

import numba
from numba.core import caching, dispatcher
from numba.core.cpu import ParallelOptions

from heterodyne_nb.errors import HeterodyneWarning, OptimizationError, warn

try:
    import fcntl
except ImportError:  # Windows: every process may compile for itself
    fcntl = None  # type: ignore[assignment]

#: How long one process waits for another to compile a kernel (s); after that it compiles it itself.
_PATIENCE = 120.0

_forked = False


def prepare() -> None:
    """Find a folder for compiled code where numba finds none, and notice forks.

    Numba keeps it beside the package or in the user's cache folder. Where neither can be written (containers, other
    people's installations) it goes to a folder of this user among the temporary files, and where that fails nothing is
    kept, so that every process compiles anew.

    Warns
    -----
    HeterodyneWarning
        Once, when it is not kept where numba would.
    """
    dispatcher.FunctionCache = _cache_of  # type: ignore[attr-defined]
    if not _can_be_kept():
        folder = _temporary_folder()
        if folder is not None:
            numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
        if folder is not None and _can_be_kept():
            told = f"compiled kernels are kept in {folder}, as no usual cache folder can be written"
        else:
            told = "compiled kernels are not kept, as no cache folder can be written: half a minute in every process"
        warn(f"{told}; set NUMBA_CACHE_DIR to a folder of yours", HeterodyneWarning)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def require_threads() -> None:
    """Raise where kernels cannot run: in a process forked after the parent has used its threads.

    Raises OptimizationError: With the way to do it.
    """
    if _forked:
        raise OptimizationError(
            "this process was forked from one whose kernels have run, and threads do not survive a fork",
            hint="start processes with multiprocessing.get_context('spawn') (concurrent.futures: mp_context=), "
            "fit_batch(workers=), or pip install tbb, whose threads do survive",
        )


def _after_fork() -> None:
    """In a forked process: whether the threads its parent's kernels had started are those that cannot be used here."""
    global _forked
    try:
        _forked = numba.threading_layer() == "omp" and sys.platform.startswith("linux")
    except ValueError:  # no kernel has run: they start their threads here
        return


def _probe() -> None:
    """Stand for the package's kernels."""


def _can_be_kept() -> bool:
    try:
        caching.FunctionCache(_probe)
    except RuntimeError:
        return False
    return True


class _Cache(caching.FunctionCache):
    """Numba's cache of a function, of which a full disk or a damaged file costs time and nothing else.

    What one process compiles, others wait for: the last bits of results may differ from one compilation to the next. They
    may between the process that compiles and those that read its code, too, as what a kernel calls is compiled by itself
    and once more with it, and another copy is run: functions where this was seen are inlined always (``forceinline``).
    """

    _told: ClassVar[set[str]] = set()
    _lock: IO[bytes] | None = None

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = self._kept(sig, target_context)
        if found is None and self._locked():
            found = self._kept(sig, target_context)  # by the process that was waited for
            if found is not None:
                self._unlock()
        return found

    def _locked(self) -> bool:
        """Whether this process alone may compile the function now; it may until the result is kept."""
        if fcntl is None:
            return False
        try:
            self._impl.locator.ensure_cache_path()
            lock = self._lock or open(f"{self._cache_file._index_path}.lock", "ab")  # noqa: SIM115
            end = time.monotonic() + _PATIENCE
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        lock.close()
                        return False
                    time.sleep(0.05)
        except OSError:  # no place for it, or a file system without locks
            return False
        self._lock = lock
        return True

    def _unlock(self) -> None:
        if self._lock is not None:
            with suppress(OSError):
                fcntl.flock(self._lock, fcntl.LOCK_UN)  # closing is not enough where a fork has the file too
            self._lock.close()
            self._lock = None

    def _kept(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:
            with suppress(Exception):
                self.flush()  # type: ignore[no-untyped-call]  # kept anew
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except Exception as error:
            if not self._told:
                self._told.add(self.cache_path)
                hint = "half a minute in every process; make room, or set NUMBA_CACHE_DIR to another folder"
                warn(
                    f"compiled kernels cannot be kept in {self.cache_path} ({error}): {hint}",
                    HeterodyneWarning,
                )
        finally:
            self._unlock()


def _cache_of(function: Any) -> Any:
    """The cache of a function, or none for one of ours where there is no place for it."""
    if not function.__module__.startswith("heterodyne_nb."):
        return caching.FunctionCache(function)
    try:
        return _Cache(function)  # type: ignore[no-untyped-call]
    except RuntimeError:
        return caching.NullCache()


def _temporary_folder() -> Path | None:
    """A folder that only this user can write, since what is in it is run."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    try:
        folder = Path(tempfile.gettempdir()) / f"heterodyne_nb_numba_{user}"
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
        if hasattr(os, "getuid") and (state.st_uid != user or state.st_mode & 0o077 or folder.is_symlink()):
            return Path(tempfile.mkdtemp(prefix="heterodyne_nb_numba_"))
    except OSError:
        return None
    return folder


#: What threads share in a kernel: its own loops over ``prange`` and nothing else, so that the arrays it works in are not
#: rewritten into loops of their own, which takes long to compile.
LOOPS: Any = ParallelOptions(  # which the stubs of njit do not know
    dict.fromkeys(
        ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False
    )
)
prepare()
