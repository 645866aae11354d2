"""The traps of real files: each one either read rightly or refused in one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from layout_builders import DT, PHI, Q, build_aps_legacy, build_apsu, build_esrf, build_nxxpcs, random_maps

from heterodyne_nb.data import open_dataset
from heterodyne_nb.errors import DataFormatError, DataWarning


def lower(one: np.ndarray) -> np.ndarray:
    return np.tril(one)


def whole(one: np.ndarray) -> np.ndarray:
    return one


def no_diagonal(one: np.ndarray) -> np.ndarray:
    return np.triu(one, 1)


# ---- bins ----


def test_maps_go_to_their_place_by_processed_bins_and_index_mapping(tmp_path: Path):
    """Sector (0, 1) is empty, and of the five labels only 2, 3 and 5 were processed."""
    maps = random_maps()
    path = build_apsu(tmp_path / "a.hdf", maps, keep=[0, 2, 3, 4, 5])
    with h5py.File(path, "a") as f:
        group = f["xpcs/twotime/correlation_map"]
        for name in list(group):
            del group[name]
        labels = [5, 2, 3]
        del f["xpcs/twotime/processed_bins"]
        f["xpcs/twotime/processed_bins"] = labels
        cells = f["xpcs/qmap/dynamic_index_mapping"][()]
        for n, label in enumerate(labels, start=1):
            group[f"c2_{n:05d}"] = np.triu(maps[divmod(cells[label - 1], 3)])
    ds = open_dataset(path, keep_empty=True)
    expected = np.full_like(maps, np.nan)
    for where in [(1, 2), (0, 2), (1, 0)]:
        expected[where] = maps[where]
    np.testing.assert_array_equal(ds["c2"].values, expected)
    np.testing.assert_array_equal(ds["usable"], [[False, False, True], [True, False, True]])
    np.testing.assert_array_equal(ds["n_pixels"], [[5, 0, 5], [5, 5, 5]])
    short = open_dataset(path)
    np.testing.assert_array_equal(short["phi"], PHI[[0, 2]])
    np.testing.assert_array_equal(short["c2"].values, expected[:, [0, 2]])
    assert short.attrs["no_data"] == "left out: phi = 0"


def test_g2_of_files_with_an_empty_sector_goes_to_the_right_bins(tmp_path: Path):
    keep = [0, 2, 3, 4, 5]
    path = build_apsu(tmp_path / "a.hdf", random_maps(), keep=keep, g2=True)
    with h5py.File(path) as f:
        stored = f["xpcs/multitau/normalized_g2"][()]
    g2 = open_dataset(path)["g2"].values.reshape(6, -1)
    np.testing.assert_array_equal(g2[keep], stored.T)
    assert np.isnan(g2[1]).all()


def test_without_index_mapping_labels_fill_the_grid(tmp_path: Path):
    maps = random_maps()
    path = build_apsu(tmp_path / "a.hdf", maps)
    with h5py.File(path, "a") as f:
        del f["xpcs/qmap/dynamic_index_mapping"], f["xpcs/twotime/processed_bins"]
    np.testing.assert_array_equal(open_dataset(path)["c2"].values, maps)


def test_few_scattered_bins_keep_the_bin_form(tmp_path: Path):
    maps = random_maps((3, 3))
    path = build_apsu(
        tmp_path / "a.hdf",
        maps,
        keep=[0, 4, 8],
        q=np.array([0.01, 0.02, 0.03]),
        phi=np.array([0.0, 10.0, 20.0]),
    )
    ds = open_dataset(path)
    assert ds["c2"].dims == ("bin", "t1", "t2")
    np.testing.assert_array_equal(ds["c2"].values, maps[[0, 1, 2], [0, 1, 2]])
    np.testing.assert_array_equal(ds["phi"], [0.0, 10.0, 20.0])


def test_a_label_beyond_the_list_is_an_error(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        f["xpcs/twotime/processed_bins"][2] = 9
    with pytest.raises(DataFormatError, match=r"processed_bins: there is a map of label 9[\s\S]*from 1 to 6"):
        open_dataset(path)


def test_a_label_of_zero_is_an_error(tmp_path: Path):
    path = build_aps_legacy(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        f["xpcs/qphi_bin_to_process"][0] = 0
    with pytest.raises(DataFormatError, match="there is a map of label 0"):
        open_dataset(path)


def test_legacy_maps_named_by_label_are_understood(tmp_path: Path):
    maps = random_maps()
    path = build_aps_legacy(tmp_path / "a.hdf", maps)
    with h5py.File(path, "a") as f:
        del f["xpcs/qphi_bin_to_process"]
        f["xpcs/qphi_bin_to_process"] = [2, 6]
        for n in (1, 3, 4, 5):
            del f[f"exchange/C2T_all/g2_{n:05d}"]
    ds = open_dataset(path)
    np.testing.assert_array_equal(ds["usable"], [[False, True, False], [False, False, True]])
    np.testing.assert_array_equal(ds["c2"].isel(q=1, phi=2), maps[1, 2])


def test_more_maps_than_labels_is_an_error(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        del f["xpcs/twotime/processed_bins"]
        f["xpcs/twotime/processed_bins"] = [1, 2]
    with pytest.raises(DataFormatError, match="2 labels are listed but the maps go up to c2_00006"):
        open_dataset(path)


def test_places_outside_the_grid_are_an_error(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        f["xpcs/qmap/dynamic_index_mapping"][5] = 6
    with pytest.raises(DataFormatError, match="grid of 2 q × 3 phi, 0 to 5"):
        open_dataset(path)


# ---- triangles ----


@pytest.mark.parametrize(("part", "name"), [(np.triu, "upper"), (lower, "lower"), (whole, "full")])
def test_the_populated_triangle_is_found_and_mirrored(tmp_path: Path, part: Any, name: str):
    maps = random_maps()
    ds = open_dataset(build_apsu(tmp_path / "a.hdf", maps, part=part))
    assert ds.attrs["triangle"] == name
    np.testing.assert_array_equal(ds["c2"].values, maps)
    np.testing.assert_array_equal(
        ds["c2"].isel(q=0, phi=1, t1=slice(6, 12), t2=slice(0, 7)), maps[0, 1, 6:12, :7]
    )
    np.testing.assert_array_equal(
        ds["c2"].isel(q=0, phi=1, t1=slice(0, 3), t2=slice(2, 7)), maps[0, 1, :3, 2:7]
    )


def test_a_triangle_of_nan_is_empty_too(tmp_path: Path):
    def part(one: np.ndarray) -> np.ndarray:
        return np.where(np.tri(len(one), k=-1, dtype=bool), np.nan, one)

    maps = random_maps()
    ds = open_dataset(build_apsu(tmp_path / "a.hdf", maps, part=part))
    assert ds.attrs["triangle"] == "upper"
    np.testing.assert_array_equal(ds["c2"].values, maps)


def test_files_that_mix_triangles_are_read_map_by_map(tmp_path: Path):
    maps = random_maps()
    path = build_apsu(tmp_path / "a.hdf", maps)
    with h5py.File(path, "a") as f:
        f["xpcs/twotime/correlation_map/c2_00002"][...] = np.tril(maps[0, 1])
    ds = open_dataset(path)
    assert ds.attrs["triangle"] == "mixed: lower, upper"
    np.testing.assert_array_equal(ds["c2"].values, maps)


def test_a_diagonal_of_zeros_is_read_as_nan(tmp_path: Path):
    maps = random_maps()
    ds = open_dataset(build_apsu(tmp_path / "a.hdf", maps, part=no_diagonal))
    assert ds.attrs["diagonal"] == "zero in the file, read as NaN"
    values = ds["c2"].values
    off = ~np.eye(12, dtype=bool)
    np.testing.assert_array_equal(values[..., off], maps[..., off])
    assert np.isnan(np.einsum("...ii->...i", values)).all()
    assert np.isnan(ds["c2"].isel(q=0, phi=0, t1=3, t2=3))


# ---- numbers, units, types ----


def test_unmeasured_g2_stored_as_zero_with_error_zero_is_nan(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps(), g2=True)
    with h5py.File(path, "a") as f:
        f["xpcs/multitau/normalized_g2"][1, 4] = 0
        f["xpcs/multitau/normalized_g2_err"][1, 4] = 0
    ds = open_dataset(path)
    missing = np.zeros((2, 3, 4), bool)
    missing[1, 1, 1] = True
    np.testing.assert_array_equal(np.isnan(ds["g2"].values), missing)
    np.testing.assert_array_equal(np.isnan(ds["g2_err"].values), missing)


@pytest.mark.parametrize("frame_time", [DT, np.array([DT]), np.array([[DT]]), np.float32(DT)])
def test_scalars_may_be_stored_in_any_shape(tmp_path: Path, frame_time: Any):
    assert (
        open_dataset(build_apsu(tmp_path / "a.hdf", random_maps(), frame_time=frame_time)).attrs["dt"] == DT
    )


def test_the_frame_time_is_multiplied_by_stride_and_average_of_its_own_analysis(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps(), g2=True)
    with h5py.File(path, "a") as f:
        f["xpcs/twotime/config/stride_frame"], f["xpcs/twotime/config/avg_frame"] = 3, np.array([[2]])
        f["xpcs/multitau/config/stride_frame"], f["xpcs/multitau/config/avg_frame"] = 2, 1
    ds = open_dataset(path)
    np.testing.assert_allclose(ds["t1"], np.arange(1, 13) * 6 * DT)
    np.testing.assert_allclose(ds["tau"], np.array([1, 2, 4, 8]) * 2 * DT)
    ds = open_dataset(path, dt=6.0)  # twice the file's: the delays follow
    np.testing.assert_allclose(ds["t1"], np.arange(1, 13) * 6.0)
    np.testing.assert_allclose(ds["tau"], np.array([1, 2, 4, 8]) * 4 * DT)


def test_legacy_stride_and_average_count_too(tmp_path: Path):
    path = build_aps_legacy(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        f["xpcs/stride_frames"], f["xpcs/avg_frames"] = np.array([[2]]), np.array([[5]])
    ds = open_dataset(path)
    assert ds.attrs["dt"] == 10 * DT
    np.testing.assert_allclose(ds["tau"], np.array([1, 2, 4, 8]) * 10 * DT)


def test_a_frame_time_in_milliseconds_is_converted(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        f["entry/instrument/detector_1/frame_time"].attrs["units"] = "ms"
    assert open_dataset(path).attrs["dt"] == pytest.approx(DT * 1e-3)


@pytest.mark.parametrize("unit", ["nm^-1", b"1/nm", np.bytes_(b"nm-1")])
def test_q_in_inverse_nanometres_is_converted(tmp_path: Path, unit: Any):
    path = build_apsu(tmp_path / "a.hdf", random_maps(), q=Q * 10)
    with h5py.File(path, "a") as f:
        f["xpcs/qmap/dynamic_v_list_dim0"].attrs["units"] = unit
    np.testing.assert_allclose(open_dataset(path)["q"], Q)


def test_nxxpcs_q_unit_is_read(tmp_path: Path):
    np.testing.assert_allclose(
        open_dataset(build_nxxpcs(tmp_path / "a", random_maps(), unit="nm^-1"))["q"], Q
    )


def test_an_unknown_unit_of_q_is_an_error(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        f["xpcs/qmap/dynamic_v_list_dim0"].attrs["units"] = "mrad"
    with pytest.raises(DataFormatError, match=r"dim0: the unit of q is 'mrad'\n  expected: 1/Å or 1/nm"):
        open_dataset(path)


def test_angles_from_0_to_360_are_brought_into_range_and_order(tmp_path: Path):
    maps = random_maps()
    ds = open_dataset(build_apsu(tmp_path / "a.hdf", maps, phi=np.array([10.0, 180.0, 350.0])))
    np.testing.assert_array_equal(ds["phi"], [-10.0, 10.0, 180.0])
    np.testing.assert_array_equal(ds["c2"].values, maps[:, [2, 0, 1]])


@pytest.mark.parametrize("filters", [{"compression": "gzip", "shuffle": True}, {"compression": "lzf"}, {}])
def test_every_usual_filter_is_read(tmp_path: Path, filters: dict[str, Any]):
    maps = random_maps()
    path = build_apsu(tmp_path / "a.hdf", maps, filters={"chunks": (5, 5), **filters})
    np.testing.assert_array_equal(open_dataset(path)["c2"].values, maps)


def test_bytes_and_str_are_both_text(tmp_path: Path):
    path = build_esrf(tmp_path / "a.h5", random_maps((2,)))
    with h5py.File(path, "a") as f:
        f.attrs["MagicString"] = "XPCSResultFile_v2.0"
    assert open_dataset(path).attrs["layout"] == "esrf-id02"


def test_stale_values_under_instrument_are_not_used_and_it_is_said(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        f["xpcs/qmap/energy"], f["entry/instrument/incident_beam/incident_energy"] = 10.9, 7.35
        f["entry/instrument/masks/dynamic_q_list"] = Q * 2
    with pytest.warns(
        DataWarning, match=r"disagree with /xpcs/qmap .*incident_energy.*dynamic_q_list.*q map is used"
    ):
        ds = open_dataset(path)
    np.testing.assert_array_equal(ds["q"], Q)
    assert "incident_energy" in ds.attrs["stale_instrument"]


def test_agreeing_values_under_instrument_raise_no_warning(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        f["xpcs/qmap/energy"], f["entry/instrument/incident_beam/incident_energy"] = 10.9, np.array([[10.9]])
    assert "stale_instrument" not in open_dataset(path).attrs


# ---- dead bins, NaN ----


def test_dead_and_constant_bins_are_left_out_and_named(tmp_path: Path):
    maps = random_maps()
    broken = maps.copy()
    broken[0, 1], broken[1, 2] = np.nan, 1.25
    path = build_apsu(tmp_path / "a.hdf", broken)
    with pytest.warns(DataWarning) as caught:
        ds = open_dataset(path)
    texts = sorted(str(w.message) for w in caught)
    assert texts == [
        "a.hdf: left out, because its two-time map is all NaN: bin q = 0.01 1/Å, phi = 0°",
        "a.hdf: left out, because its two-time map is constant: bin q = 0.02 1/Å, phi = 90°",
    ]
    broken[1, 2] = np.nan
    np.testing.assert_array_equal(ds["c2"].values, broken)
    np.testing.assert_array_equal(ds["usable"], [[True, False, True], [True, True, False]])
    assert np.isnan(ds["g2"].isel(q=0, phi=1)).all()
    assert np.isfinite(ds["g2"].isel(q=0, phi=0)).all()


def test_a_map_of_zeros_is_dead(tmp_path: Path):
    maps = random_maps()
    maps[0, 0] = 0
    with pytest.warns(DataWarning, match="is constant: bin q = 0.01 1/Å, phi = -90°"):
        ds = open_dataset(build_apsu(tmp_path / "a.hdf", maps))
    assert not ds["usable"][0, 0]


def test_a_bin_that_is_alive_only_away_from_the_probed_places_is_kept(tmp_path: Path):
    maps = random_maps((1, 1), n=300)
    quiet = np.ones_like(maps)
    quiet[0, 0, 40:60, 150:170] = maps[0, 0, 40:60, 150:170]
    path = build_apsu(tmp_path / "a.hdf", quiet, q=Q[:1], phi=PHI[:1])
    assert bool(open_dataset(path)["usable"].all())


def test_nan_pixels_are_said_when_the_map_is_read_and_the_rest_is_used(tmp_path: Path):
    maps = random_maps()
    maps[1, 0, 3, 7] = maps[1, 0, 7, 3] = np.nan
    ds = open_dataset(build_apsu(tmp_path / "a.hdf", maps))
    with pytest.warns(DataWarning, match=r"bin q = 0.02 1/Å, phi = -90° has 2 NaN pixels \(1.52 %\)"):
        values = ds["c2"].isel(q=1, phi=0).values
    np.testing.assert_array_equal(values, maps[1, 0])


def test_infinite_pixels_become_nan(tmp_path: Path):
    maps = random_maps()
    maps[0, 0, 2, 5] = np.inf
    ds = open_dataset(build_apsu(tmp_path / "a.hdf", maps))
    with pytest.warns(DataWarning, match="2 NaN pixels"):
        values = ds["c2"].isel(q=0, phi=0).values
    assert np.isnan(values[2, 5])
    assert np.isnan(values[5, 2])


def test_a_file_of_nan_is_one_error(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", np.full((2, 3, 12, 12), np.nan))
    with (
        pytest.warns(DataWarning, match="all NaN"),
        pytest.raises(DataFormatError, match="nothing in the file can be used: all 6 two-time maps"),
    ):
        open_dataset(path)


def test_a_map_that_nothing_was_written_to_is_left_out(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        group = f["xpcs/twotime/correlation_map"]
        del group["c2_00006"]
        group.create_dataset("c2_00006", (12, 12), "f4", chunks=(12, 12))
    with pytest.warns(DataWarning, match="nothing has been written to it: bin q = 0.02 1/Å, phi = 90°"):
        ds = open_dataset(path)
    assert not ds["usable"][1, 2]


@pytest.mark.parametrize("build", [build_apsu, build_aps_legacy])
def test_a_label_that_two_maps_claim_is_refused(tmp_path: Path, build: Any):
    path = build(tmp_path / "a.h5", random_maps())
    key = "xpcs/twotime/processed_bins" if build is build_apsu else "xpcs/qphi_bin_to_process"
    with h5py.File(path, "a") as f:
        f[key][...] = [1, 2, 2, 4, 5, 6]
    with pytest.raises(DataFormatError, match="two maps have label 2"):
        open_dataset(path)


def test_negative_errors_of_g2_are_told_and_not_used(tmp_path: Path):
    path = build_apsu(tmp_path / "a.h5", random_maps(), g2=True)
    with h5py.File(path, "a") as f:
        f["xpcs/multitau/normalized_g2_err"][0, 0] = -0.01
    with pytest.warns(DataWarning, match="1 errors of g2 are negative"):
        ds = open_dataset(path)
    assert np.isnan(ds["g2_err"].values).sum() == 1
    assert np.isfinite(ds["g2"].values).all()
