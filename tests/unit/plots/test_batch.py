"""Parameters of a batch, and its curves at one time."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from plot_samples import make_result

from heterodyne_nb import plots
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas
from heterodyne_nb.result import batch_table


@pytest.fixture(scope="module")
def fitted() -> xr.Dataset:
    fits = [make_result(shift=shift) for shift in (0.0, 0.02, 0.04)]
    return batch_table(fits, "q", [0.004, 0.002, 0.008], unit="1/Å")


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


def test_curves_at_a_time_stand_in_order_with_their_bands(fitted: xr.Dataset) -> None:
    figure = plots.curves_against(fitted, "q", t=30.1)
    v = fitted["v"].sel(t=30.0).values
    trace = figure.data[2]
    assert list(trace.x) == [0.002, 0.004, 0.008]
    np.testing.assert_allclose(trace.y, v[[1, 0, 2]])
    np.testing.assert_allclose(trace.error_y.array, 0.05 * v[[1, 0, 2]])
    assert [note.text for note in figure.layout.annotations][2] == "v (Å/s)"
    assert "at t = 30.1 s" in figure.layout.title.subtitle.text
    assert "95 % band" in figure.layout.title.subtitle.text


def test_bars_end_where_lopsided_bands_do(fitted: xr.Dataset) -> None:
    cut = fitted.assign(J_ref_lower=0.0 * fitted["J_ref"], J_ref_upper=1.1 * fitted["J_ref"])
    trace = plots.curves_against(cut, "q", curves=["J_ref"]).data[0]
    np.testing.assert_allclose(trace.y - trace.error_y.arrayminus, 0.0, atol=1e-12)
    np.testing.assert_allclose(trace.y + trace.error_y.array, 1.1 * np.array(trace.y))


def test_without_a_time_each_fit_is_taken_in_the_middle_of_its_own_run(fitted: xr.Dataset) -> None:
    early, late = fitted["t"] <= 20.0, fitted["t"] > 40.0
    cut = fitted.copy()
    for name in ("J_ref", "J_sample", "v", "x_sample"):
        for end in ("", "_lower", "_upper"):
            inside = xr.concat([early, late, late | early], dim=fitted["q"])
            cut[name + end] = fitted[name + end].where(inside)
    trace = plots.curves_against(cut, "q", curves=["v"]).data[0]
    expected = [float(fitted["v"].isel(q=1).sel(t=50.0)), float(fitted["v"].isel(q=0).sel(t=10.0))]
    np.testing.assert_allclose(trace.y[:2], expected)


def test_a_time_that_no_fit_covers_and_unknown_names_are_errors(fitted: xr.Dataset) -> None:
    with pytest.raises(ConfigurationError, match=r"no fit covers t = 90 s(.|\n)*0.5 to 60"):
        plots.curves_against(fitted, "q", t=90)
    with pytest.raises(ConfigurationError, match="no curve 'w'"):
        plots.curves_against(fitted, "q", curves=["w"])
    with pytest.raises(ConfigurationError, match="no coordinate 'age'"):
        plots.curves_against(fitted, "age")
    with pytest.raises(ConfigurationError, match="keep no curves"):
        plots.curves_against(fitted[["parameters", "stderr"]], "q")


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
