"""The demo: one command from the shipped file to saved, readable, true results."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from heterodyne_nb.cli import main
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.result import FitResult
from heterodyne_nb.simulate import example_truth


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Run the demo once; its folder and what it told on standard output and standard error."""
    folder = tmp_path_factory.mktemp("demo") / "results"
    capture = pytest.MonkeyPatch()
    import io
    import sys

    out, err = io.StringIO(), io.StringIO()
    capture.setattr(sys, "stdout", out)
    capture.setattr(sys, "stderr", err)
    try:
        code = main(["demo", "--output", str(folder)])
    finally:
        capture.undo()
    assert code == 0, err.getvalue()
    return folder, out.getvalue(), err.getvalue()


def test_it_says_what_was_masked_and_what_was_left_out(demo: tuple[Path, str, str]) -> None:
    _, out, err = demo
    assert "masked frames: 121-124" in out
    assert "q = 0.006 1/Å, phi = 90°" in err


def test_no_progress_bar_is_drawn_where_nobody_watches(demo: tuple[Path, str, str]) -> None:
    assert "%|" not in demo[2]


def test_it_leaves_four_complete_files_and_nothing_else(demo: tuple[Path, str, str]) -> None:
    names = sorted(path.name for path in demo[0].iterdir())
    assert names == ["parameters.csv", "report.html", "results.nc", "summary.json"]


def test_the_saved_result_loads_and_agrees_with_the_summary_and_the_table(
    demo: tuple[Path, str, str],
) -> None:
    result = FitResult.load(demo[0] / "results.nc")
    summary = json.loads((demo[0] / "summary.json").read_text(encoding="utf-8"))
    with (demo[0] / "parameters.csv").open(newline="", encoding="utf-8") as stream:
        rows = {row["name"]: float(row["value"]) for row in csv.DictReader(stream)}
    assert result.success
    assert rows == result.values
    assert summary["chi2_reduced"] == pytest.approx(result.chi2_reduced)
    assert summary["provenance"]["config"]["masks"]["detect"] is True
    assert summary["provenance"]["used"][1] == "frames: 1 to 200, 0.5 s each; 196 of 200 used"
    assert "left out" in summary["provenance"]["warnings"][0]


def test_the_report_needs_no_network(demo: tuple[Path, str, str]) -> None:
    page = (demo[0] / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']?(https?:)?//", page)
    assert "Plotly.newPlot" in page


def test_the_curves_are_those_that_were_simulated(demo: tuple[Path, str, str]) -> None:
    result, truth = FitResult.load(demo[0] / "results.nc"), example_truth()
    model = ModelFactory.create_model(truth["mode"])
    t = result.dataset["t"].values
    true = model.curves(list(truth["parameters"].values()), t)
    inner = slice(t.size // 10, -t.size // 10)
    for name, limit in {"J_sample": 0.1, "v": 0.02, "x_sample": 0.03}.items():
        found = result.curve(name)["value"].values
        assert np.max(np.abs(found / true[name] - 1)[inner]) < limit, name


def test_the_printed_table_sets_the_fit_beside_the_truth(demo: tuple[Path, str, str]) -> None:
    lines = [line for line in demo[1].splitlines() if line.startswith("  v (Å/s)")]
    assert len(lines) == 1
    fitted, simulated = float(lines[0].split()[2]), float(lines[0].split()[-1])
    assert fitted == pytest.approx(simulated, rel=0.02)
