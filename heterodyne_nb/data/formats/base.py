"""What a layout's reader is, and what it hands on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import h5py
import numpy as np

Index = tuple[int, ...]


@dataclass(frozen=True)
class MapRef:
    """Where the two-time map of one bin lies in a file, and how to understand it.

    Attributes
    ----------
    path : str
        HDF5 path of the dataset.
    before, after : tuple of int
        Indices before and after the two frame axes, for datasets that hold many maps.
    triangle : str
        Which part is populated: ``"full"``, ``"upper"`` (t2 > t1) or ``"lower"``.
    zero_diagonal : bool
        The diagonal holds zeros, that is nothing.
    add : float
        Added on reading: 1 where the file's baseline is 0.
    label : str
        The bin in words, for warnings.
    """

    path: str
    before: Index = ()
    after: Index = ()
    triangle: str = "full"
    zero_diagonal: bool = False
    add: float = 0.0
    label: str = ""

    def n_frames(self, h5file: h5py.File) -> tuple[int, int]:
        """Shape of the map in the file."""
        shape = h5file[self.path].shape
        return shape[len(self.before) : len(shape) - len(self.after)]

    def read(self, h5file: h5py.File, rows: slice, cols: slice) -> np.ndarray:
        """The block of the file as it is stored, float32."""
        block = h5file[self.path][(*self.before, rows, cols, *self.after)]
        return np.asarray(block, dtype=np.float32)

    def with_(self, **changes: Any) -> MapRef:
        """A copy with some attributes changed."""
        return replace(self, **changes)


@dataclass(kw_only=True)
class Ingredients:
    """What a reader found, one entry a bin, in the units of the package.

    Attributes
    ----------
    q : ndarray of shape (n_bin,)
        Wave-vector modulus, 1/Å.
    phi : ndarray of shape (n_bin,)
        Azimuth, degrees, any range.
    dt : float or None
        Time from frame to frame of the maps, s; None where the file does not say.
    maps : sequence of MapRef or None
        One map a bin, None where a bin has none; empty when the file has no maps.
    tau : ndarray of shape (n_tau,), optional
        Delays of the measured g2: seconds, or frames when `tau_in_frames`.
    g2, g2_err : ndarray of shape (n_tau, n_bin), optional
        As stored; (0, 0) means not measured.
    n_pixels : ndarray of shape (n_bin,), optional
        Detector pixels in each bin.
    mask : ndarray of shape (n_frames,), optional
        True where the frame is used.
    intensity : ndarray of shape (n,), optional
        Mean counts of each recorded frame, before any averaging of frames.
    cells : tuple of (q axis, phi axis, cell of each bin), optional
        The (q, phi) grid where the layout states it.
    tau_frame : float or None
        Time of one frame of `tau`, s, where it differs from `dt`.
    notes : dict
        What to tell about this file (becomes attributes).
    """

    q: np.ndarray
    phi: np.ndarray
    dt: float | None
    maps: Sequence[MapRef | None] = ()
    tau: np.ndarray | None = None
    tau_in_frames: bool = True
    tau_frame: float | None = None
    g2: np.ndarray | None = None
    g2_err: np.ndarray | None = None
    n_pixels: np.ndarray | None = None
    mask: np.ndarray | None = None
    intensity: np.ndarray | None = None
    cells: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    notes: dict[str, Any] = field(default_factory=dict)


class Layout(Protocol):
    """One layout of XPCS result files."""

    name: str

    def lacks(self, h5file: h5py.File) -> list[str]:
        """What keeps this file from having this layout; empty when it has it. Must be cheap."""

    def read(self, h5file: h5py.File) -> Ingredients:
        """Everything but the maps' values."""


def matches(layout: Layout, h5file: h5py.File) -> bool:
    """Whether a file has this layout."""
    return not layout.lacks(h5file)


def lacking(h5file: h5py.File, *keys: str) -> list[str]:
    """Those of `keys` that the file has not; ``"a | b"`` asks for either."""
    return [key for key in keys if not any(_has(h5file, one.strip()) for one in key.split("|"))]


def _has(h5file: h5py.File, key: str) -> bool:
    try:
        return key in h5file
    except (KeyError, RuntimeError):  # a broken external link on the way
        return False
