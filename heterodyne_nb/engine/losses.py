"""Robust losses: what a residual costs, and the weight it gets in a least-squares pass.

With u = r/s the residual in units of its scale and c the tuning constant, every loss is
ρ(u²) = c² φ(u²/c²) with φ(0) = 0, φ'(0) = 1, so small residuals cost u² as in χ². The weight of a
pixel in iteratively reweighted least squares is w(u) = dρ/d(u²) = φ'(u²/c²), between 0 and 1.

=========  =======================================  =======================
loss       φ(y)                                     φ'(y)
=========  =======================================  =======================
linear     y                                        1
huber      y if y ≤ 1 else 2√y − 1                  min(1, 1/√y)
soft_l1    2(√(1+y) − 1)                            1/√(1+y)
cauchy     ln(1+y)                                  1/(1+y)
tukey      (1 − (1−y)³)/3 if y ≤ 1 else 1/3         (1−y)² if y ≤ 1 else 0
=========  =======================================  =======================

The default c gives 95 % efficiency at the normal law: (E[ψ'])² / E[ψ²] = 0.95, ψ(u) = w(u) u
(Huber & Ronchetti, Robust Statistics, 2nd ed., ch. 4; a test integrates it). Tukey's loss is not
convex: start it from a huber or cauchy fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.options import LOSSES

#: 1 / Φ⁻¹(3/4): makes the median absolute deviation estimate the standard deviation of a normal law.
MAD_TO_SIGMA = 1.482602218505602


def _huber(y: np.ndarray) -> np.ndarray:
    return np.where(y <= 1.0, y, 2.0 * np.sqrt(y) - 1.0)


def _huber_weight(y: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / np.sqrt(np.maximum(y, 1.0)))


def _soft_l1(y: np.ndarray) -> np.ndarray:
    return 2.0 * y / (np.sqrt(1.0 + y) + 1.0)


def _soft_l1_weight(y: np.ndarray) -> np.ndarray:
    return 1.0 / np.sqrt(1.0 + y)


def _cauchy_weight(y: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + y)


def _tukey(y: np.ndarray) -> np.ndarray:
    inside = np.minimum(y, 1.0)
    return np.asarray(inside * (1.0 - inside + inside * inside / 3.0))


def _tukey_weight(y: np.ndarray) -> np.ndarray:
    return np.asarray((1.0 - np.minimum(y, 1.0)) ** 2)


@dataclass(frozen=True)
class Loss:
    """A robust loss with its tuning constant."""

    name: str
    tuning: float  #: c, in units of the residual scale; infinite for ``linear``.
    _phi: Callable[[np.ndarray], np.ndarray]
    _slope: Callable[[np.ndarray], np.ndarray]

    def rho(self, r2: np.ndarray | float) -> np.ndarray:
        """Cost of squared residuals `r2` (in units of the squared scale); sums to χ² for ``linear``."""
        squared = np.asarray(r2, dtype=float)
        if np.isinf(self.tuning):
            return squared.copy()
        c2 = self.tuning**2
        return c2 * self._phi(squared / c2)

    def weight(self, r: np.ndarray | float) -> np.ndarray:
        """Weight of residuals `r` (in units of the scale): dρ/d(r²), in [0, 1]."""
        residual = np.asarray(r, dtype=float)
        if np.isinf(self.tuning):
            return np.ones_like(residual)
        return self._slope((residual / self.tuning) ** 2)


# Tuned to 95 % efficiency at the normal law.
for _loss in (
    Loss("linear", np.inf, np.copy, np.ones_like),
    Loss("huber", 1.344997508512048, _huber, _huber_weight),
    Loss("soft_l1", 1.287099224266185, _soft_l1, _soft_l1_weight),
    Loss("cauchy", 2.384947119362155, np.log1p, _cauchy_weight),
    Loss("tukey", 4.68506494854337, _tukey, _tukey_weight),
):
    LOSSES[_loss.name] = _loss


def get_loss(name: str, *, tuning: float | None = None) -> Loss:
    """A loss by name, with its 95 % constant or your own.

    Raises ConfigurationError: Unknown name (the nearest is offered), or a tuning constant that is not above zero.
    """
    loss: Loss = LOSSES[LOSSES.find(name)]
    if tuning is None:
        return loss
    if loss.name == "linear":
        raise ConfigurationError("the linear loss has no tuning constant", hint="choose another loss")
    if not tuning > 0:
        raise ConfigurationError(f"tuning constant {tuning!r} of loss {name!r}", expected="a number above 0")
    return replace(loss, tuning=float(tuning))


def robust_scale(residuals: np.ndarray, *, center: bool = True) -> float:
    """Standard deviation of the bulk of the residuals: 1.4826 × median absolute deviation.

    ``residuals``: Any shape; NaN entries are left out. ``center``: Deviations from the median; otherwise from zero.
    Returns: At least the smallest positive float, so that it can divide.

    Raises ConfigurationError: No finite residual.
    """
    values = np.asarray(residuals, dtype=float)
    values = values[np.isfinite(values)]
    if values.size == 0:
        raise ConfigurationError("no finite residual to take a scale from")
    middle = np.median(values) if center else 0.0
    return max(MAD_TO_SIGMA * float(np.median(np.abs(values - middle))), float(np.finfo(float).tiny))
