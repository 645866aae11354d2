from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from noisy_maps import white_dataset

from heterodyne_nb.data import ChunkedDataProcessor, make_dataset
from heterodyne_nb.data.chunked import ChunkStatistics
from heterodyne_nb.errors import ConfigurationError, DataFormatError

VALUES = st.floats(-1e6, 1e6) | st.just(np.nan)


@settings(deadline=None, max_examples=50)
@given(
    data=arrays(
        float,
        st.tuples(st.integers(1, 4), st.integers(1, 30)),
        elements=st.floats(-1e6, 1e6) | st.just(np.nan),
    ),
    size=st.integers(1, 40),
)
def test_statistics_do_not_depend_on_the_chunks(data, size):
    found = ChunkedDataProcessor(size).combined(data)
    finite = data[np.isfinite(data)]
    assert (found.count, found.n_nan) == (finite.size, np.isnan(data).sum())
    if finite.size:
        assert (found.minimum, found.maximum) == (finite.min(), finite.max())
        assert found.mean == pytest.approx(finite.mean(), rel=1e-9, abs=1e-6)
    else:
        assert np.isnan(found.mean)


def test_chunks_cover_the_first_axis_once():
    data = np.arange(2 * 25).reshape(25, 2)
    chunks = list(ChunkedDataProcessor(10).chunk_data(data))
    assert [c.shape for c in chunks] == [(10, 2), (10, 2), (5, 2)]
    np.testing.assert_array_equal(np.concatenate(chunks), data)


def test_the_result_of_each_chunk_is_yielded_before_the_next_chunk_is_read():
    read = []

    class Watched(ChunkedDataProcessor):
        def process_chunk(self, chunk):
            read.append(len(chunk))
            return chunk.sum()

    results = Watched(chunk_size=4).process_large_dataset(np.arange(10))
    assert (next(results), read) == (6, [4])
    assert list(results) == [22, 17]


def test_maps_are_read_one_after_the_other():
    ds = white_dataset(24)
    chunks = list(ChunkedDataProcessor(10).chunk_data(ds))
    assert len(chunks) == 8 * 3
    assert {c.sizes["t2"] for c in chunks} == {10, 4}
    assert ChunkedDataProcessor(10).combined(ds).mean == pytest.approx(float(ds["c2"].mean()), rel=1e-6)


def test_a_chunk_is_all_that_is_read():
    from xarray.backends import BackendArray
    from xarray.core import indexing

    largest = []

    class Watched(BackendArray):
        shape, dtype = (1, 3, 50, 50), np.dtype(float)

        def __getitem__(self, key):
            return indexing.explicit_indexing_adapter(
                key, self.shape, indexing.IndexingSupport.OUTER, self.read
            )

        def read(self, key):
            places = [np.atleast_1d(np.arange(n)[k]) for k, n in zip(key, self.shape, strict=True)]
            block = np.ones([len(p) for p in places])
            largest.append(block.size)
            return block

    c2 = xr.DataArray(
        xr.Variable(("q", "phi", "t1", "t2"), indexing.LazilyIndexedArray(Watched())), name="c2"
    )
    assert ChunkedDataProcessor(8).combined(c2).count == 3 * 50 * 50
    assert max(largest) == 50 * 8


def test_without_maps_g2_is_processed():
    ds = make_dataset(g2=np.ones((1, 2, 5)), tau=np.arange(1.0, 6), q=0.01, phi=[0, 90], dt=1.0)
    assert ChunkedDataProcessor(2).combined(ds).count == 10


def test_a_subclass_replaces_the_work_and_the_combination():
    class Sums(ChunkedDataProcessor):
        def process_chunk(self, chunk):
            return float(chunk.sum())

        def combine(self, results):
            return sum(results)

    assert Sums(3).combined(np.arange(10.0)) == 45.0


def test_functions_may_be_passed_instead():
    assert ChunkedDataProcessor(4, np.max, max).combined(np.arange(10)) == 9
    assert ChunkedDataProcessor(4, np.sum).combined(np.arange(10)) == [6, 22, 17]


def test_a_list_is_an_array_too():
    assert ChunkedDataProcessor().combined([1, 2, 3]) == ChunkStatistics(3, 0, 6.0, 1.0, 3.0)


def test_the_default_chunk_is_a_thousand_frames():
    assert ChunkedDataProcessor().chunk_size == 1000


def test_empty_data_have_empty_statistics():
    assert ChunkedDataProcessor().combined(np.empty((3, 0))) == ChunkStatistics()


@pytest.mark.parametrize("size", [0, -1, 2.5, "10", True])
def test_a_chunk_size_is_a_positive_whole_number(size):
    with pytest.raises(ConfigurationError, match=r"chunk_size(.|\n)*a whole number from 1"):
        ChunkedDataProcessor(size)


@pytest.mark.parametrize("data", [3.0, xr.DataArray(3.0)])
def test_a_single_value_is_an_error(data):
    with pytest.raises(DataFormatError, match=r"a single value"):
        ChunkedDataProcessor().combined(data)


def test_text_has_no_statistics():
    with pytest.raises(DataFormatError, match=r"data of type"):
        ChunkedDataProcessor().combined(np.array(["a", "b"]))


def test_a_dataset_without_correlations_is_an_error():
    with pytest.raises(DataFormatError, match=r"holds \['x'\](.|\n)*c2 or g2"):
        ChunkedDataProcessor().combined(xr.Dataset({"x": ("t", [1.0])}))
