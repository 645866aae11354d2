"""The report."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from plot_samples import make_experiment, make_result

from heterodyne_nb import plots
from heterodyne_nb.plots.report import flattened, telling_bins
from heterodyne_nb.result import FitResult


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    notes = ["dataset <made up> & small"]
    fitted = make_result(hessian=np.diag(np.geomspace(1.0, 1e4, 14)))
    return plots.report(make_experiment(), fitted, path, notes=notes).read_text(encoding="utf-8")


def test_the_report_is_one_page_with_plotly_in_it_once(written: str) -> None:
    assert written.count("plotly.js v") == 1
    assert re.search(r"<(script|link|img|iframe)[^>]+(src|href)\s*=", written) is None


def test_the_report_names_every_parameter_its_numbers_and_its_source(written: str, result: FitResult) -> None:
    for name in result.parameter_names:
        assert f"<td>{name}</td>" in written
    for part in ("1.01", "made_up.h5", "gauss_newton", "not determined", "Å²/s", "<td>seed</td>"):
        assert part in written


def test_the_report_holds_its_figures(written: str) -> None:
    for title in ("Curves in time", "Data against model", "One-time correlation", "Quality of the fit"):
        assert f"<h2>{title}</h2>" in written
    assert len(re.findall(r'<div id="figure-', written)) >= 10
    assert "Not shown" not in written


def test_text_in_the_report_is_escaped(written: str) -> None:
    assert "dataset &lt;made up&gt; &amp; small" in written


def test_what_cannot_be_shown_is_named_with_its_reason(tmp_path: Path) -> None:
    bare = make_result(covariance=None, bands=None, path=None)
    page = plots.report(None, bare, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Quality of the fit: this result holds no covariance" in page
    assert "<h2>Data against model</h2>" not in page


def test_a_report_without_figures_is_small(tmp_path: Path) -> None:
    path = plots.report(None, make_result(), tmp_path / "report.html", figures=False)
    assert path.stat().st_size < 50_000
    assert "<script" not in path.read_text(encoding="utf-8")


def test_a_failed_report_leaves_the_old_one_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(*args: object, **kwargs: object) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.report(None, make_result(), path, figures=False)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_the_bins_shown_are_the_best_the_middle_and_the_worst(result: FitResult) -> None:
    order = np.argsort(result.dataset["chi2_reduced_bin"].values)
    assert [b.number for b in telling_bins(result)] == [order[0], order[8], order[-1]]


def test_nested_provenance_becomes_dotted_rows() -> None:
    nested = {"versions": {"numpy": "2"}, "selection": {"q": [0.01, 0.02]}, "seed": None, "masks": []}
    assert flattened(nested) == [
        ("versions.numpy", "2"),
        ("selection.q", "0.01, 0.02"),
        ("seed", "none"),
        ("masks", "none"),
    ]
