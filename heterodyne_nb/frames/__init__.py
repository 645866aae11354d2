"""Detector frames: photon lists by bin, read from what detectors write, and correlated without a map in memory."""

from heterodyne_nb import kernels  # noqa: F401  (before the first kernel)
from heterodyne_nb.frames.correlation import correlate
from heterodyne_nb.frames.frameset import FrameSet, open_frames, write_frames
from heterodyne_nb.frames.partition import (
    Partition,
    partition_from_poni,
    read_qmap,
    ring_partition,
    write_qmap,
)

__all__ = [
    "FrameSet",
    "Partition",
    "correlate",
    "open_frames",
    "partition_from_poni",
    "read_qmap",
    "ring_partition",
    "write_frames",
    "write_qmap",
]
