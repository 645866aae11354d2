from __future__ import annotations

import numpy as np
import pytest
from noisy_maps import lags

from heterodyne_nb.data import make_dataset, prepare, stack_bins
from heterodyne_nb.errors import ConfigurationError

DT, Q, V, PHI0 = 0.05, 0.004, 900.0, 20.0
PHI = np.array([-40.0, 20.0, 80.0, 110.0])


def flow(n=200, noise=0.01, seed=0):
    """Fringes of a steady flow with decay and noise, dt = 0.05 s."""
    rng = np.random.default_rng(seed)
    tau = lags(n) * DT
    maps = []
    for phi in PHI:
        fringe = np.cos(Q * V * np.cos(np.deg2rad(PHI0 - phi)) * tau)
        white = np.triu(rng.normal(0, noise, (n, n)))
        maps.append(
            1 + 0.1 * np.exp(-tau / 4) * fringe + 0.05 * np.exp(-tau / 1.5) + white + np.triu(white, 1).T
        )
    return make_dataset(np.array(maps)[None], q=Q, phi=PHI, dt=DT)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"age": 2.0, "width": 1.0},
        {"age": 5.0, "width": 0.5, "cut": "diagonal"},
        {"age": 5.0, "width": 0, "cut": "diagonal"},
        {"window": "hann"},
        {"window": "blackman", "age": [1.0, 2.0], "width": 0.5},
        {"window": "boxcar", "age": 1.0},
    ],
)
def test_the_peak_gives_the_velocity_of_the_flow(how):
    spectrum = prepare.fringe_spectrum(flow(), **how)
    v = prepare.fringe_velocity(spectrum, PHI0)
    np.testing.assert_allclose(v.isel(phi=[0, 1, 2]), V, rtol=0.05)


def test_no_velocity_at_right_angles_to_the_flow():
    v = prepare.fringe_velocity(prepare.fringe_spectrum(flow()), PHI0)
    assert np.isnan(v.sel(phi=110)).all()


def test_a_fringe_stands_out_and_plain_noise_does_not():
    ds = flow()
    quiet = ds.assign(c2=ds["c2"].copy(data=np.random.default_rng(1).normal(1, 0.01, ds["c2"].shape)))
    fringes = prepare.fringe_spectrum(ds, age=2.0, width=1.0)["peak_to_median"].isel(phi=[0, 1, 2])
    noise = prepare.fringe_spectrum(quiet, age=2.0, width=1.0)["peak_to_median"]
    assert fringes.min() > 10 * noise.max()


def test_power_is_the_squared_amplitude_of_an_undamped_fringe():
    n = 400
    c2 = 1 + 0.1 * np.cos(2 * np.pi * 2.0 * lags(n) * DT)
    spectrum = prepare.fringe_spectrum(make_dataset(c2, q=Q, phi=0, dt=DT), detrend="constant")
    assert spectrum["peak_power"].item() == pytest.approx(0.01, rel=0.03)
    assert spectrum["peak_frequency"].item() == pytest.approx(2.0, abs=0.01)


def test_nyquist_halves_on_one_anti_diagonal_alone():
    ds = flow(60)
    assert prepare.fringe_spectrum(ds, age=1.0).attrs["nyquist"] == pytest.approx(1 / (2 * DT))
    alone = prepare.fringe_spectrum(ds, age=1.5, width=0, cut="diagonal")
    assert alone.attrs["nyquist"] == pytest.approx(1 / (4 * DT))
    assert alone["frequency"].values[-1] == pytest.approx(1 / (4 * DT))


@pytest.mark.parametrize("detrend", ["decay", "linear", "constant"])
def test_detrending_takes_the_constant_away(detrend):
    ds = make_dataset(np.full((60, 60), 1.25) + 1e-9 * lags(60), q=Q, phi=0, dt=DT)
    assert prepare.fringe_spectrum(ds, detrend=detrend)["power"].max() < 1e-12
    assert prepare.fringe_spectrum(ds, detrend="none")["power"].max() > 1


def test_masked_frames_are_bridged():
    masked = prepare.mask_frames(flow(), [45, 46, (70, 71)])
    v = prepare.fringe_velocity(prepare.fringe_spectrum(masked, age=2.0), PHI0)
    np.testing.assert_allclose(v.isel(phi=[0, 1, 2]), V, rtol=0.05)


def test_a_cut_too_short_for_a_spectrum_is_nan():
    spectrum = prepare.fringe_spectrum(flow(40), age=[1.0, 1.9])
    assert np.isfinite(spectrum["power"].isel(age=0)).all()
    assert np.isnan(spectrum["power"].isel(age=1)).all()
    assert np.isnan(spectrum["peak_frequency"].isel(age=1)).all()


def test_a_dead_bin_is_nan():
    ds = flow(40)
    ds["usable"][0, 1] = False
    assert np.isnan(prepare.fringe_spectrum(ds)["power"][0, 1]).all()


def test_ready_cuts_and_the_bin_form_give_the_same():
    ds = flow(60)
    want = prepare.fringe_spectrum(ds, age=[1.0], width=0.2)
    ready = prepare.fringe_spectrum(prepare.g2_cuts(ds, age=[1.0], width=0.2))
    assert ready.identical(want)
    bins = prepare.fringe_spectrum(stack_bins(ds), age=[1.0], width=0.2)
    np.testing.assert_array_equal(bins["power"], want["power"][0])
    v = prepare.fringe_velocity(bins, PHI0)
    assert v.dims == ("bin", "age")


@pytest.mark.parametrize("wrong", [{"detrend": "cubic"}, {"window": "kaiser"}])
def test_an_unknown_detrend_or_window_is_an_error(wrong):
    with pytest.raises(ConfigurationError, match=r"no (detrend|window) '(cubic|kaiser)'(.|\n)*one of \["):
        prepare.fringe_spectrum(flow(20), **wrong)


def test_a_velocity_needs_a_spectrum():
    with pytest.raises(ConfigurationError, match=r"no peak_frequency"):
        prepare.fringe_velocity(flow(20), PHI0)


def test_fringes_need_maps():
    ds = make_dataset(g2=np.ones((1, 1, 2)), tau=[1.0, 2.0], q=0.01, phi=0, dt=1.0)
    with pytest.raises(ConfigurationError, match=r"needs a two-time map"):
        prepare.fringe_spectrum(ds)


def test_the_spectrum_says_how_long_its_cut_is():
    spectrum = prepare.fringe_spectrum(flow(), age=[2.0, 5.0], width=0)
    np.testing.assert_allclose(spectrum["span"].sel(phi=20.0).squeeze(), [8.0, 5.0], atol=2 * DT)
    assert spectrum["span"].attrs["units"] == "s"
