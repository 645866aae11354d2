"""The contrast of every bin as a static sample shows it, in the form that a fit takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.data.cuts import g2_from_c2
from heterodyne_nb.data.dataset import levels, stack_bins, used_frames
from heterodyne_nb.data.door import with_bin_dims
from heterodyne_nb.data.units import standard_units
from heterodyne_nb.engine.problem import scale_of
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning, warn
from heterodyne_nb.frames import FrameSet, correlate

#: Share of the lags by which zero lag is reached, and by how much of the contrast a static sample may fall over them.
_SHORT, _STILL = 0.1, 0.1


def calibrate_contrast(
    dataset: xr.Dataset | FrameSet,
    *,
    per: str = "bin",
    n_speckles: ArrayLike | None = None,
    prior: bool = False,
) -> dict[str, Any]:
    """The contrast of every bin from a static reference, measured with the beam and detector of the experiment.

    Contrast is what g2 reaches at zero lag above its baseline: of a static sample it stays there. It is read from a
    straight line through the shortest lags.

    Parameters
    ----------
    dataset : Dataset or FrameSet
        Of the reference: two-time maps, ``g2(…, tau)``, or detector frames.
    per : {"bin", "q"}
        One value for every bin, or the mean over the angles of a q for all of them.
    n_speckles : int or array, optional
        Independent speckles of each bin, default its ``n_pixels``. Speckle of a static sample is one draw: its contrast
        scatters about that of the beam with a variance of 2 c² (1 + c)/n (gamma-distributed intensities), which no
        number of frames makes smaller. Where neither is known, the scatter over the angles of a q says it.
    prior : bool
        True: the fit may move from the value by its error; False: it is held there.

    Returns
    -------
    dict
        ``{"contrast": {"calibration": [[q, phi, value, error], …], "vary": prior}}``, q in 1/Å and phi in degrees (None:
        all angles): a ``parameters=`` of :func:`heterodyne_nb.fit`, alone or with further entries, and
        ``initial_parameters.calibration`` of a configuration.

    Raises
    ------
    ConfigurationError
        An argument is wrong.
    DataFormatError
        The correlation is not normalised or shows no contrast, or nothing tells its error.

    Warns
    -----
    DataWarning
        The reference is not static.

    Examples
    --------
    >>> from heterodyne_nb import simulate
    >>> grid = dict(q=0.01, phi=[0, 45], n_frames=20, dt=0.5)
    >>> rest = simulate.speckle("static_isotropic", [0, 0, 1e-6], contrast=0.2, n_pixels=4000, **grid)
    >>> found = calibrate_contrast(rest)["contrast"]["calibration"]
    >>> [abs(value - 0.2) < 3 * error for q, phi, value, error in found]
    [True, True]
    """
    if per not in ("bin", "q"):
        raise ConfigurationError(f"per = {per!r}", where="per", expected="'bin' or 'q'")
    ds = correlate(dataset) if isinstance(dataset, FrameSet) else dataset
    if not isinstance(ds, xr.Dataset) or not {"c2", "g2"} & set(ds):
        raise ConfigurationError(
            "no correlation to calibrate with", where="dataset", expected="a dataset with c2 or g2, or frames"
        )
    stacked = stack_bins(with_bin_dims(standard_units(ds)), drop_dead=False)
    q, phi = (
        np.broadcast_to(stacked[name].values, stacked.sizes["bin"]).astype(float) for name in ("q", "phi")
    )
    tau, g2, err = _g2(stacked)
    keep = np.count_nonzero(np.isfinite(g2), axis=1) >= 3
    if not keep.any():
        raise DataFormatError("no bin has three lags", where="g2", expected="a g2, or maps with used frames")
    unit = scale_of(float(np.nanmean(g2[keep])))
    if unit.unit != 1.0:
        raise DataFormatError(
            f"the correlation is {unit.unit:.4g} on average, so it is not normalised",
            expected="a baseline of 1 or 0",
        )
    value, noise = np.array([_at_zero(tau, *one) for one in zip(g2[keep], err[keep], strict=True)]).T
    value -= unit.baseline
    q, phi = q[keep], phi[keep]
    if np.any(value <= 0):
        b = int(np.argmin(value))
        raise DataFormatError(
            f"the contrast is {value[b]:.3g} at q = {q[b]:.4g} 1/Å, phi = {phi[b]:.4g}°",
            expected="above 0", hint="leave out bins without speckle: data.xpcs, prepare.select",
        )  # fmt: skip
    draw = (
        np.zeros_like(value) if isinstance(dataset, FrameSet) else _draw(stacked, n_speckles, keep, value, q)
    )
    error = np.hypot(noise, draw)
    rows = [[float(a), float(b), float(c), float(d)] for a, b, c, d in zip(q, phi, value, error, strict=True)]
    if per == "q":
        rings, at = levels(q)
        count = np.bincount(at)
        mean = np.bincount(at, value) / count
        spread = np.sqrt(np.bincount(at, error**2)) / count
        rows = [[float(a), None, float(c), float(d)] for a, c, d in zip(rings, mean, spread, strict=True)]  # type: ignore[list-item]
    return {"contrast": {"calibration": rows, "vary": prior}}


def _g2(stacked: xr.Dataset) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Lags (K,) in s, g2 and its error (B, K); measured, or from the maps."""
    if "c2" not in stacked:
        g2 = stacked["g2"].transpose("bin", "tau").values.astype(float)
        err = stacked["g2_err"].transpose("bin", "tau").values if "g2_err" in stacked else np.zeros_like(g2)
        return stacked["tau"].values.astype(float), g2, np.asarray(err, float)
    t, used = stacked["t"].values, used_frames(stacked)
    maps = (stacked["c2"].isel(bin=b).transpose("t1", "t2").values for b in range(stacked.sizes["bin"]))
    g2, err = (np.array(part) for part in zip(*(g2_from_c2(c2, used) for c2 in maps), strict=True))
    return t[1:] - t[0], g2, err


def _at_zero(tau: FloatArray, g2: FloatArray, err: FloatArray) -> tuple[float, float]:
    """g2 at zero lag and its error, by a line through the shortest lags; says where it falls."""
    known = np.flatnonzero(np.isfinite(g2))
    short = known[tau[known] <= tau[known[0]] + _SHORT * np.ptp(tau[known])]
    short = short if len(short) >= 3 else known[:3]
    slope, value = np.polyfit(tau[short], g2[short], 1)
    fall = -slope * tau[short[-1]]
    contrast = value - (0.0 if value < 0.5 else 1.0)
    if contrast > 0 and fall > _STILL * contrast:
        warn(
            f"the reference is not static: its correlation falls by {fall / contrast:.0%} within {tau[short[-1]]:.3g} s, "
            "and its contrast at zero lag is less sure than its error says",
            DataWarning,
        )
    noise = np.nan_to_num(err[short])
    return float(value), float(np.max(noise))


def _draw(
    stacked: xr.Dataset,
    n_speckles: ArrayLike | None,
    keep: NDArray[np.bool_],
    value: FloatArray,
    q: FloatArray,
) -> FloatArray:
    """Error of the contrast of each bin as one draw of its speckles."""
    if n_speckles is None and "n_pixels" in stacked and np.all(stacked["n_pixels"].values > 1):
        n_speckles = stacked["n_pixels"].values
    if n_speckles is not None:
        n = np.broadcast_to(np.asarray(n_speckles, float).ravel(), keep.shape)[keep]
        if not np.all(n >= 1):
            raise ConfigurationError(f"n_speckles = {n_speckles!r}", where="n_speckles", expected="1 or more")
        return np.asarray(value * np.sqrt(2.0 * (1.0 + value) / n))
    _, at = levels(q)
    count, mean = np.bincount(at), np.bincount(at, value) / np.bincount(at)
    if np.any(count < 3):
        raise DataFormatError(
            "nothing tells how sure the contrast is", where="n_pixels",
            expected="n_pixels in the dataset, or at least 3 angles a q",
            hint="calibrate_contrast(…, n_speckles=500)",
        )  # fmt: skip
    return np.asarray(np.sqrt(np.bincount(at, (value - mean[at]) ** 2) / (count - 1.0))[at])
