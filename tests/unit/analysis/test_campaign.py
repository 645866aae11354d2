"""Campaigns over many runs: one table, whatever dies, vanishes or is damaged on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import xarray as xr
import yaml

import heterodyne_nb as hn
from heterodyne_nb.analysis.campaign import Campaign, find_runs
from heterodyne_nb.cli import main
from heterodyne_nb.data import write_apsu
from heterodyne_nb.errors import FitWarning
from heterodyne_nb.progress import ProgressEvent, StopToken

RUNS, TRUTH = 5, [1000.0, -0.3, 60.0]
START = {"D0": 900.0, "alpha": -0.3, "D_offset": 50.0}


def write_run(path: Path, k: int) -> None:
    maps = hn.simulate.model_maps(
        "static_isotropic", [1000.0 + 100 * k, *TRUTH[1:]], q=[0.01], phi=[0.0, 90.0], n_frames=40, dt=0.5, noise=0.01,
        seed=k,
    )  # fmt: skip
    write_apsu(maps.assign_attrs(temperature=290.0 + 2 * k), path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: Any) -> Path:
    """A folder with five runs at rising temperature."""
    folder = tmp_path_factory.mktemp("runs")
    for k in range(RUNS):
        write_run(folder / f"run{k}.hdf", k)
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: Any) -> Path:
    path = tmp_path_factory.mktemp("config") / "c.yaml"
    settings = {
        "analysis_settings": {"mode": "static_isotropic"},
        "initial_parameters": {"values": START},
        "optimization": {"multistart": {"n": 0}},
    }
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def whole(runs: Path, config: Path, tmp_path_factory: Any) -> xr.Dataset:
    """The table of a campaign in which nothing happened."""
    table = Campaign(config, tmp_path_factory.mktemp("whole")).run(find_runs(runs / "*.hdf"))
    assert table is not None
    return table


def numbers(table: xr.Dataset) -> xr.Dataset:
    """The table without how long it took and where it was."""
    return table.drop_vars(["seconds", "path"])


def test_the_table_has_parameters_status_and_what_the_files_say_of_each_run(whole: xr.Dataset) -> None:
    assert whole["run"].values.tolist() == [f"run{k}.hdf" for k in range(RUNS)]
    assert set(whole["run_status"].values) == {"done"}
    assert whole["temperature"].values == pytest.approx([290, 292, 294, 296, 298])
    assert whole["temperature"].attrs["units"] == "K"
    error = whole["stderr"].sel(parameter="D0").values
    found = whole["parameters"].sel(parameter="D0").values
    assert abs(found - [1000, 1100, 1200, 1300, 1400]).max() < 5 * error.max()


@pytest.mark.slow
@pytest.mark.parametrize("who", ["threads", "dask"])
def test_the_table_is_the_same_whoever_fits(
    who: str, whole: xr.Dataset, runs: Path, config: Path, tmp_path: Path
) -> None:
    executor: Any = who
    if who == "dask":
        distributed = pytest.importorskip("distributed", reason="pip install 'heterodyne_nb[dask]'")
        executor = distributed.Client(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        )
    try:
        table = Campaign(config, tmp_path).run(find_runs(runs / "*.hdf"), executor=executor, workers=2)
    finally:
        if who == "dask":
            executor.close()
    assert table is not None
    assert numbers(table).identical(numbers(whole))


@pytest.mark.slow
def test_a_campaign_killed_in_the_middle_goes_on_to_the_same_table(
    whole: xr.Dataset, runs: Path, config: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "heterodyne_nb", "batch", str(runs / "*.hdf")]
    command += ["--config", str(config), "--output", str(tmp_path)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert first.stdout is not None
    for line in first.stdout:
        if "2 of 5 runs" in line:
            os.kill(first.pid, signal.SIGKILL)
            break
    first.wait()
    first.stdout.close()
    (journal,) = (tmp_path / "journal").glob("*.jsonl")
    journal.write_text(journal.read_text() + '{"run": "run4.hdf", "sta')  # a line that the kill cut off
    known = {path: path.stat().st_mtime_ns for path in (tmp_path / "fits").glob("*.nc")}
    assert 2 <= len(known) < RUNS
    campaign = Campaign(config, tmp_path)
    table = campaign.run(find_runs(runs / "*.hdf"))
    assert table is not None
    assert numbers(table).identical(numbers(whole))
    noted = {line.partition(".hdf")[0][-1] for line in journal.read_text().splitlines()[:2]}
    kept = {path for path in known if path.stem[3] in noted}
    assert all(path.stat().st_mtime_ns == known[path] for path in kept)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_costs_nothing(
    whole: xr.Dataset, runs: Path, config: Path, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill_one(event: ProgressEvent) -> None:
        import psutil

        for child in psutil.Process().children():
            if not killed and "spawn_main" in " ".join(child.cmdline()):
                killed.append(child.pid)
                child.kill()

    campaign = Campaign(config, tmp_path, kill_one)
    table = campaign.run(find_runs(runs / "*.hdf"), executor="processes", workers=2)
    assert killed
    assert table is not None
    assert numbers(table).identical(numbers(whole))


def test_a_damaged_and_a_vanished_file_are_told_and_skipped_and_fitted_once_they_are_mended(
    whole: xr.Dataset, runs: Path, config: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    for k in range(RUNS):
        (folder / f"run{k}.hdf").write_bytes((runs / f"run{k}.hdf").read_bytes())
    (folder / "run1.hdf").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(200))
    paths = find_runs(folder / "*.hdf")
    (folder / "run3.hdf").unlink()
    with pytest.warns(FitWarning, match="is left out"):
        table = Campaign(config, tmp_path / "out").run(paths)
    assert table is not None
    assert table["run_status"].values.tolist() == ["done", "failed", "done", "failed", "done"]
    assert "run3.hdf" in str(table["run_message"].sel(run="run3.hdf").values)
    assert table["parameters"].isnull().all("parameter").values.tolist() == [False, True, False, True, False]
    good = ["run0.hdf", "run2.hdf", "run4.hdf"]
    assert table["parameters"].sel(run=good).identical(whole["parameters"].sel(run=good))
    for k in (1, 3):
        (folder / f"run{k}.hdf").write_bytes((runs / f"run{k}.hdf").read_bytes())
    mended = Campaign(config, tmp_path / "out").run(paths)
    assert mended is not None
    assert numbers(mended).identical(numbers(whole))


def test_new_files_are_fitted_as_they_appear(runs: Path, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "run0.hdf").write_bytes((runs / "run0.hdf").read_bytes())

    def another(event: ProgressEvent) -> None:
        if not (folder / "run1.hdf").exists():
            (folder / "run1.hdf").write_bytes((runs / "run1.hdf").read_bytes())

    campaign = Campaign(config, tmp_path / "out", another)
    table = campaign.run(lambda: find_runs(folder / "*.hdf"), follow=1.0)
    assert table is not None
    assert table["run"].values.tolist() == ["run0.hdf", "run1.hdf"]


def test_a_stopped_campaign_keeps_what_is_done(runs: Path, config: Path, tmp_path: Path) -> None:
    stop = StopToken()
    campaign = Campaign(config, tmp_path, lambda event: stop.cancel(), stop)
    table = campaign.run(find_runs(runs / "*.hdf"))
    assert table is not None
    assert table.sizes["run"] == 1


def test_other_settings_or_another_file_of_the_name_are_fitted_anew(
    runs: Path, config: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run0.hdf"
    path.write_bytes((runs / "run0.hdf").read_bytes())
    first = Campaign(config, tmp_path / "out")
    first.run([path])
    assert Campaign(config, tmp_path / "out").is_done("run0.hdf", path)
    huber = first.config.updated({"optimization.loss": "huber"})
    assert not Campaign(huber, tmp_path / "out").is_done("run0.hdf", path)
    time.sleep(0.01)
    os.utime(path)
    assert not Campaign(config, tmp_path / "out").is_done("run0.hdf", path)
    path.unlink()
    assert Campaign(config, tmp_path / "out").is_done("run0.hdf", path)


@pytest.mark.slow
def test_the_job_array_fits_a_run_a_job_and_the_same_command_then_makes_the_table(
    whole: xr.Dataset, runs: Path, config: Path, tmp_path: Path, capsys: Any
) -> None:
    out, script = tmp_path / "out", tmp_path / "jobs.sh"
    command = ["batch", str(runs / "run[01].hdf"), "--config", str(config), "--output", str(out)]
    assert main([*command, "--job-script", str(script)]) == 0
    assert "--array=0-1" in script.read_text()
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "heterodyne-nb").write_text(f'#!/bin/sh\nexec {sys.executable} -m heterodyne_nb "$@"\n')
    (tools / "heterodyne-nb").chmod(0o755)
    for task in range(2):
        surroundings = {
            **os.environ,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "SLURM_ARRAY_TASK_ID": str(task),
        }
        subprocess.run(["bash", str(script)], env=surroundings, check=True, capture_output=True)
    assert not (out / "table.nc").exists()
    assert main(command) == 0
    assert "(2 runs)" in capsys.readouterr().out
    table = xr.load_dataset(out / "table.nc")
    assert table["parameters"].values.tolist() == whole["parameters"].values[:2].tolist()
    rows = pd.read_csv(out / "table.csv")
    assert rows["temperature"].tolist() == [290.0, 292.0]
    assert rows["D0 error"].tolist() == pytest.approx(table["stderr"].values[:, 0].tolist())


def test_files_are_a_batch_in_python_too(runs: Path, whole: xr.Dataset) -> None:
    settings: dict[str, Any] = {"parameters": START, "multistart": 0}
    table = hn.fit_batch(str(runs / "*.hdf"), "static_isotropic", executor="threads", workers=2, **settings)
    assert table["run"].values.tolist() == whole["run"].values.tolist()
    assert table["parameters"].values.tolist() == whole["parameters"].values.tolist()


def test_a_batch_without_files_is_wrong_usage(config: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    assert main(["batch", str(tmp_path / "*.hdf"), "--config", str(config), "--output", str(out)]) == 2
    assert "no file matches" in capsys.readouterr().err
