"""A separable model whose curves may leave their published shape: what a test of that shape needs.

To every curve cosines of 1, 2, ... half waves over the run are added, in units of the curve's own size. Decays and
displacements follow exactly, by the integrals of the cosines; amplitudes to first order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.models.model import Parameters, SeparableModel, Terms
from heterodyne_nb.models.parameters import ParameterSpec

FloatArray = NDArray[np.float64]
_FAR = 1e3


class FreeFormModel(SeparableModel):
    """``base`` with ``waves`` cosines added to each of its curves.

    Parameters
    ----------
    base : SeparableModel
        Curves that have an offset among their parameters can bend.
    params : (p,)
        Published parameters that set the curves' sizes.
    t : (N,)
        Frame times in s.
    waves : int
        Cosines a curve.

    Attributes
    ----------
    shapes : tuple of (str, int)
        Curve and number of half waves of every added parameter.
    sizes : (len(shapes),)
        What a coefficient of 1 stands for, in the unit of its curve.
    """

    def __init__(self, base: Any, params: Parameters, t: FloatArray, waves: int) -> None:
        self.base, self.first, self.span = base, float(t[0]), float(t[-1] - t[0])
        curves = base.curves(params, t)
        parts = {curve.name: curve.parts.items() for curve in base.curve_specs if curve.name in curves}
        levels = {name: [i for i, part in known if part == "offset"] for name, known in parts.items()}
        self.shapes = tuple((name, k) for name in levels if levels[name] for k in range(1, waves + 1))
        size = {name: max(float(np.sqrt(np.mean(curve**2))), 1e-12) for name, curve in curves.items()}
        self.sizes = np.array([size[name] for name, _ in self.shapes])
        self._level = [levels[name][0] for name, _ in self.shapes]
        added = (ParameterSpec(f"{name} wave {k}", "1", 0.0, -_FAR, _FAR, "") for name, k in self.shapes)
        self.name, self.parameters = f"{base.name}, free form", (*base.parameters, *added)
        self.curve_specs = base.curve_specs

    def curves(self, params: Parameters, t: ArrayLike) -> dict[str, FloatArray]:
        """The curves of the base and what is added to them."""
        t = np.asarray(t, float)
        own = len(self.base.parameters)
        out = {name: np.array(curve, float) for name, curve in self.base.curves(params[:own], t).items()}
        for (name, k), size, share in zip(self.shapes, self.sizes, params[own:], strict=True):
            out[name] += share * size * np.cos(np.pi * k * (t - self.first) / self.span)
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
        since, lag = t - self.first, float(t[-1] - t[0])
        for i, ((_, waves), size, level) in enumerate(
            zip(self.shapes, self.sizes, self._level, strict=True), own
        ):
            rate = np.pi * waves / self.span
            path = size * (np.sin(rate * since) - np.sin(rate * since[0])) / rate
            out.d_amplitude[:, i] = base.d_amplitude[:, level] * size * np.cos(rate * since)
            out.d_decay[:, i] = base.d_decay[:, level, -1:] / lag * path
            out.d_displacement[:, i] = base.d_displacement[:, level, -1:] / lag * path
            if params[i]:
                out.amplitude[:] += params[i] * out.d_amplitude[:, i]
                out.decay[:] += params[i] * out.d_decay[:, i]
                out.displacement[:] += params[i] * out.d_displacement[:, i]
        return out
