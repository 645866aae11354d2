"""A whole analysis, from a beamline's file to a report, once in Python and once on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import heterodyne_nb as hn
from heterodyne_nb import plots, prepare, simulate
from heterodyne_nb.cli import main
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.data import write_apsu

TRUTH = {
    "D0_ref": 60.0, "alpha_ref": 0.0, "D_offset_ref": 0.0,
    "D0_sample": 1500.0, "alpha_sample": -0.5, "D_offset_sample": 100.0,
    "v0": 150.0, "beta": -0.4, "v_offset": 20.0,
    "f0": 0.3, "f1": -0.02, "f2": 0.0, "f3": 0.3, "phi0": 15.0,
}  # fmt: skip
HELD = {name: {"value": 0.0, "vary": False} for name in ("alpha_ref", "D_offset_ref")}
BAD = [41, 42]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as 8-ID writes it, of speckle that flows, with two frames lost."""
    ds = simulate.speckle(
        "heterodyne", TRUTH, q=[0.009, 0.014], phi=[-60, -15, 30, 75], n_frames=90, dt=0.5,
        n_pixels=800, contrast=0.3, bad_frames=BAD, seed=3,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("beamline") / "run_12.h5"
    write_apsu(ds, path)
    return path


@pytest.fixture(scope="module")
def prepared(measured: Path) -> xr.Dataset:
    ds = hn.open_dataset(measured)
    return prepare.mask_frames(ds, prepare.detect_bad_frames(ds))


@pytest.fixture(scope="module")
def result(prepared: xr.Dataset) -> hn.FitResult:
    guess = hn.initial_guess(prepared, parameters=HELD)
    return hn.fit(prepared, parameters=guess | HELD, multistart=0)  # the command line below searches


def at_mid_time(values: dict[str, float]) -> dict[str, float]:
    model = hn.ModelFactory.create_model("heterodyne")
    curves = model.curves([values[name] for name in model.parameter_names], np.array([22.5]))
    return {name: float(curve[0]) for name, curve in curves.items()} | {"phi0": values["phi0"]}


def close_to_truth(found: dict[str, float]) -> None:
    """Within 5 % of the truth in velocity and direction, 30 % in what the fields do by themselves."""
    true = at_mid_time(TRUTH)
    assert found["v"] == pytest.approx(true["v"], rel=0.02)
    assert found["phi0"] == pytest.approx(true["phi0"], abs=1.5)
    assert found["x_sample"] == pytest.approx(true["x_sample"], abs=0.05)
    assert found["J_sample"] == pytest.approx(true["J_sample"], rel=0.25)
    assert found["J_ref"] == pytest.approx(true["J_ref"], rel=0.5)


def test_the_lost_frames_are_found_and_left_out(prepared: xr.Dataset) -> None:
    assert prepared["frame"].values[~prepared["mask"].values].tolist() == BAD


def test_from_file_to_parameters(result: hn.FitResult) -> None:
    assert result.success
    close_to_truth(at_mid_time(result.values))
    v = result.curve("v").sel(t=22.5)
    assert float(v.lower) < at_mid_time(TRUTH)["v"] < float(v.upper)


def test_the_result_goes_through_a_file_unchanged(result: hn.FitResult, tmp_path: Path) -> None:
    for name in ("flow.nc", "flow.zarr"):
        assert hn.FitResult.load(result.save(tmp_path / name)) == result
    for name in ("flow.csv", "flow.json", "flow.nxs"):
        assert result.save(tmp_path / name).stat().st_size > 100


def test_the_script_of_the_result_makes_it_again(
    result: hn.FitResult, measured: Path, tmp_path: Path
) -> None:
    script = tmp_path / "again.py"
    script.write_text(result.to_script(measured) + '\nresult.save("again.nc")\n')
    done = subprocess.run([sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    again = hn.FitResult.load(tmp_path / "again.nc")
    assert again.chi2 == pytest.approx(result.chi2, rel=1e-9)
    for name, curve in at_mid_time(again.values).items():
        assert curve == pytest.approx(at_mid_time(result.values)[name], rel=1e-6)


def test_the_report_holds_every_figure_and_number(
    result: hn.FitResult, prepared: xr.Dataset, tmp_path: Path
) -> None:
    plots.report(prepared, result, tmp_path / "flow.html")
    page = (tmp_path / "flow.html").read_text(encoding="utf-8")
    assert all(name in page for name in result.parameter_names)
    assert "run_12.h5" in page


def test_robust_fits_start_from_the_nominal_one_and_stay_near_the_truth(
    result: hn.FitResult, prepared: xr.Dataset, tmp_path: Path
) -> None:
    found = hn.fit_robust(
        prepared,
        methods=("wasserstein", "ellipsoidal"),
        parameters=HELD,
        start=result,
        calibration={"q_scale": 0.01},
    )
    assert list(found) == ["wasserstein", "ellipsoidal"]
    for name, robust in found.items():
        close_to_truth(at_mid_time(robust.values))
        told = robust.robust
        assert told is not None
        assert told["method"] == name
        assert told["worst_case"] >= told["nominal"] > 0
        assert told["relative_gap"] < 1e-3
        assert hn.FitResult.load(robust.save(tmp_path / f"{name}.nc")) == robust


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable:
    """Run the program in a folder of its own; what it told on standard output."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> str:
        code = main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        assert code == 0, told.err
        return told.out

    return run


def test_the_same_on_the_command_line(measured: Path, command: Callable, tmp_path: Path) -> None:
    command("config", "--mode", "heterodyne", "--output", "my.yaml")
    config = ConfigManager(tmp_path / "my.yaml")
    values = json.loads(json.dumps(config.to_dict()))
    values["data"]["file"] = str(measured)
    values["initial_parameters"] |= {"values": {"alpha_ref": 0.0, "D_offset_ref": 0.0}, "fixed": list(HELD)}
    values["output"]["plots"] = False
    (tmp_path / "my.json").write_text(json.dumps(values))
    told = command("fit", "my.json", "--output", "out")
    assert "D0_sample" in told
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary
    saved = hn.FitResult.load(next((tmp_path / "out").glob("*.nc")))
    close_to_truth(at_mid_time(saved.values))


def test_the_file_in_other_layouts_gives_the_same_data(
    measured: Path, command: Callable, tmp_path: Path
) -> None:
    command("convert", measured, "run.nxs", "--layout", "nxxpcs")
    command("convert", measured, "run.nc")
    original = hn.open_dataset(measured)
    for name in ("run.nxs", "run.nc"):
        with hn.open_dataset(tmp_path / name) as other:
            np.testing.assert_array_equal(other["c2"].values, original["c2"].values)
            np.testing.assert_allclose(other["t"].values, original["t"].values)
