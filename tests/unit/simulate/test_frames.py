"""Simulated frames: photons of the speckle fields that :func:`simulate.speckle` correlates."""

from __future__ import annotations

import numpy as np
import pytest

from heterodyne_nb import simulate
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory

AXES = {"q": 0.01, "phi": 0.0, "n_frames": 24, "dt": 0.5}


def _c2(frames) -> np.ndarray:
    x = frames.photons.dense(
        slice(0, int(frames.n_pixels[0])),
        np.arange(frames.n_frames),
        1 / frames.intensity[0],
        frames.n_frames,
    )
    return x.T @ x / len(x)


@pytest.mark.parametrize("mean_counts", [None, 0.5])
def test_the_mean_of_photon_products_is_the_model(mean_counts: float | None) -> None:
    theta = [400.0, -0.3, 10.0]
    frames = simulate.frames(
        "static_isotropic", theta, **AXES, n_pixels=40000, contrast=0.5, mean_counts=mean_counts
    )
    t = frames.t
    m = ModelFactory.create_model("static_isotropic").correlation(
        theta, t[:, None], t[None, :], q=0.01, phi=0.0
    )
    off = ~np.eye(len(t), dtype=bool)
    np.testing.assert_allclose(_c2(frames)[off], (1 + 0.5 * m)[off], atol=0.09)
    assert abs((_c2(frames) - 1 - 0.5 * m)[off].mean()) < 0.02
    assert frames.photons.count.dtype == (np.float32 if mean_counts is None else np.uint16)


def test_pixels_of_one_speckle_see_the_same_intensity_and_their_own_photons() -> None:
    wide = simulate.frames(
        "static_isotropic", [50, 0, 0], **AXES, n_pixels=36, mean_counts=None, speckle_size=3
    )
    x = wide.photons.dense(slice(0, 36), np.arange(24), np.ones(24), 24)
    x = x[np.argsort(wide.photons.pixel)].reshape(6, 6, 24)  # they are kept along a curve through the bin
    np.testing.assert_array_equal(x[:3, :3], np.broadcast_to(x[0, 0], (3, 3, 24)))
    assert np.any(x[0, 3] != x[0, 0])


def test_the_same_seed_gives_the_same_photons() -> None:
    one, same, other = (
        simulate.frames("static_isotropic", [50, 0, 0], **AXES, seed=seed).photons for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.frame, same.frame)
    assert not np.array_equal(one.start, other.start)


def test_what_cannot_be_simulated_is_named() -> None:
    with pytest.raises(ConfigurationError, match="speckle_size = 0"):
        simulate.frames("static_isotropic", [50, 0, 0], **AXES, speckle_size=0)
    with pytest.raises(ConfigurationError, match="at least"):
        simulate.frames("static_isotropic", [50, 0, 0], **AXES, shape=(3, 3))
