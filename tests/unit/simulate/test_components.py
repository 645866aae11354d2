"""Scattering components: time integrals without the models, and what cannot be simulated."""

import numpy as np
import pytest
from scipy.integrate import quad

from heterodyne_nb.config.parameters import PARAMETERS, multicomponent_parameters
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.simulate.components import check_axes, components
from heterodyne_nb.simulate.example import TRUTH

AXES = check_axes([0.004, 0.01], [0.0, 60.0], 50, 0.4)


@pytest.mark.parametrize("alpha", [-1.7, -1.0, -0.5, 0.0, 0.8, 1.9])
def test_spread_is_the_integral_of_the_transport_coefficient(alpha):
    (one,) = components("static_isotropic", [300.0, alpha, 12.0], AXES)
    for k in (0, 1, 30, 48):
        exact, _ = quad(lambda t: 300.0 * t**alpha + 12.0, AXES.t[k], AXES.t[k + 1], epsabs=0, epsrel=1e-13)
        assert one.spread[k] == pytest.approx(exact, rel=1e-12)


def test_heterodyne_sample_drifts_from_the_first_frame_on():
    reference, sample = components("heterodyne", TRUTH, AXES)
    exact, _ = quad(lambda t: 150.0 * t**-0.4 + 25.0, AXES.t[0], AXES.t[-1], epsabs=0, epsrel=1e-13)
    assert sample.displacement[0] == 0.0
    assert sample.displacement[-1] == pytest.approx(exact, rel=1e-12)
    assert not reference.displacement.any()
    np.testing.assert_allclose(reference.amplitude + sample.amplitude, 1.0, rtol=1e-15)


def test_two_components_are_the_heterodyne_mode():
    p = dict(TRUTH, f2=0.0)
    names = [spec.name for spec in multicomponent_parameters(2)]
    values = [value for name, value in p.items() if name != "f2"]
    same = components("multicomponent", dict(zip(names, values, strict=True)), AXES)
    for one, other in zip(components("heterodyne", p, AXES), same, strict=True):
        np.testing.assert_allclose(one.amplitude, other.amplitude, rtol=1e-14)
        np.testing.assert_allclose(one.spread, other.spread, rtol=1e-14)
        np.testing.assert_allclose(one.displacement, other.displacement, rtol=1e-14)
        assert one.direction == other.direction


def test_layers_of_a_sheared_gap_add_up_to_the_sinc():
    gap, q = 2e6, AXES.q.max()
    layers = components("laminar_flow", [100, 0, 0, 2e-4, 0.3, 1e-5, 0.0], AXES, gap)
    strain = np.array([quad(lambda s: 2e-4 * s**0.3 + 1e-5, AXES.t[0], t)[0] for t in AXES.t])
    x = 0.5 * q * gap * strain
    field = sum(c.amplitude[0] ** 2 * np.exp(1j * q * c.displacement) for c in layers)
    assert x.max() > 10
    np.testing.assert_allclose(field, np.sinc(x / np.pi), atol=1e-10)


def test_parameters_by_name_and_in_order_are_the_same():
    by_name = components("heterodyne", dict(reversed(TRUTH.items())), AXES)
    in_order = components("heterodyne", list(TRUTH.values()), AXES)
    assert all(np.array_equal(a.spread, b.spread) for a, b in zip(by_name, in_order, strict=True))


@pytest.mark.parametrize("mode", ["heterodyne", "heterodyne_equilibrium", "multicomponent_3", "laminar_flow"])
def test_a_registered_model_that_names_its_field_components_is_simulated_like_the_built_in_one(mode):
    model = ModelFactory.create_model(mode)
    model.name = "own_fields"
    values = [spec.default for spec in model.parameters]
    known = components(mode, values, AXES, 1e5)
    ModelFactory.register(model)
    try:
        for one, other in zip(components("own_fields", values, AXES, 1e5), known, strict=True):
            for part in ("amplitude", "spread", "displacement", "direction"):
                np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    finally:
        ModelFactory.unregister("own_fields")


@pytest.mark.parametrize(
    ("mode", "change", "said"),
    [
        ("heterodyne", {"f0": 0.9}, "a fraction is 1.16"),
        ("heterodyne", {"D_offset_ref": -200.0}, r"J\(t\) falls to -1"),
        ("heterodyne", {"v0": np.nan}, "v0: not a finite number"),
        ("heterodynes", {}, "did you mean 'heterodyne'"),
        ("multicomponent", {}, "14 parameters do not make a multicomponent model"),
        ("laminar_flow", None, "gap"),
        ("kww", None, "a relaxation, not a field"),
    ],
)
def test_what_no_field_can_do_is_an_error(mode, change, said):
    defaults = {s.name: s.default for s in PARAMETERS.get(mode, ())}
    params = defaults if change is None else {**TRUTH, **change}
    with pytest.raises(ConfigurationError, match=said):
        components(mode, params, AXES)


def test_a_misspelt_parameter_is_named_with_the_right_one():
    params = dict(TRUTH)
    params["D_0_ref"] = params.pop("D0_ref")
    with pytest.raises(ConfigurationError, match="unknown 'D_0_ref'; missing 'D0_ref'") as error:
        components("heterodyne", params, AXES)
    assert "did you mean 'D0_ref'?" in str(error.value)
