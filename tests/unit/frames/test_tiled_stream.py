"""A live fit follows an array on a real Tiled server while another client appends to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.frames.growing import GrowingFrames, arriving
from heterodyne_nb.frames.partition import Partition
from heterodyne_nb.frames.tiled_stream import tiled_frames

pytest.importorskip("tiled.server", reason="tiled's server is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the server, which runs in this process


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server of a single user with temporary storage, on the loopback."""
    from tiled.server import SimpleTiledServer

    with SimpleTiledServer(tmp_path_factory.mktemp("tiled")) as running:
        yield running


@pytest.fixture
def connected(server: Any) -> Iterator[Callable[[], Any]]:
    """Clients of their own, closed afterwards."""
    from tiled.client import from_uri

    clients: list[Any] = []

    def connect() -> Any:
        clients.append(from_uri(server.uri))
        return clients[-1]

    yield connect
    for client in clients:
        client.context.http_client.close()


def run_of(n_frames: int) -> np.ndarray:
    return np.random.default_rng(3).poisson(0.4, (n_frames, 12, 12)).astype(np.uint16)


def partition() -> Partition:
    labels = np.ones((12, 12), int)
    labels[6:] = 2
    return Partition(labels, np.array([0.01, 0.01]), np.array([0.0, 60.0]))


@pytest.mark.parametrize("how", ["client", "address"])
def test_frames_appended_by_another_client_arrive_in_order_and_once(
    server: Any, connected: Callable[[], Any], how: str
) -> None:
    run, key = run_of(60), f"run_{how}"
    writer = connected().write_array(run[:10], key=key)
    source = connected()[key]
    if how == "address":
        source = f"{source.uri}?api_key={server.api_key}"

    def write() -> None:
        for at in range(10, 60, 10):
            writer.patch(run[at : at + 10], offset=(at,), extend=True)
        writer.close_stream()

    frames = GrowingFrames(partition(), 0.1)
    thread = threading.Thread(target=write)
    thread.start()
    for item in arriving(source, threading.Event()):
        frames.append(item)
    thread.join()
    assert (frames.n_frames, frames.dropped, frames.repeated) == (60, 0, 0)
    photons = frames.snapshot().photons
    assert photons.totals().sum() == run.sum()


def test_a_server_that_is_lost_is_told_without_its_key() -> None:
    class Lost:
        shape, uri = (4, 12, 12), "http://here/api/v1/metadata/run?api_key=secret"

        def refresh(self) -> None:
            raise OSError(f"no answer for url '{self.uri}'")

        def subscribe(self) -> MagicMock:
            return MagicMock()

    with pytest.raises(DataFormatError, match="no answer for url") as told:
        next(tiled_frames(Lost(), threading.Event(), 0.1))
    assert "secret" not in str(told.value)
    assert "http://here/api/v1/metadata/run" in str(told.value)


def test_an_array_that_holds_no_frames_is_refused_with_its_place(connected: Callable[[], Any]) -> None:
    flat = connected().write_array(np.zeros((3, 4)), key="flat")
    with pytest.raises(DataFormatError, match=r"(?s)shape \(3, 4\).*frames, rows, columns") as told:
        next(arriving(flat, threading.Event()))
    assert "api_key" not in str(told.value)
