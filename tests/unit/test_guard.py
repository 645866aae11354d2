"""Files are read through one door: bad ones are our errors, changed ones are refused, and what is odd is told."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import fuzz

from heterodyne_nb import AnalysisSession, FitResult, list_analyses, open_dataset, open_frames
from heterodyne_nb.cli import main
from heterodyne_nb.cli.running import chosen_folder
from heterodyne_nb.data import isolated, write_apsu, write_dataset
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning, MissingFileError
from heterodyne_nb.guard import guarded

C2 = "xpcs/twotime/correlation_map/c2_00001"


@pytest.fixture
def apsu(tmp_path: Path) -> Path:
    write_apsu(fuzz._dataset(), tmp_path / "run.h5")
    return tmp_path / "run.h5"


def changed(path: Path, at: float) -> None:
    """Turn one bit of a file over."""
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 4
    path.write_bytes(content)


def test_whatever_a_library_raises_becomes_one_error_that_names_file_finding_and_expectation() -> None:
    for problem in (
        KeyError("x"),
        RuntimeError(""),
        RecursionError("deep"),
        MemoryError("much"),
        SystemError("odd"),
    ):
        with (
            pytest.raises(
                DataFormatError, match=rf"a\.h5: cannot be read \({type(problem).__name__}"
            ) as caught,
            guarded("a.h5", "a whole file"),
        ):
            raise problem
        assert caught.value.expected == "a whole file"
        assert caught.value.__cause__ is problem
    with pytest.raises(MissingFileError), guarded("/not/here"):
        Path("/not/here").read_bytes()
    with pytest.raises(KeyboardInterrupt), guarded("a.h5"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "dt", ["soon", 0.0, -1.0, np.nan, np.inf, 1j, [1.0, 2.0], np.datetime64("2025-01-01"), {}]
)
def test_a_time_step_that_is_none_is_refused_by_name(apsu: Path, dt: Any) -> None:
    with pytest.raises(ConfigurationError, match="dt"):
        open_dataset(apsu, dt=dt)


@pytest.mark.parametrize("layout", [3, ["aps-u"], b"aps-u", {}, "other"])
def test_a_layout_that_is_none_is_refused(apsu: Path, layout: Any) -> None:
    with pytest.raises(ConfigurationError, match="layout"):
        open_dataset(apsu, layout=layout)


@pytest.mark.parametrize("path", [None, 3, "nul\0"])
def test_what_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(ConfigurationError, match="no path"):
        open_dataset(path)


def test_an_encrypted_archive_and_one_that_would_fill_the_memory_are_refused_before_they_are_unpacked(
    tmp_path: Path,
) -> None:
    locked, huge = tmp_path / "locked.npz", tmp_path / "huge.npz"
    fuzz._write_npz(locked)
    shutil.copy(locked, huge)
    content = bytearray(locked.read_bytes())
    content[6], content[content.find(b"PK\x01\x02") + 8] = 1, 1
    locked.write_bytes(content)
    content = bytearray(huge.read_bytes())
    extra = struct.pack("<HHQ", 1, 8, 1 << 50)
    with zipfile.ZipFile(huge) as archive:
        at = archive.start_dir
    struct.pack_into("<I", content, at + 24, 0xFFFFFFFF)
    name, more = struct.unpack_from("<HH", content, at + 28)
    struct.pack_into("<H", content, at + 30, len(extra))
    content[at + 46 + name : at + 46 + name + more] = extra
    end = content.rfind(b"PK\x05\x06")
    struct.pack_into("<I", content, end + 12, end - at)
    huge.write_bytes(content)
    with pytest.raises(DataFormatError, match="is encrypted"):
        open_dataset(locked)
    with pytest.raises(DataFormatError, match="unpacked, would take"):
        open_dataset(huge)
    with pytest.raises(DataFormatError, match="is encrypted"):
        open_frames(locked, partition=(np.ones((4, 4), int), [0.01], [0.0]), dt=0.1)


@pytest.mark.parametrize("q", [np.array([1 + 1j, 2]), np.array(["2025-01-01", "2025-01-02"], "M8[D]")])
def test_complex_numbers_and_dates_are_not_cast(tmp_path: Path, q: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", c2=fuzz._dataset().c2.values, q=q, phi=[0.0, 30.0, 60.0], dt=0.1)
    with pytest.raises(DataFormatError, match="q is not an array of numbers"):
        open_dataset(tmp_path / "a.npz")


def test_where_the_file_beside_an_archive_says_other_it_is_obeyed_and_told(tmp_path: Path) -> None:
    fuzz._write_npz(tmp_path / "a.npz")
    (tmp_path / "a.json").write_text(json.dumps({"dt": 0.2, "q": [0.005, 0.01]}))
    with pytest.warns(DataWarning, match=r"a\.json is obeyed where a\.npz says other: dt"):
        ds = open_dataset(tmp_path / "a.npz")
    assert ds.attrs["dt"] == 0.2


def test_a_link_out_of_the_folder_is_followed_and_told(apsu: Path, tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir(), outside.mkdir()
    with h5py.File(apsu, "r+") as file, h5py.File(outside / "maps.h5", "w") as other:
        file.copy(C2, other, "map")
        del file[C2]
        file[C2] = h5py.ExternalLink("../outside/maps.h5", "map")
    moved = shutil.copy(apsu, inside / "run.h5")
    with pytest.warns(DataWarning, match=r"c2_00001 is read from another folder, \.\./outside/maps\.h5"):
        ds = open_dataset(moved)
    np.testing.assert_array_equal(ds.c2.values, fuzz._dataset().c2.values)


def test_a_map_of_which_a_piece_is_not_in_the_file_is_left_out(apsu: Path) -> None:
    with h5py.File(apsu, "r+") as file:
        values = file[C2][()]
        del file[C2]
        node = file.create_dataset(C2, values.shape, "f4", chunks=(10, 10))
        node[:10], node[10:, 10:] = values[:10], values[10:, 10:]
    open_dataset(apsu).close()  # the piece below the diagonal is not needed
    with h5py.File(apsu, "r+") as file:
        del file[C2]
        node = file.create_dataset(C2, values.shape, "f4", chunks=(10, 10))
        node[:10, :10], node[10:, 10:] = values[:10, :10], values[10:, 10:]
    with pytest.warns(DataWarning, match="its piece at frames 1, 11 is not in the file"):
        assert not open_dataset(apsu).usable.values[0, 0]


def test_bins_at_the_same_place_and_a_q_of_zero_are_told(apsu: Path) -> None:
    with h5py.File(apsu, "r+") as file:
        file["xpcs/qmap/dynamic_index_mapping"][1] = 0
    with pytest.warns(DataWarning, match=r"bins \[1, 2\] share their q and phi"):
        open_dataset(apsu)
    with h5py.File(apsu, "r+") as file:
        file["xpcs/qmap/dynamic_index_mapping"][1] = 1
        file["xpcs/qmap/dynamic_v_list_dim0"][0] = 0.0
    with pytest.warns(DataWarning, match=r"bins \[1, 2, 3\] have no q or no phi"):
        open_dataset(apsu)
    with h5py.File(apsu, "r+") as file:
        file["xpcs/qmap/dynamic_v_list_dim0"][1] = 0.0
    with pytest.raises(DataFormatError, match="q is 0"):
        open_dataset(apsu)


@pytest.mark.parametrize("kind", [kind for kind in fuzz.KINDS if kind.ours], ids=lambda kind: kind.name)
def test_a_file_of_ours_that_was_changed_is_refused(tmp_path: Path, kind: fuzz.Kind) -> None:
    path = tmp_path / kind.name
    kind.write(path)
    assert main(["verify", "--quiet", str(path)]) == 0
    whole = fuzz.digest(kind.read(path))
    files = (
        [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file() and p.stat().st_size > 300]
    )
    refused = 0
    for at in np.linspace(0.3, 0.9, 4):
        file = files[int(at * len(files))]
        content = file.read_bytes()
        changed(file, at)
        try:
            assert fuzz.digest(kind.read(path)) == whole
        except DataFormatError:
            refused += 1
        finally:
            file.write_bytes(content)
    assert refused >= 2
    assert fuzz.digest(kind.read(path)) == whole


def test_verify_names_what_is_damaged_and_says_what_carries_no_checksum(
    apsu: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = fuzz._fit_result().save(tmp_path / "result.nc")
    with h5py.File(result, "r+") as file:
        file["parameters"][3] = 1.0
    assert main(["verify", str(apsu), str(result), str(tmp_path / "none.nc")]) == 1
    told = capsys.readouterr()
    assert "run.h5: can be read to its end; this kind of file carries no checksum" in told.out
    assert "result.nc: the contents do not fit the checksum" in told.err
    assert "none.nc: there is no such file" in told.err
    with pytest.raises(DataFormatError, match="do not fit the checksum"):
        FitResult.load(result)


@pytest.mark.parametrize("name", ["../outside.nc", "/etc/passwd", "a/b.nc", "other.nc"])
def test_names_in_a_session_do_not_lead_out_of_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "session"
    fuzz._write_session(folder)
    record = json.loads((folder / "session.json").read_text())
    record["version"] = 1
    del record["sha256"], record["files"]
    record["history"][0]["results"] = {"gauss_newton": name}
    (folder / "session.json").write_text(json.dumps(record))
    with pytest.raises(DataFormatError, match="it names"):
        AnalysisSession.load(folder)


def test_a_file_of_which_hdf5_dies_is_an_error_when_it_is_opened_isolated(tmp_path: Path) -> None:
    path = tmp_path / "own.nc"
    write_dataset(fuzz._dataset(), path)
    with h5py.File(path, "r+") as file:  # a dimension scale whose owner is gone
        del file["n_pixels"]
        file["n_pixels"] = np.zeros(3)
    with pytest.raises(DataFormatError):
        open_dataset(path, isolated=True)
    assert main(["convert", str(path), str(tmp_path / "out.nc"), "--isolated"]) == 1


def _endless(path: Path) -> None:
    """Damage a result so that HDF5 never returns from it."""
    content = bytearray(path.read_bytes())
    at = content.index(b"standard error")  # in the heap of texts, whose next piece is then of size 0
    content[at : at + 32] = bytes(32)
    path.write_bytes(content)


def test_a_session_is_loaded_isolated_and_its_checksum_keeps_hdf5_from_what_is_damaged(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "session"
    fuzz._write_session(folder)
    whole, isolated = (AnalysisSession.load(folder, isolated=said) for said in (False, True))
    assert [one.result for one in isolated.history] == [one.result for one in whole.history]
    _endless(folder / "000_gauss_newton.nc")
    for said in (False, True):
        with pytest.raises(DataFormatError, match="do not fit the checksum"):
            AnalysisSession.load(folder, isolated=said)


@pytest.mark.slow
def test_a_result_from_which_hdf5_never_returns_is_an_error_when_it_is_verified_or_loaded_isolated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fuzz._fit_result().save(tmp_path / "result.nc")
    assert FitResult.load(path, isolated=True) == FitResult.load(path)
    _endless(path)
    with pytest.raises(DataFormatError, match=r"takes more than 5 s|process that read it died"):
        FitResult.load(path, isolated={"seconds": 5})
    probed = isolated.probe
    monkeypatch.setattr(isolated, "probe", lambda p, o, limits, reader: probed(p, o, {"seconds": 5}, reader))
    assert main(["verify", str(path)]) == 1


def test_isolated_reading_gives_the_same_data_and_the_same_errors_within_its_limits(
    apsu: Path, tmp_path: Path
) -> None:
    assert open_dataset(apsu, q=0.01, isolated=True).identical(open_dataset(apsu, q=0.01))
    with pytest.raises(ConfigurationError, match="no analysis 'x'"):
        open_dataset(apsu, analysis="x", isolated=True)
    with pytest.raises(DataFormatError, match=r"takes more than 0 s"):
        open_dataset(apsu, isolated={"seconds": 0.01})
    with pytest.raises(ConfigurationError, match="isolated"):
        open_dataset(apsu, isolated={"hours": 1})


def test_a_foreign_file_with_the_name_of_a_result_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "results.nc").write_bytes(b"my own measurements")
    with chosen_folder(tmp_path, fuzz._fit_result(), True) as (place, told):
        assert place == tmp_path / "run-002"
    assert "results.nc is no file of this program" in told
    fuzz._fit_result().save(tmp_path / "results.nc")
    with chosen_folder(tmp_path, fuzz._fit_result(), True) as (place, told):
        assert (place, told) == (tmp_path, "")


def test_warnings_that_the_user_made_errors_stay_warnings(apsu: Path) -> None:
    with h5py.File(apsu, "r+") as file:
        file[C2][...] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataWarning):
            open_dataset(apsu)
    assert list_analyses(apsu) == ["xpcs"]


def test_regions_whose_masks_were_never_written_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "esrf.h5"
    next(kind for kind in fuzz.KINDS if kind.name == path.name).write(path)
    with h5py.File(path, "r+") as h5file:
        group = h5file["entry_0000/correlations/full"]
        shape = group["roi_masks"].shape
        del group["roi_masks"]
        group.create_dataset("roi_masks", shape, "f8", chunks=True)
    with pytest.raises(DataFormatError, match="region 1 has no pixel"):
        open_dataset(path, dt=0.1)


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_a_loop_of_links_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "a.nc").symlink_to("a.nc")
    with pytest.raises(DataFormatError):
        open_dataset(tmp_path / "a.nc")
    with pytest.raises(DataFormatError):
        FitResult.load(tmp_path / "a.nc")
