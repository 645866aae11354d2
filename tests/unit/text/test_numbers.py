import doctest
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.text import numbers
from heterodyne_nb.text.numbers import error_place, number, parse_number, value_with_band, value_with_error

EVERYDAY = st.floats(1e-9, 1e9) | st.floats(-1e9, -1e-9)
ANY = st.floats(-1.7e308, 1.7e308)


def test_the_examples_in_the_docstrings_hold():
    failures, examples = doctest.testmod(numbers)
    assert failures == 0
    assert examples >= 5


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (4180.4, 31, "(4.18 ± 0.03)·10³"),
        (4180.4, 3.1, "4180 ± 3"),
        (4180.46, 0.19, "4180.46 ± 0.19"),
        (-0.25, 0.004, "-0.250 ± 0.004"),
        (1.0, 0.0296, "1.00 ± 0.03"),
        (1.0, 0.0097, "1.000 ± 0.010"),
        (0.2, 300, "(0 ± 3)·10²"),
        (10.0, 90.0, "10 ± 90"),
        (418.0, 31.0, "420 ± 30"),
        (1.0, 95.0, "(0.0 ± 1.0)·10²"),
        (999.0, 60.0, "(1.00 ± 0.06)·10³"),
        (4.0e5, 2.0, "400000.0 ± 2.0"),
        (4.0e6, 2.0, "(4.0000000 ± 0.0000020)·10⁶"),
        (-0.001, 5, "0 ± 5"),
        (1.602e-9, 2e-12, "(1.6020 ± 0.0020)·10⁻⁹"),
        (12.5, math.nan, "12.5"),
        (12.5, 0.0, "12.5"),
        (1e9, 1e-9, "10⁹"),
    ],
)
def test_a_value_ends_where_its_error_ends(value, error, text):
    assert value_with_error(value, error) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (1, "1"),
        (-12.34567, "-12.35"),
        (99999.9, "100000"),
        (999999.7, "10⁶"),
        (123456, "123456"),
        (-1e-9, "-10⁻⁹"),
        (0.0001, "0.0001"),
        (0.00009999999, "0.0001"),
        (-3.2e-7, "-3.2·10⁻⁷"),
        (math.nan, "–"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
    ],
)
def test_a_bare_number_reads_well(value, text):
    assert number(value) == text


@given(EVERYDAY, st.integers(1, 8))
@settings(deadline=None, max_examples=200)
def test_an_everyday_number_is_short_and_reads_back_to_its_digits(value, digits):
    text = number(value, digits)
    assert len(text) <= digits + 11
    assert parse_number(text) == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits))


@given(ANY)
@settings(deadline=None, max_examples=200)
def test_any_finite_number_can_be_written_and_read_back(value):
    assert parse_number(number(value)) == pytest.approx(value, rel=6e-4)


@given(EVERYDAY, st.floats(1e-9, 1e9))
@settings(deadline=None, max_examples=300)
def test_value_and_error_show_the_same_number_of_decimals_and_at_most_two_error_digits(value, error):
    text = value_with_error(value, error)
    if error <= 1e-13 * abs(value):
        assert "±" not in text
        return
    mantissa = re.fullmatch(r"\(?(\S+) ± ([^)]+?)\)?(?:·10(\S+))?", text)
    assert mantissa is not None, text
    shown, spread, _ = mantissa.groups()
    assert len(shown.partition(".")[2]) == len(spread.partition(".")[2])
    assert 1 <= len(spread.replace(".", "").lstrip("0")) <= 2


@given(EVERYDAY, st.floats(1e-9, 1e9))
@settings(deadline=None, max_examples=300)
def test_rounding_moves_a_value_by_at_most_half_its_last_digit(value, error):
    text = value_with_error(value, error)
    if "±" not in text:
        return
    shown, spread, power = re.fullmatch(r"\(?(\S+) ± ([^)]+?)\)?(·10\S+)?", text).groups()
    read = parse_number(shown + (power or ""))
    assert abs(read - value) <= 0.5 * 10.0 ** error_place(error) * (1 + 1e-9) + 1e-15 * abs(value)
    assert parse_number(spread + (power or "")) == pytest.approx(error, rel=0.17)


def test_a_band_is_written_with_the_value_at_one_place():
    assert value_with_band(24.13, 21.2, 27.1) == "24 [21, 27]"
    assert value_with_band(0.2512, 0.2391, 0.2633) == "0.251 [0.239, 0.263]"
    assert value_with_band(4180, 4100, 4270) == "(4.18 [4.10, 4.27])·10³"
    assert value_with_band(24.13, math.nan, math.nan) == "24.13"


@pytest.mark.parametrize("text", ["", "four", "1.2.3", "³10", "·10³", "1,2,3"])
def test_what_is_not_a_number_is_our_error(text):
    with pytest.raises(ConfigurationError, match="not a number"):
        parse_number(text)
