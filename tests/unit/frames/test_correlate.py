"""Correlations of photon lists are those of the dense frames, written out directly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import heterodyne_nb as hnb
from heterodyne_nb import simulate
from heterodyne_nb.data import open_dataset, write_apsu
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.frames import FrameSet, Partition
from heterodyne_nb.frames.correlation import inverse_means
from heterodyne_nb.frames.multitau import lags
from heterodyne_nb.frames.speckles import speckle_area

AXES = {"q": [0.005, 0.01], "phi": [0.0, 90.0], "n_frames": 90, "dt": 0.5, "n_pixels": 80}


def _frames(**changed: object) -> FrameSet:
    return simulate.frames("static_isotropic", [200.0, 0.0, 0.0], **{**AXES, "mean_counts": 0.5, **changed})


def _x(frames: FrameSet, b: int) -> np.ndarray:
    """x_p(t) of one bin, (P, N), 0 in frames that are not used."""
    p = slice(int(frames.photons.first[b]), int(frames.photons.first[b + 1]))
    n = frames.n_frames
    dense = frames.photons.dense(p, np.arange(n), np.ones(n), n) / frames.scale[p, None]
    mean = dense.mean(axis=0)
    return np.where(frames.usable[b], dense / np.where(mean > 0, mean, 1.0), 0.0)


@pytest.mark.parametrize("mean_counts", [0.01, 0.5, 5.0, None])
def test_maps_are_the_mean_product_of_normalised_counts(mean_counts: float | None) -> None:
    frames = _frames(mean_counts=mean_counts).mask_frames([(20, 24)])
    ds = hnb.correlate(frames, twotime=True)
    assert ds.c2.shape == (2, 2, 90, 90)
    assert ds.mask.values.sum() == 85
    for b, (i, j) in enumerate(np.ndindex(2, 2)):
        x, used = _x(frames, b), frames.usable[b]
        expected = x.T @ x / len(x)
        found = ds.c2.values[i, j]
        off = np.outer(used, used) & ~np.eye(90, dtype=bool)
        np.testing.assert_allclose(found[off], expected[off], rtol=1e-6)
        assert np.isnan(found[~used]).all()
        np.testing.assert_allclose(ds.intensity.values[i, j], frames.intensity[b])


def test_the_diagonal_has_no_shot_noise() -> None:
    frames = _frames(n_pixels=3000, mean_counts=0.2, contrast=0.5)
    c2 = hnb.correlate(frames, twotime=True, g2=False).c2.values
    assert np.mean([np.diagonal(c2[i, j]).mean() for i, j in np.ndindex(2, 2)]) == pytest.approx(
        1.5, abs=0.06
    )


def test_maps_of_summed_frames_are_means_of_those_of_single_ones() -> None:
    frames = _frames(mean_counts=0.3)
    fine = hnb.correlate(frames, twotime=True).c2.values[0, 0].astype(float)
    summed = hnb.correlate(frames, twotime=True, sum_frames=5)
    assert summed.attrs["dt"] == 2.5
    np.testing.assert_allclose(summed.t.values, 2.5 * np.arange(1, 19))
    means = fine.reshape(18, 5, 18, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(summed.c2.values[0, 0], means, rtol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_multitau_g2_is_the_mean_of_the_map_over_cells_of_the_lag(masked: bool) -> None:
    frames = _frames(mean_counts=0.3)
    if masked:
        frames = frames.mask_frames([3, (40, 47), 71])
    ds = hnb.correlate(frames, per_level=4)
    lag, level = lags(90, 4)
    np.testing.assert_allclose(ds.tau.values, 0.5 * lag * 2**level)
    for b, (i, j) in enumerate(np.ndindex(2, 2)):
        x, used = _x(frames, b), frames.usable[b].astype(float)
        for k, (far, at) in enumerate(zip(lag, level, strict=True)):
            pad = -90 % 2**at
            cells = np.pad(x, ((0, 0), (0, pad))).reshape(len(x), -1, 2**at).sum(axis=2)
            number = np.pad(used, (0, pad)).reshape(-1, 2**at).sum(axis=1)
            above = (cells[:, :-far] * cells[:, far:]).mean(axis=0).sum()
            np.testing.assert_allclose(
                ds.g2.values[i, j, k], above / (number[:-far] @ number[far:]), rtol=1e-10
            )


def test_errors_of_g2_are_the_scatter_of_repeated_runs() -> None:
    runs = [
        hnb.correlate(
            _frames(q=0.01, phi=0.0, n_pixels=900, speckle_size=2, mean_counts=0.2, seed=s), per_level=4
        )
        for s in range(60)
    ]
    scatter = np.std([r.g2.values[0, 0] for r in runs], axis=0)
    told = np.sqrt(np.mean([r.g2_err.values[0, 0] ** 2 for r in runs], axis=0))
    np.testing.assert_allclose(told / scatter, 1.0, atol=0.35)
    assert 0.85 < np.median(told / scatter) < 1.15


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_size_of_a_speckle_is_seen_in_the_photons(size: int) -> None:
    frames = _frames(n_pixels=3600, speckle_size=size, mean_counts=0.2)
    area = speckle_area(frames.photons, frames.partition.shape[1], inverse_means(frames), frames.scale)
    assert area == pytest.approx(size**2, rel=0.15)


def test_a_correlation_goes_through_the_files_we_write(tmp_path: Path) -> None:
    ds = hnb.correlate(_frames(), twotime=True)
    write_apsu(ds, tmp_path / "run.h5")
    back = open_dataset(tmp_path / "run.h5")
    np.testing.assert_allclose(back.g2.values, ds.g2.values, rtol=1e-6)
    np.testing.assert_allclose(back.c2.values, ds.c2.values, rtol=1e-6)


def test_times_stay_those_of_the_run_when_it_begins_later() -> None:
    part = _frames().select(frames=(11, 60))
    ds = hnb.correlate(part, twotime=True)
    np.testing.assert_allclose(ds.t.values, 0.5 * np.arange(11, 61))
    np.testing.assert_allclose(
        hnb.correlate(part, twotime=True, sum_frames=5).t.values, 2.5 * np.arange(3, 13)
    )
    with pytest.raises(ConfigurationError, match="cannot be summed by 3"):
        hnb.correlate(part, twotime=True, sum_frames=3)


def test_maps_without_room_say_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heterodyne_nb.frames.correlation._ROOM", 1e-7)
    with pytest.raises(ConfigurationError, match="sum frames to at most"):
        hnb.correlate(_frames(), twotime=True)
    with pytest.raises(ConfigurationError, match="neither"):
        hnb.correlate(_frames(), g2=False)


def test_neighbours_on_the_detector_are_neighbours_in_the_list() -> None:
    labels = np.ones((32, 32), int)
    pixel = Partition(labels, [0.01], [0.0]).pixel
    y, x = np.divmod(pixel, 32)
    assert np.all(np.abs(np.diff(y)) + np.abs(np.diff(x)) == 1), "a Hilbert curve"
