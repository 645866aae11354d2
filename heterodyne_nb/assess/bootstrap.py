"""Bootstrap over blocks of frames and over bins, from the tiles at the optimum.

Pixels of a map share frames, so single tiles must not be drawn: a block k of frames gets a random weight w_k of mean
1 and variance 1, and tile (k1, k2) the weight w_k1 w_k2 (a tile of one block w_k), as in the multiplicative ("pigeonhole")
bootstrap for data with two crossed factors (Owen 2007; Davezies, D'Haultfœuille & Guyonvarch 2021). Every draw is the
one-step estimate of :mod:`heterodyne_nb.uncertainty.reweighting`, so a thousand draws cost no pass over the pixels.

Product weights count noise that is *not* shared by the pixels of a frame up to three times (Owen 2007, Menzel 2021):
with score sums S_k of the tiles that hold block k and s_k1k2 of single tiles, their score has the covariance
sum_k S_k S_kᵀ + sum_{k1<k2} s sᵀ, where the dyadic one is sum_k S_k S_kᵀ - sum_{k1<k2} s sᵀ. And with a dozen blocks the
curvature of the weighted problem follows the weights, which narrows the draws. Unless told otherwise the scores of
the draws are therefore carried onto the dyadic covariance by the linear map that moves them least, the curvature is
that of all data (a score bootstrap, Kline & Santos 2012), and since the covariance is itself estimated from few blocks
the draws are widened from normal to Student's intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import stdtrit

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.assess.one_time import one_time_draws
from heterodyne_nb.engine import BLOCKS, Objective
from heterodyne_nb.engine.executors import ordered, team
from heterodyne_nb.errors import ConfigurationError, FitWarning, OptimizationError, warn
from heterodyne_nb.fitting.same_fit import objective_of, one_time_objective_of, optimum
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.old_paths import either_order
from heterodyne_nb.options import BootstrapOptions, keywords
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken, ignore_progress
from heterodyne_nb.result.fit_result import FitResult
from heterodyne_nb.result.tables import derived_draws
from heterodyne_nb.text.html import Printed, Tabular
from heterodyne_nb.text.numbers import number, value_with_band
from heterodyne_nb.uncertainty.bands import NORMAL_95
from heterodyne_nb.uncertainty.reweighting import Reweighting

#: Draws that are made between two looks at the stop token.
_TOGETHER = 20
#: Fewer bins than this say little about their own scatter.
_FEW_BINS = 6


@keywords(BootstrapOptions)
@either_order
def bootstrap(
    dataset: xr.Dataset | Objective,
    result: FitResult,
    *,
    n: int = 500,
    seed: int = 0,
    kind: str = "blocks",
    blocks: int = BLOCKS,
    weights: str = "exponential",
    match: bool = True,
    common_frames: bool = False,
    steps: int = 1,
    executor: Any = None,
    workers: int | None = None,
    on_progress: OnProgress = ignore_progress,
    stop: StopToken | None = None,
) -> Bootstrap:
    """Repeat a fit under random weights on blocks of frames or on bins.

    Parameters
    ----------
    dataset : Dataset or Objective
        The data that were fitted.
    result : FitResult
        Of a two-time fit; of a one-time fit curves are simulated from the fit and fitted again.
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
    executor, workers
        Who does the work, and how many; see :func:`heterodyne_nb.fit_batch`.
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
    if ModelFactory.create_model(result.mode).one_time and isinstance(dataset, xr.Dataset):
        return _one_time(result, dataset, n, seed, kind, on_progress, stop)
    objective = objective_of(dataset, result)
    bins = objective.problem.n_bins
    if kind != "blocks" and bins < 2:
        raise ConfigurationError(f"{bins} bin cannot be drawn from", where="kind", expected="'blocks'")
    if kind != "blocks" and bins < _FEW_BINS:
        warn(f"{bins} bins say little about their own scatter; kind='blocks' is safer", FitWarning)
    tiles = Reweighting.at(objective, optimum(result), blocks)
    matched = match and kind == "blocks" and not common_frames
    match_to = _Matched(tiles) if matched else None
    rng = np.random.default_rng(seed)
    found: list[FloatArray] = []
    with team(executor, workers) as who:
        drawn = [
            (tile_weights(rng, tiles, kind, weights, common_frames), _prior_means(objective, rng))
            for _ in range(n)
        ]
        size = min(_TOGETHER, -(-n // (2 * who.slots)))
        lots = [drawn[k : k + size] for k in range(0, n, size)]
        for lot in ordered(who, partial(_steps, tiles, match_to, steps), lots, stop):
            found += lot
            on_progress(ProgressEvent("bootstrap", len(found) / n, message=f"draw {len(found)} of {n}"))
    if len(found) < 2:
        raise OptimizationError(f"stopped after {len(found)} draws", expected="at least 2")
    told = _in_words(kind, tiles, common_frames, matched, steps)
    return Bootstrap(draws_dataset(result, np.array(found), told, seed=seed, asked=n))


def _steps(
    tiles: Reweighting, match_to: _Matched | None, steps: int, lot: list[tuple[FloatArray, FloatArray | None]]
) -> list[FloatArray]:
    """The answers (p,) of some draws of weights and of centres of priors."""
    if match_to is None:
        return [tiles.step(drawn, means, steps=steps) for drawn, means in lot]
    return [tiles.step(None, means, match_to.tilt(drawn), steps) for drawn, means in lot]


def _one_time(
    result: FitResult,
    dataset: xr.Dataset,
    n: int,
    seed: int,
    kind: str,
    on_progress: OnProgress,
    stop: StopToken | None,
) -> Bootstrap:
    """Refits of simulated curves; see :func:`heterodyne_nb.assess.one_time.one_time_draws`."""
    if kind != "blocks":
        raise ConfigurationError(
            f"kind = {kind!r} is for two-time fits", where="kind", expected="'blocks' for one-time modes"
        )
    objective = one_time_objective_of(dataset, result)

    def told(k: int) -> None:
        on_progress(ProgressEvent("bootstrap", (k + 1) / n, message=f"draw {k + 1} of {n}"))

    draws = one_time_draws(objective, optimum(result), n, seed, told=told, stop=stop)
    if len(draws) < 2:
        raise OptimizationError(f"stopped after {len(draws)} draws", expected="at least 2")
    words = "bootstrap of curves simulated from the fit, lags correlated as found"
    return Bootstrap(draws_dataset(result, draws, words, seed=seed, asked=n))


def tile_weights(
    rng: np.random.Generator,
    tiles: Reweighting,
    kind: str,
    law: str = "exponential",
    common_frames: bool = False,
) -> FloatArray:
    """Weights (B, T) of one draw."""
    bins, count = tiles.products.shape[:2]
    weights = np.ones((bins, count))
    if kind != "bins":
        late, early = tiles.places
        block = _law(rng, law, (1 if common_frames else bins, tiles.blocks))
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

    def __init__(self, tiles: Reweighting) -> None:
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


def _widened(tiles: Reweighting) -> FloatArray:
    """Dyadic covariance (n, n) widened so that normal draws have about Student's 95 % intervals.

    Every coordinate by t_nu / 1.96 with its own degrees of freedom; their correlations stay.
    """
    if not tiles.noise.size:
        return tiles.noise
    slopes: Any = np.linalg.pinv(tiles.objective.coordinates.jacobian(tiles.theta), rcond=1e-14)
    factor = stdtrit(tiles.freedom(slopes), 0.975) / NORMAL_95
    return np.asarray(factor[:, None] * tiles.noise * factor)


def _drawn_meat(tiles: Reweighting) -> FloatArray:
    """Covariance of the score under product weights of variance 1, (n, n)."""
    scores, (late, early) = tiles.scores(), tiles.places
    total = np.zeros((scores.shape[2], scores.shape[2]))
    for s in scores:
        for k in range(tiles.blocks):
            own = s[(late == k) | (early == k)].sum(axis=0)
            total += np.outer(own, own)
        off = s[late != early]
        total += off.T @ off
    return total


def _power(matrix: FloatArray, exponent: float) -> FloatArray:
    """Power of a positive semidefinite matrix, on the directions that are not null."""
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    kept = values > 1e-12 * max(float(values[-1]), 1e-300)
    return np.asarray((vectors[:, kept] * values[kept] ** exponent) @ vectors[:, kept].T)


def _prior_means(objective: Objective, rng: np.random.Generator) -> FloatArray | None:
    priors = objective.priors
    return priors.mean + priors.width * rng.standard_normal(len(priors.mean)) if len(priors.mean) else None


def _in_words(kind: str, tiles: Reweighting, common: bool, matched: bool, steps: int) -> str:
    blocks = f"{tiles.blocks} {'clusters of pixels' if tiles.independent else 'blocks of frames'}"
    what = {
        "blocks": blocks,
        "bins": "bins",
        "both": f"bins and {blocks}",
    }
    told = f"bootstrap over {what[kind]}" + (" common to all bins" if common and kind != "bins" else "")
    told += ", dyadic" if matched and not tiles.independent else ""
    return told + (f", {steps} steps" if steps > 1 else "")


def draws_dataset(result: FitResult, draws: FloatArray, told: str, *, seed: int, asked: int) -> xr.Dataset:
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


def percentiles(draws: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Lower and upper end of the central interval of draws (n, ...) at a level in (0, 1)."""
    if not 0 < level < 1:
        raise ConfigurationError(f"{level!r}", where="level", expected="a number between 0 and 1")
    lower, upper = np.quantile(draws, [0.5 * (1 - level), 0.5 * (1 + level)], axis=0)
    return lower, upper


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap(Tabular):
    """Repeated estimates of a fit; made by :func:`heterodyne_nb.bootstrap`.

    Attributes
    ----------
    dataset : xarray.Dataset
        ``draws(draw, parameter)`` with ``estimate(parameter)``, ``unit(parameter)``, the times ``t`` (s) of the
        fit, and in its attributes how the draws were made.
    """

    dataset: xr.Dataset

    @property
    def draws(self) -> FloatArray:
        """Published parameters of every draw, (n, p)."""
        return np.asarray(self.dataset["draws"].values)

    @property
    def n(self) -> int:
        """Number of draws."""
        return int(self.dataset.sizes["draw"])

    @property
    def method(self) -> str:
        """How the draws were made, in words."""
        return str(self.dataset.attrs["method"])

    @property
    def mode(self) -> str:
        """Name of the model."""
        return str(self.dataset.attrs["mode"])

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the draws, (p, p)."""
        return np.atleast_2d(np.cov(self.draws, rowvar=False))

    def intervals(self, level: float = 0.95) -> xr.Dataset:
        """Percentile intervals of the parameters: estimate, stderr, lower, upper, unit on (parameter,)."""
        lower, upper = percentiles(self.draws, level)
        return self.dataset[["estimate", "unit"]].assign(
            stderr=("parameter", self.draws.std(axis=0, ddof=1)),
            lower=("parameter", lower),
            upper=("parameter", upper),
        )

    def curve_draws(self, name: str, t: FloatArray | None = None) -> xr.DataArray:
        """One curve of every draw, on (draw, t).

        Parameters
        ----------
        name : str
            A curve of the mode, e.g. ``"v"``.
        t : array, optional
            Times in s, default those of the fit.
        """
        return self._curves(self._times(t))[self._known(name)]

    def curves(self, level: float = 0.95, t: FloatArray | None = None) -> xr.Dataset:
        """Percentile bands: every curve of the estimate with ``_lower`` and ``_upper``, on (t,).

        They are percentiles of curves that each obey the model's limits (J ≥ 0, 0 ≤ x ≤ 1), so they do too.
        """
        times = self._times(t)
        model, best = ModelFactory.create_model(self.mode), self.dataset["estimate"].values
        units = model.curve_units
        data: dict[str, Any] = {}
        middle = model.curves(best, times)
        for name, every in self._curves(times).items():
            lower, upper = percentiles(every.values, level)
            for suffix, values in (("", middle[name]), ("_lower", lower), ("_upper", upper)):
                data[f"{name}{suffix}"] = ("t", np.asarray(values, float), {"units": units[name]})
        return xr.Dataset(data, coords={"t": ("t", times, {"units": "s"})}, attrs={"level": level})

    def of(self, function: Callable[[FloatArray], Any], level: float = 0.95) -> tuple[float, float, float]:
        """Standard error and interval (stderr, lower, upper) of a number computed from parameters (p,)."""
        values = np.array([float(function(draw)) for draw in self.draws])
        lower, upper = percentiles(values, level)
        return float(values.std(ddof=1)), float(lower), float(upper)

    def derived(self, bins: xr.Dataset | None = None, level: float = 0.95) -> xr.Dataset:
        """Derived figures with bootstrap errors and intervals; see :meth:`FitResult.derived`.

        Parameters
        ----------
        bins : Dataset, optional
            With ``q`` and ``phi`` on ``bin``: fringe rates are added.
        level : float
        """
        model = ModelFactory.create_model(self.mode)
        t = self.dataset["t"].values if "t" in self.dataset else None
        return derived_draws(model, self.dataset["estimate"].values, self.draws, t, bins, level)

    def apply_to(self, result: FitResult) -> FitResult:
        """The fit with the errors and bands of these draws in place of its own."""
        if list(result.parameter_names) != self.dataset["parameter"].values.tolist():
            raise ConfigurationError(
                f"draws of {self.mode} cannot describe a fit of {result.mode}", where="result"
            )
        bands: Mapping[str, tuple[FloatArray, FloatArray]] | None = None
        if result.curve_names:
            found = self.curves()
            bands = {
                str(n): (found[f"{n}_lower"].values, found[f"{n}_upper"].values) for n in result.curve_names
            }
        spread = self.draws.std(axis=0, ddof=1)
        return result.with_uncertainty(
            self.method,
            covariance=self.covariance,
            stderr=np.where(spread > 0, spread, np.nan),
            bands=bands,
        )

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """Intervals as a table, one row a parameter."""
        return self.intervals(level)[["estimate", "stderr", "lower", "upper", "unit"]].to_dataframe()

    def _printed(self) -> Printed:
        rows = [["parameter", "value [95 % interval]", "unit"]]
        for name, one in self.table().iterrows():
            value, lower, upper = (float(one[key]) for key in ("estimate", "lower", "upper"))
            shown = value_with_band(value, lower, upper) if upper > lower else f"{number(value)} (held)"
            rows.append([str(name), shown, "" if one["unit"] == "1" else str(one["unit"])])
        return Printed(f"{self.mode}: {self.n} draws, {self.method}", rows)

    def _curves(self, t: FloatArray) -> dict[str, xr.DataArray]:
        model = ModelFactory.create_model(self.mode)
        every = [model.curves(draw, t) for draw in self.draws]
        return {
            name: xr.DataArray(
                np.stack([np.asarray(curves[name], float) for curves in every]),
                dims=("draw", "t"),
                coords={"t": ("t", t, {"units": "s"})},
                name=name,
                attrs={"units": unit},
            )
            for name, unit in model.curve_units.items()
        }

    def _times(self, t: FloatArray | None) -> FloatArray:
        if t is None and "t" not in self.dataset:
            raise ConfigurationError("the fit keeps no times", hint="pass t, in s")
        return np.asarray(self.dataset["t"].values if t is None else t, dtype=float)

    def _known(self, name: str) -> str:
        units = ModelFactory.create_model(self.mode).curve_units
        if name not in units:
            raise ConfigurationError(f"no curve {name!r}", expected=f"one of {list(units)}")
        return name
