"""One-time models: heterodyne at equilibrium (Eq. S-98), the stretched exponential (KWW), and both heterodyne models
as one function of lag, ``heterodyne_model``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.curves import Curve
from heterodyne_nb.models.heterodyne import HeterodyneModel
from heterodyne_nb.models.model import OneTimeModel, Parameters, numbers
from heterodyne_nb.models.parameters import PARAMETERS
from heterodyne_nb.models.symmetries import HalfTurn, Reversal, Swap


class HeterodyneEquilibriumModel(OneTimeModel):
    """Constant coefficients and velocity; He et al., PNAS (2025) 10.1073/pnas.2514216122, Eq. S-98."""

    name = "heterodyne_equilibrium"
    parameters = PARAMETERS["heterodyne_equilibrium"]
    curve_specs = (
        Curve("fraction", "1", "intensity_fraction", (0,), "constant", component="sample"),
        Curve("J_ref", "Å²/s", "transport", (1,), "constant", component="ref"),
        Curve("J_sample", "Å²/s", "transport", (2,), "constant", component="sample"),
        Curve("v", "Å/s", "velocity", (3,), "constant", direction=4, component="sample"),
    )
    symmetries = (
        Swap((("J_ref", "J_sample"),), complement="fraction", larger="J_sample"),
        HalfTurn(),
        Reversal(),
    )
    field_components = ("ref", "sample")

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
    curve_specs = (
        Curve("Gamma", "1/s", "relaxation_rate", (0,), "constant"),
        Curve("alpha", "1", "exponent", (1,), "constant"),
    )

    def correlation(
        self, params: Parameters, tau: ArrayLike, *, q: ArrayLike = 0.0, phi: ArrayLike = 0.0
    ) -> Any:
        """See :meth:`OneTimeModel.correlation`; ``q`` and ``phi`` only broadcast."""
        gamma, alpha = self.unpack(params)
        tau, q, phi = np.broadcast_arrays(np.abs(np.asarray(tau, float)), q, phi)
        return np.exp(-2.0 * (gamma * tau) ** alpha)


def heterodyne_model(
    tau: ArrayLike,
    params: Sequence[float] | Mapping[str, float],
    q: ArrayLike,
    phi: ArrayLike,
    *,
    t1: float | None = None,
    contrast: float | None = None,
    offset: float = 1.0,
) -> Any:
    """Heterodyne correlation against lag.

    Parameters
    ----------
    tau : array_like
        Lags in s.
    params : sequence or mapping
        5 values (fraction, J_ref, J_sample, v, phi0): at equilibrium, Eq. S-98; or the 14 published
        parameters of the nonequilibrium model, Eq. S-95, evaluated between ``t1`` and ``t1 + tau``.
    q, phi : array_like
        Wave vectors in 1/Å and azimuths in degrees.
    t1 : float, optional
        Start time in s for the 14-parameter form. Default: the smallest positive lag, which is the time
        of the first frame when the lags are multiples of the frame time.
    contrast, offset : float, optional
        With a contrast, g2 = offset + contrast * M is returned; without, M.

    Returns
    -------
    ndarray or xarray.DataArray
        On the grid (q, phi, tau), axes of scalar arguments dropped; a DataArray when any of tau, q,
        phi is one.

    Raises
    ------
    ConfigurationError
        For a wrong number of parameters or an unusable start time.
    """
    shapes = [np.shape(a) for a in (q, phi, tau)]
    axes = [np.ravel(numbers(a, name)) for name, a in (("q", q), ("phi", phi), ("tau", tau))]
    values = list(params.values()) if isinstance(params, Mapping) else list(np.ravel(params))
    model: Any = HeterodyneEquilibriumModel() if len(values) == 5 else HeterodyneModel()
    theta = tuple(model.unpack(_ordered(model, params, values)).tolist())
    start = None
    if not model.one_time:
        start = _start_time(axes[2]) if t1 is None else float(numbers(t1, "t1"))
    small = np.prod([axis.size for axis in axes]) <= _LARGEST_KEPT
    evaluate = _correlation if small else _correlation.__wrapped__
    m = evaluate(theta, start, *(tuple(axis.tolist()) for axis in axes))
    m = m.copy() if contrast is None else offset + contrast * m
    m = m.reshape(tuple(n for shape in shapes for n in shape))
    return _labelled(m, q, phi, tau, g2=contrast is not None)


#: Values of a grid above which an answer is not kept: 128 of them take 64 MB at most.
_LARGEST_KEPT = 1 << 16


@lru_cache(maxsize=128)
def _correlation(
    theta: tuple[float, ...],
    start: float | None,
    q: tuple[float, ...],
    phi: tuple[float, ...],
    tau: tuple[float, ...],
) -> NDArray[np.float64]:
    """M on the grid (q, phi, tau); the last ones asked for are kept, since sliders and plots ask again."""
    grid_q, grid_phi, grid_tau = np.meshgrid(q, phi, tau, indexing="ij")
    if start is None:
        return HeterodyneEquilibriumModel().correlation(theta, grid_tau, q=grid_q, phi=grid_phi)
    return HeterodyneModel().correlation(theta, start, start + grid_tau, q=grid_q, phi=grid_phi)


def _ordered(model: Any, params: Any, values: list[float]) -> list[float]:
    if not isinstance(params, Mapping):
        return values
    unknown = sorted(set(params) ^ set(model.parameter_names))
    if unknown:
        raise ConfigurationError(
            f"parameters {', '.join(unknown)} are unknown or missing",
            expected=", ".join(model.parameter_names),
        )
    return [params[name] for name in model.parameter_names]


def _start_time(tau: Any) -> float:
    positive = tau[tau > 0]
    if positive.size == 0:
        raise ConfigurationError("no positive lag, so no start time can be taken", hint="give t1=")
    return float(positive.min())


def _labelled(m: Any, q: Any, phi: Any, tau: Any, *, g2: bool) -> Any:
    import xarray as xr

    if not any(isinstance(a, xr.DataArray) for a in (q, phi, tau)):
        return m
    coords, dims = {}, []
    for name, axis, unit in (("q", q, "1/Å"), ("phi", phi, "deg"), ("tau", tau, "s")):
        if np.ndim(axis):
            dims.append(name)
            coords[name] = (name, np.asarray(axis, float), {"units": unit})
    name, label = ("g2", "intensity correlation") if g2 else ("M", "normalised correlation")
    return xr.DataArray(m, dims=dims, coords=coords, name=name, attrs={"units": "1", "long_name": label})
