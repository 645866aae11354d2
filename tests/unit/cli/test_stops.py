"""What is left of a fit whose process is told to end, interrupted, or killed; and that it goes on from there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heterodyne_nb import (
    FitResult,
    HeterodyneAnalysisCore,
    fit,
    fit_batch,
    fit_robust,
    open_dataset,
    progress,
)
from heterodyne_nb.cli import main
from heterodyne_nb.data import make_dataset, write_dataset
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.fitting import one_time_fit
from heterodyne_nb.simulate import model_maps

TRUTH = (80.0, -0.3, 20.0)
#: Waits before a fit on all pixels, having said so, until it is asked to stop ("asked") or for good ("never").
HELD = """
import sys, time
from heterodyne_nb.optimize import journal, multistart
journal.Journal.every = 0.0
finish = multistart.Multistart._finish
def held(self, *point):
    print("HELD", flush=True)
    while sys.argv[1] == "never" or self.stop.reason is None:
        time.sleep(0.01)
    return finish(self, *point)
multistart.Multistart._finish = held
from heterodyne_nb.cli import main
sys.exit(main(sys.argv[2:]))
"""
#: Interrupts itself while a module is imported.
WHILE_IMPORTING = """
import os, signal, sys
class Find:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Find())
from heterodyne_nb.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stops") / "maps.nc"
    grid = {"q": [0.05, 0.08], "phi": [0.0], "n_frames": 40, "dt": 0.1}
    write_dataset(model_maps("static_isotropic", TRUTH, contrast=0.2, noise=0.005, seed=1, **grid), path)
    return path


@pytest.fixture
def config(data_file: Path, tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    values = {
        "analysis_settings": {"mode": "static_isotropic"},
        "data": {"file": str(data_file)},
        "output": {"formats": ["netcdf"]},
    }
    path.write_text(json.dumps(values))
    return path


@pytest.fixture(scope="module")
def whole(data_file: Path) -> FitResult:
    return fit(open_dataset(data_file), "static_isotropic")


@contextmanager
def running(code: str, *arguments: Any) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ})
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def held(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "HELD\n", process.communicate()


def heard(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    while words not in (line := process.stderr.readline()):
        assert line, process.wait(60)


def same(found: FitResult, whole: FitResult) -> None:
    assert found.success
    assert found.chi2 == pytest.approx(whole.chi2, rel=1e-9)
    np.testing.assert_allclose(list(found.values.values()), list(whole.values.values()), rtol=1e-4)


def test_a_killed_fit_goes_on_without_its_search_to_the_same_optimum(
    config: Path, tmp_path: Path, whole: FitResult
) -> None:
    out = tmp_path / "out"
    with running(HELD, "never", "fit", config, "--output", out, "--quiet") as process:
        held(process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    (journal,) = out.iterdir()
    assert journal.name == "journal_gauss_newton.json"
    assert journal.stat().st_size < 10_000
    assert main(["fit", str(config), "--output", str(out), "--resume", "--quiet"]) == 0
    result = FitResult.load(out / "results.nc")
    same(result, whole)
    assert {step["start"] for step in result.path} == {"all pixels"}
    assert [one.name for one in out.iterdir()] == ["results.nc"]


def test_without_a_journal_there_is_nothing_to_resume(config: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["fit", str(config), "--output", str(tmp_path / "none"), "--resume"]) == 2
    assert "there is no journal of an unfinished fit" in capsys.readouterr().err


def test_a_request_to_terminate_saves_the_best_so_far_and_leaves_the_journal(
    config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with running(HELD, "asked", "fit", config, "--output", out, "--quiet") as process:
        held(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 130
    result = FitResult.load(out / "results.nc")
    assert (result.success, result.message) == (False, "cancelled: best so far")
    assert sorted(one.name for one in out.iterdir()) == ["journal_gauss_newton.json", "results.nc"]


def test_a_second_interrupt_ends_at_once_and_the_best_point_can_be_gone_on_from(
    config: Path, tmp_path: Path, whole: FitResult
) -> None:
    out = tmp_path / "out"
    with running(HELD, "never", "fit", config, "--output", out, "--quiet") as process:
        held(process)
        process.send_signal(signal.SIGINT)
        heard(process, "stopping, the best so far is kept")
        process.send_signal(signal.SIGINT)
        heard(process, "add --resume to go on")
        assert process.wait(300) == 130
    assert main(["fit", str(config), "--output", str(out), "--resume", "--quiet"]) == 0
    same(FitResult.load(out / "results.nc"), whole)


@pytest.mark.parametrize("module", ["heterodyne_nb.cli.app", "argparse", "numpy", "xarray"])
def test_an_interrupt_while_modules_are_imported_ends_with_130_and_one_line(
    config: Path, module: str
) -> None:
    with running(WHILE_IMPORTING, module, "fit", config, "--output", config.parent / "out") as process:
        _, error = process.communicate(timeout=300)
    assert (process.returncode, error) == (130, "interrupted\n")


def test_a_journal_of_the_search_adds_its_best_point_to_the_starts(
    data_file: Path, tmp_path: Path, whole: FitResult
) -> None:
    path = tmp_path / "journal.json"
    first = fit(open_dataset(data_file), "static_isotropic", journal=path)
    kept = json.loads(path.read_text())
    assert kept["best"].keys() == whole.values.keys()
    path.write_text(json.dumps({**kept, "optima": None}))
    again = fit(open_dataset(data_file), "static_isotropic", journal=path)
    same(first, whole)
    same(again, whole)
    assert any(step["start"].startswith("search") for step in again.path)


def test_a_journal_of_another_fit_or_no_journal_is_an_error_and_stays(
    data_file: Path, tmp_path: Path
) -> None:
    path, ds = tmp_path / "journal.json", open_dataset(data_file)
    fit(ds, "static_isotropic", journal=path)
    kept = path.read_text()
    for other in (
        {"parameters": {"D0": {"min": 1.0}}},
        {"contrast": "shared"},
        {"mode": "static_anisotropic"},
        {"dataset": ds.isel(q=[0])},
    ):
        with pytest.raises(ConfigurationError, match="is the journal of another fit"):
            fit(**{"dataset": ds, "mode": "static_isotropic", "journal": path, **other})
    assert path.read_text() == kept
    path.write_text("{}")
    with pytest.raises(ConfigurationError, match="is no journal"):
        fit(ds, "static_isotropic", journal=path)


def test_a_batch_keeps_a_journal_of_each_part_and_goes_on_from_them(data_file: Path, tmp_path: Path) -> None:
    ds = open_dataset(data_file)
    whole = fit_batch(ds, "static_isotropic", journal=tmp_path / "parts")
    assert sorted(p.name for p in (tmp_path / "parts").iterdir()) == ["part-0000.json", "part-0001.json"]
    (tmp_path / "parts" / "part-0001.json").unlink()  # as if it had been killed after the first part
    again = fit_batch(ds, "static_isotropic", journal=tmp_path / "parts")
    np.testing.assert_allclose(again["chi2_reduced"], whole["chi2_reduced"], rtol=1e-9)


def test_one_time_fits_and_their_batches_go_on_from_their_journals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tau, rng = np.geomspace(0.1, 100.0, 40), np.random.default_rng(5)
    g2 = 1 + 0.2 * np.exp(-2 * tau / np.array([[[3.0], [6.0]]])) + rng.normal(0, 1e-3, (1, 2, 40))
    ds = make_dataset(g2=g2, g2_err=np.full(g2.shape, 1e-3), tau=tau, q=0.05, phi=[0.0, 90.0], dt=0.1)
    whole = fit(ds, "single_exponential", journal=tmp_path / "one.json")
    table = fit_batch(ds, "single_exponential", over="phi", journal=tmp_path / "parts")
    assert len(list((tmp_path / "parts").iterdir())) == 2
    at_once = fit_batch(ds, "single_exponential", over="phi")
    np.testing.assert_allclose(table["parameters"], at_once["parameters"], rtol=1e-4)
    monkeypatch.setattr(one_time_fit, "_starts", None)  # no search is made again
    same(fit(ds, "single_exponential", journal=tmp_path / "one.json"), whole)
    again = fit_batch(ds, "single_exponential", over="phi", journal=tmp_path / "parts")
    np.testing.assert_allclose(again["chi2_reduced"], table["chi2_reduced"], rtol=1e-9)


def test_a_robust_fit_keeps_a_journal_of_its_nominal_fit(data_file: Path, tmp_path: Path) -> None:
    path, ds = tmp_path / "journal.json", open_dataset(data_file)
    first = fit_robust(ds, "static_isotropic", methods="wasserstein", journal=path)["wasserstein"]
    assert json.loads(path.read_text())["optima"]
    again = fit_robust(ds, "static_isotropic", methods="wasserstein", journal=path)["wasserstein"]
    np.testing.assert_allclose(list(again.values.values()), list(first.values.values()), rtol=1e-6)


def test_the_time_limit_of_a_run_begins_before_its_data_are_read(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, load = [0.0], HeterodyneAnalysisCore.load_experimental_data

    def slow(core: HeterodyneAnalysisCore) -> Any:
        now[0] += 100.0
        return load(core)

    monkeypatch.setattr(HeterodyneAnalysisCore, "load_experimental_data", slow)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    out = tmp_path / "out"
    assert main(["fit", str(config), "--output", str(out), "--time-limit", "50", "--quiet"]) == 1
    assert FitResult.load(out / "results.nc").message == "time limit: best so far"
