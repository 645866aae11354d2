"""Templates of heterodyne-analysis and homodyne-analysis: what is kept, what is reported."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path

import pytest

from heterodyne_nb.config import ConfigManager
from heterodyne_nb.errors import ConfigurationError, ConfigurationWarning

CONFIGS = Path(__file__).parents[2] / "fixtures" / "configs"


def load(name):
    with pytest.warns(ConfigurationWarning) as caught:
        config = ConfigManager(CONFIGS / f"{name}.json")
    assert len(caught) == 1
    return config, str(caught[0].message)


def raw(name):
    return json.loads((CONFIGS / f"{name}.json").read_text())


def quietly(values):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigurationWarning)
        return ConfigManager.from_dict(values)


@pytest.fixture
def gel():
    return raw("heterodyne_gel")


def problems(values) -> str:
    with pytest.raises(ConfigurationError) as caught:
        quietly(values).require_valid()
    return str(caught.value)


def test_a_long_heterodyne_template_keeps_everything_that_has_a_meaning():
    config, _ = load("heterodyne_gel")
    settings, table = config.settings, config.parameters
    assert settings.mode == "heterodyne"
    assert (settings.data.folder, settings.data.file) == ("./data/gel/", "gel_run7.hdf")
    assert Path(settings.data.phi) == Path("data/angles/phi_list.txt")
    assert settings.temporal.dt == 0.1
    assert settings.temporal.frames == (100, 1000)
    assert settings.scattering.selection == 0.0054
    assert settings.geometry.gap == 2e6
    assert table.values.tolist() == raw("heterodyne_gel")["initial_parameters"]["values"]
    assert table.role[table.index("f2")] == "fixed"
    assert int(table.vary.sum()) == 13
    assert table.bounds[table.index("v0")].tolist() == [0, 10000]
    assert settings.angle_filtering.ranges == ((-10, 10), (170, 190))
    assert settings.angle_filtering.fallback_to_all_angles
    classical = settings.optimization.classical
    assert classical.methods == ("nelder_mead", "gurobi")
    assert (classical.nelder_mead.max_iterations, classical.nelder_mead.xtol) == (15000, 1e-10)
    assert (classical.gurobi.max_iterations, classical.gurobi.ftol) == (2500, 1e-6)
    assert settings.optimization.time_limit == 1800
    assert settings.optimization.robust.methods == ("scenario", "wasserstein", "ellipsoidal")
    assert settings.optimization.robust.scenario.n_scenarios == 15
    assert (settings.output.directory, settings.output.plots) == ("./gel_results", False)


def test_priors_of_a_template_are_on_record_but_not_in_the_fit():
    config, message = load("heterodyne_gel")
    assert not any(config.parameters.prior)
    assert config.settings.initial_parameters.priors["alpha_ref"] == (-1.5, 0.1)
    assert "unless initial_parameters.use_priors is set to true" in message


def leaves(value, prefix=""):
    for key, inner in value.items():
        if key.startswith("_"):
            continue
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(inner, dict):
            yield from leaves(inner, path)
        else:
            yield path, key


USED = {
    "metadata.description": "metadata.description",
    "metadata.analysis_mode": "analysis_settings.mode",
    "experimental_data.data_folder_path": "data.folder",
    "experimental_data.data_file_name": "data.file",
    "experimental_data.phi_angles_path": "data.phi",
    "experimental_data.phi_angles_file": "data.phi",
    "analyzer_parameters.temporal.dt": "temporal.dt",
    "analyzer_parameters.temporal.dt_unit": "temporal.dt",
    "analyzer_parameters.temporal.start_frame": "temporal.start_frame",
    "analyzer_parameters.temporal.end_frame": "temporal.end_frame",
    "analyzer_parameters.scattering.wavevector_q": "scattering.wavevector_q",
    "analyzer_parameters.scattering.q_unit": "scattering.wavevector_q",
    "analyzer_parameters.geometry.stator_rotor_gap": "geometry.gap",
    "analyzer_parameters.geometry.gap_unit": "geometry.gap",
    "analyzer_parameters.geometry.gap_in_microns": "geometry.gap",
    "initial_parameters.values": "initial_parameters.values",
    "initial_parameters.parameter_names": "initial_parameters.parameter_names",
    "initial_parameters.active_parameters": "initial_parameters.active_parameters",
    "optimization_config.angle_filtering.enabled": "angle_filtering.enabled",
    "optimization_config.angle_filtering.target_ranges": "angle_filtering.target_ranges",
    "optimization_config.angle_filtering.fallback_to_all_angles": "angle_filtering.fallback_to_all_angles",
    "optimization_config.classical_optimization.methods": "optimization.classical.methods",
    "optimization_config.robust_optimization.uncertainty_model": "optimization.robust.methods",
    "optimization_config.robust_optimization.n_scenarios": "optimization.robust.scenario.n_scenarios",
    "optimization_config.robust_optimization.preferred_solver": "optimization.robust.solver",
    "parameter_space.bounds": "initial_parameters.bounds",
    "output_settings.results_directory": "output.directory",
    "output_settings.reporting.generate_plots": "output.plots",
}
METHOD_OPTIONS = "optimization_config.classical_optimization.method_options."


def test_every_key_of_a_template_is_used_or_named_in_the_notes(gel):
    config, _ = load("heterodyne_gel")
    notes = "\n".join(config.notes)
    not_named = [
        path
        for path, key in leaves(gel)
        if path not in USED and not path.startswith(METHOD_OPTIONS) and key not in notes
    ]
    assert not_named == [
        "optimization_config.robust_optimization.method_options.scenario.n_scenarios"  # used: it is 15
    ]


def test_the_warning_is_one_and_gives_reasons():
    _, message = load("heterodyne_gel")
    for part in (
        "heterodyne_gel.json: not everything is used",
        "subsampling: every pixel is used",
        "uncertainty_radius: measured in other units there",
        "experimental_data: data_type, file_format, preprocessing (2 settings)",
        "method_options.Gurobi: output_flag, method",
        "advanced_settings (4 settings)",
        "analysis_settings: field_correlations (2 settings)",
    ):
        assert part in message


def test_another_origin_of_time_is_noted():
    config, _ = load("heterodyne_gel")
    assert any(
        "start_frame = 100: here power laws count time from the first frame" in n for n in config.notes
    )


def test_names_of_homodyne_templates_are_translated():
    config, message = load("laminar_suspension")
    table = config.parameters
    assert config.settings.mode == "laminar_flow"
    assert table.bounds[table.index("gamma_dot_0")].tolist() == [1e-6, 1]
    assert table.values[table.index("gamma_dot_0")] == 0.002
    assert table.role[table.index("phi0")] == "fixed"
    assert config.settings.metadata.title == "Suspension, 5 Pa"
    assert config.settings.temporal.end_frame is None
    for part in (
        "q_unit = 'nm^-1': the value is read in 1/Å",
        "gap_in_microns = 500: stator_rotor_gap = 2000000 is used",
        "the prior of D0 is of type log-uniform",
        "mcmc_sampling: there is no Markov-chain sampling here",
        "physical_constraint",
    ):
        assert part in message


def test_a_static_fit_drops_the_flow_parameters_of_its_template():
    config, message = load("static_from_flow_template")
    assert config.settings.mode == "static_anisotropic"
    assert config.parameters.values.tolist() == [18000, -1.59, 3.1]
    assert "gamma_dot_t0, beta, gamma_dot_t_offset, phi0: not parameters of this mode" in message
    assert "parameter_space.bounds[1]: gamma_dot_t0 is no parameter of this mode" in message
    assert any("anisotropic is assumed" in note for note in config.notes)


def test_static_mode_wins_over_another_mode_in_the_metadata(gel):
    values = {
        "metadata": {"analysis_mode": "laminar_flow"},
        "analysis_settings": {"static_mode": True, "static_submode": "isotropic"},
        "analyzer_parameters": {"temporal": {"dt": 1.0}},
    }
    config = quietly(values)
    assert config.settings.mode == "static_isotropic"
    assert any("metadata.analysis_mode = 'laminar_flow': static_mode says" in note for note in config.notes)


@pytest.mark.parametrize(("count", "mode"), [(14, "heterodyne"), (7, "laminar_flow")])
def test_without_a_mode_the_number_of_parameters_tells_it(count, mode):
    start = [1.0] + [0.0] * (count - 1)
    config = quietly({"analysis_settings": {"static_mode": False}, "initial_parameters": {"values": start}})
    assert config.settings.mode == mode
    assert any(f"{count} parameters mean {mode}" in note for note in config.notes)


def test_a_mode_of_another_package_has_its_own_name_there():
    assert quietly({"analysis_mode": "two_component"}).settings.mode == "heterodyne"


@pytest.mark.parametrize(
    ("path", "wrong", "expected"),
    [
        ("analyzer_parameters.temporal.start_frame", "strat_frame", "did you mean 'start_frame'?"),
        ("analyzer_parameters.scattering.wavevector_q", "wavevector", "did you mean 'wavevector_q'?"),
        ("analyzer_parameters.geometry.stator_rotor_gap", "stator_gap", "did you mean 'stator_rotor_gap'?"),
        ("experimental_data.data_file_name", "data_filename", "did you mean 'data_file_name'?"),
        ("initial_parameters.active_parameters", "active_parameter", "did you mean 'active_parameters'?"),
        (
            "optimization_config.angle_filtering.target_ranges",
            "target_range",
            "did you mean 'target_ranges'?",
        ),
        ("optimization_config.classical_optimization.methods", "method", "did you mean 'methods'?"),
        ("optimization_config.classical_optimization", "clasical_optimization", "'classical_optimization'?"),
        ("parameter_space", "parameter_spaces", "did you mean 'parameter_space'?"),
        ("analysis_settings.model_description", "static_mod", "did you mean 'static_mode'?"),
    ],
)
def test_a_misspelt_key_of_a_template_is_an_error(gel, path, wrong, expected):
    *sections, key = path.split(".")
    home = gel
    for name in sections:
        home = home[name]
    home[wrong] = home.pop(key)
    text = problems(gel)
    assert expected in text
    assert ".".join([*sections, wrong]) in text


def test_problems_carry_the_path_as_it_was_written(gel):
    gel["analyzer_parameters"]["temporal"]["dt"] = -1
    gel["parameter_space"]["bounds"][1]["min"] = 5
    gel["initial_parameters"]["values"][0] = 0.5
    gel["optimization_config"]["classical_optimization"]["methods"] = ["Powell"]
    text = problems(gel)
    for part in (
        "analyzer_parameters.temporal.dt: -1.0 is out of range",
        "lower bound 5 is not below upper bound 2",
        "optimization_config.classical_optimization.methods[0]: unknown method 'Powell'",
    ):
        assert part in text


def test_a_start_outside_the_bounds_of_the_template_is_an_error(gel):
    gel["initial_parameters"]["values"][0] = 0.5
    assert "initial_parameters.values[0]: start value 0.5 of D0_ref is below its lower bound 1" in problems(
        gel
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"min": 1, "max": 2}, "bounds[0]: {'min': 1, 'max': 2} has no name"),
        ({"name": "D0_ref", "min": 1}, "D0_ref has no min or no max"),
        ({"name": "D0_ref", "min": 1, "max": 1e6, "prior_mu": 1}, "D0_ref has half a prior"),
        (
            {"name": "D0_ref", "min": 1, "max": 1e6, "prior_mu": 1, "prior_sigma": -1},
            "sigma -1 is not positive",
        ),
        ({"name": "D0_reff", "min": 1, "max": 2}, "did you mean 'D0_ref'?"),
        (
            {"name": "D0_ref", "min": 1, "max": 1e6, "prior_mu": 1, "prior_sigm": 1},
            "did you mean 'prior_sigma'?",
        ),
        (3, "parameter_space.bounds[0]: 3 has no name"),
    ],
)
def test_faults_in_the_parameter_space_are_errors(gel, entry, expected):
    gel["parameter_space"]["bounds"] = [entry]
    assert expected in problems(gel)


def test_a_parameter_space_must_be_a_list(gel):
    gel["parameter_space"]["bounds"] = {"D0_ref": [1, 2]}
    assert "parameter_space.bounds: {'D0_ref': [1, 2]} is not a list" in problems(gel)


def test_bounds_by_place_need_one_pair_a_parameter(gel):
    del gel["parameter_space"]
    gel["initial_parameters"]["bounds"] = [[0, 1e6]] * 13
    assert "initial_parameters.bounds: 13 pairs are given; allowed: 14 pairs" in problems(gel)
    gel["initial_parameters"]["bounds"] = [[-2e4, 2e4]] * 14
    assert quietly(gel).parameters.bounds.tolist() == [[-2e4, 2e4]] * 14


def test_a_value_given_in_two_places_must_agree(gel):
    gel["temporal"] = {"dt": 0.2}
    assert "analyzer_parameters.temporal.dt: 0.1 differs from temporal.dt = 0.2; give it once" in problems(
        gel
    )


def test_a_unit_of_length_other_than_angstrom_is_noted(gel):
    gel["parameter_space"]["bounds"][3]["unit"] = "nm/s"
    assert any(
        "unit = 'nm/s': the bounds are read in the published unit of v0" in n for n in quietly(gel).notes
    )


def test_translating_does_not_change_what_was_given(gel):
    before = copy.deepcopy(gel)
    quietly(gel)
    assert gel == before


@pytest.mark.parametrize("name", ["heterodyne_gel", "laminar_suspension", "static_from_flow_template"])
@pytest.mark.parametrize("extension", ["json", "yaml", "toml"])
def test_a_translated_template_saved_is_a_plain_configuration(tmp_path, name, extension):
    config, _ = load(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = ConfigManager(config.save(tmp_path / f"c.{extension}"))
    assert again == config
    assert again.parameters == config.parameters
