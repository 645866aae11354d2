"""Figures of a result alone: curves, comparison of fits, chi-square, correlation, convergence, velocity."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from plot_samples import PHI, TRUTH, Q, make_covariance, make_result

from heterodyne_nb import plots
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas
from heterodyne_nb.result import FitResult


def axis_titles(figure: go.Figure) -> list[str]:
    axes = [*figure.select_xaxes(), *figure.select_yaxes()]
    return [axis.title.text for axis in axes if axis.title.text]


def test_every_curve_has_its_unit_and_its_band(result: FitResult) -> None:
    figure = plots.curves(result)
    assert axis_titles(figure) == [
        "t (s)",
        "t (s)",
        "J<sub>ref</sub> (Å²/s)",
        "J<sub>sample</sub> (Å²/s)",
        "v (Å/s)",
        "x<sub>sample</sub>",
    ]
    line = next(t for t in figure.data if t.name == "v")
    shade = next(t for t in figure.data if t.name == "v, 95 % band")
    np.testing.assert_allclose(shade.y[: line.y.size], 1.05 * line.y)
    np.testing.assert_allclose(shade.y[line.y.size :], 0.95 * line.y[::-1])


def test_without_a_covariance_the_curves_say_that_their_uncertainty_is_not_known() -> None:
    figure = plots.curves(make_result(covariance=None, bands=None))
    assert "no uncertainty known" in figure.layout.title.subtitle.text
    assert not any("band" in trace.name for trace in figure.data)


def test_a_band_that_is_wide_for_a_few_frames_does_not_flatten_the_curve(result: FitResult) -> None:
    bands = {name: (0.95 * c.values, 1.05 * c.values) for name, c in curve_values(result).items()}
    bands["v"][0][:3], bands["v"][1][:3] = -1e5, 1e5
    low, high = plots.curves(make_result(bands=bands)).layout.yaxis3.range
    v = result.dataset["v"].values
    assert low < v.min() < v.max() < high
    assert high - low < 3 * np.ptp(v)


def test_a_flat_curve_is_shown_with_the_whole_of_its_band() -> None:
    flat = np.full(120, 5.0)
    bands = {"J": (flat - 3, flat + 3)}
    figure = plots.curves(make_result("static_isotropic", parameters=[0.0, 0.0, 5.0], bands=bands))
    low, high = figure.layout.yaxis.range
    assert low < 2 < 8 < high


def test_given_parameters_are_drawn_dashed_over_the_curves_of_the_fit() -> None:
    names = make_result().parameter_names
    figure = plots.curves(make_result(shift=0.1), against={"truth": dict(zip(names, TRUTH, strict=True))})
    given = [trace for trace in figure.data if trace.name == "truth"]
    assert [trace.line.dash for trace in given] == ["dash"] * 4
    assert [trace.showlegend for trace in given] == [True, False, False, False]
    v = make_result().dataset["v"].values
    np.testing.assert_allclose(given[2].y, v)
    assert figure.layout.yaxis3.range[0] <= v.min() < v.max() <= figure.layout.yaxis3.range[1]


def test_time_can_be_logarithmic_in_every_panel(result: FitResult) -> None:
    assert {axis.type for axis in plots.curves(result, log_time=True).select_xaxes()} == {"log"}
    assert {axis.type for axis in plots.curves(result).select_xaxes()} == {None}


def test_given_parameters_with_a_wrong_name_are_an_error_that_names_it(result: FitResult) -> None:
    with pytest.raises(ConfigurationError, match="D0_reff") as told:
        plots.curves(result, against={"paper": {**result.values, "D0_reff": 1.0}})
    assert "'paper'" in str(told.value)


def curve_values(result: FitResult) -> dict[str, xr.DataArray]:
    return {name: result.dataset[name] for name in result.curve_names}


def test_curves_of_a_static_fit_are_one_panel() -> None:
    assert axis_titles(plots.curves(make_result("static_isotropic"))) == ["t (s)", "J (Å²/s)"]


def test_a_fit_that_did_not_converge_says_so_under_its_curves() -> None:
    assert "NOT converged" in plots.curves(make_result(success=False)).layout.title.subtitle.text


def test_compared_fits_are_told_apart_by_colour_and_legend(result: FitResult) -> None:
    figure = plots.compare_results({"first": result, "other": make_result(shift=0.1)})
    lines = [trace for trace in figure.data if trace.mode == "lines" and trace.fill is None]
    assert len(lines) == 8
    assert {trace.line.color for trace in lines if trace.name == "first"} == {canvas.line_colour(0)}
    assert [trace.name for trace in lines if trace.showlegend] == ["first", "other"]
    assert "first: reduced χ² = 1.01" in figure.layout.title.subtitle.text


def test_fits_of_different_modes_share_only_the_curves_they_have(result: FitResult) -> None:
    figure = plots.compare_results({"heterodyne": result, "static": make_result("static_isotropic")})
    assert [title for title in axis_titles(figure) if "(Å²/s)" in title][-1] == "J (Å²/s)"
    assert len({title for title in axis_titles(figure) if title != "t (s)"}) == 5


def test_compared_bands_show_their_reach_above_and_below_the_curve(result: FitResult) -> None:
    lopsided = {name: (c.values - 1.0, c.values + 3.0) for name, c in curve_values(result).items()}
    figure = plots.compare_bands({"delta": result, "bootstrap": make_result(bands=lopsided)})
    v = result.dataset["v"].values
    above, below = (t for t in figure.data if t.name == "bootstrap" and t.yaxis == "y3")
    np.testing.assert_allclose(above.y, 3.0)
    np.testing.assert_allclose(below.y, 1.0)
    delta = next(t for t in figure.data if t.name == "delta" and t.yaxis == "y3")
    np.testing.assert_allclose(delta.y, 0.05 * v)
    assert [t.name for t in figure.data if t.showlegend] == ["delta", "bootstrap"]
    assert {axis.type for axis in figure.select_yaxes()} == {"log"}


def test_bands_that_nobody_has_cannot_be_compared() -> None:
    with pytest.raises(ConfigurationError, match="none of these results has a band"):
        plots.compare_bands({"none": make_result(covariance=None, bands=None)})


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ConfigurationError):
        plots.compare_results({})


def test_chi_square_is_drawn_for_every_bin_in_order_of_angle(result: FitResult) -> None:
    figure = plots.chi2_by_angle(result)
    assert [trace.name for trace in figure.data] == ["q = 0.005 Å⁻¹", "q = 0.01 Å⁻¹"]
    np.testing.assert_array_equal(figure.data[1].x, PHI)
    np.testing.assert_array_equal(figure.data[1].y, result.dataset["chi2_reduced_bin"].values[8:])
    assert axis_titles(figure)[0] == "φ (°)"


def test_correlations_are_normalised_and_leave_out_what_has_no_variance(result: FitResult) -> None:
    figure = plots.correlation(result)
    (trace,) = figure.data
    assert trace.z.shape == (13, 13)
    np.testing.assert_allclose(np.diagonal(trace.z), 1, rtol=1e-6)
    covariance = make_covariance()
    expected = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    assert trace.z[0, 1] == pytest.approx(expected, rel=1e-5)
    assert "f2" in figure.layout.title.subtitle.text
    assert (trace.zmin, trace.zmax) == (-1, 1)


def test_an_unknown_covariance_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="no covariance"):
        plots.correlation(make_result(covariance=None))
    with pytest.raises(ConfigurationError, match="fewer than two"):
        plots.correlation(make_result(covariance=np.full((14, 14), np.nan)))


def test_a_history_that_names_its_iterations_is_drawn_at_them() -> None:
    figure = plots.convergence(
        make_result(path=[{"strategy": "s", "history": [[0, 9.0], [2, 1.5], [3, 1.0]]}])
    )
    np.testing.assert_array_equal(figure.data[0].x, [0, 2, 3])
    np.testing.assert_array_equal(figure.data[0].y, [9.0, 1.5, 1.0])


def test_convergence_draws_the_history_of_every_run(result: FitResult) -> None:
    figure = plots.convergence(result)
    assert [trace.name for trace in figure.data] == ["nelder_mead (its end)", "gauss_newton"]
    assert list(figure.data[0].x) == [40]
    assert list(figure.data[1].y) == [1.9, 1.4, 1.1, 1.02, 1.011, 1.01]
    assert "2 runs, 3.4 s" in figure.layout.title.subtitle.text


def test_runs_of_one_kind_share_a_colour_and_a_line_of_the_legend() -> None:
    search = [{"strategy": "s", "start": "search", "history": [[0, 3.0], [1, 2.0 - k]]} for k in (0.1, 0.2)]
    figure = plots.convergence(
        make_result(path=[*search, {"strategy": "s", "history": [[0, 1.8], [1, 1.7]]}])
    )
    assert [trace.name for trace in figure.data if trace.showlegend] == ["s, search (2 runs)", "s"]
    assert len({trace.line.color for trace in figure.data}) == 2
    assert len(figure.data) == 3


def test_a_long_way_down_is_drawn_on_a_logarithmic_axis() -> None:
    steep = make_result(path=[{"strategy": "s", "history": [1e4, 30.0, 1.0]}])
    assert plots.convergence(steep).layout.yaxis.type == "log"


def test_a_path_without_chi_square_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="no chi-square"):
        plots.convergence(make_result(path=[{"strategy": "s"}]))


def frequencies(v: float, phi0: float) -> xr.Dataset:
    rate = Q[:, None] * v * np.abs(np.cos(np.deg2rad(phi0 - PHI))) / (2 * np.pi)
    rate[0, 3] = np.nan
    return xr.Dataset({"frequency": (("q", "phi"), rate)}, coords={"q": Q, "phi": PHI})


def test_all_q_fall_on_one_velocity_curve(result: FitResult) -> None:
    figure = plots.velocity_polar(result, frequencies(70.0, 20.0))
    right = [trace for trace in figure.data if trace.subplot == "polar2"]
    line = right[-1]
    for points in right[:-1]:
        expected = 70.0 * np.abs(np.cos(np.deg2rad(20.0 - np.asarray(points.theta))))
        np.testing.assert_allclose(points.r, expected, atol=1e-9)
    v = result.dataset["v"].values
    assert line.r.max() == pytest.approx((v[59] + v[60]) / 2, rel=1e-3)
    assert line.theta[np.argmax(line.r)] in (20.0, -160.0)


def test_the_fringe_lines_of_a_result_are_q_v_cos_over_two_pi(result: FitResult) -> None:
    figure = plots.velocity_polar(result, t=30.0)
    left = [trace for trace in figure.data if trace.subplot != "polar2"]
    assert len(left) == 2
    speed = float(np.interp(30.0, result.dataset["t"], result.dataset["v"]))
    at_zero = np.abs(np.cos(np.deg2rad(TRUTH[13]))) * speed * Q[1] / (2 * np.pi)
    assert left[1].r[list(left[1].theta).index(0.0)] == pytest.approx(at_zero)


def test_a_bin_without_a_frequency_is_left_out() -> None:
    figure = plots.velocity_polar(None, frequencies(70.0, 20.0))
    assert len(figure.data[0].theta) == 7
    assert 0.0 not in figure.data[0].theta


def test_the_polar_view_needs_a_velocity() -> None:
    with pytest.raises(ConfigurationError, match="no velocity"):
        plots.velocity_polar(make_result("static_isotropic"))
    with pytest.raises(ConfigurationError, match="nothing to draw"):
        plots.velocity_polar()
