"""A separable model whose curves may leave their published shape: what a test of that shape needs.

To every curve shapes are added, in units of the curve's own size: cosines of 1, 2, ... half waves over the run, or steps.
Decays and displacements follow exactly, by the integrals of the shapes; amplitudes to first order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.models.model import Parameters, SeparableModel, Terms
from heterodyne_nb.models.parameters import ParameterSpec

_FAR = 1e3


@dataclass(frozen=True)
class Wave:
    """A cosine of ``k`` half waves from ``first`` over ``span`` (s)."""

    k: int
    first: float
    span: float

    def value(self, t: FloatArray) -> FloatArray:
        """At times t (s)."""
        return np.asarray(np.cos(np.pi * self.k * (t - self.first) / self.span))

    def path(self, t: FloatArray) -> FloatArray:
        """An integral over time."""
        rate = np.pi * self.k / self.span
        return np.asarray(np.sin(rate * (t - self.first)) / rate)


@dataclass(frozen=True)
class Step:
    """0 before the time ``at`` (s), 1 after it."""

    at: float

    def value(self, t: FloatArray) -> FloatArray:
        """At times t (s)."""
        return np.asarray(t > self.at, float)

    def path(self, t: FloatArray) -> FloatArray:
        """Its integral."""
        return np.maximum(t - self.at, 0.0)


def waves(t: FloatArray, most: int) -> list[Wave]:
    """Cosines of up to so many half waves over times t (s)."""
    return [Wave(k, float(t[0]), float(t[-1] - t[0])) for k in range(1, most + 1)]


class FreeFormModel(SeparableModel):
    """``base`` with shapes added to each of its curves.

    ``base`` (SeparableModel): Curves that have an offset among their parameters, or are splines, can bend. ``params``
    (p,): Published parameters that set the curves' sizes. ``t`` (N,): Frame times in s. ``forms``: Added to each
    curve.

    Attributes: ``shapes``: Curve and shape of every added parameter. ``sizes`` (len(shapes),): What a coefficient of
    1 stands for, in the unit of its curve.
    """

    def __init__(self, base: Any, params: Parameters, t: FloatArray, forms: Sequence[Wave | Step]) -> None:
        self.base = base
        curves = base.curves(params, t)
        parts = {curve.name: curve.parts.items() for curve in base.curve_specs if curve.name in curves}
        levels = {
            name: [i for i, part in known if part in ("offset", "coefficient")]
            for name, known in parts.items()
        }
        self.shapes = tuple((name, form) for name in levels if levels[name] for form in forms)
        size = {name: max(float(np.sqrt(np.mean(curve**2))), 1e-12) for name, curve in curves.items()}
        self.sizes = np.array([size[name] for name, _ in self.shapes])
        self._level = [levels[name] for name, _ in self.shapes]  # a change of all of these shifts the curve
        added = (
            ParameterSpec(f"{name} shape {k}", "1", 0.0, -_FAR, _FAR, "")
            for k, (name, _) in enumerate(self.shapes)
        )
        self.name, self.parameters = f"{base.name}, free form", (*base.parameters, *added)
        self.curve_specs = base.curve_specs

    def curves(self, params: Parameters, t: ArrayLike) -> dict[str, FloatArray]:
        """The curves of the base and what is added to them."""
        t = np.asarray(t, float)
        own = len(self.base.parameters)
        out = {name: np.array(curve, float) for name, curve in self.base.curves(params[:own], t).items()}
        for (name, form), size, share in zip(self.shapes, self.sizes, params[own:], strict=True):
            out[name] += share * size * form.value(t)
        return out

    def terms(self, params: Parameters, t: FloatArray, phi: FloatArray, *, derivatives: bool = True) -> Terms:
        """See :meth:`SeparableModel.terms`."""
        params, own = np.asarray(params, float), len(self.base.parameters)
        base = self.base.terms(params[:own], t, phi)
        k, n = base.amplitude.shape
        out = Terms.zeros(k, len(base.displacement), len(params), n, len(phi))
        out.amplitude[:], out.decay[:] = base.amplitude, base.decay
        out.displacement[:], out.weight[:] = base.displacement, base.weight
        out.d_amplitude[:, :own], out.d_decay[:, :own] = base.d_amplitude, base.d_decay
        out.d_displacement[:, :own], out.d_weight[:, :, :own] = base.d_displacement, base.d_weight
        lag = float(t[-1] - t[0])
        for i, ((_, form), size, level) in enumerate(
            zip(self.shapes, self.sizes, self._level, strict=True), own
        ):
            path = size * (form.path(t) - form.path(t[0]))
            out.d_amplitude[:, i] = base.d_amplitude[:, level].sum(axis=1) * size * form.value(t)
            out.d_decay[:, i] = base.d_decay[:, level, -1:].sum(axis=1) / lag * path
            out.d_displacement[:, i] = base.d_displacement[:, level, -1:].sum(axis=1) / lag * path
            if params[i]:
                out.amplitude[:] += params[i] * out.d_amplitude[:, i]
                out.decay[:] += params[i] * out.d_decay[:, i]
                out.displacement[:] += params[i] * out.d_displacement[:, i]
        return out
