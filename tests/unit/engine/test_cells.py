"""Maps that are averages over cells of age and lag: what a fit averages, what it counts, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from engine_problems import every_parameter, formula_z, make_problem, scaled_difference, used_pixels

import heterodyne_nb
from heterodyne_nb.data import make_dataset, write_apsu, write_dataset
from heterodyne_nb.data.age_lag import AgeLagCells, cells_of, edges_between, with_cells
from heterodyne_nb.data.door import checked
from heterodyne_nb.data.lazyarray import with_lazy_g2
from heterodyne_nb.engine import LOSSES, Problem, Weighting, get_loss, products_at, tile_products_at
from heterodyne_nb.engine.cells import CellData, CellProblem
from heterodyne_nb.errors import DataWarning
from heterodyne_nb.simulate import model_maps

LAGS = np.r_[np.arange(8) - 0.5, 8 * 1.4 ** np.arange(9)]  # frames: single lags, then wider and wider
AGES = 1 + np.arange(0.0, 100.0, 4.0)


def averaged(ds: xr.Dataset, lags: np.ndarray = LAGS, ages: np.ndarray = AGES) -> xr.Dataset:
    """Every pixel with the mean of its cell, NaN where there is none, as a file of cells is opened."""
    ds = with_cells(ds, lags * ds.attrs["dt"], ages * ds.attrs["dt"])
    cells, n = cells_of(ds), ds.sizes["t"]
    frame = np.arange(n)
    lag, age = cells.lag_of[abs(frame[:, None] - frame)], cells.age_of[frame[:, None] + frame]
    cell = np.where((lag >= 0) & (age >= 0), lag * cells.pixels.shape[1] + age, cells.pixels.size)
    upper, c2 = np.triu(np.ones((n, n), bool), 1), ds["c2"].values.copy()
    for one in c2.reshape(-1, n, n):
        count = np.bincount(cell[upper], minlength=cells.pixels.size + 1)
        mean = np.bincount(cell[upper], one[upper], cells.pixels.size + 1) / np.maximum(count, 1)
        mean[-1] = np.nan
        one[:] = mean[cell]
    ds = ds.drop_vars(["g2", "g2_err", "tau"]).assign(c2=(ds["c2"].dims, c2, ds["c2"].attrs))
    return with_lazy_g2(ds)


def as_cells(problem: Problem, lags: np.ndarray, ages: np.ndarray) -> CellProblem:
    """The problem with cells; the data of a cell are the mean of its pixels."""
    n, dt = len(problem.t), float(np.diff(problem.t)[0])
    ds = make_dataset(np.ones((n, n)), q=0.01, phi=0.0, dt=dt)
    cells = cells_of(with_cells(ds, lags * dt, ages * dt))
    data, names = CellData.of_maps(problem.data, problem.mask, cells), ("q", "phi", "t", "mask", "sigma")
    rest = (getattr(problem, name) for name in names)
    return CellProblem(problem.model, problem.table, data, *rest, problem.holes[:0], problem.gap)


def by_cell(plain: Problem, cells: AgeLagCells, theta: np.ndarray, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean z of every whole cell and its pixels, from the published formula, cell by cell."""
    z, used = formula_z(plain, theta, every_parameter(plain), b), used_pixels(plain, b)
    late, early = np.tril_indices(len(plain.t), -1)
    lag, age = cells.lag_of[late - early], cells.age_of[late + early]
    means, count = [], []
    for place in zip(*np.nonzero(cells.pixels), strict=True):
        inside = (lag == place[0]) & (age == place[1])
        if used[late[inside], early[inside]].all():
            means.append(z[:, late[inside], early[inside]].mean(axis=1))
            count.append(inside.sum())
    return np.array(means).T, np.array(count)


@pytest.mark.parametrize("mode", ["heterodyne", "laminar_flow", "static_isotropic"])
@pytest.mark.parametrize(("masked", "holes"), [(0.0, 0), (0.1, 4)])
def test_products_are_those_of_the_model_averaged_over_each_cell(mode: str, masked: float, holes: int):
    plain, theta = make_problem(mode, 24, 2, seed=3, masked=masked, holes=holes)
    problem = as_cells(plain, np.r_[0.5, 1.5, 2.5, 4.5, 7.5, 12.5], 1 + np.arange(0.0, 24.0, 2.0))
    wanted = every_parameter(problem)
    found, tiles = products_at(problem, theta, wanted), tile_products_at(problem, theta, wanted, 4)[0]
    for b in range(2):
        z, count = by_cell(plain, problem.cells, theta, b)
        assert 10 < len(count) == len(problem.values[b])
        expected = (z * count) @ z.T
        assert scaled_difference(found[b], expected) < 1e-6
        np.testing.assert_allclose(
            tiles[b].sum(axis=0), found[b], rtol=1e-9, atol=1e-9 * np.abs(found[b]).max()
        )
        assert problem.count[b] == count.sum()
        assert problem.sum_squares[b] == pytest.approx(count @ z[-1] ** 2)
    assert problem.n_data == sum(map(len, problem.values))


def test_where_every_cell_is_a_pixel_products_are_those_of_the_map():
    plain, theta = make_problem("heterodyne", 20, 2, seed=5, masked=0.1, holes=3)
    problem = as_cells(plain, np.arange(21) - 0.5, 1 + 0.5 * np.arange(40) - 0.25)
    wanted = every_parameter(problem)
    expected = products_at(plain, theta, wanted)
    assert scaled_difference(products_at(problem, theta, wanted), expected) < 1e-12
    assert problem.n_data == plain.n_data
    tiles = tile_products_at(plain, theta, wanted, 3)[0]
    assert scaled_difference(tile_products_at(problem, theta, wanted, 3)[0], tiles, expected[:, None]) < 1e-12


@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "linear"])
def test_a_robust_loss_weights_cells_by_their_own_residuals(loss: str):
    plain, theta = make_problem("static_isotropic", 24, 1, seed=3)
    problem = as_cells(plain, np.r_[0.5, 1.5, 2.5, 4.5, 7.5, 12.5], 1 + np.arange(0.0, 24.0, 2.0))
    chosen = get_loss(loss)
    weighting = Weighting(np.array([0.2]), np.array([1.0]), loss, chosen.tuning, 1.3)
    products, rho = tile_products_at(problem, theta, every_parameter(problem), 1, weighting)
    z, count = by_cell(plain, problem.cells, theta, 0)
    residual = (z[-1] - 1.0 - 0.2 * z[-3]) * np.sqrt(count) / problem.sigma[0]
    weight = chosen.weight(residual / 1.3)
    assert 0 < weight.min() < 0.9
    assert scaled_difference(products[0, 0], (z * count * weight) @ z.T) < 1e-6
    assert rho[0, 0] == pytest.approx(1.3**2 * chosen.rho((residual / 1.3) ** 2).sum())


def test_a_cell_that_lost_a_frame_is_left_out_and_a_cropped_run_keeps_its_whole_cells():
    ds = averaged(model_maps("static_isotropic", [300.0, 0, 0], q=0.01, phi=0.0, n_frames=97, dt=0.1))
    every, used = cells_of(ds), np.ones(97, bool)
    used[50] = False
    count = every.means(ds["c2"].values[0, 0], used)[1]
    late, early = np.tril_indices(97, -1)
    lag, age = every.lag_of[late - early], every.age_of[late + early]
    hit = np.unique(
        (lag * every.pixels.shape[1] + age)[((late == 50) | (early == 50)) & (lag >= 0) & (age >= 0)]
    )
    assert (np.flatnonzero((count == 0) & (every.pixels > 0)) == hit).all()
    part = ds.isel(t=slice(20, 80), t1=slice(20, 80), t2=slice(20, 80))
    cells = cells_of(part)
    assert isinstance(cells, AgeLagCells)
    assert cells.lag_of.shape == (60,)
    value, kept = cells.means(part["c2"].values[0, 0], np.ones(60, bool))
    whole, pixels = every.means(ds["c2"].values[0, 0], np.ones(97, bool))
    assert 0 < (kept > 0).sum() < (pixels > 0).sum()
    np.testing.assert_allclose(value[kept > 0], whole[kept > 0])
    np.testing.assert_array_equal(kept[kept > 0], pixels[kept > 0])


def test_frames_summed_after_averaging_are_said_to_repeat():
    ds = averaged(model_maps("static_isotropic", [300.0, 0, 0], q=0.01, phi=0.0, n_frames=96, dt=0.1))
    thin = ds.isel(t=slice(None, None, 2), t1=slice(None, None, 2), t2=slice(None, None, 2))
    with pytest.warns(DataWarning, match="thinned or summed"):
        assert cells_of(thin.assign_attrs(dt=0.2)) is None


@pytest.mark.parametrize("noise", [1e-4, 5e-3])
def test_a_fit_of_cells_wider_than_a_fringe_finds_the_velocity_that_one_of_repeated_pixels_misses(
    noise: float,
):
    """Cells of 4 frames of age and up to 30 % of the lag, 10 frames a fringe: two answers to the same map."""
    truth = [20.0, 0.0, 0.0, 400.0, 0.0, 0.0, 600.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0]
    dense = model_maps(
        "heterodyne", truth, q=0.01, phi=[0.0, 60.0], n_frames=97, dt=0.1, contrast=0.3, noise=noise, seed=1
    )
    ds = averaged(dense)
    start = {name: {"value": value} for name, value in zip(names("heterodyne"), truth, strict=True)}
    asked = {n: dict(row, vary=n in ("D0_ref", "D0_sample", "v0")) for n, row in start.items()}
    own = heterodyne_nb.fit(ds, mode="heterodyne", parameters=asked, multistart=0)
    repeated = heterodyne_nb.fit(
        ds.drop_vars(["lag_edges", "age_edges"]).assign(sigma=(("q", "phi"), [[noise, noise]])),
        mode="heterodyne",
        parameters=asked,
        multistart=0,
    )
    error = own.params["v0"].error
    assert abs(own.params["v0"].value - 600) < 4 * error < 12
    assert own.params["D0_sample"].value == pytest.approx(400, abs=4 * own.params["D0_sample"].error)
    assert own.chi2_reduced == pytest.approx(1, abs=0.25)
    assert own.dataset.attrs["n_data"] < 0.25 * repeated.dataset.attrs["n_data"]
    assert repeated.chi2_reduced > 3 * own.chi2_reduced
    off = abs(repeated.params["D0_sample"].value - 400)
    assert off > 5 * abs(own.params["D0_sample"].value - 400)


def names(mode: str) -> list[str]:
    return [spec.name for spec in heterodyne_nb.ModelFactory.create_model(mode).parameters]


def test_the_noise_of_cells_is_that_of_pixels_whatever_their_size():
    ds = averaged(
        model_maps("static_isotropic", [300.0, 0, 0], q=0.01, phi=[0.0, 60], n_frames=97, dt=0.1, noise=0.02)
    )
    np.testing.assert_allclose(heterodyne_nb.prepare.estimate_sigma(ds), 0.02, rtol=0.15)


def test_edges_lie_half_way_and_in_ratio_where_lags_grow_by_one_ratio():
    linear = np.arange(10) - 0.5
    edges = np.r_[linear, np.logspace(1, 3, 12)]
    centres = np.r_[0.5 * (edges[:10] + edges[1:11]), np.sqrt(edges[10:-1] * edges[11:])]
    np.testing.assert_allclose(edges_between(centres)[10:], edges[10:])
    np.testing.assert_allclose(edges_between(centres)[:9], edges[:9])
    np.testing.assert_allclose(edges_between(np.arange(5.0)), np.arange(6) - 0.5)
    np.testing.assert_allclose(edges_between(np.array([2.0])), [1.5, 2.5])


def test_cells_survive_saving_merging_averaging_and_a_change_of_the_frame_time(tmp_path):
    ds = averaged(model_maps("static_isotropic", [300.0, 0, 0], q=0.01, phi=[0.0, 60], n_frames=97, dt=0.1))
    write_dataset(ds, tmp_path / "a.nc")
    again = heterodyne_nb.open_dataset(tmp_path / "a.nc")
    slow = heterodyne_nb.open_dataset(tmp_path / "a.nc", dt=0.2)
    merged = heterodyne_nb.prepare.merge_bins(ds, over="phi")
    mean = heterodyne_nb.average_runs([ds, ds])
    where = ds.where(ds["phi"] > 30)
    for other in (again, slow, merged, mean, where):
        found = cells_of(checked(other))
        np.testing.assert_array_equal(found.pixels, cells_of(ds).pixels)
    np.testing.assert_allclose(slow["lag_edges"], 2 * ds["lag_edges"])
    with pytest.warns(DataWarning, match="no place for cells"):
        write_apsu(ds, tmp_path / "a.hdf")


def test_an_edge_without_the_other_is_refused():
    ds = averaged(model_maps("static_isotropic", [300.0, 0, 0], q=0.01, phi=0.0, n_frames=97, dt=0.1))
    with pytest.raises(heterodyne_nb.errors.DataFormatError, match="cells of age and lag need"):
        cells_of(ds.drop_vars("age_edges"))
