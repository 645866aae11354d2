"""``heterodyne-nb config`` writes a configuration that loads, and never one over another unasked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heterodyne_nb.cli import main
from heterodyne_nb.config import MODES, ConfigManager

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("suffix", [".yaml", ".json", ".toml"])
def test_the_template_of_every_mode_loads_in_every_format(mode: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"config{suffix}"
    assert main(["config", "--mode", mode, "--output", str(path)]) == 0
    assert ConfigManager(path).settings.mode == mode


def test_the_template_goes_to_standard_output_without_a_file(capsys: Captured) -> None:
    assert main(["config", "--mode", "static_isotropic", "--format", "json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["analysis_settings"]["mode"] == "static_isotropic"


def test_an_existing_file_is_kept_unless_it_may_be_overwritten(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("mine\n")
    assert main(["config", "--output", str(path)]) == 2
    assert path.read_text() == "mine\n"
    assert "add --overwrite to replace it" in capsys.readouterr().err
    assert main(["config", "--output", str(path), "--overwrite", "--quiet"]) == 0
    assert ConfigManager(path).settings.mode == "heterodyne"
    assert capsys.readouterr().out == ""


def test_a_misspelt_mode_is_told_the_nearest(capsys: Captured) -> None:
    assert main(["config", "--mode", "heterodin"]) == 2
    assert "did you mean 'heterodyne'?" in capsys.readouterr().err


def test_an_extension_that_names_no_format_is_an_error(tmp_path: Path, capsys: Captured) -> None:
    assert main(["config", "--output", str(tmp_path / "config.txt")]) == 2
    assert "'.txt' names no format" in capsys.readouterr().err
    assert main(["config", "--output", str(tmp_path / "config.yaml"), "--format", "toml"]) == 2
    assert "disagree" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_an_error(tmp_path: Path, capsys: Captured) -> None:
    assert main(["config", "--output", str(tmp_path / "no" / "config.yaml")]) == 1
    assert "there is no such folder" in capsys.readouterr().err


def test_the_number_of_components_can_be_chosen(capsys: Captured) -> None:
    assert main(["config", "--mode", "multicomponent", "--components", "3", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["analysis_settings"]["n_components"] == 3
