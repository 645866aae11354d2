"""Maps larger than memory: kept in a temporary file, of which a bounded number of bins is in memory at a time.

The file has no name, so nothing is left behind however the process ends; ``TMPDIR`` says on which disk it is.
"""

from __future__ import annotations

import mmap
import tempfile
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from heterodyne_nb.files import check_folder
from heterodyne_nb.options import ExecutionOptions
from heterodyne_nb.options.execution import bytes_of


def room(memory: Any = None) -> float:
    """Bytes that maps may take; ``memory`` as in :class:`heterodyne_nb.options.ExecutionOptions`."""
    asked = ExecutionOptions.default("memory") if memory is None else memory
    return bytes_of(asked, psutil.virtual_memory().available)


def maps_of(shape: tuple[int, int, int], most: float) -> NDArray[np.float32]:
    """Maps of zeros, (B, N, N): in memory where they take at most so many bytes, else in a temporary file.

    Raises OutputError: The disk of temporary files has no room for them.
    """
    size = 4 * int(np.prod(shape, dtype=np.int64))
    if size <= most:
        return np.zeros(shape, np.float32)
    check_folder(tempfile.gettempdir(), size)
    with tempfile.TemporaryFile() as file:
        return np.asarray(np.memmap(file, np.float32, "w+", shape=shape))


def bins_at_once(data: NDArray[np.float32], most: float) -> int | None:
    """How many bins of maps in a file may be in memory together, one at least; None for maps in memory."""
    return None if _file_of(data) is None else max(1, int(most // max(data[0].nbytes, 1)))


def let_go(data: NDArray[np.float32]) -> None:
    """Have the system take back the memory of maps that are in a file; they are read again when needed."""
    file = _file_of(data)
    if file is not None and hasattr(file, "madvise"):
        file.madvise(mmap.MADV_DONTNEED)


def _file_of(data: Any) -> mmap.mmap | None:
    while data is not None and not isinstance(data, mmap.mmap):
        data = getattr(data, "base", None)
    return data
