"""One-component models: static (diffusion) and laminar flow.

He et al., PNAS 121 (2024) e2401162121; the shear factor after Fluerasu et al. and Busch et al. (2008).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.models.curves import (
    Curve,
    power_cumulative,
    power_cumulative_gradient,
    power_integral,
)
from heterodyne_nb.models.model import Parameters, SeparableModel, Terms, TwoTimeModel, ordered_times
from heterodyne_nb.models.parameters import PARAMETERS
from heterodyne_nb.models.symmetries import HalfTurn, Reversal

_TRANSPORT = Curve("J", "Å²/s", "transport", (0, 1, 2), "power_law", label="transport coefficient")


class StaticModel(SeparableModel):
    """M = exp(-q² |∫J|), J(t) = D0 t^alpha + D_offset. Isotropic pools azimuths, anisotropic keeps them."""

    takes_rules = True
    curve_specs = (_TRANSPORT,)
    field_components = ("",)

    def __init__(self, name: str) -> None:
        self.name = name
        self.parameters = PARAMETERS[name]

    def between(
        self, theta: FloatArray, early: FloatArray, late: FloatArray, q: FloatArray, phi: FloatArray
    ) -> Any:
        """See :meth:`SeparableModel.between`; ``phi`` only broadcasts."""
        return np.exp(-np.abs(power_integral(early, late, *theta, rule=self.rule)) * q**2 + 0.0 * phi)

    def terms(self, params: Parameters, t: FloatArray, phi: FloatArray, *, derivatives: bool = True) -> Terms:
        """See :meth:`SeparableModel.terms`: one term of amplitude 1 and no fringes."""
        values = self.unpack(params)
        out = Terms.zeros(1, 1, 3, len(t), len(phi))
        out.amplitude[0] = 1.0
        out.decay[0] = power_cumulative(t, *values, rule=self.rule)
        if derivatives:
            out.d_decay[0] = power_cumulative_gradient(t, *values[:2], rule=self.rule)
        return out


class LaminarFlowModel(TwoTimeModel):
    """M = exp(-q²|∫J|) [sin(x)/x]², x = ½ q gap cos(phi0 - phi) |∫shear rate|."""

    name = "laminar_flow"
    parameters = PARAMETERS["laminar_flow"]
    needs_gap = True
    takes_rules = True
    curve_specs = (
        _TRANSPORT,
        Curve("gamma_dot", "1/s", "shear_rate", (3, 4, 5), "power_law", direction=6, label="shear rate"),
    )
    symmetries = (HalfTurn(), Reversal())
    field_components = ("",)

    def correlation(
        self,
        params: Parameters,
        t1: ArrayLike,
        t2: ArrayLike,
        *,
        q: ArrayLike,
        phi: ArrayLike = 0.0,
        gap: float | None = None,
    ) -> Any:
        """See :meth:`TwoTimeModel.correlation`; ``gap`` in Å is required."""
        values = self.unpack(params)
        gap = self.checked_gap(gap)
        assert gap is not None
        early, late = ordered_times(t1, t2)
        q, angle = np.asarray(q, float), np.radians(values[6] - np.asarray(phi, float))
        decay = q**2 * np.abs(power_integral(early, late, *values[:3], rule=self.rule))
        x = 0.5 * q * gap * np.cos(angle) * power_integral(early, late, *values[3:6], rule=self.rule)
        return np.exp(-decay) * np.sinc(x / np.pi) ** 2
