"""The two-component heterodyne model, He et al., PNAS (2025) 10.1073/pnas.2514216122, Eq. S-95."""

from __future__ import annotations

from typing import Any

import numpy as np

from heterodyne_nb.models.curves import (
    Curve,
    fraction,
    fraction_gradient,
    power_cumulative,
    power_cumulative_gradient,
    power_integral,
)
from heterodyne_nb.models.model import FloatArray, Parameters, SeparableModel, Terms
from heterodyne_nb.models.parameters import PARAMETERS
from heterodyne_nb.models.symmetries import HalfTurn, RatioSign, Reversal, Shift, Swap

_REF, _SAMPLE, _VELOCITY, _FRACTION, _PHI0 = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 13), 13
_DEGREE = np.pi / 180.0


class HeterodyneModel(SeparableModel):
    """A reference at rest and a moving sample, each with its own transport coefficient."""

    name = "heterodyne"
    takes_rules = True
    parameters = PARAMETERS["heterodyne"]
    curve_specs = (
        Curve(
            "J_ref", "Å²/s", "transport", (0, 1, 2), "power_law", component="ref",
            label="transport coefficient of the reference",
        ),
        Curve(
            "J_sample", "Å²/s", "transport", (3, 4, 5), "power_law", component="sample",
            label="transport coefficient of the sample",
        ),
        Curve(
            "v", "Å/s", "velocity", (6, 7, 8), "power_law", direction=13, component="sample",
            label="velocity of the sample against the reference",
        ),
        Curve(
            "x_sample", "1", "fraction", (9, 10, 12, 11), "exponential", component="sample",
            label="fraction of the sample in the field",
        ),
    )  # fmt: skip
    symmetries = (
        Swap((("J_ref", "J_sample"),), complement="x_sample", larger="J_sample"),
        HalfTurn(),
        Reversal(),
        Shift("x_sample"),
        RatioSign("x_sample"),
    )
    field_components = ("ref", "sample")

    def between(
        self, theta: FloatArray, early: FloatArray, late: FloatArray, q: FloatArray, phi: FloatArray
    ) -> Any:
        """See :meth:`SeparableModel.between`."""
        decay_r = q**2 * power_integral(early, late, *theta[_REF], rule=self.rule)
        decay_s = q**2 * power_integral(early, late, *theta[_SAMPLE], rule=self.rule)
        kappa = q * np.cos((theta[_PHI0] - phi) * _DEGREE)
        phase = kappa * power_integral(early, late, *theta[_VELOCITY], rule=self.rule)
        s1, s2 = fraction(early, *theta[_FRACTION]), fraction(late, *theta[_FRACTION])
        r1, r2 = 1.0 - s1, 1.0 - s2
        total = (
            (r1 * r2) ** 2 * np.exp(-decay_r)
            + (s1 * s2) ** 2 * np.exp(-decay_s)
            + 2 * r1 * r2 * s1 * s2 * np.exp(-0.5 * (decay_r + decay_s)) * np.cos(phase)
        )
        return total / ((s1**2 + r1**2) * (s2**2 + r2**2))

    def terms(self, params: Parameters, t: FloatArray, phi: FloatArray, *, derivatives: bool = True) -> Terms:
        """See :meth:`SeparableModel.terms`: reference, sample and cross term."""
        p = self.unpack(params)
        out = Terms.zeros(3, 1, 14, len(t), len(phi))
        self._amplitudes(out, t, p[_FRACTION], derivatives)
        out.decay[0] = power_cumulative(t, *p[_REF], rule=self.rule)
        out.decay[1] = power_cumulative(t, *p[_SAMPLE], rule=self.rule)
        out.decay[2] = 0.5 * (out.decay[0] + out.decay[1])
        out.displacement[0] = power_cumulative(t, *p[_VELOCITY], rule=self.rule)
        angle = (p[_PHI0] - np.asarray(phi, float)) * _DEGREE
        out.weight[2, 0] = np.cos(angle)
        if derivatives:
            out.d_decay[0, _REF] = power_cumulative_gradient(t, *p[0:2], rule=self.rule)
            out.d_decay[1, _SAMPLE] = power_cumulative_gradient(t, *p[3:5], rule=self.rule)
            out.d_decay[2] = 0.5 * (out.d_decay[0] + out.d_decay[1])
            out.d_displacement[0, _VELOCITY] = power_cumulative_gradient(t, *p[6:8], rule=self.rule)
            out.d_weight[2, 0, _PHI0] = -np.sin(angle) * _DEGREE
        return out

    @staticmethod
    def _amplitudes(out: Terms, t: FloatArray, values: FloatArray, derivatives: bool) -> None:
        s = fraction(t, *values)
        r = 1.0 - s
        norm = s**2 + r**2
        root2 = np.sqrt(2.0)
        out.amplitude[:] = r**2 / norm, s**2 / norm, root2 * r * s / norm
        if not derivatives:
            return
        by_s = 2.0 * (s - r) / norm  # d ln(norm) / ds
        slope = np.stack([-2 * r / norm, 2 * s / norm, root2 * (r - s) / norm]) - out.amplitude * by_s
        out.d_amplitude[:, _FRACTION] = slope[:, None] * fraction_gradient(t, *values[:3])
