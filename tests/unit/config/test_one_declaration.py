"""Every door to a fit takes the same settings with the same defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import heterodyne_nb as hnb
from heterodyne_nb.app.config_editor import ConfigEditor
from heterodyne_nb.app.robust_form import RobustForm
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.app.session.entries import FitSettings
from heterodyne_nb.app.session.tasks import robust_arguments
from heterodyne_nb.app.settings_form import SettingsForm
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.optimize import STRATEGIES
from heterodyne_nb.options import (
    METHOD_OPTIONS,
    METHODS,
    ExecutionOptions,
    FitOptions,
    Options,
    RobustOptions,
    Tolerances,
    WassersteinOptions,
    method_options,
)
from heterodyne_nb.result.provenance import FIT_ARGUMENTS, ROBUST_ARGUMENTS

#: Arguments of a call that are no settings: data, values, and what belongs to the running process.
NO_SETTINGS = {
    "dataset",
    "parameters",
    "start",
    "on_progress",
    "stop",
    "journal",
    *ExecutionOptions.model_fields,
}


@pytest.fixture
def session() -> Iterator[AnalysisSession]:
    made = AnalysisSession()
    yield made
    made.close()


@pytest.fixture
def own_strategy() -> Iterator[str]:
    class Mine(STRATEGIES["trf"]):  # type: ignore[misc, name-defined]
        """Somebody's own strategy, with a setting of its own."""

        def __init__(self, patience: int = 3, **call: Any) -> None:
            super().__init__(**call)
            self.patience = patience

    METHODS["my_strategy"] = Mine
    yield "my_strategy"
    del METHODS["my_strategy"]


def differing(call: Callable[..., Any], options: type[Options]) -> dict[str, tuple[Any, Any]]:
    """Settings whose default in a call is not that of the options, or that only one of them has."""
    keywords = {
        name: one.default
        for name, one in inspect.signature(call).parameters.items()
        if name not in NO_SETTINGS
    }
    declared = {name: options.default(name) for name in options.model_fields}
    plain = {name: {} if value is None and name == "options" else value for name, value in keywords.items()}
    return {
        name: (plain.get(name, "missing"), declared.get(name, "missing"))
        for name in {*plain, *declared}
        if plain.get(name, "missing") != declared.get(name, "missing")
    }


@pytest.mark.parametrize(
    ("call", "options"), [(hnb.fit, FitOptions), (hnb.fit_robust, RobustOptions)], ids=["fit", "fit_robust"]
)
def test_the_keywords_of_a_call_are_the_declared_settings(call: Any, options: type[Options]) -> None:
    assert differing(call, options) == {}


@pytest.mark.parametrize("method", METHOD_OPTIONS)
def test_a_strategy_has_the_declared_settings_and_a_configuration_the_same(method: str) -> None:
    declared = method_options(method)
    section = ConfigManager.template("heterodyne").settings.optimization.classical
    assert getattr(section, method) == declared()
    own = inspect.signature(STRATEGIES[method]).parameters
    assert {name: own[name].default for name in declared.model_fields} == dict(declared())


def test_a_configuration_that_says_nothing_fits_as_a_call_that_says_nothing() -> None:
    settings = ConfigManager.template("heterodyne").settings
    plain, robust = settings.fit_options(), settings.robust_options()
    assert plain == FitOptions()
    assert plain.arguments() == {"mode": "heterodyne"}
    assert {
        n: getattr(robust, n) for n in RobustOptions.model_fields if n not in ("radius", "calibration")
    } == {
        n: RobustOptions.default(n) for n in RobustOptions.model_fields if n not in ("radius", "calibration")
    }
    assert set(robust.radii().values()) == {"auto"}
    assert Tolerances.above_zero(robust.calibration) == Tolerances.above_zero()


def test_a_session_that_is_told_nothing_fits_as_a_call_that_says_nothing(session: AnalysisSession) -> None:
    assert set(FitSettings.model_fields) == set(FitOptions.model_fields)
    assert dict(session.settings) == dict(FitOptions())


def test_a_script_and_a_record_hold_every_setting() -> None:
    assert set(FIT_ARGUMENTS) == {*FitOptions.model_fields, "parameters"}
    assert set(ROBUST_ARGUMENTS) == {*RobustOptions.model_fields, "parameters", "start"}


def test_every_setting_of_a_robust_fit_has_a_field_that_shows_its_default(session: AnalysisSession) -> None:
    form = RobustForm(session)
    shown = {path.rpartition(".")[2]: one.read() for path, one in form.fields.items()}
    asked = set(RobustOptions.model_fields) - set(FitOptions.model_fields) - {"methods", "calibration"}
    assert asked | set(Tolerances.model_fields) == set(shown)
    wanted = {**{n: RobustOptions.default(n) for n in asked}, **dict(Tolerances())}
    assert shown == wanted
    assert form.arguments(form.chosen()) == {}
    form.close()


def test_a_price_of_a_quarter_reaches_the_fit(session: AnalysisSession) -> None:
    form = RobustForm(session)
    form.fields["price"].control.value = "0.25"
    assert form.arguments(["wasserstein"]) == {"price": 0.25}
    form.fields["price"].control.value = ""
    assert form.arguments(["wasserstein"]) == {"price": None}
    form.close()


def test_a_frame_stripe_tolerance_and_iterations_reach_the_fit(session: AnalysisSession) -> None:
    form = RobustForm(session)
    typed = {"ellipsoidal.tolerances.frame_stripe": "0.02", "tolerance": "1e-7", "max_iterations": "9"}
    for path, text in typed.items():
        form.fields[path].control.value = text
    given = form.arguments(["ellipsoidal"])
    assert given == {
        "tolerance": 1e-7,
        "max_iterations": 9,
        "calibration": {**Tolerances.above_zero(), "frame_stripe": 0.02},
    }
    assert RobustOptions.read({"methods": ("ellipsoidal",), **given}).max_iterations == 9
    form.close()


def test_the_scale_of_a_loss_has_a_field(session: AnalysisSession) -> None:
    form = SettingsForm(session)
    form.loss.value = "huber"
    form.loss_scale.value = "2.5"
    assert session.settings.loss_scale == 2.5
    form.loss_scale.value = ""
    assert session.settings.loss_scale == "auto"
    form.close()


def test_a_robust_fit_of_a_session_is_asked_nothing_that_only_a_plain_fit_knows(
    session: AnalysisSession,
) -> None:
    session.change_settings(via="frames", method="trf", time_limit=60)
    given = robust_arguments(session.settings, session.parameters, {"price": 0.5})
    assert set(given) <= set(inspect.signature(hnb.fit_robust).parameters)


def test_every_door_fits_to_the_same_tolerances() -> None:
    own = inspect.signature(STRATEGIES["gauss_newton"]).parameters
    section = ConfigManager.template("heterodyne").settings.optimization.classical.gauss_newton
    assert (section.ftol, section.gtol) == (own["ftol"].default, own["gtol"].default)
    assert ConfigManager.template("heterodyne").settings.fit_options().options == {}


def test_a_configuration_may_name_the_number_of_components_as_a_fit_does() -> None:
    read = ConfigManager.from_dict({"analysis_settings": {"mode": "multicomponent_3"}})
    assert read.settings.model == "multicomponent_3"
    assert read.settings.fit_options().mode == "multicomponent_3"


def test_a_configuration_and_its_form_take_a_registered_strategy(
    own_strategy: str, session: AnalysisSession
) -> None:
    read = ConfigManager.from_dict(
        {
            "analysis_settings": {"mode": "heterodyne"},
            "optimization": {"classical": {"methods": [own_strategy], own_strategy: {"patience": 5}}},
        }
    )
    assert read.settings.fit_options().options == {"patience": 5}
    editor = ConfigEditor(session)
    editor.show(read)
    assert editor.config.settings.fit_options().options == {"patience": 5}
    editor.show(ConfigManager.template("heterodyne"))
    assert not editor.apply.disabled
    editor.close()


def test_a_radius_below_zero_is_refused_by_its_own_method() -> None:
    with pytest.raises(hnb.ConfigurationError, match="radius"):
        WassersteinOptions.read({"radius": -1})
