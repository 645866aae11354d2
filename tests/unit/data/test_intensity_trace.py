"""The mean intensity of each frame, from the file and back."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from layout_builders import build_apsu, random_maps

from heterodyne_nb.data import open_dataset, prepare, write_apsu, write_dataset
from heterodyne_nb.errors import DataFormatError

COUNTS = np.linspace(3.0, 5.0, 12)


def with_trace(path, trace):
    build_apsu(path, random_maps())
    with h5py.File(path, "a") as f:
        f["xpcs/spatial_mean/intensity_vs_time"] = trace
    return path


@pytest.fixture
def path(tmp_path):
    return with_trace(tmp_path / "run.h5", np.stack([np.arange(1, 13), COUNTS]))


def test_the_trace_is_read_with_unit_and_name(path):
    intensity = open_dataset(path)["intensity"]
    assert intensity.dims == ("t",)
    assert intensity.attrs == {"units": "counts", "long_name": "mean intensity of the frame"}
    np.testing.assert_array_equal(intensity, COUNTS)


def test_frames_out_of_order_are_put_in_order(tmp_path):
    order = np.random.default_rng(0).permutation(12)
    path = with_trace(tmp_path / "run.h5", np.stack([np.arange(12), COUNTS])[:, order])
    np.testing.assert_array_equal(open_dataset(path)["intensity"], COUNTS)


def test_frames_averaged_before_correlating_are_averaged_in_the_trace(tmp_path):
    recorded = np.arange(24.0)
    path = with_trace(tmp_path / "run.h5", np.stack([np.arange(1, 25), recorded]))
    np.testing.assert_array_equal(open_dataset(path)["intensity"], recorded[::2] + 0.5)


def test_a_trace_of_another_length_is_left_out_and_noted(tmp_path):
    ds = open_dataset(with_trace(tmp_path / "run.h5", np.ones((2, 17))))
    assert "intensity" not in ds
    assert ds.attrs["intensity_trace"] == "not read: 17 values for 12 frames"


def test_a_trace_of_another_shape_is_an_error(tmp_path):
    with pytest.raises(DataFormatError, match=r"intensity_vs_time: the shape is \(12,\)(.|\n)*frame, mean"):
        open_dataset(with_trace(tmp_path / "run.h5", np.ones(12)))


def test_the_trace_survives_writing_and_reading(path, tmp_path):
    ds = open_dataset(path)
    write_apsu(ds, tmp_path / "again.h5")
    write_dataset(ds, tmp_path / "again.nc")
    for name in ("again.h5", "again.nc"):
        back = open_dataset(tmp_path / name)["intensity"]
        np.testing.assert_array_equal(back, COUNTS)
        assert back.attrs == ds["intensity"].attrs


def test_the_trace_is_cropped_with_the_frames(path):
    cropped = prepare.crop_frames(open_dataset(path), 3, 7)
    np.testing.assert_array_equal(cropped["intensity"], COUNTS[2:7])
