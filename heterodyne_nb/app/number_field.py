"""Numbers in text fields: they read well from 1e-9 to 1e9, and a text that is no number is said."""

from __future__ import annotations

import math
import re
from typing import Any

import ipywidgets as widgets
import numpy as np

from heterodyne_nb.errors import ConfigurationError

__all__ = ["NumberField", "number_text"]

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
