"""Simulated experiments: speckle fields of every (q, phi) bin, correlated or as a detector records them; model maps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.simulate.components import (
    Array,
    Axes,
    Parameters,
    check_axes,
    check_range,
    components,
    frame_mask,
    model_and_vector,
    per_bin,
)
from heterodyne_nb.simulate.fields import Detector, bin_correlation, mode_weights, pixel_blocks

if TYPE_CHECKING:
    import xarray as xr

    from heterodyne_nb.arrays import IntArray
    from heterodyne_nb.frames import FrameSet
    from heterodyne_nb.frames.photons import Events


def speckle(
    mode: str,
    params: Parameters,
    *,
    q: ArrayLike,
    phi: ArrayLike,
    n_frames: int,
    dt: float,
    n_pixels: ArrayLike = 1000,
    contrast: ArrayLike = 1.0,
    mean_counts: ArrayLike | None = None,
    bad_frames: Iterable[int] = (),
    dead_bins: Sequence[tuple[int, int]] = (),
    steady_intensity: bool = False,
    gap: float | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Simulate a two-time experiment from diffusing, drifting Gaussian speckle.

    No formula of `heterodyne_nb.models` is used, only what a model says of its parameters: the model is what the
    mean of this simulation should be, and the noise is the real kind, correlated between all pixels of a map that
    share a frame.

    Parameters
    ----------
    mode : str
        static_isotropic, static_anisotropic, laminar_flow, heterodyne, heterodyne_equilibrium,
        multicomponent, or a registered model that names its ``field_components``.
    params : sequence or mapping
        Parameters of the mode in published order, or by name.
    q, phi : array_like
        Bin centres: 1/Å and degrees. Every pixel of a bin is taken at its centre.
    n_frames, dt : int, float
        Frames and frame time (s); frame k is an instantaneous picture at t = k·dt.
    n_pixels : array_like
        Detector pixels per bin, each one speckle: one number, one per q, or (q, phi). The noise of c2 falls
        as 1/sqrt(n_pixels).
    contrast : array_like
        Speckle contrast in (0, 1], as n_pixels. Below 1 the beam is a sum of coherent modes (see `fields`).
    mean_counts : array_like, optional
        Photons per pixel and frame, run average, as n_pixels; adds shot noise, of which the
        diagonal of c2 is corrected.
    bad_frames : iterable of int
        1-based frames without beam: the detector sees flat stray light, c2 there falls to 1. They are left
        unmasked, as a detector delivers them, and named in ``attrs["bad_frames"]``.
    dead_bins : sequence of (int, int)
        Places (i_q, i_phi) of bins that see nothing: c2 is NaN, the intensity 0.
    steady_intensity : bool
        Keep the mean intensity constant while the fractions change; by default it follows Σ x².
    gap : float, optional
        Gap of the shear cell, Å; laminar_flow only.
    seed : int
        Same seed, same data, bin by bin: a bin depends on the seed and its place only.

    Returns
    -------
    xarray.Dataset
        The package's data model, with ``intensity(q, phi, t)`` in addition.

    Raises
    ------
    ConfigurationError
        For anything that cannot be simulated, naming it.

    Examples
    --------
    >>> from heterodyne_nb import simulate
    >>> ds = simulate.speckle("static_isotropic", [50.0, 0.0, 0.0], q=0.01, phi=0, n_frames=40, dt=0.5)
    >>> ds.c2.shape
    (1, 1, 40, 40)
    """
    axes = check_axes(q, phi, n_frames, dt)
    population = components(mode, params, axes, gap)
    detectors = _detectors(axes, n_pixels, contrast, mean_counts, bad_frames, steady_intensity)
    dead = {_place(axes, where) for where in dead_bins}
    c2 = np.full((*axes.bins, axes.t.size, axes.t.size), np.nan, dtype=np.float32)
    intensity = np.zeros((*axes.bins, axes.t.size))
    with threadpool_limits(limits=1, user_api="blas"):  # products this small only wait for each other
        for i, j in sorted(set(np.ndindex(axes.bins)) - dead):
            stream = np.random.SeedSequence(seed, spawn_key=(i, j))
            c2[i, j], intensity[i, j] = bin_correlation(
                population, float(axes.q[i]), float(axes.phi[j]), detectors[i][j], stream
            )
    ds = _dataset(axes, c2, intensity, np.array([[d.n_pixels for d in row] for row in detectors]))
    how = {"seed": seed, "gap": gap, "contrast": np.asarray(contrast).tolist()}
    ds.attrs["simulation"] = _record("speckle", mode, params, **how)
    if frames := sorted(set(bad_frames)):
        ds.attrs["bad_frames"] = ", ".join(map(str, frames))
    return ds


def _detectors(
    axes: Axes,
    n_pixels: ArrayLike,
    contrast: ArrayLike,
    mean_counts: ArrayLike | None,
    bad_frames: Iterable[int],
    steady: bool,
) -> list[list[Detector]]:
    pixels, contrasts = per_bin(n_pixels, axes, "n_pixels"), per_bin(contrast, axes, "contrast")
    check_range(pixels, "n_pixels", 2, 1e9)
    check_range(contrasts, "contrast", 1e-3, 1.0)
    counts = None if mean_counts is None else per_bin(mean_counts, axes, "mean_counts")
    if counts is not None:
        check_range(counts, "mean_counts", 1e-6, 1e9, unit="photons per pixel and frame")
    lost = frame_mask(bad_frames, axes.t.size, "bad_frames")

    def detector(i: int, j: int) -> Detector:
        rate = None if counts is None else float(counts[i, j])
        return Detector(int(pixels[i, j]), mode_weights(contrasts[i, j]), rate, lost, steady)

    return [[detector(i, j) for j in range(axes.phi.size)] for i in range(axes.q.size)]


def _place(axes: Axes, where: tuple[int, int]) -> tuple[int, int]:
    i, j = where
    if not (0 <= i < axes.q.size and 0 <= j < axes.phi.size):
        raise ConfigurationError(
            f"there is no bin {where}", where="dead_bins", expected=f"places (i_q, i_phi) below {axes.bins}"
        )
    return int(i), int(j)


def _dataset(axes: Axes, c2: NDArray[np.float32], intensity: Array, n_pixels: NDArray[np.int_]) -> xr.Dataset:
    from heterodyne_nb.data import make_dataset

    ds = make_dataset(c2=c2, q=axes.q, phi=axes.phi, dt=axes.dt, n_pixels=n_pixels)
    trace = {"units": "1", "long_name": "mean intensity of a pixel of the bin"}
    ds["intensity"] = (("q", "phi", "t"), intensity, trace)
    return ds


def _record(kind: str, mode: str, params: Parameters, **how: Any) -> str:
    model, vector = model_and_vector(mode, params)
    values = dict(zip(model.parameter_names, vector.tolist(), strict=True))
    return json.dumps({"kind": kind, "mode": mode, "parameters": values, **how})


def model_maps(
    mode: str,
    params: Parameters,
    *,
    q: ArrayLike,
    phi: ArrayLike,
    n_frames: int,
    dt: float,
    contrast: ArrayLike = 1.0,
    offset: ArrayLike = 1.0,
    noise: ArrayLike = 0.0,
    dyadic: float = 0.0,
    gap: float | None = None,
    integral: str = "exact",
    seed: int = 0,
) -> xr.Dataset:
    """Two-time maps c2 = offset + contrast·M of a model, with Gaussian noise.

    Parameters
    ----------
    mode : str
        A two-time analysis mode that `ModelFactory` knows, plugins included.
    params : sequence or mapping
        Parameters in published order, or by name.
    q, phi : array_like
        Bin centres: 1/Å and degrees.
    n_frames, dt : int, float
        Frames and frame time (s); frame k is at t = k·dt.
    contrast, offset : array_like
        One number, one per q, or (q, phi).
    noise : array_like
        Standard deviation of one c2 pixel, in units of c2; shapes as contrast. Pixels (t1, t2) and (t2, t1)
        carry the same noise, as one measurement.
    dyadic : float
        Share of the noise variance, in [0, 1), that a pixel owes to its two frames and so has in common with
        every pixel of the same row or column: noise = σ[√(d/2)(u₁+u₂) + √(1−d) w₁₂].
    gap : float, optional
        Gap of the shear cell, Å; laminar_flow only.
    integral : {"exact", "trapezoid", "rectangle"}
        How curves are integrated over time; see :func:`heterodyne_nb.fit`.
    seed : int
        Same seed, same data.

    Returns
    -------
    xarray.Dataset
        The package's data model, with ``sigma(q, phi)`` where there is noise.

    Raises
    ------
    ConfigurationError
        For anything that cannot be simulated, naming it.

    Examples
    --------
    >>> from heterodyne_nb import simulate
    >>> grid = dict(q=0.01, phi=0, n_frames=4, dt=1.0)
    >>> ds = simulate.model_maps("static_isotropic", [50, 0, 0], **grid, contrast=0.2)
    >>> ds.c2.isel(q=0, phi=0, t1=0).astype(float).values.round(3).tolist()
    [1.2, 1.199, 1.198, 1.197]
    """
    from heterodyne_nb.data import make_dataset

    axes = check_axes(q, phi, n_frames, dt)
    model, values = _model(mode, params)
    model = model.integrating(integral, axes.t)
    scale, base, sigma = (
        per_bin(value, axes, name)
        for value, name in ((contrast, "contrast"), (offset, "offset"), (noise, "noise"))
    )
    check_range(sigma, "noise", 0.0, np.inf)
    check_range(np.array([dyadic]), "dyadic", 0.0, 1.0 - 1e-9)
    rng = np.random.default_rng(seed)
    c2 = np.empty((*axes.bins, axes.t.size, axes.t.size), dtype=np.float32)
    for i, j in np.ndindex(axes.bins):
        exact = model.correlation(
            values, axes.t[:, None], axes.t[None, :], q=axes.q[i], phi=axes.phi[j], gap=gap
        )
        c2[i, j] = base[i, j] + scale[i, j] * exact + _noise(axes.t.size, float(sigma[i, j]), dyadic, rng)
    ds = make_dataset(c2, q=axes.q, phi=axes.phi, dt=axes.dt, sigma=sigma if sigma.any() else None)
    ds.attrs["simulation"] = _record(
        "model", mode, params, seed=seed, gap=gap, integral=integral, n_frames=axes.t.size
    )
    return ds


def _model(mode: str, params: Parameters) -> tuple[Any, Array]:
    model, values = model_and_vector(mode, params)
    if model.one_time:
        raise ConfigurationError(
            f"{mode!r} is a one-time model and has no two-time map",
            where="mode",
            expected="a two-time mode; heterodyne_equilibrium is heterodyne with constant J, v and fraction",
        )
    return model, values


def _noise(n_frames: int, sigma: float, dyadic: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Symmetric noise; always drawn, so that the noise level does not change the random numbers."""
    own = np.triu(rng.standard_normal((n_frames, n_frames)))
    own += np.triu(own, 1).T
    frames = rng.standard_normal(n_frames)
    shared = np.sqrt(0.5) * (frames[:, None] + frames[None, :])
    return np.asarray(sigma * (np.sqrt(dyadic) * shared + np.sqrt(1 - dyadic) * own))


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
