"""ConfigManager: load, save, templates, paths, differences and what it shows."""

from __future__ import annotations

import json
import stat
import warnings
from pathlib import Path

import pytest

import heterodyne_nb
from heterodyne_nb import files
from heterodyne_nb.config import MODES, ConfigManager, resolve_parameters
from heterodyne_nb.errors import ConfigurationError, ConfigurationWarning, MissingFileError

DOCUMENTED = {
    "analysis_settings": {"static_mode": True, "static_submode": "isotropic"},
    "initial_parameters": {"values": [1000, -0.5, 100]},
}


def minimal(**sections):
    return {"analysis_settings": {"mode": "heterodyne"}, **sections}


def test_the_documented_configuration_loads_and_validates(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(DOCUMENTED))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = heterodyne_nb.ConfigManager(path)
    assert config.validate() is True
    assert config.settings.mode == "static_isotropic"
    assert config.parameters.values.tolist() == [1000, -0.5, 100]
    assert config.get_analysis_settings() == {
        "mode": "static_isotropic",
        "static_mode": True,
        "static_submode": "isotropic",
        "n_components": None,
        "n_parameters": 3,
        "parameter_names": ["D0", "alpha", "D_offset"],
        "active_parameters": ["D0", "alpha", "D_offset"],
        "initial_values": [1000.0, -0.5, 100.0],
    }


def test_a_wrong_configuration_is_told_by_false_and_its_problems_not_by_an_exception():
    config = ConfigManager.from_dict(minimal(temporal={"dt": -1, "strat_frame": 2}))
    assert config.validate() is False
    assert [problem.path for problem in config.problems] == ["temporal.dt", "temporal.strat_frame"]
    assert ConfigManager.from_dict(minimal()).problems == ()
    with pytest.raises(ConfigurationError, match=r"2 problems(.|\n)*temporal\.dt"):
        config.require_valid()


def test_settings_resolve_to_the_table_the_optimiser_is_given():
    config = ConfigManager.from_dict(
        minimal(
            initial_parameters={
                "values": {"D0_ref": 50, "f2": 0, "alpha_sample": 0.5},
                "fixed": ["f2"],
                "tied": {"alpha_ref": "alpha_sample"},
                "bounds": {"D0_ref": [1, 99]},
                "priors": {"v0": [1000, 50]},
            }
        )
    )
    table = resolve_parameters(config.settings)
    assert table == config.parameters
    ref, tied, f2, v0 = (table.index(n) for n in ("D0_ref", "alpha_ref", "f2", "v0"))
    assert (table.values[ref], table.lower[ref], table.upper[ref]) == (50, 1, 99)
    assert table.tie[tied] == "alpha_sample"
    assert table.values[tied] == 0.5
    assert not table.vary[f2]
    assert table.prior[v0] == (1000, 50)
    assert table.given[ref]
    assert not table.given[v0]


def test_values_follow_parameter_names_whatever_their_order():
    config = ConfigManager.from_dict(
        {
            "analysis_settings": {"mode": "static_anisotropic"},
            "initial_parameters": {"parameter_names": ["D_offset", "D0", "alpha"], "values": [3, 1, 2]},
        }
    )
    assert config.parameters.values.tolist() == [1, 2, 3]


def test_parameters_that_are_not_active_are_fixed():
    initial = {"values": [1, 0.5, 2], "active_parameters": ["D0"]}
    config = ConfigManager.from_dict(
        {"analysis_settings": {"mode": "static_isotropic"}, "initial_parameters": initial}
    )
    assert config.parameters.role == ("free", "fixed", "fixed")


def test_priors_that_are_not_used_stay_on_record():
    initial = {"priors": {"v0": [1000, 50]}, "use_priors": False}
    config = ConfigManager.from_dict(minimal(initial_parameters=initial))
    assert not any(config.parameters.prior)
    assert config.settings.initial_parameters.priors == {"v0": (1000, 50)}


@pytest.mark.parametrize("last", [-1, None])
def test_minus_one_and_null_mean_the_last_frame(last):
    config = ConfigManager.from_dict(minimal(temporal={"start_frame": 3, "end_frame": last}))
    assert config.settings.temporal.frames == (3, None)


def test_one_frame_is_a_range():
    config = ConfigManager.from_dict(minimal(temporal={"start_frame": 3, "end_frame": 3}))
    assert config.settings.temporal.frames == (3, 3)


@pytest.mark.parametrize(
    ("scattering", "selection"),
    [
        ({}, None),
        ({"wavevector_q": 0.01}, 0.01),
        ({"wavevector_q": [0.01, 0.02]}, [0.01, 0.02]),
        ({"q_range": [0.01, 0.02]}, (0.01, 0.02)),
    ],
)
def test_q_is_chosen_by_number_list_or_range(scattering, selection):
    chosen = ConfigManager.from_dict(minimal(scattering=scattering)).settings.scattering.selection
    assert chosen == selection
    assert type(chosen) is type(selection)


def test_angle_ranges_count_only_when_the_filter_is_on():
    ranges = [{"min_angle": 170, "max_angle": -170}]
    on = ConfigManager.from_dict(minimal(angle_filtering={"enabled": True, "target_ranges": ranges}))
    off = ConfigManager.from_dict(minimal(angle_filtering={"enabled": False, "target_ranges": ranges}))
    assert on.settings.angle_filtering.ranges == ((170, -170),)
    assert off.settings.angle_filtering.ranges == ()


def test_bad_frames_are_numbers_or_ranges():
    config = ConfigManager.from_dict(minimal(masks={"frames": [4, [7, 9]]}))
    assert config.settings.masks.frames == ((4, 4), (7, 9))
    assert config.to_dict()["masks"]["frames"] == [4, [7, 9]]


def test_method_names_are_found_whatever_their_spelling():
    methods = {"methods": ["Gauss-Newton", "L-BFGS-B", "Nelder-Mead"]}
    config = ConfigManager.from_dict(minimal(optimization={"classical": methods}))
    assert config.settings.optimization.classical.methods == ("gauss_newton", "lbfgsb", "nelder_mead")


def test_settings_cannot_be_changed():
    settings = ConfigManager.template("kww").settings
    with pytest.raises(ValueError, match="frozen"):
        settings.temporal.dt = 3.0


def test_keys_that_begin_with_an_underscore_are_comments():
    config = ConfigManager.from_dict(minimal(temporal={"dt": 0.1, "_dt_note": "seconds"}, _about="me"))
    assert config.settings.temporal.dt == 0.1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("extension", ["json", "yaml", "yml", "toml"])
def test_every_template_survives_saving(tmp_path, mode, extension):
    template = ConfigManager.template(mode)
    loaded = ConfigManager(template.save(tmp_path / f"config.{extension}"))
    assert loaded == template
    assert loaded.settings == template.settings
    assert loaded.diff() == ()


def test_a_yaml_template_says_unit_and_range_of_what_it_asks_for():
    text = ConfigManager.template("laminar_flow").to_text("yaml")
    assert "dt: null  # [s] Time between frames. Null: taken from the data file. (> 0)" in text
    assert "D0: [0.0, 1000000.0]  # [Å²/s] amplitude of J(t)" in text
    assert "(linear | huber | soft_l1 | cauchy | tukey)" in text
    assert max(map(len, text.splitlines())) <= 120


def test_a_template_counts_its_components():
    config = ConfigManager.template("multicomponent", n_components=3)
    assert "phi0_3" in config.parameters.names
    assert config.get_analysis_settings()["n_components"] == 3


def test_yaml_reads_an_exponent_without_a_point_as_a_number(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("analysis_settings: {mode: heterodyne}\ntemporal: {dt: 1e-6}\n")
    assert ConfigManager(path).settings.temporal.dt == 1e-6


def test_a_file_without_a_known_extension_is_read_by_its_content(tmp_path):
    for form in ("json", "yaml", "toml"):
        path = tmp_path / f"{form}.config"
        path.write_text(ConfigManager.template("kww").to_text(form))
        assert ConfigManager(path) == ConfigManager.template("kww")


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(DOCUMENTED), encoding="utf-8-sig")
    assert ConfigManager(path).validate()


def test_saving_leaves_no_other_file_and_usual_permissions(tmp_path):
    path = ConfigManager.template().save(tmp_path / "new" / "config.yaml")
    assert [p.name for p in path.parent.iterdir()] == ["config.yaml"]
    reference = tmp_path / "plain.txt"
    reference.write_text("")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(reference.stat().st_mode)


def test_an_interrupted_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = ConfigManager.template("kww").save(tmp_path / "config.yaml")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "replace", fail)
    with pytest.raises(ConfigurationError, match="cannot be written: No space left"):
        ConfigManager.template("heterodyne").save(path)
    assert ConfigManager(path).settings.mode == "kww"
    assert [p.name for p in tmp_path.iterdir()] == ["config.yaml"]


def test_data_paths_start_at_the_folder_of_the_configuration(tmp_path):
    (tmp_path / "data").mkdir()
    data = tmp_path / "data" / "run.h5"
    data.write_bytes(b"")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(minimal(data={"folder": "data", "file": "run.h5"})))
    assert ConfigManager(path).data_path == data.resolve()


def test_a_configuration_saved_elsewhere_still_finds_its_data(tmp_path):
    (tmp_path / "run.h5").write_bytes(b"")
    (tmp_path / "phi.txt").write_text("0 45\n90  # last\n")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(minimal(data={"file": "run.h5", "phi": "phi.txt"})))
    original = ConfigManager(path)
    moved = ConfigManager(original.save(tmp_path / "deep" / "er" / "copy.toml"))
    assert moved.data_path == original.data_path
    assert moved.angles == original.angles == (0, 45, 90)
    assert moved.settings.data.file == "../../run.h5"
    assert moved == original


def test_a_missing_data_file_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.h5").write_bytes(b"")
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "config.json"
    path.write_text(json.dumps(minimal(data={"file": "run.h5"})))
    with pytest.raises(
        MissingFileError, match=r"run\.h5 exists in the working directory, but data paths start"
    ):
        _ = ConfigManager(path).data_path
    with pytest.raises(MissingFileError, match="relative data paths start at the working directory"):
        _ = ConfigManager.from_dict(minimal(data={"file": "absent.h5"})).data_path
    with pytest.raises(MissingFileError, match="there is no folder"):
        _ = ConfigManager.from_dict(minimal(data={"folder": "no", "file": "absent.h5"})).data_path


def test_no_data_file_is_an_error_only_when_data_are_asked_for():
    config = ConfigManager.from_dict(minimal())
    assert config.validate()
    with pytest.raises(ConfigurationError, match=r"data\.file: is not given, but data are needed"):
        _ = config.data_path


def test_angles_in_a_file_must_be_numbers(tmp_path):
    path = tmp_path / "phi.txt"
    config = ConfigManager.from_dict(minimal(data={"phi": str(path)}))
    with pytest.raises(MissingFileError, match="no such file of angles"):
        _ = config.angles
    path.write_text("0\nfour\n")
    with pytest.raises(ConfigurationError, match="line 2: 'four' is not a number"):
        _ = config.angles
    path.write_text("# nothing\n")
    with pytest.raises(ConfigurationError, match="holds no angle"):
        _ = config.angles


def test_differences_name_the_setting_and_both_values():
    base = ConfigManager.template("static_isotropic")
    other = base.updated({"optimization.loss": "huber", "initial_parameters.bounds.D0": [1, 5]})
    assert [tuple(d) for d in other.diff()] == [
        ("initial_parameters.D0.lower", 1.0, 0.0),
        ("initial_parameters.D0.upper", 5.0, 1e6),
        ("optimization.loss", "huber", "linear"),
    ]
    assert base.diff() == ()
    assert str(other.diff(base)[-1]) == "optimization.loss: 'huber' instead of 'linear'"


def test_an_update_leaves_the_original_and_checks_the_new_value():
    base = ConfigManager.template("kww")
    assert base.updated({"temporal.dt": 0.5}).settings.temporal.dt == 0.5
    assert base.settings.temporal.dt is None
    with pytest.raises(ConfigurationError, match=r"temporal\.dt: -1"):
        base.updated({"temporal.dt": -1})
    with pytest.raises(ConfigurationError, match="did you mean 'dt'"):
        base.updated({"temporal.dtt": 1})
    with pytest.raises(ConfigurationError, match="no section"):
        base.updated({"temporal.dt.value": 1})


def test_the_start_value_of_a_tied_parameter_is_noted_once():
    initial = {"values": {"alpha_ref": 1.0, "alpha_sample": 0.5}, "tied": {"alpha_ref": "alpha_sample"}}
    with pytest.warns(ConfigurationWarning, match="value 1 is not used"):
        config = ConfigManager.from_dict(minimal(initial_parameters=initial))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config.updated({"temporal.dt": 1.0})
    assert any("value 1 is not used" in note for note in config.notes)


def test_it_shows_itself_in_text_and_html(tmp_path):
    config = ConfigManager.template("laminar_flow")
    assert repr(config) == "ConfigManager(configuration: laminar_flow, my_data.h5, gauss_newton)"
    page = config._repr_html_()
    for part in ("laminar_flow", "gamma_dot_0", "2e+06 Å", "all"):
        assert part in page
    faulty = ConfigManager.from_dict(minimal(temporal={"dt": "<b>"}))
    assert repr(faulty) == "ConfigManager(configuration: 1 problems)"
    assert "&lt;b&gt;" in faulty._repr_html_()


def test_configurations_compare_by_content():
    assert ConfigManager.template("kww") == ConfigManager.template("kww")
    assert ConfigManager.template("kww") != ConfigManager.template("heterodyne")
    assert ConfigManager.template("kww") != "kww"


def test_a_path_may_be_a_text(tmp_path):
    path = ConfigManager.template("kww").save(str(tmp_path / "c.toml"))
    assert isinstance(path, Path)
    assert ConfigManager(str(path)).validate()
