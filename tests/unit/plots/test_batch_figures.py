"""Curves of many fits at one time."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from plot_samples import make_result

from heterodyne_nb import plots
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.result import batch_table


@pytest.fixture(scope="module")
def batch() -> xr.Dataset:
    fits = [make_result(shift=shift) for shift in (0.0, 0.02, 0.04)]
    return batch_table(fits, "q", [0.004, 0.002, 0.008], unit="1/Å")


def test_curves_at_a_time_stand_in_order_with_their_bands(batch: xr.Dataset) -> None:
    figure = plots.curves_against(batch, "q", t=30.1)
    v = batch["v"].sel(t=30.0).values
    trace = figure.data[2]
    assert list(trace.x) == [0.002, 0.004, 0.008]
    np.testing.assert_allclose(trace.y, v[[1, 0, 2]])
    np.testing.assert_allclose(trace.error_y.array, 0.05 * v[[1, 0, 2]])
    assert [note.text for note in figure.layout.annotations][2] == "v (Å/s)"
    assert "at t = 30.1 s" in figure.layout.title.subtitle.text
    assert "95 % band" in figure.layout.title.subtitle.text


def test_bars_end_where_lopsided_bands_do(batch: xr.Dataset) -> None:
    cut = batch.assign(J_ref_lower=0.0 * batch["J_ref"], J_ref_upper=1.1 * batch["J_ref"])
    trace = plots.curves_against(cut, "q", curves=["J_ref"]).data[0]
    np.testing.assert_allclose(trace.y - trace.error_y.arrayminus, 0.0, atol=1e-12)
    np.testing.assert_allclose(trace.y + trace.error_y.array, 1.1 * np.array(trace.y))


def test_without_a_time_each_fit_is_taken_in_the_middle_of_its_own_run(batch: xr.Dataset) -> None:
    early, late = batch["t"] <= 20.0, batch["t"] > 40.0
    cut = batch.copy()
    for name in ("J_ref", "J_sample", "v", "x_sample"):
        for end in ("", "_lower", "_upper"):
            inside = xr.concat([early, late, late | early], dim=batch["q"])
            cut[name + end] = batch[name + end].where(inside)
    trace = plots.curves_against(cut, "q", curves=["v"]).data[0]
    expected = [float(batch["v"].isel(q=1).sel(t=50.0)), float(batch["v"].isel(q=0).sel(t=10.0))]
    np.testing.assert_allclose(trace.y[:2], expected)


def test_a_time_that_no_fit_covers_and_unknown_names_are_errors(batch: xr.Dataset) -> None:
    with pytest.raises(ConfigurationError, match=r"no fit covers t = 90 s(.|\n)*0.5 to 60"):
        plots.curves_against(batch, "q", t=90)
    with pytest.raises(ConfigurationError, match="no curve 'w'"):
        plots.curves_against(batch, "q", curves=["w"])
    with pytest.raises(ConfigurationError, match="no coordinate 'age'"):
        plots.curves_against(batch, "age")
    with pytest.raises(ConfigurationError, match="keep no curves"):
        plots.curves_against(batch[["parameters", "stderr"]], "q")
