"""Models with an instrument that may be mis-set: the q scale, the zero of φ and the time between frames.

The true wave vector of a bin is q (1 + s), its azimuth φ + z and a frame's time t (1 + d). The three unknowns are
appended to the published parameters, so that every kernel differentiates by them as by any other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.models import SeparableModel
from heterodyne_nb.models.homodyne import LaminarFlowModel
from heterodyne_nb.models.model import Parameters, Terms, TwoTimeModel
from heterodyne_nb.models.parameters import ParameterSpec

FloatArray = NDArray[np.float64]

#: Unknowns appended to the parameters, in this order: relative, degrees, relative.
UNKNOWNS = ("q_scale", "phi_zero_deg", "frame_time")
_ANGLE_STEP, _TIME_STEP = 1e-3, 1e-5


class SeparableInstrument(SeparableModel):
    """A separable model whose last three parameters mis-set the instrument.

    Parameters
    ----------
    base : SeparableModel
    """

    def __init__(self, base: SeparableModel) -> None:
        self.base, self.name = base, base.name
        self.parameters = (*base.parameters, *instrument_parameters())

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
        """See :meth:`TwoTimeModel.correlation`."""
        return misset(self.base, np.asarray(params, float), t1, t2, q, phi, gap)

    def terms(self, params: Parameters, t: FloatArray, phi: FloatArray, *, derivatives: bool = True) -> Terms:
        """See :meth:`SeparableModel.terms`: the base model's curves, stretched, and their slopes by stretching."""
        p = np.asarray(params, float)
        theta, (scale, zero, late) = p[:-3], p[-3:]
        plain = self.base.terms(theta, t * (1 + late), phi + zero, derivatives=derivatives)
        k, n, m = *plain.amplitude.shape, len(plain.displacement)
        out = Terms.zeros(k, m, len(p), n, len(phi))
        grow = 1.0 + scale
        out.amplitude[:], out.weight[:] = plain.amplitude, plain.weight
        out.decay[:], out.displacement[:] = grow**2 * plain.decay, grow * plain.displacement
        if derivatives:
            out.d_amplitude[:, :-3], out.d_weight[:, :, :-3] = plain.d_amplitude, plain.d_weight
            out.d_decay[:, :-3] = grow**2 * plain.d_decay
            out.d_displacement[:, :-3] = grow * plain.d_displacement
            out.d_decay[:, -3], out.d_displacement[:, -3] = 2 * grow * plain.decay, plain.displacement
            self._by_angle(out, theta, t * (1 + late), phi + zero)
            self._by_time(out, theta, t, phi + zero, late, grow)
        return out

    def _by_angle(self, out: Terms, theta: FloatArray, t: FloatArray, phi: FloatArray) -> None:
        h = _ANGLE_STEP
        above, below = (self.base.terms(theta, t[:2], phi + s, derivatives=False).weight for s in (h, -h))
        out.d_weight[:, :, -2] = (above - below) / (2 * h)

    def _by_time(
        self, out: Terms, theta: FloatArray, t: FloatArray, phi: FloatArray, late: float, grow: float
    ) -> None:
        h = _TIME_STEP
        above, below = (self.base.terms(theta, t * (1 + late + s), phi, derivatives=False) for s in (h, -h))
        out.d_amplitude[:, -1] = (above.amplitude - below.amplitude) / (2 * h)
        out.d_decay[:, -1] = grow**2 * (above.decay - below.decay) / (2 * h)
        out.d_displacement[:, -1] = grow * (above.displacement - below.displacement) / (2 * h)


class GenericInstrument(TwoTimeModel):
    """Any two-time model whose last three parameters mis-set the instrument; derivatives by differences."""

    def __init__(self, base: TwoTimeModel) -> None:
        self.base, self.name = base, base.name
        self.parameters = (*base.parameters, *instrument_parameters())

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
        """See :meth:`TwoTimeModel.correlation`."""
        return misset(self.base, np.asarray(params, float), t1, t2, q, phi, gap)


def misset(
    base: TwoTimeModel, params: FloatArray, t1: Any, t2: Any, q: Any, phi: Any, gap: float | None
) -> Any:
    """Correlation of a model with a mis-set instrument."""
    scale, zero, late = params[-3:]
    return base.correlation(
        params[:-3],
        np.asarray(t1) * (1 + late),
        np.asarray(t2) * (1 + late),
        q=np.asarray(q) * (1 + scale),
        phi=np.asarray(phi) + zero,
        gap=gap,
    )


def laminar_equivalent(model: LaminarFlowModel, params: FloatArray) -> FloatArray:
    """Parameters of laminar flow at the true instrument that look the same, exactly, as a mis-set one (7,).

    With t (1 + d) an integral of t^a grows by (1 + d)^(1 + a).
    """
    theta, (scale, zero, late) = np.array(params[:-3], float), params[-3:]
    for curve, power in ((c, 2 if c.role == "transport" else 1) for c in model.curve_specs):
        i, j, k = curve.parameters
        theta[i] *= (1 + scale) ** power * (1 + late) ** (1 + theta[j])
        theta[k] *= (1 + scale) ** power * (1 + late)
    theta[list(model.directions)] -= zero
    return theta


def instrument_parameters() -> tuple[ParameterSpec, ...]:
    """The unknowns as parameters, with bounds wide enough for difference steps of 6e-6."""
    return tuple(
        ParameterSpec(name, unit, 0.0, -5e3, 5e3, "error of the instrument")
        for name, unit in zip(UNKNOWNS, ("1", "deg", "1"), strict=True)
    )


def with_instrument(model: TwoTimeModel) -> TwoTimeModel:
    """The model with the unknowns appended; laminar_flow is handled through :func:`laminar_equivalent`."""
    if isinstance(model, SeparableModel):
        return SeparableInstrument(model)
    return model if isinstance(model, LaminarFlowModel) else GenericInstrument(model)
