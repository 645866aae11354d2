"""One-time fits: KWW and heterodyne at equilibrium recover the truth, whatever the scale of time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from heterodyne_nb import fit
from heterodyne_nb.data import make_dataset
from heterodyne_nb.errors import DataFormatError, DataWarning
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.progress import ProgressEvent, StopToken

EQUILIBRIUM = {"fraction": 0.35, "J_ref": 120.0, "J_sample": 1800.0, "v": 450.0, "phi0": 20.0}
Q, PHI = [0.008, 0.012], [-45.0, 0.0, 45.0, 90.0]


def g2_curves(
    mode: str,
    truth: dict[str, float],
    tau: np.ndarray,
    *,
    q: Any = Q,
    phi: Any = PHI,
    noise: float = 0.002,
    seed: int = 1,
    errors: bool = True,
) -> xr.Dataset:
    q, phi = np.atleast_1d(q), np.atleast_1d(phi)
    model = ModelFactory.create_model(mode)
    m = model.correlation(list(truth.values()), tau, q=q[:, None, None], phi=phi[None, :, None])
    m = np.broadcast_to(m, (len(q), len(phi), len(tau)))
    g2 = 1.01 + 0.2 * m + noise * np.random.default_rng(seed).standard_normal(m.shape)
    err = np.full(g2.shape, noise) if errors else None
    return make_dataset(g2=g2, g2_err=err, tau=tau, q=q, phi=phi, dt=float(tau[0]) or 1.0)


def one_curve(gamma: float, alpha: float, **options: Any) -> xr.Dataset:
    tau = options.pop("tau", np.geomspace(0.02, 30.0, 60) / gamma)
    return g2_curves("kww", {"Gamma": gamma, "alpha": alpha}, tau, q=0.01, phi=0.0, **options)


@pytest.mark.parametrize("gamma", [2e-6, 3e-3, 0.2, 50.0, 1e6])
@pytest.mark.parametrize("alpha", [0.6, 1.0, 1.7])
def test_kww_is_recovered_from_microseconds_to_days_without_a_start(gamma: float, alpha: float) -> None:
    result = fit(one_curve(gamma, alpha), "kww")
    assert result.success
    assert result.status == {"Gamma": "free", "alpha": "free"}
    for name, truth in (("Gamma", gamma), ("alpha", alpha)):
        assert 0 < result.errors[name] < 0.1 * truth
        assert abs(result.values[name] - truth) < 3.5 * result.errors[name]
    assert result.chi2_reduced == pytest.approx(1.0, abs=0.5)
    assert float(result.dataset["contrast"][0]) == pytest.approx(0.2, rel=0.1)
    assert float(result.dataset["offset"][0]) == pytest.approx(1.01, rel=0.01)


def test_heterodyne_at_equilibrium_is_recovered_without_a_start() -> None:
    ds = g2_curves("heterodyne_equilibrium", EQUILIBRIUM, 0.1 * np.arange(1, 121))
    result = fit(ds, "heterodyne_equilibrium")
    assert result.success
    for name, truth in EQUILIBRIUM.items():
        assert abs(result.values[name] - truth) < 4 * result.errors[name], name
        assert 0 < result.errors[name] < 0.1 * abs(truth)
    assert result.dataset.sizes["bin"] == 8
    assert result.chi2_reduced == pytest.approx(1.0, abs=0.15)


def test_its_components_are_labelled_by_their_speed() -> None:
    ds = g2_curves("heterodyne_equilibrium", EQUILIBRIUM, 0.1 * np.arange(1, 121))
    swapped = EQUILIBRIUM | {"fraction": 0.65, "J_ref": 1800.0, "J_sample": 120.0}
    result = fit(ds, "heterodyne_equilibrium", parameters=swapped, multistart=0)
    assert result.values["J_sample"] > result.values["J_ref"]
    assert result.values["fraction"] == pytest.approx(0.35, abs=0.02)


def test_errors_are_those_of_repeated_experiments() -> None:
    values, errors = [], []
    for seed in range(60):
        result = fit(one_curve(0.3, 0.8, seed=seed), "kww", parameters={"Gamma": 0.3, "alpha": 0.8})
        values.append([result.values["Gamma"], result.values["alpha"]])
        errors.append([result.errors["Gamma"], result.errors["alpha"]])
    np.testing.assert_allclose(np.std(values, axis=0), np.mean(errors, axis=0), rtol=0.3)
    covered = np.abs(np.array(values) - [0.3, 0.8]) <= 1.96 * np.array(errors)
    assert np.all(covered.mean(axis=0) >= 0.85)


def test_without_errors_every_lag_counts_alike() -> None:
    plain = fit(one_curve(0.3, 0.8, errors=False), "kww")
    weighted = fit(one_curve(0.3, 0.8), "kww")
    for name in ("Gamma", "alpha"):
        assert plain.values[name] == pytest.approx(weighted.values[name], rel=1e-5)
        assert plain.errors[name] == pytest.approx(weighted.errors[name], rel=0.2)  # by the scatter alone


def test_a_lag_of_zero_and_unmeasured_lags_are_left_out() -> None:
    tau = np.concatenate([[0.0], np.geomspace(0.05, 100.0, 60)])
    ds = one_curve(0.3, 0.8, tau=tau)
    spoiled = ds["g2"].values.copy(), ds["g2_err"].values.copy()
    spoiled[0][0, 0, [5, 9]] = 0.0, np.nan  # the first as some files mark it: 0 with error 0
    spoiled[1][0, 0, 5] = 0.0
    dims = ds["g2"].dims
    result = fit(ds.assign(g2=(dims, spoiled[0]), g2_err=(dims, spoiled[1])), "kww")
    assert result.dataset.attrs["n_data"] == 58
    assert abs(result.values["Gamma"] - 0.3) < 4 * result.errors["Gamma"]


def test_lags_in_any_order_give_the_same_answer() -> None:
    ds = one_curve(0.3, 0.8)
    turned = ds.isel(tau=np.random.default_rng(1).permutation(ds.sizes["tau"]))
    assert fit(turned, "kww").values == pytest.approx(fit(ds, "kww").values, rel=1e-9)


def test_a_bin_without_g2_is_left_out_by_name() -> None:
    ds = g2_curves("kww", {"Gamma": 0.3, "alpha": 0.8}, np.geomspace(0.05, 100.0, 60))
    err = ds["g2_err"].values.copy()
    err[1, 2] = 0.0
    with pytest.warns(DataWarning, match=r"bin q = 0.012 1/Å, phi = 45°: no lag of its g2"):
        result = fit(ds.assign(g2_err=(ds["g2_err"].dims, err)), "kww")
    assert result.dataset.sizes["bin"] == 7


def test_a_stated_start_bounds_and_fixed_values_are_honoured() -> None:
    ds = one_curve(0.3, 0.8)
    fixed = fit(ds, "kww", parameters={"alpha": {"value": 1.0, "vary": False}})
    assert (fixed.values["alpha"], fixed.status["alpha"]) == (1.0, "fixed")
    bounded = fit(ds, "kww", parameters={"alpha": {"value": 1.0, "min": 0.9}})
    assert (bounded.values["alpha"], bounded.status["alpha"]) == (0.9, "at bound")
    assert np.isnan(bounded.errors["alpha"])
    pulled = fit(ds, "kww", parameters={"alpha": {"value": 1.0, "prior": (1.0, 1e-4)}})
    assert pulled.values["alpha"] == pytest.approx(1.0, abs=1e-3)


def test_measured_maps_offer_their_own_g2() -> None:
    from heterodyne_nb.simulate import model_maps

    grid = {"q": [0.01], "phi": [0.0], "n_frames": 150, "dt": 0.2}
    ds = model_maps("static_isotropic", [400.0, 0.0, 0.0], contrast=0.3, noise=0.01, **grid)
    result = fit(ds, "kww")
    assert 2 * result.values["Gamma"] == pytest.approx(0.01**2 * 400.0, rel=0.1)
    assert result.values["alpha"] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("contrast", ["per_bin", "shared", "per_q"])
def test_contrast_may_be_tied(contrast: str) -> None:
    ds = g2_curves("kww", {"Gamma": 0.3, "alpha": 0.8}, np.geomspace(0.05, 100.0, 60))
    result = fit(ds, "kww", contrast=contrast)
    count = len(np.unique(result.dataset["contrast"].values.round(12)))
    assert count == {"per_bin": 8, "shared": 1, "per_q": 2}[contrast]


def test_cancelled_or_out_of_time_it_returns_its_best() -> None:
    ds, stop = one_curve(0.3, 0.8), StopToken()

    def cancel(event: ProgressEvent) -> None:
        stop.cancel()

    cancelled = fit(ds, "kww", on_progress=cancel, stop=stop)
    assert (cancelled.success, cancelled.message) == (False, "cancelled: best so far")
    assert np.isfinite(cancelled.chi2)
    late = fit(ds, "kww", time_limit=1e-9)
    assert (late.success, late.message) == (False, "time limit: best so far")


def test_too_little_data_are_an_error() -> None:
    ds = one_curve(0.3, 0.8)
    with pytest.raises(DataFormatError, match="only 2 lags can be used"):
        fit(ds.isel(tau=[3, 40]), "kww")
    with pytest.raises(DataFormatError, match=r"no bin has a usable g2|none of the 1 bins"):
        fit(ds.assign(g2=ds["g2"] * np.nan), "kww")
    with pytest.raises(DataFormatError, match="g2 has the dimension age"):
        fit(ds.expand_dims(age=[1.0, 2.0]), "kww")
