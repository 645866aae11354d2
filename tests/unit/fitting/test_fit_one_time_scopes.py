"""Joint one-time fits: shared exponents and rates per q in one call, laws in q, contrast and baseline as asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from heterodyne_nb import FitResult, average_runs, fit
from heterodyne_nb.data import make_dataset, write_apsu
from heterodyne_nb.errors import ConfigurationError

Q = np.array([0.004, 0.005, 0.006, 0.0075])
TAU = np.geomspace(2e-5, 1.6, 60)
KNOWN = {"contrast": {"value": 0.135, "vary": False}, "offset": {"value": 1.0, "vary": False}}


def two_decays(noise: float = 1e-3, contrast: Any = 0.135) -> xr.Dataset:
    """A fast decay as q² and a slow one that does not end, both stretched by 0.7."""
    rate = 1e3 * (Q / 0.004) ** 2
    field = 0.6 * np.exp(-((rate[:, None] * TAU) ** 0.7)) + 0.4 * np.exp(-((TAU / 30) ** 0.7))
    g2 = 1 + np.broadcast_to(contrast, 4)[:, None] * field**2
    g2 = g2 + noise * np.random.default_rng(1).standard_normal(g2.shape)
    err = np.full_like(g2, noise)
    return make_dataset(g2=g2[:, None], g2_err=err[:, None], tau=TAU, q=Q, phi=[0.0], dt=2e-5)


def near(result: FitResult, name: str, truth: float, sigmas: float = 3.5) -> None:
    assert 0 < result.errors[name] < 0.2 * abs(truth), name
    assert abs(result.values[name] - truth) < sigmas * result.errors[name], name


def test_shared_exponents_and_rates_per_q_are_one_call() -> None:
    asked = {"Gamma_fast": {"scope": "q"}, "alpha_slow": {"tie": "alpha_fast"}, **KNOWN}
    result = fit(two_decays(), "double_stretched", parameters=asked)
    assert result.success
    for q in Q:
        near(result, f"Gamma_fast[q={q:g}]", 1e3 * (q / 0.004) ** 2)
    near(result, "alpha_fast", 0.7)
    near(result, "fraction_fast", 0.6)
    assert result.status["alpha_slow"] == "tied"
    assert result.chi2_reduced == pytest.approx(1.0, abs=0.3)
    np.testing.assert_array_equal(result.dataset["contrast"], 0.135)
    assert result.dataset.attrs["n_free"] == 4 + 3
    bins = result.dataset
    np.testing.assert_allclose(bins["Gamma_fast"], [result.values[f"Gamma_fast[q={q:g}]"] for q in Q])
    np.testing.assert_allclose(bins["Gamma_fast_error"], [result.errors[f"Gamma_fast[q={q:g}]"] for q in Q])


def test_a_law_gives_its_exponent_with_an_error() -> None:
    asked = {"Gamma_fast": {"scope": "power"}, "alpha_slow": {"tie": "alpha_fast"}, **KNOWN}
    result = fit(two_decays(), "double_stretched", parameters=asked)
    near(result, "Gamma_fast.n", 2.0)
    fixed = fit(two_decays(), "double_stretched", parameters={**asked, "Gamma_fast": {"scope": "diffusive"}})
    near(fixed, "Gamma_fast.D", 1e3 / 0.004**2)


def test_values_of_a_law_are_fixed_and_bounded_by_their_names() -> None:
    asked = {"Gamma": {"scope": "power"}, "Gamma.n": {"value": 2.0, "vary": False}}
    result = fit(two_decays(), "kww", parameters=asked)
    assert (result.values["Gamma.n"], result.status["Gamma.n"]) == (2.0, "fixed")


def test_contrast_measured_at_every_q_may_be_held_there() -> None:
    levels = np.array([0.16, 0.15, 0.14, 0.13])
    asked = {
        "Gamma_fast": {"scope": "q"},
        "alpha_slow": {"tie": "alpha_fast"},
        "contrast": {"value": levels.tolist(), "vary": False},
        "offset": {"scope": "shared"},
    }
    result = fit(two_decays(contrast=levels), "double_stretched", parameters=asked)
    np.testing.assert_array_equal(result.dataset["contrast"], levels)
    assert len(np.unique(result.dataset["offset"].values.round(12))) == 1
    near(result, "Gamma_fast[q=0.004]", 1e3)


def test_contrast_and_offset_have_scopes_of_their_own() -> None:
    ds = two_decays()
    asked = {
        "Gamma": {"scope": "q"},
        "contrast": {"scope": "shared"},
        "offset": {"scope": "each", "min": 0.99},
    }
    result = fit(ds, "kww", parameters=asked)
    assert len(np.unique(result.dataset["contrast"].values.round(12))) == 1
    assert len(np.unique(result.dataset["offset"].values.round(9))) == 4
    assert result.dataset.attrs["n_free"] == 4 + 1 + 1 + 4
    assert np.all(result.dataset["contrast_error"] > 0)


def test_every_bin_by_itself_is_the_joint_fit_without_anything_shared() -> None:
    ds = two_decays()
    joint = fit(ds, "kww", parameters={"Gamma": {"scope": "each"}, "alpha": {"scope": "each"}})
    for k, q in enumerate(Q):
        alone = fit(ds.isel(q=[k]), "kww")
        for name in ("Gamma", "alpha"):
            assert joint.values[f"{name}[q={q:g}]"] == pytest.approx(alone.values[name], rel=1e-4)
        assert float(joint.dataset["contrast"][k]) == pytest.approx(
            float(alone.dataset["contrast"][0]), rel=1e-4
        )


def test_two_decays_of_every_bin_fit_together_as_well_as_alone() -> None:
    """Stretched decays leave two exponentials several ways to begin; each bin has the best of its own."""
    tau, q = np.geomspace(0.02, 40, 48), np.array([0.01, 0.012, 0.015, 0.02])
    g2 = 1 + 0.2 * np.exp(-2 * (0.3 * (q[:, None] / 0.01) ** 2 * tau) ** 0.8)
    g2 = g2 + 2e-3 * np.random.default_rng(0).standard_normal(g2.shape)
    err = np.full_like(g2, 2e-3)[:, None]
    ds = make_dataset(g2=g2[:, None], g2_err=err, tau=tau, q=q, phi=[0.0], dt=0.02)
    names = ("Gamma_fast", "Gamma_slow", "fraction_fast")
    joint = fit(ds, "double_exponential", parameters={name: {"scope": "each"} for name in names})
    alone = [fit(ds.isel(q=[k]), "double_exponential").chi2 for k in range(4)]
    assert joint.chi2 == pytest.approx(sum(alone), rel=1e-5)


def test_two_stretched_decays_with_shared_exponents_are_found_without_a_start() -> None:
    """As good as a fit that starts from the truth, and labelled so."""
    lags = np.concatenate([np.arange(1, 9), *(np.arange(5, 9) * 2**k for k in range(1, 13))])
    tau, q, rng = 2e-5 * lags, np.geomspace(0.004, 0.02, 9), np.random.default_rng(8)
    exponents, share, powers = rng.uniform(0.6, 1.1, 2), rng.uniform(0.3, 0.7), rng.uniform(1.2, 2.3, 2)
    rates = 10 ** rng.uniform([[2.5], [-0.3]], [[3.3], [1.0]]) * (q / 0.008) ** powers[:, None]
    fast, slow = (np.exp(-((g[:, None] * tau) ** n)) for g, n in zip(rates, exponents, strict=True))
    apart = np.abs(np.subtract.outer(np.arange(tau.size), np.arange(tau.size)))
    root = np.linalg.cholesky(0.7 * 0.85**apart + 0.3 * np.eye(tau.size))
    err = 1e-3 * (1 + 2 * np.sqrt(tau / tau[-1])) * np.ones((9, 1))
    g2 = 1 + 0.15 * (share * fast + (1 - share) * slow) ** 2
    g2 = g2 + err * (rng.standard_normal(g2.shape) @ root.T)
    ds = make_dataset(g2=g2[:, None], g2_err=err[:, None], tau=tau, q=q, phi=[0.0], dt=2e-5)
    names = ("Gamma_fast", "Gamma_slow")
    found = fit(ds, "double_stretched", parameters={name: {"scope": "q"} for name in names})
    known = {"alpha_fast": exponents[0], "alpha_slow": exponents[1], "fraction_fast": share}
    start = {name: {"scope": "q", "value": rate.tolist()} for name, rate in zip(names, rates, strict=True)}
    told = fit(ds, "double_stretched", parameters={**start, **known}, multistart=0)
    assert found.chi2 < told.chi2 + 0.5
    for name, value in known.items():
        assert abs(found.values[name] - value) < 3.5 * found.errors[name], name


def test_start_values_and_priors_reach_every_group() -> None:
    asked = {"Gamma": {"scope": "q", "value": [700.0, 900.0, 1200.0, 1900.0], "prior": (1000.0, 1e-3)}}
    result = fit(two_decays(), "kww", parameters=asked)
    assert [result.values[f"Gamma[q={q:g}]"] for q in Q] == pytest.approx([1000.0] * 4, rel=1e-4)


def test_a_joint_fit_is_saved_loaded_and_evaluated(tmp_path: Any) -> None:
    ds = two_decays()
    result = fit(ds, "kww", parameters={"Gamma": {"scope": "q"}})
    again = FitResult.load(result.save(tmp_path / "joint.nc"))
    assert again == result
    curve = again.model_map(q=0.006, t=TAU)
    expected = float(again.dataset["offset"][2]) + float(again.dataset["contrast"][2]) * np.exp(
        -2 * (result.values["Gamma[q=0.006]"] * TAU) ** result.values["alpha"]
    )
    np.testing.assert_allclose(curve, expected, rtol=1e-12)
    assert "Gamma[q=0.006]" in again.summary()
    assert "scope" in again.to_script("run.h5")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"Gamma": {"scope": "ring"}}, "unknown scope 'ring'"),
        ({"Gama": {"scope": "q"}}, "'Gama' cannot have a scope"),
        ({"Gamma": {"scope": "q", "value": [1.0, 2.0]}}, r"2 values\n.*1, or 4"),
        ({"Gamma": {"scope": "power", "value": 1.0}}, r"has no value of its own\n.*Gamma.mid, Gamma.n"),
        (
            {"contrast": {"value": [0.1, 0.1, 0.1, 0.1]}},
            "contrast has a value for each group of bins, but is not fixed",
        ),
        ({"contrast": {"scope": "power"}}, "unknown scope 'power'"),
        ({"alpha": {"scope": "q", "tie": "Gamma"}}, "another scope"),
    ],
)
def test_what_cannot_be_meant_is_said(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        fit(two_decays(), "kww", parameters=asked)


def curves(truth: Any, noise: float = 2e-3, seed: int = 0, errors: bool = True) -> xr.Dataset:
    tau = np.geomspace(0.02, 40.0, 48)
    g2 = 1 + 0.2 * np.broadcast_to(truth(tau), (4, 48))
    g2 = g2 + noise * np.random.default_rng(seed).standard_normal(g2.shape)
    err = np.full_like(g2, noise)[:, None] if errors else None
    return make_dataset(g2=g2[:, None], g2_err=err, tau=tau, q=Q, phi=[0.0], dt=0.02)


WINDOWS = {
    "no_decay": lambda tau: 0.0 * tau,
    "not_decayed": lambda tau: np.exp(-tau / 500.0),
    "decayed_early": lambda tau: np.exp(-tau / 0.008),
}


@pytest.mark.parametrize("code", WINDOWS)
@pytest.mark.parametrize(("errors", "seed"), [(True, 0), (True, 1), (False, 2)])
def test_a_curve_that_does_not_decay_in_its_window_is_told(code: str, errors: bool, seed: int) -> None:
    result = fit(curves(WINDOWS[code], seed=seed, errors=errors), "kww", parameters={"Gamma": {"scope": "q"}})
    found = [flag for flag in result.flags if flag.code in WINDOWS]
    assert code in {flag.code for flag in found}
    assert all(flag.serious for flag in found)
    assert np.all(result.dataset["decay"].values != "")


def test_a_decay_in_the_window_raises_no_flag_and_a_flat_bin_among_others_is_named() -> None:
    ds = curves(lambda tau: np.exp(-tau / 2.0))
    assert not {flag.code for flag in fit(ds, "kww").flags} & set(WINDOWS)
    flat = curves(lambda tau: 0.0 * tau)
    mixed = ds.assign(g2=xr.where(ds["q"] == Q[1], flat["g2"], ds["g2"]).transpose(*ds["g2"].dims))
    (flag,) = [flag for flag in fit(mixed, "kww").flags if flag.code in WINDOWS]
    assert flag.code == "no_decay"
    assert "1 of 4 bins: q = 0.005" in flag.text
    assert not flag.serious  # the others tell the shared rate
    own = fit(mixed, "kww", parameters={"Gamma": {"scope": "q"}})
    assert [f.serious for f in own.flags if f.code == "no_decay"] == [True]


def test_correlated_lags_widen_errors() -> None:
    tau, rng = np.geomspace(0.02, 40.0, 48), np.random.default_rng(3)
    apart = np.abs(np.subtract.outer(np.arange(48), np.arange(48)))
    noise = rng.standard_normal((12, 48)) @ np.linalg.cholesky(0.8**apart).T
    q = np.linspace(0.004, 0.01, 12)
    g2 = 1 + 0.2 * np.exp(-tau) + 2e-3 * noise
    err = np.full((12, 1, 48), 2e-3)
    ds = make_dataset(g2=g2[:, None], g2_err=err, tau=tau, q=q, phi=[0.0], dt=0.02)
    result = fit(ds, "kww", parameters={"Gamma": {"scope": "q"}, "alpha": {"scope": "q"}})
    assert "neighbouring lags correlated by 0.7" in result.uncertainty or "by 0.8" in result.uncertainty
    white = fit(
        curves(lambda t: np.exp(-t)), "kww", parameters={"Gamma": {"scope": "q"}, "alpha": {"scope": "q"}}
    )
    ratio = np.median(result.dataset["Gamma_error"]) / np.median(white.dataset["Gamma_error"])
    assert 1.3 < ratio < 3.0
    pulls = (result.dataset["Gamma"].values - 0.5) / result.dataset["Gamma_error"].values
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1.0, abs=0.5)


def test_averaged_runs_with_two_stretched_decays_and_power_laws_are_one_call(tmp_path: Path) -> None:
    """Six APS-U files with the delays of a multi-tau correlator and correlated errors; contrast from elsewhere."""
    lags = np.concatenate([np.arange(1, 9), *(np.arange(5, 9) * 2**k for k in range(1, 13))])
    tau, q, rng = 2e-5 * lags, np.geomspace(0.004, 0.02, 9), np.random.default_rng(0)
    fast, slow = 800 * (q / 0.008) ** 2.1, 3 * (q / 0.008) ** 1.6
    m = (0.6 * np.exp(-((fast[:, None] * tau) ** 0.75)) + 0.4 * np.exp(-((slow[:, None] * tau) ** 0.9))) ** 2
    apart = np.abs(np.subtract.outer(np.arange(tau.size), np.arange(tau.size)))
    root = np.linalg.cholesky(0.7 * 0.85**apart + 0.3 * np.eye(tau.size))
    for k in range(6):
        err = 2e-3 * (1 + 2 * np.sqrt(tau / tau[-1])) * np.ones_like(m)
        g2 = 1 + 0.15 * m + err * (rng.standard_normal(m.shape) @ root.T)
        run = make_dataset(g2=g2[:, None], g2_err=err[:, None], tau=tau, q=q, phi=[0.0], dt=2e-5)
        write_apsu(run, tmp_path / f"run{k}.hdf")
    held = {"value": 0.15, "vary": False}
    laws = {"Gamma_fast": {"scope": "power"}, "Gamma_slow": {"scope": "power"}}
    runs = average_runs(str(tmp_path / "run*.hdf"))
    result = fit(runs, mode="double_stretched", parameters={"contrast": held, **laws})
    truth = {
        "Gamma_fast.n": 2.1,
        "Gamma_slow.n": 1.6,
        "alpha_fast": 0.75,
        "alpha_slow": 0.9,
        "fraction_fast": 0.6,
    }
    for name, value in truth.items():
        assert abs(result.values[name] - value) < 2.5 * result.errors[name], name
        assert result.errors[name] < 0.15 * value
