"""Model maps with noise: the fast simulation, for tests of fits rather than of models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.simulate.components import (
    Array,
    Axes,
    Parameters,
    check_axes,
    check_range,
    model_and_vector,
    per_bin,
)

if TYPE_CHECKING:
    import xarray as xr


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
    ds.attrs["simulation"] = _record(mode, model, values, axes, seed=seed, gap=gap, integral=integral)
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


def _record(mode: str, model: Any, values: Array, axes: Axes, **how: Any) -> str:
    parameters = dict(zip(model.parameter_names, values.tolist(), strict=True))
    about = {"kind": "model", "mode": mode, "parameters": parameters}
    return json.dumps({**about, **how, "n_frames": axes.t.size})
