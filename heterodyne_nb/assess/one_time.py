"""Profiles, bootstrap and posterior of one-time fits: their noise is that of the stated errors with neighbouring lags correlated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine import OneTimeObjective
from heterodyne_nb.engine.one_time_noise import LagNoise, fit_errors
from heterodyne_nb.fitting.one_time_fit import level_priors, one_time_errors
from heterodyne_nb.optimize import GaussNewtonStrategy
from heterodyne_nb.progress import StopToken

#: As many degrees of freedom as make no difference: the noise of g2 is taken as known.
MANY = 1e6


@dataclass(frozen=True)
class OneTimeSpread:
    """What a profile needs to know of the noise, by the internal coordinates.

    Attributes: ``theta`` (p,): The optimum. ``naive`` (n, n): Covariance for independent lags with the stated errors.
    ``covariance``, ``noise`` (n, n): With the scale and the correlation of lags.
    """

    objective: OneTimeObjective
    theta: FloatArray
    naive: FloatArray
    covariance: FloatArray
    lags: LagNoise

    @property
    def noise(self) -> FloatArray:
        """The same as the covariance: no part of it is of frames."""
        return self.covariance

    @classmethod
    def at(cls, objective: OneTimeObjective, theta: FloatArray) -> OneTimeSpread:
        """At an optimum (p,)."""
        spread = one_time_errors(objective, theta, objective.equations(theta))
        back = np.asarray(np.linalg.pinv(objective.coordinates.jacobian(theta), rcond=1e-14), float)
        naive, covariance = (back @ one @ back.T for one in (spread.naive, spread.covariance))
        return cls(objective, theta, naive, covariance, spread.noise)

    def freedom(self, slopes: FloatArray) -> FloatArray:
        """Degrees of freedom of the variance of each number."""
        return np.full(len(np.atleast_2d(slopes)), MANY)


def width_of_data(objective: OneTimeObjective, theta: FloatArray) -> FloatArray:
    """Covariance (n, n) by the internal coordinates that the curves alone give: no bound holds, no prior counts."""
    lags, design = OneTimeSpread.at(objective, theta).lags, objective.design(theta)
    floor = 1.0 if objective.problem.errors_known else 0.0
    found = fit_errors(design, lags, prior=level_priors(objective, design), floor=floor)
    n = objective.coordinates.size
    return found.covariance[:n, :n]


def one_time_draws(
    objective: OneTimeObjective,
    theta: FloatArray,
    n: int,
    seed: int,
    *,
    told: Callable[[int], None],
    stop: StopToken | None,
) -> FloatArray:
    """Refits (≤ n, p) of data simulated from the fit: its curves with noise of the errors and correlation it found.

    Centres of priors are drawn too: a prior counts as one more measurement.
    """
    problem, local = objective.problem, objective.equations(theta)
    lags = OneTimeSpread.at(objective, theta).lags
    scale = np.sqrt(max(lags.scale, 1.0 if problem.errors_known else 0.0))
    fitted = local.contrast[:, None] * objective.correlation(theta) + local.offset[:, None]
    error = np.where(problem.weight > 0, scale / np.sqrt(np.maximum(problem.weight, 1e-300)), 0.0)
    root = np.linalg.cholesky(lags.correlation(len(problem.tau)) + 1e-12 * np.eye(len(problem.tau)))
    rng, table = np.random.default_rng(seed), replace(problem.table, values=theta)
    strategy, out = GaussNewtonStrategy(stop=stop), []
    for k in range(n):
        if stop is not None and stop.reason is not None:
            break
        noise = (root @ rng.standard_normal(problem.g2.shape)[..., None])[..., 0]
        priors = tuple(p and (p[0] + p[1] * rng.standard_normal(), p[1]) for p in table.prior)
        drawn = replace(problem, g2=fitted + error * noise, table=replace(table, prior=priors))
        again = OneTimeObjective(drawn, contrast=objective.contrast)
        out.append(np.asarray(strategy.optimize(again, theta).x, float))
        told(k)
    return np.array(out)
