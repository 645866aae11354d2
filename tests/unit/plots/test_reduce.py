"""Block means of maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.maps import block_mean, reduce_map, reduce_strips, reduced_curve


def test_a_map_that_fits_comes_back_as_it_is() -> None:
    values = np.arange(12.0).reshape(3, 4)
    reduced, factor = reduce_map(values, 4)
    assert factor == 1
    np.testing.assert_array_equal(reduced, values)


def test_each_block_is_the_mean_of_its_finite_pixels() -> None:
    values = np.array([[1.0, 3.0, 10.0], [np.nan, 5.0, np.nan], [7.0, np.nan, np.nan]])
    reduced, factor = reduce_map(values, 2)
    assert factor == 2
    np.testing.assert_allclose(reduced, [[3.0, 10.0], [7.0, np.nan]])


@given(rows=st.integers(1, 40), columns=st.integers(1, 40), size=st.integers(1, 45), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_reduction_keeps_the_sum_of_all_pixels_and_the_wanted_size(
    rows: int, columns: int, size: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, columns))
    values[rng.random(values.shape) < 0.2] = np.nan
    reduced, factor = reduce_map(values, size)
    assert max(reduced.shape) <= size
    assert reduced.shape == (-(-rows // factor), -(-columns // factor))
    counts = block_mean(np.isfinite(values).astype(float), factor).astype(float)
    edges = [np.diff(np.append(np.arange(0, n, factor), n)) for n in values.shape]
    pixels = counts * np.outer(*edges)
    assert np.nansum(reduced * pixels) == pytest.approx(np.nansum(values), abs=1e-3)


def test_reading_by_strips_gives_the_same_map(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(23, 23))
    monkeypatch.setattr("heterodyne_nb.plots.maps._STRIP_PIXELS", 100)
    asked: list[tuple[int, int]] = []

    def read(first: int, last: int) -> np.ndarray:
        asked.append((first, last))
        return values[first:last]

    reduced = reduce_strips(read, 23, 23, 3)
    np.testing.assert_allclose(reduced, block_mean(values, 3))
    assert len(asked) > 3


def test_reduced_curve_are_the_mean_times_of_the_blocks() -> None:
    np.testing.assert_allclose(reduced_curve(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 2), [1.5, 3.5, 5.0])


@pytest.mark.parametrize(("values", "size"), [(np.zeros(5), 3), (np.zeros((2, 2)), 0)])
def test_what_is_no_map_or_no_size_is_refused(values: np.ndarray, size: int) -> None:
    with pytest.raises(ConfigurationError):
        reduce_map(values, size)
