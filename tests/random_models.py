"""Random but physical parameters of every two-time model, for tests of models and of the engine."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.models import ModelFactory

FloatArray = NDArray[np.float64]

#: Separable modes, and all two-time modes.
SEPARABLE = ("static_isotropic", "heterodyne", "multicomponent_2", "multicomponent_3", "multicomponent_4")
TWO_TIME = (*SEPARABLE, "laminar_flow")
GAP = 5e5


def transport(
    rng: np.random.Generator, times: FloatArray, rate: float, exponent: float | None = None
) -> FloatArray:
    """A power law (amplitude, exponent, offset) with J > 0, about ``rate`` at mid-time."""
    alpha = rng.uniform(-1.6, 1.2) if exponent is None else exponent
    middle = np.sqrt(times[0] * times[-1])
    amplitude = rate * rng.uniform(0.3, 1.0) * middle**-alpha
    least = -amplitude * min(times[0] ** alpha, times[-1] ** alpha)
    return np.array([amplitude, alpha, rng.uniform(0.9 * least, 0.5 * rate)])


def velocity(rng: np.random.Generator, times: FloatArray, speed: float) -> FloatArray:
    """A power law of any sign."""
    beta = rng.uniform(-1.2, 1.0)
    middle = np.sqrt(times[0] * times[-1])
    return np.array([rng.choice([-1.0, 1.0]) * speed * middle**-beta, beta, 0.3 * speed * rng.normal()])


def fraction_curve(rng: np.random.Generator, times: FloatArray, most: float) -> FloatArray:
    """(f0, f1, f3) of a curve that stays between 0 and ``most``."""
    first, last = rng.uniform(0.05, 1.0, 2) * most
    rate = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 3.0) / (times[-1] - times[0])
    early, late = np.exp(rate * times[[0, -1]])
    amplitude = (last - first) / (late - early)
    return np.array([amplitude, rate, first - amplitude * early])


def draw(
    mode: str, rng: np.random.Generator, times: FloatArray, q: float, exponent: float | None = None
) -> FloatArray:
    """Published parameters of a mode: decays and fringes that the frames can see at this q (1/Å)."""
    span = times[-1] - times[0]
    rate, speed = 4.0 / (q**2 * span), 25.0 / (q * span)
    if mode.startswith("static"):
        return transport(rng, times, rate, exponent)
    if mode == "laminar_flow":
        shear = velocity(rng, times, 2.0 * speed / GAP)
        return np.concatenate([transport(rng, times, rate, exponent), shear, [rng.uniform(-90, 90)]])
    if mode == "heterodyne":
        f0, f1, f3 = fraction_curve(rng, times, 0.95)
        f2 = rng.uniform(-0.3, 0.3) * span
        f0 *= np.exp(f1 * f2)
        laws = [transport(rng, times, factor * rate, exponent) for factor in (0.2, 1.0)]
        tail = [f0, f1, f2, f3, rng.uniform(-90, 90)]
        return np.concatenate([*laws, velocity(rng, times, speed), tail])
    n = int(mode.rsplit("_", 1)[1])
    parts = [transport(rng, times, 0.2 * rate, exponent)]
    for k in range(1, n):
        moving = velocity(rng, times, k * speed / n)
        share = fraction_curve(rng, times, 0.95 / (n - 1))
        parts += [transport(rng, times, k * rate, exponent), moving, share, [rng.uniform(-90, 90)]]
    return np.concatenate(parts)


def model_and_draw(
    mode: str, rng: np.random.Generator, times: FloatArray, q: float, exponent: float | None = None
) -> tuple[Any, FloatArray]:
    """A model and parameters for it."""
    return ModelFactory.create_model(mode), draw(mode, rng, times, q, exponent)
