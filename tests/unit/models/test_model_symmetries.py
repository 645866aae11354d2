"""What data can never tell: directions and exchanges that leave a model unchanged (THEORY, symmetries)."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from random_models import GAP, SEPARABLE, TWO_TIME, draw, model_and_draw

from heterodyne_nb.models import ModelFactory, RatioSign

T = 0.2 * np.arange(1, 41)
Q, PHI = 0.01, np.array([-100.0, -20.0, 0.0, 33.0, 170.0])
TRIALS = range(8)


def surface(mode: str, theta: np.ndarray, phi: np.ndarray = PHI, q: float = Q) -> np.ndarray:
    model = ModelFactory.create_model(mode)
    return np.asarray(
        model.correlation(theta, T[:, None, None], T[None, :, None], q=q, phi=phi, gap=GAP)
        + np.zeros((len(T), len(T), len(phi)))
    )


def changed(mode: str, theta: np.ndarray, **values: float) -> np.ndarray:
    names = ModelFactory.create_model(mode).parameter_names
    out = np.array(theta, float)
    for name, value in values.items():
        out[names.index(name)] = value
    return out


def value(mode: str, theta: np.ndarray, name: str) -> float:
    return float(theta[ModelFactory.create_model(mode).parameter_names.index(name)])


@pytest.mark.parametrize("mode", TWO_TIME)
@pytest.mark.parametrize("seed", TRIALS)
def test_every_symmetry_that_a_model_declares_leaves_its_map_as_it_is(mode: str, seed: int) -> None:
    model, theta = model_and_draw(mode, np.random.default_rng(seed), T, Q)
    for symmetry in model.symmetries:
        start = changed(mode, theta, f0=0.0) if isinstance(symmetry, RatioSign) else theta
        image = symmetry.image(model, start)
        assert not np.array_equal(image, start)
        np.testing.assert_allclose(
            surface(mode, image), surface(mode, start), atol=1e-11, err_msg=str(symmetry)
        )


def test_of_the_two_fractions_of_one_ratio_the_limits_leave_one() -> None:
    model = ModelFactory.create_model("heterodyne")
    theta = changed("heterodyne", draw("heterodyne", np.random.default_rng(0), T, Q), f0=0.0, f3=0.3)
    image = RatioSign("x_sample").image(model, theta)
    assert model.physical(theta, T[0], T[-1])
    assert not model.physical(image, T[0], T[-1])


@pytest.mark.parametrize("mode", TWO_TIME)
@pytest.mark.parametrize("seed", TRIALS)
def test_a_map_is_symmetric_has_a_diagonal_of_one_and_stays_below(mode: str, seed: int) -> None:
    theta = draw(mode, np.random.default_rng(seed), T, Q)
    m = surface(mode, theta)
    np.testing.assert_array_equal(m, m.transpose(1, 0, 2))
    np.testing.assert_allclose(np.einsum("iib->ib", m), 1.0, rtol=1e-14)
    assert np.all(np.abs(m) <= 1.0 + 1e-14)


@pytest.mark.parametrize("seed", TRIALS)
def test_f0_and_f2_enter_only_through_one_product(seed: int) -> None:
    theta = draw("heterodyne", np.random.default_rng(seed), T, Q)
    f0, f1, f2 = (value("heterodyne", theta, name) for name in ("f0", "f1", "f2"))
    moved = changed("heterodyne", theta, f2=f2 + 3.7, f0=f0 * np.exp(3.7 * f1))
    np.testing.assert_allclose(surface("heterodyne", moved), surface("heterodyne", theta), atol=1e-13)


@pytest.mark.parametrize("seed", TRIALS)
def test_the_direction_f0_f2_has_no_derivative(seed: int) -> None:
    model, theta = model_and_draw("heterodyne", np.random.default_rng(seed), T, Q)
    terms = model.terms(theta, T, PHI)
    names = list(model.parameter_names)
    along = terms.d_amplitude[:, names.index("f0")] * theta[names.index("f0")] * theta[names.index("f1")]
    along = along + terms.d_amplitude[:, names.index("f2")]
    np.testing.assert_allclose(along, 0.0, atol=1e-13 * np.abs(terms.d_amplitude).max())


@pytest.mark.parametrize("mode", ["heterodyne", "multicomponent_2", "laminar_flow"])
@pytest.mark.parametrize("seed", TRIALS)
def test_the_sign_of_the_flow_is_free(mode: str, seed: int) -> None:
    theta = draw(mode, np.random.default_rng(seed), T, Q)
    flow = {
        "heterodyne": ("v0", "v_offset"),
        "multicomponent_2": ("v0_2", "v_offset_2"),
        "laminar_flow": ("gamma_dot_0", "gamma_dot_offset"),
    }[mode]
    turned = changed(mode, theta, **{name: -value(mode, theta, name) for name in flow})
    np.testing.assert_allclose(surface(mode, turned), surface(mode, theta), atol=1e-13)


@pytest.mark.parametrize("mode", ["heterodyne", "multicomponent_2", "laminar_flow"])
@pytest.mark.parametrize("seed", TRIALS)
def test_half_a_turn_of_the_flow_changes_nothing(mode: str, seed: int) -> None:
    theta = draw(mode, np.random.default_rng(seed), T, Q)
    name = "phi0_2" if mode == "multicomponent_2" else "phi0"
    turned = changed(mode, theta, **{name: value(mode, theta, name) + 180.0})
    np.testing.assert_allclose(surface(mode, turned), surface(mode, theta), atol=1e-12)


@pytest.mark.parametrize("mode", ["multicomponent_3", "multicomponent_4"])
def test_of_several_flows_each_may_turn_by_half_and_change_sign_together_but_not_alone(mode: str) -> None:
    theta = draw(mode, np.random.default_rng(3), T, Q)
    same = surface(mode, theta)
    half = {"phi0_3": value(mode, theta, "phi0_3") + 180.0}
    back = {name: -value(mode, theta, name) for name in ("v0_3", "v_offset_3")}
    np.testing.assert_allclose(surface(mode, changed(mode, theta, **half, **back)), same, atol=1e-12)
    assert np.abs(surface(mode, changed(mode, theta, **half)) - same).max() > 1e-3


@pytest.mark.parametrize("seed", TRIALS)
def test_exchanging_reference_and_sample_changes_nothing(seed: int) -> None:
    theta = draw("heterodyne", np.random.default_rng(seed), T, Q)
    swapped = theta.copy()
    swapped[0:3], swapped[3:6] = theta[3:6], theta[0:3]
    swapped[9], swapped[12] = -theta[9], 1.0 - theta[12]
    np.testing.assert_allclose(surface("heterodyne", swapped), surface("heterodyne", theta), atol=1e-13)


def test_moving_components_may_be_numbered_in_any_order() -> None:
    theta = draw("multicomponent_4", np.random.default_rng(1), T, Q)
    blocks = [theta[3 + 10 * k : 13 + 10 * k] for k in range(3)]
    same = surface("multicomponent_4", theta)
    for order in permutations(range(3)):
        renumbered = np.concatenate([theta[:3], *(blocks[k] for k in order)])
        np.testing.assert_allclose(surface("multicomponent_4", renumbered), same, atol=1e-13)


@pytest.mark.parametrize("mode", ["static_isotropic", "static_anisotropic"])
def test_static_maps_do_not_depend_on_the_azimuth(mode: str) -> None:
    m = surface(mode, np.array([1500.0, -0.4, 20.0]))
    np.testing.assert_array_equal(m, np.broadcast_to(m[:, :, :1], m.shape))


def test_static_is_laminar_without_shear_and_heterodyne_without_sample() -> None:
    law = [1500.0, -0.4, 20.0]
    static = surface("static_isotropic", np.array(law))
    still = np.array([*law, 0.0, 0.0, 0.0, 30.0])
    np.testing.assert_allclose(surface("laminar_flow", still), static, rtol=1e-14)
    alone = np.array([*law, 9.0, 0.0, 0.0, 500.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 10.0])
    np.testing.assert_allclose(surface("heterodyne", alone), static, rtol=1e-14)


@pytest.mark.parametrize("seed", TRIALS)
def test_two_components_are_the_heterodyne_model(seed: int) -> None:
    theta = draw("heterodyne", np.random.default_rng(seed), T, Q)
    theta = changed("heterodyne", theta, f2=0.0)
    order = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13]
    m = surface("multicomponent_2", theta[order])
    np.testing.assert_allclose(m, surface("heterodyne", theta), atol=4e-15)


@pytest.mark.parametrize("seed", TRIALS)
def test_an_absent_component_does_not_matter(seed: int) -> None:
    two = draw("multicomponent_2", np.random.default_rng(seed), T, Q)
    absent = np.array([700.0, -0.2, 3.0, 900.0, 0.1, 5.0, 0.0, 0.01, 0.0, 60.0])
    np.testing.assert_allclose(
        surface("multicomponent_3", np.concatenate([two, absent])),
        surface("multicomponent_2", two),
        atol=4e-15,
    )


@pytest.mark.parametrize("field_fraction", [0.1, 0.37, 0.5, 0.8])
def test_constant_coefficients_give_the_equilibrium_formula_with_the_intensity_fraction(
    field_fraction: float,
) -> None:
    j_ref, j_sample, v, phi0 = 300.0, 2500.0, 700.0, 25.0
    constant = [0.0, 0.5, j_ref, 0.0, -0.5, j_sample, 0.0, 0.3, v, 0.0, 0.01, 0.0, field_fraction, phi0]
    x = field_fraction**2 / (field_fraction**2 + (1 - field_fraction) ** 2)
    equilibrium = ModelFactory.create_model("heterodyne_equilibrium")
    lag = T[None, :, None] - T[:, None, None]
    expected = equilibrium.correlation([x, j_ref, j_sample, v, phi0], lag, q=Q, phi=PHI)
    np.testing.assert_allclose(surface("heterodyne", np.array(constant)), expected, atol=1e-14)


def test_an_unlike_fraction_does_not_give_the_equilibrium_formula() -> None:
    constant = [0.0, 0.5, 300.0, 0.0, -0.5, 2500.0, 0.0, 0.3, 700.0, 0.0, 0.01, 0.0, 0.3, 25.0]
    equilibrium = ModelFactory.create_model("heterodyne_equilibrium")
    field = equilibrium.correlation(
        [0.3, 300.0, 2500.0, 700.0, 25.0], T[None, :, None] - T[:, None, None], q=Q, phi=PHI
    )
    assert np.abs(surface("heterodyne", np.array(constant)) - field).max() > 0.05


@pytest.mark.parametrize("exponent", [-1.0, -1.7, 0.0])
@pytest.mark.parametrize("mode", TWO_TIME)
def test_exponents_at_and_beyond_minus_one_are_as_good_as_any(mode: str, exponent: float) -> None:
    rng = np.random.default_rng(5)
    theta = draw(mode, rng, T, Q, exponent)
    near = np.where(theta == exponent, exponent + 1e-9, theta)
    m = surface(mode, theta)
    assert np.all(np.isfinite(m))
    np.testing.assert_allclose(surface(mode, near), m, atol=1e-6)


@pytest.mark.parametrize("mode", SEPARABLE)
def test_the_curves_are_those_of_the_terms(mode: str) -> None:
    model, theta = model_and_draw(mode, np.random.default_rng(2), T, Q)
    dense = np.linspace(T[0], T[-1], 4001)
    terms, named = model.terms(theta, dense, PHI), model.curves(theta, dense)
    assert set(named) == set(model.curve_units)
    first = next(name for name in named if name.startswith("J"))
    slope = np.gradient(terms.decay[0], dense)
    np.testing.assert_allclose(slope[1:-1], np.broadcast_to(named[first], dense.shape)[1:-1], rtol=2e-3)


@pytest.mark.parametrize("mode", SEPARABLE)
def test_terms_rebuild_the_correlation(mode: str) -> None:
    model, theta = model_and_draw(mode, np.random.default_rng(4), T, Q)
    terms = model.terms(theta, T, PHI)
    late, early = np.tril_indices(len(T))
    for b, phi in enumerate(PHI):
        total = np.zeros(len(late))
        for k in range(len(terms.amplitude)):
            phase = Q * terms.weight[k, :, b] @ (terms.displacement[:, late] - terms.displacement[:, early])
            fade = np.exp(-(Q**2) * (terms.decay[k, late] - terms.decay[k, early]))
            total += terms.amplitude[k, late] * terms.amplitude[k, early] * fade * np.cos(phase)
        exact = model.correlation(theta, T[early], T[late], q=Q, phi=phi)
        np.testing.assert_allclose(total, exact, atol=1e-13)
