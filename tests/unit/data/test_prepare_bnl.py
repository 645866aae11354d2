"""The cuts behind a published table: a 350 × 350 map of NSLS-II and its fits at every age."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from heterodyne_nb.data import make_dataset, prepare

HERE = Path(__file__).resolve()
FOLDER = next((p / "shared/data/bnl" for p in HERE.parents if (p / "shared/data/bnl").is_dir()), None)
NAMES = ("beta", "gamma", "ginf", "alpha")

pytestmark = pytest.mark.skipif(FOLDER is None, reason="the published map is not here (../shared/data/bnl)")


@pytest.fixture(scope="module")
def table():
    return json.loads((FOLDER / "fit_results_raw.json").read_text())["1"]


@pytest.fixture(scope="module")
def cuts(table):
    # their frames count from 0 and ours from 1: age = bin centre + dt
    ages = np.array(table["ages"]["bin_centers"]) + 1.0
    ds = make_dataset(np.load(FOLDER / "test_g2.npy"), q=0.01, phi=0.0, dt=1.0)
    width = float(table["ages"]["bin_width"])
    return prepare.g2_cuts(ds, age=ages, width=width, cut="diagonal").isel(q=0, phi=0)


def r_squared(tau, g2, beta, gamma, ginf, alpha):
    model = ginf + beta * np.exp(-2 * (gamma * tau) ** alpha)
    return 1 - np.sum((g2 - model) ** 2) / np.sum((g2 - g2.mean()) ** 2)


@pytest.mark.parametrize("suffix", ["", "_no_tail"])
def test_published_parameters_fit_our_cuts_exactly_as_well_as_published(cuts, table, suffix):
    values = np.array([table[f"parameters{suffix}"][name] for name in NAMES])
    published = np.array(table[f"fit_quality{suffix}"]["r2_fit"])
    compared = 0
    for k in np.flatnonzero(np.isfinite(values).all(0) & np.isfinite(published)):
        one = cuts["g2"].isel(age=k).dropna("tau")
        assert r_squared(one["tau"].values, one.values, *values[:, k]) == pytest.approx(
            published[k], abs=2e-6
        )
        compared += 1
    assert compared == 296


def test_every_pixel_off_the_diagonal_is_in_one_cut(cuts):
    assert int(cuts["n_pixels_used"].sum()) == 350 * 349 // 2
