"""Scopes and laws of one-time parameters in a configuration, a session and a command: what a call can say they can."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heterodyne_nb import AnalysisSession, FitResult, fit
from heterodyne_nb.cli import main
from heterodyne_nb.config import ConfigManager, asked_of
from heterodyne_nb.data import open_dataset

TAU, Q = np.geomspace(1e-3, 10.0, 40), np.geomspace(0.01, 0.03, 5)
INITIAL = {
    "scopes": {"Gamma": "power", "alpha": "each"},
    "values": {"contrast": 0.15, "Gamma.n": 2.0},
    "fixed": ["contrast", "Gamma.n"],
    "bounds": {"Gamma.mid": [0.1, 100.0]},
}
ASKED: dict[str, Any] = {
    "Gamma": {"scope": "power"},
    "Gamma.n": {"value": 2.0, "vary": False},
    "Gamma.mid": {"min": 0.1, "max": 100.0},
    "alpha": {"scope": "each"},
    "contrast": {"value": 0.15, "vary": False},
}


@pytest.fixture
def configured(tmp_path: Path) -> dict[str, Any]:
    rate = 2.0 * (Q / Q[0]) ** 2
    g2 = 1 + 0.15 * np.exp(-2 * (rate[:, None] * TAU) ** 0.8)
    g2 += 1e-3 * np.random.default_rng(0).standard_normal(g2.shape)
    file = tmp_path / "g2.npz"
    np.savez(file, g2=g2[:, None], g2_err=np.full_like(g2, 1e-3)[:, None], tau=TAU, q=Q, phi=[0.0], dt=1e-3)
    return {
        "analysis_settings": {"mode": "kww"},
        "data": {"file": str(file)},
        "initial_parameters": INITIAL,
        "output": {"directory": str(tmp_path / "out")},
    }


def test_a_configuration_a_session_and_the_command_fit_what_the_call_does(configured, tmp_path) -> None:
    data = open_dataset(configured["data"]["file"])
    wanted = fit(data, "kww", parameters=ASKED).values
    assert wanted["Gamma.n"] == 2.0
    assert len([name for name in wanted if name.startswith("alpha[")]) == len(Q)

    session = AnalysisSession(data)
    session.set_config(configured)
    session.run()
    session.wait()
    assert session.result.values == pytest.approx(wanted, rel=1e-6)
    session.save(tmp_path / "kept")
    assert AnalysisSession.load(tmp_path / "kept").parameters == session.parameters
    assert (
        session.to_config().parameters == session.parameters == ConfigManager.from_dict(configured).parameters
    )

    file = tmp_path / "config.json"
    file.write_text(json.dumps(configured))
    assert main(["fit", str(file), "--quiet"]) == 0
    result = FitResult.load(tmp_path / "out" / "results.nc")
    assert result.values == pytest.approx(wanted, rel=1e-6)
    assert "'Gamma.n': {'value': 2.0, 'vary': False}" in result.to_script()
    assert "power" in (tmp_path / "out" / "report.html").read_text()


def test_a_table_keeps_what_was_asked_of_scopes_and_of_numbers_of_laws(configured) -> None:
    table = ConfigManager.from_dict(configured).parameters
    asked = asked_of(table)
    assert {name: asked[name] for name in ("Gamma", "Gamma.n", "Gamma.mid", "alpha")} == {
        name: ASKED[name] for name in ("Gamma", "Gamma.n", "Gamma.mid", "alpha")
    }
    assert table.role == ("free, power", "free, each")


def test_a_session_changes_scopes_one_by_one_and_drops_the_numbers_of_a_law_that_goes(configured) -> None:
    session = AnalysisSession(open_dataset(configured["data"]["file"]))
    session.set_config(configured)
    session.set_parameter("Gamma.n", vary=True)
    assert session.parameters.laws["Gamma.n"] == {"value": 2.0}
    session.set_parameter("Gamma", scope="q")
    assert not session.parameters.laws
    assert session.parameters.scopes["Gamma"] == "q"
    session.undo()
    assert session.parameters.scopes["Gamma"] == "power"
    session.change_settings(mode="static_isotropic")
    assert not session.parameters.scopes


@pytest.mark.parametrize(
    ("mode", "initial", "told"),
    [
        ("kww", {"scopes": {"Gamma": "powr"}}, "unknown scope 'powr'.*did you mean 'power'"),
        ("kww", {"scopes": {"gama": "each"}}, "unknown parameter 'gama'"),
        ("kww", {"scopes": {"contrast": "power"}}, "unknown scope 'power'; allowed: shared, q, phi, each"),
        (
            "kww",
            {"scopes": {"Gamma": "power"}, "values": {"Gamma": 3.0}},
            "follows the law.*Gamma.mid, Gamma.n",
        ),
        ("kww", {"values": {"Gamma.n": 2.0}}, "unknown parameter 'Gamma.n'"),
        ("heterodyne", {"scopes": {"v0": "each"}}, "one-time mode"),
    ],
)
def test_what_cannot_be_is_told_with_its_place(mode: str, initial: dict[str, Any], told: str) -> None:
    config = ConfigManager.from_dict({"analysis_settings": {"mode": mode}, "initial_parameters": initial})
    (problem,) = config.problems
    assert re.search(told, str(problem))
