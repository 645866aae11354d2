"""Robust losses: what outliers do to least squares and not to them, and that they cost nothing without."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from fit_samples import HETERODYNE, STATIC, heterodyne_maps, near, static_maps, with_outliers

from heterodyne_nb import fit
from heterodyne_nb.errors import ConfigurationError, DataFormatError

LOSSES = ("huber", "soft_l1", "cauchy", "tukey")


def distance(values: dict[str, float], truth: dict[str, float]) -> float:
    """Largest relative deviation of J over the run."""
    t = static_maps()["t"].values
    j, exact = (p["D0"] * t ** p["alpha"] + p["D_offset"] for p in (values, truth))
    return float(np.max(np.abs(j / exact - 1)))


def static_fit(ds, **settings):
    return fit(ds, "static_isotropic", parameters=near(STATIC), multistart=0, **settings)


@cache
def clean_fit(loss: str = "linear", seed: int = 1):
    return static_fit(static_maps(seed=seed), loss=loss)


@pytest.fixture(scope="module")
def spoiled():
    return with_outliers(static_maps(), share=0.03, size=1.0)


@pytest.fixture(scope="module")
def plain(spoiled):
    return static_fit(spoiled)


@pytest.mark.parametrize("loss", LOSSES)
def test_three_per_cent_of_outliers_do_not_matter_to_a_robust_fit(loss: str, spoiled, plain) -> None:
    robust = static_fit(spoiled, loss=loss)
    clean = clean_fit()
    assert robust.success
    assert distance(robust.values, clean.values) < 0.25 * distance(plain.values, clean.values)
    off = np.abs(robust.dataset["offset"] - 1.0).max()
    assert off < 0.2 * np.abs(plain.dataset["offset"] - 1.0).max()


@pytest.mark.parametrize("loss", LOSSES)
def test_on_clean_data_a_robust_fit_agrees_with_least_squares(loss: str) -> None:
    clean, robust = clean_fit(), clean_fit(loss)
    for name in STATIC:
        assert abs(robust.values[name] - clean.values[name]) < clean.errors[name]


@pytest.mark.parametrize("loss", LOSSES)
def test_on_clean_data_robustness_costs_little_precision(loss: str) -> None:
    ratios = []
    for seed in range(1, 9):  # an error from six clusters varies by 15 % from noise to noise
        bands = [fitted.curve("J") for fitted in (clean_fit(seed=seed), clean_fit(loss, seed))]
        clean, robust = (np.asarray(band["upper"] - band["lower"])[10:40] for band in bands)
        ratios.append(np.mean(np.log(robust / clean)))
    assert np.exp(np.mean(ratios)) == pytest.approx(1.03, abs=0.1)  # 95 % efficiency


def test_a_robust_fit_keeps_the_flow_through_outliers() -> None:
    ds = with_outliers(heterodyne_maps(), share=0.03, size=0.6)
    result = fit(ds, "heterodyne", parameters=near(HETERODYNE, share=0.01), multistart=0, loss="huber")
    v = result.curve("v")["value"].values
    t = ds["t"].values
    truth = HETERODYNE["v0"] * t ** HETERODYNE["beta"] + HETERODYNE["v_offset"]
    np.testing.assert_allclose(v[5:], truth[5:], rtol=0.03)
    assert result.values["phi0"] == pytest.approx(HETERODYNE["phi0"], abs=0.3)


def test_the_path_tells_loss_and_scale_and_tukey_comes_by_way_of_huber(spoiled) -> None:
    path = static_fit(spoiled, loss="tukey").path
    assert [step["loss"] for step in path if "loss" in step] == ["huber", "tukey"]
    scales = {step["scale"] for step in path if "scale" in step}
    assert len(scales) == 1
    assert scales.pop() == pytest.approx(1.1, abs=0.15)


def test_a_stated_scale_is_used(spoiled) -> None:
    stated = static_fit(spoiled, loss="huber", loss_scale=50.0)
    assert {step["scale"] for step in stated.path if "scale" in step} == {50.0}
    estimated = static_fit(spoiled, loss="huber")
    assert distance(estimated.values, STATIC) < distance(stated.values, STATIC)


def test_the_settings_are_recorded(spoiled) -> None:
    config = static_fit(spoiled, loss="cauchy", loss_scale=1.5).provenance["config"]
    assert (config["loss"], config["loss_scale"]) == ("cauchy", 1.5)
    assert "loss_scale" not in static_fit(spoiled).provenance["config"]


def test_robust_losses_are_for_maps() -> None:
    with pytest.raises(ConfigurationError, match="'huber' is for two-time fits"):
        fit(static_maps().isel(q=0, phi=0), "kww", loss="huber")


def test_errors_are_of_ours_when_nothing_is_left() -> None:
    ds = static_maps()
    with pytest.raises(DataFormatError, match="none of the 4 bins"):
        static_fit(ds.assign(c2=ds["c2"] * np.nan, usable=ds["usable"] & False), loss="huber")
