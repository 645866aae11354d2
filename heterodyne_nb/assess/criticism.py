"""Does the model describe the data: residuals by tile, by age and by angle, with a verdict in words.

Bins are separate sets of speckles, so noise that they share is no noise. What the residuals of many bins have in
common is therefore judged by turning the sign of whole bins at random: that keeps the correlations of the pixels
of each map, whatever they are, and destroys what bins have in common (a randomisation test).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.data.dataset import levels
from heterodyne_nb.engine import Objective, residual_record
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.fitting.same_fit import objective_of, optimum
from heterodyne_nb.result.fit_result import FitResult
from heterodyne_nb.text.html import bullets, heading, page
from heterodyne_nb.text.numbers import number

FloatArray = NDArray[np.float64]

#: Chance below which structure is called real.
_REAL = 0.01
#: Bins below which signs turned at random can prove nothing.
_FEW = 8
#: An angle is called out when log χ² is this many (robust) standard deviations above the others, and χ² this much.
_ODD, _WORSE = 4.0, 1.15


@dataclass(frozen=True, eq=False, repr=False)
class Criticism:
    """What the residuals of a fit say; made by :func:`heterodyne_nb.criticise`.

    Attributes
    ----------
    dataset : xarray.Dataset
        On (bin, block2, block1): ``residual`` (tile mean of c2 - model), ``error`` of it, ``z`` = residual over error.
        On (block2, block1): ``shared``, the sum of z over bins by the root of their number. On (age,): ``shared_by_age``
        (age in s). On (angle,): ``chi2_reduced``, ``chi2_score``. ``block_start``, ``block_end`` (s) on (block1,). Attributes:
        ``p_structure`` and ``p_runs``, the chances of so much structure and of so few runs, NaN with few bins.
    """

    dataset: xr.Dataset

    @property
    def findings(self) -> tuple[str, ...]:
        """Every finding in a sentence."""
        return (_structure(self.dataset), _runs(self.dataset), _angles(self.dataset))

    @property
    def good(self) -> bool:
        """Whether nothing was found against the model."""
        ds = self.dataset
        odd = bool(len(_odd_angles(ds)))
        return not odd and not any(float(ds.attrs[p]) < _REAL for p in ("p_structure", "p_runs"))

    def verdict(self) -> str:
        """One line."""
        if self.good:
            return "Nothing speaks against the model."
        return "The model misses something; look at the residuals where it is said."

    def __repr__(self) -> str:
        return "\n".join([self.verdict(), *(f"  - {text}" for text in self.findings)])

    def _repr_html_(self) -> str:
        return page(heading(self.verdict()) + bullets(self.findings))


def criticise(
    result: FitResult, dataset: xr.Dataset | Objective | None = None, *, seed: int = 0, flips: int = 999
) -> Criticism:
    """Look for what a two-time fit left over.

    Parameters
    ----------
    result : FitResult
        Of a two-time fit.
    dataset : Dataset or Objective, optional
        The data that were fitted; only needed for a result that keeps no residuals by tile.
    seed, flips : int
        Of the randomisation test.

    Returns
    -------
    Criticism

    Raises
    ------
    ConfigurationError
        The result keeps no residuals by tile and no data are given, or ``flips`` is not above 0.
    """
    if isinstance(flips, bool) or not isinstance(flips, int) or flips < 1:
        raise ConfigurationError(f"{flips!r}", where="flips", expected="an integer, 1 or more")
    ds = _with_tiles(result, dataset)
    residual, pixels = ds["residual_tile"].values, ds["pixels_tile"].values
    with np.errstate(invalid="ignore", divide="ignore"):
        white = ds["sigma"].values[:, None, None] / np.sqrt(pixels)
        error = white * _inflation(residual / white)
        z = residual / error
    sums, count = np.nansum(z, axis=0), np.sum(np.isfinite(z), axis=0)
    shared = np.where(count > 0, sums / np.sqrt(np.maximum(count, 1)), np.nan)
    p_structure, p_runs = _chances(z, np.random.default_rng(seed), flips)
    middle = 0.5 * (ds["block_start"].values + ds["block_end"].values)
    dims = ("block2", "block1")
    out = xr.Dataset(
        {
            "residual": (("bin", *dims), residual),
            "error": (("bin", *dims), error),
            "z": (("bin", *dims), z),
            "shared": (dims, shared),
            "shared_by_age": ("age", _by_age(shared)),
            "block_start": ds["block_start"],
            "block_end": ds["block_end"],
        },
        coords={"q": ds["q"], "phi": ds["phi"], "age": _ages(middle)},
        attrs={"p_structure": p_structure, "p_runs": p_runs, "bins": len(z), "mode": result.mode},
    )
    return Criticism(out.merge(_by_angle(ds)))


def _with_tiles(result: FitResult, dataset: xr.Dataset | Objective | None) -> xr.Dataset:
    ds = result.dataset
    if "residual_tile" in ds and "sigma" in ds:
        return ds
    if dataset is None:
        raise ConfigurationError(
            "the result keeps no residuals by tile", hint="pass the dataset that was fitted"
        )
    objective = objective_of(result, dataset)
    return ds.merge(residual_record(objective, optimum(result)))


def _inflation(z: FloatArray) -> FloatArray:
    """How much larger tile means scatter than white noise would make them, by the distance from the diagonal."""
    late, early = np.indices(z.shape[1:])
    out = np.ones(z.shape[1:])
    for lag in range(z.shape[1]):
        near = np.abs(late - early - lag) <= 1
        values = z[:, near & (late >= early)]
        values = values[np.isfinite(values)]
        if values.size:
            out[late - early == lag] = max(1.0, 1.4826 * float(np.median(np.abs(values))))
    return out


def _chances(z: FloatArray, rng: np.random.Generator, flips: int) -> tuple[float, float]:
    """Chance of so much shared structure, and of so few runs along the age, when bins share nothing."""
    bins = len(z)
    if bins < _FEW:
        return float("nan"), float("nan")
    flat = np.nan_to_num(z.reshape(bins, -1))
    ages = np.nan_to_num(np.stack([_by_age(one) for one in z]))
    signs = np.concatenate([np.ones((1, bins)), rng.choice([-1.0, 1.0], (flips, bins))])
    structure = np.sum((signs @ flat) ** 2, axis=1)
    runs = _count_runs(signs @ ages)
    total = flips + 1
    return (
        float(np.count_nonzero(structure >= structure[0] * (1 - 1e-12)) / total),
        float(np.count_nonzero(runs <= runs[0]) / total),
    )


def _count_runs(series: FloatArray) -> NDArray[np.int64]:
    """Runs of one sign in every row."""
    return 1 + np.count_nonzero(np.diff(np.sign(series), axis=1) != 0, axis=1)


def _by_age(tiles: FloatArray) -> FloatArray:
    """Mean of tiles (c, c) of one age, block1 + block2, scaled to unit variance for independent tiles, (2c - 1,)."""
    clusters = len(tiles)
    late, early = np.indices(tiles.shape)
    out = np.full(2 * clusters - 1, np.nan)
    for age in range(2 * clusters - 1):
        own = tiles[(late + early == age) & np.isfinite(tiles)]
        if own.size:
            out[age] = own.sum() / np.sqrt(own.size)
    return out


def _ages(middle: FloatArray) -> FloatArray:
    """Age in s of each sum of block numbers."""
    sums = np.add.outer(np.arange(len(middle)), np.arange(len(middle)))
    ages = 0.5 * np.add.outer(middle, middle)
    return np.array([ages[sums == k].mean() for k in range(2 * len(middle) - 1)])


def _by_angle(ds: xr.Dataset) -> xr.Dataset:
    phi, member = levels(ds["phi"].values)
    chi2 = ds["chi2_reduced_bin"].values
    rings = levels(ds["q"].values)[1]
    typical = np.array([np.nanmedian(chi2[rings == ring]) for ring in range(rings.max() + 1)])
    relative = np.log(chi2 / typical[rings])
    value = np.array([np.nanmean(relative[member == k]) for k in range(len(phi))])
    spread = 1.4826 * float(np.nanmedian(np.abs(value - np.nanmedian(value))))
    score = (value - np.nanmedian(value)) / max(spread, 1e-3)
    mean = np.array([np.nanmean(chi2[member == k]) for k in range(len(phi))])
    return xr.Dataset(
        {
            "chi2_reduced": ("angle", mean),
            "chi2_score": ("angle", score),
            "worse_by": ("angle", np.exp(value)),
        },
        coords={"angle": ("angle", phi, {"units": "deg"})},
    )


def _odd_angles(ds: xr.Dataset) -> NDArray[np.int64]:
    if ds.sizes["angle"] < 3:
        return np.zeros(0, np.int64)
    odd = (ds["chi2_score"].values > _ODD) & (ds["worse_by"].values > _WORSE)
    return np.flatnonzero(odd)


def _structure(ds: xr.Dataset) -> str:
    p = float(ds.attrs["p_structure"])
    if np.isnan(p):
        return f"{ds.attrs['bins']} bins are too few to tell structure from noise; {_FEW} would do."
    if p >= _REAL:
        return f"The bins share no structure in their residuals (chance {number(p, 2)})."
    shared = ds["shared"].values
    late, early = np.unravel_index(int(np.nanargmax(np.abs(shared))), shared.shape)
    start, end = ds["block_start"].values, ds["block_end"].values
    return (
        f"The bins share structure in their residuals (chance {number(p, 2)}): most at t1 from {number(float(start[early]))} to "
        f"{number(float(end[early]))} s and t2 from {number(float(start[late]))} to {number(float(end[late]))} s, where c2 is "
        f"{'above' if shared[late, early] > 0 else 'below'} the model by {number(abs(float(shared[late, early])), 2)} errors."
    )


def _runs(ds: xr.Dataset) -> str:
    p, runs = float(ds.attrs["p_runs"]), int(_count_runs(np.nan_to_num(ds["shared_by_age"].values[None]))[0])
    if np.isnan(p):
        return f"Along the age the residual changes its sign {runs - 1} times."
    if p >= _REAL:
        return (
            f"Along the age the residual changes its sign {runs - 1} times, as chance does ({number(p, 2)})."
        )
    return (
        f"Along the age the residual changes its sign only {runs - 1} times (chance {number(p, 2)}): "
        "the model's course in time is too stiff."
    )


def _angles(ds: xr.Dataset) -> str:
    odd = _odd_angles(ds)
    if ds.sizes["angle"] < 3:
        return "There are too few angles to compare them."
    if not odd.size:
        chi2 = ds["chi2_reduced"].values
        return f"No angle fits worse than the others (reduced χ² {number(float(chi2.min()), 3)} to {number(float(chi2.max()), 3)})."
    told = [
        f"phi = {number(float(ds['angle'].values[k]))}° ({number(float(ds['worse_by'].values[k]), 3)} times the usual χ²)"
        for k in odd
    ]
    return f"Worse than the others: {', '.join(told)}."
