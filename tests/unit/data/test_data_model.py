"""make_dataset, stack_bins, unstack_bins, check_maps."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from layout_builders import build_apsu, random_g2, random_maps

from heterodyne_nb.data import check_maps, make_dataset, open_dataset, stack_bins, unstack_bins
from heterodyne_nb.data.dataset import grid_of, wrap_degrees
from heterodyne_nb.errors import DataFormatError, DataWarning

Q, PHI = [0.01, 0.02], [-90.0, 0.0, 90.0]


def test_a_dataset_from_maps_has_the_whole_data_model():
    maps = random_maps()
    ds = make_dataset(maps, q=Q, phi=PHI, dt=0.5, attrs={"layout": "test"})
    assert ds["c2"].dims == ("q", "phi", "t1", "t2")
    assert ds["c2"].dtype == np.float32
    np.testing.assert_allclose(ds["t"], np.arange(1, 13) * 0.5)
    np.testing.assert_array_equal(ds["t1"], ds["t"])
    np.testing.assert_array_equal(ds["t2"], ds["t"])
    np.testing.assert_array_equal(ds["frame"], np.arange(1, 13))
    assert ds["mask"].dtype == bool
    assert bool(ds["mask"].all())
    assert bool(ds["usable"].all())
    assert ds["g2"].dims == ("q", "phi", "tau")
    assert ds["g2"].attrs["origin"] == "computed from c2"
    assert ds["n_pixels"].attrs["comment"].startswith("unknown")
    assert ds.attrs == {"dt": 0.5, "layout": "test"}


def test_g2_alone_is_a_dataset_too():
    g2, err = (a.T.reshape(2, 3, 4) for a in random_g2(4, 6))
    ds = make_dataset(
        q=Q, phi=PHI, dt=0.5, g2=g2, g2_err=err, tau=[0.5, 1, 2, 4], n_pixels=np.arange(6).reshape(2, 3)
    )
    assert "c2" not in ds
    np.testing.assert_array_equal(ds["g2"], g2)
    assert ds["g2"].attrs["origin"] == "measured"
    np.testing.assert_array_equal(ds["n_pixels"], [[0, 1, 2], [3, 4, 5]])


def test_one_map_of_one_bin_needs_no_extra_axes():
    one = random_maps()[0, 0]
    ds = make_dataset(one, q=0.01, phi=0, dt=1)
    assert ds["c2"].shape == (1, 1, 12, 12)


def test_lazy_arrays_stay_lazy():
    dask = pytest.importorskip("dask.array", reason="dask is an optional extra")
    lazy = dask.from_array(random_maps(), chunks=(1, 1, 12, 12))
    assert make_dataset(lazy, q=Q, phi=PHI, dt=1)["c2"].chunks is not None


MAPS = random_maps()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"c2": MAPS[..., :-1]},
            r"c2 has shape \(2, 3, 12, 11\)[\s\S]*one square map for each of the 2 × 3 bins",
        ),
        ({"c2": MAPS[:, :2]}, r"c2 has shape \(2, 2, 12, 12\)"),
        ({"c2": MAPS[0], "bin_form": True}, "2 q values and 3 phi values"),
        ({"c2": MAPS, "dt": 0}, "dt = 0 s"),
        ({"c2": MAPS, "dt": np.nan}, "dt = nan s"),
        ({"c2": MAPS, "q": [0.01, np.nan]}, "q has shape .* 1 values that are not finite"),
        ({"c2": MAPS, "mask": np.ones(11)}, r"mask has shape \(11,\)\n  expected: \(12,\)"),
        ({"c2": MAPS, "n_pixels": [1, 2, 3]}, r"n_pixels has shape \(3,\)\n  expected: shape \(2, 3\)"),
        ({"c2": MAPS, "g2": np.ones((2, 3, 4))}, "g2 is given without tau"),
        ({"c2": MAPS, "g2": np.ones((2, 3, 4)), "tau": [1, 2]}, r"g2 has shape \(2, 3, 4\)"),
        ({}, "neither c2 nor g2 is given"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(arguments: dict, message: str):
    with pytest.raises(DataFormatError, match=message):
        make_dataset(**{"q": Q, "phi": PHI, "dt": 1.0, **arguments})


def test_stacked_bins_carry_q_and_phi_and_leave_dead_bins_out():
    maps = random_maps()
    maps[0, 1] = np.nan
    ds = make_dataset(maps, q=Q, phi=PHI, dt=0.5, sigma=np.arange(6.0).reshape(2, 3))
    stacked = stack_bins(ds)
    assert stacked.sizes["bin"] == 5
    np.testing.assert_array_equal(stacked["q"], [0.01, 0.01, 0.02, 0.02, 0.02])
    np.testing.assert_array_equal(stacked["phi"], [-90, 90, -90, 0, 90])
    np.testing.assert_array_equal(stacked["sigma"], [0, 2, 3, 4, 5])
    np.testing.assert_array_equal(stacked["c2"], maps.reshape(6, 12, 12)[[0, 2, 3, 4, 5]])
    np.testing.assert_array_equal(stacked["g2"], ds["g2"].values.reshape(6, -1)[[0, 2, 3, 4, 5]])
    assert stacked["q"].attrs["units"] == "1/Å"
    assert stack_bins(ds, drop_dead=False).sizes["bin"] == 6
    assert stack_bins(stacked).identical(stacked)


def test_stacking_and_unstacking_give_the_dataset_back():
    maps = random_maps()
    maps[0, 1] = np.nan
    pixels = np.array([[3, 0, 4], [5, 6, 7]])
    ds = make_dataset(maps, q=Q, phi=PHI, dt=0.5, n_pixels=pixels)
    back = unstack_bins(stack_bins(ds))
    xr.testing.assert_equal(back, ds.load())
    assert unstack_bins(ds) is ds


def test_stacking_a_file_keeps_its_maps_on_disk(tmp_path):
    maps = random_maps()
    stacked = stack_bins(open_dataset(build_apsu(tmp_path / "a.hdf", maps)))
    assert not isinstance(stacked["c2"].variable._data, np.ndarray)
    np.testing.assert_array_equal(
        stacked["c2"].isel(bin=[4, 1], t1=slice(2, 5)), maps.reshape(6, 12, 12)[[4, 1], 2:5]
    )
    np.testing.assert_array_equal(stacked["c2"].isel(bin=slice(0, 0)), np.empty((0, 12, 12)))


def test_when_no_bin_is_left_it_is_an_error():
    ds = make_dataset(np.full((1, 2, 5, 5), np.nan), q=0.01, phi=[0, 10], dt=1)
    with pytest.raises(DataFormatError, match="none of the 2 bins can be used: every map is NaN or constant"):
        stack_bins(ds)


def test_check_maps_names_dead_bins_and_nan_pixels_of_arrays():
    maps = random_maps()
    maps[0, 1], maps[1, 0, 2, 4] = 1.0, np.nan
    ds = make_dataset(maps, q=Q, phi=PHI, dt=0.5, attrs={"source": "arrays"})
    with pytest.warns(DataWarning) as caught:
        checked = check_maps(ds)
    assert sorted(str(w.message) for w in caught) == [
        "arrays: the two-time map of bin q = 0.01 1/Å, phi = 0° is constant; the bin is left out",
        "arrays: the two-time map of bin q = 0.02 1/Å, phi = -90° has 1 NaN pixels (0.758 %); "
        "they are masked and the rest is used",
    ]
    assert np.isnan(checked["c2"][0, 1]).all()
    np.testing.assert_array_equal(checked["usable"], [[True, False, True], [True, True, True]])
    assert not np.isnan(ds["c2"][0, 1]).any()  # what was given is untouched
    assert check_maps(make_dataset(random_maps(), q=Q, phi=PHI, dt=1))["usable"].all()


def test_check_maps_of_a_file_reads_map_by_map_and_keeps_them_on_disk(tmp_path):
    maps = random_maps()
    maps[1, 1, 3, 5] = np.nan
    ds = open_dataset(build_apsu(tmp_path / "a.hdf", maps))
    with pytest.warns(DataWarning, match="2 NaN pixels"):
        checked = check_maps(ds)
    assert not isinstance(checked["c2"].variable._data, np.ndarray)
    assert bool(checked["usable"].all())


def test_check_maps_of_dask_arrays_says_the_same(tmp_path):
    maps = random_maps()
    maps[1, 1, 3, 5] = np.nan
    ds = xr.open_dataset(build_apsu(tmp_path / "a.hdf", maps), engine="xpcs", chunks={"q": 2})
    with pytest.warns(DataWarning, match="2 NaN pixels"):
        checked = check_maps(ds)
    assert checked["c2"].chunks is not None


def test_angles_are_wrapped_into_the_half_open_range():
    np.testing.assert_array_equal(
        wrap_degrees(np.array([0, 180, -180, 190, 360, 359.5, -190])), [0, 180, 180, -170, 0, -0.5, 170]
    )


@settings(deadline=None)
@given(st.floats(-180, 180, exclude_min=True), st.integers(-3, 3))
def test_wrapping_keeps_angles_in_range_exactly_and_undoes_whole_turns(phi: float, turns: int):
    assert wrap_degrees(np.array(phi)) == phi
    wrapped = float(wrap_degrees(np.array(phi + 360.0 * turns)))
    assert -180 < wrapped <= 180
    assert abs((wrapped - phi + 180) % 360 - 180) < 1e-9


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_bins_that_fill_more_than_half_of_a_grid_are_put_on_it(n_q: int, n_phi: int, data: st.DataObject):
    cells = np.array(sorted(data.draw(st.sets(st.integers(0, n_q * n_phi - 1), min_size=1))))
    q, phi = 0.01 * (1 + cells // n_phi), 10.0 * (cells % n_phi)
    grid = grid_of(q, phi)
    size = np.unique(q).size * np.unique(phi).size
    if 2 * cells.size <= size:
        assert grid is None
    else:
        assert grid is not None
        q_axis, phi_axis, places = grid
        np.testing.assert_allclose(q_axis[places // phi_axis.size], q)
        np.testing.assert_allclose(phi_axis[places % phi_axis.size], phi)


def test_two_bins_in_one_place_do_not_suit_a_grid():
    assert grid_of(np.array([0.01, 0.01, 0.02]), np.array([0.0, 0.0, 0.0])) is None
