"""Power laws, their exact integrals and derivatives, and fractions, against 60-digit arithmetic."""

from __future__ import annotations

import itertools

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory, curves

DIGITS = 90
EXPONENTS = (-2.0, -1.5, -1.001, -1 - 1e-9, -1 - 1e-15, -1.0, -1 + 1e-12, -1 + 1e-5, -0.5, 0.0, 0.3, 1.0, 2.0)
SUMS = ("trapezoid", "rectangle")
#: From a whole run down to microsecond lags a day after the start.
SPANS = ((1e-3, 1e4), (0.5, 0.5 + 1e-7), (1.0, 200.0), (1e4, 1e4 + 1e-3), (1e5, 1e5 + 1e-6), (7.0, 7.0))


def exact_moment(t1: float, t2: float, exponent: float, log: bool = False) -> mp.mpf:
    with mp.workdps(DIGITS):
        low, high, s = mp.mpf(t1), mp.mpf(t2), mp.mpf(exponent) + 1
        if s == 0:
            n = 2 if log else 1
            return (mp.log(high) ** n - mp.log(low) ** n) / n
        if log:
            return high**s * (mp.log(high) / s - s**-2) - low**s * (mp.log(low) / s - s**-2)
        return (high**s - low**s) / s


def relative(value: float, exact: mp.mpf) -> float:
    with mp.workdps(DIGITS):
        return float(abs(mp.mpf(float(value)) - exact) / max(abs(exact), mp.mpf("1e-300")))


@pytest.mark.parametrize(("exponent", "span"), [*itertools.product(EXPONENTS, SPANS)])
def test_the_integral_of_a_power_is_exact_however_small_the_lag(exponent: float, span) -> None:
    assert relative(curves.power_moment(*span, exponent), exact_moment(*span, exponent)) < 3e-14


@pytest.mark.parametrize(("exponent", "span"), [*itertools.product(EXPONENTS, SPANS)])
def test_its_derivative_by_the_exponent_is_exact(exponent: float, span) -> None:
    exact = exact_moment(*span, exponent, log=True)
    scale = exact_moment(*span, exponent) * (1 + abs(np.log(span[0])))  # ln t changes sign at 1 s
    value = curves.power_log_moment(*span, exponent)
    with mp.workdps(DIGITS):
        assert abs(float(mp.mpf(float(value)) - exact)) <= 1e-13 * float(scale)


def test_the_integral_is_smooth_through_exponent_minus_one() -> None:
    steps = np.concatenate([-np.logspace(-2, -16, 60), [0.0], np.logspace(-16, -2, 60)])
    values = np.array([curves.power_moment(0.5, 300.0, -1.0 + step) for step in steps])
    assert np.all(np.diff(values) >= 0)
    tangent = values[60] + steps * curves.power_log_moment(0.5, 300.0, -1.0)
    second = 0.5 * (np.log(300.0) ** 3 - np.log(0.5) ** 3) / 3
    assert np.all(np.abs(values - tangent) <= 1.05 * second * steps**2 + 1e-14)


@given(
    exponent=st.floats(-2.0, 2.0),
    cuts=st.lists(st.floats(1e-3, 1e4), min_size=3, max_size=3, unique=True).map(sorted),
)
@settings(deadline=None, max_examples=60)
def test_integrals_over_neighbouring_spans_add_up(exponent: float, cuts: list[float]) -> None:
    first, middle, last = cuts
    parts = curves.power_moment(first, middle, exponent) + curves.power_moment(middle, last, exponent)
    assert parts == pytest.approx(float(curves.power_moment(first, last, exponent)), rel=1e-12)


def test_the_integral_of_amplitude_exponent_and_offset() -> None:
    value = curves.power_integral(2.0, 5.0, 3.0, -1.0, 0.25)
    assert value == pytest.approx(3.0 * np.log(2.5) + 0.75, rel=1e-15)
    assert curves.power_integral(5.0, 2.0, 3.0, -1.0, 0.25) == pytest.approx(-value, rel=1e-15)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_the_gradient_of_the_cumulative_integral_is_its_derivative(exponent: float) -> None:
    t, amplitude = np.linspace(0.1, 80.0, 25), 1.0
    gradient = curves.power_cumulative_gradient(t, amplitude, exponent)
    for row, step in zip(gradient, np.eye(3), strict=True):
        high = curves.power_cumulative(t, *(np.array([amplitude, exponent, 2.0]) + 1e-5 * step))
        low = curves.power_cumulative(t, *(np.array([amplitude, exponent, 2.0]) - 1e-5 * step))
        np.testing.assert_allclose(row, (high - low) / 2e-5, rtol=2e-7, atol=1e-7 * np.abs(row).max())


def test_sums_over_frames_are_those_of_numpy_and_interpolated_between_frames() -> None:
    t, law = 0.1 * np.arange(3, 21), (100.0, -0.7, 5.0)
    value = curves.power_law(t, *law)
    sums = {rule: curves.power_integral(t[2], t[9], *law, rule=curves.FrameSum(rule, t)) for rule in SUMS}
    assert sums["trapezoid"] == pytest.approx(np.trapezoid(value[2:10], t[2:10]), rel=1e-12)
    assert sums["rectangle"] == pytest.approx(0.1 * value[3:10].sum(), rel=1e-12)
    assert sums["trapezoid"] > curves.power_integral(t[2], t[9], *law) * 1.0001  # a convex law lies below
    assert sums["rectangle"] < curves.power_integral(
        t[2], t[9], *law
    )  # of one that falls the later value is less
    between = curves.power_integral(t[2], 0.5 * (t[9] + t[10]), *law, rule=curves.FrameSum("trapezoid", t))
    assert between == pytest.approx(sums["trapezoid"] + 0.025 * (value[9] + value[10]), rel=1e-12)


@pytest.mark.parametrize("rule", SUMS)
def test_sums_over_frames_have_their_derivatives_and_change_sign_with_the_order(rule: str) -> None:
    t = 0.2 * np.arange(1, 6)
    how = curves.FrameSum(rule, t)
    square = curves.power_integral(t[:, None], t[None, :], 10.0, -0.5, 0.0, rule=how)
    np.testing.assert_allclose(square, -square.T)
    up, down = (curves.power_cumulative(t, 10.0, -0.5 + step, 2.0, rule=how) for step in (1e-6, -1e-6))
    gradient = curves.power_cumulative_gradient(t, 10.0, -0.5, rule=how)
    np.testing.assert_allclose(gradient[1], (up - down) / 2e-6, rtol=1e-7)
    np.testing.assert_allclose(
        10.0 * gradient[0] + 2.0 * gradient[2], curves.power_cumulative(t, 10.0, -0.5, 2.0, rule=how)
    )


def test_a_sum_over_frames_ends_at_them() -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)times 1 to 9 s.*times of the frames, 1 to 4 s"):
        curves.power_integral(1.0, 9.0, 1.0, 0.0, 0.0, rule=curves.FrameSum("rectangle", np.arange(1.0, 5.0)))


def test_a_fraction_and_its_gradient() -> None:
    t, values = np.linspace(0.5, 60.0, 30), np.array([0.3, -0.04, 5.0, 0.2])
    np.testing.assert_allclose(curves.fraction(t, *values), 0.3 * np.exp(-0.04 * (t - 5.0)) + 0.2, rtol=1e-15)
    gradient = curves.fraction_gradient(t, *values[:3])
    for row, step in zip(gradient, 1e-6 * np.eye(4), strict=True):
        slope = (curves.fraction(t, *(values + step)) - curves.fraction(t, *(values - step))) / 2e-6
        np.testing.assert_allclose(row, slope, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("mode", ["heterodyne", "multicomponent_4"])
def test_no_fraction_overflows_even_in_the_fourth_power(mode: str) -> None:
    """At its bounds a fraction grows by exp(20000); the model must still be a number."""
    model, t = ModelFactory.create_model(mode), np.array([1.0, 500.0, 1e4])
    theta = np.array([1.0 if spec.name.startswith("f0") else spec.default for spec in model.parameters])
    for i, spec in enumerate(model.parameters):
        theta[i] = spec.upper if spec.name.startswith("f1") else spec.lower if spec.name == "f2" else theta[i]
    m = model.correlation(theta, t[:, None], t[None, :], q=0.01)
    assert np.all(np.isfinite(m))
    assert np.all(np.isfinite(model.terms(theta, t, np.array([0.0])).d_amplitude))
