"""Two-time maps: their figure, and the block means they are reduced by."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from xarray.backends import BackendArray
from xarray.core import indexing

from heterodyne_nb import plots
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.maps import block_mean, reduce_map, reduce_strips, reduced_curve


class CountedArray(BackendArray):
    """An array on 'disk' that remembers what was read of it."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.read: list[tuple] = []

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._taken
        )

    def _taken(self, key: tuple) -> np.ndarray:
        self.read.append(key[:2])
        return self.values[key]


def heatmaps(figure: go.Figure) -> list[go.Heatmap]:
    return [trace for trace in figure.data if isinstance(trace, go.Heatmap)]


def test_both_axes_are_in_seconds_and_the_map_is_square(experiment: xr.Dataset) -> None:
    layout = plots.c2(experiment, q=0.01, phi=0).layout
    assert "(s)" in layout.xaxis.title.text
    assert "(s)" in layout.yaxis.title.text
    assert layout.yaxis.scaleanchor == "x"
    assert layout.yaxis.scaleratio == 1


def test_the_title_names_the_bin_and_the_subtitle_its_source(experiment: xr.Dataset) -> None:
    title = plots.c2(experiment, q=0.0101, phi=359).layout.title
    assert "q = 0.01 Å⁻¹, φ = 0°" in title.text
    assert "made_up.h5" in title.subtitle.text


def test_only_the_drawn_bin_is_read(experiment: xr.Dataset) -> None:
    stored = CountedArray(experiment["c2"].values)
    lazy = experiment.drop_vars("c2").assign(
        c2=(("q", "phi", "t1", "t2"), indexing.LazilyIndexedArray(stored))
    )
    plots.c2(lazy, q=0.01, phi=45)
    assert set(stored.read) == {(1, 4)}


def test_a_long_map_is_reduced_and_says_so(experiment: xr.Dataset) -> None:
    figure = plots.c2(experiment, q=0.01, phi=0, max_size=50)
    (trace,) = heatmaps(figure)
    assert trace.z.shape == (40, 40)
    assert "3 × 3 frames" in figure.layout.title.subtitle.text
    assert trace.x[0] == pytest.approx(np.mean([0.5, 1.0, 1.5]))


def test_a_short_map_is_shown_pixel_by_pixel(experiment: xr.Dataset) -> None:
    figure = plots.c2(experiment, q=0.01, phi=0)
    (trace,) = heatmaps(figure)
    used = experiment["mask"].values
    expected = experiment["c2"].sel(q=0.01, phi=0).values[np.ix_(used, used)]
    np.testing.assert_array_equal(trace.z[np.ix_(used, used)], expected)
    assert "means" not in figure.layout.title.subtitle.text


def test_the_diagonal_and_masked_frames_do_not_stretch_the_colours(experiment: xr.Dataset) -> None:
    axis = plots.c2(experiment, q=0.01, phi=0, percentiles=(0, 100)).layout.coloraxis
    assert 0.95 < axis.cmin < 1.0
    assert 1.15 < axis.cmax < 1.22  # 1.55 with the diagonal, 1.45 with the masked frames


def test_masked_frames_are_blank_and_hatched(experiment: xr.Dataset) -> None:
    figure = plots.c2(experiment, q=0.01, phi=0)
    (trace,) = heatmaps(figure)
    assert np.isnan(trace.z[42, :]).all()
    assert np.isnan(trace.z[:, 42]).all()
    (bands,) = (t for t in figure.data if t.name == "masked frames")
    assert min(v for v in bands.x[:5] if v is not None) == pytest.approx(20.25)
    assert max(v for v in bands.x[:5] if v is not None) == pytest.approx(22.75)


def test_without_masked_frames_there_is_no_band(experiment: xr.Dataset) -> None:
    figure = plots.c2(experiment.assign(mask=experiment["mask"] | True), q=0.01, phi=0)
    assert all(trace.name != "masked frames" for trace in figure.data)


def test_small_multiples_share_colours_and_zoom(experiment: xr.Dataset) -> None:
    figure = plots.c2(experiment, q=0.01)
    traces = heatmaps(figure)
    assert len(traces) == 8
    assert {trace.coloraxis for trace in traces} == {"coloraxis"}
    assert figure.layout.xaxis8.matches == "x"
    assert figure.layout.yaxis8.matches == "y"
    assert sum(bool(t.showlegend) for t in figure.data if t.name == "masked frames") == 1


def test_a_dead_bin_says_that_it_has_no_data(experiment: xr.Dataset) -> None:
    assert "no data" in [a.text for a in plots.c2(experiment, q=0.01).layout.annotations]
    assert "no data" not in [a.text for a in plots.c2(experiment, q=0.005).layout.annotations]


def test_all_bins_stand_in_rows_of_q_and_columns_of_phi(experiment: xr.Dataset) -> None:
    figure = plots.c2(experiment)
    assert len(heatmaps(figure)) == 16
    assert "q = 0.005 Å⁻¹" in figure.layout.yaxis.title.text
    assert "q = 0.01 Å⁻¹" in figure.layout.yaxis9.title.text


def test_bins_without_a_grid_are_found_by_number(experiment: xr.Dataset) -> None:
    stacked = experiment.stack(bin=("q", "phi")).reset_index("bin").transpose("bin", ...)
    figure = plots.c2(stacked, bin=11)
    assert "q = 0.01 Å⁻¹, φ = 0°" in figure.layout.title.text
    np.testing.assert_array_equal(heatmaps(figure)[0].z, heatmaps(plots.c2(experiment, q=0.01, phi=0))[0].z)


def test_numbers_may_set_the_colours(experiment: xr.Dataset) -> None:
    axis = plots.c2(experiment, bin=0, limits=(0.9, 1.3)).layout.coloraxis
    assert (axis.cmin, axis.cmax) == (0.9, 1.3)


def test_a_logarithmic_map_leaves_out_what_is_below_the_baseline(experiment: xr.Dataset) -> None:
    (trace,) = heatmaps(plots.c2(experiment, q=0.01, phi=0, log=True))
    values = heatmaps(plots.c2(experiment, q=0.01, phi=0))[0].z
    above = values > 1
    np.testing.assert_allclose(trace.z[above], np.log10(values[above] - 1), rtol=1e-5)
    assert np.isnan(trace.z[~above]).all()


def test_an_unknown_bin_is_an_error_that_lists_those_there_are(experiment: xr.Dataset) -> None:
    with pytest.raises(ConfigurationError, match=r"0\.005, 0\.01"):
        plots.c2(experiment, q=0.1)
    with pytest.raises(ConfigurationError, match=r"no bin 16(.|\n)*3: q = 0\.005"):
        plots.c2(experiment, bin=16)


@pytest.mark.parametrize(
    "wrong",
    [
        {"limits": (1.2, 1.0)},
        {"limits": 3},
        {"percentiles": (-1, 99)},
        {"theme": "pink"},
        {"max_size": 0},
        {"bin": 1, "q": 0.01},
    ],
)
def test_settings_that_make_no_sense_are_refused(experiment: xr.Dataset, wrong: dict) -> None:
    with pytest.raises(ConfigurationError):
        plots.c2(experiment, **{"q": 0.01, "phi": 0, **wrong} if "bin" not in wrong else wrong)


def test_a_dataset_without_maps_says_what_it_holds(experiment: xr.Dataset) -> None:
    with pytest.raises(ConfigurationError, match="n_pixels, sigma"):
        plots.c2(experiment.drop_vars("c2"))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_theme_has_its_own_template(experiment: xr.Dataset, theme: str) -> None:
    figure = plots.c2(experiment, bin=0, theme=theme)
    background = figure.layout.template.layout.paper_bgcolor
    assert (background == "#FFFFFF") == (theme == "light")


def test_a_map_that_fits_comes_back_as_it_is() -> None:
    values = np.arange(12.0).reshape(3, 4)
    reduced, factor = reduce_map(values, 4)
    assert factor == 1
    np.testing.assert_array_equal(reduced, values)


def test_each_block_is_the_mean_of_its_finite_pixels() -> None:
    values = np.array([[1.0, 3.0, 10.0], [np.nan, 5.0, np.nan], [7.0, np.nan, np.nan]])
    reduced, factor = reduce_map(values, 2)
    assert factor == 2
    np.testing.assert_allclose(reduced, [[3.0, 10.0], [7.0, np.nan]])


@given(rows=st.integers(1, 40), columns=st.integers(1, 40), size=st.integers(1, 45), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_reduction_keeps_the_sum_of_all_pixels_and_the_wanted_size(
    rows: int, columns: int, size: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, columns))
    values[rng.random(values.shape) < 0.2] = np.nan
    reduced, factor = reduce_map(values, size)
    assert max(reduced.shape) <= size
    assert reduced.shape == (-(-rows // factor), -(-columns // factor))
    counts = block_mean(np.isfinite(values).astype(float), factor).astype(float)
    edges = [np.diff(np.append(np.arange(0, n, factor), n)) for n in values.shape]
    pixels = counts * np.outer(*edges)
    assert np.nansum(reduced * pixels) == pytest.approx(np.nansum(values), abs=1e-3)


def test_reading_by_strips_gives_the_same_map(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(23, 23))
    monkeypatch.setattr("heterodyne_nb.plots.maps._STRIP_PIXELS", 100)
    asked: list[tuple[int, int]] = []

    def read(first: int, last: int) -> np.ndarray:
        asked.append((first, last))
        return values[first:last]

    reduced = reduce_strips(read, 23, 23, 3)
    np.testing.assert_allclose(reduced, block_mean(values, 3))
    assert len(asked) > 3


def test_reduced_curve_are_the_mean_times_of_the_blocks() -> None:
    np.testing.assert_allclose(reduced_curve(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 2), [1.5, 3.5, 5.0])


@pytest.mark.parametrize(("values", "size"), [(np.zeros(5), 3), (np.zeros((2, 2)), 0)])
def test_what_is_no_map_or_no_size_is_refused(values: np.ndarray, size: int) -> None:
    with pytest.raises(ConfigurationError):
        reduce_map(values, size)
