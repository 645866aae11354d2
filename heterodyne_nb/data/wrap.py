"""Angles."""

from __future__ import annotations

import numpy as np


def wrap_degrees(phi: np.ndarray) -> np.ndarray:
    """Angles in (-180, 180] degrees; those already there are left as they are, to the last bit."""
    phi = np.asarray(phi, dtype=float)
    inside = (phi > -180.0) & (phi <= 180.0)
    wrapped = 180.0 - (180.0 - phi) % 360.0
    return np.where(inside, phi, np.where(wrapped > -180.0, wrapped, 180.0))  # rounding can reach -180
