from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from noisy_maps import white_dataset

from heterodyne_nb.data import make_dataset, prepare, stack_bins
from heterodyne_nb.errors import ConfigurationError


def phis(ds, **choice):
    return prepare.select(ds, **choice)["phi"].values.tolist()


def test_a_number_keeps_the_nearest_value_and_the_dimension():
    chosen = prepare.select(white_dataset(), q=0.0111, phi=70)
    assert chosen["c2"].dims == ("q", "phi", "t1", "t2")
    assert chosen["q"].values.tolist() == [0.01]
    assert chosen["phi"].values.tolist() == [60.0]


def test_a_list_keeps_the_nearest_of_each_in_its_order_once():
    assert phis(white_dataset(), phi=[60, -149, 61]) == [60.0, -150.0]


def test_phi_is_periodic_for_numbers():
    assert phis(white_dataset(), phi=-180) == [175.0]
    assert phis(white_dataset(), phi=210) == [-150.0]


@pytest.mark.parametrize("span", [(170, -140), (170, 220), (-190, -140)])
def test_a_phi_range_may_cross_the_cut(span):
    assert phis(white_dataset(), phi=span) == [-150.0, 175.0]


def test_a_range_of_a_full_turn_keeps_all():
    assert len(phis(white_dataset(), phi=(-180, 180))) == 4
    assert len(phis(white_dataset(), phi=(0, 360))) == 4


def test_range_limits_are_included():
    assert phis(white_dataset(), phi=(-30, 60)) == [-30.0, 60.0]
    assert prepare.select(white_dataset(), q=(0.01, 0.02)).sizes["q"] == 2


@settings(deadline=None, max_examples=60)
@given(lo=st.integers(-400, 400), width=st.integers(0, 400), turn=st.sampled_from([-360, 0, 360]))
def test_a_phi_range_means_the_same_however_its_ends_are_written(lo, width, turn):
    phi = np.arange(-175.0, 180.0, 10.0)
    ds = make_dataset(g2=np.ones((1, 36, 2)), tau=[1.0, 2.0], q=0.01, phi=phi, dt=1.0)
    expected = [p for p in phi if min(width, 360) >= (p - lo) % 360 or width >= 360]
    if not expected:
        with pytest.raises(ConfigurationError):
            prepare.select(ds, phi=(lo, lo + width))
        return
    assert phis(ds, phi=(lo, lo + width)) == expected
    if 0 < width < 360:
        assert phis(ds, phi=(lo + turn, lo + width)) == expected or turn == -360


def test_an_empty_range_lists_what_there_is():
    with pytest.raises(ConfigurationError, match=r"no q in \[0.5, 0.6\](.|\n)*0.01, 0.02"):
        prepare.select(white_dataset(), q=(0.5, 0.6))
    with pytest.raises(ConfigurationError, match=r"no phi in \[0, 10\](.|\n)*-150, -30, 60, 175"):
        prepare.select(white_dataset(), phi=(0, 10))


def test_a_q_in_inverse_nanometres_is_refused():
    with pytest.raises(ConfigurationError, match=r"no q near 0.1; the nearest, 0.02, is too far"):
        prepare.select(white_dataset(), q=0.1)


def test_the_only_phi_is_not_taken_for_any_other():
    ds = white_dataset(phi=(0.0,))
    assert phis(ds, phi=4) == [0.0]
    with pytest.raises(ConfigurationError, match=r"no phi near 90"):
        prepare.select(ds, phi=90)


@pytest.mark.parametrize("wrong", ["left", [], [[1, 2]], float("nan"), {"a": 1}])
def test_what_is_not_numbers_is_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"cannot select"):
        prepare.select(white_dataset(), q=wrong)


def test_a_tuple_of_three_is_not_a_range():
    with pytest.raises(ConfigurationError, match=r"3 numbers(.|\n)*write a list"):
        prepare.select(white_dataset(), phi=(1, 2, 3))


def test_a_long_list_of_values_is_shortened_in_the_message():
    ds = make_dataset(g2=np.ones((1, 72, 2)), tau=[1.0, 2.0], q=0.01, phi=np.arange(72) * 5.0, dt=1.0)
    with pytest.raises(ConfigurationError, match=r"72 phi(.|\n)*…"):
        prepare.select(ds, phi=(1, 2))


def places(bins):
    return sorted(zip(bins["q"].values, bins["phi"].values, strict=True))


def test_bins_are_selected_like_the_grid():
    ds = white_dataset()
    bins = stack_bins(ds)
    for choice in (
        {"q": 0.0199},
        {"phi": [60, -30]},
        {"q": (0.005, 0.015), "phi": (170, -140)},
        {"phi": 100},
    ):
        grid = stack_bins(prepare.select(ds, **choice))
        chosen = prepare.select(bins, **choice)
        assert places(chosen) == places(grid)


def test_a_bin_ring_takes_in_bins_whose_q_differs_by_rounding():
    ds = make_dataset(
        g2=np.ones((3, 2)),
        tau=[1.0, 2.0],
        q=[0.01, 0.01 * (1 + 1e-9), 0.02],
        phi=[0, 90, 0],
        dt=1,
        bin_form=True,
    )
    assert prepare.select(ds, q=0.0101).sizes["bin"] == 2


def test_selecting_reads_no_map():
    ds = white_dataset()
    ds["c2"].variable._data = _Unreadable(ds["c2"].shape)
    assert prepare.select(ds, q=0.01, phi=(-40, 70)).sizes["phi"] == 2


def _Unreadable(shape):
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class Unreadable(BackendArray):
        dtype = np.dtype(np.float32)

        def __init__(self):
            self.shape = shape

        def __getitem__(self, key):
            raise AssertionError("a map was read")

    return indexing.LazilyIndexedArray(Unreadable())
