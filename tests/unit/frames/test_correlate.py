"""Correlations of photon lists are those of the dense frames, written out directly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heterodyne_nb as hnb
from heterodyne_nb import simulate
from heterodyne_nb.data import open_dataset, write_apsu
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning
from heterodyne_nb.frames import FrameSet, Partition
from heterodyne_nb.frames.correlation import inverse_means
from heterodyne_nb.frames.maps import bin_map
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


@pytest.mark.parametrize(("mean_counts", "ages"), [(0.02, 30), (0.5, 7), (None, 12)])
def test_cells_of_age_and_lag_are_the_averages_of_the_dense_map(mean_counts: float | None, ages: int) -> None:
    frames = _frames(mean_counts=mean_counts).mask_frames([(20, 24), 61]).select(frames=(11, 90))
    ds = hnb.correlate(frames, age_lag=True, per_level=3, ages=ages)
    late, early = np.tril_indices(80, -1)
    lag = np.searchsorted(ds.lag_edges, 0.5 * (late - early)) - 1
    age = np.searchsorted(ds.age_edges, 0.5 * (11 + 0.5 * (late + early))) - 1
    assert ds.sizes["lag_cell"] < 80
    assert min(lag.min(), age.min()) == 0
    assert age.max() < ds.sizes["age_cell"]
    for b, (i, j) in enumerate(np.ndindex(2, 2)):
        c2 = bin_map(frames.photons, b, inverse_means(frames)[b], frames.scale)[late, early]
        used = frames.usable[b][late] & frames.usable[b][early] & (lag < ds.sizes["lag_cell"])
        count, total = np.zeros((2, ds.sizes["lag_cell"], ds.sizes["age_cell"]))
        np.add.at(count, (lag[used], age[used]), 1)
        np.add.at(total, (lag[used], age[used]), c2[used])
        np.testing.assert_array_equal(ds.cell_pixels.values[i, j], count)
        found = ds.c2_cells.values[i, j]
        np.testing.assert_array_equal(np.isnan(found), count == 0)
        np.testing.assert_allclose(
            found[count > 0], (total / np.maximum(count, 1))[count > 0], rtol=1e-9, atol=1e-9
        )


def test_errors_of_cells_are_the_scatter_of_repeated_runs() -> None:
    axes = {"q": 0.01, "phi": 0.0, "n_pixels": 900, "speckle_size": 2, "mean_counts": 0.2}
    runs = [hnb.correlate(_frames(**axes, seed=s), age_lag=True, per_level=4, ages=6) for s in range(60)]
    scatter = np.std([r.c2_cells.values[0, 0] for r in runs], axis=0)
    told = np.sqrt(np.mean([r.c2_cells_err.values[0, 0] ** 2 for r in runs], axis=0))
    known = scatter > 0
    assert known.sum() > 60
    np.testing.assert_allclose((told / scatter)[known], 1.0, atol=0.45)
    assert 0.85 < np.median((told / scatter)[known]) < 1.15


def test_a_fit_of_cells_from_a_file_agrees_with_that_of_the_frames(tmp_path: Path) -> None:
    truth = {"D0": 300.0, "alpha": -0.4, "D_offset": 20.0}
    frames = simulate.frames(
        "static_isotropic",
        truth,
        q=[0.006, 0.009],
        phi=0.0,
        n_frames=200,
        dt=0.5,
        n_pixels=1500,
        mean_counts=0.5,
    )
    ds = hnb.correlate(frames, age_lag=True, ages=40)
    for ending in ("zarr", "nc"):
        hnb.write_dataset(ds, tmp_path / f"cells.{ending}")
        again = open_dataset(tmp_path / f"cells.{ending}")
        assert "c2" not in again
        np.testing.assert_array_equal(again.c2_cells, ds.c2_cells)
    own, road = hnb.fit(again, "static_isotropic"), hnb.fit(frames, "static_isotropic", via="frames")
    for result in (own, road):
        for t in (10.0, 50.0, 95.0):
            at = result.curve("J").sel(t=t, method="nearest")
            other = (own if result is road else road).curve("J").sel(t=t, method="nearest")
            assert float(at["lower"]) < float(other["value"]) < float(at["upper"])
    assert (
        0.1 < own.chi2_reduced < 1.5
    )  # noise is common to neighbouring cells, and the fit takes some of it up
    with pytest.warns(DataWarning, match="no place for cells"):
        write_apsu(again, tmp_path / "cells.h5")


def test_a_journal_of_frames_or_cells_is_known_again_when_they_are_opened_anew(tmp_path: Path) -> None:
    def made(seed: int) -> FrameSet:
        return _frames(q=0.01, phi=0.0, seed=seed)

    for name, data in (
        ("frames", made),
        ("cells", lambda seed: hnb.correlate(made(seed), age_lag=True, ages=9)),
    ):
        path = tmp_path / f"{name}.json"
        via: dict[str, Any] = {"via": "frames"} if name == "frames" else {}
        via |= {"multistart": 1, "parameters": {"D0": 200.0, "alpha": 0.0, "D_offset": 1.0}}
        first = hnb.fit(data(0), "static_isotropic", journal=path, **via)
        again = hnb.fit(data(0), "static_isotropic", journal=path, **via)
        assert again.chi2 == pytest.approx(first.chi2)
        with pytest.raises(ConfigurationError, match="another fit"):
            hnb.fit(data(1), "static_isotropic", journal=path, **via)


def test_cells_of_a_long_run_need_no_map_of_it() -> None:
    """A map of 40 000 frames would hold 1.6e9 pixels; fitted from the frames' cells, fast motion is found all the same."""
    frames = simulate.frames(
        "static_isotropic", {"D0": 2.0e4, "alpha": 0.0, "D_offset": 0.0}, q=0.01, phi=0.0, n_frames=40_000, dt=1e-3,
        n_pixels=300, mean_counts=0.02,
    )  # fmt: skip
    ds = hnb.correlate(frames, age_lag=True, ages=50)
    assert ds.nbytes < 5e6
    held = {name: {"value": 0.0, "vary": False} for name in ("alpha", "D_offset")}
    result = hnb.fit(ds, "static_isotropic", parameters=held)
    assert result.params["D0"].value == pytest.approx(2.0e4, abs=4 * result.params["D0"].error)
    assert result.params["D0"].error < 2.0e3
    assert any(step.get("data") == "some frames" for step in result.path)
    with pytest.raises(DataFormatError, match="none of 1 bins"):
        hnb.fit(ds.assign(mask=ds.mask & (ds.frame % 2 == 0)), "static_isotropic")


def test_an_average_of_runs_averages_their_cells_and_merged_bins_have_none() -> None:
    one, two = (hnb.correlate(_frames(seed=s), age_lag=True, ages=9) for s in (1, 2))
    mean = hnb.average_runs([one, two])
    np.testing.assert_allclose(mean.c2_cells, 0.5 * (one.c2_cells + two.c2_cells))
    np.testing.assert_allclose(mean.c2_cells_err, 0.5 * np.hypot(one.c2_cells_err, two.c2_cells_err))
    other = hnb.correlate(_frames(seed=2), age_lag=True, ages=5)
    with pytest.warns(DataWarning, match="other cells of age and lag"):
        assert not {"c2_cells", "lag_edges"} & set(hnb.average_runs([one, other]).data_vars)
    assert not {"c2_cells", "lag_edges"} & set(hnb.prepare.merge_bins(one, over="phi").data_vars)


def test_dense_maps_and_cells_are_asked_for_one_by_one() -> None:
    with pytest.raises(ConfigurationError, match="dense maps or cells"):
        hnb.correlate(_frames(), twotime=True, age_lag=True)
    with pytest.raises(ConfigurationError, match="ages"):
        hnb.correlate(_frames(), age_lag=True, ages=0)
