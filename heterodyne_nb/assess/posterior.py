"""Draws from what the data leave possible: a sampler on a likelihood as wide as correlated pixels ask for.

Pixels share frames, so χ² itself is far too sharp. With z the internal coordinates, ẑ the optimum, H the Gauss-Newton
matrix of χ²/2 and V the dyadic sandwich covariance (:mod:`heterodyne_nb.uncertainty.covariance`), the vertical adjustment
of Chandler & Bate (Biometrika 94 (2007) 167, doi:10.1093/biomet/asm015; of the three adjustments there the one that
keeps the shape of the likelihood where it is evaluated) is

    Q(z) = [χ²(z) - χ²(ẑ)] · (z - ẑ)ᵀ V⁻¹ (z - ẑ) / (z - ẑ)ᵀ H (z - ẑ),

which has the curvature of the sandwich and the skewness of χ². V comes from few clusters of frames, with ν degrees of
freedom, so the density is Student's, (1 + Q/ν)^(-(ν + n)/2), on the part of z that bounds leave, times the priors; z is
made of values of the curves at a few times, in which the density is taken as flat otherwise.

Of one-time fits V has the correlation of lags and the scale of their noise, taken as known (ν → ∞).

χ²(z) is that of the model against the model at ẑ, so that no residual shifts the optimum; with priors the data pull as much
the other way there, so that ẑ stays the optimum of both together. Where several answers are left
each is sampled on its own and they are mixed by exp(-Δχ²/2), Δχ² in the same dyadic units; that counts their volumes as
equal, which holds for mirrors and aliases.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import multivariate_t

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.assess.bootstrap import Bootstrap, draws_dataset
from heterodyne_nb.assess.one_time import MANY, width_of_data
from heterodyne_nb.engine import Objective, OneTimeObjective
from heterodyne_nb.errors import FitWarning, MissingExtraError, OptimizationError, warn
from heterodyne_nb.fitting.same_fit import noiseless, objective_of, one_time_objective_of, optimum
from heterodyne_nb.frames import FrameSet
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.old_paths import either_order
from heterodyne_nb.options import SampleOptions, keywords
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken, ignore_progress
from heterodyne_nb.result.fit_result import FitResult
from heterodyne_nb.uncertainty.covariance import estimate_covariance, pseudo_inverse

#: Walkers have settled where R-hat, each walker a chain, is below the first and the effective size above the second
#: (both as of Vehtari et al. 2021): ends of 95 % intervals then scatter by a fifth of a standard error at most.
RHAT, ESS = 1.25, 80.0
#: Width of the start in coordinates that the errors of an answer say nothing of, such as v where it is 0.
_STILL = 0.01


def _extra(name: str) -> ModuleType:
    """A package of the extra, or how to get it; ArviZ announces its own future on import."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return __import__(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"a posterior needs {error.name}, which is not installed",
            hint='pip install "heterodyne_nb[posterior]"',
        ) from error


@dataclass(frozen=True, eq=False, repr=False)
class Posterior(Bootstrap):
    """Draws from the posterior; made by :meth:`FitResult.sample`.

    Intervals, curves, bands and derived figures as of a :class:`~heterodyne_nb.assess.Bootstrap`; besides ``rhat`` and
    ``ess`` on (parameter,), and the answer that each draw belongs to, ``answer(draw)``.
    """

    def to_arviz(self) -> Any:
        """The draws as an ``arviz.InferenceData``, one chain a walker; curves at the times of the fit included."""
        shape = self.dataset.attrs["walkers"], -1
        names = self.dataset["parameter"].values.tolist()
        posterior = {name: self.draws[:, k].reshape(shape) for k, name in enumerate(names)}
        times = self.dataset["t"].values if "t" in self.dataset else None
        every = {} if times is None else self._curves(times)
        curves = {name: one.values.reshape(*shape, one.sizes["t"]) for name, one in every.items()}
        known: dict[str, Any] = {} if times is None else {"t": times}
        dims = {name: ["t"] for name in curves}
        found = _extra("arviz").from_dict(posterior=posterior | curves, dims=dims, coords=known)
        found.posterior.attrs.update(mode=self.mode, method=self.method, seed=self.dataset.attrs["seed"])
        return found


@keywords(SampleOptions)
@either_order
def sample(
    dataset: xr.Dataset | FrameSet | Objective,
    result: FitResult,
    *,
    n: int = 600,
    walkers: int = 32,
    burn: int = 100,
    seed: int = 0,
    on_progress: OnProgress = ignore_progress,
    stop: StopToken | None = None,
) -> Posterior:
    """Draw from the posterior of a fit with emcee's ensemble sampler (Foreman-Mackey et al. 2013).

    Parameters
    ----------
    dataset : Dataset, FrameSet or Objective
        The data that were fitted.
    result : FitResult
        Of :func:`heterodyne_nb.fit`. Its bounds, ties, fixed values and priors hold; each of its
        ``solutions`` is sampled.
    n, walkers : int
        Steps that are kept, and walkers, of which there are at least twice as many as fitted numbers; the draws are
        n × walkers.
    burn : int
        Steps before those. Walkers start from the law of the fit's errors, so few are needed.
    seed : int
        Same seed, same draws.
    on_progress : callable, optional
        Receives progress events.
    stop : StopToken, optional
        Ends it with the draws made so far.

    Returns
    -------
    Posterior

    Raises
    ------
    MissingExtraError
        emcee or arviz is not installed.
    ConfigurationError
        The data are not those that were fitted, or the fit is of another kind.
    OptimizationError
        Nothing is free, or it was stopped before any draw.

    Warns
    -----
    FitWarning
        R-hat or the effective size of a parameter says that more steps are needed.

    Notes
    -----
    What the density is, and its source, stands in :mod:`heterodyne_nb.assess.posterior`.
    """
    emcee, arviz = _extra("emcee"), _extra("arviz")
    objective: Objective
    if ModelFactory.create_model(result.mode).one_time and isinstance(dataset, xr.Dataset):
        objective = one_time_objective_of(dataset, result)
    else:
        objective = objective_of(dataset, result)
    if not objective.coordinates.size:
        raise OptimizationError("no parameter is free", expected="a fit with free parameters")
    walkers = max(walkers + walkers % 2, 2 * objective.coordinates.size + 2)
    points = [(optimum(result), 0.0)]
    points += [
        (np.array([one.values[k] for k in result.parameter_names]), one.rise) for one in result.solutions[1:]
    ]
    streams = np.random.SeedSequence(seed).spawn(len(points) + 1)
    chains = []
    for k, (theta, _) in enumerate(points):
        target = _Target.at(objective, theta)

        def told(done: int, k: int = k) -> None:
            share = (k + done / (burn + n)) / len(points)
            on_progress(ProgressEvent("sample", share, message=f"step {done} of {burn + n}"))

        chains.append(_walked(emcee, target, walkers, burn, n, streams[k], told, stop))
    length = min(len(chain) for chain in chains)
    if length < 4:
        raise OptimizationError(f"stopped after {length} steps", expected="at least 4 after burn-in")
    weights = np.exp(-0.5 * np.array([rise for _, rise in points]))
    which = np.random.default_rng(streams[-1]).choice(
        len(points), (length, walkers), p=weights / weights.sum()
    )
    step, walker = np.indices((length, walkers))
    draws = np.stack([chain[:length] for chain in chains])[which, step, walker]
    wide = "correlated lags ask for" if isinstance(objective, OneTimeObjective) else "the sandwich covariance"
    words = f"posterior: {walkers} walkers of emcee, {length} steps, likelihood as wide as {wide}"
    ds = draws_dataset(result, draws.swapaxes(0, 1).reshape(-1, draws.shape[2]), words, seed=seed, asked=n)
    rhat, ess = _settled(arviz, [chain[:length].swapaxes(0, 1) for chain in chains])
    if np.nanmax(rhat) > RHAT or np.nanmin(ess) < ESS:
        text = f"the draws have not settled: R-hat up to {np.nanmax(rhat):.3g}, effective size from {np.nanmin(ess):.3g}"
        warn(f"{text}; ask for a larger n than {n}", FitWarning)
    ds = ds.assign(rhat=("parameter", rhat), ess=("parameter", ess), answer=("draw", which.T.ravel()))
    return Posterior(ds.assign_attrs(walkers=walkers))


def _settled(arviz: Any, chains: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Largest R-hat and least effective size (p,) over the answers, each with chains (walkers, steps, p)."""
    rhat, ess = np.full((2, len(chains), chains[0].shape[2]), np.nan)
    for k, chain in enumerate(chains):
        for i in np.flatnonzero(np.ptp(chain, axis=(0, 1)) > 0):
            rhat[k, i], ess[k, i] = float(arviz.rhat(chain[:, :, i])), float(arviz.ess(chain[:, :, i]))
    return np.fmax.reduce(rhat), np.fmin.reduce(ess)


@dataclass(frozen=True, eq=False)
class _Target:
    """The density around one answer; see the module."""

    objective: Objective
    z: FloatArray
    curvature: FloatArray
    precision: FloatArray
    covariance: FloatArray
    freedom: float
    pull: FloatArray  #: Slope of the priors' penalty at z, which data and priors together do not have.
    penalty: float  #: Of the priors at z.

    @classmethod
    def at(cls, objective: Objective, theta: FloatArray) -> _Target:
        chain = objective.coordinates.jacobian(theta)
        prior = objective.priors.curvature(chain)
        if isinstance(objective, OneTimeObjective):
            covariance, freedom = width_of_data(objective, theta), MANY
        else:
            covariance, freedom = _width_of_maps(objective, theta, chain, prior)
        small = noiseless(objective, theta)
        curvature = 0.5 * small.equations(theta).by(chain).hessian - prior
        z, pull = objective.to_internal(theta), objective.priors.slope(theta) @ chain
        penalty = objective.priors.penalty(theta)
        return cls(small, z, curvature, pseudo_inverse(covariance), covariance, freedom, pull, penalty)

    def start(self, walkers: int, rng: np.random.Generator) -> FloatArray:
        """Inside the bounds, by Student's law of the errors, narrower and narrower where there is little room."""
        lower, upper = self.objective.internal_bounds(self.objective.from_internal(self.z))
        variance = np.diag(self.covariance)
        narrow = np.minimum(1.0, 0.25 * (upper - lower) / np.sqrt(np.maximum(variance, 1e-300)))
        ridge = np.diag(np.where(variance > 0, 1e-10 * narrow**2 * variance, _STILL**2))
        law = multivariate_t(
            self.z, self.covariance * np.outer(narrow, narrow) + ridge, df=self.freedom, allow_singular=True
        )
        found: list[FloatArray] = []
        for k in range(60):
            drawn = np.reshape(law.rvs(walkers, random_state=rng), (walkers, -1))
            mirrored = 2 * np.clip(drawn, lower, upper) - drawn
            trials = (self.z + 0.9**k * (z - self.z) for z in mirrored)
            found += [z for z in trials if np.isfinite(self(z))]
            if len(found) >= walkers:
                return np.array(found[:walkers])
        raise OptimizationError(
            "no room for a sampler between the bounds", hint="widen them, or fix the parameter"
        )

    def __call__(self, z: FloatArray) -> FloatArray:
        """Logarithm of the density at points (n,) or (N, n), up to a constant; -inf outside the bounds."""
        z = np.asarray(z, float)
        if z.ndim == 1:
            return np.asarray(self(z[None])[0])
        theta = np.array([self.objective.from_internal(one) for one in z])
        back = np.array([self.objective.to_internal(one) for one in theta])
        away = np.max(np.abs(back - z), axis=1)  # bounds or limits of curves had moved it
        inside = np.flatnonzero(away <= 1e-6 * (1.0 + np.max(np.abs(z), axis=1)))
        out = np.full(len(z), -np.inf)
        chi2 = self._chi2(theta[inside])
        for k, value in zip(inside, chi2, strict=True):
            out[k] = self._log_density(z[k] - self.z, value, self.objective.priors.penalty(theta[k]))
        return out

    def _chi2(self, theta: FloatArray) -> FloatArray:
        if isinstance(self.objective, OneTimeObjective):
            return self.objective.chi2_of(theta)
        return np.array([self.objective(one) for one in theta])

    def _log_density(self, step: FloatArray, chi2: float, penalty: float) -> float:
        here = chi2 - penalty
        if not np.isfinite(here):
            return -np.inf
        flat = float(step @ self.curvature @ step)
        wide = float(step @ self.precision @ step)
        rise = here * wide / flat if flat > 1e-12 * here and here > 0 else wide
        priors = penalty - self.penalty - float(self.pull @ step)
        return float(-0.5 * (self.freedom + len(step)) * np.log1p(rise / self.freedom) - 0.5 * priors)


def _width_of_maps(
    objective: Objective, theta: FloatArray, chain: FloatArray, prior: FloatArray
) -> tuple[FloatArray, float]:
    """The covariance that two-time maps alone give, and its degrees of freedom."""
    spread = estimate_covariance(objective, theta)
    back: FloatArray = np.linalg.pinv(chain, rcond=1e-14).astype(float)
    covariance = back @ spread.noise @ back.T
    if prior.any():  # they count in the density: here the width that the data alone give
        whole = 0.5 * objective.equations(theta).by(chain).hessian
        undone = pseudo_inverse(whole - prior) @ whole
        covariance = undone @ covariance @ undone.T
    freedom = np.maximum(spread.freedom(back), 1.0)
    return covariance, float(np.min(freedom))  # so that no interval is too narrow


def _walked(
    emcee: Any,
    target: _Target,
    walkers: int,
    burn: int,
    n: int,
    stream: np.random.SeedSequence,
    told: Any,
    stop: StopToken | None,
) -> FloatArray:
    """Published parameters of the walkers at every step after burn-in, (steps, walkers, p)."""
    rng = np.random.default_rng(stream)
    moves = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)]
    sampler = emcee.EnsembleSampler(walkers, len(target.z), target, moves=moves, vectorize=True)
    sampler.random_state = np.random.RandomState(int(rng.integers(2**32 - 1))).get_state()
    for done, _ in enumerate(sampler.sample(target.start(walkers, rng), iterations=burn + n), 1):
        if done % 20 == 0:
            told(done)
        if stop is not None and stop.reason is not None:
            break
    chain = sampler.get_chain()[burn:]
    every = [target.objective.from_internal(z) for z in chain.reshape(-1, len(target.z))]
    return np.array(every).reshape(*chain.shape[:2], -1)
