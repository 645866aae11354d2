"""Quality of data and fit: trace of the frames, chi-square by angle and by tile, correlation, convergence."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from plot_samples import (
    CONTRAST,
    DEAD,
    MASKED,
    PHI,
    SIGMA,
    TRUTH,
    frame_times,
    make_covariance,
    make_experiment,
    make_result,
    true_map,
)

import heterodyne_nb as hnb
from heterodyne_nb import plots
from heterodyne_nb.errors import ConfigurationError, DataWarning
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.plots.quality import tile_statistics
from heterodyne_nb.result import FitResult


@pytest.fixture(scope="module")
def spoiled() -> xr.Dataset:
    """The experiment, 0.05 (5 σ) added where frames 1 to 20 meet frames 101 to 120."""
    ds = make_experiment()
    c2 = ds["c2"].copy(deep=True)
    c2[..., :20, 100:] += 0.05
    c2[..., 100:, :20] += 0.05
    return ds.assign(c2=c2)


@pytest.fixture(scope="module")
def held(spoiled: xr.Dataset) -> FitResult:
    """Contrast and offset fitted, all else at the truth."""
    names = ModelFactory.create_model("heterodyne").parameter_names
    fixed = {name: {"value": v, "vary": False} for name, v in zip(names, TRUTH, strict=True)}
    with pytest.warns(DataWarning, match="holds no data"):
        return hnb.fit(spoiled, parameters=fixed)


#: Tiles of 10 frames where something was added.
CORNER = {(i, j) for i in (0, 1) for j in (10, 11)} | {(j, i) for i in (0, 1) for j in (10, 11)}


def axis_titles(figure: go.Figure) -> list[str]:
    axes = [*figure.select_xaxes(), *figure.select_yaxes()]
    return [axis.title.text for axis in axes if axis.title.text]


def test_tiles_are_sums_over_their_pixels(spoiled: xr.Dataset, held: FitResult) -> None:
    tiles = tile_statistics(held, spoiled, q=0.01, phi=45)
    one = held.dataset.isel(bin=int(np.flatnonzero((held.dataset.q == 0.01) & (held.dataset.phi == 45))[0]))
    model = float(one["offset"]) + float(one["contrast"]) * true_map(0.01, 45.0, frame_times(120))
    data = spoiled["c2"].sel(q=0.01, phi=45).values.astype(float)
    used = spoiled["mask"].values
    pair = used[:, None] & used & ~np.eye(120, dtype=bool)
    residual = np.where(pair, (data - model) / SIGMA, np.nan)
    block = np.arange(120) // 10
    for i, j in ((0, 11), (3, 7), (5, 5)):
        pixels = residual[np.ix_(block == i, block == j)]
        assert tiles.chi2[i, j] == pytest.approx(np.nanmean(pixels**2), rel=1e-4)
        assert tiles.shift[i, j] == pytest.approx(np.nanmean(pixels), abs=1e-3)


def test_all_tiles_together_are_the_chi_square_of_the_fit(spoiled: xr.Dataset, held: FitResult) -> None:
    tiles = tile_statistics(held, spoiled)
    once = np.tril(tiles.pixels)
    assert np.sum(tiles.chi2 * once) == pytest.approx(held.chi2, rel=1e-6)
    assert once.sum() == held.dataset.attrs["n_data"]
    assert tiles.bins == "15 bins together"  # one of sixteen is dead


def test_the_corner_where_data_were_changed_stands_out(spoiled: xr.Dataset, held: FitResult) -> None:
    chi2, shift = (t for t in plots.chi2_by_tile(held, dataset=spoiled).data if t.type == "heatmap")
    assert np.unravel_index(np.argmax(chi2.z), chi2.z.shape) in CORNER
    assert np.unravel_index(np.argmax(shift.z), shift.z.shape) in CORNER
    np.testing.assert_allclose(chi2.z, chi2.z.T)
    np.testing.assert_allclose(chi2.x, np.linspace(0.25, 60.25, 13))


def test_both_maps_carry_units_and_the_masked_frames(spoiled: xr.Dataset, held: FitResult) -> None:
    figure = plots.chi2_by_tile(held, dataset=spoiled)
    assert {axis.title.text for axis in figure.select_xaxes()} == {"t<sub>1</sub> (s)"}
    (band,) = (t for t in figure.data if t.name == "masked frames" and t.showlegend)
    t = frame_times(120)
    assert min(v for v in band.x if v is not None) <= t[MASKED.start]
    assert figure.data[0].zmin == -figure.data[0].zmax


def test_a_result_that_keeps_no_tiles_gets_them_from_the_data(spoiled: xr.Dataset, held: FitResult) -> None:
    bare = FitResult(held.dataset.drop_vars(["chi2_tile", "residual_tile", "pixels_tile"]))
    made, kept = tile_statistics(bare, spoiled), tile_statistics(held, spoiled)
    np.testing.assert_allclose(made.chi2, kept.chi2, rtol=1e-9)
    np.testing.assert_allclose(made.shift, kept.shift, rtol=1e-6, atol=1e-9)
    with pytest.raises(ConfigurationError, match="keeps no residuals"):
        plots.chi2_by_tile(bare)
    other = spoiled.assign(c2=spoiled["c2"] + 0.01 * CONTRAST * (spoiled["t1"] > 10))
    with pytest.raises(ConfigurationError, match="data that were fitted"):
        plots.chi2_by_tile(bare, dataset=other)


def test_without_data_the_tiles_are_drawn_without_hatching(held: FitResult) -> None:
    figure = plots.chi2_by_tile(held, q=0.01, phi=45)
    assert [trace.type for trace in figure.data] == ["heatmap", "heatmap"]
    assert "q = 0.01 Å⁻¹, φ = 45°" in figure.layout.title.subtitle.text


def test_a_dead_bin_is_an_error(spoiled: xr.Dataset, held: FitResult) -> None:
    q, phi = float(spoiled["q"][DEAD[0]]), float(spoiled["phi"][DEAD[1]])
    with pytest.raises(ConfigurationError, match="none of these bins"):
        plots.chi2_by_tile(held, dataset=spoiled, q=q, phi=phi)


def test_the_trace_of_the_frames_jumps_where_frames_are_bad(experiment: xr.Dataset) -> None:
    figure = plots.intensity(experiment, q=0.01, phi=0)
    bands, line = figure.data
    assert bands.name == "masked frames"
    good = np.delete(np.asarray(line.y), range(40, 45))
    assert np.min(np.asarray(line.y)[40:45]) > np.max(good) + 0.2
    assert figure.layout.xaxis.title.text == "t (s)"
    frame, others = 70, np.delete(np.arange(120), [*range(40, 45), 70])
    expected = experiment["c2"].sel(q=0.01, phi=0).values[frame, others].mean()
    assert line.y[frame] == pytest.approx(expected, rel=1e-6)


def test_measured_intensities_are_preferred_and_keep_their_unit(experiment: xr.Dataset) -> None:
    counts = xr.DataArray(np.linspace(9.0, 8.0, 120), dims="t", attrs={"units": "photons/pixel"})
    figure = plots.intensity(experiment.assign(intensity=counts))
    assert figure.layout.yaxis.title.text == "intensity (photons/pixel)"
    np.testing.assert_array_equal(figure.data[-1].y, counts)


def test_a_trace_of_the_whole_detector_names_no_bin(experiment: xr.Dataset) -> None:
    counts = xr.DataArray(np.linspace(9.0, 8.0, 120), dims="t")
    assert "q =" in plots.intensity(experiment).layout.title.subtitle.text
    subtitle = plots.intensity(experiment.assign(intensity=counts)).layout.title.subtitle.text
    assert subtitle == "whole detector · 5 of 120 frames masked"


def test_masked_frames_do_not_press_the_trace_flat(experiment: xr.Dataset) -> None:
    counts = np.linspace(9.0, 8.0, 120)
    counts[40:45] = 0.0
    low, high = plots.intensity(experiment.assign(intensity=("t", counts))).layout.yaxis.range
    assert 7.5 < low < 8.0 < 9.0 < high < 9.5


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
