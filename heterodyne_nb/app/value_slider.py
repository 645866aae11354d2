"""A slider over any range: even steps where the range suits the value, else steps in its order of magnitude."""

from __future__ import annotations

import math
from typing import Any

import ipywidgets as widgets
import numpy as np

from heterodyne_nb.app.number_field import number_text

__all__ = ["ValueSlider"]

_STEPS = 400
#: A value larger than this part of its range moves in even steps.
_EVEN = 0.1


class ValueSlider(widgets.FloatSlider):
    """A slider whose place, 0 to 1, stands for a number between two limits; the number is written beside it."""

    value: Any

    def __init__(self, **more: Any) -> None:
        more.setdefault("layout", {"width": "150px"})
        super().__init__(min=0.0, max=1.0, step=1 / _STEPS, readout=False, **more)
        self._low, self._high, self._scale = 0.0, 1.0, math.inf
        self._put = 0.0

    def put(self, number: float, low: float, high: float) -> None:
        """Show a number between its limits; small moves of the number leave the scale as it is."""
        same = self._low == low and self._high == high
        if same and number_text(self._number(self.value)) == number_text(number):
            self._put = self.value
        else:
            self._low, self._high, self._scale = low, high, _scale(number, low, high)
            self._put = round(self._place(number) * _STEPS) / _STEPS
            if abs(self._put - self.value) > 0.25 / _STEPS:
                self.value = self._put

    @property
    def moved(self) -> bool:
        """Whether it is a step or more from where :meth:`put` left it: the page rounds and sends places back."""
        return abs(self.value - self._put) > 0.25 / _STEPS

    def read(self) -> float:
        """The number where the slider is now, to six digits."""
        number = float(f"{self._number(self.value):.6g}")
        return float(np.clip(number, self._low, self._high))

    def _place(self, number: float) -> float:
        low, high, here = (self._stretch(x) for x in (self._low, self._high, number))
        return float(np.clip((here - low) / (high - low), 0.0, 1.0))

    def _number(self, place: float) -> float:
        low, high = self._stretch(self._low), self._stretch(self._high)
        at = low + place * (high - low)
        return at if math.isinf(self._scale) else self._scale * math.sinh(at)

    def _stretch(self, number: float) -> float:
        return number if math.isinf(self._scale) else math.asinh(number / self._scale)


def _scale(number: float, low: float, high: float) -> float:
    """Below it steps are even, above it they grow with the number; infinite: even everywhere."""
    span = high - low
    if abs(number) >= _EVEN * span or (number == 0 and span <= 1000):
        return math.inf
    return 0.1 * abs(number) if number else 1e-6 * span
