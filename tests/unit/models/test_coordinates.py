"""The map between published parameters and the coordinates that are fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_models import TWO_TIME, draw

from heterodyne_nb.config import ParameterTable, resolve_parameters
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.models.coordinates import Coordinates

MODES = tuple(mode for mode in TWO_TIME if mode != "multicomponent_4")
Q = 0.01
RUNS = st.tuples(st.sampled_from([0.02, 0.5, 10.0]), st.integers(20, 2000), st.integers(1, 30))
SEEDS = st.integers(0, 10**6)


def run_times(run: tuple[float, int, int]) -> np.ndarray:
    """Frames of a run: frame time, number of frames, number of the first."""
    dt, count, first = run
    return dt * (first + np.array([0, count // 2, count]))


def table_around(
    mode: str, theta: np.ndarray, rng: np.random.Generator, *, narrow: float = 0.0, roles: bool = False
) -> ParameterTable:
    """A table with start ``theta``; some bounds narrow, some parameters fixed or tied."""
    model = ModelFactory.create_model(mode)
    asked: dict[str, dict[str, Any]] = {}
    for spec, value in zip(model.parameters, theta, strict=True):
        room = 0.05 * abs(value)
        width = room + 0.5 * (spec.upper - spec.lower) * 10.0 ** rng.uniform(-4, 0)
        lower, upper = min(spec.lower, value - room), max(spec.upper, value + room)
        if rng.random() < narrow:
            lower, upper = value - width, value + width
        asked[spec.name] = {"value": float(value), "min": float(lower), "max": float(upper)}
    if roles:
        _give_roles(asked, rng)
    return resolve_parameters(mode, asked, specs=model.parameters)


def _give_roles(asked: dict[str, dict[str, Any]], rng: np.random.Generator) -> None:
    for name in asked:
        if rng.random() < 0.15:
            asked[name]["vary"] = False
    pairs = [("alpha_sample", "alpha_ref"), ("D_offset_sample", "D_offset_ref"), ("beta_3", "beta_2")]
    for name, target in pairs:
        if name in asked and target in asked and rng.random() < 0.3:
            asked[name] = {"tie": target, "min": -1e12, "max": 1e12}


def coordinates_of(mode: str, table: ParameterTable, times: np.ndarray) -> Coordinates:
    return Coordinates(table, ModelFactory.create_model(mode).curve_specs, times[0], times[-1])


@given(mode=st.sampled_from(MODES), run=RUNS, seed=SEEDS, reach=st.sampled_from([0.3, 3.0, 300.0]))
@settings(deadline=None, max_examples=150)
def test_whatever_the_coordinates_all_parameters_are_inside_their_bounds(mode, run, seed, reach) -> None:
    rng, times = np.random.default_rng(seed), run_times(run)
    table = table_around(mode, draw(mode, rng, times, Q), rng, narrow=0.3, roles=True)
    coordinates = coordinates_of(mode, table, times)
    start = coordinates.to_internal(table.values)
    theta = coordinates.from_internal(start + reach * rng.normal(size=coordinates.size))
    assert np.all((theta >= table.lower) & (theta <= table.upper))
    fixed = ~table.vary & np.array([tie is None for tie in table.tie])
    np.testing.assert_array_equal(theta[fixed], table.values[fixed])
    for i, target in enumerate(table.tie):
        if target is not None:
            assert theta[i] == theta[table.index(target)]


@given(mode=st.sampled_from(MODES), run=RUNS, seed=SEEDS, reach=st.sampled_from([0.3, 3.0, 300.0]))
@settings(deadline=None, max_examples=200)
def test_whatever_the_coordinates_curves_are_physical_at_all_times(mode, run, seed, reach) -> None:
    """Fractions lie in [0, 1] and transport coefficients above 0, though bounds and start are random."""
    rng, times = np.random.default_rng(seed), run_times(run)
    model, theta = ModelFactory.create_model(mode), draw(mode, rng, times, Q)
    coordinates = coordinates_of(mode, table_around(mode, theta, rng), times)
    start = coordinates.to_internal(theta)
    z = start + reach * rng.normal(size=coordinates.size)
    z[rng.random(z.size) < 0.2] *= 1e-4  # flat, straight or absent curves too
    reached = coordinates.from_internal(z)
    dense = np.concatenate([np.linspace(times[0], times[-1], 200), np.geomspace(times[0], times[-1], 200)])
    for name, curve in model.curves(reached, dense).items():
        if name.startswith("J"):
            assert np.min(curve) >= -1e-9 * (1.0 + np.max(np.abs(curve)))
        elif name.startswith("x_") and name != "x_1":  # x_1 is what the others leave, and not boxed
            assert np.min(curve) >= -1e-9
            assert np.max(curve) <= 1.0 + 1e-9


@given(mode=st.sampled_from(MODES), run=RUNS, seed=SEEDS, roles=st.booleans())
@settings(deadline=None, max_examples=100)
def test_a_physical_vector_survives_the_way_there_and_back(mode, run, seed, roles) -> None:
    rng, times = np.random.default_rng(seed), run_times(run)
    theta = draw(mode, rng, times, Q)
    table = table_around(mode, theta, rng, narrow=0.3, roles=roles)
    coordinates = coordinates_of(mode, table, times)
    back = coordinates.from_internal(coordinates.to_internal(table.values))
    np.testing.assert_allclose(back, table.values, rtol=1e-9, atol=1e-9 * np.abs(table.values).max())
    z = coordinates.to_internal(back)
    np.testing.assert_allclose(coordinates.to_internal(coordinates.from_internal(z)), z, rtol=1e-8, atol=1e-8)


@given(mode=st.sampled_from(MODES), run=RUNS, seed=SEEDS, roles=st.booleans())
@settings(deadline=None, max_examples=100)
def test_the_jacobian_is_the_derivative_of_the_way_back(mode, run, seed, roles) -> None:
    rng, times = np.random.default_rng(seed), run_times(run)
    theta = draw(mode, rng, times, Q)
    table = table_around(mode, theta, rng, roles=roles)
    coordinates = coordinates_of(mode, table, times)
    assume(coordinates.size)
    z = coordinates.to_internal(table.values)
    jacobian = coordinates.jacobian(table.values)
    assert jacobian.shape == (len(table), coordinates.size)
    for k, unit in enumerate(np.eye(coordinates.size)):
        h = 1e-6 * max(1.0, abs(z[k]))
        high, low = coordinates.from_internal(z + h * unit), coordinates.from_internal(z - h * unit)
        if np.any(((high == table.upper) | (low == table.lower)) & table.vary):
            continue  # the difference would reach over a bound
        slope = (high - low) / (2 * h)
        scale = np.abs(jacobian[:, k]).max()
        np.testing.assert_allclose(slope, jacobian[:, k], rtol=3e-5, atol=3e-6 * scale + 1e-12)


@given(mode=st.sampled_from(MODES), run=RUNS, seed=SEEDS, roles=st.booleans())
@settings(deadline=None, max_examples=60)
def test_the_box_of_the_coordinates_holds_every_allowed_start(mode, run, seed, roles) -> None:
    rng, times = np.random.default_rng(seed), run_times(run)
    table = table_around(mode, draw(mode, rng, times, Q), rng, narrow=0.5, roles=roles)
    coordinates = coordinates_of(mode, table, times)
    lower, upper = coordinates.internal_bounds(table.values)
    z = coordinates.to_internal(table.values)
    assert np.all(lower <= z)
    assert np.all(z <= upper)
    assert np.all(lower < upper)


def table_of(mode: str = "heterodyne", **asked: Any) -> ParameterTable:
    return resolve_parameters(mode, asked)


TIMES = np.array([0.5, 30.0, 100.0])


def test_the_coordinates_are_amplitudes_at_mid_time_and_fractions_at_both_ends() -> None:
    table = table_of(f0=0.3, f1=-0.02, f2=7.0, f3=0.2, D0_sample=800.0, alpha_sample=-0.5, v0=90.0, beta=0.4)
    coordinates = coordinates_of("heterodyne", table, TIMES)
    raw = coordinates.to_internal(table.values) * coordinates.scale
    middle = np.sqrt(0.5 * 100.0)
    model = ModelFactory.create_model("heterodyne")
    ends = model.curves(table.values, TIMES[[0, -1]])["x_sample"]
    assert coordinates.size == 13
    np.testing.assert_allclose(raw[3], 800.0 * middle**-0.5)
    np.testing.assert_allclose(raw[6], 90.0 * middle**0.4)
    np.testing.assert_allclose(raw[9:12], [*ends, -0.02], rtol=1e-14)


def test_the_shift_of_the_fraction_is_never_fitted_beside_its_amplitude() -> None:
    names = coordinates_of("heterodyne", table_of(), TIMES)
    assert [names.table.names[i] for i in names.order].count("f2") == 0


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({"f2": {"value": 0.0, "vary": False}}, 13),
        ({"D0_ref": {"value": 100.0, "vary": False}}, 12),
        ({"alpha_sample": {"tie": "alpha_ref"}}, 12),
        ({"f1": {"value": 0.0, "vary": False}}, 13),  # f0, f2, f3 on their own
        ({name: {"vary": False, "value": 0.1} for name in ("D0_ref", "D0_sample", "v0", "f0", "phi0")}, 9),
    ],
)
def test_a_block_with_a_fixed_or_tied_parameter_keeps_its_published_coordinates(asked, size) -> None:
    table = table_of(**asked)
    coordinates = coordinates_of("heterodyne", table, TIMES)
    assert coordinates.size == size
    broken = [table.index(name) for name in asked if name != "f2"]
    assert not {i for curve in coordinates.curves for i in curve.indices} & set(broken)


def test_nothing_free_means_no_coordinates() -> None:
    table = table_of(
        "static_isotropic", **{n: {"value": 1.0, "vary": False} for n in ("D0", "alpha", "D_offset")}
    )
    coordinates = coordinates_of("static_isotropic", table, TIMES)
    assert coordinates.size == 0
    np.testing.assert_array_equal(coordinates.from_internal(np.zeros(0)), [1.0, 1.0, 1.0])
    assert coordinates.jacobian(table.values).shape == (3, 0)


@pytest.mark.parametrize("rate", [0.0, 1e-12, -1e-12])
def test_a_straight_fraction_keeps_its_ends(rate: float) -> None:
    table = table_of(f0=0.0, f1=rate, f3=0.4)
    coordinates = coordinates_of("heterodyne", table, TIMES)
    back = coordinates.from_internal(coordinates.to_internal(table.values))
    x = ModelFactory.create_model("heterodyne").curves(back, np.linspace(0.5, 100.0, 9))["x_sample"]
    np.testing.assert_allclose(x, 0.4, atol=1e-12)


def test_a_nearly_straight_fraction_gives_way_where_the_constant_part_meets_its_bound() -> None:
    """x from 0.1 to 0.9 with almost no bend needs f3 far below its bound of -1: the bound is kept."""
    table = table_of(f0=0.1, f1=0.02, f3=0.3)
    coordinates = coordinates_of("heterodyne", table, TIMES)
    z = coordinates.to_internal(table.values)
    z[9:12] = np.array([0.1, 0.9, 1e-4]) / coordinates.scale[9:12]
    theta = coordinates.from_internal(z)
    x = ModelFactory.create_model("heterodyne").curves(theta, np.linspace(0.5, 100.0, 9))["x_sample"]
    assert np.all((x >= -1e-12) & (x <= 1 + 1e-12))
    assert table.lower[12] <= theta[12] <= table.upper[12]


def test_the_shift_takes_over_where_the_amplitude_would_leave_its_bounds() -> None:
    """A fraction that grows late has an amplitude of 1e-9 at t = 0, one that fades late 1e9."""
    times = np.array([900.0, 950.0, 1000.0])
    table = table_of(f0=0.5, f1=-0.02, f2=900.0, f3=0.1)
    coordinates = coordinates_of("heterodyne", table, times)
    start = table_of(f0=0.5, f1=-0.02, f2=0.0, f3=0.1)
    moved = coordinates_of("heterodyne", start, times)
    theta = moved.from_internal(coordinates.to_internal(table.values) * coordinates.scale / moved.scale)
    model, dense = ModelFactory.create_model("heterodyne"), np.linspace(900.0, 1000.0, 11)
    assert abs(theta[9]) <= 1.0
    assert theta[11] != 0.0
    np.testing.assert_allclose(
        model.curves(theta, dense)["x_sample"], model.curves(table.values, dense)["x_sample"], atol=1e-12
    )


def test_a_fraction_that_changes_at_once_in_a_long_run_does_not_overflow() -> None:
    times = np.array([7e3, 8e3, 1e4])
    table = table_of(f0=0.1, f1=-0.5, f3=0.3)
    coordinates = coordinates_of("heterodyne", table, times)
    z = coordinates.to_internal(table.values)
    assert np.all(np.isfinite(z))
    theta = coordinates.from_internal(z)
    assert np.all(np.isfinite(theta))
    assert np.all(np.isfinite(coordinates.jacobian(theta)))


def test_a_transport_offset_never_takes_j_below_zero_even_beside_a_narrow_bound() -> None:
    table = table_of("static_isotropic", D0=500.0, alpha=0.5, D_offset={"value": -200.0, "max": -150.0})
    coordinates = coordinates_of("static_isotropic", table, TIMES)
    z = coordinates.to_internal(table.values)
    for amplitude in (0.01, 0.2, 5.0):
        theta = coordinates.from_internal(z * np.array([amplitude, 1.0, 1.0]))
        assert np.min(ModelFactory.create_model("static_isotropic").curves(theta, TIMES)["J"]) >= -1e-9
        assert theta[2] <= -150.0


@given(mode=st.sampled_from(MODES), run=RUNS, seed=SEEDS, roles=st.booleans())
@settings(deadline=None, max_examples=100)
def test_small_steps_inside_the_room_are_taken_as_they_are(mode, run, seed, roles) -> None:
    """No bound cuts them: what is left over is of second order."""
    rng, times = np.random.default_rng(seed), run_times(run)
    table = table_around(mode, draw(mode, rng, times, Q), rng, narrow=0.5, roles=roles)
    coordinates = coordinates_of(mode, table, times)
    matrix, lower, upper = coordinates.room(table.values)
    assert np.all((lower <= 0) & (upper >= 0))
    unit = 1e-6 / np.abs(matrix).max(axis=0, initial=1e-300)
    wanted = rng.uniform(np.maximum(1e-6 * lower, -unit), np.minimum(1e-6 * upper, unit))
    z = coordinates.to_internal(table.values)
    taken = coordinates.to_internal(coordinates.from_internal(z + matrix @ wanted)) - z
    np.testing.assert_allclose(taken, matrix @ wanted, rtol=1e-3, atol=1e-8)
