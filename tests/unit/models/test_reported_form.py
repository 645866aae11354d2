"""canonical(): which of several equivalent parameter vectors is reported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from random_models import GAP, draw

from heterodyne_nb.config import ParameterTable, resolve_parameters
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.models.symmetries import canonical, near_twin

T = 0.5 * np.arange(1, 61)
MIDDLE = 0.5 * float(T[0] + T[-1])


def wide(mode: str, **asked: Any) -> ParameterTable:
    """A table without narrow bounds, so that every equivalent vector is allowed."""
    specs = ModelFactory.create_model(mode).parameters
    open_ended = {spec.name: {"min": -1e9, "max": 1e9} for spec in specs}
    for name, value in asked.items():
        open_ended[name] |= value
    return resolve_parameters(mode, open_ended, specs=specs)


def reported(mode: str, theta: np.ndarray, table: ParameterTable | None = None) -> np.ndarray:
    return canonical(ModelFactory.create_model(mode), theta, T, table or wide(mode))


def at_middle(mode: str, theta: np.ndarray) -> dict[str, float]:
    curves = ModelFactory.create_model(mode).curves(theta, np.array([MIDDLE]))
    return {name: float(curve[0]) for name, curve in curves.items()}


def map_of(mode: str, theta: np.ndarray) -> np.ndarray:
    return np.asarray(
        ModelFactory.create_model(mode).correlation(
            theta, T[:, None, None], T[None, :, None], q=0.01, phi=np.array([-70.0, 10.0, 95.0]), gap=GAP
        )
    )


@pytest.mark.parametrize("mode", ["heterodyne", "laminar_flow"])
@pytest.mark.parametrize("seed", range(12))
def test_the_reported_vector_gives_the_same_map_and_obeys_every_rule(mode: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    theta = draw(mode, rng, T, 0.01)
    theta[-1] += rng.choice([-360.0, -180.0, 0.0, 180.0, 360.0])
    if mode == "heterodyne" and seed % 2:
        theta[0:3], theta[3:6] = theta[3:6].copy(), theta[0:3].copy()
    told = reported(mode, theta)
    np.testing.assert_allclose(map_of(mode, told), map_of(mode, theta), atol=1e-11)
    curves = at_middle(mode, told)
    assert curves["v" if mode == "heterodyne" else "gamma_dot"] >= 0
    assert -90.0 < told[-1] <= 90.0
    if mode == "heterodyne":
        assert curves["J_sample"] >= curves["J_ref"]
    np.testing.assert_allclose(reported(mode, told), told, rtol=1e-14)


def test_the_faster_component_is_called_the_sample() -> None:
    theta = np.array([900.0, 0.1, 5.0, 100.0, -0.2, 1.0, 50.0, 0.0, 0.0, 0.2, -0.01, 3.0, 0.4, 10.0])
    told = reported("heterodyne", theta)
    np.testing.assert_array_equal(told[:6], [100.0, -0.2, 1.0, 900.0, 0.1, 5.0])
    x = ModelFactory.create_model("heterodyne").curves(theta, T)["x_sample"]
    np.testing.assert_allclose(ModelFactory.create_model("heterodyne").curves(told, T)["x_sample"], 1.0 - x)


def test_the_same_rule_holds_at_equilibrium() -> None:
    told = reported("heterodyne_equilibrium", np.array([0.3, 2000.0, 100.0, 50.0, 100.0]))
    np.testing.assert_allclose(told, [0.7, 100.0, 2000.0, 50.0, -80.0], rtol=1e-15)


@pytest.mark.parametrize(
    ("phi0", "told"),
    [(0.0, 0.0), (90.0, 90.0), (-90.0, 90.0), (91.0, -89.0), (180.0, 0.0), (-271.0, 89.0), (359.0, -1.0)],
)
def test_the_direction_is_between_minus_90_and_90_degrees(phi0: float, told: float) -> None:
    theta = np.array([0.3, 100.0, 2000.0, 50.0, phi0])
    assert reported("heterodyne_equilibrium", theta)[-1] == pytest.approx(told, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mode", ["multicomponent_2", "multicomponent_3"])
def test_with_several_flows_the_first_moves_forward_and_directions_stay_in_half_a_turn(
    mode: str, seed: int
) -> None:
    theta = draw(mode, np.random.default_rng(seed), T, 0.01)
    told = reported(mode, theta)
    np.testing.assert_allclose(map_of(mode, told), map_of(mode, theta), atol=1e-11)
    assert at_middle(mode, told)["v_2"] >= 0
    directions = [
        v
        for n, v in zip(ModelFactory.create_model(mode).parameter_names, told, strict=True)
        if n.startswith("phi0")
    ]
    assert all(-90.0 < phi0 <= 90.0 for phi0 in directions)


START = np.array([900.0, 0.1, 5.0, 100.0, -0.2, 1.0, -50.0, 0.0, -2.0, 0.2, -0.01, 3.0, 0.4, 200.0])


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"D0_ref": {"min": 500.0, "value": 900.0}}, slice(0, 6)),  # a bound
        ({"alpha_ref": {"vary": False, "value": 0.1}}, slice(0, 6)),  # a fixed value
        ({"alpha_sample": {"tie": "alpha_ref"}}, slice(0, 6)),  # a tie
        ({"D_offset_ref": {"prior": (5.0, 1.0)}}, slice(0, 6)),  # a prior
        ({"v0": {"max": 0.0, "value": -50.0}}, slice(6, 9)),
        ({"v_offset": {"prior": (-2.0, 1.0)}}, slice(6, 9)),
        ({"phi0": {"min": 150.0, "value": 200.0}}, slice(13, 14)),
        ({"phi0": {"vary": False, "value": 200.0}}, slice(13, 14)),
        ({"phi0": {"prior": (200.0, 5.0)}}, slice(13, 14)),
    ],
)
def test_what_the_user_said_speaks_against_the_rule(asked: dict[str, Any], kept: slice) -> None:
    told = reported("heterodyne", START, wide("heterodyne", **asked))
    np.testing.assert_array_equal(told[kept], START[kept])
    np.testing.assert_allclose(map_of("heterodyne", told), map_of("heterodyne", START), atol=1e-11)


def test_a_model_without_symmetries_is_reported_as_it_is() -> None:
    theta = np.array([100.0, -0.5, 3.0])
    np.testing.assert_array_equal(reported("static_isotropic", theta), theta)


def twin(mode: str, theta: np.ndarray, **asked: Any) -> np.ndarray | None:
    return near_twin(ModelFactory.create_model(mode), theta, T, wide(mode, **asked))


@pytest.mark.parametrize("fixed", ["D_offset_ref", "alpha_sample", "D_offset_sample"])
@pytest.mark.parametrize("seed", range(4))
def test_components_that_a_fixed_value_keeps_apart_are_swapped_at_mid_time(fixed: str, seed: int) -> None:
    theta = draw("heterodyne", np.random.default_rng(seed), T, 0.01)
    names = list(ModelFactory.create_model("heterodyne").parameter_names)
    held = float(theta[names.index(fixed)])
    other = twin("heterodyne", theta, **{fixed: {"value": held, "vary": False}})
    assert other is not None
    assert other[names.index(fixed)] == held
    before, after = at_middle("heterodyne", theta), at_middle("heterodyne", other)
    assert after["J_ref"] == pytest.approx(before["J_sample"])
    assert after["J_sample"] == pytest.approx(before["J_ref"])
    assert after["x_sample"] == pytest.approx(1.0 - before["x_sample"])
    assert after["v"] == before["v"]


def test_the_near_twin_stays_inside_the_bounds() -> None:
    theta = draw("heterodyne", np.random.default_rng(1), T, 0.01)
    limit = 1.01 * float(theta[0])
    asked = {"D0_ref": {"max": limit}, "D_offset_ref": {"value": float(theta[2]), "vary": False}}
    other = twin("heterodyne", theta, **asked)
    assert other is not None
    assert other[0] <= limit


def test_where_the_swap_is_exact_or_the_model_has_none_there_is_no_near_twin() -> None:
    rng = np.random.default_rng(2)
    assert twin("heterodyne", draw("heterodyne", rng, T, 0.01)) is None
    assert twin("laminar_flow", draw("laminar_flow", rng, T, 0.01)) is None
