from __future__ import annotations

import numpy as np
import pytest
from noisy_maps import white_dataset

from heterodyne_nb.data import make_dataset, prepare, stack_bins
from heterodyne_nb.data.cuts import g2_from_c2
from heterodyne_nb.errors import ConfigurationError


def unused(ds):
    return ds["frame"].values[~ds["mask"].values].tolist()


def measured_and_maps():
    return white_dataset(g2=np.full((2, 4, 3), 1.5), g2_err=np.full((2, 4, 3), 0.1), tau=[0.1, 0.2, 0.4])


def only_measured():
    return make_dataset(g2=np.ones((1, 1, 3)), tau=[0.1, 0.2, 0.4], q=0.01, phi=0, dt=0.1)


def test_cropping_keeps_absolute_times_and_frame_numbers():
    cropped = prepare.crop_frames(white_dataset(), 5, 10)
    assert cropped["frame"].values.tolist() == [5, 6, 7, 8, 9, 10]
    np.testing.assert_allclose(cropped["t1"], np.arange(5, 11) * 0.1)
    np.testing.assert_array_equal(cropped["c2"], white_dataset()["c2"][..., 4:10, 4:10])
    assert cropped["g2"].sizes["tau"] == 5


def test_cropping_twice_counts_frames_of_the_run():
    again = prepare.crop_frames(prepare.crop_frames(white_dataset(), 5, 20), 8, -1)
    assert (again["frame"].values[0], again["frame"].values[-1]) == (8, 20)


def test_cropping_to_everything_changes_nothing():
    ds = measured_and_maps()
    for start, end in ((None, None), (1, -1), (1, 24), (None, -1)):
        assert prepare.crop_frames(ds, start, end)["g2"].identical(ds["g2"])
    assert prepare.crop_frames(only_measured()).sizes["tau"] == 3


@pytest.mark.parametrize("limits", [(0, 5), (5, 25), (-2, 5), (1, -3)])
def test_a_frame_outside_the_data_is_an_error(limits):
    with pytest.raises(ConfigurationError, match=r"is not in the data(.|\n)*from 1 to 24"):
        prepare.crop_frames(white_dataset(), *limits)


@pytest.mark.parametrize("limits", [(7, 7), (9, 3)])
def test_cropping_to_less_than_two_frames_is_an_error(limits):
    with pytest.raises(ConfigurationError, match=r"fewer than two frames"):
        prepare.crop_frames(white_dataset(), *limits)


@pytest.mark.parametrize("wrong", [2.5, "3", True])
def test_a_frame_number_is_a_whole_number(wrong):
    with pytest.raises(ConfigurationError, match=r"is not a frame number"):
        prepare.crop_frames(white_dataset(), wrong, 10)
    with pytest.raises(ConfigurationError, match=r"is not a frame number"):
        prepare.mask_frames(white_dataset(), [4, wrong, 5])


def test_cropping_to_masked_frames_alone_is_an_error():
    ds = prepare.mask_frames(white_dataset(), (5, 9))
    with pytest.raises(ConfigurationError, match=r"only 0 of 5 frames would be used"):
        prepare.crop_frames(ds, 5, 9)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (3, [3]),
        ([3, 7], [3, 7]),
        ((3, 7), [3, 4, 5, 6, 7]),
        ([3, (7, 9)], [3, 7, 8, 9]),
        ([[3, 5], [9, 10]], [3, 4, 5, 9, 10]),
        (np.array([2, 4]), [2, 4]),
        ({6}, [6]),
        (range(1, 4), [1, 2, 3]),
        ([], []),
    ],
)
def test_frames_can_be_named_one_by_one_or_as_ranges(frames, expected):
    assert unused(prepare.mask_frames(white_dataset(), frames)) == expected


def test_a_bool_array_says_which_frames_are_used():
    used = np.ones(24, dtype=bool)
    used[[0, 5]] = False
    ds = white_dataset()
    assert unused(prepare.mask_frames(ds, used)) == [1, 6]
    assert unused(prepare.mask_frames(ds, used.tolist())) == [1, 6]
    assert unused(prepare.mask_frames(ds, ds["mask"].copy(data=used))) == [1, 6]


def test_a_bool_array_of_another_length_is_an_error():
    with pytest.raises(ConfigurationError, match=r"5 true/false values(.|\n)*24, one a frame"):
        prepare.mask_frames(white_dataset(), np.ones(5, dtype=bool))


def test_a_masked_frame_beyond_the_end_is_an_error():
    with pytest.raises(ConfigurationError, match=r"frame 25 is not in the data"):
        prepare.mask_frames(white_dataset(), [25])


def test_a_range_that_runs_backwards_is_an_error():
    with pytest.raises(ConfigurationError, match=r"runs backwards"):
        prepare.mask_frames(white_dataset(), (7, 3))


def test_masking_nearly_everything_is_an_error():
    with pytest.raises(ConfigurationError, match=r"only 1 of 24 frames"):
        prepare.mask_frames(white_dataset(), (2, 24))


def test_masks_add_up_and_unmask_takes_them_back():
    ds = prepare.mask_frames(prepare.mask_frames(white_dataset(), [3]), (10, 11))
    assert unused(ds) == [3, 10, 11]
    assert unused(prepare.unmask(ds, [3])) == [10, 11]
    assert unused(prepare.unmask(ds)) == []


def test_the_original_is_left_alone():
    ds = white_dataset()
    prepare.mask_frames(ds, [3])
    assert unused(ds) == []


@pytest.mark.parametrize("form", [lambda ds: ds, stack_bins])
def test_g2_follows_the_mask(form):
    ds = form(prepare.mask_frames(white_dataset(), [3, (10, 12)]))
    one = dict.fromkeys(ds["c2"].dims[:-2], 0)
    g2, err = g2_from_c2(ds["c2"].isel(one).values, ds["mask"].values)
    np.testing.assert_allclose(ds["g2"].isel(one), g2)
    np.testing.assert_allclose(ds["g2_err"].isel(one), err)
    everything = g2_from_c2(ds["c2"].isel(one).values)[0]
    assert not np.allclose(g2, everything)


def test_a_measured_g2_gives_way_to_a_computed_one_and_comes_back():
    ds = measured_and_maps()
    masked = prepare.mask_frames(ds, [3])
    assert masked["g2"].attrs["origin"] == "computed from c2"
    assert masked["g2"].sizes["tau"] == 23
    assert masked["g2_measured"].sizes["tau_measured"] == 3
    back = prepare.unmask(prepare.mask_frames(masked, [4]))
    xr_equal = back["g2"].identical(ds["g2"]) and back["g2_err"].identical(ds["g2_err"])
    assert xr_equal
    assert "tau_measured" not in back.dims


def test_a_cropped_dataset_forgets_the_measured_g2():
    cropped = prepare.crop_frames(prepare.mask_frames(measured_and_maps(), [3]), 2, 20)
    assert "g2_measured" not in cropped
    assert cropped["g2"].attrs["origin"] == "computed from c2"


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: prepare.mask_frames(ds, [1]),
        lambda ds: prepare.crop_frames(ds, 2, 5),
        lambda ds: prepare.unmask(ds),
    ],
)
def test_a_measured_g2_without_maps_cannot_be_masked_or_cropped(change):
    with pytest.raises(ConfigurationError, match=r"only a measured g2, an average over all frames"):
        change(only_measured())
