"""The core runs what its configuration describes, from any form of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heterodyne_nb import ConfigManager, HeterodyneAnalysisCore, LoadDataCommand, OptimizeCommand
from heterodyne_nb.analysis import Pipeline, ProgressObserver
from heterodyne_nb.config import mode_parameters
from heterodyne_nb.data import make_dataset, write_dataset
from heterodyne_nb.errors import ConfigurationError, FitWarning
from heterodyne_nb.progress import ProgressEvent, StopToken
from heterodyne_nb.simulate import model_maps

TRUTH = (80.0, -0.3, 20.0)


@pytest.fixture(scope="module")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("core") / "maps.nc"
    grid = {"q": [0.05, 0.08], "phi": [0.0, 90.0], "n_frames": 40, "dt": 0.1}
    write_dataset(model_maps("static_isotropic", TRUTH, contrast=0.2, noise=0.005, seed=1, **grid), path)
    return path


@pytest.fixture
def values(data_file: Path) -> dict[str, Any]:
    return {
        "analysis_settings": {"static_mode": True, "static_submode": "isotropic"},
        "initial_parameters": {"values": [100, -0.5, 10]},
        "data": {"file": str(data_file)},
        "optimization": {"multistart": {"n": 0}},
    }


class _Stages(ProgressObserver):
    def __init__(self) -> None:
        self.events: list[ProgressEvent] = []

    def update(self, stage: str, progress: float) -> None:
        """Everything is taken from the events."""

    def on_event(self, event: ProgressEvent) -> None:
        self.events.append(event)


def test_a_mapping_a_file_and_a_manager_mean_the_same(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(values))
    cores = [HeterodyneAnalysisCore(form) for form in (values, path, str(path), ConfigManager(path))]
    assert all(core.config == cores[0].config for core in cores)


def test_the_short_static_form_of_other_fixtures_loads() -> None:
    core = HeterodyneAnalysisCore(
        {
            "analysis_settings": {"static_mode": True, "static_submode": "isotropic"},
            "initial_parameters": {"values": [1000, -0.5, 100]},
        }
    )
    assert core.config.get_analysis_settings()["mode"] == "static_isotropic"


def test_anything_else_is_no_configuration() -> None:
    with pytest.raises(ConfigurationError, match="a int is no configuration"):
        HeterodyneAnalysisCore(3)  # type: ignore[arg-type]


def test_loading_keeps_the_data_and_tells_what_was_used(values: dict[str, Any]) -> None:
    observer = _Stages()
    core = HeterodyneAnalysisCore(values, observers=[observer])
    dataset = core.load_experimental_data()
    assert core.dataset is dataset
    assert core.account[0] == "file: maps.nc"
    assert [(event.stage, event.fraction) for event in observer.events] == [("load", 0.0), ("load", 1.0)]
    assert "40 of 40 used" in observer.events[-1].message


def test_a_classical_fit_is_scipys_result_in_published_order(values: dict[str, Any]) -> None:
    observer = _Stages()
    found = HeterodyneAnalysisCore(values, observers=[observer]).optimize_classical()
    assert found.success
    assert found.fit_result.parameter_names == ("D0", "alpha", "D_offset")
    np.testing.assert_array_equal(found.x, list(found.fit_result.values.values()))
    t = found.fit_result.dataset["t"].values
    fitted, true = (d0 * t**alpha + offset for d0, alpha, offset in (found.x, TRUTH))
    assert fitted[5:-5] == pytest.approx(true[5:-5], rel=0.05)
    assert found.fun == pytest.approx(found.fit_result.chi2)
    assert found.nfev > 0
    assert found.failures == ()
    assert "gauss_newton" in {event.stage for event in observer.events}


def test_the_fit_remembers_its_configuration_and_its_data(values: dict[str, Any]) -> None:
    found = HeterodyneAnalysisCore(values).optimize_classical()
    provenance = found.fit_result.provenance
    assert provenance["config"]["analysis_settings"]["mode"] == "static_isotropic"
    assert provenance["used"][0] == "file: maps.nc"


def test_fixed_parameters_and_bounds_of_the_configuration_hold(values: dict[str, Any]) -> None:
    values["initial_parameters"] |= {"fixed": ["alpha"], "bounds": {"D_offset": [0, 15]}}
    found = HeterodyneAnalysisCore(values).optimize_classical()
    assert found.fit_result.values["alpha"] == -0.5
    assert found.fit_result.status["alpha"] == "fixed"
    assert 0 <= found.fit_result.values["D_offset"] <= 15


def test_all_methods_are_run_and_the_best_is_a_classical_one(values: dict[str, Any]) -> None:
    values["optimization"] |= {
        "classical": {"methods": ["gauss_newton", "trf"]},
        "robust": {"methods": ["wasserstein", "scenario"]},
    }
    found = HeterodyneAnalysisCore(values).optimize_all()
    assert sorted(found["methods"]) == ["gauss_newton", "scenario", "trf", "wasserstein"]
    assert found["best"].fun == min(answer.fun for answer in found["methods"].values())
    assert found["best_method"] in ("gauss_newton", "trf")
    assert found["failed"] == {}


def test_robust_methods_give_each_its_certificate(values: dict[str, Any]) -> None:
    values["optimization"] |= {"robust": {"methods": ["wasserstein", "ellipsoidal"]}}
    found = HeterodyneAnalysisCore(values).optimize_robust()
    assert sorted(found) == ["ellipsoidal", "wasserstein"]
    for result in found.values():
        assert result.robust["relative_gap"] < 1e-5
        assert result.robust["worst_case"] >= result.robust["nominal"]


def test_a_pipeline_loads_and_fits(values: dict[str, Any]) -> None:
    core = HeterodyneAnalysisCore(values)
    made = Pipeline([LoadDataCommand(core), OptimizeCommand(core)]).run()
    assert made["load"] is core.dataset
    assert made["optimize"].success


def test_a_cancelled_fit_returns_its_best_so_far_marked(values: dict[str, Any]) -> None:
    stop = StopToken()
    stop.cancel()
    found = HeterodyneAnalysisCore(values, stop=stop).optimize_classical()
    assert not found.success
    assert found.message.startswith("cancelled")
    assert np.isfinite(found.fun)


def test_a_laminar_fit_takes_its_gap_from_the_configuration(tmp_path: Path) -> None:
    truth = (20.0, 0.0, 5.0, 0.02, 0.0, 0.01, 10.0)
    grid = {"q": [0.005], "phi": [0.0, 45.0, 90.0, 135.0], "n_frames": 50, "dt": 0.2}
    maps = model_maps("laminar_flow", truth, contrast=0.3, noise=0.003, gap=5e4, seed=2, **grid)
    write_dataset(maps, tmp_path / "maps.nc")
    core = HeterodyneAnalysisCore(
        {
            "analysis_settings": {"mode": "laminar_flow"},
            "data": {"file": str(tmp_path / "maps.nc")},
            "geometry": {"gap": 5e4},
            "initial_parameters": {"values": list(truth)},
            "optimization": {"multistart": {"n": 0}},
        }
    )
    found = core.optimize_classical().fit_result
    assert found.gap == 5e4
    assert found.curve("gamma_dot")["value"].values == pytest.approx(0.03, rel=0.05)


def test_a_multicomponent_fit_has_the_configured_number_of_components(tmp_path: Path) -> None:
    names = [spec.name for spec in mode_parameters("multicomponent", 2)]
    truth = dict.fromkeys(names, 0.0) | {"D0_1": 10.0, "D0_2": 100.0, "v0_2": 300.0, "f3_2": 0.4}
    grid = {"q": [0.01], "phi": [0.0, 60.0], "n_frames": 40, "dt": 0.1}
    maps = model_maps("multicomponent", truth, contrast=0.3, noise=0.002, seed=2, **grid)
    write_dataset(maps, tmp_path / "maps.nc")
    values = {
        "analysis_settings": {"mode": "multicomponent", "n_components": 2},
        "data": {"file": str(tmp_path / "maps.nc")},
        "initial_parameters": {"values": truth},
        "optimization": {"multistart": {"n": 0}},
    }
    found = HeterodyneAnalysisCore(values).optimize_classical()
    assert found.fit_result.parameter_names == tuple(names)
    assert found.fit_result.chi2_reduced == pytest.approx(1.0, abs=0.15)


def test_a_one_time_mode_fits_the_g2_of_the_file(tmp_path: Path) -> None:
    tau = np.geomspace(0.01, 10, 40)
    g2 = 1 + 0.2 * np.exp(-2 * (0.5 * tau) ** 0.8)
    dataset = make_dataset(
        q=[0.01], phi=[0.0], dt=0.01, g2=g2[None, None], g2_err=0.002 + 0 * g2[None, None], tau=tau
    )
    write_dataset(dataset, tmp_path / "g2.nc")
    core = HeterodyneAnalysisCore(
        {"analysis_settings": {"mode": "kww"}, "data": {"file": str(tmp_path / "g2.nc")}}
    )
    found = core.optimize_classical()
    assert found.x == pytest.approx([0.5, 0.8], rel=1e-3)
    assert core.account == ("file: g2.nc", "q: 0.01 1/Å", "phi: 0 deg")


def test_settings_of_a_method_reach_it(values: dict[str, Any]) -> None:
    values["optimization"] |= {
        "classical": {"methods": ["nelder_mead"], "nelder_mead": {"max_iterations": 2}}
    }
    with pytest.warns(FitWarning, match="iteration limit"):
        found = HeterodyneAnalysisCore(values).optimize_classical()
    assert not found.success
    assert found.fit_result.path[-1]["iterations"] == 2
