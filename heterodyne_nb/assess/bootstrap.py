"""Bootstrap over blocks of frames and over bins, from the tiles at the optimum.

Pixels of a map share frames, so single tiles must not be drawn: a block k of frames gets a random weight w_k of mean
1 and variance 1, and tile (k1, k2) the weight w_k1 w_k2 (a tile of one block w_k), as in the multiplicative ("pigeonhole")
bootstrap for data with two crossed factors (Owen 2007; Davezies, D'Haultfœuille & Guyonvarch 2021). Every draw is the
one-step estimate of :mod:`heterodyne_nb.uncertainty.one_step`, so a thousand draws cost no pass over the pixels.

Product weights count noise that is *not* shared by the pixels of a frame up to three times (Owen 2007, Menzel 2021):
with score sums S_k of the tiles that hold block k and s_k1k2 of single tiles, their score has the covariance
sum_k S_k S_kᵀ + sum_{k1<k2} s sᵀ, where the dyadic one is sum_k S_k S_kᵀ - sum_{k1<k2} s sᵀ. And with a dozen blocks the
curvature of the weighted problem follows the weights, which narrows the draws. Unless told otherwise the scores of
the draws are therefore carried onto the dyadic covariance by the linear map that moves them least, the curvature is
that of all data (a score bootstrap, Kline & Santos 2012), and since the covariance is itself estimated from few blocks
the draws are widened from normal to Student's intervals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import stdtrit

from heterodyne_nb.assess.draws import Bootstrap
from heterodyne_nb.engine import Objective
from heterodyne_nb.errors import ConfigurationError, FitWarning, OptimizationError, warn
from heterodyne_nb.fitting.same_fit import objective_of, optimum
from heterodyne_nb.options import BootstrapOptions, keywords
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken, ignore_progress
from heterodyne_nb.result.fit_result import FitResult
from heterodyne_nb.uncertainty.delta import NORMAL_95
from heterodyne_nb.uncertainty.one_step import Tiles, priors_of, refined, tiles_at
from heterodyne_nb.uncertainty.uncertainty import CLUSTERS

FloatArray = NDArray[np.float64]

#: Fewer bins than this say little about their own scatter.
_FEW_BINS = 6


@keywords(BootstrapOptions)
def bootstrap(
    result: FitResult,
    dataset: xr.Dataset | Objective,
    *,
    n: int = 500,
    seed: int = 0,
    kind: str = "blocks",
    blocks: int = CLUSTERS,
    weights: str = "exponential",
    match: bool = True,
    common_frames: bool = False,
    steps: int = 1,
    on_progress: OnProgress = ignore_progress,
    stop: StopToken | None = None,
) -> Bootstrap:
    """Repeat a fit under random weights on blocks of frames or on bins.

    Parameters
    ----------
    result : FitResult
        Of a two-time fit.
    dataset : Dataset or Objective
        The data that were fitted.
    n : int
        Number of draws.
    seed : int
        Same seed, same draws.
    kind : {"blocks", "bins", "both"}
        What is drawn. ``"blocks"``: blocks of frames, bins being separate speckles with frames of their own.
        ``"bins"``: whole bins, whatever their noise is like inside; needs many. ``"both"``: blocks inside drawn
        bins, which counts the noise of a bin twice and is an upper limit.
    blocks : int
        Blocks of frames. Each should be longer than the noise stays correlated.
    weights : {"exponential", "poisson"}
        Law of the weights: exponential (Bayesian bootstrap, no block is ever left out) or Poisson counts.
    match : bool
        With ``kind="blocks"``: carry the draws onto the dyadic covariance, as wide as Student's law asks. Without it errors
        are up to √3 times too large where the noise of pixels is independent.
    common_frames : bool
        One set of block weights for all bins: for noise of the beam, which all bins share. Not matched.
    steps : int
        Gauss-Newton steps a draw. One needs no pass over the pixels; each further one needs a pass, and the
        draws become exact refits as their number grows.
    on_progress : callable, optional
        Receives progress events.
    stop : StopToken, optional
        Ends it; the draws made so far are returned.

    Returns
    -------
    Bootstrap

    Raises
    ------
    ConfigurationError
        A setting is wrong, or the data are not those that were fitted.
    OptimizationError
        Stopped before two draws were made.

    Notes
    -----
    A prior counts as one more measurement: its centre is drawn too.
    """
    objective = objective_of(result, dataset)
    bins, frames = objective.problem.n_bins, len(objective.problem.t)
    if kind != "blocks" and bins < 2:
        raise ConfigurationError(f"{bins} bin cannot be drawn from", where="kind", expected="'blocks'")
    if kind != "blocks" and bins < _FEW_BINS:
        warn(f"{bins} bins say little about their own scatter; kind='blocks' is safer", FitWarning)
    tiles = tiles_at(objective, optimum(result), max(2, min(blocks, frames // 4)))
    matched = match and kind == "blocks" and not common_frames
    match_to = _Matched(tiles) if matched else None
    rng = np.random.default_rng(seed)
    found: list[FloatArray] = []
    for k in range(n):
        if stop is not None and stop.reason is not None:
            break
        drawn = tile_weights(rng, tiles, kind, weights, common_frames)
        means = _prior_means(objective, rng)
        if match_to is None:
            found.append(refined(tiles, drawn, means, None, steps))
        else:
            found.append(refined(tiles, None, means, match_to.tilt(drawn), steps))
        if k % 20 == 0 or k == n - 1:
            on_progress(ProgressEvent("bootstrap", (k + 1) / n, message=f"draw {k + 1} of {n}"))
    if len(found) < 2:
        raise OptimizationError(f"stopped after {len(found)} draws", expected="at least 2")
    told = _in_words(kind, tiles.clusters, common_frames, matched, steps)
    return Bootstrap(_dataset(result, np.array(found), told, seed=seed, asked=n))


def tile_weights(
    rng: np.random.Generator, tiles: Tiles, kind: str, law: str = "exponential", common_frames: bool = False
) -> FloatArray:
    """Weights (B, T) of one draw."""
    bins, count = tiles.products.shape[:2]
    weights = np.ones((bins, count))
    if kind != "bins":
        late, early = tiles.places
        block = _law(rng, law, (1 if common_frames else bins, tiles.clusters))
        weights = weights * np.where(late == early, block[:, late], block[:, late] * block[:, early])
    if kind != "blocks":
        weights = weights * _law(rng, law, (bins, 1))
    return weights


def _law(rng: np.random.Generator, law: str, shape: tuple[int, int]) -> FloatArray:
    if law == "poisson":
        return rng.poisson(1.0, shape).astype(float)
    return rng.exponential(1.0, shape)


class _Matched:
    """Scores of draws, carried onto the dyadic covariance.

    The map is the optimal transport of normal laws, D^½ (D^½ C D^½)^-½ D^½ for covariances C of the draws and D wanted.
    """

    def __init__(self, tiles: Tiles) -> None:
        self.tiles = tiles
        self.start, hessian = tiles.internal(tiles.equations())
        curvature = 0.5 * hessian
        drawn, wanted = _drawn_meat(tiles), curvature @ _widened(tiles) @ curvature
        size = np.sqrt(np.maximum(np.diag(drawn), 1e-300))
        unit = np.outer(size, size)
        half = _power(wanted / unit, 0.5)
        between = half @ _power(half @ (drawn / unit) @ half, -0.5) @ half
        self.map = between * size[:, None] / size[None, :]

    def tilt(self, weights: FloatArray) -> FloatArray:
        """What to add to the gradient of all data, (n,)."""
        gradient, _ = self.tiles.internal(self.tiles.equations(weights))
        return self.map @ (gradient - self.start)


def _widened(tiles: Tiles) -> FloatArray:
    """Dyadic covariance (n, n) widened so that normal draws have about Student's 95 % intervals.

    Every coordinate by t_nu / 1.96 with its own degrees of freedom; their correlations stay.
    """
    if not tiles.noise.size:
        return tiles.noise
    slopes: Any = np.linalg.pinv(tiles.objective.coordinates.jacobian(tiles.theta), rcond=1e-14)
    factor = stdtrit(tiles.freedom(slopes), 0.975) / NORMAL_95
    return factor[:, None] * tiles.noise * factor


def _drawn_meat(tiles: Tiles) -> FloatArray:
    """Covariance of the score under product weights of variance 1, (n, n)."""
    scores, (late, early) = tiles.scores(), tiles.places
    total = np.zeros((scores.shape[2], scores.shape[2]))
    for s in scores:
        for k in range(tiles.clusters):
            own = s[(late == k) | (early == k)].sum(axis=0)
            total += np.outer(own, own)
        off = s[late != early]
        total += off.T @ off
    return total


def _power(matrix: FloatArray, exponent: float) -> FloatArray:
    """Power of a positive semidefinite matrix, on the directions that are not null."""
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    kept = values > 1e-12 * max(float(values[-1]), 1e-300)
    return (vectors[:, kept] * values[kept] ** exponent) @ vectors[:, kept].T


def _prior_means(objective: Objective, rng: np.random.Generator) -> FloatArray | None:
    priors = priors_of(objective)
    if not priors:
        return None
    return np.array([mean + width * rng.standard_normal() for _, mean, width in priors])


def _in_words(kind: str, blocks: int, common: bool, matched: bool, steps: int) -> str:
    what = {
        "blocks": f"{blocks} blocks of frames",
        "bins": "bins",
        "both": f"bins and {blocks} blocks of frames",
    }
    told = f"bootstrap over {what[kind]}" + (" common to all bins" if common and kind != "bins" else "")
    told += ", dyadic" if matched else ""
    return told + (f", {steps} steps" if steps > 1 else "")


def _dataset(result: FitResult, draws: FloatArray, told: str, *, seed: int, asked: int) -> xr.Dataset:
    ds = result.dataset
    out = xr.Dataset(
        {
            "draws": (("draw", "parameter"), draws, {"long_name": "published parameters of each draw"}),
            "estimate": ("parameter", ds["parameters"].values),
            "unit": ("parameter", ds["unit"].values),
        },
        coords={"parameter": ds["parameter"].values, "draw": np.arange(len(draws))},
        attrs={"mode": result.mode, "method": told, "seed": seed, "asked": asked},
    )
    return out.assign_coords(t=ds["t"]) if "t" in ds else out
