"""A simulated experiment: speckle fields of every (q, phi) bin, correlated as a beamline would."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

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
from heterodyne_nb.simulate.fields import Detector, bin_correlation, mode_weights

if TYPE_CHECKING:
    import xarray as xr


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
    ds.attrs["simulation"] = _record(mode, params, seed, contrast, gap)
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


def _record(mode: str, params: Parameters, seed: int, contrast: ArrayLike, gap: float | None) -> str:
    model, vector = model_and_vector(mode, params)
    values = dict(zip(model.parameter_names, vector.tolist(), strict=True))
    about = {"kind": "speckle", "mode": mode, "parameters": values, "seed": seed, "gap": gap}
    return json.dumps({**about, "contrast": np.asarray(contrast).tolist()})
