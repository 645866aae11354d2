"""The panel of a live fit: a stored run is replayed, each fit can be looked at again, Stop ends it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from heterodyne_nb import AnalysisSession, FitResult, simulate
from heterodyne_nb.app import LivePanel

MODE = "static_isotropic"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A stack of images in an HDF5 file, and its q map as APS 8-ID writes one."""
    run = simulate.frames(
        MODE, [300.0, -0.4, 20.0], q=[0.006, 0.009], phi=0.0, n_frames=160, dt=0.5, n_pixels=300, mean_counts=0.4
    )  # fmt: skip
    frame, pixel, count = run.photons.in_time_order()
    dense = np.zeros((run.n_frames, run.partition.labels.size), np.uint16)
    dense[frame, pixel] = count
    folder = tmp_path_factory.mktemp("stored")
    with h5py.File(folder / "frames.h5", "w") as file:
        file["entry/data/data"] = dense.reshape(-1, *run.partition.shape)
    with h5py.File(folder / "qmap.h5", "w") as file:
        qmap = file.create_group("qmap")
        qmap["dynamic_roi_map"] = run.partition.labels
        qmap["dynamic_v_list_dim0"] = run.partition.q
        qmap["dynamic_v_list_dim1"] = [0.0]
        qmap["dynamic_index_mapping"] = np.arange(run.partition.q.size)
    return folder / "frames.h5", folder / "qmap.h5"


@pytest.fixture
def panel(stored: tuple[Path, Path]) -> Iterator[LivePanel]:
    session = AnalysisSession()
    session.change_settings(mode=MODE, multistart=0)
    one = LivePanel(session)
    one.source.value, one.partition.value = map(str, stored)
    one.dt.value, one.first.value = "0.5", "80"
    yield one
    one.close()
    session.close()


def test_a_replay_sharpens_fit_by_fit_and_each_can_be_looked_at_again(
    panel: LivePanel, tmp_path: Path
) -> None:
    panel.kind.value, panel.speed.value = "replay", float("inf")
    panel.save.value = str(tmp_path / "last.nc")
    panel.start.click()
    assert panel.wait(600)
    assert panel.message.value == ""
    last = panel.updates[-1]
    assert last.frames == 160
    assert panel.when.value == panel.when.max == len(panel.updates) - 1
    assert "160 frames, 80 s" in panel.light.value
    assert f'aria-label="{last.result.light}"' in panel.light.value
    band = {trace.name for trace in panel.figure.figure.data}
    assert band
    assert FitResult.load(tmp_path / "last.nc") == last.result
    panel.when.value = 0
    assert f"{panel.updates[0].frames} frames" in panel.light.value
    panel.start.click()
    assert "left as it is" in panel.message.value


def test_stop_ends_a_fit_that_waits_for_frames_and_keeps_what_it_found(panel: LivePanel) -> None:
    panel.kind.value = "file"  # of which no more will ever come
    panel.first.value = "150"
    panel.start.click()
    while not panel.updates:
        assert not panel._work.wait(0.2)
    panel.stop.click()
    assert panel.wait(60)
    assert panel.updates[-1].frames == 160
    assert "cancelled" in panel.told.value
    assert not panel.start.disabled


def test_what_is_missing_is_said_before_anything_starts(panel: LivePanel) -> None:
    panel.source.value = ""
    panel.start.click()
    assert "frames are not named" in panel.message.value
    panel.source.value = "frames.h5"
    panel.first.value = "many"
    panel.start.click()
    assert "not a number" in panel.message.value
    assert panel.stop.disabled
