"""Profiles and bootstrap of one-time fits agree with their errors, and show what is not symmetric."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from heterodyne_nb import bootstrap, fit, profile
from heterodyne_nb.data import make_dataset
from heterodyne_nb.errors import ConfigurationError

TAU = np.geomspace(0.05, 30.0, 40)
Q = np.array([0.01, 0.014, 0.02])


def curves(seed: int = 0, errors: bool = True) -> xr.Dataset:
    g2 = 1 + 0.2 * np.exp(-2 * (0.4 * (Q[:, None] / 0.01) ** 2 * TAU) ** 0.8)
    g2 = g2 + 2e-3 * np.random.default_rng(seed).standard_normal(g2.shape)
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


def test_other_data_and_other_kinds_are_errors() -> None:
    ds = curves()
    result = fit(ds, "kww")
    with pytest.raises(ConfigurationError, match="the data that were fitted"):
        profile(result, curves(seed=1), "Gamma")
    with pytest.raises(ConfigurationError, match="is for two-time fits"):
        bootstrap(result, ds, kind="bins")
