"""Does the model describe the data: the tests of a fit in words, and its residuals by tile, age and angle.

The tests are those of :mod:`heterodyne_nb.uncertainty.goodness`. Besides, bins are separate sets of speckles, so noise
that they share is no noise: what the residuals of many bins have in common is judged by turning the sign of whole bins
at random, which keeps the correlations of the pixels of each map and destroys what bins have in common.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine import Objective, residual_record
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.fitting.same_fit import objective_of, optimum
from heterodyne_nb.old_paths import either_order
from heterodyne_nb.result.fit_result import FitResult
from heterodyne_nb.result.trust import BIN_CHANCE, CURVE_CHANCE, SIZE_CHANCE
from heterodyne_nb.text.html import bullets, heading, page
from heterodyne_nb.text.numbers import number
from heterodyne_nb.uncertainty.goodness import goodness

#: Chance below which structure shared by the bins is called real.
_REAL = 0.005
#: Bins below which signs turned at random can prove nothing.
_FEW = 9
#: Residuals over those of speckle below which the noise is of another kind.
_OTHER_NOISE = 0.4


@dataclass(frozen=True, eq=False, repr=False)
class GoodnessOfFit:
    """What speaks against the model of a fit; made by :func:`heterodyne_nb.goodness_of_fit`.

    Attributes
    ----------
    dataset : xarray.Dataset
        On (bin, block2, block1): ``residual`` (tile mean of c2 - model), ``error`` of it, ``z`` = residual over error.
        On (block2, block1): ``shared``, the sum of z over bins by the root of their number. On (age,): ``shared_by_age``
        (age in s). On (bin,): ``speckle_ratio``, the mean square residual over that of speckle of the fitted model, and
        ``speckle_chance``. ``block_start``, ``block_end`` (s) on (block1,). Attributes: ``p_structure``, the chance of so
        much shared structure, NaN with few bins; ``p_size``, that of such residuals; ``curves``, JSON of the chance of
        the largest bend of each curve, where it is (s), and its size.
    """

    dataset: xr.Dataset

    @property
    def findings(self) -> tuple[str, ...]:
        """Every finding in a sentence."""
        return (_size(self.dataset), _bends(self.dataset), _bins(self.dataset), _structure(self.dataset))

    @property
    def good(self) -> bool:
        """Whether nothing was found against the model."""
        ds = self.dataset
        found = ds.attrs["p_size"] < SIZE_CHANCE or ds.attrs["p_structure"] < _REAL or bool(_bent(ds))
        return not found and not bool((ds["speckle_chance"] < BIN_CHANCE).any())

    def verdict(self) -> str:
        """One line."""
        if self.good:
            return "Nothing speaks against the model."
        return "The model misses something; look at the residuals where it is said."

    def __repr__(self) -> str:
        return "\n".join([self.verdict(), *(f"  - {text}" for text in self.findings)])

    def _repr_html_(self) -> str:
        return page(heading(self.verdict()) + bullets(self.findings))


@either_order
def goodness_of_fit(
    dataset: xr.Dataset | Objective | None = None,
    result: FitResult | None = None,
    *,
    seed: int = 0,
    flips: int = 999,
) -> GoodnessOfFit:
    """Look for what a two-time fit left over.

    Parameters
    ----------
    dataset : Dataset or Objective, optional
        The data that were fitted; only needed for a result that keeps no tests or no residuals by tile, and left out
        otherwise.
    result : FitResult
        Of a two-time fit.
    seed, flips : int
        Of the randomisation test, and of simulated speckle where the result keeps no tests.

    Returns
    -------
    GoodnessOfFit

    Raises
    ------
    ConfigurationError
        The result keeps no tests and no data are given, or ``flips`` is not above 0.

    Examples
    --------
    >>> result = hnb.fit(hnb.example_dataset(), "heterodyne", multistart=0)   # doctest: +SKIP
    >>> hnb.goodness_of_fit(result).good                                      # doctest: +SKIP
    True
    """
    if result is None:
        raise ConfigurationError(
            "no result is given", where="result", expected="a FitResult, as fit returns it"
        )
    if isinstance(flips, bool) or not isinstance(flips, int) or flips < 1:
        raise ConfigurationError(f"{flips!r}", where="flips", expected="an integer, 1 or more")
    ds = _with_tests(result, dataset, seed)
    residual, pixels = ds["residual_tile"].values, ds["pixels_tile"].values
    with np.errstate(invalid="ignore", divide="ignore"):
        white = ds["sigma"].values[:, None, None] / np.sqrt(pixels)
        error = white * _inflation(residual / white)
        z = residual / error
    sums, count = np.nansum(z, axis=0), np.sum(np.isfinite(z), axis=0)
    shared = np.where(count > 0, sums / np.sqrt(np.maximum(count, 1)), np.nan)
    middle = 0.5 * (ds["block_start"].values + ds["block_end"].values)
    dims = ("block2", "block1")
    tests = json.loads(ds.attrs["goodness"])
    unknown = np.full(len(z), np.nan)
    return GoodnessOfFit(
        xr.Dataset(
            {
                "residual": (("bin", *dims), residual),
                "error": (("bin", *dims), error),
                "z": (("bin", *dims), z),
                "shared": (dims, shared),
                "shared_by_age": ("age", _by_age(shared)),
                "speckle_ratio": ("bin", ds["speckle_ratio"].values if "speckle_ratio" in ds else unknown),
                "speckle_chance": ("bin", ds["speckle_chance"].values if "speckle_chance" in ds else unknown),
                "block_start": ds["block_start"],
                "block_end": ds["block_end"],
            },
            coords={"q": ds["q"], "phi": ds["phi"], "age": _ages(middle)},
            attrs={
                "p_structure": _chance(z, np.random.default_rng(seed), flips),
                "p_size": float(tests["chance"]),
                "curves": json.dumps(tests["curves"]),
                "bins": len(z),
                "mode": result.mode,
            },
        )
    )


def criticise(*args: Any, **kwargs: Any) -> GoodnessOfFit:
    """Old name of :func:`goodness_of_fit`."""
    warnings.warn("criticise is now goodness_of_fit", DeprecationWarning, stacklevel=2)
    return goodness_of_fit(*args, **kwargs)


def _with_tests(result: FitResult, dataset: xr.Dataset | Objective | None, seed: int) -> xr.Dataset:
    ds = result.dataset
    complete = "residual_tile" in ds and "sigma" in ds
    if complete and "goodness" in ds.attrs:
        return ds
    if dataset is None:
        raise ConfigurationError(
            "the result keeps no tests of its goodness of fit", hint="pass the dataset that was fitted"
        )
    objective, theta = objective_of(dataset, result), optimum(result)
    if not complete:
        ds = ds.drop_vars(["residual_tile", "chi2_tile", "pixels_tile"], errors="ignore")
        ds = ds.merge(residual_record(objective, theta), compat="override")
    found = goodness(objective, theta, seed=seed)
    ds = ds.assign(speckle_ratio=("bin", found.ratio), speckle_chance=("bin", found.bin_chance))
    return ds.assign_attrs(goodness=json.dumps({"curves": found.curves, "chance": found.chance}))


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


def _chance(z: FloatArray, rng: np.random.Generator, flips: int) -> float:
    """Chance of so much shared structure when bins share nothing."""
    bins = len(z)
    if bins < _FEW:
        return float("nan")
    signs = np.concatenate([np.ones((1, bins)), rng.choice([-1.0, 1.0], (flips, bins))])
    structure = np.sum((signs @ np.nan_to_num(z.reshape(bins, -1))) ** 2, axis=1)
    return float(np.count_nonzero(structure >= structure[0] * (1 - 1e-12)) / (flips + 1))


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


def _bent(ds: xr.Dataset) -> dict[str, list[float]]:
    return {name: one for name, one in json.loads(ds.attrs["curves"]).items() if one[0] < CURVE_CHANCE}


def _size(ds: xr.Dataset) -> str:
    p = float(ds.attrs["p_size"])
    if np.isnan(p):
        return "The size of the residuals cannot be judged: no speckle of this model can be simulated."
    value = float(np.exp(np.log(ds["speckle_ratio"]).mean()))
    ratio = number(value, 2)
    if value < _OTHER_NOISE:
        return (
            f"The residuals are {number(value, 1)} times the mean square of speckle's: other noise, as of few photons, outweighs it, "
            "and their size says little."
        )
    if p < SIZE_CHANCE:
        return f"The residuals are larger than those of speckle: {ratio} times its mean square (chance {number(p, 1)})."
    return f"The residuals are as small as those of speckle ({ratio} times its mean square, chance {number(p, 2)})."


def _bends(ds: xr.Dataset) -> str:
    if not json.loads(ds.attrs["curves"]):
        return "The shape of the curves was not tested: the model does not say how they can bend."
    bent = _bent(ds)
    if not bent:
        return "No curve asks for another course in time than the model's."
    told = [
        f"{name}(t) by {number(size, 2)} near t = {number(when, 3)} s (chance {number(p, 1)})"
        for name, (p, when, size) in bent.items()
    ]
    return f"The data ask for another course in time: {', '.join(told)}."


def _bins(ds: xr.Dataset) -> str:
    odd = np.flatnonzero(ds["speckle_chance"].values < BIN_CHANCE)
    if not odd.size:
        return "No bin stands out."
    told = [
        f"q = {number(float(ds['q'][b]))} 1/Å, phi = {number(float(ds['phi'][b]))}° "
        f"({number(float(ds['speckle_ratio'][b]), 2)} times the mean square of speckle)"
        for b in odd[:5]
    ]
    return (
        f"Bins with larger residuals than speckle leaves: {', '.join(told)}{', ...' if odd.size > 5 else ''}."
    )


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
