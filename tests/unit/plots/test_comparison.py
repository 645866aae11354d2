"""Data, model and residual side by side."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from plot_samples import CONTRAST, SIGMA, frame_times, make_experiment, make_result, true_map

from heterodyne_nb import plots
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.bin_model import BinModel
from heterodyne_nb.plots.maps import blank, block_mean
from heterodyne_nb.plots.select import one_bin
from heterodyne_nb.result import FitResult


def heatmaps(figure: go.Figure) -> list[go.Heatmap]:
    return [trace for trace in figure.data if isinstance(trace, go.Heatmap)]


def test_arguments_in_the_wrong_order_are_an_error_that_says_what_is_expected(
    experiment: xr.Dataset, result: FitResult
) -> None:
    with pytest.raises(ConfigurationError, match="a FitResult is no dataset"):
        plots.comparison(result, experiment, bin=0)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="a Dataset is no result of a fit"):
        plots.comparison(experiment, experiment, bin=0)
    with pytest.raises(ConfigurationError, match="a Dataset is no result of a fit"):
        plots.curves(experiment)


def test_the_residual_is_data_minus_model_in_units_of_sigma(
    experiment: xr.Dataset, result: FitResult
) -> None:
    data, model, residual = heatmaps(plots.comparison(experiment, result, q=0.01, phi=0))
    exact = 1 + CONTRAST * true_map(0.01, 0.0, frame_times(120))
    kept = np.isfinite(data.z)
    np.testing.assert_allclose(model.z[kept], exact[kept], rtol=1e-5)
    np.testing.assert_allclose(residual.z[kept], (data.z[kept] - exact[kept]) / SIGMA, atol=1e-3)
    assert np.std(residual.z[kept]) == pytest.approx(1.0, abs=0.03)


def test_the_model_is_blank_where_the_data_are(experiment: xr.Dataset, result: FitResult) -> None:
    data, model, _ = heatmaps(plots.comparison(experiment, result, q=0.01, phi=0))
    np.testing.assert_array_equal(np.isnan(data.z), np.isnan(model.z))
    assert np.isnan(np.diagonal(data.z)).all()


def test_the_three_maps_zoom_together_and_carry_units(experiment: xr.Dataset, result: FitResult) -> None:
    layout = plots.comparison(experiment, result, q=0.01, phi=0).layout
    assert layout.xaxis2.matches == layout.xaxis3.matches == "x"
    assert layout.yaxis2.matches == layout.yaxis3.matches == "y"
    assert all("(s)" in axis.title.text for axis in (layout.xaxis, layout.xaxis2, layout.xaxis3))
    assert layout.coloraxis2.colorbar.title.text == "σ"


def test_data_and_model_share_colours_and_the_residual_is_symmetric(
    experiment: xr.Dataset, result: FitResult
) -> None:
    figure = plots.comparison(experiment, result, q=0.01, phi=0)
    assert [trace.coloraxis for trace in heatmaps(figure)] == ["coloraxis", "coloraxis", "coloraxis2"]
    assert figure.layout.coloraxis2.cmin == -figure.layout.coloraxis2.cmax


def test_a_reduced_residual_is_the_mean_of_the_full_one(experiment: xr.Dataset, result: FitResult) -> None:
    full = heatmaps(plots.comparison(experiment, result, q=0.01, phi=0))[2].z.astype(float)
    small = heatmaps(plots.comparison(experiment, result, q=0.01, phi=0, max_size=60))[2].z
    np.testing.assert_allclose(small[0, 10], np.nanmean(full[0:2, 20:22]), atol=1e-3)
    np.testing.assert_allclose(small[5, 5], np.nanmean(full[10:12, 10:12]), atol=1e-3)


@pytest.mark.parametrize("factor", [3, 7])
@pytest.mark.parametrize(
    ("rows", "columns"), [((0, 120), (0, 120)), ((5, 80), (31, 118)), ((60, 119), (0, 44))]
)
@pytest.mark.parametrize("mode", ["heterodyne", "static_isotropic", "laminar_flow"])
def test_block_means_of_the_model_are_the_means_of_its_pixels(
    experiment: xr.Dataset, mode: str, factor: int, rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    laminar = {"parameters": [40.0, 0.1, 1.0, 1e-3, 0.2, 0.0, 10.0], "gap": 1e6} if "laminar" in mode else {}
    one = BinModel.of(make_result(mode, **laminar), one_bin(experiment, q=0.01, phi=45))
    times, used = frame_times(120), experiment["mask"].values
    down, across = np.arange(*rows), np.arange(*columns)
    pixels = blank(one.at(times[down, None], times[across]), down, across, used, diagonal=True)
    found = one.reduced(times, used, down, across, factor)
    np.testing.assert_allclose(found, block_mean(pixels, factor), atol=2e-7)


def test_a_fast_decay_does_not_overflow_in_block_means(experiment: xr.Dataset) -> None:
    fast = make_result("static_isotropic", parameters=[1e9, 0.0, 0.0], covariance=None, bands=None)
    one = BinModel.of(fast, one_bin(experiment, q=0.01, phi=45))
    frames = np.arange(120)
    found = one.reduced(frame_times(120), np.ones(120, dtype=bool), frames, frames, 10)
    np.testing.assert_allclose(found, 1.0, atol=1e-12)


def test_a_fit_of_one_time_data_has_no_map(experiment: xr.Dataset) -> None:
    result = make_result(
        "heterodyne_equilibrium", parameters=[0.3, 50.0, 300.0, 40.0, 20.0], bands=None, t=None
    )
    with pytest.raises(ConfigurationError, match="no two-time map"):
        plots.comparison(experiment.drop_vars(["g2", "g2_err"]), result, q=0.01, phi=0)


def test_without_sigma_the_noise_is_estimated_and_the_subtitle_says_so(result: FitResult) -> None:
    bare = make_experiment().drop_vars("sigma")
    figure = plots.comparison(bare, result, q=0.01, phi=0)
    assert "estimated from the data" in figure.layout.title.subtitle.text
    residual = heatmaps(figure)[2].z
    assert np.nanstd(residual) == pytest.approx(1.0, abs=0.15)


def test_a_wrong_model_stands_out(experiment: xr.Dataset) -> None:
    figure = plots.comparison(experiment, make_result(shift=0.3), q=0.01, phi=0)
    assert figure.layout.coloraxis2.cmax > 4


def test_one_bin_must_be_meant(experiment: xr.Dataset, result: FitResult) -> None:
    with pytest.raises(ConfigurationError, match="8 bins fit, one is needed"):
        plots.comparison(experiment, result, q=0.01)


def test_a_window_of_a_map_is_sharper_than_the_whole(experiment: xr.Dataset) -> None:
    whole = plots.map_view(experiment, q=0.01, phi=0, max_size=40)
    part = plots.map_view(experiment, q=0.01, phi=0, t1=(10, 20), t2=(30, 55), max_size=40)
    assert (whole.factor, part.factor) == (3, 2)
    assert part.values.shape == (11, 26)
    assert part.t1[0] == pytest.approx(10.25)
    stored = experiment["c2"].sel(q=0.01, phi=0, t1=slice(10, 10.5), t2=slice(30, 30.5)).values
    assert part.values[0, 0] == pytest.approx(stored.mean(), rel=1e-5)


def test_an_empty_window_names_the_times_there_are(experiment: xr.Dataset) -> None:
    with pytest.raises(ConfigurationError, match=r"no frame from 100 to 200 s(.|\n)*0\.5 to 60 s"):
        plots.map_view(experiment, q=0.01, phi=0, t1=(100, 200))
