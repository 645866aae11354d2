"""Frames that come into an array on a Tiled server while others append to it."""

from __future__ import annotations

import importlib.util
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from heterodyne_nb.errors import DataFormatError, MissingExtraError
from heterodyne_nb.frames.sources import frames_a_batch

#: What stands in the address of a node of a Tiled server.
_NODE = "/api/v1/metadata/"


def is_tiled(source: Any) -> bool:
    """Whether a live source is an array client of Tiled, or the address of one."""
    if isinstance(source, str):
        return source.startswith(("http://", "https://")) and _NODE in source
    return type(source).__module__.startswith("tiled.client.") and hasattr(source, "subscribe")


def tiled_frames(source: Any, done: threading.Event, poll: float) -> Iterator[Any]:
    """The array's frames with their numbers, from the first on, until its stream is closed or ``done`` is set.

    The stream of the server only wakes: frames are read from the array, so what was there before, what a lost connection
    kept back and a server without streams (looked at every ``poll`` seconds) are all the same.
    """
    node = _opened(source) if isinstance(source, str) else source
    where, shape = _place(node), tuple(getattr(node, "shape", ()))
    if len(shape) != 3:
        raise DataFormatError(
            f"an array of shape {shape}" if shape else f"a {type(node).__name__}",
            where=where,
            expected="an array of frames on the server, (frames, rows, columns)",
        )
    news, closed = threading.Event(), threading.Event()
    subscription = node.subscribe()

    def heard(_: Any) -> None:
        news.set()

    def ended(_: Any) -> None:
        closed.set()
        news.set()

    def follow() -> None:
        with suppress(Exception):  # a server without streams: the array is looked at all the same
            subscription.start(max_size=1 << 30)

    subscription.new_data.add_callback(heard)
    subscription.stream_closed.add_callback(ended)
    threading.Thread(target=follow, daemon=True, name="tiled stream").start()
    at, step = 0, frames_a_batch(shape[1:])
    try:
        while not done.is_set():
            last = closed.is_set()  # asked before the length: what came until then is read
            news.clear()
            try:
                node.refresh()
                length = node.shape[0]
                while at < length and not done.is_set():
                    block = node[at : min(at + step, length)]
                    yield at + 1, block
                    at += len(block)
            except Exception as error:
                raise DataFormatError(
                    f"the Tiled server does not answer: {type(error).__name__}: {_without_keys(error)}",
                    where=where,
                    hint="frames that came before are kept; follow the array again when the server is back",
                ) from error
            if last:
                return
            news.wait(poll)
    finally:
        with suppress(Exception):
            subscription.disconnect()
        if node is not source:
            node.context.http_client.close()


def _opened(address: str) -> Any:
    if importlib.util.find_spec("tiled") is None:
        raise MissingExtraError(
            "tiled is not installed", where="source", hint="pip install 'heterodyne_nb[tiled]'"
        )
    from tiled.client import from_uri

    try:
        return from_uri(address)
    except Exception as error:
        raise DataFormatError(
            f"the Tiled server does not answer: {type(error).__name__}",
            where=_without_key(address),
            expected="the address of an array of frames",
        ) from error


def _place(node: Any) -> str:
    return _without_key(str(getattr(node, "uri", "source")))


def _without_key(address: str) -> str:
    """An address without what follows ``?``, where a key may stand."""
    return address.split("?")[0]


def _without_keys(error: Exception) -> str:
    """What an error says, without what follows ``?`` in the addresses it names."""
    return re.sub(r"\?[^\s'\"]*", "", str(error))
