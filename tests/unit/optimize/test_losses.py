"""Losses: weight is the derivative, tuning gives 95 % efficiency, scale is the normal law's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.optimize import LOSSES, get_loss, robust_scale

robust = pytest.mark.parametrize("name", [n for n in LOSSES if n != "linear"])


@pytest.mark.parametrize("name", list(LOSSES))
def test_the_weight_is_the_derivative_of_rho(name: str) -> None:
    loss = LOSSES[name]
    r = np.array([0.0, 0.01, 0.5, 1.0, 1.3, 1.4, 2.3, 2.5, 4.6, 4.7, 8.0, 50.0])
    h = 1e-6 * (1.0 + r**2)
    numeric = (loss.rho(r**2 + h) - loss.rho(np.maximum(r**2 - h, 0.0))) / (h + np.minimum(h, r**2))
    np.testing.assert_allclose(loss.weight(r), numeric, rtol=1e-6, atol=1e-9)


@robust
def test_the_default_tuning_is_95_percent_efficient_at_the_normal_law(name: str) -> None:
    loss = LOSSES[name]

    def psi(u: float) -> float:
        return float(loss.weight(u)) * u

    def mean(f) -> float:  # over the normal law, even integrand, split at the corner
        return 2 * sum(quad(f, *part, epsabs=1e-13)[0] for part in ((0, loss.tuning), (loss.tuning, 12)))

    slope = mean(lambda u: u * psi(u) * norm.pdf(u))  # E[psi'] by Stein's identity
    spread = mean(lambda u: psi(u) ** 2 * norm.pdf(u))
    assert slope**2 / spread == pytest.approx(0.95, abs=1e-9)


@pytest.mark.parametrize("name", list(LOSSES))
def test_small_residuals_cost_their_square(name: str) -> None:
    r2 = np.array([0.0, 1e-12, 1e-8])
    np.testing.assert_allclose(LOSSES[name].rho(r2), r2, rtol=1e-7)
    np.testing.assert_allclose(LOSSES[name].weight(np.sqrt(r2)), 1.0, rtol=1e-7)


@robust
@settings(deadline=None, max_examples=30)
@given(r=st.floats(0, 1e6), more=st.floats(0, 1e3))
def test_cost_never_falls_and_weight_never_grows_with_the_residual(name: str, r: float, more: float) -> None:
    loss = LOSSES[name]
    assert loss.rho((r + more) ** 2) >= loss.rho(r**2) * (1 - 1e-12)
    assert loss.weight(r + more) <= loss.weight(r)
    assert 0.0 <= loss.weight(r) <= 1.0
    assert loss.weight(-r) == loss.weight(r)
    assert loss.rho(r**2) <= r**2 * (1 + 1e-12)


def test_known_values() -> None:
    huber, cauchy, tukey, soft = (get_loss(n, tuning=2.0) for n in ("huber", "cauchy", "tukey", "soft_l1"))
    assert huber.rho(25.0) == pytest.approx(2 * 2.0 * 5.0 - 4.0)
    assert huber.weight(5.0) == pytest.approx(0.4)
    assert cauchy.rho(4.0) == pytest.approx(4 * np.log(2.0))
    assert tukey.rho(1e9) == pytest.approx(4.0 / 3.0)
    assert tukey.weight(2.0) == 0.0
    assert tukey.weight(1.0) == pytest.approx(0.75**2)
    assert soft.rho(4.0) == pytest.approx(8 * (np.sqrt(2.0) - 1.0))


@robust
def test_reweighting_finds_the_mean_that_outliers_hide(name: str) -> None:
    rng = np.random.default_rng(5)
    y = np.concatenate([rng.normal(3.0, 0.1, 400), rng.normal(9.0, 0.5, 60)])
    loss, mean = LOSSES[name], float(np.median(y))
    scale = robust_scale(y - mean)
    for _ in range(60):
        weight = loss.weight((y - mean) / scale)
        mean = float(weight @ y / weight.sum())
    assert abs(mean - 3.0) < 0.12 * abs(y.mean() - 3.0)


def test_the_scale_is_the_standard_deviation_of_the_bulk() -> None:
    rng = np.random.default_rng(8)
    r = 5.0 + 0.3 * rng.standard_normal(20_000)
    r[:500] = 1e6
    r[500:600] = np.nan
    assert robust_scale(r) == pytest.approx(0.3, rel=0.06)
    assert robust_scale(r, center=False) == pytest.approx(5.0 * 1.4826, rel=0.01)


def test_a_scale_of_equal_residuals_can_still_divide() -> None:
    assert robust_scale(np.zeros(5)) > 0
    with pytest.raises(ConfigurationError, match="no finite residual"):
        robust_scale(np.full(3, np.nan))


def test_a_misspelt_loss_or_wrong_tuning_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)unknown loss 'hubber'.*did you mean 'huber'"):
        get_loss("hubber")
    with pytest.raises(ConfigurationError, match="a number above 0"):
        get_loss("huber", tuning=0.0)
    with pytest.raises(ConfigurationError, match="no tuning constant"):
        get_loss("linear", tuning=2.0)
    assert get_loss("Soft-L1").name == "soft_l1"
