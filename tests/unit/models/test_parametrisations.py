"""The parametrisation of a transport coefficient: what its coordinates mean, and where its edges lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.models.coordinates import Coordinates
from heterodyne_nb.models.curves import Curve
from heterodyne_nb.models.parametrisations import PositivePowerLaw, RelativeChange, Times

TIMES = Times(0.5, 50.0)
LOWER, UPPER = np.array([0.0, -2.0, -1e5]), np.array([1e6, 2.0, 1e5])
J = RelativeChange(
    Curve("J", "Å²/s", "transport", (0, 1, 2), "power_law"), TIMES, LOWER, UPPER, np.ones(3, bool)
)
RISES = st.floats(0.01, 0.99) | st.floats(-0.99, -0.01)
BENDS = st.floats(0.01, 1.9)


def published(raw: np.ndarray) -> np.ndarray:
    theta = np.zeros(3)
    J.set(theta, raw)
    return theta


def j(theta: np.ndarray, t: float | np.ndarray) -> np.ndarray:
    return theta[0] * np.asarray(t) ** theta[1] + theta[2]


@given(middle=st.floats(1.0, 1e3), rise=RISES, bend=BENDS)
@settings(deadline=None)
def test_the_way_there_and_back_is_the_identity(middle: float, rise: float, bend: float) -> None:
    raw = np.array([middle, rise, bend])
    np.testing.assert_allclose(J.raw(published(raw)), raw, rtol=1e-7)


@given(middle=st.floats(1.0, 1e3), rise=RISES, bend=BENDS)
@settings(deadline=None)
def test_the_first_coordinate_is_j_at_mid_time_and_the_second_how_far_it_falls(
    middle: float, rise: float, bend: float
) -> None:
    theta = published(np.array([middle, rise, bend]))
    lower_end = TIMES.first if rise > 0 else TIMES.last
    assert j(theta, TIMES.middle) == pytest.approx(middle, rel=1e-9)
    assert j(theta, lower_end) == pytest.approx(middle * (1 - abs(rise)), rel=1e-6)
    assert np.sign(theta[1]) == np.sign(rise)


@given(middle=st.floats(1.0, 1e3), rise=RISES, bend=BENDS)
@settings(deadline=None)
def test_the_jacobian_agrees_with_finite_differences(middle: float, rise: float, bend: float) -> None:
    raw = np.array([middle, rise, bend])
    theta = published(raw)
    found = J.jacobian(theta, raw)
    for k in range(3):
        step = np.eye(3)[k] * 1e-6 * abs(raw[k])
        slope = (published(raw + step) - published(raw - step)) / (2 * step[k])
        np.testing.assert_allclose(found[:, k], slope, rtol=1e-5, atol=1e-6 * np.abs(slope).max() + 1e-9)


@pytest.mark.parametrize("rise", [1.0, -1.0])
@pytest.mark.parametrize("bend", [0.05, 0.7, 1.9])
def test_at_the_edge_of_the_box_j_touches_zero_and_nowhere_falls_below(rise: float, bend: float) -> None:
    theta = published(np.array([200.0, rise, bend]))
    curve = j(theta, np.geomspace(TIMES.first, TIMES.last, 300))
    assert curve.min() == pytest.approx(0.0, abs=1e-7)
    assert curve.min() >= -1e-9


def test_with_no_bend_j_is_a_logarithm_of_time() -> None:
    theta = published(np.array([200.0, -0.8, 0.0]))
    t = np.geomspace(TIMES.first, TIMES.last, 50)
    straight = 200.0 * (1 - 0.8 * np.log(t / TIMES.middle) / np.log(TIMES.last / TIMES.middle))
    np.testing.assert_allclose(j(theta, t), straight, atol=200.0 * 0.01)


def test_through_a_constant_curve_falling_turns_to_rising_without_a_jump() -> None:
    t = np.geomspace(TIMES.first, TIMES.last, 50)
    before, at, after = (j(published(np.array([200.0, rise, 0.7])), t) for rise in (-1e-6, 0.0, 1e-6))
    np.testing.assert_allclose(at, 200.0, rtol=1e-12)
    np.testing.assert_allclose(before, at, atol=0.1)
    np.testing.assert_allclose(after, at, atol=0.1)


@pytest.mark.parametrize("constant", [(600.0, 0.0, 0.0), (0.0, 0.3, 50.0), (400.0, 0.0, 200.0)])
def test_a_constant_curve_stays_the_same_curve(constant: tuple[float, float, float]) -> None:
    theta = np.array(constant)
    t = np.geomspace(TIMES.first, TIMES.last, 20)
    np.testing.assert_allclose(j(published(J.raw(theta)), t), j(theta, t), rtol=1e-9)


def parametrisation_of_j(parameters: dict) -> type:
    model = ModelFactory.create_model("static_isotropic")
    table = resolve_parameters("static_isotropic", parameters, specs=model.parameters)
    return type(Coordinates(table, model.curve_specs, TIMES.first, TIMES.last).parametrisations[0])


def test_it_is_used_where_only_the_sign_of_j_limits_the_curve() -> None:
    start = {"D0": 300.0, "alpha": -0.4, "D_offset": 30.0}
    assert parametrisation_of_j(start) is RelativeChange
    assert (
        parametrisation_of_j({**start, "D_offset": {"value": 30.0, "min": 0.0, "max": 100.0}})
        is PositivePowerLaw
    )
    assert (
        parametrisation_of_j({**start, "D_offset": {"value": 30.0, "prior": (30.0, 5.0)}}) is PositivePowerLaw
    )
    assert (
        parametrisation_of_j({**start, "D0": {"value": 300.0, "min": 100.0, "max": 1e6}}) is PositivePowerLaw
    )


@given(middle=st.floats(1.0, 1e3), rise=RISES, bend=BENDS, share=st.floats(0.0, 1.0))
@settings(deadline=None)
def test_the_room_of_steps_ends_where_j_touches_zero_whatever_happens_at_mid_time(
    middle: float, rise: float, bend: float, share: float
) -> None:
    """To first order, J at its lower end is used up where that part of the step meets its limit."""
    theta = published(np.array([middle, rise, bend]))
    matrix, lower, upper = J.room(theta)
    assert np.all((lower <= 0) & (upper >= 0))
    falls, rises = 0.5 * middle * (1 - rise), 0.5 * middle * (1 + rise)
    np.testing.assert_allclose(lower[:2], [-falls, -rises])
    step = matrix @ np.array([lower[0] if rise > 0 else 0.0, lower[1] if rise < 0 else 0.0, 0.0])
    step += share * matrix @ np.array([0.0 if rise > 0 else middle, middle if rise > 0 else 0.0, 0.0])
    end = TIMES.first if rise > 0 else TIMES.last
    slopes = np.array([end ** theta[1], theta[0] * end ** theta[1] * np.log(end), 1.0])
    change = slopes @ J.jacobian(theta, J.raw(theta)) @ step
    assert j(theta, end) + change == pytest.approx(0.0, abs=1e-4 * middle)
