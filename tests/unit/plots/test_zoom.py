"""Maps that are read again at every zoom."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from plot_samples import CONTRAST, SIGMA, frame_times, true_map

from heterodyne_nb import plots
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.result import FitResult

pytest.importorskip("anywidget")


def zoom(live: go.FigureWidget, t1: tuple[float, float], t2: tuple[float, float]) -> None:
    """What the browser sends after a drag."""
    with live.batch_update():
        live.layout.xaxis.range, live.layout.yaxis.range = t1, t2


@pytest.fixture
def live(experiment: xr.Dataset) -> go.FigureWidget:
    return plots.zoom_c2(experiment, q=0.01, phi=0, max_size=30)


def test_zooming_in_brings_the_pixels_of_the_window(live: go.FigureWidget, experiment: xr.Dataset) -> None:
    assert live.data[0].z.shape == (30, 30)
    zoom(live, (2.9, 10.1), (30.0, 44.0))
    trace = live.data[0]
    np.testing.assert_allclose(trace.x, np.arange(3.0, 10.1, 0.5))
    np.testing.assert_allclose(trace.y, np.arange(30.0, 44.1, 0.5))
    expected = experiment["c2"].sel(q=0.01, phi=0, t1=slice(3, 10), t2=slice(30, 44)).values.T
    np.testing.assert_allclose(trace.z, expected, atol=1e-4)


def test_the_subtitle_says_how_the_window_was_reduced(live: go.FigureWidget) -> None:
    assert "means of 4 × 4 frames" in live.layout.title.subtitle.text
    zoom(live, (2.0, 20.0), (2.0, 20.0))
    assert "means of 2 × 2 frames" in live.layout.title.subtitle.text
    zoom(live, (2.0, 10.0), (2.0, 10.0))
    assert "means" not in live.layout.title.subtitle.text


def test_zooming_out_brings_the_whole_run_back(live: go.FigureWidget) -> None:
    before = live.data[0].z.copy()
    zoom(live, (2.0, 10.0), (2.0, 10.0))
    zoom(live, (-5.0, 99.0), (-5.0, 99.0))
    np.testing.assert_array_equal(live.data[0].z, before)


def test_a_window_beside_the_run_or_within_a_frame_still_shows_frames(live: go.FigureWidget) -> None:
    zoom(live, (200.0, 300.0), (10.01, 10.02))
    assert live.data[0].z.shape == (2, 2)
    assert live.data[0].x[-1] == 60.0
    assert live.data[0].y[0] == 10.0


def test_data_model_and_residual_zoom_together(experiment: xr.Dataset, result: FitResult) -> None:
    live = plots.zoom_comparison(experiment, result, q=0.01, phi=0, max_size=40)
    zoom(live, (5.0, 15.0), (22.0, 40.0))
    data, model, residual = (trace for trace in live.data if trace.type == "heatmap")
    t = frame_times(120)
    exact = 1 + CONTRAST * true_map(0.01, 0.0, t)[43:80, 9:30]
    kept = np.isfinite(data.z)
    assert kept.any()
    assert not kept.all()  # the masked frames
    np.testing.assert_allclose(model.z[kept], exact[kept], atol=2e-4)
    np.testing.assert_allclose(residual.z[kept], (data.z - exact)[kept] / SIGMA, atol=0.05)
    assert "σ = 0.01" in live.layout.title.subtitle.text


def test_numbers_that_travel_are_short_but_tell_the_shades_apart(live: go.FigureWidget) -> None:
    axis = live.layout.coloraxis
    step = (axis.cmax - axis.cmin) / 1000
    assert max(len(repr(v)) for v in live.data[0].z.ravel().tolist() if np.isfinite(v)) <= 8
    assert np.ptp(live.data[0].z[np.isfinite(live.data[0].z)]) > 100 * step


def test_many_bins_are_an_error_that_lists_them(experiment: xr.Dataset) -> None:
    with pytest.raises(ConfigurationError, match="16 bins fit"):
        plots.zoom_c2(experiment)


def test_without_anywidget_it_says_what_to_install(
    experiment: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise ImportError("anywidget")

    monkeypatch.setattr(go, "FigureWidget", missing)
    with pytest.raises(plots.ZoomError, match=r"heterodyne_nb\[app\]"):
        plots.zoom_c2(experiment, q=0.01, phi=0)
