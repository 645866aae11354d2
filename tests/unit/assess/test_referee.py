"""The free-form referee, and the steps it looks for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import heterodyne_nb as hnb
from heterodyne_nb.assess.referee import Departure, Referee
from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.engine import Objective, problem_from_dataset
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.uncertainty.change_points import strongest_step

T = 0.5 * np.arange(1, 61)
MODEL = ModelFactory.create_model("static_isotropic_free_16")


def experiment(J: np.ndarray, seed: int) -> tuple[Any, np.ndarray]:
    params = MODEL.projected({"J": J}, T, {})
    data = hnb.simulate.speckle(
        MODEL.name,
        params,
        q=(0.012, 0.015),
        phi=(0.0, 45.0, 90.0),
        n_frames=60,
        dt=0.5,
        n_pixels=600,
        seed=seed,
    )
    return data, params


def step(J: np.ndarray, pieces: int, seed: int) -> Any:
    data, _ = experiment(J, seed)
    model = MODEL.with_pieces({"J": pieces})
    theta = model.projected({"J": J}, T, {})
    problem = problem_from_dataset(data, model, resolve_parameters(model.name, {}, specs=model.parameters))
    objective = Objective(replace(problem, table=replace(problem.table, values=theta)))
    from heterodyne_nb.optimize.strategies.gauss_newton import GaussNewtonStrategy

    return strongest_step(objective, GaussNewtonStrategy().optimize(objective, theta).x)


def test_a_jump_of_J_is_found_within_a_few_frames() -> None:
    found = step(np.where(T < 15.0, 300.0, 1500.0), 8, 1)
    assert found.curve == "J"
    assert found.t == pytest.approx(15.0, abs=2.0)
    assert found.after > 2 * found.before
    assert found.sigma > 2.5


def test_the_tests_of_a_fit_name_the_time_and_size_of_a_jump() -> None:
    data, _ = experiment(np.where(T < 15.0, 300.0, 1500.0), 2)
    result = hnb.fit(data, "static_isotropic", multistart=0)
    chance, when, size = json.loads(result.dataset.attrs["goodness"])["curves"]["J"]
    assert chance < 1e-4
    assert when == pytest.approx(15.0, abs=2.5)  # steps are tried 3.2 s apart
    assert size > 600.0


@pytest.mark.parametrize("seed", range(4))
def test_a_smooth_J_has_no_change_point(seed: int) -> None:
    assert step(300.0 + 10.0 * T, 1, seed) is None


def test_the_referee_tells_a_J_that_rises_and_falls_from_a_power_law() -> None:
    bump = 300.0 + 1500.0 * np.exp(-(((T - 15.0) / 3.0) ** 2))
    data, _ = experiment(bump, 5)
    result = hnb.fit(data, "static_isotropic", multistart=2)
    assert "referee" not in result.summary()
    found = result.referee()
    assert found.fails == ("J",)
    assert found.departures["J"].sigma > 3.0
    assert found.departures["J"].first < 15.0 + 6.0
    assert "J(t) fails from" in str(found)
    assert "referee: The fitted form fails" in result.summary()
    assert len(hnb.plots.referee(found).data) >= 2


@pytest.mark.parametrize("seed", range(3))
def test_a_power_law_that_splines_cannot_follow_does_not_fail(seed: int) -> None:
    """Near the first frame t^-0.8 is steeper than a spline of one piece can be."""
    truth = {"D0": 3000.0, "alpha": -0.8, "D_offset": 60.0}
    seen = {"q": (0.012, 0.015), "phi": (0.0, 45.0, 90.0), "n_frames": 60, "dt": 0.5, "n_pixels": 600}
    data = hnb.simulate.speckle("static_isotropic", truth, **seen, seed=seed)
    found = hnb.fit(data, "static_isotropic", parameters=truth, multistart=0).referee()
    assert found.fails == ()
    assert found.verdict() == "The free form agrees with the fitted curves."


def test_curves_fail_only_where_splines_describe_the_data_better() -> None:
    data, _ = experiment(300.0 + 10.0 * T, 6)
    result = hnb.fit(data, "static_isotropic", multistart=0)
    apart = {"J": Departure(4.0, 1.0, 1.0, 2.0, 1.0, 1.0)}
    assert Referee(result, result, apart, None).fails == ("J",)
    overfitted = Referee(result, result, apart, None, better=False)
    assert overfitted.fails == ()
    assert "describes the data no better" in str(overfitted)


def test_without_its_data_a_result_asks_for_them() -> None:
    data, _ = experiment(300.0 + 10.0 * T, 6)
    result = hnb.fit(data, "static_isotropic", multistart=0)
    del data
    with pytest.raises(ConfigurationError, match="not in memory"):
        hnb.FitResult(result.dataset.assign_attrs(message="other")).referee()


def test_words_of_a_referee_that_found_nothing() -> None:
    data, _ = experiment(300.0 + 10.0 * T, 6)
    result = hnb.fit(data, "static_isotropic", multistart=0)
    quiet = Referee(result, result, {"J": Departure(1.0, 1.0, 1.0, 1.0, 1.0, 1.0)}, None)
    assert quiet.verdict() == "The free form agrees with the fitted curves."
