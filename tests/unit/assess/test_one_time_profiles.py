"""Profiles, bootstrap and posterior of one-time fits agree with their errors, and show what is not symmetric."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from heterodyne_nb import bootstrap, fit, profile
from heterodyne_nb.data import make_dataset
from heterodyne_nb.errors import ConfigurationError

pytestmark = pytest.mark.filterwarnings("ignore:the draws have not settled")  # the runs here are short

TAU = np.geomspace(0.05, 30.0, 40)
Q = np.array([0.01, 0.014, 0.02])


def curves(seed: int = 0, errors: bool = True, rho: float = 0.0) -> xr.Dataset:
    g2 = 1 + 0.2 * np.exp(-2 * (0.4 * (Q[:, None] / 0.01) ** 2 * TAU) ** 0.8)
    apart = np.abs(np.subtract.outer(np.arange(40), np.arange(40)))
    noise = np.random.default_rng(seed).standard_normal(g2.shape)
    g2 = g2 + 2e-3 * noise @ np.linalg.cholesky(rho**apart).T
    err = np.full((3, 1, 40), 2e-3) if errors else None
    return make_dataset(g2=g2[:, None], g2_err=err, tau=TAU, q=Q, phi=[0.0], dt=0.05)


@pytest.mark.parametrize("errors", [True, False])
def test_a_profile_of_a_well_determined_number_is_its_error(errors: bool) -> None:
    ds = curves(errors=errors)
    result = fit(ds, "kww", parameters={"Gamma": {"scope": "power"}})
    table = profile(result, ds, ["Gamma.n", "alpha"]).intervals()
    for name in ("Gamma.n", "alpha"):
        half = 1.96 * result.errors[name]
        assert table.loc[name, "upper"] - result.values[name] == pytest.approx(half, rel=0.1)
        assert result.values[name] - table.loc[name, "lower"] == pytest.approx(half, rel=0.1)


def test_a_bootstrap_scatters_as_the_errors_say() -> None:
    ds = curves()
    result = fit(ds, "kww", parameters={"Gamma": {"scope": "q"}})
    drawn = bootstrap(result, ds, n=120, seed=1)
    np.testing.assert_allclose(drawn.draws.std(axis=0), list(result.errors.values()), rtol=0.35)
    again = bootstrap(result, ds, n=120, seed=1)
    np.testing.assert_array_equal(drawn.draws, again.draws)
    assert drawn.apply_to(result).errors["alpha"] == pytest.approx(result.errors["alpha"], rel=0.3)


@pytest.mark.parametrize(
    "asked",
    [
        {"Gamma": {"scope": "q"}},
        {"alpha": {"prior": (0.75, 0.005)}, "Gamma": {"scope": "power"}},
        {"contrast": {"prior": (0.195, 0.001)}, "Gamma": {"scope": "power"}},
        {
            "contrast": {"scope": "shared", "prior": (0.195, 0.001)},
            "offset": {"value": 1.0, "vary": False},
            "Gamma": {"scope": "power"},
        },
    ],
)
def test_a_posterior_has_the_width_that_correlated_lags_ask_for_about_the_fit(asked: dict[str, Any]) -> None:
    """A prior beside the data's own value narrows the draws and moves them no further than it moved the fit."""
    ds = curves(rho=0.8)
    result = fit(ds, "kww", parameters=asked)
    drawn = result.sample(ds, n=250, walkers=16, burn=60)
    errors, values = (np.array(list(one.values())) for one in (result.errors, result.values))
    np.testing.assert_allclose(drawn.draws.std(axis=0), errors, rtol=0.2)
    assert np.all(np.abs(drawn.draws.mean(axis=0) - values) < 0.3 * errors)
    assert set(drawn.to_arviz().posterior.data_vars) == set(result.parameter_names)


def test_a_posterior_shows_what_a_bound_hides() -> None:
    """Where the moving share x of the light rests on 1, smaller shares with a larger contrast c do as well.

    c (1 - (1-x)²) = 0.2 and offset + c (1-x)² = 1 with the offset above 0.8: x is above 0.29.
    """
    ds = curves().isel(q=[0])
    drawn = fit(ds, "partial_siegert").sample(ds, n=200, walkers=16, burn=60)
    share = drawn.draws[:, 2]
    assert share.min() > 0.27
    assert share.max() <= 1.0
    assert np.quantile(share, 0.05) < 0.6


def test_other_data_and_other_kinds_are_errors() -> None:
    ds = curves()
    result = fit(ds, "kww")
    with pytest.raises(ConfigurationError, match="the data that were fitted"):
        profile(result, curves(seed=1), "Gamma")
    with pytest.raises(ConfigurationError, match="is for two-time fits"):
        bootstrap(result, ds, kind="bins")
