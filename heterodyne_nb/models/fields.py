"""Components whose fields add up: the terms of their correlation, Eq. S-94 of He et al., PNAS (2025) 10.1073/pnas.2514216122."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from heterodyne_nb.models.model import FloatArray, Terms

_DEGREE = np.pi / 180.0


@dataclass(frozen=True)
class Field:
    """One component at N times, with derivatives by the p published parameters."""

    #: x, decay (N,): Its fraction, and ∫J since the first time in Å².
    x: FloatArray
    #: d_x, d_decay (p, N)
    d_x: FloatArray
    decay: FloatArray
    d_decay: FloatArray
    path: FloatArray | None = None  #: (N,): ∫v since the first time in Å; None at rest.
    d_path: FloatArray | None = None  #: (p, N)
    direction: int = -1  #: Place of the direction of its velocity.


def field_terms(fields: Sequence[Field], theta: FloatArray, phi: FloatArray) -> Terms:
    """The terms of each component with itself, then those of every two.

    ``theta`` (p,). ``phi`` (B,): Azimuths in degrees.
    """
    count, moving = len(fields), [k for k, field in enumerate(fields) if field.path is not None]
    pairs = [(k, k) for k in range(count)] + list(combinations(range(count), 2))
    out = Terms.zeros(len(pairs), max(len(moving), 1), len(theta), len(fields[0].x), len(phi))
    norm = sum(field.x**2 for field in fields)
    d_log_norm = 2 * sum(field.x * field.d_x for field in fields) / norm
    for row, (n, m) in enumerate(pairs):
        one, other, root = fields[n], fields[m], 1.0 if n == m else np.sqrt(2.0)
        out.amplitude[row] = root * one.x * other.x / norm
        out.d_amplitude[row] = root * (one.x * other.d_x + other.x * one.d_x) / norm
        out.d_amplitude[row] -= out.amplitude[row] * d_log_norm
        out.decay[row] = 0.5 * (one.decay + other.decay)
        out.d_decay[row] = 0.5 * (one.d_decay + other.d_decay)
    for place, k in enumerate(moving):
        field = fields[k]
        out.displacement[place], out.d_displacement[place] = field.path, field.d_path
        angle = (theta[field.direction] - np.asarray(phi, float)) * _DEGREE
        for row, pair in enumerate(pairs):
            if pair[0] != pair[1] and k in pair:
                sign = 1.0 if k == pair[0] else -1.0
                out.weight[row, place] = sign * np.cos(angle)
                out.d_weight[row, place, field.direction] = -sign * np.sin(angle) * _DEGREE
    return out
