"""The configuration's form: made from the schema, checked field by field, applied to a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from heterodyne_nb import AnalysisSession, ConfigManager
from heterodyne_nb.app import ConfigEditor
from heterodyne_nb.config.schema import Settings


@pytest.fixture
def editor() -> Iterator[ConfigEditor]:
    one = ConfigEditor(AnalysisSession())
    yield one
    one.close()
    one.session.close()


@pytest.fixture(scope="module")
def form() -> Iterator[ConfigEditor]:
    """One for the tests that fill all of it."""
    one = ConfigEditor(AnalysisSession())
    yield one
    one.close()
    one.session.close()


@pytest.fixture(scope="module")
def valid(form: ConfigEditor) -> ConfigEditor:
    """The form of a heterodyne fit, for tests that leave it as it was."""
    form.show(ConfigManager.template("heterodyne"))
    return form


def paths(model: type, prefix: str = "") -> set[str]:
    """Every setting of the schema by dotted path, read from the model itself."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and hasattr(inner, "model_fields"):
            found |= paths(inner, f"{prefix}{name}.")
        else:
            found.add(prefix + name)
    return found


def test_every_setting_of_the_schema_has_a_field(form: ConfigEditor) -> None:
    assert set(form.fields) == paths(Settings)


@pytest.mark.parametrize(
    "mode", ["heterodyne", "static_isotropic", "laminar_flow", "kww", "heterodyne_equilibrium"]
)
def test_the_form_holds_a_configuration_without_changing_it(form: ConfigEditor, mode: str) -> None:
    config = ConfigManager.template(mode).updated(
        {
            "masks.frames": [[3, 7], [20, 21]],
            "scattering.wavevector_q": [0.006, 0.0123456789],
            "optimization.classical.methods": ["trf", "gauss_newton"],
            "optimization.classical.trf.ftol": 1e-13,
            "optimization.time_limit": 12.5,
            "metadata.authors": ["A. Nother"],
            "angle_filtering": {"enabled": True, "target_ranges": [{"min_angle": -10, "max_angle": 10}]},
        }
    )
    form.show(config)
    assert form.config == config
    assert "All settings are valid" in form.summary.value


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("optimization.time_limit", "soon", "&#x27;soon&#x27; is not a number"),
        ("optimization.time_limit", "-3", "-3.0 is out of range; allowed: &gt; 0"),
        ("temporal.start_frame", "2.5", "2.5 is not a whole number"),
        ("temporal.start_frame", "", "allowed"),
        ("optimization.classical.methods", "gaus_newton", "did you mean &#x27;gauss_newton&#x27;?"),
        ("initial_parameters.bounds", '{"v0": [3, 1]}', "lower bound 3 is not below upper bound 1"),
        ("initial_parameters.values", '{"v7": 3}', "unknown parameter &#x27;v7&#x27;"),
        ("masks.frames", "[[3]]", "no frame range"),
        ("optimization.loss_scale", "wide", "or &#x27;auto&#x27;"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(valid: ConfigEditor, path: str, text: str, told: str) -> None:
    field = valid.fields[path]
    before = field.control.value
    field.control.value = text
    if path == "initial_parameters.bounds":  # told by parameter, not by setting
        assert told in field.problem.value + valid.summary.value.replace("&#x27;", "'")
    else:
        assert told in field.problem.value
        assert field.control.layout.border_top.endswith("#D55E00")
    assert valid.apply.disabled
    assert valid.save.disabled
    assert "1 setting to mend" in valid.summary.value
    field.control.value = before
    assert field.control.layout.border_top is None
    assert not valid.apply.disabled


def test_a_section_says_how_much_in_it_is_to_mend(editor: ConfigEditor) -> None:
    editor.fields["optimization.time_limit"].control.value = "-1"
    editor.fields["optimization.classical.trf.ftol"].control.value = "7"
    titles = [editor._form.get_title(k) for k in range(11)]
    assert "optimization — 2 to mend" in titles


def test_what_differs_from_the_template_is_listed(form: ConfigEditor) -> None:
    form.show(ConfigManager.template("heterodyne"))
    assert "Nothing differs" in form.differences.value
    form.fields["optimization.loss"].control.value = "huber"
    assert "1 setting differs" in form.differences.value
    assert "optimization.loss" in form.differences.value
    form.template.click()
    assert form.fields["optimization.loss"].control.value == "linear"


def test_apply_gives_the_configuration_to_the_session_and_undo_takes_it_back(editor: ConfigEditor) -> None:
    session = editor.session
    session.open_example()
    editor.take.click()
    assert editor.fields["data.file"].control.value == session.source
    editor.fields["masks.frames"].control.value = "[[121, 124]]"
    editor.fields["optimization.loss"].control.value = "cauchy"
    editor.fields["scattering.wavevector_q"].control.value = "0.009"
    editor.apply.click()
    assert (session.masked, session.settings.loss) == (((121, 124),), "cauchy")
    assert session.bins == tuple(range(8, 16))
    assert session.undo() == "configuration"
    assert (session.masked, session.settings.loss, session.bins) == ((), "linear", None)


def test_a_configuration_applied_elsewhere_appears_in_the_form(editor: ConfigEditor) -> None:
    editor.session.set_config(ConfigManager.template("kww").updated({"data.file": None}))
    assert editor.fields["analysis_settings.mode"].control.value == "kww"


def test_files_are_saved_and_loaded_and_a_bad_one_is_said(editor: ConfigEditor, tmp_path: Path) -> None:
    editor.fields["optimization.loss"].control.value = "tukey"
    editor.path.value = str(tmp_path / "fit.yaml")
    editor.save.click()
    saved = ConfigManager(tmp_path / "fit.yaml")
    assert saved.settings.optimization.loss == "tukey"
    editor.template.click()
    editor.path.value = str(tmp_path / "fit.yaml")
    editor.load.click()
    assert editor.fields["optimization.loss"].control.value == "tukey"
    for text, told in ((str(tmp_path / "no.yaml"), "no such configuration file"), ("", "no file is named")):
        editor.path.value = text
        editor.load.click()
        assert told in editor.message.value
    (tmp_path / "bad.json").write_text('{"analysis_settings": {"mode": "heterodin"}}')
    editor.path.value = str(tmp_path / "bad.json")
    editor.load.click()
    assert "did you mean" in editor.message.value
    assert editor.fields["optimization.loss"].control.value == "tukey"


def test_chosen_bins_that_form_a_grid_survive_a_configuration(editor: ConfigEditor) -> None:
    session = editor.session
    session.open_example()
    session.fit_bins([8, 9, 16, 17])
    session.set_config(session.to_config())
    assert session.bins == (8, 9, 16, 17)
    session.fit_bins([1, 9, 10])
    config = session.to_config()
    assert "no grid" in session.warnings[0]
    session.set_config(config)
    assert session.bins is None


def test_a_closed_editor_observes_nothing(editor: ConfigEditor) -> None:
    other = ConfigEditor(editor.session)
    before = len(editor.session._trait_notifiers["config"]["change"])
    other.close()
    assert len(editor.session._trait_notifiers["config"]["change"]) == before - 1
