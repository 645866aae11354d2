"""Curves of one fit and of several."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from plot_samples import TRUTH, make_result

from heterodyne_nb import plots
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.plots import canvas
from heterodyne_nb.result import FitResult


def axis_titles(figure: go.Figure) -> list[str]:
    axes = [*figure.select_xaxes(), *figure.select_yaxes()]
    return [axis.title.text for axis in axes if axis.title.text]


def curve_values(result: FitResult) -> dict[str, xr.DataArray]:
    return {name: result.dataset[name] for name in result.curve_names}


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


def test_compared_fits_are_drawn_over_the_truth_and_no_wide_band_flattens_them(result: FitResult) -> None:
    wide = {
        name: (c.values - 1e3 * (c.t < 2), c.values + 1e3 * (c.t < 2))
        for name, c in curve_values(result).items()
    }
    fits = {"static": make_result("static_isotropic"), "first": result, "wide": make_result(bands=wide)}
    truth = dict(fits["static"].values)
    figure = plots.compare_results(fits, against={"truth": truth})
    (dashed,) = (trace for trace in figure.data if trace.name == "truth")
    model = ModelFactory.create_model("static_isotropic")
    np.testing.assert_allclose(dashed.y, model.curves(list(truth.values()), dashed.x)["J"])
    drawn = next(trace for trace in figure.data if trace.name == "static" and trace.fill is None)
    assert dashed.yaxis == drawn.yaxis
    v = next(
        trace
        for trace in figure.data
        if trace.name == "wide" and trace.fill is None and "v =" in trace.hovertemplate
    )
    low, high = figure.layout["yaxis" + v.yaxis[1:]].range
    assert high - low < 10 * np.ptp(v.y)


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
