"""Detector frames of a simulated experiment: the photons themselves, before anything is correlated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.simulate.components import (
    Array,
    Parameters,
    check_axes,
    check_range,
    components,
    frame_mask,
    per_bin,
)
from heterodyne_nb.simulate.fields import Detector, mode_weights, pixel_blocks

if TYPE_CHECKING:
    from heterodyne_nb.arrays import IntArray
    from heterodyne_nb.frames import FrameSet
    from heterodyne_nb.frames.photons import Events

_GAP = 2  # pixels between the patches of two bins


def frames(
    mode: str,
    params: Parameters,
    *,
    q: ArrayLike,
    phi: ArrayLike,
    n_frames: int,
    dt: float,
    n_pixels: int = 900,
    contrast: ArrayLike = 1.0,
    mean_counts: ArrayLike | None = 0.1,
    speckle_size: int = 1,
    bad_frames: Iterable[int] = (),
    steady_intensity: bool = False,
    gap: float | None = None,
    seed: int = 0,
    shape: tuple[int, int] | None = None,
) -> FrameSet:
    """Simulate what a detector records of diffusing, drifting Gaussian speckle.

    Parameters
    ----------
    mode, params, q, phi, n_frames, dt, contrast, bad_frames, steady_intensity, gap, seed
        As for :func:`heterodyne_nb.simulate.speckle`.
    n_pixels : int
        Pixels of a bin, in a patch about as high as wide.
    mean_counts : array_like, optional
        Photons per pixel and frame, run average: one number, one per q, or (q, phi). None: the intensity itself,
        without shot noise.
    speckle_size : int
        Side of a speckle in pixels: the pixels of such a square see one field.
    shape : (rows, columns), optional
        Of the detector, at least what the patches need; default just that.

    Returns
    -------
    FrameSet
        In memory; :func:`heterodyne_nb.frames.write_frames` writes it as a detector would.

    Raises
    ------
    ConfigurationError
        For anything that cannot be simulated, naming it.

    Examples
    --------
    >>> from heterodyne_nb import simulate
    >>> axes = dict(q=[0.005, 0.01], phi=[0, 90], n_frames=40, dt=0.5, n_pixels=64)
    >>> simulate.frames("static_isotropic", [50.0, 0.0, 0.0], **axes).n_bins
    4
    """
    from heterodyne_nb.frames import FrameSet, Partition
    from heterodyne_nb.frames.sources import Source

    axes = check_axes(q, phi, n_frames, dt)
    if n_pixels < 2 or speckle_size < 1 or int(speckle_size) != speckle_size:
        raise ConfigurationError(
            f"n_pixels = {n_pixels}, speckle_size = {speckle_size}",
            expected="at least 2 pixels a bin, speckles of whole pixels",
        )
    counts = None if mean_counts is None else per_bin(mean_counts, axes, "mean_counts")
    if counts is not None:
        check_range(counts, "mean_counts", 1e-9, 1e9, unit="photons per pixel and frame")
    population = components(mode, params, axes, gap)
    labels, patches = _patches(axes.bins, int(n_pixels), shape)
    speckles = [_speckle_of(patch, int(speckle_size), labels.shape[1]) for patch in patches]
    contrasts, lost = per_bin(contrast, axes, "contrast"), frame_mask(bad_frames, n_frames, "bad_frames")
    check_range(contrasts, "contrast", 1e-3, 1.0)
    places = list(np.ndindex(axes.bins))

    def batches(_: IntArray) -> Iterator[Events]:
        for b, (i, j) in enumerate(places):
            stream = np.random.SeedSequence(seed, spawn_key=(i, j))
            fields, noise = stream.spawn(2)
            n = int(speckles[b].max()) + 1
            detector = Detector(n, mode_weights(float(contrasts[i, j])), None, lost, steady_intensity)
            rng, first = np.random.default_rng(noise), 0
            for intensity in pixel_blocks(population, float(axes.q[i]), float(axes.phi[j]), detector, fields):
                mine = (speckles[b] >= first) & (speckles[b] < first + intensity.shape[1])
                values = intensity[:, speckles[b][mine] - first]
                yield _recorded(
                    values, patches[b][mine], None if counts is None else float(counts[i, j]), rng
                )
                first += intensity.shape[1]

    source = Source("simulated frames", "simulation", batches, labels.shape, n_frames, dt)
    where = np.array([(axes.q[i], axes.phi[j]) for i, j in places])
    return FrameSet(source, Partition(labels, where[:, 0], where[:, 1]), dt)


def _patches(
    bins: tuple[int, int], n_pixels: int, shape: tuple[int, int] | None
) -> tuple[IntArray, list[IntArray]]:
    """Label image with a patch for each bin, one ring a row, and the detector pixels of each patch."""
    width = int(np.ceil(np.sqrt(n_pixels)))
    height = -(-n_pixels // width)
    need = bins[0] * (height + _GAP), bins[1] * (width + _GAP)
    rows, columns = shape or need
    if rows < need[0] or columns < need[1]:
        raise ConfigurationError(f"shape {shape}", where="shape", expected=f"at least {need} for these bins")
    labels, patches = np.zeros((rows, columns), np.int64), []
    k = np.arange(n_pixels)
    for b, (i, j) in enumerate(np.ndindex(bins)):
        y, x = i * (height + _GAP) + k // width, j * (width + _GAP) + k % width
        labels[y, x] = b + 1
        patches.append(y * columns + x)
    return labels, patches


def _speckle_of(patch: IntArray, size: int, columns: int) -> IntArray:
    """Number of the speckle that each pixel of a patch sees."""
    y, x = np.divmod(patch, columns)
    cell = (y - y.min()) // size * columns + (x - x.min()) // size
    return np.unique(cell, return_inverse=True)[1]


def _recorded(intensity: Array, pixel: IntArray, mean: float | None, rng: np.random.Generator) -> Events:
    """Events of pixels with these intensities (N, pixels)."""
    values = intensity.astype(np.float32) if mean is None else rng.poisson(mean * intensity)
    frame, place = np.nonzero(values)
    return frame, pixel[place], values[frame, place]
