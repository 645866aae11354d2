"""Fringes: their spectrum, by angle, and the velocity they mean."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from plot_samples import PHI, TRUTH, Q, make_result

from heterodyne_nb import plots
from heterodyne_nb.data import prepare
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.fringes import coarse
from heterodyne_nb.result import FitResult


@pytest.fixture(scope="module")
def spectrum(experiment: xr.Dataset) -> xr.Dataset:
    return prepare.fringe_spectrum(experiment, age=[10.0, 20.0, 30.0, 57.5], width=5.0)


def flow(v: float, phi0: float) -> xr.Dataset:
    """Fringe frequencies of a steady flow at two q and three angles."""
    q, phi = np.array([0.005, 0.01]), np.array([-30.0, 20.0, 80.0])
    reach = q[:, None] * np.abs(np.cos(np.deg2rad(phi0 - phi)))
    frequency = (("q", "phi"), v * reach / (2 * np.pi))
    return xr.Dataset({"frequency": frequency, "reach": (("q", "phi"), reach)}, coords={"q": q, "phi": phi})


def frequencies(v: float, phi0: float) -> xr.Dataset:
    rate = Q[:, None] * v * np.abs(np.cos(np.deg2rad(phi0 - PHI))) / (2 * np.pi)
    rate[0, 3] = np.nan
    return xr.Dataset({"frequency": (("q", "phi"), rate)}, coords={"q": Q, "phi": PHI})


def test_frequency_is_in_hertz_against_age_in_seconds(spectrum: xr.Dataset) -> None:
    figure = plots.fringe_spectrum(spectrum, q=0.01, phi=0)
    assert figure.layout.xaxis.title.text == "age (s)"
    assert figure.layout.yaxis.title.text == "frequency (Hz)"
    assert "Nyquist 1 Hz" in figure.layout.title.subtitle.text


def test_the_peaks_lie_on_the_ridge_of_the_map(spectrum: xr.Dataset) -> None:
    ridge, peaks = plots.fringe_spectrum(spectrum, q=0.01, phi=0).data
    assert isinstance(ridge, go.Heatmap)
    spacing = ridge.y[1] - ridge.y[0]
    highest = np.asarray(ridge.y)[np.argmax(ridge.z, axis=0)]
    np.testing.assert_allclose(peaks.y[:3], highest[:3], atol=spacing)


def test_a_peak_that_is_not_clear_of_the_noise_is_open(spectrum: xr.Dataset) -> None:
    peaks = plots.fringe_spectrum(spectrum, q=0.01, phi=0).data[1]
    assert list(peaks.marker.symbol) == ["circle", "circle", "circle", "circle-open"]


def test_one_age_is_a_curve(spectrum: xr.Dataset) -> None:
    figure = plots.fringe_spectrum(spectrum.isel(age=[1]), q=0.01, phi=0)
    curve, peak = figure.data
    assert curve.mode == "lines"
    assert figure.layout.xaxis.title.text == "frequency (Hz)"
    assert peak.x[0] == pytest.approx(curve.x[np.argmax(curve.y)], abs=curve.x[1] - curve.x[0])


def test_the_highest_frequency_can_be_set(spectrum: xr.Dataset) -> None:
    ridge = plots.fringe_spectrum(spectrum, q=0.01, phi=0, max_frequency=0.25).data[0]
    assert 0.24 < ridge.y[-1] <= 0.25


def test_a_fine_spectrum_is_reduced_without_losing_a_peak() -> None:
    frequency = np.linspace(0.0, 10.0, 4001)
    power = np.zeros((4001, 2))
    power[1234, 0] = power[4000, 1] = 1.0
    fewer, kept = coarse(frequency, power)
    assert fewer.size <= 400
    np.testing.assert_array_equal(kept.max(axis=0), [1.0, 1.0])
    assert fewer[np.argmax(kept[:, 0])] == pytest.approx(frequency[1234], abs=0.02)


def test_a_bin_without_a_spectrum_and_a_dataset_without_one_are_errors(
    spectrum: xr.Dataset, experiment: xr.Dataset
) -> None:
    with pytest.raises(ConfigurationError, match="has no spectrum"):
        plots.fringe_spectrum(spectrum, q=0.01, phi=-45)
    with pytest.raises(ConfigurationError, match=r"prepare\.fringe_spectrum"):
        plots.fringe_spectrum(experiment, q=0.01, phi=0)


def test_the_polar_view_takes_the_peaks_at_the_age_asked_for(spectrum: xr.Dataset) -> None:
    figure = plots.velocity_polar(spectrum, make_result(), t=19.0)
    assert "points: measured fringes at age 20 s" in figure.layout.title.subtitle.text
    points = next(trace for trace in figure.data if trace.mode == "markers")
    expected = spectrum["peak_frequency"].sel(q=0.005, age=20.0).values
    np.testing.assert_allclose(points.r, expected)


def test_a_peak_of_fewer_than_two_fringes_a_cut_is_open(spectrum: xr.Dataset) -> None:
    few = spectrum.assign(
        peak_to_median=100.0 + 0 * spectrum["peak_to_median"], span=20 + 0 * spectrum["span"]
    )
    slow = few.assign(peak_frequency=0.05 + 0 * few["peak_frequency"])
    fast = few.assign(peak_frequency=0.15 + 0 * few["peak_frequency"])
    for changed, symbol in ((slow, "circle-open"), (fast, "circle")):
        assert set(plots.fringe_spectrum(changed, q=0.01, phi=0).data[1].marker.symbol) == {symbol}
        polar = plots.velocity_polar(frequencies=changed)
        assert {s for trace in polar.data for s in trace.marker.symbol} == {symbol}


def test_the_velocity_is_taken_at_the_age_of_the_points(spectrum: xr.Dataset) -> None:
    figure = plots.velocity_polar(spectrum, make_result())
    assert "at t = 30 s" in figure.layout.title.subtitle.text
    assert "at age 30 s" in figure.layout.title.subtitle.text


def test_a_flow_puts_all_bins_on_one_line_through_zero() -> None:
    made = flow(60.0, 20.0)
    figure = plots.dispersion(made, phi0=20.0)
    points = [trace for trace in figure.data if trace.mode == "markers"]
    np.testing.assert_allclose(points[1].x, made["reach"].values[1])
    np.testing.assert_allclose(points[1].y, 60.0 * made["reach"].values[1])
    line = next(trace for trace in figure.data if trace.mode == "lines")
    assert "v = 60 Å/s" in line.name
    assert figure.layout.xaxis.title.text == "q |cos(φ₀ − φ)| (Å⁻¹)"
    assert figure.layout.yaxis.title.text == "2πf (rad/s)"


def test_unclear_fringes_are_open_and_do_not_count_for_the_slope() -> None:
    made = flow(60.0, 20.0)
    made["clear"] = made["frequency"] > 0
    made["frequency"][0, 1], made["clear"][0, 1] = 3.0, False
    figure = plots.dispersion(made, phi0=20.0)
    open_ones = [trace for trace in figure.data if trace.marker.symbol == "circle-open"]
    assert [list(trace.y) for trace in open_ones] == [[pytest.approx(6 * np.pi)]]
    assert [t.name for t in figure.data if t.mode == "lines"] == ["measured, clear fringes: v = 60 Å/s"]


def test_the_velocity_of_a_fit_is_drawn_beside_the_measured_one(spectrum: xr.Dataset) -> None:
    result = make_result()
    figure = plots.dispersion(spectrum, result, t=19.0)
    v = float(result.dataset["v"].sel(t=19.0))
    assert figure.data[-1].name == f"fit, t = 19 s: v = {v:.4g} Å/s"
    assert figure.data[-1].y[1] / figure.data[-1].x[1] == pytest.approx(v)
    assert "at age 20 s and later" in figure.layout.title.subtitle.text


def test_without_a_direction_there_is_no_line(spectrum: xr.Dataset) -> None:
    with pytest.raises(ConfigurationError, match="direction"):
        plots.dispersion(spectrum)


def test_all_q_fall_on_one_velocity_curve(result: FitResult) -> None:
    figure = plots.velocity_polar(frequencies(70.0, 20.0), result)
    right = [trace for trace in figure.data if trace.subplot == "polar2"]
    line = right[-1]
    for points in right[:-1]:
        expected = 70.0 * np.abs(np.cos(np.deg2rad(20.0 - np.asarray(points.theta))))
        np.testing.assert_allclose(points.r, expected, atol=1e-9)
    v = result.dataset["v"].values
    assert line.r.max() == pytest.approx((v[59] + v[60]) / 2, rel=1e-3)
    assert line.theta[np.argmax(line.r)] in (20.0, -160.0)


def test_the_fringe_lines_of_a_result_are_q_v_cos_over_two_pi(result: FitResult) -> None:
    figure = plots.velocity_polar(result=result, t=30.0)
    left = [trace for trace in figure.data if trace.subplot != "polar2"]
    assert len(left) == 2
    speed = float(np.interp(30.0, result.dataset["t"], result.dataset["v"]))
    at_zero = np.abs(np.cos(np.deg2rad(TRUTH[13]))) * speed * Q[1] / (2 * np.pi)
    assert left[1].r[list(left[1].theta).index(0.0)] == pytest.approx(at_zero)


def test_a_bin_without_a_frequency_is_left_out() -> None:
    figure = plots.velocity_polar(frequencies(70.0, 20.0))
    assert len(figure.data[0].theta) == 7
    assert 0.0 not in figure.data[0].theta


def test_the_polar_view_needs_a_velocity() -> None:
    with pytest.raises(ConfigurationError, match="no velocity"):
        plots.velocity_polar(result=make_result("static_isotropic"))
    with pytest.raises(ConfigurationError, match="nothing to draw"):
        plots.velocity_polar()
