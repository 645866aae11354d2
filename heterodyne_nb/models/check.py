"""A look at a model before it is fitted: is it a correlation, and are its derivatives right?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.base import FloatArray, Parameters, SeparableModel
from heterodyne_nb.models.terms import Terms

_CURVES = ("amplitude", "decay", "displacement", "weight")


def check_model(
    model: SeparableModel,
    params: Parameters | Mapping[str, float],
    t: ArrayLike,
    *,
    phi: ArrayLike = 0.0,
    tolerance: float = 1e-5,
) -> dict[str, float]:
    """Compare the derivatives of a separable model with differences of its curves.

    A wrong derivative raises no error in a fit; it only makes it slow, or ends it early in a wrong place.

    Parameters
    ----------
    model : SeparableModel
    params : sequence or mapping
        A point inside the bounds at which no parameter is special (an exponent of 0, a share of 0).
    t : array_like
        Frame times in s, increasing, above 0.
    phi : array_like
        Azimuths, degrees; some along and some across the flow.
    tolerance : float
        Largest deviation allowed, relative to the largest derivative of that curve by that parameter.

    Returns
    -------
    dict of str to float
        Parameter -> largest relative deviation over all curves.

    Raises
    ------
    ConfigurationError
        A derivative is off, naming the curve and the parameter; or M is not 1 on the diagonal.
    """
    if not isinstance(model, SeparableModel):
        raise ConfigurationError(
            f"a {type(model).__name__} has no terms to check",
            expected="a SeparableModel; other models are differentiated numerically",
        )
    theta = model.unpack(
        [params[n] for n in model.parameter_names] if isinstance(params, Mapping) else params
    )
    times, azimuths = np.atleast_1d(np.asarray(t, float)), np.atleast_1d(np.asarray(phi, float))
    exact = model.terms(theta, times, azimuths)
    _check_diagonal(model, exact)
    return {
        name: max(_deviation(model, exact, theta, times, azimuths, k, curve, tolerance) for curve in _CURVES)
        for k, name in enumerate(model.parameter_names)
    }


def _check_diagonal(model: Any, terms: Terms) -> None:
    total = np.sum(terms.amplitude**2, axis=0)
    if not np.allclose(total, 1.0, atol=1e-9):
        worst = int(np.argmax(np.abs(total - 1.0)))
        raise ConfigurationError(
            f"model {model.name!r} is {total[worst]:.6g} on the diagonal, at frame {worst + 1}",
            where="amplitude",
            expected="squares of the amplitudes that add up to 1: M(t, t) = 1",
        )


def _deviation(
    model: SeparableModel,
    exact: Terms,
    theta: FloatArray,
    t: FloatArray,
    phi: FloatArray,
    k: int,
    curve: str,
    tolerance: float,
) -> float:
    step = np.zeros_like(theta)
    step[k] = 1e-5 * max(abs(theta[k]), 1e-2 * (model.parameters[k].upper - model.parameters[k].lower), 1e-8)
    up, down = (getattr(model.terms(theta + sign * step, t, phi), curve) for sign in (1, -1))
    measured = (up - down) / (2 * step[k])
    stated = np.take(getattr(exact, f"d_{curve}"), k, axis=-2)
    size = max(float(np.abs(measured).max(initial=0.0)), float(np.abs(stated).max(initial=0.0)))
    rounding = 1e-15 * float(np.abs(up).max(initial=0.0)) / step[k]
    off = float(np.abs(measured - stated).max(initial=0.0)) / size if size > 100 * rounding else 0.0
    if off > tolerance:
        raise ConfigurationError(
            f"the derivative of model {model.name!r} is off by {off:.2g} of its size",
            where=f"d_{curve} by {model.parameter_names[k]}",
            expected=f"the slope of {curve}, to {tolerance:g}",
        )
    return off
