"""g2 against lag, with points, model and band."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from plot_samples import CONTRAST, frame_times, make_covariance, make_result, true_map

from heterodyne_nb import plots
from heterodyne_nb.data import prepare
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.bin_model import Window, model_cut, pairs_in_window
from heterodyne_nb.plots.cuts import thinned
from heterodyne_nb.plots.select import one_bin
from heterodyne_nb.result import FitResult


def points(figure: go.Figure) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.mode == "markers"]


def test_lags_are_logarithmic_seconds_and_points_have_error_bars(experiment: xr.Dataset) -> None:
    figure = plots.g2_cuts(experiment, q=0.01, phi=0, ages=[15, 30], width=5)
    assert figure.layout.xaxis.type == "log"
    assert "(s)" in figure.layout.xaxis.title.text
    assert [trace.name for trace in points(figure)] == ["15 s", "30 s"]
    assert all(np.all(np.asarray(trace.error_y.array) > 0) for trace in points(figure))


@pytest.mark.parametrize("cut", ["row", "diagonal"])
def test_cuts_of_maps_and_cuts_made_before_give_the_same_points(experiment: xr.Dataset, cut: str) -> None:
    alone = experiment.isel(q=[1], phi=[3])
    made = prepare.g2_cuts(alone, age=[15, 30], width=5, cut=cut)
    first = points(plots.g2_cuts(experiment, q=0.01, phi=0, ages=[15, 30], width=5, cut=cut))
    second = points(plots.g2_cuts(made))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.y, other.y)


def test_the_kind_of_cut_and_its_window_are_named(experiment: xr.Dataset) -> None:
    figure = plots.g2_cuts(experiment, q=0.01, phi=0, ages=20, width=4, cut="diagonal")
    note = figure.layout.title.subtitle.text
    assert "across the diagonal" in note
    assert "4 s of age" in note


def test_without_ages_all_of_them_are_averaged(experiment: xr.Dataset) -> None:
    figure = plots.g2_cuts(experiment, q=0.01, phi=0)
    (trace,) = points(figure)
    measured = experiment["g2"].sel(q=0.01, phi=0).values
    np.testing.assert_array_equal(trace.y, measured[np.isfinite(measured)])
    assert "all ages" in figure.layout.title.subtitle.text


@pytest.mark.parametrize("cut", ["row", "diagonal"])
def test_the_model_of_a_cut_is_the_cut_of_the_model(
    experiment: xr.Dataset, result: FitResult, cut: str
) -> None:
    exact = 1 + CONTRAST * true_map(0.01, 0.0, frame_times(120))
    modelled = experiment.isel(q=[1], phi=[3]).assign(mask=experiment["mask"] | True)
    modelled = modelled.assign(c2=modelled["c2"].copy(data=exact[None, None].astype(np.float32)))
    made = prepare.g2_cuts(modelled, age=25.0, width=5.0, cut=cut)
    expected = made["g2"].values.ravel()
    known = np.isfinite(expected)
    fitted = model_cut(
        result,
        one_bin(experiment, q=0.01, phi=0),
        Window(25.0, 5.0, cut),
        made["tau"].values,
        frame_times(120),
    )
    np.testing.assert_allclose(fitted.g2[known][:60], expected[known][:60], atol=2e-3 * CONTRAST)


def test_the_model_runs_through_the_points_and_has_a_band(experiment: xr.Dataset, result: FitResult) -> None:
    figure = plots.g2_cuts(experiment, q=0.01, phi=0, ages=30, width=5, result=result)
    (trace,) = points(figure)
    model = next(t for t in figure.data if t.name == "model")
    near = np.asarray(model.x)[:, None] == np.asarray(trace.x)
    difference = np.asarray(model.y)[near.any(axis=1)] - np.asarray(trace.y)
    assert np.sqrt(np.mean(difference**2)) < 0.006  # 0.01 averaged over ten ages, fewer at long lags
    assert any(t.name == "95 % band" for t in figure.data)
    assert "heterodyne" in figure.layout.title.subtitle.text


def test_the_band_grows_with_the_covariance(experiment: xr.Dataset) -> None:
    chosen = one_bin(experiment, q=0.01, phi=0)
    tau = np.array([1.0, 5.0, 10.0])
    widths = []
    for scale in (1.0, 4.0):
        fit = make_result(covariance=scale * make_covariance())
        cut = model_cut(fit, chosen, Window(30.0, 0.0, "row"), tau, frame_times(120))
        widths.append(cut.upper - cut.lower)
    np.testing.assert_allclose(widths[1], 2 * widths[0], rtol=1e-6)


def test_without_a_covariance_there_is_no_band(experiment: xr.Dataset) -> None:
    figure = plots.g2_cuts(experiment, q=0.01, phi=0, result=make_result(covariance=None))
    assert not any(t.name == "95 % band" for t in figure.data)


def test_pairs_beyond_the_run_are_left_out() -> None:
    first, second = pairs_in_window(Window(50.0, 0.0, "row"), np.array([5.0, 20.0]), frame_times(120))
    np.testing.assert_array_equal(np.isnan(second), [[False, True]])
    np.testing.assert_array_equal(first[0, 0], 50.0)
    first, second = pairs_in_window(Window(50.0, 0.0, "diagonal"), np.array([5.0, 30.0]), frame_times(120))
    np.testing.assert_allclose([first[0, 0], second[0, 0]], [47.5, 52.5])
    assert np.isnan(first[0, 1])


def test_thousands_of_lags_are_thinned_evenly_in_their_logarithm() -> None:
    tau = np.arange(1, 10_001) * 0.1
    kept = thinned(tau)
    assert kept[0] == 0
    assert kept[-1] == tau.size - 1
    assert 100 < kept.size <= 400
    assert np.diff(np.log(tau[kept[50:]])).max() < 0.05


def test_a_dead_bin_and_cuts_of_cuts_are_errors(experiment: xr.Dataset) -> None:
    with pytest.raises(ConfigurationError, match="no g2 is measured"):
        plots.g2_cuts(experiment, q=0.01, phi=-45)
    made = prepare.g2_cuts(experiment.isel(q=[0], phi=[0]), age=20.0, width=2.0)
    with pytest.raises(ConfigurationError, match="cuts already"):
        plots.g2_cuts(made, ages=20)


def test_the_lag_may_be_linear(experiment: xr.Dataset) -> None:
    figure = plots.g2_cuts(experiment, q=0.01, phi=0, ages=30, width=5, log_lag=False)
    assert figure.layout.xaxis.type is None
    assert plots.g2_cuts(experiment, q=0.01, phi=0, ages=30, width=5).layout.xaxis.type == "log"
