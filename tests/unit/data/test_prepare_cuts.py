from __future__ import annotations

import numpy as np
import pytest
from noisy_maps import ar_map, white_dataset

from heterodyne_nb.data import make_dataset, prepare, stack_bins
from heterodyne_nb.errors import ConfigurationError

N = 24
DT = 0.1


@pytest.fixture
def ds():
    return white_dataset(N)


def pixel_ages(cut):
    """(t1 index, lag, age in s) of all pixels above the diagonal."""
    i, j = np.triu_indices(N, 1)
    frame = i if cut == "row" else (i + j) / 2
    return i, j - i, (frame + 1) * DT


def expected(c2, used, age, width, cut):
    i, lag, ages = pixel_ages(cut)
    inside = (ages >= age - width / 2 - 1e-9) & (ages < age + width / 2 - 1e-9) & used[i] & used[i + lag]
    out = np.full(N - 1, np.nan)
    for k in range(1, N):
        pixels = c2[i, i + lag][inside & (lag == k)]
        out[k - 1] = np.nanmean(pixels) if np.isfinite(pixels).any() else np.nan
    return out


@pytest.mark.parametrize("cut", ["row", "diagonal"])
@pytest.mark.parametrize("width", [0.1, 0.2, 0.5, 1.7])
def test_a_cut_averages_the_pixels_in_its_window(ds, cut, width):
    ages = [0.3, 0.75, 1.2, 2.4]
    cuts = prepare.g2_cuts(ds, age=ages, width=width, cut=cut)
    for a, age in enumerate(ages):
        want = expected(ds["c2"].values[1, 2].astype(float), np.ones(N, bool), age, width, cut)
        np.testing.assert_allclose(cuts["g2"][1, 2, a], want)


@pytest.mark.parametrize("cut", ["row", "diagonal"])
def test_masked_frames_and_nan_pixels_are_left_out(ds, cut):
    c2 = ds["c2"].values.copy()
    c2[0, 0, 5, 9] = c2[0, 0, 9, 5] = np.nan
    masked = prepare.mask_frames(ds.assign(c2=ds["c2"].copy(data=c2)), [7, (15, 17)])
    cuts = prepare.g2_cuts(masked, age=[0.6, 1.2], width=0.4, cut=cut)
    for a, age in enumerate([0.6, 1.2]):
        want = expected(c2[0, 0].astype(float), masked["mask"].values, age, 0.4, cut)
        np.testing.assert_allclose(cuts["g2"][0, 0, a], want)
    assert (cuts["n_pixels_used"].where(cuts["g2"].isnull(), 0) == 0).all()


@pytest.mark.parametrize("cut", ["row", "diagonal"])
@pytest.mark.parametrize("width", [0.1, 0.3, 0.8])
def test_windows_one_after_the_other_use_every_pixel_once(ds, cut, width):
    one = prepare.select(ds, q=0.01, phi=60)
    cuts = prepare.g2_cuts(one, width=width, cut=cut)
    used = cuts["n_pixels_used"].sum("age").values.ravel()
    np.testing.assert_array_equal(used, N - np.arange(1, N))


def test_a_window_of_one_frame_across_the_diagonal_has_every_lag_from_two_anti_diagonals(ds):
    cuts = prepare.g2_cuts(ds, age=1.2, width=DT, cut="diagonal")
    assert cuts["n_pixels_used"][0, 0, 0, :20].values.tolist() == [1] * 20
    c2 = ds["c2"].values[0, 0]
    np.testing.assert_allclose(cuts["g2"][0, 0, 0, 1], c2[10, 12])  # (t1 + t2)/2 = 1.2 s
    np.testing.assert_allclose(cuts["g2"][0, 0, 0, 0], c2[10, 11])  # half a frame earlier


def test_one_anti_diagonal_alone_steps_by_two_dt(ds):
    cuts = prepare.g2_cuts(ds, age=1.2, width=0, cut="diagonal").isel(q=0, phi=0, age=0)
    known = cuts["tau"].values[np.isfinite(cuts["g2"].values)]
    np.testing.assert_allclose(np.diff(known), 2 * DT)
    np.testing.assert_allclose(cuts["g2"].values[1], ds["c2"].values[0, 0, 10, 12])


def test_one_row_alone_is_a_row(ds):
    cuts = prepare.g2_cuts(ds, age=0.5, width=0)
    np.testing.assert_allclose(cuts["g2"][0, 0, 0, :19], ds["c2"].values[0, 0, 4, 5:])


def test_without_age_and_width_the_cut_is_g2_over_all_ages(ds):
    for cut in ("row", "diagonal"):
        cuts = prepare.g2_cuts(ds, cut=cut)
        np.testing.assert_allclose(cuts["g2"].isel(age=0), ds["g2"])
        np.testing.assert_allclose(cuts["g2_err"].isel(age=0), ds["g2_err"])


def test_rows_and_anti_diagonals_of_an_ageing_sample_differ_as_they_should():
    n = 200
    t = np.arange(1, n + 1) * 0.01
    position = t**2
    c2 = 1 + 0.2 * np.exp(-np.abs(position[:, None] - position))
    ds = make_dataset(c2, q=0.01, phi=0.0, dt=0.01)
    tau = 0.2
    for cut, start in (("row", 1.0), ("diagonal", 0.9)):
        value = prepare.g2_cuts(ds, age=1.0, cut=cut)["g2"].sel(tau=tau, method="nearest").item()
        assert value == pytest.approx(1 + 0.2 * np.exp(-((start + tau) ** 2 - start**2)), rel=1e-6)


def test_the_bin_form_gives_the_same_cuts(ds):
    grid = prepare.g2_cuts(ds, age=[1.0], width=0.3)
    bins = prepare.g2_cuts(stack_bins(ds), age=[1.0], width=0.3)
    np.testing.assert_array_equal(bins["g2"].values.ravel(), grid["g2"].values.ravel())
    assert bins["g2"].dims == ("bin", "age", "tau")
    assert set(bins.coords) >= {"q", "phi"}


def test_ages_stay_absolute_after_cropping(ds):
    cropped = prepare.crop_frames(ds, 5, 20)
    cut = prepare.g2_cuts(cropped, age=1.0, width=0.1)
    np.testing.assert_allclose(cut["g2"][0, 0, 0, :10], ds["c2"].values[0, 0, 9, 10:20])


def test_a_dead_bin_gives_nan():
    ds = white_dataset(N)
    ds["usable"][0, 1] = False
    cuts = prepare.g2_cuts(ds, age=1.0)
    assert np.isnan(cuts["g2"][0, 1]).all()
    assert (cuts["n_pixels_used"][0, 1] == 0).all()


def test_wider_windows_have_smaller_errors():
    c2, _ = ar_map(200, 0.5, np.random.default_rng(5))
    ds = make_dataset(c2, q=0.01, phi=0, dt=DT)
    few, many = (prepare.g2_cuts(ds, age=8.0, width=w)["g2_err"].values.ravel()[:80] for w in (0.4, 6.4))
    assert np.median(many / few) < 0.45


@pytest.mark.parametrize("age", [0.0, -1, 2.5, [1.0, 99.0], np.nan])
def test_an_age_outside_the_run_is_an_error(ds, age):
    with pytest.raises(ConfigurationError, match=r"outside the run(.|\n)*from 0.1 to 2.4"):
        prepare.g2_cuts(ds, age=age)


@pytest.mark.parametrize("age", ["early", [], [[1.0]]])
def test_an_age_is_a_number_or_a_list(ds, age):
    with pytest.raises(ConfigurationError, match=r"is not an age"):
        prepare.g2_cuts(ds, age=age)


@pytest.mark.parametrize("width", [-1, 0.05, np.nan, np.inf])
def test_a_window_without_a_frame_is_an_error(ds, width):
    with pytest.raises(ConfigurationError, match=r"holds no frame(.|\n)*at least dt = 0.1"):
        prepare.g2_cuts(ds, age=1.0, width=width)


def test_a_width_is_a_number(ds):
    with pytest.raises(ConfigurationError, match=r"'wide' is not a width"):
        prepare.g2_cuts(ds, age=1.0, width="wide")


def test_an_unknown_cut_is_an_error(ds):
    with pytest.raises(ConfigurationError, match=r"no cut 'column'(.|\n)*'row' or 'diagonal'"):
        prepare.g2_cuts(ds, age=1.0, cut="column")


def test_a_dataset_without_maps_cannot_be_cut():
    ds = make_dataset(g2=np.ones((1, 1, 2)), tau=[1.0, 2.0], q=0.01, phi=0, dt=1.0)
    with pytest.raises(ConfigurationError, match=r"a cut at an age needs a two-time map"):
        prepare.g2_cuts(ds, age=1.0)
