"""Chi-square and mean residual tile by tile."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from plot_samples import CONTRAST, DEAD, MASKED, SIGMA, TRUTH, frame_times, make_experiment, true_map

import heterodyne_nb as hnb
from heterodyne_nb import plots
from heterodyne_nb.errors import ConfigurationError, DataWarning
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.plots.quality import tile_statistics
from heterodyne_nb.result import FitResult

#: Tiles of 10 frames where something was added.
CORNER = {(i, j) for i in (0, 1) for j in (10, 11)} | {(j, i) for i in (0, 1) for j in (10, 11)}


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
