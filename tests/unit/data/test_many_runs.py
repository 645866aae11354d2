"""Many runs: one dataset where they are alike, a tree where not; every verb works run by run or says what to do."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from layout_builders import random_maps

import heterodyne_nb as hn
from heterodyne_nb.cli import main
from heterodyne_nb.data import make_dataset, write_apsu, write_dataset
from heterodyne_nb.data.door import runs_of
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning, MissingFileError


def maps(k: int, n: int = 40) -> np.ndarray:
    """Speckle of contrast 0.2 that decays in 10 frames, with noise."""
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    return (0.2 * (random_maps((1, 2), n=n, seed=k) - 1) + 1 + 0.2 * np.exp(-lag / 10)).astype(np.float32)


def write_run(folder: Path, k: int, n: int = 40) -> Path:
    attrs = {"temperature": 290.0 + k, "sample": "silica"}
    ds = make_dataset(maps(k, n), q=0.01, phi=[0, 90], dt=1.0, attrs=attrs)
    write_apsu(ds, folder / f"run{k}.hdf")
    return folder / f"run{k}.hdf"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k in range(3):
        write_run(tmp_path, k)
    return tmp_path


@pytest.fixture
def runs(folder: Path) -> xr.Dataset:
    return hn.open_dataset(folder)


def test_a_folder_a_pattern_and_a_list_give_one_lazy_dataset_of_runs(folder: Path, runs: xr.Dataset):
    files = [folder / f"run{k}.hdf" for k in range(3)]
    assert isinstance(runs["c2"].variable._data, xr.core.indexing.LazilyIndexedArray)
    for found in (runs, hn.open_dataset(str(folder / "run*.hdf")), hn.open_dataset(files)):
        assert list(found["run"].values) == ["run0.hdf", "run1.hdf", "run2.hdf"]
        assert found.attrs["sample"] == "silica"
        np.testing.assert_array_equal(found["temperature"], [290, 291, 292])
    for k in range(3):
        np.testing.assert_array_equal(runs["c2"][k], maps(k))
        one = hn.open_dataset(files[k])
        np.testing.assert_allclose(runs["g2"][k], one["g2"])
    np.testing.assert_array_equal(
        runs["c2"][1:, 0, 1, [2, 9], 3], np.stack([maps(k)[0, 1, [2, 9], 3] for k in (1, 2)])
    )
    xr.testing.assert_equal(pickle.loads(pickle.dumps(runs)), runs)


def test_one_run_of_many_knows_its_file_and_its_temperature(folder: Path, runs: xr.Dataset):
    found = hn.fit(runs.isel(run=[2]), "static_isotropic", parameters=STATIC, multistart=0)
    alone = hn.fit(hn.open_dataset(folder / "run2.hdf"), "static_isotropic", parameters=STATIC, multistart=0)
    assert found.values == alone.values
    for name in ("source", "source_sha256", "run"):
        assert found.provenance[name] == alone.provenance[name]


STATIC = {"D0": 10.0, "alpha": {"value": 0.0, "vary": False}, "D_offset": {"value": 0.0, "vary": False}}


def test_runs_are_prepared_one_by_one(runs: xr.Dataset):
    masked = hn.prepare.mask_frames(runs, hn.prepare.detect_bad_frames(runs))
    cropped = hn.prepare.crop_frames(hn.prepare.select(runs, phi=90), 3, 10)
    for k, one in enumerate(runs_of(runs).values()):
        good = hn.prepare.detect_bad_frames(one)
        np.testing.assert_array_equal(masked["mask"][k], good)
        np.testing.assert_allclose(masked["g2"][k], hn.prepare.mask_frames(one, good)["g2"])
        np.testing.assert_allclose(hn.prepare.estimate_sigma(runs)[k], hn.prepare.estimate_sigma(one))
    assert cropped["c2"].shape == (3, 1, 1, 8, 8)
    assert hn.prepare.merge_bins(runs, over="phi")["c2"].shape == (3, 1, 1, 40, 40)


def test_what_needs_one_run_says_what_can_be_done_with_many(runs: xr.Dataset, tmp_path: Path):
    tree = xr.DataTree.from_dict(runs_of(runs))
    for verb in (hn.fit, hn.initial_guess, hn.plots.c2, hn.AnalysisSession().open):
        for data in (runs, tree):
            with pytest.raises(ConfigurationError, match="average_runs") as said:
                verb(data)
            assert "3 runs" in str(said.value)
    with pytest.raises(ConfigurationError, match="isel"):
        write_apsu(runs, tmp_path / "new.hdf")
    with pytest.raises(ConfigurationError, match="a DataArray is no dataset"):
        hn.fit(runs["c2"])


def test_a_batch_goes_over_the_runs_of_a_dataset_or_a_tree(runs: xr.Dataset):
    asked = {"parameters": STATIC, "multistart": 0}
    table = hn.fit_batch(runs, "static_isotropic", over="run", **asked)
    tree = hn.fit_batch(xr.DataTree.from_dict(runs_of(runs)), "static_isotropic", **asked)
    assert list(table["run"].values) == ["run0.hdf", "run1.hdf", "run2.hdf"]
    xr.testing.assert_equal(table["parameters"], tree["parameters"])


def test_the_average_takes_what_open_dataset_gives(folder: Path, runs: xr.Dataset):
    mean = np.mean([maps(k) for k in range(3)], axis=0)
    for given in (runs, folder, xr.DataTree.from_dict(runs_of(runs))):
        found = hn.average_runs(given, threshold=100)
        np.testing.assert_allclose(found["c2"], mean, rtol=1e-6)
        assert found.attrs["runs"] == "run0.hdf, run1.hdf, run2.hdf"


def test_runs_survive_our_own_file(runs: xr.Dataset, tmp_path: Path):
    (tmp_path / "kept").mkdir()
    write_dataset(runs, tmp_path / "kept" / "all.nc")
    xr.testing.assert_identical(hn.open_dataset(tmp_path / "kept" / "all.nc").load(), runs.load())


def test_unlike_runs_are_a_tree_that_says_which_and_why(folder: Path):
    write_run(folder, 3, n=14)
    tree = hn.open_dataset(folder)
    assert isinstance(tree, xr.DataTree)
    assert tree.attrs["runs_differ"] == "run3.hdf: its t differs from that of the first run"
    assert tree["run3.hdf"].to_dataset().sizes["t"] == 14
    with pytest.raises(DataFormatError, match=r"run3\.hdf"):
        hn.average_runs(tree)


def test_unreadable_files_of_a_folder_are_left_out_by_name_but_not_those_of_a_list(folder: Path):
    (folder / "broken.hdf").write_bytes(b"nothing")
    with pytest.warns(DataWarning, match=r"broken\.hdf is left out"):
        assert hn.open_dataset(folder).sizes["run"] == 3
    with pytest.raises(DataFormatError, match="not an HDF5 file"):
        hn.open_dataset([folder / "run0.hdf", folder / "broken.hdf"])
    with pytest.raises(MissingFileError, match="no file has such a name"):
        hn.open_dataset(str(folder / "none*.hdf"))
    (folder / "empty").mkdir()
    with pytest.raises(MissingFileError, match="no result file"):
        hn.open_dataset(folder / "empty")


def test_a_scan_tells_contents_and_quality_of_every_file(tmp_path: Path, capsys):
    rng = np.random.default_rng(4)
    n, contrast, noise = 900, 0.2, 0.02
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    c2 = 1 + contrast * np.exp(-lag / 100) + noise * rng.normal(size=(n, n))
    c2 = np.triu(c2) + np.triu(c2, 1).T
    c2[20] += 0.5
    c2[:, 20] += 0.5
    write_apsu(
        make_dataset(c2[None, None], q=0.02, phi=0.0, dt=0.1, attrs={"sample": "clay"}), tmp_path / "a.hdf"
    )
    write_run(tmp_path, 5)
    (tmp_path / "broken.hdf").write_bytes(b"nothing")
    table = hn.scan_folder(tmp_path).set_index("file")
    first = table.loc["a.hdf"]
    assert (first["layout"], first["q"], first["n_bins"], first["n_frames"]) == ("aps-u", "0.02", 1, 900)
    assert first["sample"] == "clay"
    assert first["dt"] == pytest.approx(0.1)
    assert first["contrast"] == pytest.approx(contrast, rel=0.1)
    assert first["signal_to_noise"] == pytest.approx(contrast / noise, rel=0.25)
    assert 1 / 600 <= first["bad_frames"] < 0.02
    assert "not an HDF5 file" in table.loc["broken.hdf", "problem"]
    assert table.loc["run5.hdf", "temperature"] == 295
    assert main(["scan", str(tmp_path)]) == 0
    assert "clay" in capsys.readouterr().out
    assert main(["scan", str(tmp_path), "--output", str(tmp_path / "table.csv")]) == 0
    saved = pd.read_csv(tmp_path / "table.csv").set_index("file")
    assert saved.loc["a.hdf", "contrast"] == pytest.approx(first["contrast"])
    assert main(["scan", str(tmp_path / "nowhere")]) == 1


@pytest.mark.filterwarnings("ignore:broken.hdf is left out:heterodyne_nb.errors.DataWarning")
def test_runs_are_listed_in_any_way(folder: Path):
    files = [folder / f"run{k}.hdf" for k in range(3)]
    (folder / "deep").mkdir()
    files.append(files[2].rename(folder / "deep" / "run2.hdf"))
    del files[2]
    (folder / "broken.hdf").write_bytes(b"no HDF5")
    ways = {
        "an array": np.array([str(f) for f in files]),
        "a generator": (f for f in files),
        "a series": pd.Series([str(f) for f in files]),
        "patterns in a list": [str(folder / "run*.hdf"), folder / "deep"],
        "everything below": str(folder / "**" / "run*.hdf"),
        "addresses": [f.as_uri() for f in files],
        "a pattern as an address": folder.as_uri() + "/**/run*.hdf",
    }
    for way, given in ways.items():
        assert sorted(hn.open_dataset(given)["run"].values) == ["run0.hdf", "run1.hdf", "run2.hdf"], way
    with pytest.raises(ConfigurationError, match="None is no path"):
        hn.open_dataset([files[0], None])
    with open(files[0], "rb") as one, open(files[1], "rb") as two:
        assert list(hn.open_dataset([one, two])["run"].values) == ["run0.hdf", "run1.hdf"]


def test_an_average_of_a_folder_leaves_out_what_cannot_be_read_by_name(folder: Path):
    (folder / "broken.hdf").write_bytes(b"no HDF5")
    with pytest.warns(DataWarning, match="broken.hdf is left out: .*not an HDF5 file"):
        found = hn.average_runs(folder, threshold=100)
    assert found.attrs["runs"] == "run0.hdf, run1.hdf, run2.hdf"
    with pytest.raises(DataFormatError, match="not an HDF5 file"):
        hn.average_runs([folder / "run0.hdf", folder / "broken.hdf"])


def test_folders_and_patterns_elsewhere_are_many_runs_too(folder: Path):
    fsspec = pytest.importorskip("fsspec", reason="needs heterodyne_nb[remote]")
    held = fsspec.filesystem("memory")
    for k in range(3):
        held.put_file(str(folder / f"run{k}.hdf"), f"/campaign/run{k}.hdf")
    held.pipe_file("/campaign/notes.txt", b"x")
    try:
        for given in ("memory://campaign", "memory://campaign/run*.hdf"):
            assert list(hn.open_dataset(given)["run"].values) == ["run0.hdf", "run1.hdf", "run2.hdf"]
            assert list(hn.scan_folder(given)["n_frames"]) == [40, 40, 40]
        assert hn.average_runs("memory://campaign", threshold=100).attrs["runs"].endswith("run2.hdf")
        with pytest.raises(MissingFileError, match="no file has such a name"):
            hn.open_dataset("memory://campaign/none*.hdf")
    finally:
        held.store.clear()
