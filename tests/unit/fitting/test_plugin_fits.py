"""Models of the user's own, without curves, are fitted like any other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fit_samples import STATIC, near, static_maps

from heterodyne_nb import fit
from heterodyne_nb.config.parameters import PARAMETERS, ParameterSpec
from heterodyne_nb.data import make_dataset
from heterodyne_nb.errors import ConfigurationError, HeterodyneError
from heterodyne_nb.models import ModelFactory, ModelPlugin


class OwnStatic(ModelPlugin):
    """The static model once more, written by a user, with a midpoint rule instead of exact integrals."""

    two_time = True
    parameters = PARAMETERS["static_isotropic"]

    def get_model_name(self) -> str:
        return "own_static"

    def compute_correlation(self, tau: Any, params: Any, q: Any, phi: Any = None) -> Any:
        t1, t2 = tau
        amplitude, exponent, offset = params
        primitive = [amplitude * t ** (1 + exponent) / (1 + exponent) + offset * t for t in (t1, t2)]
        return np.exp(-(q**2) * np.abs(primitive[1] - primitive[0]))


class TwoRates(ModelPlugin):
    """A sum of two exponentials in the lag."""

    parameters = (
        ParameterSpec("slow", "1/s", 0.05, 1e-4, 1.0, "slow rate"),
        ParameterSpec("fast", "1/s", 1.0, 0.1, 50.0, "fast rate"),
        ParameterSpec("share", "1", 0.5, 0.0, 1.0, "share of the slow decay"),
    )

    def get_model_name(self) -> str:
        return "two_rates"

    def compute_correlation(self, tau: Any, params: Any, q: Any, phi: Any = None) -> Any:
        slow, fast, share = params
        return share * np.exp(-slow * tau) + (1 - share) * np.exp(-fast * tau)


class Failing(OwnStatic):
    def get_model_name(self) -> str:
        return "failing"

    def compute_correlation(self, tau: Any, params: Any, q: Any, phi: Any = None) -> Any:
        raise ZeroDivisionError("no luck")


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    names = [ModelFactory.register(plugin) for plugin in (OwnStatic, TwoRates, Failing)]
    yield
    for name in names:
        ModelFactory.unregister(name)


@pytest.mark.parametrize("method", ["gauss_newton", "nelder_mead"])
def test_a_two_time_plugin_finds_what_the_built_in_model_finds(method: str) -> None:
    ds = static_maps().isel(t=slice(30), t1=slice(30), t2=slice(30))
    own = fit(ds, "own_static", parameters=near(STATIC), multistart=0, method=method)
    built_in = fit(ds, "static_isotropic", parameters=near(STATIC), multistart=0)
    assert own.mode == "own_static"
    assert own.chi2 == pytest.approx(built_in.chi2, rel=1e-5)
    t = ds["t"].values
    curves = [r.values["D0"] * t ** r.values["alpha"] + r.values["D_offset"] for r in (own, built_in)]
    np.testing.assert_allclose(curves[0], curves[1], rtol=0.02)


def test_its_errors_and_robust_fits_work_too() -> None:
    ds = static_maps().isel(t=slice(24), t1=slice(24), t2=slice(24))
    asked = {"D0": 300.0, "alpha": {"value": -0.4, "vary": False}, "D_offset": {"value": 30.0, "vary": False}}
    own, built_in = (
        fit(ds, mode, parameters=asked, multistart=0) for mode in ("own_static", "static_isotropic")
    )
    assert own.errors["D0"] == pytest.approx(built_in.errors["D0"], rel=1e-3)
    own, built_in = (
        fit(ds, mode, parameters=asked, multistart=0, loss="huber")
        for mode in ("own_static", "static_isotropic")
    )
    assert own.values["D0"] == pytest.approx(built_in.values["D0"], rel=1e-3)


def test_a_one_time_plugin_recovers_its_parameters_without_a_start() -> None:
    tau, rng = np.geomspace(0.02, 100.0, 80), np.random.default_rng(1)
    m = 0.4 * np.exp(-0.04 * tau) + 0.6 * np.exp(-2.0 * tau)
    g2 = 1.0 + 0.2 * m + 0.001 * rng.standard_normal(80)
    ds = make_dataset(g2=g2, g2_err=np.full(80, 0.001), tau=tau, q=0.01, phi=0.0, dt=0.02)
    result = fit(ds, "two_rates")
    for name, truth in {"slow": 0.04, "fast": 2.0, "share": 0.4}.items():
        assert abs(result.values[name] - truth) < 4 * result.errors[name]
        assert result.errors[name] < 0.2 * truth


def test_a_plugin_that_fails_is_an_error_of_ours_with_and_without_a_search() -> None:
    for settings in ({"parameters": STATIC, "multistart": 0}, {}):
        with pytest.raises(HeterodyneError, match="'failing' failed: ZeroDivisionError: no luck"):
            fit(static_maps(), "failing", **settings)


def test_a_plugin_for_the_other_kind_of_data_is_an_error() -> None:
    g2_only = static_maps().drop_vars("c2")
    with pytest.raises(HeterodyneError, match="no two-time maps"):
        fit(g2_only, "own_static")
    with pytest.raises(ConfigurationError, match="unknown analysis mode 'own_statc'"):
        fit(static_maps(), "own_statc")
