"""Worst cases as a physicist says them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SHAPES = {
    "q_scale": ("q", 100.0, " %"),
    "phi_zero_deg": ("φ", 1.0, "°"),
    "frame_time": ("the time between frames", 100.0, " %"),
    "baseline": ("the baseline drifts by", 1.0, " from the first frame to the last"),
}


def signed(value: float) -> str:
    """``+ 0.8`` or ``− 0.8``, three digits."""
    return f"{'+' if value >= 0 else '−'} {abs(value):.3g}"


def instrument_words(instrument: Any, u: NDArray[np.float64]) -> str:
    """``"the worst case is q + 0.8 % and φ − 0.6°"``: errors below a hundredth of their tolerance are left out."""
    parts, stripes = [], []
    for (name, tolerance), x in zip(instrument.unknowns, u, strict=True):
        if name == "frame_stripe":
            stripes.append(float(x * tolerance))
        elif abs(x) >= 0.01:
            what, factor, unit = _SHAPES[name]
            parts.append(f"{what} {signed(factor * x * tolerance)}{unit}")
    if stripes and max(map(abs, stripes)) > 0:
        k = int(np.argmax(np.abs(stripes)))
        parts.append(
            f"c2 {signed(stripes[k])} in {instrument.objective.problem.block_name(k, instrument.clusters)} (and less in others)"
        )
    if not parts:
        return "the worst case is the instrument as it is"
    return "the worst case is " + " and ".join(parts)
