"""Two-time maps stay on disk: what is read, how much, from how many threads."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from layout_builders import DT, build_apsu, random_maps

from heterodyne_nb.data import open_dataset, stack_bins
from heterodyne_nb.data.formats.base import MapRef
from heterodyne_nb.data.lazyarray import read_outer, runs
from heterodyne_nb.errors import DataFormatError

N_LARGE = 10_000


@pytest.fixture
def pixels_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each block that is read from a file: how many pixels."""
    read, counts = MapRef.read, []

    def counting(self: MapRef, h5file: h5py.File, rows: slice, cols: slice) -> np.ndarray:
        block = read(self, h5file, rows, cols)
        counts.append(block.size)
        return block

    monkeypatch.setattr(MapRef, "read", counting)
    return counts


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 maps of 10⁴ frames, 12 GB if they were filled; a file with holes, as only two blocks of each are written."""
    path = tmp_path_factory.mktemp("large") / "large.hdf"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as f:
        f["entry/instrument/detector_1/frame_time"] = 1e-3
        f["xpcs/qmap/dynamic_v_list_dim0"] = np.linspace(0.01, 0.03, 3)
        f["xpcs/qmap/dynamic_v_list_dim1"] = np.arange(10) * 30.0 - 150.0
        f["xpcs/qmap/dynamic_index_mapping"] = np.arange(30)
        f["xpcs/twotime/processed_bins"] = np.arange(1, 31)
        for i in range(30):
            key = f"xpcs/twotime/correlation_map/c2_{i + 1:05d}"
            node = f.create_dataset(key, (N_LARGE, N_LARGE), "f4")
            node[:100, :100] = np.triu(rng.normal(1 + 0.01 * i, 0.001, (100, 100)))
            node[:100, 500:600] = rng.normal(1 + 0.01 * i, 0.001, (100, 100))
    assert path.stat().st_blocks * 512 < 2e8
    return path


def test_opening_10000_frames_and_30_bins_reads_only_a_few_pixels_of_each_map(
    large_file: Path, pixels_read: list[int]
):
    ds = stack_bins(open_dataset(large_file))
    assert ds.sizes == {"bin": 30, "t": N_LARGE, "t1": N_LARGE, "t2": N_LARGE, "tau": N_LARGE - 1}
    assert sum(pixels_read) < 30 * 1000
    repr(ds)
    assert sum(pixels_read) < 30 * 1000


def test_a_block_of_one_bin_reads_alone(large_file: Path, pixels_read: list[int]):
    ds = stack_bins(open_dataset(large_file))
    pixels_read.clear()
    block = ds["c2"].isel(bin=17, t1=slice(0, 100), t2=slice(500, 600)).values
    assert pixels_read == [100 * 100]
    assert abs(block.mean() - 1.17) < 1e-4
    pixels_read.clear()
    mirror = ds["c2"].isel(bin=17, t1=slice(500, 600), t2=slice(0, 100)).values
    assert pixels_read == [100 * 100]
    np.testing.assert_array_equal(mirror, block.T)


def test_a_block_across_the_diagonal_reads_itself_and_its_mirror(large_file: Path, pixels_read: list[int]):
    c2 = open_dataset(large_file)["c2"].isel(q=1, phi=2)
    pixels_read.clear()
    block = c2.isel(t1=slice(10, 90), t2=slice(20, 95)).values
    assert pixels_read == [80 * 75, 75 * 80]
    np.testing.assert_array_equal(block, c2.isel(t1=slice(20, 95), t2=slice(10, 90)).values.T)


def test_scattered_frames_do_not_read_what_lies_between(large_file: Path, pixels_read: list[int]):
    c2 = open_dataset(large_file)["c2"].isel(q=0, phi=0)
    pixels_read.clear()
    assert c2.isel(t1=[3, 9_990], t2=[5, 9_000]).shape == (2, 2)
    c2.isel(t1=[3, 9_990], t2=[5, 9_000]).load()
    assert sum(pixels_read) <= 8


def test_a_row_reads_alone(large_file: Path, pixels_read: list[int]):
    c2 = open_dataset(large_file)["c2"].isel(q=0, phi=0)
    pixels_read.clear()
    c2.sel(t1=50 * 1e-3, method="nearest").load()
    assert sum(pixels_read) <= 2 * N_LARGE


def test_chunks_go_to_dask_map_by_map(tmp_path: Path):
    maps = random_maps()
    ds = xr.open_dataset(build_apsu(tmp_path / "a.hdf", maps), engine="xpcs", chunks={})
    assert ds["c2"].chunks == ((1, 1), (1, 1, 1), (12,), (12,))
    np.testing.assert_array_equal(ds["c2"].compute(scheduler="threads").values, maps)
    np.testing.assert_allclose(ds["c2"].mean().compute(), maps.mean(), rtol=1e-6)


def test_large_maps_are_chunked_in_tiles(large_file: Path):
    ds = xr.open_dataset(large_file, engine="xpcs", chunks={})
    assert ds["c2"].chunksizes["t1"] == (2048, 2048, 2048, 2048, 1808)


def test_dask_chunks_of_any_size_give_the_same_map(tmp_path: Path):
    maps = random_maps()
    path = build_apsu(tmp_path / "a.hdf", maps)
    with pytest.warns(UserWarning, match="separate the stored chunks"):  # xarray's own advice
        ds = xr.open_dataset(path, engine="xpcs", chunks={"t1": 5, "t2": 7})
    np.testing.assert_array_equal(ds["c2"].values, maps)


def test_many_threads_read_the_same_file(tmp_path: Path):
    maps = random_maps((4, 5), n=40)
    path = build_apsu(tmp_path / "a.hdf", maps, q=np.arange(1, 5) / 100, phi=np.arange(5) * 20.0)
    ds = open_dataset(path)

    def read(k: int) -> bool:
        i, j = divmod(k % 20, 5)
        rows, cols = slice(k % 7, 30), slice(3, 20 + k % 11)
        got = ds["c2"].isel(q=i, phi=j, t1=rows, t2=cols).values
        return np.array_equal(got, maps[i, j, rows, cols])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(200)))


def test_a_lazy_dataset_survives_pickling_and_closing(tmp_path: Path):
    maps = random_maps()
    ds = open_dataset(build_apsu(tmp_path / "a.hdf", maps))
    copy = pickle.loads(pickle.dumps(ds))
    np.testing.assert_array_equal(copy["c2"].values, maps)
    ds["c2"].isel(q=0, phi=0).load()
    ds.close()
    with h5py.File(tmp_path / "a.hdf", "a"):  # nothing holds the file any more
        pass


def test_a_map_that_vanishes_later_is_one_of_our_errors(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    ds = open_dataset(path)
    with h5py.File(path, "a") as f:
        del f["xpcs/twotime/correlation_map/c2_00004"]
    with pytest.raises(
        DataFormatError, match=r"a\.hdf:/xpcs/twotime/correlation_map/c2_00004: the two-time map"
    ):
        ds["c2"].isel(q=1, phi=0).load()


def test_measured_g2_is_used_and_otherwise_it_is_computed_when_looked_at(
    tmp_path: Path, pixels_read: list[int]
):
    maps = random_maps()
    measured = open_dataset(build_apsu(tmp_path / "a.hdf", maps, g2=True))
    assert measured["g2"].attrs["origin"] == "measured"
    assert measured.sizes["tau"] == 4
    computed = open_dataset(build_apsu(tmp_path / "b.hdf", maps))
    assert computed["g2"].attrs["origin"] == "computed from c2"
    pixels_read.clear()
    curve = computed["g2"].isel(q=1, phi=2).values
    assert pixels_read == [12 * 12]
    expected = [np.diagonal(maps[1, 2].astype(float), k).mean() for k in range(1, 12)]
    np.testing.assert_allclose(curve, expected)
    np.testing.assert_allclose(computed["tau"], np.arange(1, 12) * DT)
    computed["g2_err"].isel(q=1, phi=2).load()
    assert pixels_read == [12 * 12]  # one reading serves both


def test_runs_cover_neighbours_and_split_at_wide_gaps():
    assert runs(np.array([0, 1, 5, 200, 201, 900])) == [(0, 6), (200, 202), (900, 901)]


@pytest.fixture(scope="module")
def three_triangles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    path = tmp_path_factory.mktemp("triangles") / "maps.h5"
    one = random_maps((1,), n=300)[0]
    with h5py.File(path, "w") as f:
        f["full"], f["upper"], f["lower"] = one, np.triu(one), np.tril(one)
    return path, one


indices = st.lists(st.integers(0, 299), min_size=1, max_size=6).map(np.array)
windows = st.tuples(st.integers(0, 280), st.integers(1, 60)).map(
    lambda w: np.arange(w[0], min(300, w[0] + w[1]))
)


@settings(deadline=None, max_examples=60)
@given(kind=st.sampled_from(["full", "upper", "lower"]), rows=indices | windows, cols=indices | windows)
def test_any_rows_and_columns_of_any_triangle_are_right(three_triangles, kind: str, rows, cols):
    path, one = three_triangles
    with h5py.File(path) as f:
        got = read_outer(f, MapRef(kind, triangle=kind), rows, cols)
    np.testing.assert_array_equal(got, one[np.ix_(rows, cols)])
