"""Speed and direction of a flow read off the fringes of one ring."""

from __future__ import annotations

import numpy as np
import pytest

import heterodyne_nb as hnb
from heterodyne_nb import prepare
from heterodyne_nb.data import make_dataset
from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.fitting.fringe_reading import read_flow


@pytest.fixture(scope="module")
def example():
    return prepare.mask_frames(hnb.example_dataset(), (121, 124))


@pytest.mark.parametrize("q", [0.009, 0.012])
def test_the_example_is_read_to_a_few_percent(example, q):
    reading, truth = read_flow(example, q=q), hnb.example_truth()["parameters"]
    t = np.array([15.0, 50.0, 85.0])
    true = truth["v0"] * t ** truth["beta"] + truth["v_offset"]
    np.testing.assert_allclose(reading.velocity(t), true, rtol=0.1)
    assert reading.phi0 == pytest.approx(truth["phi0"], abs=1.5)
    assert reading.scatter < 0.05


def test_at_one_angle_the_direction_must_be_given(example):
    alone = example.isel(phi=[4])
    with pytest.raises(DataFormatError, match=r"one angle \(22.5°\)(.|\n)*give phi0"):
        read_flow(alone, q=0.012)
    reading = read_flow(alone, q=0.012, phi0=15.0)
    assert reading.velocity(50.0) == pytest.approx(56.4, rel=0.06)
    assert reading.start_values["phi0"] == 15.0


def test_maps_without_fringes_are_refused():
    t = 0.1 * np.arange(1, 61)
    decay = 1 + 0.2 * np.exp(-np.abs(t[:, None] - t) / 2)
    noise = np.random.default_rng(0).normal(0, 0.02, decay.shape)
    ds = make_dataset(decay + noise + noise.T, q=[0.01], phi=[0.0], dt=0.1)
    with pytest.raises(DataFormatError, match="no clear fringes"):
        read_flow(ds, q=0.01, phi0=0.0)
