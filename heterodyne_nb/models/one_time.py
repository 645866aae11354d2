"""One-time models: heterodyne at equilibrium (Eq. S-98) and the stretched exponential (KWW)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heterodyne_nb.models.base import OneTimeModel, Parameters
from heterodyne_nb.models.parameters import PARAMETERS


class HeterodyneEquilibriumModel(OneTimeModel):
    """Constant coefficients and velocity; He et al., PNAS (2025) 10.1073/pnas.2514216122, Eq. S-98."""

    name = "heterodyne_equilibrium"
    parameters = PARAMETERS["heterodyne_equilibrium"]

    def correlation(
        self, params: Parameters, tau: ArrayLike, *, q: ArrayLike = 0.0, phi: ArrayLike = 0.0
    ) -> Any:
        """See :meth:`OneTimeModel.correlation`; ``fraction`` is the intensity fraction of the sample."""
        x, j_ref, j_sample, v, phi0 = self.unpack(params)
        tau, q = np.abs(np.asarray(tau, float)), np.asarray(q, float)
        kappa = q * np.cos(np.radians(phi0 - np.asarray(phi, float)))
        return (
            (1 - x) ** 2 * np.exp(-(q**2) * j_ref * tau)
            + x**2 * np.exp(-(q**2) * j_sample * tau)
            + 2 * x * (1 - x) * np.exp(-0.5 * q**2 * (j_ref + j_sample) * tau) * np.cos(kappa * v * tau)
        )


class KWWModel(OneTimeModel):
    """M = exp(-2 (Gamma tau)^alpha), the stretched (alpha < 1) or compressed (alpha > 1) exponential."""

    name = "kww"
    parameters = PARAMETERS["kww"]

    def correlation(
        self, params: Parameters, tau: ArrayLike, *, q: ArrayLike = 0.0, phi: ArrayLike = 0.0
    ) -> Any:
        """See :meth:`OneTimeModel.correlation`; ``q`` and ``phi`` only broadcast."""
        gamma, alpha = self.unpack(params)
        tau, q, phi = np.broadcast_arrays(np.abs(np.asarray(tau, float)), q, phi)
        return np.exp(-2.0 * (gamma * tau) ** alpha)
