from __future__ import annotations

import numpy as np
import pytest

from heterodyne_nb.data import make_dataset, prepare, stack_bins
from heterodyne_nb.data.cuts import g2_from_c2
from heterodyne_nb.errors import ConfigurationError

PIXELS = np.arange(1, 9).reshape(2, 4) * 10.0


@pytest.fixture
def ds():
    return white_dataset(n_pixels=PIXELS, sigma=np.full((2, 4), 0.1)).assign_attrs(layout="test")


def white_dataset(**more):
    c2 = np.random.default_rng(0).normal(1, 0.1, (2, 4, 16, 16)).astype(np.float32)
    c2 = np.triu(c2) + np.triu(c2, 1).swapaxes(-1, -2)
    return make_dataset(c2, q=[0.01, 0.02], phi=[-150.0, -30.0, 60.0, 175.0], dt=0.1, **more)


def measured(phi):
    return make_dataset(g2=np.ones((1, len(phi), 2)), tau=[1.0, 2.0], q=0.01, phi=phi, dt=1.0)


def test_merging_over_phi_weighs_maps_by_pixels(ds):
    merged = prepare.merge_bins(ds, over="phi")
    assert merged["c2"].dims == ("q", "phi", "t1", "t2")
    for ring in range(2):
        want = np.average(ds["c2"].values[ring].astype(float), axis=0, weights=PIXELS[ring])
        np.testing.assert_allclose(merged["c2"].values[ring, 0], want, rtol=1e-6)
    assert merged["n_pixels"].values.ravel().tolist() == [100.0, 260.0]


def test_merging_over_q_gives_the_weighted_q(ds):
    merged = prepare.merge_bins(ds, over="q")
    want = np.average(ds["c2"].values[:, 3].astype(float), axis=0, weights=PIXELS[:, 3])
    np.testing.assert_allclose(merged["c2"].values[0, 3], want, rtol=1e-6)
    assert merged["phi"].values.tolist() == ds["phi"].values.tolist()
    assert merged["q"].item() == pytest.approx((0.01 * 100 + 0.02 * 260) / 360)


def test_sigma_shrinks_as_independent_noise_does(ds):
    merged = prepare.merge_bins(ds, over="phi")
    want = 0.1 * np.sqrt((PIXELS**2).sum(1)) / PIXELS.sum(1)
    np.testing.assert_allclose(merged["sigma"].values.ravel(), want)


def test_a_nan_pixel_takes_the_other_bins(ds):
    c2 = ds["c2"].values.copy()
    c2[0, 1, 2, 5] = np.nan
    merged = prepare.merge_bins(ds.assign(c2=ds["c2"].copy(data=c2)), over="phi")
    want = np.average(np.delete(c2[0, :, 2, 5], 1).astype(float), weights=np.delete(PIXELS[0], 1))
    assert merged["c2"].values[0, 0, 2, 5] == pytest.approx(want, rel=1e-6)


def test_a_dead_bin_weighs_nothing_and_a_group_of_dead_bins_is_dead(ds):
    ds["usable"][0, 1] = False
    merged = prepare.merge_bins(ds, over="phi")
    keep = [0, 2, 3]
    want = np.average(ds["c2"].values[0, keep].astype(float), axis=0, weights=PIXELS[0, keep])
    np.testing.assert_allclose(merged["c2"].values[0, 0], want, rtol=1e-6)
    assert merged["n_pixels"].values[0, 0] == PIXELS[0, keep].sum()
    alone = prepare.merge_bins(ds, [[1], [2, 3]])
    assert alone["usable"].values.tolist() == [False, True]
    assert np.isnan(alone["c2"].values[0]).all()
    assert np.isnan(alone["g2"].values[0]).all()


def test_phi_is_averaged_on_the_circle(ds):
    merged = prepare.merge_bins(ds, [[0, 3]])
    direction = 10 * np.exp(1j * np.deg2rad(-150)) + 40 * np.exp(1j * np.deg2rad(175))
    assert merged["phi"].item() == pytest.approx(np.rad2deg(np.angle(direction)))


def test_a_ring_without_direction_gets_phi_zero():
    ds = make_dataset(
        g2=np.ones((1, 4, 2)),
        tau=[1.0, 2.0],
        q=0.01,
        phi=[-135.0, -45.0, 45.0, 135.0],
        dt=1,
        n_pixels=np.ones((1, 4)),
    )
    assert prepare.merge_bins(ds, over="phi")["phi"].item() == 0.0


def test_angles_up_to_360_stay_so():
    ds = measured([200.0, 240.0])
    assert prepare.merge_bins(ds, over="phi")["phi"].item() == pytest.approx(220.0)


def test_sectors_are_counted_from_the_first_bin_and_may_cross_the_cut():
    ds = make_dataset(
        g2=np.ones((1, 6, 2)), tau=[1.0, 2.0], q=0.01, phi=[150, 170, -170, -150, -130, 20], dt=1
    )
    merged = prepare.merge_bins(ds, phi_width=60)
    np.testing.assert_allclose(merged["phi"], [170, -140, 20], atol=1e-9)


@pytest.mark.parametrize("how", [{"over": "phi"}, {"phi_width": 180}])
def test_the_bin_form_merges_ring_by_ring(ds, how):
    grid = prepare.merge_bins(ds, **how)
    bins = prepare.merge_bins(stack_bins(ds), **how)
    assert bins["c2"].dims == ("bin", "t1", "t2")
    np.testing.assert_allclose(bins["c2"].values, grid["c2"].values.reshape(bins["c2"].shape), rtol=1e-6)


def test_the_bin_form_merges_over_q_at_each_phi(ds):
    bins = prepare.merge_bins(stack_bins(ds), over="q")
    grid = prepare.merge_bins(ds, over="q")
    np.testing.assert_allclose(bins["c2"].values, grid["c2"].values[0], rtol=1e-6)


def test_g2_of_merged_bins_is_that_of_the_merged_map(ds):
    merged = prepare.merge_bins(prepare.mask_frames(ds, [3]), over="phi")
    want = g2_from_c2(merged["c2"].values[1, 0], merged["mask"].values)
    np.testing.assert_allclose(merged["g2"][1, 0], want[0])
    np.testing.assert_allclose(merged["g2_err"][1, 0], want[1])


def test_a_block_of_a_merged_map_reads_that_block_alone(ds):
    merged = prepare.merge_bins(ds, over="phi")
    block = merged["c2"].isel(q=1, t1=slice(2, 5), t2=[1, 7])
    np.testing.assert_array_equal(block.values[0], merged["c2"].values[1, 0, 2:5][:, [1, 7]])


def test_a_measured_g2_is_averaged_without_its_gaps():
    g2 = np.array([[[1.2, 1.1], [np.nan, 1.3]]])
    ds = make_dataset(
        g2=g2,
        g2_err=np.full((1, 2, 2), 0.1),
        tau=[1.0, 2.0],
        q=0.01,
        phi=[0.0, 30.0],
        dt=1.0,
        n_pixels=[[1.0, 3.0]],
    )
    merged = prepare.merge_bins(ds, over="phi")
    np.testing.assert_allclose(merged["g2"].values.ravel(), [1.2, (1.1 + 3 * 1.3) / 4])
    np.testing.assert_allclose(merged["g2_err"].values.ravel(), [0.1, 0.1 * np.sqrt(10) / 4])


@pytest.mark.parametrize("how", [{}, {"over": "phi", "phi_width": 30}, {"groups": [[0]], "over": "q"}])
def test_exactly_one_way_of_merging_must_be_given(ds, how):
    with pytest.raises(ConfigurationError, match=r"say in one way"):
        prepare.merge_bins(ds, **how)


def test_merging_over_time_is_refused(ds):
    with pytest.raises(ConfigurationError, match=r"cannot merge over 't1'"):
        prepare.merge_bins(ds, over="t1")


@pytest.mark.parametrize("width", [0, -30, 400, "30"])
def test_a_sector_has_a_sensible_width(ds, width):
    with pytest.raises(ConfigurationError, match=r"phi_width"):
        prepare.merge_bins(ds, phi_width=width)


@pytest.mark.parametrize("group", [[8], [-1], [0, 0], [], ["a"], [0.5]])
def test_a_group_names_existing_bins_once(ds, group):
    with pytest.raises(ConfigurationError, match=r"is not a group of bins(.|\n)*from 0 to 7"):
        prepare.merge_bins(ds, [group])


def test_no_groups_at_all_is_an_error(ds):
    with pytest.raises(ConfigurationError, match=r"no groups"):
        prepare.merge_bins(ds, [])
