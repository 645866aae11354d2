"""Models whose curves are splines."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import cumulative_simpson

from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory, check_model

T = 0.5 * np.arange(1, 101)
HETERODYNE = [60, 0, 0, 600, 0, 10, 60, 0.0, 0, 0.1, 0.01, 0, 0.35, 15]
FREE = ModelFactory.create_model("heterodyne_free_1_4_8_2")


def wavy() -> np.ndarray:
    theta = FREE.projected(ModelFactory.create_model("heterodyne").curves(HETERODYNE, T), T, {"phi0": 15.0})
    theta[:-2] *= 1 + 0.2 * np.sin(np.arange(len(theta) - 2))
    return theta


def test_splines_near_power_laws_give_the_correlation_of_the_published_model() -> None:
    base = ModelFactory.create_model("heterodyne")
    theta = FREE.projected(base.curves(HETERODYNE, T), T, {"phi0": 15.0})
    for phi in (0.0, 60.0):
        expected = base.correlation(HETERODYNE, T[3], T, q=0.012, phi=phi)
        assert FREE.correlation(theta, T[3], T, q=0.012, phi=phi) == pytest.approx(expected, abs=2e-6)


def test_derivatives_are_those_of_the_curves() -> None:
    assert max(check_model(FREE, wavy(), T, phi=[0.0, 40.0, 80.0]).values()) < 1e-6


def test_decays_are_integrals_of_the_curves_beyond_the_ends_of_the_splines_too() -> None:
    t = np.linspace(0.1, 60.0, 6001)
    theta = wavy()
    terms = FREE.terms(theta, t, np.zeros(1))
    curve = FREE.curves(theta, t)
    assert terms.decay[1] == pytest.approx(cumulative_simpson(curve["J_sample"], x=t, initial=0), rel=1e-6)
    assert terms.displacement[0] == pytest.approx(cumulative_simpson(curve["v"], x=t, initial=0), rel=1e-6)


def test_more_pieces_hold_the_same_curves() -> None:
    finer = FREE.with_pieces(dict.fromkeys(FREE.pieces, 16))
    more = finer.curves(FREE.refinement(finer) @ wavy(), T)
    for name, curve in FREE.curves(wavy(), T).items():
        assert more[name] == pytest.approx(curve, rel=1e-10)


def test_curves_keep_the_limits_of_their_coefficients() -> None:
    theta = np.random.default_rng(0).uniform(0, 1, len(FREE.parameters))
    theta[-2:] = T[0], T[-1]
    for curve in FREE.curves(theta, np.linspace(0.1, 70, 999)).values():
        assert curve.min() >= 0.0
        assert curve.max() <= 1.0


def test_the_component_with_the_larger_J_at_mid_time_is_the_sample() -> None:
    theta, q = wavy(), {"q": 0.012, "phi": 40.0}
    wrong = theta.copy()
    model = FREE.with_pieces({"J_ref": 4, "J_sample": 1, "v": 8, "x_sample": 2})
    wrong = np.concatenate([theta[4:11], theta[:4], theta[11:22], 1 - theta[22:27], theta[27:]])
    expected = model.correlation(wrong, T[5], T, **q)
    assert expected == pytest.approx(FREE.correlation(theta, T[5], T, **q), abs=1e-12)
    named, values = model.labelled(wrong)
    assert named.name == FREE.name
    assert values == pytest.approx(theta, rel=1e-6)


def test_any_separable_model_of_components_has_a_free_form() -> None:
    for mode in ("static_isotropic_free", "multicomponent_3_free"):
        model = ModelFactory.create_model(mode)
        values = [spec.default for spec in model.parameters]
        assert model.correlation(values, 20.0, 20.0, q=0.01) == pytest.approx(1.0)
    with pytest.raises(ConfigurationError, match="cannot be splines"):
        ModelFactory.create_model("laminar_flow_free")
    with pytest.raises(ConfigurationError, match="1 or more for each of J_ref, J_sample, v, x_sample"):
        ModelFactory.create_model("heterodyne_free_1_2")


def test_the_ends_of_the_splines_are_never_fitted() -> None:
    table = resolve_parameters(
        "heterodyne_free", {"t_first": 0.5}, specs=ModelFactory.create_model("heterodyne_free").parameters
    )
    assert not table.vary[-2:].any()
    assert table.vary[:-2].all()
    assert table.values[-2] == 0.5
