"""What the writers write the readers read back, exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from layout_builders import random_maps

from heterodyne_nb.data import (
    make_dataset,
    open_dataset,
    stack_bins,
    write_aps_legacy,
    write_apsu,
    write_dataset,
    write_nxxpcs,
)
from heterodyne_nb.errors import DataFormatError, OutputError

WRITERS = {"aps-u": write_apsu, "aps-legacy": write_aps_legacy, "nxxpcs": write_nxxpcs}
OWN = {"nc": ".nc", "zarr": ".zarr"}


@pytest.fixture(params=list(WRITERS))
def layout(request: pytest.FixtureRequest) -> str:
    return request.param


def round_trip(ds: xr.Dataset, layout: str, folder: Path) -> xr.Dataset:
    path = folder / f"{layout}.h5"
    WRITERS[layout](ds, path)
    back = open_dataset(path, keep_empty=True)
    assert back.attrs["layout"] == layout
    return back


@st.composite
def datasets(draw: Callable) -> xr.Dataset:
    """Grids of any shape with missing sectors, masks, dead diagonals, measured or computed g2."""
    n_q, n_phi, n = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(3, 9))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    maps = random_maps((n_q, n_phi), n, seed=int(rng.integers(99)))
    n_missing = draw(st.integers(0, (n_q * n_phi - 1) // 2))
    missing = rng.permutation(n_q * n_phi)[:n_missing]
    maps.reshape(-1, n, n)[missing] = np.nan
    if draw(st.booleans()):
        maps[..., np.arange(n), np.arange(n)] = np.nan
    exists = np.ones(n_q * n_phi, bool)
    exists[missing] = False
    pixels = np.where(exists, rng.integers(1, 50, n_q * n_phi), 0).reshape(n_q, n_phi)
    arguments: dict = {"n_pixels": pixels} if draw(st.booleans()) else {}
    if draw(st.booleans()):
        arguments["mask"] = rng.random(n) < 0.8
        arguments["mask"][:2] = True
    if draw(st.booleans()):
        g2, err = 1 + rng.random((n_q, n_phi, 3)), 0.1 + rng.random((n_q, n_phi, 3))
        g2.reshape(-1, 3)[missing] = np.nan
        err.reshape(-1, 3)[missing] = np.nan
        arguments |= {"g2": g2, "g2_err": err, "tau": np.array([1, 2, 4]) * 0.25}
    q = np.sort(rng.choice(np.arange(1, 100), n_q, replace=False)) / 1000
    phi = np.sort(rng.choice(np.arange(-179, 181), n_phi, replace=False)).astype(float)
    return make_dataset(maps, q=q, phi=phi, dt=0.25, **arguments)


def kept(ds: xr.Dataset) -> xr.Dataset:
    """What a layout of bins can hold: rows and columns of the grid that have a bin at all."""
    used = ds["usable"].values
    return ds.isel(q=np.flatnonzero(used.any(axis=1)), phi=np.flatnonzero(used.any(axis=0)))


@settings(deadline=None, max_examples=12)
@given(ds=datasets())
def test_any_grid_comes_back_exactly(tmp_path: Path, layout: str, ds: xr.Dataset):
    back = round_trip(ds, layout, tmp_path)
    expected = ds if layout == "aps-u" else kept(ds)
    if "bin" in back.dims:  # too few bins for a grid
        expected = stack_bins(expected)
    if "comment" in ds["n_pixels"].attrs:  # unknown numbers of pixels are not written
        assert "comment" in back["n_pixels"].attrs
        expected, back = expected.drop_vars("n_pixels"), back.drop_vars("n_pixels")
    xr.testing.assert_equal(back.load(), expected.load())
    back.close()


@settings(deadline=None, max_examples=6)
@given(ds=datasets(), stacked=st.booleans())
def test_our_own_netcdf_comes_back_identical(tmp_path: Path, ds: xr.Dataset, stacked: bool):
    ds = stack_bins(ds) if stacked else ds
    write_dataset(ds, tmp_path / "own.nc")
    back = open_dataset(tmp_path / "own.nc")
    xr.testing.assert_identical(back.load(), ds.load())
    back.close()


def test_our_own_zarr_comes_back_identical(tmp_path: Path):
    maps = random_maps()
    maps[0, 1], maps[1, 1, 2, 3] = np.nan, 0.0
    ds = make_dataset(maps, q=[0.01, 0.02], phi=[0, 10, 20], dt=1.0, mask=np.arange(12) != 4)
    write_dataset(ds, tmp_path / "own.zarr")
    xr.testing.assert_identical(open_dataset(tmp_path / "own.zarr").load(), ds.load())


def test_bins_that_suit_no_grid_come_back_as_bins(tmp_path: Path, layout: str):
    maps = random_maps((4,))
    ds = make_dataset(
        maps, q=[0.01, 0.02, 0.03, 0.04], phi=[-30, -10, 10, 30], dt=2.0, n_pixels=[4, 3, 2, 1], bin_form=True
    )
    back = round_trip(ds, layout, tmp_path)
    assert back["c2"].dims == ("bin", "t1", "t2")
    xr.testing.assert_equal(back.load(), ds.load())


def test_what_was_read_from_one_layout_can_be_written_in_another(tmp_path: Path, layout: str):
    maps = random_maps()
    write_apsu(make_dataset(maps, q=[0.01, 0.02], phi=[0, 10, 20], dt=1.0), tmp_path / "first.hdf")
    first = open_dataset(tmp_path / "first.hdf")
    xr.testing.assert_equal(round_trip(first, layout, tmp_path).load(), first.load())


def test_a_constant_bin_is_written_as_it_is_and_named_when_read(tmp_path: Path, layout: str):
    maps = random_maps()
    maps[1, 1] = 1.0
    ds = make_dataset(maps, q=[0.01, 0.02], phi=[0, 10, 20], dt=1.0)
    with pytest.warns(UserWarning, match="constant: bin q = 0.02 1/Å, phi = 10°"):
        back = round_trip(ds, layout, tmp_path)
    assert np.isnan(back["c2"].isel(q=1, phi=1)).all()


def test_maps_are_upper_triangles_of_float32_as_correlators_write_them(tmp_path: Path):
    maps = random_maps()
    write_apsu(make_dataset(maps, q=[0.01, 0.02], phi=[0, 10, 20], dt=1.0), tmp_path / "a.hdf")
    with h5py.File(tmp_path / "a.hdf") as f:
        node = f["xpcs/twotime/correlation_map/c2_00004"]
        assert node.dtype == np.float32
        assert node.compression == "lzf"
        np.testing.assert_array_equal(node[()], np.triu(maps[1, 0]))
        np.testing.assert_array_equal(f["xpcs/twotime/processed_bins"], [1, 2, 3, 4, 5, 6])


def test_nxxpcs_states_its_storage_as_the_definition_asks(tmp_path: Path):
    ds = make_dataset(random_maps(), q=[0.01, 0.02], phi=[0, 10, 20], dt=1.0)
    write_nxxpcs(ds, tmp_path / "a.nxs")
    with h5py.File(tmp_path / "a.nxs") as f:
        attrs = dict(f["entry/twotime/two_time_corr_func"].attrs)
        assert attrs["storage_mode"] == "one_array_q_first"
        assert attrs["baseline_reference"] == 1
        assert attrs["populated_elements"] == "upper_half"
        assert f["entry/definition"].asstr()[()] == "NXxpcs"
        assert f["entry"].attrs["NX_class"] == "NXentry"


def test_delays_that_are_no_whole_frames_are_kept(tmp_path: Path, layout: str):
    tau = np.array([0.3, 0.55])
    ds = make_dataset(q=0.01, phi=0, dt=0.25, g2=np.ones((1, 1, 2)), g2_err=np.full((1, 1, 2), 0.1), tau=tau)
    np.testing.assert_allclose(round_trip(ds, layout, tmp_path)["tau"], tau)


def test_a_file_appears_only_when_it_is_complete(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
):
    ds = make_dataset(random_maps(), q=[0.01, 0.02], phi=[0, 10, 20], dt=1.0)
    path = tmp_path / "a.h5"
    path.write_text("the old file")

    def fail(values: np.ndarray) -> np.ndarray:
        raise RuntimeError("disk full")

    module = WRITERS[layout].__module__
    monkeypatch.setattr(f"{module}.upper_triangle", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        WRITERS[layout](ds, path)
    assert path.read_text() == "the old file"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_into_a_folder_that_is_not_there_is_said(tmp_path: Path, layout: str):
    ds = make_dataset(random_maps(), q=[0.01, 0.02], phi=[0, 10, 20], dt=1.0)
    with pytest.raises(OutputError, match="no such folder"):
        WRITERS[layout](ds, tmp_path / "nowhere" / "a.h5")
    with pytest.raises(OutputError, match="no such folder"):
        write_dataset(ds, tmp_path / "nowhere" / "a.nc")


def test_a_dataset_without_data_is_not_written(tmp_path: Path, layout: str):
    ds = make_dataset(np.full((1, 1, 4, 4), np.nan), q=0.01, phi=0, dt=1.0)
    with pytest.raises(DataFormatError, match="no data to write"):
        WRITERS[layout](ds, tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


def test_own_files_replace_older_ones_and_refuse_other_endings(tmp_path: Path):
    first = make_dataset(random_maps(), q=[0.01, 0.02], phi=[0, 10, 20], dt=1.0)
    second = make_dataset(random_maps((1, 1)), q=0.01, phi=0, dt=1.0)
    for suffix in OWN.values():
        write_dataset(first, tmp_path / f"a{suffix}")
        write_dataset(second, tmp_path / f"a{suffix}")
        assert open_dataset(tmp_path / f"a{suffix}").sizes["q"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nc", "a.zarr"]
    with pytest.raises(DataFormatError, match=r"the ending is '\.h5'\n  expected: \.nc or \.zarr"):
        write_dataset(first, tmp_path / "a.h5")


def test_other_netcdf_and_zarr_files_are_not_taken_for_ours(tmp_path: Path):
    other = xr.Dataset({"x": ("a", [1.0, 2.0])})
    other.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    other.to_zarr(tmp_path / "a.zarr", consolidated=False, zarr_format=3)
    with pytest.raises(DataFormatError, match="heterodyne_nb: lacks root attribute heterodyne_nb_dataset"):
        open_dataset(tmp_path / "a.nc")
    with pytest.raises(DataFormatError, match="zarr file was not written by heterodyne_nb"):
        open_dataset(tmp_path / "a.zarr")


def test_a_newer_own_file_is_refused(tmp_path: Path):
    write_dataset(make_dataset(random_maps((1, 1)), q=0.01, phi=0, dt=1.0), tmp_path / "a.nc")
    with h5py.File(tmp_path / "a.nc", "a") as f:
        f.attrs["heterodyne_nb_dataset"] = 99
    with pytest.raises(DataFormatError, match="the file is of version 99"):
        open_dataset(tmp_path / "a.nc")


def test_the_time_step_of_an_own_file_can_be_corrected(tmp_path: Path):
    write_dataset(make_dataset(random_maps((1, 1)), q=0.01, phi=0, dt=1.0), tmp_path / "a.nc")
    ds = open_dataset(tmp_path / "a.nc", dt=0.1)
    assert ds.attrs["dt"] == 0.1
    np.testing.assert_allclose(ds["t1"], np.arange(1, 13) * 0.1)
    np.testing.assert_allclose(ds["tau"], np.arange(1, 12) * 0.1)
    assert ds["t"].attrs["units"] == "s"
