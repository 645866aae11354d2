"""The error bars of cuts, judged by how often they hold the truth and by the scatter of repeated runs."""

from __future__ import annotations

import numpy as np
import pytest
from noisy_maps import ar_map, speckle_map, striped_map

from heterodyne_nb.data import make_dataset, prepare
from heterodyne_nb.data.noise import MapNoise
from heterodyne_nb.simulate import example_truth, speckle

N = 110
REPEATS = 48
LAGS = np.array([2, 4, 7, 11, 16, 22, 29, 37, 46, 56])
KINDS = {
    "noise correlated over 1 frame": lambda rng: ar_map(N, 0.3, rng),
    "noise correlated over 3 frames": lambda rng: ar_map(N, 0.7, rng),
    "stripes of frames": lambda rng: striped_map(N, rng),
    "speckle of 2 frames": lambda rng: speckle_map(N, 2, rng),
    "speckle of 5 frames": lambda rng: speckle_map(N, 5, rng),
}
CUTS = {  # first and one past the last t1 index at a lag, worked out by hand for t1 or (t1 + t2)/2 in frames
    "12 frames across the diagonal": lambda lag: [(int(np.ceil(48 - lag / 2)), int(np.ceil(60 - lag / 2)))],
    "30 rows": lambda lag: [(9, min(39, N - lag))],
    "all ages": lambda lag: [(0, N - lag)],
}


@pytest.fixture(scope="module")
def judged():
    """For each kind and cut, arrays (repeat, lag) of g2 − truth, its error and the number of pixels."""
    return {kind: {cut: np.array(rows) for cut, rows in _judge(make).items()} for kind, make in KINDS.items()}


def _judge(make):
    rng = np.random.default_rng(8)
    rows = {cut: [] for cut in CUTS}
    for _ in range(REPEATS):
        c2, truth = make(rng)
        noise = MapNoise(c2.astype(np.float32), np.ones(N, dtype=bool))
        for cut, pixels in CUTS.items():
            rows[cut].append(_deviation(c2 - truth, noise, pixels))
    return rows


def _deviation(off, noise, pixels):
    spans = {lag: np.clip(pixels(lag), 0, N - lag) for lag in range(1, N)}
    count = np.array([[float(np.diff(spans[lag])[0, 0]) for lag in range(1, N)]])
    err = noise.errors(lambda lag: spans[lag], np.maximum(count, 0))[0]
    mean = [np.diagonal(off, lag)[slice(*spans[lag][0])].mean() for lag in LAGS]
    return mean, err[LAGS - 1], count[0, LAGS - 1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", CUTS)
def test_68_percent_intervals_hold_the_truth_60_to_75_percent_of_the_time(judged, kind, cut):
    off, err, _ = np.moveaxis(judged[kind][cut], 1, 0)
    assert 0.60 <= np.mean(np.abs(off) < err) <= 0.75


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", CUTS)
def test_errors_are_the_scatter_of_repeated_runs(judged, kind, cut):
    off, err, _ = np.moveaxis(judged[kind][cut], 1, 0)
    ratio = np.sqrt((err**2).mean(0) / (off**2).mean(0))
    assert np.mean((ratio > 0.7) & (ratio < 1.4)) >= 0.8
    assert 0.8 < np.median(ratio) < 1.25


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["noise correlated over 3 frames", "speckle of 5 frames"])
def test_errors_of_independent_pixels_would_fail(judged, kind):
    off, _, count = np.moveaxis(judged[kind]["30 rows"], 1, 0)
    pixel_noise = 0.05  # both kinds are made with it (1/√400 for the speckle)
    assert np.mean(np.abs(off) < pixel_noise / np.sqrt(count)) < 0.52


def test_cuts_carry_these_errors():
    c2, _ = speckle_map(N, 5, np.random.default_rng(9))
    ds = make_dataset(c2, q=0.01, phi=0, dt=1.0)
    noise = MapNoise(ds["c2"].values[0, 0], np.ones(N, dtype=bool))
    asked = {
        "12 frames across the diagonal": {"cut": "diagonal", "age": 55.0, "width": 12.0},
        "30 rows": {"cut": "row", "age": 25.0, "width": 30.0},
        "all ages": {"cut": "row"},
    }
    for name, cut in asked.items():
        got = prepare.g2_cuts(ds, **cut).isel(tau=LAGS - 1)["g2_err"].values.ravel()
        np.testing.assert_allclose(got, _deviation(c2, noise, CUTS[name])[1], rtol=1e-6)


@pytest.fixture(scope="module", params=[0.0, -67.5], ids=["along the flow", "across the flow"])
def fringes(request):
    """Cuts of repeated heterodyne runs, photon noise and ageing and all: (g2, its error), (repeat, age, lag)."""
    truth = example_truth()["parameters"]
    run = {"q": 0.012, "phi": request.param, "n_frames": 200, "dt": 0.5, "n_pixels": 900, "mean_counts": 8.0}
    cuts = [
        prepare.g2_cuts(speckle("heterodyne", truth, seed=seed, **run), age=AGES, width=20, cut="diagonal")
        for seed in range(20)
    ]
    return np.array([(one["g2"].values[0, 0], one["g2_err"].values[0, 0]) for one in cuts]).swapaxes(0, 1)


AGES = [40.0, 60.0, 80.0]
SHOWN = np.array([1, 2, 4, 7, 11, 16, 23, 30, 38, 46, 54]) - 1  # up to 27 s, where every age has its window


def test_fringes_that_drift_with_age_are_no_noise(fringes):
    g2, err = fringes[..., SHOWN]
    ratio = np.sqrt((err**2).mean(0) / g2.var(0, ddof=1))
    assert np.mean((ratio > 0.7) & (ratio < 1.4)) >= 0.8
    inside = np.abs(g2 - g2.mean(0)) * np.sqrt(20 / 19) < err
    assert 0.60 <= inside.mean() <= 0.76


def test_errors_change_smoothly_with_lag(fringes):
    err = fringes[1][..., :60]
    assert np.abs(np.diff(np.log(err))).max() < 0.12


def test_static_speckle_that_outlives_half_the_run_still_shows_its_noise():
    rng = np.random.default_rng(10)
    off, err = [], []
    for _ in range(REPEATS // 2):
        c2, truth = speckle_map(N, 60, rng)
        cut = prepare.g2_cuts(make_dataset(c2, q=0.01, phi=0, dt=1.0), age=55.0, width=20.0)["g2_err"]
        err.append(cut.values.ravel()[:40])
        off.append([np.diagonal(c2 - truth, lag)[44:64].mean() for lag in range(1, 41)])
    ratio = np.sqrt(np.mean(np.square(err), axis=0) / np.mean(np.square(off), axis=0))
    assert np.all((ratio > 0.6) & (ratio < 1.4))
