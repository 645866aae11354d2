"""Small problems: one thread each, since the tests themselves run side by side."""

from __future__ import annotations

from collections.abc import Iterator

import numba as nb
import pytest


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Kernels that finish in a millisecond wait longer for a second core than they compute."""
    threads = nb.get_num_threads()
    nb.set_num_threads(1)
    yield
    nb.set_num_threads(threads)
