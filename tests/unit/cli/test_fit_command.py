"""``heterodyne-nb fit``: what is saved, what is told, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heterodyne_nb import files
from heterodyne_nb.cli import main, run_heterodyne
from heterodyne_nb.fitting import fitting
from heterodyne_nb.result import FitResult

Captured = pytest.CaptureFixture[str]
FILES = ["parameters.csv", "report.html", "results.nc", "summary.json"]
ALL = {"output": {"formats": ["netcdf", "json", "csv", "html"]}}


def _fit(config: Path, out: Path, *flags: str) -> int:
    return main(["fit", str(config), "--output", str(out), *flags])


def test_a_fit_saves_its_files_and_finds_what_was_simulated(
    config_file: Callable[..., Path], truth: tuple[float, ...], tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "new" / "out"
    assert _fit(config_file(optimization={"multistart": {}}, **ALL), out) == 0
    assert sorted(path.name for path in out.iterdir()) == FILES
    result = FitResult.load(out / "results.nc")
    t = result.dataset["t"].values
    true = truth[0] * t ** truth[1] + truth[2]
    assert result.curve("J")["value"].values[5:-5] == pytest.approx(true[5:-5], rel=0.05)
    assert result.chi2_reduced == pytest.approx(1.0, abs=0.1)
    told = capsys.readouterr().out
    assert "masked frames: 10-12" in told
    assert f"wrote results.nc, summary.json, parameters.csv, report.html in {out}" in told


def test_the_provenance_says_what_was_configured_and_used(
    config_file: Callable[..., Path], tmp_path: Path
) -> None:
    assert _fit(config_file(), tmp_path / "out", "--quiet") == 0
    provenance = FitResult.load(tmp_path / "out" / "results.nc").provenance
    assert provenance["config"]["temporal"]["start_frame"] == 3
    assert "frames: 3 to 98, 0.1 s each; 93 of 96 used" in provenance["used"]


def test_quiet_tells_nothing_and_verbose_tells_the_stages(
    config_file: Callable[..., Path], tmp_path: Path, capsys: Captured
) -> None:
    assert _fit(config_file(), tmp_path / "out", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert _fit(config_file(), tmp_path / "out", "--verbose") == 0
    assert "load 100.0% | file: static.h5" in capsys.readouterr().err


def test_a_bar_is_drawn_on_a_terminal(
    config_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert _fit(config_file(), tmp_path / "out") == 0
    assert "load: 100%|" in capsys.readouterr().err


def test_methods_named_on_the_command_line_replace_the_configured_ones(
    config_file: Callable[..., Path], tmp_path: Path
) -> None:
    assert _fit(config_file(), tmp_path / "out", "--method", "trf", "--quiet") == 0
    assert FitResult.load(tmp_path / "out" / "results.nc").method == "trf"


def test_all_methods_save_every_answer_robust_ones_too(
    config_file: Callable[..., Path], tmp_path: Path
) -> None:
    config = config_file(
        optimization={
            "classical": {"methods": ["gauss_newton", "trf"]},
            "robust": {"methods": ["wasserstein"]},
        }
    )
    out = tmp_path / "out"
    assert run_heterodyne(["--config", str(config), "--method", "all", "--output-dir", str(out)]) == 0
    kept = FitResult.load(out / "results.nc")
    others = [FitResult.load(path) for path in out.glob("results_*.nc")]
    (classical,) = [other for other in others if other.robust is None]
    (robust,) = [other for other in others if other.robust is not None]
    assert classical.chi2 == pytest.approx(kept.chi2, rel=1e-6)
    assert {kept.method, classical.method} == {"gauss_newton", "trf"}
    assert robust.robust["method"] == "wasserstein"
    assert robust.robust["relative_gap"] < 1e-5


def test_a_misspelt_method_is_wrong_configuration(
    config_file: Callable[..., Path], tmp_path: Path, capsys: Captured
) -> None:
    assert _fit(config_file(), tmp_path / "out", "--method", "nelder_mad") == 2
    assert "did you mean 'nelder_mead'?" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_fit_cut_short_by_its_time_limit_saves_its_best_and_ends_with_1(
    config_file: Callable[..., Path], tmp_path: Path, capsys: Captured
) -> None:
    assert _fit(config_file(), tmp_path / "out", "--time-limit", "1e-9") == 1
    assert "the fit did not succeed: time limit" in capsys.readouterr().err
    assert not FitResult.load(tmp_path / "out" / "results.nc").success


def test_ctrl_c_keeps_the_best_so_far_and_ends_with_130(
    config_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    real_fit, handler = fitting.fit, signal.getsignal(signal.SIGINT)

    def interrupted(*arguments: Any, **options: Any) -> FitResult:
        os.kill(os.getpid(), signal.SIGINT)
        return real_fit(*arguments, **options)

    monkeypatch.setattr(fitting, "fit", interrupted)
    assert _fit(config_file(), tmp_path / "out") == 130
    told = capsys.readouterr().err
    assert "Ctrl-C again to leave at once" in told
    assert "interrupted: the best so far was saved" in told
    assert FitResult.load(tmp_path / "out" / "results.nc").message.startswith("cancelled")
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_ctrl_c_leaves_at_once_and_saves_nothing(
    config_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted_twice(*arguments: Any, **options: Any) -> FitResult:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second Ctrl-C did not end the fit")

    monkeypatch.setattr(fitting, "fit", interrupted_twice)
    assert _fit(config_file(), tmp_path / "out") == 130
    assert not (tmp_path / "out").exists()


def test_a_failed_save_ends_with_1_and_keeps_the_earlier_results(
    config_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    out = tmp_path / "out"
    config = config_file(**ALL)
    assert _fit(config, out, "--quiet") == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def no_space(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "replace", no_space)
    assert _fit(config, out, "--method", "trf", "--overwrite") == 1
    assert _fit(config, out, "--method", "trf") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_configuration_that_would_save_nothing_is_refused_before_the_fit(
    config_file: Callable[..., Path], tmp_path: Path, capsys: Captured
) -> None:
    assert _fit(config_file(output={"formats": []}), tmp_path / "out") == 2
    assert "nothing would be saved" in capsys.readouterr().err


def test_only_the_configured_formats_are_written_and_no_figures_unless_wanted(
    config_file: Callable[..., Path], tmp_path: Path
) -> None:
    config = config_file(output={"formats": ["csv", "html"], "plots": False})
    assert _fit(config, tmp_path / "out", "--quiet") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["parameters.csv"]
