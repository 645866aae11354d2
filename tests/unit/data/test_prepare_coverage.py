"""The error bars of cuts, judged by how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from noisy_maps import ar_map, speckle_map, striped_map

from heterodyne_nb.data import make_dataset, prepare

N = 110
REPEATS = 50
LAGS = np.array([2, 4, 7, 11, 16, 22, 29, 37, 46, 56])
KINDS = {
    "noise correlated over 1 frame": lambda rng: ar_map(N, 0.3, rng),
    "noise correlated over 3 frames": lambda rng: ar_map(N, 0.7, rng),
    "stripes of frames": lambda rng: striped_map(N, rng),
    "speckle of 2 frames": lambda rng: speckle_map(N, 2, rng),
    "speckle of 5 frames": lambda rng: speckle_map(N, 5, rng),
}
CUTS = {
    "12 frames across the diagonal": {"cut": "diagonal", "age": 55.0, "width": 12.0},
    "30 rows": {"cut": "row", "age": 25.0, "width": 30.0},
    "all ages": {"cut": "row"},
}


def pixels_of(cut, lag):
    """First and one past the last t1 index that a cut averages at a lag, worked out by hand."""
    if "age" not in cut:
        return 0, N - lag
    first = cut["age"] - cut["width"] / 2 - 1 - (lag / 2 if cut["cut"] == "diagonal" else 0)
    return int(np.ceil(first)), int(np.ceil(first + cut["width"]))


def deviations(kind, cut, seed):
    """Yield (g2 − truth, its error, number of pixels) at ``LAGS`` for fresh maps."""
    rng = np.random.default_rng(seed)
    for _ in range(REPEATS):
        c2, truth = KINDS[kind](rng)
        cuts = prepare.g2_cuts(make_dataset(c2, q=0.01, phi=0, dt=1.0), **cut).isel(tau=LAGS - 1)
        exact = [np.diagonal(truth, lag)[slice(*pixels_of(cut, lag))].mean() for lag in LAGS]
        yield np.array([cuts["g2"].values.ravel() - exact, *(cuts[v].values.ravel() for v in list(cuts)[1:])])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", CUTS)
def test_68_percent_intervals_hold_the_truth_60_to_75_percent_of_the_time(kind, cut):
    off, err, _ = np.moveaxis(list(deviations(kind, CUTS[cut], seed=8)), 1, 0)
    assert 0.60 <= np.mean(np.abs(off) < err) <= 0.75


@pytest.mark.parametrize("kind", ["noise correlated over 3 frames", "speckle of 5 frames"])
def test_errors_of_independent_pixels_would_fail(kind):
    off, _, count = np.moveaxis(list(deviations(kind, CUTS["30 rows"], seed=8)), 1, 0)
    pixel_noise = 0.05  # both kinds are made with it (1/√400 for the speckle)
    assert np.mean(np.abs(off) < pixel_noise / np.sqrt(count)) < 0.52
