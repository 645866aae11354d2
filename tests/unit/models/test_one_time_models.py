"""One-time models: their published formulas, what they are made of, and models of a user's own."""

from __future__ import annotations

import numpy as np
import pytest

from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.config.parameters import PARAMETERS
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory, OneTimeModel, ParameterSpec
from heterodyne_nb.models import one_time as ot
from heterodyne_nb.models.one_time_scopes import ScopedModel
from heterodyne_nb.models.symmetries import canonical

TAU = np.geomspace(1e-2, 30.0, 40)
Q, PHI = 0.01, 25.0
ONE_TIME = sorted(name for name in ModelFactory.names() if ModelFactory.create_model(name).one_time)

FORMULAS = {
    "single_exponential": ([0.7], lambda t: np.exp(-2 * 0.7 * t)),
    "ballistic": ([0.7], lambda t: np.exp(-2 * (0.7 * t) ** 2)),
    "compressed_exponential": ([0.7, 1.6], lambda t: np.exp(-2 * (0.7 * t) ** 1.6)),
    "double_exponential": (
        [3.0, 0.2, 0.3],
        lambda t: (0.3 * np.exp(-3.0 * t) + 0.7 * np.exp(-0.2 * t)) ** 2,
    ),
    "double_stretched": (
        [3.0, 0.7, 0.2, 1.4, 0.3],
        lambda t: (0.3 * np.exp(-((3.0 * t) ** 0.7)) + 0.7 * np.exp(-((0.2 * t) ** 1.4))) ** 2,
    ),
    "cumulants_2": ([0.7, 0.2], lambda t: (np.exp(-0.7 * t) * (1 + 0.1 * (0.7 * t) ** 2)) ** 2),
    "cumulants_3": (
        [0.7, 0.2, 0.06],
        lambda t: (np.exp(-0.7 * t) * (1 + 0.1 * (0.7 * t) ** 2 - 0.01 * (0.7 * t) ** 3)) ** 2,
    ),
    "partial_siegert": (
        [0.7, 0.8, 0.4],
        lambda t: 0.16 * np.exp(-2 * (0.7 * t) ** 0.8) + 0.48 * np.exp(-((0.7 * t) ** 0.8)) + 0.36,
    ),
    "oscillating": (
        [0.9, 5.0, 0.1, 0.3],
        lambda t: (
            0.09 * np.exp(-1.8 * t) + 0.49 * np.exp(-0.2 * t) + 0.42 * np.exp(-1.0 * t) * np.cos(5.0 * t)
        ),
    ),
    "laminar_sinc2": (
        [0.1, 600.0, 10.0],
        lambda t: (
            np.exp(-0.2 * t) * np.sinc(0.5 * Q * 600.0 * np.cos(np.radians(10.0 - PHI)) * t / np.pi) ** 2
        ),
    ),
}


OTHERS = {"kww": [0.7, 0.8], "heterodyne_equilibrium": [0.3, 900.0, 9000.0, 500.0, 10.0]}


@pytest.mark.parametrize("mode", FORMULAS)
def test_a_model_is_its_published_formula(mode: str) -> None:
    values, formula = FORMULAS[mode]
    model = ModelFactory.create_model(mode)
    np.testing.assert_allclose(
        model.correlation(values, TAU, q=Q, phi=PHI), formula(TAU), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("mode", ONE_TIME)
def test_parameters_stand_in_the_order_in_which_the_formula_takes_them(mode: str) -> None:
    model = ModelFactory.create_model(mode)
    assert model.parameters == PARAMETERS[mode]
    if isinstance(model, ot.FieldSum):
        again = ot.FieldSum("other", model.components, model.envelope)
        assert again.parameter_names == model.parameter_names
    assert float(
        model.correlation([s.default for s in model.parameters], 0.0, q=Q, phi=PHI)
    ) == pytest.approx(1.0)


@pytest.mark.parametrize("mode", ONE_TIME)
def test_derivatives_are_those_of_the_values(mode: str) -> None:
    model = ModelFactory.create_model(mode)
    values = np.array(FORMULAS[mode][0] if mode in FORMULAS else OTHERS[mode])
    m, slopes = model.with_derivatives(values[:, None, None], TAU, np.array([[Q]]), np.array([[PHI]]))
    np.testing.assert_allclose(m[0], model.correlation(values, TAU, q=Q, phi=PHI), rtol=1e-12)
    for i, value in enumerate(values):
        h = 1e-4 * max(abs(value), 1e-3)
        high, low = values.copy(), values.copy()
        high[i], low[i] = value + h, value - h
        expected = (
            model.correlation(high, TAU, q=Q, phi=PHI) - model.correlation(low, TAU, q=Q, phi=PHI)
        ) / (2 * h)
        np.testing.assert_allclose(slopes[i, 0], expected, atol=1e-5 * np.abs(expected).max() + 1e-12)


def test_oscillations_per_bin_are_the_equilibrium_formula() -> None:
    j_ref, j_sample, v, phi0, x = 80.0, 900.0, 500.0, 10.0, 0.3
    rates = [0.5 * Q**2 * j_sample, Q * v * np.cos(np.radians(phi0 - PHI)), 0.5 * Q**2 * j_ref, x]
    per_bin = ModelFactory.create_model("oscillating").correlation(rates, TAU)
    joint = ModelFactory.create_model("heterodyne_equilibrium")
    np.testing.assert_allclose(
        per_bin, joint.correlation([x, j_ref, j_sample, v, phi0], TAU, q=Q, phi=PHI), rtol=1e-12
    )


def test_the_faster_of_two_like_decays_comes_first() -> None:
    model = ModelFactory.create_model("double_stretched")
    values = np.array([0.2, 1.4, 3.0, 0.7, 0.7])
    told = canonical(model, values, TAU, resolve_parameters(model.name, {}, specs=model.parameters))
    np.testing.assert_allclose(told, [3.0, 0.7, 0.2, 1.4, 0.3], rtol=1e-12)
    np.testing.assert_allclose(model.correlation(told, TAU), model.correlation(values, TAU), rtol=1e-12)


class Plateau(OneTimeModel):
    name = "plateau"
    parameters = (
        ParameterSpec("Gamma", "1/s", 1.0, 1e-9, 1e9, "rate"),
        ParameterSpec("level", "1", 0.1, 0.0, 1.0, "plateau"),
    )

    def evaluate(self, values, tau, q, phi):
        return values[1] + (1 - values[1]) * np.exp(-2 * values[0] * tau)


def test_a_model_of_ones_own_is_a_name_parameters_and_a_formula() -> None:
    name = ModelFactory.register(Plateau)
    try:
        m = ModelFactory.create_model(name).correlation([0.5, 0.2], TAU, q=[[0.01], [0.02]])
        np.testing.assert_allclose(m, np.tile(0.2 + 0.8 * np.exp(-TAU), (2, 1)))
    finally:
        ModelFactory.unregister(name)


class OnlyCorrelation(OneTimeModel):
    name = "only_correlation"
    parameters = Plateau.parameters

    def correlation(self, params, tau, *, q=0.0, phi=0.0):
        gamma, level = self.unpack(params)
        tau, q, phi = np.broadcast_arrays(np.asarray(tau, float), q, phi)
        return level + (1 - level) * np.exp(-2 * gamma * tau)


def test_a_model_with_correlation_alone_may_have_other_parameters_in_every_curve() -> None:
    values = np.array([[0.5, 1.0], [0.2, 0.3]])[:, :, None]
    bins = np.array([[0.01], [0.02]]), np.zeros((2, 1))
    np.testing.assert_allclose(
        OnlyCorrelation().evaluate(values, TAU, *bins), Plateau().evaluate(values, TAU, *bins)
    )


def test_a_model_without_a_formula_is_an_error() -> None:
    class Nothing(OneTimeModel):
        name, parameters = "nothing", Plateau.parameters

    with pytest.raises(ConfigurationError, match="'nothing' has no formula"):
        Nothing().correlation([1.0, 0.1], TAU)


def test_parameters_on_bins_follow_their_scopes_and_laws() -> None:
    q, phi = np.array([0.004, 0.004, 0.008, 0.008]), np.array([0.0, 60.0, 0.0, 60.0])
    model = ScopedModel(
        ModelFactory.create_model("oscillating"),
        {"Gamma_sample": "diffusive", "omega": "flow", "Gamma_ref": "q", "fraction_sample": "each"},
        q,
        phi,
    )
    assert model.parameter_names[:5] == (
        "Gamma_sample.D", "omega.v", "omega.phi0", "Gamma_ref[q=0.004]", "Gamma_ref[q=0.008]",
    )  # fmt: skip
    assert model.parameter_names[5] == "fraction_sample[q=0.004,phi=0]"
    theta = np.array([2e3, 300.0, 30.0, 0.1, 0.4, 0.2, 0.3, 0.4, 0.5])
    local = model.local(theta)
    np.testing.assert_allclose(local[0], 2e3 * q**2)
    np.testing.assert_allclose(local[1], 300.0 * q * np.cos(np.radians(30.0)))
    np.testing.assert_allclose(local[2:], [[0.1, 0.1, 0.4, 0.4], [0.2, 0.3, 0.4, 0.5]])
    for k in range(len(theta)):
        h = 1e-5 * theta[k]
        change = model.local(theta + h * np.eye(9)[k]) - model.local(theta - h * np.eye(9)[k])
        np.testing.assert_allclose(model.chain(theta)[:, :, k], change / (2 * h), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(model.start(local), theta, rtol=1e-6)
    curve = model.base.correlation(local[:, 3], TAU)
    np.testing.assert_allclose(model.correlation(theta, TAU, q=0.008, phi=60.0), curve, rtol=1e-12)


def test_power_and_linear_laws_are_about_the_mean_q() -> None:
    q = np.array([0.005, 0.01, 0.02])
    model = ScopedModel(
        ModelFactory.create_model("kww"), {"Gamma": "power", "alpha": "linear"}, q, np.zeros(3)
    )
    assert model.parameter_names == ("Gamma.mid", "Gamma.n", "alpha.mid", "alpha.slope")
    local = model.local([2.0, 2.5, 0.9, 0.1])
    np.testing.assert_allclose(local[0], 2.0 * (q / 0.01) ** 2.5)
    np.testing.assert_allclose(local[1], 0.9 + 0.1 * (q / 0.01 - 1.0))
    np.testing.assert_allclose(model.start(local), [2.0, 2.5, 0.9, 0.1], rtol=1e-9)


DECAYS = ("Gamma_fast", "alpha_fast", "Gamma_slow", "alpha_slow")
OF_LAWS = {"Gamma_fast": "power", "Gamma_slow": "power", "fraction_fast": "linear"}


@pytest.mark.parametrize(
    ("scopes", "values", "expected"),
    [
        ({}, [0.2, 1.4, 3.0, 0.7, 0.6], [3.0, 0.7, 0.2, 1.4, 0.4]),
        (
            {"Gamma_fast": "q", "Gamma_slow": "q"},
            [0.2, 0.3, 4.0, 1.4, 3.0, 5.0, 2.0, 0.7, 0.6],
            [3.0, 5.0, 2.0, 0.7, 0.2, 0.3, 4.0, 1.4, 0.4],  # most bins decide, for all share alpha
        ),
        (OF_LAWS, [0.2, 1.5, 1.4, 3.0, 2.0, 0.7, 0.6, 0.1], [3.0, 2.0, 0.7, 0.2, 1.5, 1.4, 0.4, -0.1]),
        (
            dict.fromkeys((*DECAYS, "fraction_fast"), "each"),
            [0.2, 4.0, 0.1, 1.4, 0.8, 1.3, 3.0, 2.0, 5.0, 0.7, 0.9, 0.6, 0.6, 0.5, 0.8],
            [3.0, 4.0, 5.0, 0.7, 0.8, 0.6, 0.2, 2.0, 0.1, 1.4, 0.9, 1.3, 0.4, 0.5, 0.2],  # each bin by itself
        ),
    ],
)
def test_the_faster_of_two_decays_of_many_bins_comes_first(
    scopes: dict[str, str], values: list[float], expected: list[float]
) -> None:
    q = np.array([0.005, 0.01, 0.02])
    model = ScopedModel(ModelFactory.create_model("double_stretched"), scopes, q, np.zeros(3))
    table = resolve_parameters(model.name, {}, specs=model.parameters)
    told = canonical(model, values, TAU, table)
    np.testing.assert_allclose(told, expected, rtol=1e-12)
    curves = [model.correlation(theta, TAU, q=q[:, None]) for theta in (told, values)]
    np.testing.assert_allclose(*curves, rtol=1e-12)
    np.testing.assert_array_equal(canonical(model, told, TAU, table), told)


def test_unlike_scopes_and_bounds_leave_two_decays_as_they_are() -> None:
    base, q = ModelFactory.create_model("double_stretched"), np.array([0.005, 0.01])
    unlike = ScopedModel(base, {"Gamma_fast": "power", "Gamma_slow": "q"}, q, np.zeros(2))
    values = np.array([0.2, 1.5, 1.4, 3.0, 4.0, 0.7, 0.6])
    table = resolve_parameters(base.name, {}, specs=unlike.parameters)
    np.testing.assert_array_equal(canonical(unlike, values, TAU, table), values)
    like = ScopedModel(base, {"Gamma_fast": "q", "Gamma_slow": "q"}, q, np.zeros(2))
    values = np.array([0.2, 0.3, 1.4, 3.0, 4.0, 0.7, 0.6])
    held = resolve_parameters(base.name, {"alpha_fast": {"value": 1.4, "vary": False}}, specs=like.parameters)
    np.testing.assert_array_equal(canonical(like, values, TAU, held), values)


def test_velocities_of_many_bins_are_reported_positive() -> None:
    base, q = ModelFactory.create_model("heterodyne_equilibrium"), np.array([0.005, 0.01])
    model = ScopedModel(base, {"v": "q"}, q, np.zeros(2))
    values = np.array([0.3, 100.0, 900.0, -50.0, 70.0, 20.0])
    told = canonical(model, values, TAU, resolve_parameters(base.name, {}, specs=model.parameters))
    np.testing.assert_allclose(told, np.abs(values))


@pytest.mark.parametrize(
    ("scopes", "words"), [({"Gama": "q"}, "no parameter 'Gama'"), ({"Gamma": "ring"}, "unknown scope")]
)
def test_unknown_names_and_scopes_are_errors(scopes: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        ScopedModel(ModelFactory.create_model("kww"), scopes, np.array([0.01]), np.zeros(1))
