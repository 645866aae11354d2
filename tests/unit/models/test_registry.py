"""Models by name, plugins registered by hand, and plugins announced by installed packages."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest

from heterodyne_nb.config.parameters import PARAMETERS, ParameterSpec, multicomponent_parameters
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory, ModelPlugin, registry
from heterodyne_nb.models.one_time import KWWModel

RATE = ParameterSpec("rate", "1/s", 0.5, 0.0, 10.0, "decay rate")
FIXED_COUNT = {name: len(specs) for name, specs in PARAMETERS.items()}


class Decay(ModelPlugin):
    """One-time exponential decay."""

    parameters = (RATE,)

    def get_model_name(self) -> str:
        return "plain_decay"

    def compute_correlation(self, tau: Any, params: Any, q: Any, phi: Any = None) -> Any:
        return np.exp(-params[0] * tau)


class Ageing(Decay):
    """The same across two times."""

    two_time = True

    def get_model_name(self) -> str:
        return "ageing_decay"

    def compute_correlation(self, tau: Any, params: Any, q: Any, phi: Any = None) -> Any:
        t1, t2 = tau
        return np.exp(-params[0] * np.abs(np.log(t2 / t1)))


def variant(**members: Any) -> type[ModelPlugin]:
    return type("Variant", (Decay,), members)


@pytest.fixture(autouse=True)
def nothing_registered() -> Iterator[None]:
    yield
    for name in ("plain_decay", "ageing_decay", "variant"):
        ModelFactory.unregister(name)


@pytest.fixture
def announce(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Announce entry points as installed packages would; targets are names of this module."""

    def install(**targets: str) -> None:
        group = registry.ENTRY_POINT_GROUP
        points = {name: EntryPoint(name, f"{__name__}:{target}", group) for name, target in targets.items()}
        monkeypatch.setattr(registry, "installed", lambda group: points)

    return install


@pytest.mark.parametrize(("mode", "count"), FIXED_COUNT.items())
def test_every_published_mode_can_be_created(mode: str, count: int) -> None:
    model = ModelFactory.create_model(mode)
    assert (model.name, len(model.parameters)) == (mode, count)
    assert model.one_time != (mode.startswith("static") or mode in ("laminar_flow", "heterodyne"))
    assert mode in ModelFactory.names()


@pytest.mark.parametrize("n", range(2, 7))
def test_multicomponent_takes_the_number_of_components(n: int) -> None:
    model = ModelFactory.create_model("multicomponent", n_components=n)
    assert model.name == f"multicomponent_{n}"
    assert model.parameters == multicomponent_parameters(n)
    assert ModelFactory.create_model(model.name).parameters == model.parameters
    assert ModelFactory.create_model("multicomponent").name == "multicomponent_2"


@pytest.mark.parametrize("n", [0, 1, 7, 2.5, "3"])
def test_a_wrong_number_of_components_is_an_error(n: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"n_components is .*\n.*integer, 2 to 6"):
        ModelFactory.create_model("multicomponent", n_components=n)


def test_a_number_of_components_for_another_mode_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="'heterodyne' has a fixed number"):
        ModelFactory.create_model("heterodyne", n_components=2)


def test_an_unknown_mode_is_a_value_error_that_names_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown analysis mode 'heterodine'") as told:
        ModelFactory.create_model("heterodine")
    assert isinstance(told.value, ConfigurationError)
    for name in ModelFactory.names():
        assert name in str(told.value)
    assert str(told.value).endswith("did you mean 'heterodyne'?")


def test_a_mode_unlike_any_other_gets_no_suggestion() -> None:
    with pytest.raises(ConfigurationError) as told:
        ModelFactory.create_model("zzz")
    assert told.value.hint is None


@pytest.mark.parametrize("plugin", [Decay, Decay()], ids=["class", "object"])
def test_a_registered_plugin_is_a_model_like_any_other(plugin: Any) -> None:
    assert ModelFactory.register(plugin) == "plain_decay"
    assert "plain_decay" in ModelFactory.names()
    model = ModelFactory.create_model("plain_decay")
    assert (model.one_time, model.parameter_names) == (True, ("rate",))
    tau = np.linspace(0.1, 4.0, 5)
    m = model.correlation([0.5], tau[None, :], q=np.array([[0.01], [0.02]]))
    np.testing.assert_array_equal(m, np.tile(np.exp(-0.5 * tau), (2, 1)))


def test_a_two_time_plugin_gets_both_times() -> None:
    ModelFactory.register(Ageing)
    model = ModelFactory.create_model("ageing_decay")
    t = np.arange(1.0, 6.0)
    m = model.correlation([0.5], t[:, None], t[None, :], q=0.01)
    assert (model.one_time, m.shape) == (False, (5, 5))
    np.testing.assert_allclose(m[0], t**-0.5)


def test_a_plugin_registered_again_replaces_the_former() -> None:
    ModelFactory.register(Decay)
    ModelFactory.register(variant(compute_correlation=lambda self, tau, params, q, phi=None: 0.5 + 0 * tau))
    assert float(ModelFactory.create_model("plain_decay").correlation([1.0], 2.0)) == 0.5


def test_an_unregistered_plugin_is_unknown_again() -> None:
    ModelFactory.register(Decay)
    ModelFactory.unregister("plain_decay")
    ModelFactory.unregister("plain_decay")
    with pytest.raises(ConfigurationError, match="unknown analysis mode"):
        ModelFactory.create_model("plain_decay")


@pytest.mark.parametrize(
    "name", ["heterodyne", "kww", "multicomponent", "multicomponent_3", "two words", "", "1st"]
)
def test_a_plugin_may_not_take_a_built_in_or_unusable_name(name: str) -> None:
    with pytest.raises(ConfigurationError, match="a plugin cannot be called"):
        ModelFactory.register(variant(get_model_name=lambda self: name))


class Told(ModelPlugin):
    """Tells its parameters in one line of its code alone."""

    def get_model_name(self) -> str:
        return "variant"

    def compute_correlation(self, tau: Any, params: Any, q: Any, phi: Any = None) -> Any:
        rate, share = np.asarray(params)
        return share * np.exp(-rate * tau)


class ByPlace(Told):
    def compute_correlation(self, tau: Any, params: Any, q: Any, phi: Any = None) -> Any:
        rate = params[0]
        return params[2] * np.exp(-rate * tau)


class Rest(Told):
    def compute_correlation(self, tau: Any, params: Any, q: Any, phi: Any = None) -> Any:
        rate, *_ = params
        return np.exp(-rate * tau)


class Empty(Told):
    def compute_correlation(self, tau: Any, params: Any, q: Any, phi: Any = None) -> Any:
        pass


def parameters_of(name: str) -> tuple[ParameterSpec, ...]:
    return ModelFactory.create_model(name).parameters


@pytest.mark.parametrize(("plugin", "names"), [(Told, ["rate", "share"]), (ByPlace, ["rate", "p1", "p2"])])
def test_parameters_are_read_from_the_code_where_none_are_given(plugin: Any, names: list[str]) -> None:
    found = parameters_of(ModelFactory.register(plugin))
    assert [spec.name for spec in found] == names
    assert {(spec.default, spec.lower, spec.upper) for spec in found} == {(1.0, 1e-3, 1e3)}


@pytest.mark.parametrize("plugin", [Empty, Rest])
def test_a_plugin_whose_parameters_cannot_be_told_is_an_error_that_says_how_to_give_them(plugin: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"names no parameters(.|\n)*register\(..., parameters="):
        ModelFactory.register(plugin)


def test_parameters_may_be_given_at_registration() -> None:
    given = {"rate": 20.0, "share": {"value": 0.0, "min": -1, "max": 1, "unit": "1", "description": "share"}}
    rate, share = parameters_of(ModelFactory.register(Empty, parameters=given))
    assert (rate.default, rate.lower, rate.upper) == (20.0, 0.02, 2e4)
    assert share == ParameterSpec("share", "1", 0.0, -1.0, 1.0, "share")
    assert parameters_of(ModelFactory.register(Empty, parameters=(RATE,))) == (RATE,)
    assert [s.name for s in parameters_of(ModelFactory.register(Empty, parameters=["a", "b"]))] == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rate": {"vlaue": 1.0}}, "did you mean 'value'"),
        ({"rate": {"value": 3.0, "max": 2.0}}, "min <= value <= max"),
        ({"rate": float("nan")}, "a finite number"),
        ({"two words": 1.0}, "a plain word"),
        (["rate", "rate"], "a name once each"),
        ("rate", "names no parameters"),
    ],
)
def test_wrong_parameters_of_a_plugin_are_errors(given: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        ModelFactory.register(Empty, parameters=given)


def test_a_model_with_curves_keeps_its_own_parameters() -> None:
    with pytest.raises(ConfigurationError, match="has parameters of its own"):
        ModelFactory.register(type("Own", (KWWModel,), {"name": "variant"}), parameters=["a"])


@pytest.mark.parametrize("thing", [np.exp, object, 3])
def test_something_else_than_a_plugin_is_an_error(thing: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no model"):
        ModelFactory.register(thing)


def test_an_answer_of_the_wrong_shape_is_an_error_that_states_both_shapes() -> None:
    ModelFactory.register(variant(compute_correlation=lambda self, tau, params, q, phi=None: np.ones(3)))
    with pytest.raises(ConfigurationError, match=r"returned shape \(3,\)\n  expected: shape \(5,\)"):
        ModelFactory.create_model("plain_decay").correlation([1.0], np.ones(5))


def test_a_plugin_that_fails_is_an_error_of_ours_that_carries_its_own() -> None:
    ModelFactory.register(variant(compute_correlation=lambda self, tau, params, q, phi=None: params[1]))
    with pytest.raises(ConfigurationError, match="'plain_decay' failed: IndexError") as told:
        ModelFactory.create_model("plain_decay").correlation([1.0], np.ones(5))
    assert isinstance(told.value.__cause__, IndexError)


def test_installed_plugins_are_found(announce: Any) -> None:
    announce(plain_decay="Decay", ageing_decay="Ageing")
    assert {"plain_decay", "ageing_decay", "heterodyne"} <= set(ModelFactory.names())
    assert float(ModelFactory.create_model("plain_decay").correlation([1.0], 1.0)) == pytest.approx(
        np.exp(-1)
    )


@pytest.mark.parametrize("target", ["NoSuchClass", "RATE", "np"])
def test_a_broken_installed_plugin_says_why_and_breaks_no_other(announce: Any, target: str) -> None:
    announce(broken=target, plain_decay="Decay")
    assert ModelFactory.create_model("plain_decay").name == "plain_decay"
    assert ModelFactory.create_model("heterodyne").name == "heterodyne"
    with pytest.raises(ConfigurationError, match=rf"model plugin 'broken' \(.*:{target}\) cannot be used"):
        ModelFactory.create_model("broken")


def test_an_installed_plugin_cannot_replace_a_built_in_model(announce: Any) -> None:
    announce(kww="Decay")
    assert ModelFactory.create_model("kww").parameter_names == ("Gamma", "alpha")


@pytest.mark.parametrize("mode", ModelFactory.names())
def test_wrong_parameter_vectors_are_errors(mode: str) -> None:
    model = ModelFactory.create_model(mode)
    with pytest.raises(ConfigurationError, match=f"40 parameters given to model '{mode}'"):
        model.unpack([1.0] * 40)
    values = [spec.default for spec in model.parameters]
    with pytest.raises(
        ConfigurationError, match=f"{model.parameter_names[0]} of model '{mode}' are not finite"
    ):
        model.unpack([np.inf, *values[1:]])


@pytest.mark.parametrize("mode", ModelFactory.names())
def test_defaults_lie_inside_their_bounds(mode: str) -> None:
    for spec in ModelFactory.create_model(mode).parameters:
        assert spec.lower < spec.upper
        assert spec.lower <= spec.default <= spec.upper


@pytest.mark.parametrize("gap", [None, 0.0, -1.0, np.nan, "wide"])
def test_laminar_flow_without_a_usable_gap_is_an_error(gap: Any) -> None:
    model = ModelFactory.create_model("laminar_flow")
    values = [spec.default for spec in model.parameters]
    with pytest.raises(ConfigurationError, match="needs the gap of the shear cell"):
        model.correlation(values, 1.0, 2.0, q=0.01, gap=gap)


@pytest.mark.parametrize("mode", ["static_isotropic", "laminar_flow", "heterodyne", "multicomponent_3"])
@pytest.mark.parametrize("times", [(0.0, 1.0), (1.0, -1.0), (np.nan, 1.0)])
def test_times_before_the_first_frame_are_an_error(mode: str, times: tuple[float, float]) -> None:
    model = ModelFactory.create_model(mode)
    values = [spec.default for spec in model.parameters]
    with pytest.raises(ConfigurationError, match="absolute times above 0 s"):
        model.correlation(values, *times, q=0.01, gap=1e6)
