"""One-time fits all at once: the answers of fits one by one, whatever the parts are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import lsq_linear

from heterodyne_nb import fit, fit_batch
from heterodyne_nb.data import make_dataset
from heterodyne_nb.errors import FitWarning, OptimizationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.progress import StopToken

TAU = np.geomspace(0.02, 40.0, 40)
Q, PHI = np.array([0.01, 0.014, 0.02]), np.array([0.0, 60.0])


def curves(errors: bool = True, tau: np.ndarray = TAU, seed: int = 0, alpha: float = 0.9) -> xr.Dataset:
    rate = 0.2 * (Q / 0.01) ** 2
    m = np.exp(-2 * (rate[:, None, None] * tau) ** alpha) * np.ones((1, 2, 1))
    g2 = 1 + 0.2 * m + 2e-3 * np.random.default_rng(seed).standard_normal(m.shape)
    err = np.full(g2.shape, 2e-3) if errors else None
    return make_dataset(g2=g2, g2_err=err, tau=tau, q=Q, phi=PHI, dt=0.02)


@pytest.mark.parametrize("errors", [True, False])
@pytest.mark.parametrize("over", ["q", "phi"])
@pytest.mark.parametrize("mode", ["kww", "double_exponential", "cumulants_2"])
def test_each_part_is_fitted_as_if_it_were_alone(mode: str, over: str, errors: bool) -> None:
    ds = curves(errors)
    table = fit_batch(ds, mode, over=over)
    assert table["parameters"].dims == (over, "parameter")
    for k in range(ds.sizes[over]):
        alone = fit(ds.isel({over: [k]}), mode)
        assert float(table["chi2_reduced"][k]) == pytest.approx(alone.chi2_reduced, rel=1e-3)
        if mode == "double_exponential":  # of one decay the second is not determined
            continue
        np.testing.assert_allclose(table["parameters"][k], list(alone.values.values()), rtol=1e-3)
        np.testing.assert_allclose(table["stderr"][k], list(alone.errors.values()), rtol=0.5)
        assert float(table["contrast"][k]) == pytest.approx(float(alone.dataset["contrast"].mean()), rel=1e-3)


def test_fixed_tied_and_bounded_parameters_are_honoured() -> None:
    asked = {
        "alpha": {"value": 1.0, "vary": False},
        "contrast": {"value": 0.2, "vary": False},
        "Gamma": {"max": 0.3},
    }
    table = fit_batch(curves(), "kww", parameters=asked)
    assert np.all(table["parameters"].sel(parameter="alpha") == 1.0)
    assert np.all(table["contrast"] == 0.2)
    assert table["status"].values[:, 1].tolist() == ["fixed"] * 3
    assert float(table["parameters"].sel(parameter="Gamma").max()) == pytest.approx(0.3)
    assert table["bounds_hit"].values.tolist() == [False, True, True]
    assert "At a bound: Gamma" in str(table["flags"][2].values)
    tied = fit_batch(curves(), "double_stretched", parameters={"alpha_slow": {"tie": "alpha_fast"}})
    first = tied["parameters"].sel(parameter="alpha_fast").values
    np.testing.assert_array_equal(tied["parameters"].sel(parameter="alpha_slow"), first)


def test_runs_with_other_lags_stand_in_one_table_in_their_order() -> None:
    runs = {"a": curves(seed=1), "b": curves(tau=TAU[::2], seed=2), "c": curves(seed=3)}
    one = {name: run.isel(q=[0], phi=[0]) for name, run in runs.items()}
    table = fit_batch(one, "kww", over="file")
    assert table["file"].values.tolist() == ["a", "b", "c"]
    for k, run in enumerate(one.values()):
        np.testing.assert_allclose(table["parameters"][k], list(fit(run, "kww").values.values()), rtol=1e-3)


def test_a_curve_that_ends_early_is_judged_by_its_own_window() -> None:
    """Fitted side by side with a long one: what hardly decays within its own lags is told so."""
    runs = {"long": curves(seed=3), "short": curves(tau=TAU[:12], seed=4)}
    table = fit_batch({k: run.isel(q=[0], phi=[0]) for k, run in runs.items()}, "kww", over="file")
    assert table["trusted"].values.tolist() == [True, False]
    assert "hardly begun at the last lag" in str(table["flags"].sel(file="short").values)


def test_noisy_curves_without_errors_converge_from_a_stated_start_too() -> None:
    """Steps that meet a bound, and kinks where the offset meets its limit, are no reason to stop."""
    tau = np.arange(1.0, 41.0)
    g2 = 1 + 0.1 * np.exp(-2 * (tau / 10) ** 2) + 0.05 * np.random.default_rng(3).standard_normal((80, 40))
    ds = make_dataset(g2=g2[:, None], tau=tau, q=np.linspace(0.01, 0.1, 80), phi=[0.0], dt=1.0)
    asked = {
        "Gamma": {"value": 0.1, "min": 1e-6, "max": 2.0},
        "alpha": {"value": 1.0, "min": 0.2, "max": 3.0},
    }
    table = fit_batch(ds, "kww", parameters=asked)
    assert table["success"].values.all()
    for k in range(0, 80, 16):
        alone = fit(ds.isel(q=[k]), "kww", parameters=asked, multistart=8)
        m = np.exp(-2 * (alone.values["Gamma"] * tau) ** alone.values["alpha"])
        best, ours = (_squares(g2[k], one) for one in (m, _shape(table, k, tau)))
        assert ours <= best * (1 + 1.5 / 36)


def _shape(table: xr.Dataset, k: int, tau: np.ndarray) -> np.ndarray:
    gamma, alpha = table["parameters"].values[k]
    return np.exp(-2 * (gamma * tau) ** alpha)


def _squares(g2: np.ndarray, m: np.ndarray) -> float:
    """Left by the best contrast in (0, 1) and offset in (0.8, 2)."""
    design = np.stack([m, np.ones_like(m)], axis=1)
    return 2 * float(lsq_linear(design, g2, bounds=([0, 0.8], [1, 2])).cost)


def test_a_dead_part_is_left_out_by_name_and_none_left_is_an_error() -> None:
    ds = curves()
    with pytest.warns(FitWarning, match=r"q = 0.014 is left out"):
        table = fit_batch(ds.assign(g2=ds["g2"].where(ds["q"] != 0.014)), "kww")
    assert table["q"].values.tolist() == [0.01, 0.02]
    assert table.attrs["failed"].startswith("0.014: ")
    stop = StopToken()
    stop.cancel()
    with pytest.raises(OptimizationError, match="none of the 3 fits succeeded"):
        fit_batch(ds, "kww", stop=stop)


@pytest.mark.parametrize("errors", [True, False])
def test_flat_curves_are_not_trusted(errors: bool) -> None:
    g2 = 1 + 2e-3 * np.random.default_rng(5).standard_normal((60, 40))
    err = np.full((60, 1, 40), 2e-3) if errors else None
    ds = make_dataset(g2=g2[:, None], g2_err=err, tau=TAU, q=np.linspace(0.01, 0.1, 60), phi=[0.0], dt=0.02)
    table = fit_batch(ds, "kww")
    assert not table["trusted"].values.any()
    assert table["outside_window"].values.all()
    assert all("ecay" in text for text in table["flags"].values)


def test_a_start_that_leads_nowhere_is_not_the_end(recwarn: Any) -> None:
    table = fit_batch(curves(), "kww", parameters={"Gamma": 1e7, "alpha": 2.5})
    assert table["trusted"].values.all()
    np.testing.assert_allclose(table["parameters"].values[:, 0], 0.2 * (Q / 0.01) ** 2, rtol=0.1)


def test_fringes_are_found_where_a_smooth_curve_comes_close_too() -> None:
    tau, model = np.geomspace(0.02, 40.0, 60), ModelFactory.create_model("oscillating")
    truth = [(0.38, 1.47, 0.053, 0.8), (0.4, 1.43, 0.203, 0.77), (1.59, 4.8, 0.957, 0.47)]
    noise = 7e-4 * np.random.default_rng(1).standard_normal((3, 60))
    g2 = 1 + 0.34 * np.array([model.evaluate(one, tau, 0.0, 0.0) for one in truth]) + noise
    errors = np.full((3, 1, 60), 7e-4)
    table = fit_batch(
        make_dataset(g2=g2[:, None], g2_err=errors, tau=tau, q=Q, phi=[0.0], dt=0.02), "oscillating", over="q"
    )
    np.testing.assert_allclose(table["parameters"].values[:, 1], [one[1] for one in truth], rtol=0.02)
    assert np.all(table["chi2_reduced"].values < 2)
