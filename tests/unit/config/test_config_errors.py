"""Every error a configuration can give: its path, what was found, what is allowed."""

from __future__ import annotations

import json

import pytest

from heterodyne_nb.config import ConfigManager, Settings
from heterodyne_nb.errors import ConfigurationError, MissingFileError


def message_of(values) -> str:
    config = ConfigManager.from_dict(values)
    with pytest.raises(ConfigurationError) as caught:
        config.require_valid()
    return str(caught.value)


def static(**initial):
    return {"analysis_settings": {"mode": "static_isotropic"}, "initial_parameters": initial}


def heterodyne(**sections):
    return {"analysis_settings": {"mode": "heterodyne"}, **sections}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "analysis_settings.mode: is missing"),
        ({"analysis_settings": {"mode": "heterodin"}}, "did you mean 'heterodyne'?"),
        ({"analysis_settings": {"mode": 3}}, "analysis_settings.mode: unknown mode 3"),
        ({"analysis_settings": "heterodyne"}, "analysis_settings: 'heterodyne' is not a section"),
        ({"analysis_settings": {"mod": "heterodyne"}}, "analysis_settings.mod: unknown setting 'mod'"),
        ({"analysis_settings": {"static_mode": "yes"}}, "static_mode: 'yes' is neither true nor false"),
        (
            {"analysis_settings": {"static_mode": True, "static_submode": "isotropc"}},
            "did you mean 'isotropic'?",
        ),
        ({"analysis_settings": {"mode": "multicomponent"}}, "n_components: is missing"),
        (
            {"analysis_settings": {"mode": "multicomponent", "n_components": 1}},
            "1 is out of range; allowed: >= 2",
        ),
        ({"analysis_settings": {"mode": "kww", "n_components": 2}}, "has a fixed number of components"),
        (heterodyne(outpt={}), "outpt: unknown section 'outpt'"),
        (heterodyne(outpt={}), "did you mean 'output'?"),
        (heterodyne(analyzer_parametrs={}), "did you mean 'analyzer_parameters'?"),
        (heterodyne(temporal={"stat_frame": 2}), "did you mean 'start_frame'?"),
        (heterodyne(temporal={"dt": 0}), "temporal.dt: 0.0 is out of range; allowed: > 0"),
        (heterodyne(temporal={"dt": "0.1"}), "temporal.dt: '0.1' is not a number"),
        (heterodyne(temporal={"dt": True}), "temporal.dt: True is not a number"),
        (heterodyne(temporal={"dt": float("nan")}), "temporal.dt: nan is not finite"),
        (heterodyne(temporal={"start_frame": 0}), "temporal.start_frame: 0 is out of range; allowed: >= 1"),
        (heterodyne(temporal={"start_frame": 1.5}), "1.5 is not a whole number"),
        (heterodyne(temporal={"start_frame": 9, "end_frame": 4}), "end_frame 4 is before start_frame 9"),
        (heterodyne(temporal={"end_frame": -2}), "temporal.end_frame: -2 is out of range"),
        (heterodyne(temporal=[1]), "temporal: [1] is not a section"),
        (heterodyne(scattering={"wavevector_q": -0.1}), "scattering.wavevector_q: -0.1 holds no q"),
        (heterodyne(scattering={"wavevector_q": []}), "scattering.wavevector_q: [] holds no q"),
        (heterodyne(scattering={"wavevector_q": "a"}), "'a' is not a number"),
        (heterodyne(scattering={"q_range": [0.2, 0.1]}), "q_range [0.2, 0.1] is empty"),
        (heterodyne(scattering={"q_range": [0.2]}), "scattering.q_range: [0.2] has 1 entries"),
        (
            heterodyne(scattering={"q_range": [1, 2], "wavevector_q": 1}),
            "wavevector_q and q_range are both given",
        ),
        (heterodyne(geometry={"gap": -1}), "geometry.gap: -1.0 is out of range"),
        (heterodyne(geometry={"stator_rotor_gap": 1}), "geometry.stator_rotor_gap: unknown setting"),
        (heterodyne(data={"file": 3}), "data.file: 3 is not a text"),
        (heterodyne(data={"phi": [0, "x"]}), "data.phi: 'x' is not a number"),
        (heterodyne(angle_filtering={"enabled": True}), "enabled, but target_ranges is empty"),
        (heterodyne(angle_filtering={"enabled": "on"}), "'on' is neither true nor false"),
        (
            heterodyne(angle_filtering={"target_ranges": [{"min_angle": 3}]}),
            "angle_filtering.target_ranges[0].max_angle: is missing",
        ),
        (
            heterodyne(angle_filtering={"target_ranges": [{"min_angle": 3, "max_angle": 3}]}),
            "the range from 3 to 3 is empty",
        ),
        (
            heterodyne(angle_filtering={"target_ranges": [{"min_angle": 3, "max_angle": 400}]}),
            "target_ranges[0].max_angle: 400.0 is out of range; allowed: <= 360",
        ),
        (heterodyne(angle_filtering={"target_ranges": [3]}), "target_ranges[0]: 3 is not a section"),
        (heterodyne(angle_filtering={"target_ranges": 3}), "angle_filtering.target_ranges: 3 is not a list"),
        (heterodyne(masks={"frames": [[5, 3]]}), "masks.frames: [5, 3] is no frame range"),
        (heterodyne(masks={"frames": [0]}), "masks.frames: 0 is no frame range"),
        (heterodyne(masks={"frames": [[[1, 2], 3]]}), "is no frame range"),
        (heterodyne(masks={"frames": [1.5]}), "1.5 is not a whole number"),
        (heterodyne(output={"formats": ["netcfd"]}), "did you mean 'netcdf'?"),
        (heterodyne(optimization={"loss": "hubber"}), "did you mean 'huber'?"),
        (
            heterodyne(optimization={"loss_scale": -1}),
            "-1 is out of range; allowed: a number above 0, or 'auto'",
        ),
        (heterodyne(optimization={"loss_scale": "automatic"}), "'automatic' is neither a number nor a rule"),
        (heterodyne(optimization={"contrast": "per_q_bin"}), "allowed: per_bin, shared, per_q, smooth_phi"),
        (heterodyne(optimization={"time_limit": 0}), "optimization.time_limit: 0.0 is out of range"),
        (heterodyne(optimization={"multistart": {"n": -1}}), "optimization.multistart.n: -1 is out of range"),
        (heterodyne(optimization={"classical": {"methods": []}}), "classical.methods: is empty"),
        (
            heterodyne(optimization={"classical": {"methods": ["powell"]}}),
            "methods[0]: unknown method 'powell'",
        ),
        (
            heterodyne(optimization={"classical": {"nelder_mead": {"maxiter": 3}}}),
            "optimization.classical.nelder_mead.maxiter: unknown setting 'maxiter'",
        ),
        (
            heterodyne(optimization={"classical": {"gurobi": {"initial_radius": 2}}}),
            "min_radius <= initial_radius <= max_radius",
        ),
        (
            heterodyne(optimization={"robust": {"wasserstein": {"radius": -1}}}),
            "a number, 0 or more, 'auto', 'cv', or 'rwpi'",
        ),
        (
            heterodyne(optimization={"robust": {"ellipsoidal": {"tolerances": {"q_scal": 1}}}}),
            "did you mean 'q_scale'?",
        ),
        (
            heterodyne(optimization={"robust": {"ellipsoidal": {"tolerances": {"q_scale": -1}}}}),
            "optimization.robust.ellipsoidal.tolerances.q_scale: -1.0 is out of range; allowed: >= 0",
        ),
        (
            static(values=[1, 2]),
            "initial_parameters.values: 2 values are given; allowed: 3 values: D0, alpha",
        ),
        (static(values=[1, "2", 3]), "[1] = '2' not finite numbers"),
        (static(values=[1, float("inf"), 3]), "[1] = inf not finite numbers"),
        (static(values=3), "initial_parameters.values: 3 is neither"),
        (static(values={"D0": 1, "alpa": 0}), "did you mean 'alpha'?"),
        (static(values={"D_0": 1, "D0": 2}), "'D0' is given twice, by name and by alias"),
        (
            static(values=[-1, 0, 0]),
            "initial_parameters.values[0]: start value -1 of D0 is below its lower bound",
        ),
        (static(values=[-1, 0, 0]), "lower bound 0 (default)"),
        (static(values={"D0": 9}, bounds={"D0": [1, 5]}), "start value 9 of D0 is above its upper bound 5"),
        (static(parameter_names=["D0", "D0"], values=[1, 2]), "parameter_names[1]: 'D0' is listed twice"),
        (static(active_parameters=["D0", "D1"]), "active_parameters[1]: unknown parameter 'D1'"),
        (static(fixed=["D0"]), "is fixed but has no value"),
        (static(fixed=["D0", "D0"], values=[1, 0, 0]), "fixed[1]: 'D0' is listed twice"),
        (static(fixed="D0"), "initial_parameters.fixed: 'D0' is not a list"),
        (
            static(fixed=["D0"], active_parameters=["D0"], values=[1, 0, 0]),
            "D0 is both fixed and in active_parameters",
        ),
        (static(fixed=["D0"], tied={"D0": "D_offset"}, values=[1, 0, 1]), "both fixed and tied to D_offset"),
        (static(tied={"D0": "D_ofset"}), "did you mean 'D_offset'?"),
        (static(tied={"D0": "D_offset", "D_offset": "D0"}), "tied to itself: D0 -> D_offset -> D0"),
        (static(tied={"D0": "alpha"}), "D0 (Å²/s) cannot equal alpha (1)"),
        (static(tied={"D0": 3}), "initial_parameters.tied.D0: 3 is not a text"),
        (
            static(tied=[1]),
            "initial_parameters.tied: [1] is not a section; allowed: a mapping of names to values",
        ),
        (static(bounds={"D0": [5, 1]}), "lower bound 5 is not below upper bound 1"),
        (static(bounds={"D0": [1, float("inf")]}), "initial_parameters.bounds.D0[1]: inf is not finite"),
        (static(bounds={"D0": [1]}), "initial_parameters.bounds.D0: [1] has 1 entries"),
        (static(bounds={"DO": [1, 2]}), "did you mean 'D0'?"),
        (static(priors={"D0": [1, -2]}), "initial_parameters.priors.D0: sigma -2 is not positive"),
        (static(priors={"D0": 3}), "initial_parameters.priors.D0: 3 is not a list"),
        (static(use_priors=1), "initial_parameters.use_priors: 1 is neither true nor false"),
        (static(valus=[1]), "did you mean 'values'?"),
    ],
)
def test_each_mistake_is_named_with_what_is_allowed(values, expected):
    assert expected in message_of(values)


def test_every_problem_is_listed_at_once():
    config = ConfigManager.from_dict(
        {
            "analysis_settings": {"mode": "heterodyne"},
            "temporal": {"dt": -1, "stat_frame": 4},
            "optimization": {"loss": "hubber"},
            "initial_parameters": {"values": [1, 2]},
            "outpt": {},
        }
    )
    with pytest.raises(ConfigurationError) as caught:
        config.require_valid()
    paths = {problem.path for problem in caught.value.problems}
    assert paths == {
        "temporal.dt",
        "temporal.stat_frame",
        "optimization.loss",
        "initial_parameters.values",
        "outpt",
    }
    assert str(caught.value).startswith("configuration: 5 problems")


def test_settings_and_parameters_of_a_faulty_configuration_raise_the_same():
    config = ConfigManager.from_dict({"analysis_settings": {"mode": "nothing"}})
    for get in (
        lambda: config.settings,
        lambda: config.parameters,
        config.to_dict,
        config.get_analysis_settings,
    ):
        with pytest.raises(ConfigurationError, match="unknown mode 'nothing'"):
            get()


def test_the_file_is_named_in_its_errors(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"analysis_settings": {"mode": "x"}}))
    with pytest.raises(ConfigurationError, match=r"^mine\.json: analysis_settings\.mode"):
        ConfigManager(path).require_valid()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("c.json", '{"a": 1,}', r"not valid JSON: .*line 1, column"),
        ("c.json", '{"a": 1, "a": 2}', "holds twice in one section: a"),
        ("c.json", "[1, 2]", "holds a list instead of sections"),
        ("c.json", "", "not valid JSON"),
        ("c.yaml", "a: [1\nb: 2", "not valid YAML: .*line 2"),
        ("c.yaml", "a: 1\na: 2", "holds twice in one section: a"),
        ("c.yaml", "", "holds nothing instead of sections"),
        ("c.yaml", "just words", "holds a str instead of sections"),
        ("c.yaml", "a: \x01", "not valid YAML"),
        ("c.yaml", "? [1, 2]\n: 3", "not valid YAML|unknown section"),
        ("c.toml", "a = ", "not valid TOML: "),
        ("c.toml", "a = 1\na = 2", "not valid TOML"),
        ("c.txt", "{{{", "neither JSON, YAML nor TOML"),
        ("c.txt", "just words", "neither JSON, YAML nor TOML"),
    ],
)
def test_a_broken_file_says_where(tmp_path, name, text, expected):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=expected) as caught:
        ConfigManager(path).require_valid()
    assert name in str(caught.value)


def test_a_binary_file_is_no_configuration(tmp_path):
    path = tmp_path / "c.json"
    path.write_bytes(b"\x89HDF\r\n\x1a\n\xff\xfe")
    with pytest.raises(ConfigurationError, match="not a text file"):
        ConfigManager(path)


def test_a_missing_file_names_the_configurations_beside_it(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(
        MissingFileError, match=r"no such configuration file[\s\S]*the folder has config\.yaml"
    ):
        ConfigManager(tmp_path / "confg.yaml")


def test_a_folder_is_no_configuration(tmp_path):
    with pytest.raises(ConfigurationError, match="is a folder"):
        ConfigManager(tmp_path)


def test_a_mapping_goes_to_from_dict_and_a_path_to_the_constructor():
    with pytest.raises(ConfigurationError, match=r"from_dict\(\.\.\.\) takes a mapping"):
        ConfigManager({"analysis_settings": {}})
    with pytest.raises(ConfigurationError, match=r"ConfigManager\(path\) reads a file"):
        ConfigManager.from_dict("config.yaml")


def test_an_unknown_extension_to_save_to_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match=r"did you mean '\.json'"):
        ConfigManager.template("kww").save(tmp_path / "config.jsn")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        ConfigManager.template("kww").save(tmp_path / "file" / "config.json")


def test_an_unknown_text_format_is_an_error():
    with pytest.raises(ConfigurationError, match="unknown format 'xml'"):
        ConfigManager.template("kww").to_text("xml")


def test_an_unknown_mode_has_no_template():
    with pytest.raises(ConfigurationError, match="did you mean 'heterodyne'"):
        ConfigManager.template("heterodin")


def test_every_setting_has_a_description():
    schema = Settings.model_json_schema()
    sections = schema["$defs"]
    for section in (schema, *sections.values()):
        for name, field in section["properties"].items():
            target = sections.get(field.get("$ref", "").rpartition("/")[2], {})
            assert field.get("description") or target.get("description"), name


def test_the_exported_schema_has_units_ranges_choices_and_the_parameters():
    schema = ConfigManager.json_schema()
    json.dumps(schema)
    sections = schema["$defs"]
    dt = sections["Temporal"]["properties"]["dt"]
    assert dt["unit"] == "s"
    assert {"type": "number", "exclusiveMinimum": 0} in dt["anyOf"]
    assert sections["Optimization"]["properties"]["loss"]["enum"][:2] == ["linear", "huber"]
    assert sections["ScenarioOptions"]["properties"]["n_scenarios"]["minimum"] == 2
    assert all(section["additionalProperties"] is False for section in sections.values())
    heterodyne_parameters = schema["parameters"]["heterodyne"]
    assert len(heterodyne_parameters) == 14
    assert heterodyne_parameters[0]["unit"] == "Å²/s"
