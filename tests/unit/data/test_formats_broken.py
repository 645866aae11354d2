"""Files that cannot be read: refused in one clear error that names the file, the key and the remedy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from layout_builders import build_aps_legacy, build_apsu, random_maps

from heterodyne_nb.data import open_dataset
from heterodyne_nb.data.formats.base import MapRef
from heterodyne_nb.errors import DataFormatError, DataWarning, MissingFileError


def test_a_missing_file_is_said(tmp_path: Path):
    with pytest.raises(MissingFileError, match=r"nowhere\.h5: there is no such file"):
        open_dataset(tmp_path / "nowhere.h5")
    with pytest.raises(FileNotFoundError):
        open_dataset(tmp_path / "nowhere.h5")


def test_a_truncated_file_is_said(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps(n=60))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataFormatError, match=r"a\.hdf: the file is truncated: it ends at \d+ bytes"):
        open_dataset(path)


def test_a_file_that_is_not_hdf5_is_said(tmp_path: Path):
    path = tmp_path / "a.h5"
    path.write_text("q, phi, c2\n1, 2, 3\n")
    with pytest.raises(DataFormatError, match=r"not an HDF5 file \(it begins with b'q, phi, '\)"):
        open_dataset(path)


def test_an_empty_file_and_a_folder_are_said(tmp_path: Path):
    (tmp_path / "a.h5").touch()
    with pytest.raises(DataFormatError, match=r"the file is empty \(0 bytes\)"):
        open_dataset(tmp_path / "a.h5")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataFormatError, match="the folder holds no result file"):
        open_dataset(tmp_path / "folder")


def test_a_file_that_is_still_being_written_is_said(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    hold = "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        with pytest.raises(DataFormatError, match="still being written by another process"):
            open_dataset(path)
        writer.communicate()


def test_a_missing_key_names_the_file_the_key_and_what_was_expected(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        f.move("xpcs/qmap/dynamic_v_list_dim1", "xpcs/qmap/phi_list")
    with pytest.raises(DataFormatError) as caught:
        open_dataset(path)
    text = str(caught.value)
    assert text.startswith("a.hdf:/xpcs/qmap/dynamic_v_list_dim1: this key is missing")
    assert "phi_list" in text
    assert "expected: the phi values of the map, degrees" in text


def test_bins_without_q_or_phi_are_left_out_and_named(tmp_path: Path):
    maps = random_maps()
    path = build_aps_legacy(tmp_path / "a.hdf", maps)
    with h5py.File(path, "a") as f:
        f["xpcs/dqlist"][0, 4] = np.nan
    with pytest.warns(DataWarning, match=r"bins \[5\] have no q or no phi; they are left out"):
        ds = open_dataset(path)
    expected = maps.copy()
    expected[1, 1] = np.nan
    np.testing.assert_array_equal(ds["c2"].values, expected)
    assert np.isnan(ds["g2"][1, 1]).all()
    ds.close()
    with h5py.File(path, "a") as f:
        f["xpcs/dqlist"][...] = np.nan
    with pytest.raises(DataFormatError, match="q or phi of the bins is NaN"):
        open_dataset(path)


def test_a_drive_without_locks_is_read_without_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    maps = random_maps()
    path = build_apsu(tmp_path / "a.hdf", maps)
    init = h5py.File.__init__

    def no_locks(self: h5py.File, *args: Any, locking: Any = None, **kwargs: Any) -> None:
        if isinstance(args[0], str | Path) and locking is not False:
            raise OSError("unable to lock file, errno = 37, error message = 'No locks available'")
        init(self, *args, locking=locking, **kwargs)

    monkeypatch.setattr(h5py.File, "__init__", no_locks)
    np.testing.assert_array_equal(open_dataset(path)["c2"].values, maps)


def test_a_missing_compression_plug_in_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def read(self: MapRef, *args: Any) -> np.ndarray:
        raise OSError("can't synchronously read data (required filter 'bitshuffle' is not registered)")

    path = build_apsu(tmp_path / "a.hdf", random_maps())
    monkeypatch.setattr(MapRef, "read", read)
    with pytest.raises(
        DataFormatError, match=r"c2_00001: the two-time map cannot be read[\s\S]*install hdf5plugin"
    ):
        open_dataset(path)


def test_a_frame_mask_of_another_length_is_said(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        f["xpcs/twotime/frame_mask"] = np.ones(9, "u1")
    with pytest.raises(DataFormatError, match="the frame mask has 9 entries, the maps have 12 frames"):
        open_dataset(path)


def test_a_key_of_text_where_numbers_belong_is_said(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        del f["xpcs/qmap/dynamic_v_list_dim0"]
        f["xpcs/qmap/dynamic_v_list_dim0"] = "0.01, 0.02"
    with pytest.raises(DataFormatError, match=r"dynamic_v_list_dim0: values of type object are not numbers"):
        open_dataset(path)


def test_a_g2_of_the_wrong_shape_is_said(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps(), g2=True)
    with h5py.File(path, "a") as f:
        del f["xpcs/multitau/normalized_g2"]
        f["xpcs/multitau/normalized_g2"] = np.ones((4, 5))
    with pytest.raises(
        DataFormatError, match=r"normalized_g2: the shape is \(4, 5\)\n  expected: \(4 delays, 6 bins\)"
    ):
        open_dataset(path)


def test_maps_that_are_not_square_or_not_alike_are_said(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        del f["xpcs/twotime/correlation_map/c2_00003"]
        f["xpcs/twotime/correlation_map/c2_00003"] = np.ones((12, 10))
    with pytest.raises(DataFormatError, match=r"c2_00003: the map has shape \(12, 10\)"):
        open_dataset(path)
    with h5py.File(path, "a") as f:
        del f["xpcs/twotime/correlation_map/c2_00003"]
        f["xpcs/twotime/correlation_map/c2_00003"] = np.ones((10, 10))
    with pytest.raises(
        DataFormatError, match=r"different numbers of frames: 12 \(c2_00001\), 10 \(c2_00003\)"
    ):
        open_dataset(path)


def test_a_file_without_a_time_asks_for_it(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        del f["entry"]
    with pytest.raises(DataFormatError, match=r"does not say how long a frame lasts[\s\S]*dt=…"):
        open_dataset(path)
    assert open_dataset(path, dt=0.125).attrs["dt"] == 0.125


def test_a_time_of_zero_is_an_error(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps(), frame_time=0.0)
    with pytest.raises(DataFormatError, match=r"time from frame to frame is 0\.0 s"):
        open_dataset(path)


def test_a_file_without_any_correlation_is_said(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    with h5py.File(path, "a") as f:
        del f["xpcs/twotime/correlation_map"]
    with pytest.raises(DataFormatError, match="the file holds no correlation"):
        open_dataset(path)
