"""Fits whose curves are splines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heterodyne_nb as hnb
from heterodyne_nb.models import ModelFactory

ANGLES, DT, FRAMES = (-80.0, -35.0, 10.0, 55.0), 0.5, 80
TRUTH = ModelFactory.create_model("heterodyne_free_1_1_16_1")
T = DT * np.arange(1, FRAMES + 1)


def experiment(v: np.ndarray) -> Any:
    curves = {"J_ref": 60 + 0 * T, "J_sample": 600 + 0 * T, "v": v, "x_sample": 0.4 + 0 * T}
    params = TRUTH.projected(curves, T, {"phi0": 15.0})
    return hnb.simulate.speckle(
        TRUTH.name, params, q=(0.012,), phi=ANGLES, n_frames=FRAMES, dt=DT, n_pixels=1500, seed=3
    )


@pytest.fixture(scope="module")
def oscillating() -> tuple[Any, Any]:
    data = experiment(60 * (1 + 0.4 * np.sin(2 * np.pi * T / 16)))
    return data, hnb.fit(data, "heterodyne_free", multistart=4)


def test_an_oscillating_velocity_is_found_without_a_start(oscillating: tuple[Any, Any]) -> None:
    _, result = oscillating
    v = result.curve("v")
    truth = 60 * (1 + 0.4 * np.sin(2 * np.pi * T / 16))
    inner = slice(4, -4)
    assert np.abs(v["value"].values - truth)[inner].max() < 12.0
    assert np.mean((v["lower"] <= truth) & (truth <= v["upper"])) > 0.85
    assert ModelFactory.create_model(result.mode).pieces["v"] >= 8
    assert result.mode.startswith("heterodyne_free_")
    assert result.success


def test_smooth_curves_take_few_pieces(oscillating: tuple[Any, Any]) -> None:
    pieces = ModelFactory.create_model(oscillating[1].mode).pieces
    assert max(pieces["J_ref"], pieces["J_sample"], pieces["x_sample"]) <= 4


def test_a_free_form_result_is_saved_asked_and_fitted_again(
    oscillating: tuple[Any, Any], tmp_path: Path
) -> None:
    data, result = oscillating
    assert hnb.FitResult.load(result.save(tmp_path / "free.nc")) == result
    assert "19 coefficients" in result.summary() or "11 coefficients" in result.summary()
    again = hnb.fit(data, result.mode, parameters=result.values)
    assert again.mode == result.mode
    assert again.chi2 == pytest.approx(result.chi2, rel=1e-3)
    assert hnb.goodness_of_fit(result).good
