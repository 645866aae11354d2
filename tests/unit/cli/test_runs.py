"""Where the programs save: no run is lost, and the folder is looked at before the fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from heterodyne_nb import files
from heterodyne_nb.cli import demo, main, run_heterodyne, running
from heterodyne_nb.fitting import fitting
from heterodyne_nb.result import FitResult

Captured = pytest.CaptureFixture[str]
Write = Callable[..., Path]


def fit(config: Path, out: Path, *flags: str) -> int:
    return main(["fit", str(config), "--output", str(out), "--quiet", *flags])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def saved(folder: Path) -> FitResult:
    return FitResult.load(folder / "results.nc")


@pytest.fixture
def never_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    def fitted(*_: object, **__: object) -> None:
        raise AssertionError("the fit was begun")

    monkeypatch.setattr(fitting, "fit", fitted)


def test_a_failed_fit_does_not_replace_a_good_one_and_says_where_it_is(
    config_file: Write, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "out"
    assert fit(config_file(), out) == 0
    before = contents(out)
    capsys.readouterr()
    assert fit(config_file(), out, "--time-limit", "1e-9") == 1
    left = contents(out)
    assert set(left) - set(before) == {"journal_gauss_newton.json"}  # for --resume
    assert {name: left[name] for name in before} == before
    assert not saved(out / "run-002").success
    told = capsys.readouterr().err
    assert f"the earlier results in {out} are kept, this fit is in {out / 'run-002'}" in told
    assert "--overwrite replaces them" in told


@pytest.mark.parametrize("name", ["not utf-8 \udcff.h5", 'a"""\nimport os\x1b[2J<script>.h5'])
def test_data_from_a_file_with_a_hostile_name_are_fitted_and_saved(
    name: str, data_file: Path, config_file: Write, tmp_path: Path, capsys: Captured
) -> None:
    data, out = tmp_path / name, tmp_path / "out"
    shutil.copyfile(data_file, data)
    config = config_file(output={"formats": ["netcdf", "json", "csv", "html"]})
    assert main(["fit", str(config), "--data", str(data), "--output", str(out)]) == 0
    assert saved(out).provenance["source"] == name
    assert json.loads((out / "summary.json").read_text(encoding="utf-8"))["provenance"]["source"] == name
    told = "".join(capsys.readouterr())
    assert all(line.isprintable() for line in told.split("\n"))


def test_runs_are_numbered_and_none_replaces_another(config_file: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for method in ("gauss_newton", "trf", "lbfgsb"):
        assert fit(config_file(), out, "--method", method) == 0
    assert [saved(place).method for place in (out, out / "run-002", out / "run-003")] == [
        "gauss_newton", "trf", "lbfgsb",
    ]  # fmt: skip
    assert {path.name for path in (out / "run-003").iterdir()} == set(contents(out))


def test_overwrite_replaces_a_run_but_not_by_one_without_success(
    config_file: Write, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "out"
    assert fit(config_file(), out) == 0
    assert fit(config_file(), out, "--method", "trf", "--overwrite") == 0
    assert saved(out).method == "trf"
    assert capsys.readouterr().err == ""
    assert fit(config_file(), out, "--time-limit", "1e-9", "--overwrite") == 1
    assert saved(out).method == "trf"
    assert not saved(out / "run-002").success
    assert "are kept, this fit is in" in capsys.readouterr().err


def test_overwrite_replaces_one_failed_run_by_another(config_file: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert fit(config_file(), out, "--time-limit", "1e-9") == 1
    assert fit(config_file(), out, "--method", "trf", "--time-limit", "1e-9", "--overwrite") == 1
    assert saved(out).method == "trf"
    assert not (out / "run-002").exists()


def test_what_cannot_be_replaced_is_kept_and_the_fit_saved_all_the_same(
    config_file: Write, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "out"
    (out / "report.html").mkdir(parents=True)
    assert fit(config_file(output={"formats": ["netcdf", "html"]}), out, "--overwrite") == 0
    assert (out / "report.html").is_dir()
    assert saved(out / "run-002").success
    told = capsys.readouterr().err
    assert "report.html is no file of this program" in told


def test_a_folder_with_other_files_in_it_is_used_and_they_stay(config_file: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "run-001").mkdir(parents=True)
    (out / "notes.txt").write_text("mine")
    assert fit(config_file(), out) == 0
    assert saved(out).success
    assert (out / "notes.txt").read_text() == "mine"


def test_two_programs_that_save_at_the_same_time_get_different_folders(
    config_file: Write, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert fit(config_file(), tmp_path / "made") == 0
    result = saved(tmp_path / "made")
    with running.chosen_folder(out, result, False) as (first, _):
        with running.chosen_folder(out, result, False) as (second, _):
            assert (first, second) == (out, out / "run-002")
            result.save(second / "results.nc")
        result.save(first / "results.nc")
    assert sorted(path.name for path in out.iterdir()) == ["results.nc", "run-002"]
    assert [path.name for path in second.iterdir()] == ["results.nc"]


def test_an_output_that_is_a_file_is_told_before_anything_is_read(
    config_file: Write, tmp_path: Path, capsys: Captured, never_fits: None
) -> None:
    (tmp_path / "out").write_text("mine")
    assert fit(config_file(data={"file": "nowhere.h5"}), tmp_path / "out") == 1
    assert "out: is a file\n  expected: a folder" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("program", ["fit", "demo", "run_heterodyne"])
def test_a_disk_without_room_is_told_before_the_fit(
    program: str,
    config_file: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
    never_fits: None,
) -> None:
    monkeypatch.setattr(files.shutil, "disk_usage", lambda place: files.shutil._ntuple_diskusage(1, 1, 1e6))
    out = str(tmp_path / "out")
    commands = {
        "fit": lambda: main(["fit", str(config_file()), "--output", out]),
        "demo": lambda: main(["demo", "--output", out]),
        "run_heterodyne": lambda: run_heterodyne(["--config", str(config_file()), "--output-dir", out]),
    }
    assert commands[program]() == 1
    told = capsys.readouterr().err
    assert "the disk has 1 MB left\n  expected: 32 MB, which results and figures can take" in told
    assert "make room" in told
    assert not (tmp_path / "out").exists()


def test_a_folder_without_the_right_to_write_is_told_before_the_fit(
    config_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, never_fits: None
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    config = config_file()
    monkeypatch.setattr(Path, "mkdir", refused)  # to root every folder is open
    assert fit(config, tmp_path / "out") == 1
    assert "cannot be written: Permission denied" in capsys.readouterr().err


def test_what_a_run_needs_is_less_than_what_is_asked_for(config_file: Write, tmp_path: Path) -> None:
    config = config_file(output={"formats": ["netcdf", "json", "csv", "html"]})
    assert fit(config, tmp_path / "out") == 0
    assert sum(map(len, contents(tmp_path / "out").values())) < running.ROOM


@pytest.mark.slow
def test_a_demo_replaces_an_earlier_demo_and_nothing_else(
    config_file: Write, tmp_path: Path, capsys: Captured
) -> None:
    out, mine = tmp_path / "demo", tmp_path / "mine"
    assert main(["demo", "--output", str(out), "--quiet"]) == 0
    capsys.readouterr()
    assert main(["demo", "--output", str(out)]) == 0
    assert f"open {out / 'report.html'} in a browser" in capsys.readouterr().out
    assert not (out / "run-002").exists()
    assert fit(config_file(), mine) == 0
    assert not demo._holds_demo(mine)
    before = contents(mine)
    assert main(["demo", "--output", str(mine)]) == 0
    assert contents(mine) == before
    assert f"open {mine / 'run-002' / 'report.html'} in a browser" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["simulated", "experimental"])
def test_a_figure_is_not_replaced_unasked(
    kind: str, config_file: Write, tmp_path: Path, capsys: Captured
) -> None:
    config = config_file(scattering={"wavevector_q": 0.05})
    command = ["--config", str(config), "--output-dir", str(tmp_path), f"--plot-{kind}-data", "--quiet"]
    page = tmp_path / f"{kind}_data.html"
    page.write_text("mine")
    assert run_heterodyne(command) == 2
    assert "add --overwrite to replace it" in capsys.readouterr().err
    assert page.read_text() == "mine"
    assert run_heterodyne([*command, "--overwrite"]) == 0
    assert "Plotly.newPlot" in page.read_text(encoding="utf-8")
