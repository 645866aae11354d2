"""Configurations and results of heterodyne 2 and xpcsjax, and results of heterodyne-analysis, taken over."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml

from heterodyne_nb.cli import main
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.config.legacy.results import is_foreign_result, read_foreign_result
from heterodyne_nb.errors import ConfigurationError, ConfigurationWarning, DataFormatError
from heterodyne_nb.models import ModelFactory

CONFIGS = Path(__file__).parents[2] / "fixtures" / "configs"
NAMES = ModelFactory.create_model("heterodyne").parameter_names
THEIRS = [150.0, -0.2, 0.0, 2200.0, -0.5, 10.0, 300.0, -0.3, 5.0, 0.4, -0.01, 3.0, 0.2, -4.0]
XPCSJAX_NAMES = [{"beta": "v_beta", "phi0": "phi0_het"}.get(name, name) for name in NAMES]


def load(name: str) -> ConfigManager:
    with pytest.warns(ConfigurationWarning, match="not everything is used"):
        config = ConfigManager(CONFIGS / f"{name}.yaml")
    assert config.validate()
    return config


def their_correlation(theta, t1, t2, q: float, phi: float):
    """M as those packages write it: angle phi + phi0, times counted from the first frame used."""
    turned = np.array(theta, dtype=float)
    turned[-1] *= -1
    return ModelFactory.create_model("heterodyne").correlation(turned, t1, t2, q=q, phi=phi)


def test_a_heterodyne_2_configuration_keeps_everything_that_has_a_meaning() -> None:
    config = load("heterodyne2_channel")
    settings, table = config.settings, config.parameters
    assert settings.mode == "heterodyne"
    assert settings.data.file == "./shift1/channel_003.hdf"
    assert (settings.temporal.dt, settings.temporal.end_frame) == (0.05, 600)
    assert settings.scattering.wavevector_q == 0.0085
    assert settings.angle_filtering.ranges == ((-20, 20), (80, 100))
    assert settings.optimization.loss == "soft_l1"
    assert (settings.output.directory, settings.output.plots) == ("./results", True)
    assert table.role[table.index("D_offset_ref")] == "fixed"
    assert table.bounds[table.index("v0")].tolist() == [1e-6, 1e4]
    assert table.bounds[table.index("phi0")].tolist() == [-8, 10]
    assert table.values[table.index("phi0")] == 4.0
    assert settings.initial_parameters.priors["phi0"] == (2.0, 5.0)
    assert table.values[table.index("f2")] == pytest.approx(
        3.05
    )  # t_start: 0, and here the first frame is at dt


def test_an_xpcsjax_configuration_keeps_everything_that_has_a_meaning() -> None:
    config = load("xpcsjax_channel")
    settings, table = config.settings, config.parameters
    assert settings.mode == "heterodyne"
    assert (settings.data.folder, settings.data.file) == ("./shift2", "channel_004.hdf")
    assert settings.temporal.frames == (21, 620)
    assert settings.geometry.gap == 2e6
    assert not settings.angle_filtering.fallback_to_all_angles
    assert table.values[table.index("beta")] == -0.3
    assert table.bounds[table.index("beta")].tolist() == [-1, 2]
    assert table.values[table.index("phi0")] == 4.0
    assert table.values[table.index("f2")] == pytest.approx(4.0)  # 20 frames of 0.05 s later
    assert table.role[table.index("D_offset_ref")] == "fixed"
    assert table.tie[table.index("alpha_ref")] == "alpha_sample"


@pytest.mark.parametrize("name", ["heterodyne2_channel", "xpcsjax_channel"])
def test_every_key_is_used_or_named(name: str) -> None:
    notes = "\n".join(load(name).notes)
    values = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    assert "phi0: of the opposite sign" in notes
    assert "no power law is the same from another origin" in notes
    for key in ("parameter_count", "file_format", "algorithm", "tolerance", "workflow", "max_iterations"):
        assert key in json.dumps(values)
        assert key in notes


def test_a_parameter_of_no_mode_and_a_loss_that_is_unknown_are_said() -> None:
    values = yaml.safe_load((CONFIGS / "xpcsjax_channel.yaml").read_text())
    values["optimization"]["nlsq"]["loss"] = "arctan"
    with pytest.warns(ConfigurationWarning, match="there is no such loss here"):
        assert ConfigManager.from_dict(values).settings.optimization.loss == "linear"
    values["initial_parameters"]["fixed_parameters"] = {"D_offset_rf": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigurationWarning)
        with pytest.raises(ConfigurationError, match="unknown parameter 'D_offset_rf'"):
            ConfigManager.from_dict(values).require_valid()


def heterodyne2(path: Path) -> Path:
    told = {
        "parameters": THEIRS,
        "uncertainties": [0.1] * 14,
        "parameter_names": list(NAMES),
        "timestamp": "x",
    }
    path.write_text(json.dumps(told))
    return path


def xpcsjax(path: Path) -> Path:
    stated = {n: {"value": v, "uncertainty": 0.1} for n, v in zip(XPCSJAX_NAMES, THEIRS, strict=True)}
    stated |= {
        "contrast_0": {"value": 0.1, "uncertainty": None},
        "offset_0": {"value": 1.0, "uncertainty": None},
    }
    told = {
        "schema": "xpcsjax.nlsq.result/v1",
        "config": {"mode": "two_component", "parameter_names": XPCSJAX_NAMES},
        "parameters": stated,
        "metadata": {"success": True},
    }
    path.write_text(json.dumps(told))
    return path


def analysis(path: Path) -> Path:
    told = {
        "method": "nelder_mead",
        "parameters": {f"p{k}": value for k, value in enumerate(THEIRS)},
        "chi_squared": 12.0,
        "experimental_metadata": {"dt": 0.05, "start_frame": 21, "end_frame": 620},
    }
    path.write_text(json.dumps(told))
    return path


@pytest.mark.parametrize(("write", "package"), [(heterodyne2, "heterodyne 2"), (xpcsjax, "xpcsjax")])
def test_a_result_gives_the_same_correlation_with_the_sign_of_the_angle_turned(
    write, package: str, tmp_path: Path
) -> None:
    result = read_foreign_result(write(tmp_path / "r.json"), dt=0.05)
    assert (result.package, result.mode) == (package, "heterodyne")
    assert result.values["phi0"] == 4.0
    assert set(result.errors) == set(NAMES)
    t1, t2 = np.meshgrid(np.arange(1, 20) * 0.05, np.arange(1, 20) * 0.05)
    ours = ModelFactory.create_model("heterodyne").correlation(
        [result.values[name] for name in NAMES], t1, t2, q=0.0085, phi=30.0
    )
    np.testing.assert_allclose(ours, their_correlation(THEIRS, t1, t2, 0.0085, 30.0), rtol=0, atol=1e-14)


def test_a_window_that_starts_later_moves_the_fraction_exactly(tmp_path: Path) -> None:
    result = read_foreign_result(heterodyne2(tmp_path / "r.json"), dt=0.05, start_frame=21)
    fraction = ModelFactory.create_model("heterodyne").curves
    ours = fraction([result.values[name] for name in NAMES], np.array([21, 40]) * 0.05)["x_sample"]
    theirs = fraction(THEIRS, np.array([1, 20]) * 0.05)["x_sample"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert any("no power law is the same" in note for note in result.notes)


def test_a_result_of_heterodyne_analysis_without_names_is_in_published_order(tmp_path: Path) -> None:
    result = read_foreign_result(analysis(tmp_path / "analysis_results_nelder_mead.json"))
    assert result.values["D0_sample"] == 2200.0
    assert result.values["f2"] == pytest.approx(3.0 + 21 * 0.05)  # its first frame is at 0 s
    assert result.frames == (21, 620)
    assert result.errors == {}


def test_of_a_summary_the_best_method_is_taken(tmp_path: Path) -> None:
    runs = {
        "classical_gurobi": {"parameters": dict(zip(NAMES, THEIRS, strict=True)), "chi_squared": 3.0},
        "robust_best": {"parameters": dict.fromkeys(NAMES, 0.0), "chi_squared": 4.0},
    }
    path = tmp_path / "heterodyne_analysis_results.json"
    path.write_text(json.dumps({"analysis_summary": {}, "optimization_results": runs}))
    assert read_foreign_result(path).values["v0"] == 300.0


def test_npz_of_heterodyne_2_is_read_and_pickles_are_not(tmp_path: Path) -> None:
    arrays = {"parameters": np.array(THEIRS), "reduced_chi_squared": np.array(1.0)}
    np.savez(tmp_path / "a.npz", **arrays, parameter_names=np.array(NAMES, dtype="U64"))
    assert read_foreign_result(tmp_path / "a.npz", dt=0.05).values["phi0"] == 4.0
    np.savez(tmp_path / "b.npz", **arrays, parameter_names=np.array(NAMES, dtype=object))
    with pytest.raises(DataFormatError, match="pickled objects, which are not read"):
        read_foreign_result(tmp_path / "b.npz")


def test_something_else_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"parameters": {"a": 1}, "method": "x", "chi_squared": 1}')
    (tmp_path / "d.json").write_text("[1, 2]")
    assert not is_foreign_result(tmp_path / "d.json")
    assert not is_foreign_result(CONFIGS / "heterodyne_gel.json")
    with pytest.raises(DataFormatError, match="belong to no mode"):
        read_foreign_result(tmp_path / "c.json")
    with pytest.raises(DataFormatError, match="no result of a package that is known"):
        read_foreign_result(tmp_path / "d.json")


def test_the_program_turns_a_result_into_a_configuration_to_start_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = xpcsjax(tmp_path / "nlsq_result.json"), tmp_path / "again.yaml"
    assert main(["convert", str(source), str(target), "--dt", "0.05"]) == 0
    assert "phi0: of the opposite sign" in capsys.readouterr().out
    config = ConfigManager(target)
    assert dict(zip(config.parameters.names, config.parameters.values, strict=True))["phi0"] == 4.0


def test_the_program_converts_their_configurations(tmp_path: Path) -> None:
    assert main(["convert", str(CONFIGS / "heterodyne2_channel.yaml"), str(tmp_path / "mine.toml")]) == 0
    assert ConfigManager(tmp_path / "mine.toml").parameters.values[-1] == 4.0
