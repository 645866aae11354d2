"""Configurations that are no configuration: too large, too deep, no plain text; and YAML as people mean it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heterodyne_nb import ConfigManager
from heterodyne_nb.cli import main
from heterodyne_nb.config import files
from heterodyne_nb.errors import ConfigurationError

MODE = "analysis_settings: {mode: kww}\n"
JSON = '{"analysis_settings": {"mode": "kww"}, "temporal": {"dt": %s}}'
TOML = '[analysis_settings]\nmode = "kww"\n[temporal]\ndt = %s\n'
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{c}: &{c} [{', '.join(9 * [f'*{p}'])}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("c.json", JSON % ("1" + 400 * "0"), "a number of 401 digits"),
        ("c.json", JSON % (5000 * "1"), "a number of 5000 digits"),
        ("c.yaml", MODE + f"temporal: {{dt: {5000 * '1'}}}\n", "a number of 5000 digits"),
        ("c.toml", TOML % ("1" + 400 * "0"), r"temporal\.dt: the number is too large"),
        ("c.toml", TOML % (5000 * "1"), "a number of thousands of digits"),
        ("c.json", '{"metadata": {"title": "\\ud800"}}', r"metadata\.title: the text .* half a character"),
        ("c.json", '{"me\\ud800ta": {}}', "half a character"),
        ("c.json", '{"data": {"file": "a\\u0000b"}}', r"data\.file: the text .* NUL"),
        ("c.yaml", MODE + 'data: {file: "a\\0b"}\n', r"data\.file: the text .* NUL"),
        ("c.json", 100_000 * "[", "nested too deeply"),
        ("c.toml", "a = " + 3000 * "[" + 3000 * "]", "nested too deeply"),
        ("c.yaml", "a: " + 5000 * "[" + 5000 * "]", "nested too deeply"),
        ("c.yaml", "analysis_settings: &a\n  mode: kww\n  x: *a\n", "nested too deeply"),
        ("c.yaml", BOMB, "more than 200000 values"),
    ],
)
def test_what_no_configuration_needs_is_an_error_of_ours_and_ends_the_command_with_2(
    name: str, text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(ConfigurationError, match=told):
        ConfigManager(path)
    assert main(["fit", str(path)]) == 2
    assert "fault" not in capsys.readouterr().err


def test_a_file_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST", 10)
    with pytest.raises(ConfigurationError, match=r"has \d+ bytes"):
        ConfigManager(written(tmp_path, "c.yaml", MODE))


def test_a_mapping_is_held_to_the_same() -> None:
    with pytest.raises(ConfigurationError, match="the number is too large"):
        ConfigManager.from_dict({"analysis_settings": {"mode": "kww"}, "temporal": {"dt": 10**400}})


def test_a_missing_configuration_ends_with_2(tmp_path: Path) -> None:
    assert main(["fit", str(tmp_path / "none.yaml")]) == 2


def test_escape_codes_of_keys_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(
        tmp_path, "c.json", json.dumps({"analysis_settings": {"mode": "kww"}, "\x1b[31mred": {"\x1b[2J": 1}})
    )
    assert main(["fit", str(path)]) == 2
    assert "\x1b" not in capsys.readouterr().err
    assert all("\x1b" not in str(problem) for problem in ConfigManager(path).problems)


MERGED = """
analysis_settings: {mode: kww}
optimization:
  classical:
    trf: &tight {ftol: 1e-10, max_iterations: 50}
    gauss_newton: &tighter
      <<: *tight
      ftol: 1e-12
    gurobi:
      <<: *tighter
      max_iterations: 9
"""


def test_yaml_merge_keys_work_and_what_stands_beside_them_wins(tmp_path: Path) -> None:
    classical = ConfigManager(written(tmp_path, "c.yaml", MERGED)).settings.optimization.classical
    assert (classical.gauss_newton.ftol, classical.gauss_newton.max_iterations) == (1e-12, 50)
    assert (classical.gurobi.ftol, classical.gurobi.max_iterations) == (1e-12, 9)
    twice = MERGED.replace("ftol: 1e-12", "ftol: 1e-12\n      ftol: 1e-13")
    with pytest.raises(ConfigurationError, match="holds twice in one section: ftol"):
        ConfigManager(written(tmp_path, "d.yaml", twice))


@pytest.mark.parametrize(("text", "value"), [("010", 10), ("0x10", 16), ("+7", 7), ("1e1", 10)])
def test_numbers_are_those_of_yaml_1_2(text: str, value: Any, tmp_path: Path) -> None:
    config = ConfigManager(written(tmp_path, "c.yaml", MODE + f"temporal: {{start_frame: {text}}}\n"))
    assert config.settings.temporal.start_frame == value


@pytest.mark.parametrize("text", ["1:30", "1_000", "0b11"])
def test_what_yaml_1_2_does_not_call_a_number_is_none(text: str, tmp_path: Path) -> None:
    config = ConfigManager(written(tmp_path, "c.yaml", MODE + f"temporal: {{dt: {text}}}\n"))
    assert config.validate() is False
    assert f"{text!r} is not a number" in str(config.problems[0])
