"""Figures at their width on paper."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from heterodyne_nb import plots
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.paper import column_spans, laid_out
from heterodyne_nb.result import FitResult


def gaps(figure, width: float) -> np.ndarray:
    """Pixels between neighbouring columns."""
    spans = column_spans(figure)
    return width * np.array([right[0] - left[1] for left, right in itertools.pairwise(spans)])


@pytest.mark.browser
@pytest.mark.parametrize(("suffix", "unit"), [(".svg", 96.0), (".pdf", 72.0)])
def test_a_vector_picture_has_the_width_asked_for(
    result: FitResult, tmp_path: Path, suffix: str, unit: float
) -> None:
    path = plots.for_paper(plots.curves(result), tmp_path / f"curves{suffix}", width_mm=178, font_pt=7)
    pattern = rb'<svg[^>]*? width="([\d.]+)"' if suffix == ".svg" else rb"MediaBox \[0 0 ([\d.]+)"
    found = re.search(pattern, path.read_bytes())
    assert found is not None
    assert float(found[1]) / unit * 25.4 == pytest.approx(178, abs=0.6)


def test_panels_shrink_and_the_room_between_them_stays(experiment: xr.Dataset, result: FitResult) -> None:
    before = plots.comparison(experiment, result, q=0.01, phi=0)
    after = laid_out(before, 700)
    np.testing.assert_allclose(gaps(after, 700 - 62 - 8 - 72), 0.85 * gaps(before, 960), rtol=0.02)
    (low, high) = column_spans(after)[0]
    (old_low, old_high) = column_spans(before)[0]
    assert (high - low) * 558 < 0.75 * (old_high - old_low) * 960


def test_names_of_panels_and_colour_bars_move_with_them(experiment: xr.Dataset, result: FitResult) -> None:
    figure = laid_out(plots.comparison(experiment, result, q=0.01, phi=0), 700)
    spans = column_spans(figure)
    middles = [np.mean(span) for span in spans]
    np.testing.assert_allclose([note.x for note in figure.layout.annotations], middles, atol=1e-6)
    assert spans[1][1] < figure.layout.coloraxis.colorbar.x < spans[2][0]


def test_title_and_small_print_go_unless_asked_for(result: FitResult) -> None:
    figure = plots.chi2_by_angle(result)
    assert laid_out(figure, 350).layout.title.text is None
    assert laid_out(figure, 350, title=True).layout.title.text == figure.layout.title.text
    assert laid_out(figure, 350, title=True).layout.margin.t > laid_out(figure, 350).layout.margin.t


def test_the_figure_itself_is_left_as_it_is(result: FitResult) -> None:
    figure = plots.correlation(result)
    before = str(figure.to_dict())
    assert str(laid_out(figure, 300).to_dict()) != before
    assert str(figure.to_dict()) == before


def test_numbers_in_a_matrix_go_when_its_cells_are_too_small(result: FitResult) -> None:
    figure = plots.correlation(result)
    assert laid_out(figure, 330).data[0].texttemplate is None
    assert laid_out(figure, 1000).data[0].texttemplate == "%{text}"


@pytest.mark.parametrize("wrong", [{"width_mm": -1}, {"dpi": 0}, {"font_pt": float("nan")}, {"width_mm": 20}])
def test_sizes_that_make_no_sense_are_refused(result: FitResult, tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(ConfigurationError):
        plots.for_paper(plots.curves(result), tmp_path / "curves.pdf", **wrong)
    assert list(tmp_path.iterdir()) == []
