"""Every model against values computed elsewhere to 20 digits (tests/fixtures/models.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heterodyne_nb.models import ModelFactory

ROWS = json.loads((Path(__file__).parents[2] / "fixtures" / "models.json").read_text())["rows"]
MODES = {
    "static": ("static_isotropic", "static_anisotropic"),
    "laminar_flow": ("laminar_flow",),
    "heterodyne": ("heterodyne",),
    "heterodyne_equilibrium": ("heterodyne_equilibrium",),
}


def evaluate(mode: str, row: dict[str, Any]) -> float:
    model = ModelFactory.create_model(mode)
    if model.one_time:
        values = [row["x"], row["J_ref"], row["J_sample"], row["v"], row["phi_relative"]]
        return float(model.correlation(values, row["tau"], q=row["q"], phi=0.0))
    place = {"q": row["q"], "phi": row.get("phi", 0.0), "gap": row.get("gap")}
    return float(model.correlation(row["parameters"], row["t1"], row["t2"], **place))


def deviation(row: dict[str, Any], mode: str) -> float:
    exact = float(row["value"])
    return abs(evaluate(mode, row) - exact) / max(abs(exact), 1e-3)


def test_the_fixture_covers_every_model() -> None:
    assert {row["model"] for row in ROWS} == set(MODES)
    assert min(sum(row["model"] == name for row in ROWS) for name in MODES) >= 40


@pytest.mark.parametrize("model", MODES)
def test_every_row_agrees_to_twelve_digits(model: str) -> None:
    rows = [row for row in ROWS if row["model"] == model]
    for mode in MODES[model]:
        worst = max(rows, key=lambda row: deviation(row, mode))
        assert deviation(worst, mode) < 1e-12, worst


@pytest.mark.parametrize("model", ["static", "laminar_flow", "heterodyne"])
def test_exchanging_the_two_times_changes_nothing(model: str) -> None:
    for row in (row for row in ROWS if row["model"] == model):
        turned = {**row, "t1": row["t2"], "t2": row["t1"]}
        assert evaluate(MODES[model][0], turned) == evaluate(MODES[model][0], row)


@pytest.mark.parametrize("model", ["static", "laminar_flow", "heterodyne"])
def test_the_diagonal_is_one(model: str) -> None:
    for row in (row for row in ROWS if row["model"] == model):
        same = {**row, "t1": row["t2"]}
        assert evaluate(MODES[model][0], same) == pytest.approx(1.0, abs=4e-16)


def test_a_negative_lag_is_as_good_as_a_positive_one() -> None:
    for row in (row for row in ROWS if row["model"] == "heterodyne_equilibrium"):
        assert evaluate("heterodyne_equilibrium", {**row, "tau": -row["tau"]}) == evaluate(
            "heterodyne_equilibrium", row
        )


def test_arrays_give_what_single_numbers_give() -> None:
    rows = [row for row in ROWS if row["model"] == "heterodyne"][:5]
    model = ModelFactory.create_model("heterodyne")
    t1, t2, q, phi = (np.array([row[name] for row in rows]) for name in ("t1", "t2", "q", "phi"))
    for row in rows:
        single = [evaluate("heterodyne", {**row, **one}) for one in _places(rows)]
        np.testing.assert_allclose(
            model.correlation(row["parameters"], t1, t2, q=q, phi=phi), single, rtol=1e-15
        )


def _places(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in ("t1", "t2", "q", "phi")} for row in rows]
