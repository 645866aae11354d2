"""Parameters of a batch, the trace of the frames, files, and the report."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from plot_samples import make_experiment, make_result

from heterodyne_nb import plots
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.report import flattened, telling_bins
from heterodyne_nb.result import FitResult


@pytest.fixture
def batch() -> xr.Dataset:
    q = np.array([0.02, 0.01, 0.015])
    values = np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0], [7.0, 8.0, 9.0]])
    return xr.Dataset(
        {
            "parameters": (("parameter", "q"), values),
            "stderr": (("parameter", "q"), [[0.1, 0.2, 0.3], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]),
            "trusted": ("q", [True, False, True]),
            "flags": ("q", ["", "at a bound", ""]),
            "unit": ("parameter", ["Å²/s", "1", "Å/s"]),
        },
        coords={"parameter": ["J", "fixed", "v"], "q": q},
    )


def test_parameters_stand_in_order_of_q_with_units_and_errors(batch: xr.Dataset) -> None:
    figure = plots.parameters_against(batch, "q")
    trace = figure.data[0]
    assert list(trace.x) == [0.01, 0.015, 0.02]
    assert list(trace.y) == [2.0, 3.0, 1.0]
    assert list(trace.error_y.array) == [0.2, 0.3, 0.1]
    assert [a.text for a in figure.layout.annotations] == ["J (Å²/s)", "v (Å/s)"]
    assert figure.layout.xaxis.title.text == "q (Å⁻¹)"


def test_untrusted_fits_are_open_and_say_why(batch: xr.Dataset) -> None:
    figure = plots.parameters_against(batch, "q")
    trace = figure.data[0]
    assert [c == canvas.paper() for c in trace.marker.color] == [True, False, False]
    assert list(trace.text) == ["at a bound", "trusted", "trusted"]
    assert "1 of 3 fits" in figure.layout.title.subtitle.text


def test_parameters_that_never_move_are_left_out_unless_asked_for(batch: xr.Dataset) -> None:
    assert len(plots.parameters_against(batch, "q").data) == 2
    assert len(plots.parameters_against(batch, "q", parameters=["fixed"]).data) == 1


def test_a_second_dimension_becomes_one_line_each(batch: xr.Dataset) -> None:
    ages = xr.DataArray([10.0, 20.0], dims="age", name="age")
    both = batch[["parameters", "stderr", "unit"]]
    both = both.assign(parameters=both["parameters"].expand_dims(age=ages))
    figure = plots.parameters_against(both, "age", parameters=["J"])
    assert [trace.name for trace in figure.data] == ["q = 0.02 Å⁻¹", "q = 0.01 Å⁻¹", "q = 0.015 Å⁻¹"]
    assert figure.layout.xaxis.title.text == "age (s)"


def test_an_unknown_coordinate_or_parameter_is_an_error(batch: xr.Dataset) -> None:
    with pytest.raises(ConfigurationError, match=r"no coordinate 'age'(.|\n)*\['q'\]"):
        plots.parameters_against(batch, "age")
    with pytest.raises(ConfigurationError, match="no parameter 'w'"):
        plots.parameters_against(batch, "q", parameters=["w"])


def test_the_trace_of_the_frames_jumps_where_frames_are_bad(experiment: xr.Dataset) -> None:
    figure = plots.intensity(experiment, q=0.01, phi=0)
    bands, line = figure.data
    assert bands.name == "masked frames"
    good = np.delete(np.asarray(line.y), range(40, 45))
    assert np.min(np.asarray(line.y)[40:45]) > np.max(good) + 0.2
    assert figure.layout.xaxis.title.text == "t (s)"
    frame, others = 70, np.delete(np.arange(120), [*range(40, 45), 70])
    expected = experiment["c2"].sel(q=0.01, phi=0).values[frame, others].mean()
    assert line.y[frame] == pytest.approx(expected, rel=1e-6)


def test_measured_intensities_are_preferred_and_keep_their_unit(experiment: xr.Dataset) -> None:
    counts = xr.DataArray(np.linspace(9.0, 8.0, 120), dims="t", attrs={"units": "photons/pixel"})
    figure = plots.intensity(experiment.assign(intensity=counts))
    assert figure.layout.yaxis.title.text == "intensity (photons/pixel)"
    np.testing.assert_array_equal(figure.data[-1].y, counts)


def test_a_trace_of_the_whole_detector_names_no_bin(experiment: xr.Dataset) -> None:
    counts = xr.DataArray(np.linspace(9.0, 8.0, 120), dims="t")
    assert "q =" in plots.intensity(experiment).layout.title.subtitle.text
    subtitle = plots.intensity(experiment.assign(intensity=counts)).layout.title.subtitle.text
    assert subtitle == "whole detector · 5 of 120 frames masked"


def test_masked_frames_do_not_press_the_trace_flat(experiment: xr.Dataset) -> None:
    counts = np.linspace(9.0, 8.0, 120)
    counts[40:45] = 0.0
    low, high = plots.intensity(experiment.assign(intensity=("t", counts))).layout.yaxis.range
    assert 7.5 < low < 8.0 < 9.0 < high < 9.5


def test_a_long_subtitle_is_broken_and_the_figure_grows_by_its_lines(experiment: xr.Dataset) -> None:
    short, long = experiment, experiment.assign_attrs(source="a_very_long_name_of_a_run_" * 8 + ".h5")
    before, after = (plots.c2(ds, q=0.01, phi=0).layout for ds in (short, long))
    lines = after.title.subtitle.text.count("<br>")
    assert lines >= 2
    assert after.height - before.height == after.margin.t - before.margin.t == 17 * lines


def test_a_page_of_one_figure_needs_no_network(experiment: xr.Dataset, tmp_path: Path) -> None:
    page = plots.save_html(plots.c2(experiment, bin=0), tmp_path / "map.html").read_text()
    assert re.search(r"<script[^>]+src=", page) is None


def test_a_picture_without_kaleido_is_a_clear_error(
    experiment: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kaleido", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(plots.FigureExportError, match=r"heterodyne_nb\[app\]"):
        plots.save_png(plots.c2(experiment, bin=0), tmp_path / "map.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without_browser")
def test_a_picture_without_a_browser_is_an_error_that_says_what_to_install(
    result: FitResult, tmp_path: Path
) -> None:
    with pytest.raises(plots.FigureExportError, match="install chromium"):
        plots.for_paper(plots.curves(result), tmp_path / "curves.svg")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_picture_format_or_folder_is_an_error(experiment: xr.Dataset, tmp_path: Path) -> None:
    figure = plots.c2(experiment, bin=0)
    with pytest.raises(ConfigurationError, match=r"\.bmp"):
        plots.save_png(figure, tmp_path / "map.bmp")
    with pytest.raises(ConfigurationError):
        plots.save_html(figure, tmp_path / "no" / "map.html")


@pytest.mark.browser
def test_a_picture_is_written_through_kaleido(experiment: xr.Dataset, tmp_path: Path) -> None:
    path = plots.save_png(plots.c2(experiment, bin=0), tmp_path / "map.png", scale=1)
    picture = path.read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20], "big") == 680


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    notes = ["dataset <made up> & small"]
    fitted = make_result(hessian=np.diag(np.geomspace(1.0, 1e4, 14)))
    return plots.report(fitted, make_experiment(), path, notes=notes).read_text(encoding="utf-8")


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
    page = plots.report(bare, None, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Quality of the fit: this result holds no covariance" in page
    assert "<h2>Data against model</h2>" not in page


def test_a_report_without_figures_is_small(tmp_path: Path) -> None:
    path = plots.report(make_result(), None, tmp_path / "report.html", figures=False)
    assert path.stat().st_size < 50_000
    assert "<script" not in path.read_text(encoding="utf-8")


def test_a_failed_report_leaves_the_old_one_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(*args: object, **kwargs: object) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.report(make_result(), None, path, figures=False)
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


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours after WCAG 2."""
    levels = []
    for colour in (first, second):
        parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        levels.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(levels) / min(levels)


@pytest.mark.parametrize("theme", canvas.THEMES)
def test_text_and_lines_can_be_read_on_their_background(theme: str) -> None:
    assert contrast(canvas.ink(theme), canvas.paper(theme)) > 7
    assert contrast(canvas.faint(theme), canvas.paper(theme)) > 4.5
    assert all(contrast(canvas.line_colour(k, theme), canvas.paper(theme)) > 2 for k in range(7))


def test_residual_colours_are_neutral_in_the_middle() -> None:
    scale = dict(canvas.diverging_scale("light"))
    assert scale[0.5] == "#F7F7F7"
    assert scale[0.25] == canvas.line_colour(0)
    assert scale[0.75] == canvas.line_colour(1)


def test_our_templates_do_not_become_the_default_of_plotly() -> None:
    import plotly.io as pio

    assert {"heterodyne_light", "heterodyne_dark"} <= set(pio.templates)
    assert pio.templates.default == "plotly"
