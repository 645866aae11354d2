"""open_dataset and its selections, plain arrays, the xarray engine, LazyDataLoader."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from layout_builders import (
    PHI,
    Q,
    build_aps_legacy,
    build_apsu,
    build_esrf,
    build_mid,
    build_nxxpcs,
    build_nxxpcs_old,
    build_pychx,
    random_g2,
    random_maps,
)

import heterodyne_nb
from heterodyne_nb.data import LazyDataLoader, open_dataset, write_dataset
from heterodyne_nb.data.backend import XpcsBackendEntrypoint
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning

MAPS = random_maps()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return build_apsu(tmp_path / "a.hdf", MAPS)


# ---- selections ----


def test_the_full_path_is_kept_beside_the_attributes(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(path.parent)
    ds = open_dataset(path.name, q=0.01)
    monkeypatch.chdir("/")
    assert ds.encoding["source"] == str(path)
    assert ds.attrs["source"] == path.name
    np.testing.assert_array_equal(ds["c2"], MAPS[:1])  # still found after the folder was changed


def test_open_dataset_is_public(path: Path):
    assert heterodyne_nb.open_dataset(path).sizes["phi"] == 3


def test_q_and_phi_are_selected_by_value_list_or_range(path: Path):
    np.testing.assert_array_equal(open_dataset(path, q=0.019)["c2"], MAPS[1:])
    np.testing.assert_array_equal(open_dataset(path, phi=[90, -90])["phi"], [90, -90])
    np.testing.assert_array_equal(open_dataset(path, q=(0.005, 0.015), phi=(-20, 100))["c2"], MAPS[:1, 1:])
    np.testing.assert_array_equal(sorted(open_dataset(path, phi=(80, -80))["phi"].values), [-90, 90])


def test_selecting_reads_nothing_but_keeps_the_maps_on_disk(path: Path):
    ds = open_dataset(path, q=0.02, frames=(3, 10))
    assert not isinstance(ds["c2"].variable._data, np.ndarray)


def test_frames_are_one_based_and_inclusive_or_a_slice(path: Path):
    by_pair = open_dataset(path, frames=(3, 10))
    np.testing.assert_array_equal(by_pair["frame"], np.arange(3, 11))
    np.testing.assert_array_equal(by_pair["c2"], MAPS[..., 2:10, 2:10])
    np.testing.assert_array_equal(open_dataset(path, frames=slice(2, 10))["c2"], by_pair["c2"])
    np.testing.assert_array_equal(open_dataset(path, frames=slice(-4, None))["frame"], [9, 10, 11, 12])


@pytest.mark.parametrize("frames", [(3, 13), (0, 5), (9, 4)])
def test_frames_out_of_range_are_an_error(path: Path, frames: tuple[int, int]):
    with pytest.raises(ConfigurationError, match="frame"):
        open_dataset(path, frames=frames)


@pytest.mark.parametrize("frames", [slice(0, 10, 2), slice(5, 5), slice(20, 30), (1, 2, 3), 7])
def test_frames_of_the_wrong_form_are_an_error(path: Path, frames):
    with pytest.raises(ConfigurationError, match=r"frames = [\s\S]*expected: "):
        open_dataset(path, frames=frames)


def test_a_q_far_from_every_bin_is_an_error_that_lists_them(path: Path):
    with pytest.raises(ConfigurationError, match=r"0\.01, 0\.02"):
        open_dataset(path, q=0.2)


def test_a_mask_says_which_frames_are_used(path: Path):
    used = np.ones(12, bool)
    used[[0, 7]] = False
    ds = open_dataset(path, mask=used)
    np.testing.assert_array_equal(ds["mask"], used)
    np.testing.assert_array_equal(open_dataset(path, mask=[1, 8])["mask"], used)
    row = MAPS[0, 0].astype(float)
    pairs = [row[i, i + 1] for i in range(11) if used[i] and used[i + 1]]
    np.testing.assert_allclose(ds["g2"][0, 0, 0], np.mean(pairs))


def test_closing_a_selection_closes_the_file(path: Path):
    import h5py

    ds = open_dataset(path, q=0.02)
    ds["c2"].load()
    ds.close()
    with h5py.File(path, "a"):
        pass


# ---- plain arrays ----


def test_npz_with_names_of_this_package(tmp_path: Path):
    g2, err = (a.T.reshape(2, 3, 4) for a in random_g2(4, 6))
    np.savez(tmp_path / "a.npz", c2=MAPS, q=Q, phi=PHI, dt=0.5, g2=g2, g2_err=err, tau=[0.5, 1, 2, 4])
    ds = open_dataset(tmp_path / "a.npz")
    assert ds.attrs["layout"] == "plain-arrays"
    np.testing.assert_array_equal(ds["c2"], MAPS)
    np.testing.assert_array_equal(ds["g2"], g2)
    assert open_dataset(tmp_path / "a.npz", q=0.01).sizes["q"] == 1  # q is in the file: this selects


def test_npz_with_the_names_other_programs_cache_under(tmp_path: Path):
    t1, t2 = np.meshgrid(np.arange(12) * 0.1, np.arange(12) * 0.1)
    np.savez(
        tmp_path / "a.npz", c2_exp=MAPS[0], wavevector_q_list=[0.0054], phi_angles_list=PHI, t1=t1, t2=t2
    )
    ds = open_dataset(tmp_path / "a.npz")
    np.testing.assert_array_equal(ds["c2"], MAPS[:1])
    np.testing.assert_allclose(ds.attrs["dt"], 0.1)


def test_npy_takes_its_axes_from_a_json_file_beside_it(tmp_path: Path):
    np.save(tmp_path / "a.npy", MAPS.reshape(6, 12, 12))
    (tmp_path / "a.json").write_text(json.dumps({"q": Q.tolist(), "phi": [10, 200, 350], "dt": 0.5}))
    ds = open_dataset(tmp_path / "a.npy")
    np.testing.assert_array_equal(ds["c2"], MAPS)
    np.testing.assert_array_equal(ds["phi"], [10, -160, -10])


def test_npy_takes_its_axes_from_the_caller(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.triu(MAPS[0, 0]).astype("f8"))
    ds = open_dataset(tmp_path / "a.npy", q=0.01, phi=30, dt=1)
    np.testing.assert_array_equal(ds["c2"][0, 0], MAPS[0, 0])
    assert ds.attrs["triangle"] == "upper"
    np.testing.assert_array_equal(ds["phi"], [30])


def test_one_q_and_phi_a_bin_are_put_on_a_grid_where_they_suit_one(tmp_path: Path):
    q, phi = np.repeat(Q, 3)[:5], np.tile(PHI, 2)[:5]
    np.savez(tmp_path / "a.npz", c2=MAPS.reshape(6, 12, 12)[:5], q=q, phi=phi, dt=1)
    ds = open_dataset(tmp_path / "a.npz")
    assert ds["c2"].dims == ("q", "phi", "t1", "t2")
    np.testing.assert_array_equal(ds["c2"][1, :2], MAPS[1, :2])
    assert not ds["usable"][1, 2]


def test_a_dead_bin_and_nan_pixels_of_plain_arrays_are_named(tmp_path: Path):
    maps = MAPS.copy()
    maps[0, 0], maps[1, 1, 2, 3] = 1.0, np.nan
    np.savez(tmp_path / "a.npz", c2=maps, q=Q, phi=PHI, dt=1)
    with pytest.warns(DataWarning) as caught:
        ds = open_dataset(tmp_path / "a.npz")
    texts = " ".join(str(w.message) for w in caught)
    assert "a.npz: the two-time map of bin q = 0.01 1/Å, phi = -90° is constant" in texts
    assert "phi = 0° has 1 NaN pixels" in texts
    assert not ds["usable"][0, 0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"c2": MAPS, "dt": 1}, r"q is given nowhere[\s\S]*as q="),
        ({"c2": MAPS, "q": Q, "phi": PHI}, r"time from frame to frame is given nowhere[\s\S]*as dt="),
        ({"q": Q, "phi": PHI, "dt": 1}, "neither c2 nor g2"),
        ({"c2": MAPS, "q": Q, "phi": PHI[:2], "dt": 1}, "there are 6 bins .* 2 q and 2 phi"),
        ({"c2": np.ones((3, 4)), "q": Q, "dt": 1}, r"c2 has shape \(3, 4\)"),
        ({"c2": np.array(["a"]), "q": Q, "dt": 1}, "c2 is not an array of numbers"),
    ],
)
def test_plain_arrays_that_do_not_suffice_are_refused(tmp_path: Path, arrays: dict, message: str):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataFormatError, match=message):
        open_dataset(tmp_path / "a.npz")


def test_unknown_names_in_plain_arrays_are_said(tmp_path: Path):
    np.savez(tmp_path / "a.npz", c2=MAPS, q=Q, phi=PHI, dt=1, temprature=300)
    with pytest.warns(DataWarning, match=r"\['temprature'\] are not used; known names are"):
        open_dataset(tmp_path / "a.npz")


def test_damaged_arrays_and_sidecars_are_said(tmp_path: Path):
    for name in ("a.npy", "a.npz"):
        (tmp_path / name).write_bytes(b"not an array")
        with pytest.raises(DataFormatError, match=name):
            open_dataset(tmp_path / name)
    np.save(tmp_path / "b.npy", MAPS)
    (tmp_path / "b.json").write_text("{q: 1}")
    with pytest.raises(DataFormatError, match=r"b\.json: cannot be read"):
        open_dataset(tmp_path / "b.npy")
    (tmp_path / "b.json").write_text("[1, 2]")
    with pytest.raises(DataFormatError, match="not a JSON object"):
        open_dataset(tmp_path / "b.npy")
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_dataset(tmp_path / "c.npy")


def test_the_measured_map_of_nsls_ii_loads(shared_data: Path):
    ds = open_dataset(shared_data / "bnl" / "test_g2.npy", q=0.01, phi=0, dt=1)
    assert ds["c2"].shape == (1, 1, 350, 350)
    values = ds["c2"].values[0, 0]
    np.testing.assert_array_equal(values, values.T)
    assert 1.0 < float(ds["g2"][0, 0, 0]) < 2.0
    assert bool(np.isfinite(ds["g2_err"][0, 0, :300]).all())


# ---- the engine ----


def test_the_engine_opens_and_selects(path: Path):
    ds = xr.open_dataset(path, engine="xpcs", q=0.02, frames=(2, 9), drop_variables="n_pixels")
    np.testing.assert_array_equal(ds["c2"], MAPS[1:, :, 1:9, 1:9])
    assert "n_pixels" not in ds
    assert "xpcs" in xr.backends.list_engines()


def test_the_engine_recognises_every_layout_and_nothing_else(tmp_path: Path):
    guess = XpcsBackendEntrypoint().guess_can_open
    one_q = random_maps((2,))
    ours = [
        build_apsu(tmp_path / "1", MAPS),
        build_aps_legacy(tmp_path / "2", MAPS),
        build_nxxpcs(tmp_path / "3", MAPS),
        build_nxxpcs_old(tmp_path / "4"),
        build_esrf(tmp_path / "5", one_q),
        build_pychx(tmp_path / "6", one_q),
        build_mid(tmp_path / "7", random_maps((2, 2))),
    ]
    assert all(guess(str(path)) and guess(path) for path in ours)
    xr.Dataset({"g2": ("tau", [1.0, 2.0])}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    write_dataset(open_dataset(ours[0]), tmp_path / "own.nc")
    (tmp_path / "text.h5").write_text("hello")
    others = ["a.nc", "own.nc", "text.h5", "missing.h5", "."]
    assert not any(guess(tmp_path / name) for name in others)
    assert not any(guess(thing) for thing in (None, 3, b"abc", object(), "\0", {"a": 1}))


def test_own_netcdf_opens_with_xarray_alone(path: Path, tmp_path: Path):
    write_dataset(open_dataset(path), tmp_path / "own.nc")
    plain = xr.open_dataset(tmp_path / "own.nc", engine="h5netcdf")
    np.testing.assert_array_equal(plain["c2"], MAPS)
    assert plain["t1"].dtype == float


# ---- the loader ----


def test_the_loader_opens_on_first_access_and_closes(path: Path):
    with LazyDataLoader(path, q=0.01) as loader:
        assert not loader.is_open
        assert "not opened yet" in repr(loader)
        assert loader.data.sizes["q"] == 1
        assert loader.data is loader.data
        assert loader.is_open
    assert not loader.is_open
    assert loader.data.sizes["q"] == 1


def test_the_loader_reports_a_missing_file_when_it_is_needed(tmp_path: Path):
    loader = LazyDataLoader(tmp_path / "nowhere.h5")
    with pytest.raises(FileNotFoundError, match="no such file"):
        _ = loader.data
    loader.close()
