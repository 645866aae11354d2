"""Numbers in text fields and sliders: they read well from 1e-9 to 1e9, and a text that is no number is said."""

from __future__ import annotations

import math
import re
from typing import Any

import ipywidgets as widgets
import numpy as np

from heterodyne_nb.errors import ConfigurationError

__all__ = ["NumberField", "ValueSlider", "number_text"]

#: Sizes that are written without a power of ten.
_PLAIN = (1e-4, 1e7)
_WRONG = "1px solid #D55E00"


def number_text(value: float | None, digits: int = 6) -> str:
    """A number as a person writes it: 12500, 0.00125, 3.2e-7; empty for None."""
    if value is None:
        return ""
    rounded = float(f"{float(value):.{digits}g}") + 0.0  # no minus before zero
    if rounded == 0 or _PLAIN[0] <= abs(rounded) < _PLAIN[1]:
        return np.format_float_positional(rounded, trim="-")
    mantissa, _, power = f"{rounded:.{digits - 1}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}"


class NumberField(widgets.Text):
    """A text field for one number, sent when Enter is pressed or the field is left.

    Parameters
    ----------
    label : str
        Names the field in an error.
    optional : bool
        Whether the field may be empty, which reads as None.
    whole : bool
        Whether only integers are taken.
    """

    value: Any

    def __init__(self, label: str, *, optional: bool = False, whole: bool = False, **more: Any) -> None:
        more.setdefault("layout", {"width": "90px"})
        super().__init__(continuous_update=False, **more)
        self._label, self._optional, self._whole = label, optional, whole
        self._put = ""

    @property
    def edited(self) -> bool:
        """Whether the text is another one than :meth:`put` wrote."""
        return self.value.strip() != self._put

    def put(self, number: float | None) -> None:
        """Show a number; the field counts as not edited."""
        self._put = number_text(number)
        self.mark(False)
        if self.value != self._put:
            self.value = self._put

    def mark(self, wrong: bool) -> None:
        """Frame the field as wrong, or as right again."""
        border = _WRONG if wrong else None
        if self.layout.border_top != border:
            self.layout.border = border

    def read(self) -> float | int | None:
        """The number in the field.

        Raises
        ------
        ConfigurationError
            It is empty and must not be, or holds no (whole) number.
        """
        text = self.value.strip().replace("−", "-").replace("\u2009", "").replace(" ", "")
        if not text and self._optional:
            return None
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or (self._whole and number != int(number)):
            expected = "a whole number" if self._whole else "a number, e.g. 1250 or 3.2e-7"
            comma = "write the decimal point as a point" if re.fullmatch(r"-?\d+,\d+", text) else None
            found = f"{self.value.strip()!r} is not a number" if text else "nothing is given"
            raise ConfigurationError(found, where=self._label, expected=expected, hint=comma)
        return int(number) if self._whole else number


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
