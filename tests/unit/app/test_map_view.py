"""The map canvas and the trace strip, driven without a browser."""

from __future__ import annotations

import numpy as np
import pytest

from heterodyne_nb.app import MapCanvas, TraceStrip
from heterodyne_nb.data import make_dataset, prepare
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import map_view

DT = 0.1


def ramp(n: int) -> np.ndarray:
    """A symmetric map in which every pixel off the diagonal is its own."""
    frame = np.arange(1.0, n + 1)
    return 1 + (frame[:, None] * frame).astype(np.float32) / n**2


def dataset(n: int = 60, bins: int = 1):
    maps = np.stack([ramp(n) + 0.1 * k for k in range(bins)])
    return make_dataset(maps, q=[0.01] * bins, phi=np.arange(bins) * 10.0, dt=DT, bin_form=True)


def pixels(picture: dict) -> np.ndarray:
    return np.frombuffer(picture["data"], np.float32).reshape(picture["rows"], picture["columns"])


def test_a_small_map_arrives_pixel_by_pixel_with_t1_to_the_right():
    ds = dataset()
    canvas = MapCanvas(ds)
    np.testing.assert_array_equal(pixels(canvas.base), ds.c2.values[0].T)
    assert canvas.base["t1"] == pytest.approx([DT / 2, 60.5 * DT])
    assert canvas.frames == (1, 60)
    canvas.close()


def test_a_large_map_is_reduced_and_a_window_of_it_is_sharp():
    canvas = MapCanvas(dataset(1203))
    assert canvas.base["factor"] == 3
    assert pixels(canvas.base).shape == (401, 401)
    canvas.view = [10.05, 30.05, 50.05, 70.05]
    detail = pixels(canvas.detail)
    assert detail.shape == (200, 200)
    assert canvas.detail["t1"] == pytest.approx([10.05, 30.05])
    first = 1 + 101 * 501 / 1203**2  # frames 101 and 501 are the first inside
    assert detail[0, 0] == pytest.approx(first, rel=1e-6)
    canvas.view = []
    canvas.close()


def test_what_is_drawn_is_what_the_figures_draw():
    ds = prepare.mask_frames(dataset(700), (20, 29))
    canvas = MapCanvas(ds)
    expected = map_view(ds, bin=0)
    np.testing.assert_array_equal(pixels(canvas.base), expected.values.T)
    assert canvas.bands == [(20, 29)]
    canvas.close()


def test_the_window_stays_for_another_bin_and_goes_with_another_run():
    ds = dataset(1203, bins=2)
    canvas = MapCanvas(ds, bin=0)
    canvas.view = [10.05, 30.05, 50.05, 70.05]
    canvas.show(ds, bin=1)
    assert canvas.view == [10.05, 30.05, 50.05, 70.05]
    assert pixels(canvas.detail)[0, 0] == pytest.approx(1.1 + 101 * 501 / 1203**2, rel=1e-6)
    canvas.show(dataset(60))
    assert canvas.view == []
    assert canvas.detail == {}
    canvas.close()


def test_colour_limits_are_percentiles_or_numbers_or_of_the_logarithm():
    ds = dataset()
    canvas = MapCanvas()
    off = ds.c2.values[0][~np.eye(60, dtype=bool)]
    canvas.show(ds, percentiles=(5, 95))
    assert canvas.limits == pytest.approx(np.percentile(off, [5, 95]))
    canvas.show(ds, limits=(1.1, 1.2))
    assert canvas.limits == (1.1, 1.2)
    canvas.show(ds, log=True)
    assert canvas.title == "log₁₀(c₂ − 1)"
    assert canvas.limits[1] < 0
    canvas.close()


def test_a_limit_that_makes_no_sense_leaves_the_picture_as_it_was():
    ds = dataset()
    canvas = MapCanvas(ds)
    before = canvas.base["number"]
    with pytest.raises(ConfigurationError, match="does not increase"):
        canvas.show(ds, limits=(2.0, 1.0))
    assert canvas.base["number"] == before
    canvas.close()


def test_a_bin_without_data_says_so():
    maps = np.stack([ramp(20), np.full((20, 20), np.nan)])
    ds = make_dataset(maps, q=[0.01, 0.01], phi=[0.0, 10.0], dt=DT, bin_form=True)
    canvas = MapCanvas(ds, bin=1)
    assert canvas.message == "no data in this bin"
    canvas.show(ds, bin=0)
    assert canvas.message == ""
    canvas.close()


def test_an_unknown_setting_is_refused_by_name():
    with pytest.raises(ConfigurationError, match=r"colour_map(.|\n)*brushed"):
        MapCanvas(colour_map="jet")


def test_the_colours_are_those_of_the_figures():
    rgb = np.frombuffer(MapCanvas().colours, np.uint8).reshape(256, 3)
    np.testing.assert_array_equal(rgb[[0, -1]], [[68, 1, 84], [253, 231, 37]])  # viridis


def test_the_strip_shows_the_mean_of_each_frame_and_scales_to_used_ones():
    ds = dataset().assign(intensity=("t", np.r_[np.full(59, 5.0), 0.0], {"units": "counts"}))
    strip = TraceStrip(ds)
    pairs = np.frombuffer(strip.trace["data"], np.float32).reshape(-1, 2)
    np.testing.assert_array_equal(pairs[:, 0], ds.intensity)
    assert strip.trace["heights"][0] < 0
    assert strip.title == "intensity (counts)"
    strip.show(prepare.mask_frames(ds, 60))
    assert strip.trace["heights"][0] > 4
    assert strip.bands == [(60, 60)]
    strip.close()


def test_a_long_trace_keeps_its_single_bad_frame():
    counts = np.full(5000, 7.0)
    counts[3210] = 0.5
    ds = dataset(20).isel(t=np.zeros(5000, int)).assign_coords(t=DT * np.arange(1, 5001))
    strip = TraceStrip(ds.assign(intensity=("t", counts)))
    pairs = np.frombuffer(strip.trace["data"], np.float32).reshape(-1, 2)
    assert len(pairs) == 1000
    assert pairs[3210 // 5].tolist() == [0.5, 7.0]
    strip.close()


def test_a_file_without_intensity_gives_the_mean_correlation_of_each_frame():
    strip = TraceStrip(dataset())
    assert strip.title == "mean c₂"
    strip.close()
