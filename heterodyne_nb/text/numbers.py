"""Numbers as a person writes them: rounded to their error, readable from 1e-9 to 1e9.

An error keeps two significant digits when it begins with 1 or 2 and one otherwise; its value ends at
the same decimal place. Decimal arithmetic keeps the rounding exact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal

from heterodyne_nb.errors import ConfigurationError

_CONTEXT = Context(prec=800, rounding=ROUND_HALF_EVEN)
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_FROM_SUPERSCRIPT = {ord(high): low for high, low in zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True)}
_POWER = re.compile(r"(-?)(?:([\d.]+)·)?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
#: An error smaller than this part of its value is below double precision and says nothing.
_NO_ERROR = 1e-13


def number(value: float, digits: int = 4) -> str:
    """Write a number with `digits` significant digits; whole numbers below a million stay whole.

    ``value``: Any number; NaN becomes ``"–"``. ``digits``: Significant digits, at least 1. Trailing zeros are
    dropped.

    Examples
    --------
    >>> number(0.000123456), number(123456.7), number(1.5e-9), number(4180000)
    ('0.0001235', '123457', '1.5·10⁻⁹', '4.18·10⁶')
    """
    special = _special(value)
    if special is not None:
        return special
    if value == 0:
        return "0"
    rounded = _significant(_exact(value), digits)
    top = rounded.adjusted()
    if 0 <= top < 6:
        rounded = _at_place(_exact(value), min(0, top - digits + 1))
        top = rounded.adjusted()
    if -4 <= top < 6:
        return _plain(rounded)
    mantissa = _plain(_shift(rounded, -top))
    if mantissa in ("1", "-1"):
        return mantissa.removesuffix("1") + _power(top)
    return f"{mantissa}·{_power(top)}"


def value_with_error(value: float, error: float) -> str:
    """Write ``value ± error`` with both ending at the same decimal place.

    ``value``: The value. ``error``: Its standard error; NaN, 0 or less than rounding noise gives the bare number.

    Examples
    --------
    >>> value_with_error(4180, 31), value_with_error(0.012345, 0.00021)
    ('(4.18 ± 0.03)·10³', '0.01234 ± 0.00021')
    """
    if not math.isfinite(value) or not math.isfinite(error) or error <= _NO_ERROR * abs(value):
        return number(value, 6)
    place = error_place(error)
    shown = _at_place(_exact(value), place)
    spread = _at_place(_exact(error), place)
    top = max(shown.adjusted() if shown else place, spread.adjusted())
    if _reads_plain(place, top) and (place < 1 or spread.adjusted() == 1):
        return f"{shown:f} ± {spread:f}"
    return f"({_shift(shown, -top):f} ± {_shift(spread, -top):f})·{_power(top)}"


def value_with_band(value: float, lower: float, upper: float) -> str:
    """Write a value with the ends of its band, all ending at the band's own decimal place.

    Examples
    --------
    >>> value_with_band(24.13, 21.2, 27.1), value_with_band(4180, 4100, 4270)
    ('24 [21, 27]', '(4.18 [4.10, 4.27])·10³')
    """
    half = 0.5 * (upper - lower)
    if not all(map(math.isfinite, (value, lower, upper))) or half <= _NO_ERROR * abs(value):
        return number(value)
    place = error_place(half)
    parts = [_at_place(_exact(x), place) for x in (value, lower, upper)]
    top = max(part.adjusted() if part else place for part in parts)
    if _reads_plain(place, top):
        middle, low, high = parts
        return f"{middle:f} [{low:f}, {high:f}]"
    middle, low, high = (_shift(part, -top) for part in parts)
    return f"({middle:f} [{low:f}, {high:f}])·{_power(top)}"


def error_place(error: float) -> int:
    """Return the power of ten of the last digit an error keeps.

    Examples
    --------
    >>> error_place(31.0), error_place(0.00021), error_place(0.97)
    (1, -5, -1)
    """
    exact = _exact(error)
    top = exact.adjusted()
    keeps_two = _shift(exact, -top) < Decimal("2.95")  # 2.95 would round to 3.0
    return top - 1 if keeps_two else top


def parse_number(text: str) -> float:
    """Read a number back, in the way :func:`number` writes it or in Python's own.

    Raises ConfigurationError: The text is not a number.

    Examples
    --------
    >>> parse_number("4.18·10³"), parse_number("-1e-4"), parse_number(" 2,5 ")
    (4180.0, -0.0001, 2.5)
    """
    plain = text.strip().replace("−", "-").replace(" ", "").replace("∞", "inf")
    if plain == "–":
        return math.nan
    power = _POWER.fullmatch(plain)
    if power:
        sign, mantissa, exponent = power.groups()
        plain = f"{sign}{mantissa or 1}e{exponent.translate(_FROM_SUPERSCRIPT)}"
    if plain.count(",") == 1 and "." not in plain:
        plain = plain.replace(",", ".")
    try:
        return float(plain)
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is not a number", expected="for example 4180, 4.18e3 or 4.18·10³"
        ) from None


def _reads_plain(place: int, top: int) -> bool:
    """Without a power of ten: not too long, and at most one zero that is no significant digit."""
    return -4 <= top < 6 if place <= 0 else place == 1 and top < 3


def _special(value: float) -> str | None:
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return None


def _exact(value: float) -> Decimal:
    return Decimal(repr(float(value)))


def _significant(value: Decimal, digits: int) -> Decimal:
    return Context(prec=digits, rounding=ROUND_HALF_EVEN).create_decimal(value)


def _at_place(value: Decimal, place: int) -> Decimal:
    rounded = value.quantize(Decimal(1).scaleb(place), context=_CONTEXT)
    return rounded if rounded else abs(rounded)  # no negative zero


def _shift(value: Decimal, by: int) -> Decimal:
    return value.scaleb(by, context=_CONTEXT)


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _power(exponent: int) -> str:
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def listed(names: Iterable[str]) -> str:
    """Join names: 'a', 'a and b', 'a, b and c'."""
    items = list(names)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
