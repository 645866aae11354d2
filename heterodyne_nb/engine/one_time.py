"""One-time fits in the engine's form: g2 of every bin against lag, for any model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine.objective import Objective
from heterodyne_nb.engine.problem import Scale, scale_of
from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.models.parameters import ParameterTable

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OneTimeProblem:
    """g2 of B bins at K lags.

    Attributes
    ----------
    model : OneTimeModel
    table : ParameterTable
    tau : (K,)
        Lags in s.
    g2 : (B, K)
        Unused entries hold any finite number.
    weight : (B, K)
        1/err² of the used entries, 0 for the others.
    q, phi : (B,)
        1/Å and degrees.
    """

    model: Any
    table: ParameterTable
    tau: FloatArray
    g2: FloatArray
    weight: FloatArray
    q: FloatArray
    phi: FloatArray

    def __post_init__(self) -> None:
        if self.n_data <= len(self.table.names):
            raise DataFormatError(
                f"only {self.n_data} lags can be used", where="g2", expected="more than there are parameters"
            )

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.q)

    @property
    def n_data(self) -> int:
        """Number of used entries."""
        return int(np.count_nonzero(self.weight))

    @property
    def count(self) -> FloatArray:
        """Used entries of each bin."""
        return np.count_nonzero(self.weight, axis=1).astype(float)

    @property
    def scale(self) -> Scale:
        """In which units g2 is."""
        return scale_of(float(np.sum(self.weight * self.g2) / np.sum(self.weight)))

    @property
    def ends(self) -> tuple[float, float]:
        """First and last lag in s."""
        return float(self.tau[0]), float(self.tau[-1])


class OneTimeObjective(Objective):
    """χ² of a one-time fit; derivatives by central differences."""

    def correlation(self, theta: FloatArray) -> FloatArray:
        """M of every bin and lag, (B, K)."""
        p = self.problem
        m = p.model.correlation(theta, p.tau[None, :], q=p.q[:, None], phi=p.phi[:, None])
        return np.broadcast_to(np.asarray(m, float), p.g2.shape)

    def weighted_products(self, theta: FloatArray, wanted: NDArray[np.int64]) -> FloatArray:
        """See :meth:`Objective.weighted_products`."""
        z = self.columns(theta, wanted)
        return (z * self.problem.weight[:, None, :]) @ z.transpose(0, 2, 1)

    def columns(self, theta: FloatArray, wanted: NDArray[np.int64]) -> FloatArray:
        """z = (derivatives, M, 1, data) of every bin and lag, (B, P+3, K)."""
        p = self.problem
        z = np.empty((p.n_bins, len(wanted) + 3, len(p.tau)))
        for k, i in enumerate(wanted):
            z[:, k] = self._derivative(theta, int(i))
        z[:, -3], z[:, -2], z[:, -1] = self.correlation(theta), 1.0, p.g2
        return z

    def _derivative(self, theta: FloatArray, i: int) -> FloatArray:
        """Central difference; one-sided where a bound is closer than the step."""
        lower, upper = self.bounds[i]
        least = 0.0 if lower > 0 else max(1e-6 * min(upper - lower, 1e6), 1e-12)
        step = 6e-6 * max(abs(theta[i]), least)
        above, below = theta.copy(), theta.copy()
        above[i], below[i] = min(theta[i] + step, upper), max(theta[i] - step, lower)
        return (self.correlation(above) - self.correlation(below)) / (above[i] - below[i])
