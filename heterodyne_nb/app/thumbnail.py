"""A small picture of a run's clearest map, as a PNG made without a browser."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from heterodyne_nb.app.map_view import colour_table
from heterodyne_nb.app.session.selection import clearest_bin
from heterodyne_nb.data import open_dataset
from heterodyne_nb.errors import HeterodyneError, heard_by
from heterodyne_nb.plots.maps import colour_limits, map_view

__all__ = ["png_of_levels", "thumbnail"]

#: Longest side in pixels.
_SIDE = 48
#: Level of pixels without a value, which are seen through.
_NONE = 255


def thumbnail(path: str) -> str:
    """The map of the bin with the clearest signal as a ``data:`` address; empty where a file shows none."""
    try:
        with heard_by(lambda text, category: None), open_dataset(path) as ds:
            if "c2" not in ds:
                return ""
            view = map_view(ds, bin=clearest_bin(ds), max_size=_SIDE)
    except HeterodyneError:
        return ""
    if not np.isfinite(view.values).any():
        return ""
    low, high = colour_limits([view], (1.0, 99.0), None)
    part = np.clip((view.values.T[::-1] - low) / (high - low), 0.0, 1.0)  # t2 upwards
    levels = np.where(np.isfinite(part), np.nan_to_num(part) * (_NONE - 1), _NONE).astype(np.uint8)
    return "data:image/png;base64," + base64.b64encode(png_of_levels(levels)).decode()


def png_of_levels(levels: np.ndarray) -> bytes:
    """A PNG of uint8 levels (rows, columns) in the colours of all maps; level 255 is see-through."""
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], 8, 3, 0, 0, 0)),
        (b"PLTE", colour_table()),
        (b"tRNS", bytes([255] * _NONE + [0])),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
