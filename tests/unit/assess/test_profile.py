"""Profiles of χ²: what each point is, where the interval ends, and that bootstrap says the same."""

from __future__ import annotations

from functools import cache

import numba as nb
import numpy as np
import pytest
from refit_samples import (
    HETERODYNE,
    STATIC,
    speckle_data,
    speckle_fit,
    speckle_objective,
    static_data,
    static_fit,
    static_objective,
)
from scipy.stats import t as student

import heterodyne_nb as hnb
from heterodyne_nb.assess import Bootstrap, bootstrap, profile
from heterodyne_nb.errors import ConfigurationError, OptimizationError
from heterodyne_nb.fitting.same_fit import objective_of, optimum
from heterodyne_nb.progress import StopToken
from heterodyne_nb.uncertainty.covariance import estimate_covariance
from heterodyne_nb.uncertainty.derived import middle_targets, target


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = nb.get_num_threads()
    nb.set_num_threads(1)
    yield
    nb.set_num_threads(threads)


ALONE = {"D0": 300.0, "alpha": {"value": -0.4, "vary": False}, "D_offset": {"value": 30.0, "vary": False}}


def test_every_point_is_the_best_fit_with_the_number_held_there() -> None:
    whole = static_fit(0.0)
    line = profile(whole, static_objective(0.0), "alpha").curve("alpha")
    for k in (0, 2, -1):
        held = {**whole.values, "alpha": {"value": float(line["position"][k]), "vary": False}}
        fitted = hnb.fit(static_data(0.0), "static_isotropic", parameters=held, multistart=0)
        assert fitted.chi2 - whole.chi2 == pytest.approx(float(line["rise"][k]), rel=1e-3, abs=1e-4)


def test_of_a_number_that_enters_linearly_the_interval_is_that_of_the_dyadic_error() -> None:
    result = hnb.fit(static_data(), "static_isotropic", parameters=ALONE, multistart=0)
    objective = objective_of(result, static_data())
    found = profile(result, objective, "D0")
    row, freedom = found.intervals().loc["D0"], float(found.dataset["freedom"][0])
    error = np.sqrt(estimate_covariance(objective, optimum(result)).covariance[0, 0])
    half = student.ppf(0.975, freedom) * error
    assert (row["upper"] - row["lower"]) / 2 == pytest.approx(half, rel=0.03)
    assert float(found.dataset["scale"][0]) > 3.0  # pixels share their frames: χ² alone would say much less
    narrow = found.intervals(0.6827).loc["D0"]
    half = student.ppf(0.5 * 1.6827, freedom) * error
    assert (narrow["upper"] - narrow["lower"]) / 2 == pytest.approx(half, rel=0.03)


#: Ends of speckle intervals, in half-widths. J_ref has a long side above, on which the single Gauss-Newton step of a
#: draw falls short by 0.24 ± 0.02 (8000 draws); of 1000 draws the ends are known to 0.04.
NEAR = {"v": 0.25, "v(40)": 0.25, "J_sample": 0.25, "x_sample": 0.25, "phi0": 0.25, "J_ref": 0.32}


@pytest.mark.slow
@pytest.mark.parametrize("name", NEAR)
def test_profile_and_bootstrap_agree_where_both_apply(name: str) -> None:
    row = profile(speckle_fit(), speckle_objective(), name).intervals().iloc[0]
    one = target(speckle_objective().problem.model, name, speckle_objective().problem.t)
    _, lower, upper = draws().of(one.compute)
    half = 0.5 * (row["upper"] - row["lower"])
    assert lower == pytest.approx(row["lower"], abs=NEAR[name] * half)
    assert upper == pytest.approx(row["upper"], abs=NEAR[name] * half)


@cache
def draws() -> Bootstrap:
    return bootstrap(speckle_fit(), speckle_objective(), n=1000, seed=1)


def test_an_interval_may_be_lopsided_and_stays_positive() -> None:
    found = profile(speckle_fit(), speckle_objective(), "J_ref(0.5)")
    row = found.intervals().iloc[0]
    assert row["lower"] >= 0.0
    assert row["upper"] - row["value"] > 1.3 * (row["value"] - row["lower"])
    line = found.curve("J_ref(0.5)")
    assert np.all(np.diff(line["position"]) > 0)
    assert np.all(np.diff(line["root"]) > -1e-6)


def test_a_bound_ends_the_walk_and_is_said() -> None:
    least = static_fit(0.0).values["alpha"] - 0.003
    asked = {**STATIC, "alpha": {"value": least + 0.01, "min": least}}
    result = hnb.fit(static_data(0.0), "static_isotropic", parameters=asked, multistart=0)
    found = profile(result, static_data(0.0), "alpha")
    row = found.intervals().iloc[0]
    assert row["lower"] == pytest.approx(least, abs=1e-6)
    assert row["note"] == "lower end at a bound"
    assert "lower end at a bound" in repr(found)


def test_a_tie_moves_both_parameters_along_the_profile() -> None:
    asked = {**HETERODYNE, "alpha_ref": -0.4, "alpha_sample": {"tie": "alpha_ref"}}
    result = hnb.fit(speckle_data(), "heterodyne", parameters=asked, multistart=0)
    found = profile(result, speckle_data(), "alpha_sample").dataset["parameters"].values[0]
    found = found[np.isfinite(found[:, 0])]
    np.testing.assert_array_equal(found[:, 1], found[:, 4])
    assert np.ptp(found[:, 1]) > 0


def test_a_prior_holds_along_the_profile() -> None:
    asked = {**STATIC, "D_offset": {"value": 30.0, "prior": (30.0, 1e-2)}}
    result = hnb.fit(static_data(), "static_isotropic", parameters=asked, multistart=0)
    row = profile(result, static_data(), "D_offset").intervals().iloc[0]
    assert (row["upper"] - row["lower"]) / 2 == pytest.approx(1.96e-2, rel=0.15)


def test_what_does_not_move_cannot_be_profiled() -> None:
    result = hnb.fit(static_data(), "static_isotropic", parameters=ALONE, multistart=0)
    with pytest.raises(OptimizationError, match="alpha does not move"):
        profile(result, static_data(), "alpha")


def test_names_are_parameters_curves_and_derived_figures() -> None:
    objective = speckle_objective()
    model, t, theta = objective.problem.model, objective.problem.t, optimum(speckle_fit())
    assert target(model, "v0", t).compute(theta) == theta[6]
    assert target(model, ("v", 2.0), t).compute(theta) == target(model, "v( 2 )", t).compute(theta)
    assert target(model, "J_ref", t).name == "J_ref(24.25)"
    assert target(model, "displacement", t).unit == "Å"
    names = [one.name for one in middle_targets(model, t, objective.moving)]
    assert names == ["J_ref(24.25)", "J_sample(24.25)", "v(24.25)", "x_sample(24.25)", "phi0"]
    for wrong in ("w", "v(1000)", "v(-1)", "w(3)", "v(1e)"):
        with pytest.raises(ConfigurationError):
            target(model, wrong, t)


def test_a_wrong_level_or_an_unknown_profile_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="level"):
        profile(static_fit(), static_objective(), "D0", level=1.0)
    found = profile(static_fit(), static_objective(), "D0", level=0.5)
    with pytest.raises(ConfigurationError, match="level of the walk"):
        found.intervals(0.95)
    with pytest.raises(ConfigurationError, match="no profile of 'v'"):
        found.curve("v")


def test_it_tells_its_progress_and_can_be_stopped() -> None:
    stop, seen = StopToken(), []

    def watch(event) -> None:
        seen.append(event.fraction)
        if len(seen) == 3:
            stop.cancel()

    found = profile(static_fit(), static_objective(), ["D0", "alpha"], on_progress=watch, stop=stop)
    assert len(seen) == 3
    assert found.dataset["upper_end"].values.tolist() == ["stopped", "stopped"]
    assert np.isinf(found.intervals().loc["alpha", "upper"])
    assert "stopped before its end" in found._repr_html_()
