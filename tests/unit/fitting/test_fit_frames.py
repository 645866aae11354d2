"""Fits straight from detector frames: the answers of the map road, with errors from speckles."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

import heterodyne_nb as hnb
from heterodyne_nb import simulate
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.frames import FrameSet, write_frames, write_qmap

TRUTH = [300.0, -0.4, 20.0]


@cache
def _static(n: int = 150, **changed: object) -> FrameSet:
    axes = {"q": [0.006, 0.009], "phi": 0.0, "n_frames": n, "dt": 0.5, "n_pixels": 400, "mean_counts": 0.5}
    return simulate.frames("static_isotropic", TRUTH, **{**axes, **changed})


@cache
def _by_frames() -> hnb.FitResult:
    return hnb.fit(_static(), "static_isotropic", via="frames")


def test_both_roads_end_at_the_same_answer_with_the_same_errors_of_their_kind() -> None:
    by_frames, by_map = _by_frames(), hnb.fit(_static(), "static_isotropic", via="map")
    assert by_frames.chi2 == pytest.approx(by_map.chi2, rel=1e-6)
    ours, theirs = by_frames.curve("J"), by_map.curve("J")
    np.testing.assert_allclose(ours["value"], theirs["value"], rtol=1e-4)
    widths = (ours["upper"] - ours["lower"]) / (theirs["upper"] - theirs["lower"])
    assert 0.3 < widths[75] < 3.0
    assert "speckles" in by_frames.uncertainty
    assert by_frames.provenance["road"].startswith("frames:")
    assert by_map.provenance["road"].startswith("map:")
    assert "road: frames" in by_frames.summary()


def test_a_long_run_is_searched_on_sums_of_frames_and_all_photons_are_left_a_few_steps() -> None:
    frames = _static(3000, dt=0.05, n_pixels=300, mean_counts=0.1)
    result = hnb.fit(frames, "static_isotropic")
    assert result.provenance["road"].startswith("frames:")
    stages = [step["frames"] for step in result.path]
    assert max(stages[:-2]) <= 700
    assert stages[-2] == 1500  # of all of the run, close to what all photons say
    assert stages[-1] == 3000
    assert result.path[-1]["iterations"] <= 4
    truth = TRUTH[0] * frames.t ** TRUTH[1] + TRUTH[2]
    curve = result.curve("J")
    inside = (curve["lower"].values <= truth) & (truth <= curve["upper"].values)
    assert inside.mean() > 0.9


def test_the_velocity_of_photons_is_found_without_a_guess() -> None:
    truth = simulate.example_truth()["parameters"]
    axes = {"q": [0.006], "phi": [-45.0, 0.0, 45.0, 90.0], "n_frames": 260, "dt": 0.5, "n_pixels": 900}
    frames = simulate.frames("heterodyne", truth, **axes, mean_counts=0.5)
    result = hnb.fit(frames, "heterodyne", via="frames")
    v = truth["v0"] * frames.t ** truth["beta"] + truth["v_offset"]
    half = len(v) // 2
    assert float(result.curve("v")["value"][half]) == pytest.approx(v[half], rel=0.01)


def test_one_time_modes_take_g2_of_the_frames() -> None:
    frames = simulate.frames(
        "static_isotropic", [150.0, 0.0, 0.0], q=0.008, phi=0.0, n_frames=400, dt=0.5, n_pixels=2000
    )
    result = hnb.fit(frames, "kww")
    assert result.success
    assert result.mode == "kww"


def test_what_frames_cannot_do_is_said() -> None:
    frames = _static()
    with pytest.raises(ConfigurationError, match="a robust loss needs the pixels of a map"):
        hnb.fit(frames, "static_isotropic", via="frames", loss="huber")
    ds = hnb.correlate(frames, twotime=True)
    with pytest.raises(ConfigurationError, match="via = 'map' is for detector frames"):
        hnb.fit(ds, "static_isotropic", via="map")
    with pytest.raises(ConfigurationError, match="a Dataset or a FrameSet"):
        hnb.fit(np.zeros((3, 3)), "static_isotropic")


def test_the_result_of_frames_is_saved_and_reopened_whole(tmp_path: Path) -> None:
    result = _by_frames()
    result.save(tmp_path / "run.nc")
    assert hnb.FitResult.load(tmp_path / "run.nc") == result


def test_what_follows_a_fit_works_on_frames_with_clusters_of_pixels() -> None:
    frames = _static()
    result = hnb.fit(
        frames, "static_isotropic", via="frames", parameters={"D_offset": {"value": 20.0, "vary": False}}
    )
    draws = hnb.bootstrap(result, frames, n=400)
    assert "clusters of pixels" in str(draws)
    half = 150 // 2
    one = result.curve("J").isel(t=half)
    width = float(one["upper"] - one["lower"])
    values = draws.dataset["draws"].values
    curves = values[:, 0] * frames.t[half] ** values[:, 1] + values[:, 2]
    spread = float(np.diff(np.quantile(curves, [0.025, 0.975]))[0])
    assert spread == pytest.approx(width, rel=0.25)
    with pytest.raises(ConfigurationError, match="a batch goes along a Dataset"):
        hnb.fit_batch(frames, "static_isotropic")


def test_the_script_of_a_fit_to_frames_gives_its_numbers_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = _static()
    write_frames(frames, tmp_path / "run.h5", "hdf5")
    write_qmap(tmp_path / "map.h5", frames.partition)
    monkeypatch.chdir(tmp_path)
    opened = hnb.open_frames("run.h5", partition="map.h5", mask=[4, (9, 11)]).select(
        bins=[1], frames=(3, 140)
    )
    result = hnb.fit(opened, "static_isotropic", via="frames")
    names: dict = {}
    exec(result.to_script(), names)
    assert names["result"].chi2 == result.chi2
    with pytest.raises(ConfigurationError, match="came from no file"):
        hnb.fit(frames, "static_isotropic", via="frames", multistart=0).to_script()
