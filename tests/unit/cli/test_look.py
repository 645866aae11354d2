"""``heterodyne-nb inspect``, ``plot`` and ``simulate``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from heterodyne_nb.cli import main
from heterodyne_nb.data import open_dataset
from heterodyne_nb.simulate import example_path

Captured = pytest.CaptureFixture[str]


def test_inspect_says_what_a_data_file_holds(data_file: Path, capsys: Captured) -> None:
    assert main(["inspect", str(data_file)]) == 0
    told = capsys.readouterr().out
    for line in ("layout: aps-u", "bins: 6", "q: 0.05, 0.08 1/Å", "phi: -60, 0, 60 deg", "0.1 s each"):
        assert line in told


def test_inspect_names_the_analyses_and_the_metadata_of_the_example(capsys: Captured) -> None:
    assert main(["inspect", str(example_path())]) == 0
    assert "1 of them without data" in capsys.readouterr().out
    assert main(["inspect", "--datasets", str(example_path())]) == 0
    assert "/xpcs/qmap/" in capsys.readouterr().out


def test_a_simulated_file_opens_with_what_was_asked_for(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "sim.h5"
    asked = ["simulate", str(out), "--q", "0.01,0.02", "--phi", "0,45", "--frames", "20", "--pixels", "50"]
    assert main(asked) == 0
    with open_dataset(out) as data:
        assert (data.sizes["q"], data.sizes["phi"], data.sizes["t"]) == (2, 2, 20)
    assert "v0 = " in capsys.readouterr().out
    assert main(asked) == 2  # nothing that is there is replaced
    assert main([*asked, "--overwrite", "--mode", "no_such_mode"]) == 2
    with open_dataset(out) as data:
        assert data.sizes["t"] == 20


@pytest.mark.parametrize("name", ["data.html", "g2.txt"])
def test_plot_writes_a_figure_of_the_nearest_bin(data_file: Path, tmp_path: Path, name: str) -> None:
    code = main(["plot", str(data_file), "--q", "0.05", "--phi", "10", "--output", str(tmp_path / name)])
    assert code == (0 if name.endswith(".html") else 2)
    if code == 0:
        assert "plotly" in (tmp_path / name).read_text(encoding="utf-8").lower()


def test_the_shell_can_complete_commands(capsys: Captured) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed: pip install -e '.[app]'")
    assert main(["--print-completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert "inspect" in script
    if bash := shutil.which("bash"):
        assert subprocess.run([bash, "-n"], input=script, text=True).returncode == 0
