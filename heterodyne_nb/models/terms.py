"""What a separable model gives the engine: a few 1-D curves in time.

    M(t1, t2) = sum_k a_k(t1) a_k(t2) exp(-q² (F_k(t2) - F_k(t1))) cos(V_k(t2) - V_k(t1)),   t2 >= t1

with V_k(t) = q * sum_m w_km(phi) X_m(t). Every two-time model without a shear factor has this form
(He et al., PNAS (2025) 10.1073/pnas.2514216122, Eqs. S-94 and S-95).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Terms:
    """Curves of a separable model at N times, for K terms, p parameters, m velocities and B azimuths.

    Attributes
    ----------
    amplitude : (K, N)
        a_k(t).
    decay : (K, N)
        F_k(t) in Å², zero at the first time; the decay of a bin is q² F_k.
    displacement : (m, N)
        X_m(t) in Å, zero at the first time.
    weight : (K, m, B)
        Direction factors w_km, for instance cos(phi0 - phi); all zero for a term without fringes.
    d_amplitude, d_decay : (K, p, N)
    d_displacement : (m, p, N)
    d_weight : (K, m, p, B)
        Derivatives by the published parameters.
    """

    amplitude: FloatArray
    decay: FloatArray
    displacement: FloatArray
    weight: FloatArray
    d_amplitude: FloatArray
    d_decay: FloatArray
    d_displacement: FloatArray
    d_weight: FloatArray

    @classmethod
    def zeros(cls, terms: int, velocities: int, parameters: int, times: int, azimuths: int) -> Terms:
        """All-zero terms, to be filled in place by a model."""
        k, m, p, n, b = terms, velocities, parameters, times, azimuths
        shapes = [(k, n), (k, n), (m, n), (k, m, b), (k, p, n), (k, p, n), (m, p, n), (k, m, p, b)]
        return cls(*(np.zeros(shape) for shape in shapes))

    @property
    def has_fringes(self) -> NDArray[np.bool_]:
        """(K,) which terms carry a cosine."""
        return np.any(self.weight != 0, axis=(1, 2)) | np.any(self.d_weight != 0, axis=(1, 2, 3))

    def correlation(
        self,
        first: NDArray[np.intp],
        second: NDArray[np.intp],
        q: FloatArray,
        azimuth: NDArray[np.intp],
    ) -> FloatArray:
        """Sum of the terms between two times.

        Parameters
        ----------
        first, second : array of int
            Places of the earlier and the later time among the N; these and the next two have one shape.
        q : array
            1/Å.
        azimuth : array of int
            Places among the B azimuths.
        """
        path = self.displacement[:, second] - self.displacement[:, first]
        total = np.zeros(np.shape(q))
        for a, decay, weight in zip(self.amplitude, self.decay, self.weight, strict=True):
            phase = q * np.sum(weight[:, azimuth] * path, axis=0)
            total += a[first] * a[second] * np.exp(-(q**2) * (decay[second] - decay[first])) * np.cos(phase)
        return total
