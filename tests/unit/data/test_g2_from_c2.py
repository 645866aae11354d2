from __future__ import annotations

import numpy as np
import pytest
from noisy_maps import ar_map, lags

from heterodyne_nb.data.cuts import g2_from_c2
from heterodyne_nb.errors import DataFormatError


def test_g2_is_the_mean_of_each_diagonal():
    c2 = ar_map(40, 0.3, np.random.default_rng(0))[0]
    g2, _ = g2_from_c2(c2)
    np.testing.assert_allclose(g2, [np.diagonal(c2, k).mean() for k in range(1, 40)])


def test_masked_frames_and_nan_pixels_do_not_count():
    c2 = ar_map(30, 0.3, np.random.default_rng(1))[0]
    used = np.ones(30, dtype=bool)
    used[[4, 17]] = False
    spoilt = c2.copy()
    spoilt[4], spoilt[:, 4], spoilt[:, 17], spoilt[17] = 1e6, 1e6, -1e6, -1e6
    spoilt[8, 12] = np.nan
    good = used[:, None] & used & np.isfinite(spoilt)
    expected = [c2[np.triu(good) & (lags(30) == k)].mean() for k in range(1, 30)]
    np.testing.assert_allclose(g2_from_c2(spoilt, used)[0], expected)


def test_only_the_upper_triangle_is_read():
    c2 = ar_map(20, 0.3, np.random.default_rng(2))[0]
    np.testing.assert_array_equal(g2_from_c2(np.triu(c2, 1)), g2_from_c2(c2))


def test_errors_of_independent_pixels_are_those_of_a_mean():
    rng = np.random.default_rng(3)
    c2 = np.triu(rng.normal(1, 0.1, (400, 400)), 1)
    _, err = g2_from_c2(c2)
    np.testing.assert_allclose(err[100:200], 0.1 / np.sqrt(np.arange(299, 199, -1)), rtol=0.15)


def test_correlated_pixels_give_larger_errors_than_a_plain_mean():
    c2 = ar_map(400, 0.8, np.random.default_rng(4))[0]
    _, err = g2_from_c2(c2)
    plain = np.array([np.diagonal(c2, k).std() / np.sqrt(400 - k) for k in range(100, 200)])
    expected = np.sqrt((1 + 0.8**2) / (1 - 0.8**2))  # noise along a diagonal: ρ² a step
    np.testing.assert_allclose(np.median(err[99:199] / plain), expected, rtol=0.2)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_tiny_maps_give_means_and_no_warning(n):
    g2, err = g2_from_c2(np.full((n, n), 1.25) + np.arange(n))
    assert g2.shape == err.shape == (n - 1,)
    assert np.isfinite(g2).all()


def test_a_map_of_nan_gives_nan():
    g2, err = g2_from_c2(np.full((10, 10), np.nan))
    assert np.isnan(g2).all()
    assert np.isnan(err).all()


def test_a_map_that_is_not_square_is_an_error():
    with pytest.raises(DataFormatError, match=r"shape \(3, 4\)"):
        g2_from_c2(np.ones((3, 4)))


def test_a_mask_of_another_length_is_an_error():
    with pytest.raises(DataFormatError, match=r"mask: shape \(2,\)"):
        g2_from_c2(np.ones((3, 3)), np.ones(2, dtype=bool))
