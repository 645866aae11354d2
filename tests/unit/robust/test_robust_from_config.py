"""Robust fits from a configuration: the core and the programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from robust_samples import STATIC, maps

from heterodyne_nb.analysis import HeterodyneAnalysisCore
from heterodyne_nb.cli import main
from heterodyne_nb.data import write_apsu
from heterodyne_nb.errors import FitWarning, OptimizationError
from heterodyne_nb.result import FitResult


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("robust") / "static.h5"
    write_apsu(maps(), path)
    return {
        "analysis_settings": {"mode": "static_isotropic"},
        "data": {"file": str(path)},
        "initial_parameters": {"values": list(STATIC.values())},
        "optimization": {
            "multistart": {"n": 0},
            "robust": {"scenario": {"n_scenarios": 8}, "ellipsoidal": {"tolerances": {"baseline": 0.01}}},
        },
    }


def test_optimize_robust_returns_a_result_a_method(settings) -> None:
    found = HeterodyneAnalysisCore(settings).optimize_robust()
    assert list(found) == ["wasserstein", "scenario", "ellipsoidal"]
    assert found["scenario"].robust["n_scenarios"] == 8
    assert found["ellipsoidal"].robust["tolerances"] == {
        "q_scale": 0.01,
        "phi_zero_deg": 1.0,
        "baseline": 0.01,
    }
    assert "fit_robust" in found["scenario"].to_script()


def test_optimize_all_holds_classical_and_robust_answers(settings) -> None:
    found = HeterodyneAnalysisCore(settings).optimize_all()
    assert list(found["methods"]) == ["gauss_newton", "wasserstein", "scenario", "ellipsoidal"]
    assert found["best_method"] == "gauss_newton"
    assert found["failed"] == {}


def test_a_failing_robust_fit_leaves_the_classical_answer_and_says_so(settings, monkeypatch) -> None:
    def broken(self, nominal):
        raise OptimizationError("no luck today")

    monkeypatch.setattr(HeterodyneAnalysisCore, "_robust", broken)
    with pytest.warns(FitWarning, match="no luck today"):
        found = HeterodyneAnalysisCore(settings).optimize_all()
    assert list(found["methods"]) == ["gauss_newton"]
    assert "no luck today" in found["failed"]["robust"]


def test_the_program_fits_robustly_and_saves_every_answer(settings, tmp_path: Path, capsys) -> None:
    config, folder = tmp_path / "config.json", tmp_path / "out"
    config.write_text(json.dumps({**settings, "output": {"formats": ["netcdf"]}}), encoding="utf-8")
    code = main(
        ["fit", str(config), "--robust", "wasserstein,scenario", "--radius", "0.5", "--output", str(folder)]
    )
    assert code == 0
    assert "certificate" in capsys.readouterr().out
    assert FitResult.load(folder / "results.nc").robust["method"] == "wasserstein"
    assert FitResult.load(folder / "results_scenario.nc").robust["radius"] == 0.5


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--radius", "1"], "--radius only concerns robust methods"),
        (["--robust", "--method", "trf"], "exclude each other"),
        (["--robust", "wassertein"], "wasserstein"),
    ],
)
def test_flags_that_contradict_are_told(
    flags: list[str], told: str, settings, tmp_path: Path, capsys
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings), encoding="utf-8")
    assert main(["fit", str(config), *flags]) == 2
    assert told in capsys.readouterr().err
