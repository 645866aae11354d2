from __future__ import annotations

import numpy as np
import pytest
from noisy_maps import ar_map, lags, speckle_map, striped_map, white_dataset

from heterodyne_nb.data import make_dataset, prepare
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.simulate import example_truth, speckle


def dataset(*maps):
    return make_dataset(np.stack(maps)[None], q=0.01, phi=np.arange(len(maps)) * 30.0, dt=0.1)


def test_sigma_of_white_noise():
    sigma = prepare.estimate_sigma(white_dataset(60))
    assert sigma.dims == ("q", "phi")
    np.testing.assert_allclose(sigma, 0.1, rtol=0.1)


@pytest.mark.parametrize("rho", [0.3, 0.8, 0.9])
def test_sigma_of_noise_that_neighbours_share(rho):
    rng = np.random.default_rng(1)
    ds = dataset(*(ar_map(200, rho, rng)[0] for _ in range(3)))
    np.testing.assert_allclose(prepare.estimate_sigma(ds).mean(), 0.05, rtol=0.08)


def test_sigma_of_stripes_counts_both_frames_of_a_pixel():
    c2 = striped_map(200, np.random.default_rng(2))[0]
    np.testing.assert_allclose(prepare.estimate_sigma(dataset(c2)), 0.05 * np.sqrt(3), rtol=0.1)


@pytest.mark.parametrize("lifetime", [2, 8])
def test_sigma_of_speckle_is_one_over_the_root_of_its_pixels(lifetime):
    rng = np.random.default_rng(3)
    ds = dataset(*(speckle_map(200, lifetime, rng)[0] for _ in range(3)))
    np.testing.assert_allclose(prepare.estimate_sigma(ds).mean(), 1 / np.sqrt(400), rtol=0.12)


def test_fringes_and_decay_are_no_noise():
    noise = white_dataset(120, q=(0.01,), phi=(0.0,), sigma=0.02)["c2"].values[0, 0]
    c2 = noise + 0.3 * np.exp(-lags(120) / 20) * np.cos(1.3 * lags(120))
    np.testing.assert_allclose(prepare.estimate_sigma(dataset(c2)), 0.02, rtol=0.05)


def test_a_few_bad_frames_hardly_move_sigma():
    c2 = white_dataset(120, q=(0.01,), phi=(0.0,), sigma=0.02)["c2"].values[0, 0].copy()
    c2[[10, 50]] += 5
    c2[:, [10, 50]] += 5
    np.testing.assert_allclose(prepare.estimate_sigma(dataset(c2)), 0.02, rtol=0.2)
    masked = prepare.mask_frames(dataset(c2), [11, 51])
    np.testing.assert_allclose(prepare.estimate_sigma(masked), 0.02, rtol=0.05)


def test_a_dead_bin_has_no_sigma():
    ds = white_dataset()
    ds["usable"][0, 2] = False
    sigma = prepare.estimate_sigma(ds)
    assert np.isnan(sigma[0, 2])
    assert np.isfinite(sigma).sum() == 7


def test_sigma_fits_into_its_dataset():
    ds = white_dataset()
    assert ds.assign(sigma=prepare.estimate_sigma(ds))["sigma"].attrs["units"] == "1"


def spoilt(rng):
    maps = [ar_map(120, 0.5, rng)[0] for _ in range(2)]
    for c2 in maps:
        c2[40] += 0.1
        c2[:, 40] += 0.1
        c2[90:93] += rng.normal(0, 0.3, (3, 120))
        c2[:, 90:93] = c2[90:93].T
    return dataset(*maps)


def test_bad_frames_are_found_and_only_offered():
    ds = spoilt(np.random.default_rng(4))
    offered = prepare.detect_bad_frames(ds)
    assert offered["frame"].values[~offered.values].tolist() == [41, 91, 92, 93]
    assert ds["mask"].all()
    masked = prepare.mask_frames(ds, offered)
    assert masked["frame"].values[~masked["mask"].values].tolist() == [41, 91, 92, 93]


def test_good_data_raise_no_alarm():
    rng = np.random.default_rng(5)
    makers = [lambda: ar_map(120, 0.5, rng)[0], lambda: speckle_map(120, 5, rng)[0]]
    alarms = [int((~prepare.detect_bad_frames(dataset(make(), make()))).sum()) for make in makers * 5]
    assert sum(alarms) == 0


def test_frames_that_were_never_measured_are_bad():
    ds = white_dataset(40)
    c2 = ds["c2"].values.copy()
    c2[..., 7, :] = c2[..., :, 7] = np.nan
    offered = prepare.detect_bad_frames(ds.assign(c2=ds["c2"].copy(data=c2)))
    assert offered["frame"].values[~offered.values].tolist() == [8]


def test_masked_frames_stay_masked_and_do_not_disturb():
    ds = prepare.mask_frames(spoilt(np.random.default_rng(4)), (91, 93))
    offered = prepare.detect_bad_frames(ds)
    assert offered["frame"].values[~offered.values].tolist() == [41, 91, 92, 93]


@pytest.mark.parametrize("threshold", [0, -1, "high", None])
def test_a_threshold_is_positive(threshold):
    with pytest.raises(ConfigurationError, match=r"threshold(.|\n)*a positive number"):
        prepare.detect_bad_frames(white_dataset(), threshold=threshold)


@pytest.mark.parametrize("verb", [prepare.estimate_sigma, prepare.detect_bad_frames])
def test_without_maps_there_is_nothing_to_look_at(verb):
    ds = make_dataset(g2=np.ones((1, 1, 2)), tau=[1.0, 2.0], q=0.01, phi=0, dt=1.0)
    with pytest.raises(ConfigurationError, match=r"needs a two-time map"):
        verb(ds)


def scatter_of_pixels(maps):
    """The root mean square, over pixels off the diagonal, of the scatter between repeated runs."""
    return np.sqrt(maps.var(axis=0, ddof=1)[np.triu_indices(maps.shape[-1], 1)].mean())


def estimates(maps):
    ds = make_dataset(maps[None].astype(np.float32), q=0.01, phi=np.arange(len(maps)) * 1.0, dt=0.5)
    return prepare.estimate_sigma(ds).values.ravel()


@pytest.fixture(scope="module", params=["speckle of 5 frames", "speckle of 60 frames", "fringes"])
def repeated(request):
    if request.param.startswith("speckle"):
        rng = np.random.default_rng(11)
        return np.array([speckle_map(200, int(request.param.split()[2]), rng)[0] for _ in range(24)])
    run = {"q": 0.012, "phi": 0.0, "n_frames": 200, "dt": 0.5}
    truth = example_truth()["parameters"]
    runs = (speckle("heterodyne", truth, n_pixels=900, mean_counts=8.0, seed=s, **run) for s in range(24))
    return np.array([one["c2"].values[0, 0] for one in runs])


@pytest.fixture(scope="module")
def estimated(repeated):
    return estimates(repeated)


def test_sigma_is_the_scatter_of_repeated_runs_and_hardly_scatters_itself(repeated, estimated):
    sigma = estimated / scatter_of_pixels(repeated)
    assert sigma.mean() == pytest.approx(1, abs=0.1)
    assert sigma.std() < 0.12


def test_bins_of_known_size_share_what_they_show_of_speckle(repeated):
    maps = repeated[None].astype(np.float32)
    n_pixels = np.full(maps.shape[:2], 900)
    ds = make_dataset(maps, q=0.01, phi=np.arange(len(repeated)) * 1.0, dt=0.5, n_pixels=n_pixels)
    sigma = prepare.estimate_sigma(ds).values / scatter_of_pixels(repeated)
    assert sigma.mean() == pytest.approx(1, abs=0.1)
    assert sigma.std() < 0.06


def test_half_the_pixels_give_more_noise_also_in_company():
    rng = np.random.default_rng(12)
    maps = [speckle_map(100, 5, rng, n_pixels=n)[0] for n in (400, 400, 400, 100, 100, 100)]
    sizes = np.array([[400, 400, 400, 100, 100, 100]])
    ds = make_dataset(np.stack(maps)[None], q=0.01, phi=np.arange(6) * 1.0, dt=0.5, n_pixels=sizes)
    sigma = prepare.estimate_sigma(ds).values.ravel()
    np.testing.assert_allclose(sigma, 1 / np.sqrt(sizes.ravel()), rtol=0.12)


def test_a_beam_dump_hardly_moves_sigma_masked_or_not(repeated, estimated):
    maps = repeated[:6]
    spoilt = maps.copy()
    spoilt[:, 120:124] = spoilt[:, :, 120:124] = 1.0
    assert estimates(spoilt).mean() == pytest.approx(estimated[:6].mean(), rel=0.1)
    ds = make_dataset(spoilt[None].astype(np.float32), q=0.01, phi=np.arange(6) * 1.0, dt=0.5)
    masked = prepare.estimate_sigma(prepare.mask_frames(ds, (121, 124)))
    assert masked.mean().item() == pytest.approx(estimated[:6].mean(), rel=0.1)
