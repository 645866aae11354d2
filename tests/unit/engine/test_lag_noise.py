"""Correlation of the lags of g2: its form, which form is found, and errors as large as fits scatter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heterodyne_nb import fit_batch
from heterodyne_nb.data import make_dataset
from heterodyne_nb.engine.one_time_noise import fluctuation_rates, fluctuations

TAU = np.geomspace(0.02, 40.0, 40)
RATE, ALPHA = 0.3, 1.0


def test_lags_are_correlated_as_those_of_fluctuations_that_were_simulated() -> None:
    rng, a, frames, runs = np.random.default_rng(3), 0.1, 600, 3000
    shown = rng.standard_normal((runs, frames))
    for t in range(1, frames):
        shown[:, t] = np.exp(-a) * shown[:, t - 1] + np.sqrt(1 - np.exp(-2 * a)) * shown[:, t]
    lags = np.array([1, 4, 10, 20, 40])
    products = np.stack([(shown[:, :-lag] * shown[:, lag:]).mean(axis=1) for lag in lags])
    np.testing.assert_allclose(
        np.corrcoef(products), fluctuations(np.array(a), lags.astype(float)), atol=0.12
    )


def test_the_rate_of_fluctuations_is_that_of_the_decay_above_the_plateau() -> None:
    m = np.stack([np.exp(-2 * RATE * TAU), 0.4 + 0.6 * np.exp(-2 * RATE * TAU)])
    np.testing.assert_allclose(fluctuation_rates(m, TAU), 2 * RATE, rtol=0.1)


def scattered(kind: str, curves: int = 100) -> tuple[Any, Any]:
    """Fits of many curves of one decay with correlated noise: table and, by parameter, scatter over the error."""
    steps = np.abs(np.subtract.outer(np.arange(len(TAU)), np.arange(len(TAU))))
    correlation = fluctuations(np.array(2 * RATE), TAU) if kind == "fluctuations" else 0.8**steps
    root = np.linalg.cholesky(0.98 * correlation + 0.02 * np.eye(len(TAU)))
    noise = 2e-3 * np.random.default_rng(5).standard_normal((curves, len(TAU))) @ root.T
    g2 = 1 + 0.2 * np.exp(-2 * (RATE * TAU) ** ALPHA) + noise
    q = np.linspace(0.01, 0.02, curves)
    ds = make_dataset(
        g2=g2[:, None], g2_err=np.full((curves, 1, len(TAU)), 2e-3), tau=TAU, q=q, phi=[0.0], dt=0.02
    )
    table = fit_batch(ds, "kww", over="q")
    z = (table["parameters"].values - [RATE, ALPHA]) / table["stderr"].values
    return table, z.std(axis=0)


@pytest.mark.parametrize("kind", ["fluctuations", "list"])
def test_errors_are_as_large_as_fits_scatter(kind: str) -> None:
    table, scatter = scattered(kind)
    assert np.all((scatter > 0.8) & (scatter < 1.2)), scatter
    assert table["trusted"].values.mean() > 0.95  # χ² is low, as it must be
