"""Draws from the posterior: as wide as the sandwich covariance, inside bounds, over every answer."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.special import stdtrit

from heterodyne_nb import fit
from heterodyne_nb.errors import MissingExtraError, OptimizationError
from heterodyne_nb.fitting import objective_of
from heterodyne_nb.result import FitResult
from heterodyne_nb.simulate import model_maps
from heterodyne_nb.uncertainty.covariance import estimate_covariance

for _name in ("emcee", "arviz"):
    pytest.importorskip(_name, reason='pip install "heterodyne_nb[posterior]"', exc_type=ImportError)

pytestmark = pytest.mark.filterwarnings("ignore:the draws have not settled")  # the runs here are short

TRUTH = {"D0": 300.0, "alpha": -0.4, "D_offset": 30.0}
GRID: dict[str, Any] = {"q": [0.01, 0.02], "phi": [0.0, 60.0], "n_frames": 50, "dt": 0.5}
DATA = model_maps("static_isotropic", TRUTH, contrast=0.2, noise=0.002, dyadic=0.3, **GRID)
LEVELS = {"contrast": {"value": 0.2, "vary": False}, "offset": {"value": 1.0, "vary": False}}
WIDE = {
    "D0": {"value": 300.0, "min": 1.0, "max": 1e5},
    "alpha": -0.4,
    "D_offset": {"value": 0.0, "vary": False},
}


@cache
def free() -> FitResult:
    return fitted()


def fitted(**more: Any) -> FitResult:
    return fit(DATA, "static_isotropic", parameters={**WIDE, **LEVELS, **more}, multistart=0)


def test_a_nearly_linear_problem_has_the_width_of_the_sandwich_covariance() -> None:
    result = free()
    drawn = result.sample(DATA, n=250, walkers=16, burn=40)
    objective = objective_of(result, DATA)
    theta = np.array(list(result.values.values()))
    spread, kept = estimate_covariance(objective, theta), [0, 1]
    slopes = np.eye(3)[kept]
    half = stdtrit(np.maximum(spread.freedom(slopes), 1.0), 0.975) * np.sqrt(np.diag(spread.covariance))[kept]
    found = drawn.intervals()
    wide = 0.5 * (found["upper"] - found["lower"]).values[kept]
    np.testing.assert_allclose(wide, half, rtol=0.2)
    naive = 1.96 * np.sqrt(np.diag(spread.naive))[kept]
    assert np.all(wide > 2.0 * naive)  # pixels that share frames are not independent
    np.testing.assert_allclose(
        np.corrcoef(drawn.draws[:, kept].T)[0, 1],
        spread.covariance[0, 1] / np.prod(np.sqrt(np.diag(spread.covariance))[kept]),
        atol=0.1,
    )
    np.testing.assert_allclose(drawn.draws.mean(axis=0)[kept], theta[kept], atol=0.3 * half.max(), rtol=0.02)
    assert np.all(drawn.dataset["rhat"].values[kept] < 1.2)
    assert np.all(drawn.dataset["ess"].values[kept] > 150)


def test_bounds_cut_the_posterior_and_a_prior_narrows_it() -> None:
    value, error = free().values["alpha"], free().errors["alpha"]
    cut = fitted(alpha={"value": value - error, "max": value - 0.5 * error})
    drawn = cut.sample(DATA, n=120, walkers=16, burn=40)
    assert drawn.draws[:, 1].max() <= value - 0.5 * error
    assert np.mean(drawn.draws[:, 1] > value - 1.5 * error) > 0.3  # it leans on the bound
    held = fitted(alpha={"value": value, "prior": (value, 0.1 * error)})
    narrow = held.sample(DATA, n=120, walkers=16, burn=40)
    assert narrow.draws[:, 1].std() == pytest.approx(0.1 * error, rel=0.3)
    assert np.ptp(narrow.draws[:, 2]) == 0.0  # fixed


def test_the_seed_decides_and_arviz_gets_chains_with_curves() -> None:
    result = free()
    one, same, other = (result.sample(DATA, n=30, walkers=8, burn=10, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.draws, same.draws)
    assert not np.array_equal(one.draws, other.draws)
    data = one.to_arviz()
    assert data.posterior.sizes["chain"] * data.posterior.sizes["draw"] == one.n
    np.testing.assert_array_equal(data.posterior["alpha"].values.ravel(), one.draws[:, 1])
    np.testing.assert_allclose(data.posterior["J"].isel(t=-1).values.ravel(), one.curve_draws("J").isel(t=-1))
    banded = one.apply_to(result)
    assert "emcee" in banded.uncertainty
    np.testing.assert_allclose(banded.curve("J")["upper"], one.curves()["J_upper"])


def test_every_answer_that_is_left_is_sampled() -> None:
    truth = [150.0, 0.0, 0.0, 1500.0, 0.0, 0.0, 60.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.4, 15.0]
    names = ("D0_ref", "D0_sample", "v0", "f3", "phi0")
    data = model_maps(
        "heterodyne", truth, q=[0.012], phi=[-40.0, 30.0], n_frames=50, dt=0.5, contrast=0.3, noise=0.01
    )
    flat = dict(zip(data_names(), truth, strict=True))
    start = {name: {"value": value, "vary": name in names} for name, value in flat.items()}
    result = fit(data, parameters=start, multistart=0)
    twins = {round(one.values["phi0"]) for one in result.solutions}
    assert twins == {15, 75}
    drawn = result.sample(data, n=40, walkers=12, burn=20)
    share = np.mean(np.abs(drawn.draws[:, 13] - 75.0) < 10.0)
    assert 0.3 < share < 0.7
    assert np.all((np.abs(drawn.draws[:, 13] - 15.0) < 10.0) | (np.abs(drawn.draws[:, 13] - 75.0) < 10.0))


def data_names() -> tuple[str, ...]:
    from heterodyne_nb.models import ModelFactory

    return ModelFactory.create_model("heterodyne").parameter_names


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    result = fitted(D0={"value": 300.0, "vary": False}, alpha={"value": -0.4, "vary": False})
    with pytest.raises(OptimizationError, match="no parameter is free"):
        result.sample(DATA)
    monkeypatch.setitem(sys.modules, "emcee", None)
    with pytest.raises(MissingExtraError, match=r"(?s)needs emcee.*heterodyne_nb\[posterior\]"):
        result.sample(DATA)
