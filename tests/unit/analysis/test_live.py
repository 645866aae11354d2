"""A live fit ends with the numbers of the fit to the whole run, whatever happens to its source on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

import heterodyne_nb as hnb
from heterodyne_nb import simulate
from heterodyne_nb.analysis import known_to
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning
from heterodyne_nb.frames import FrameSet, growing

MODE = "static_isotropic"


@pytest.fixture(scope="module")
def run() -> FrameSet:
    axes = {"q": [0.006, 0.009], "phi": 0.0, "n_frames": 160, "dt": 0.5, "n_pixels": 300, "mean_counts": 0.4}
    return simulate.frames(MODE, [300.0, -0.4, 20.0], **axes)


@pytest.fixture(scope="module")
def offline(run: FrameSet) -> hnb.FitResult:
    return hnb.fit(run, MODE)


def _images(run: FrameSet) -> list[np.ndarray]:
    frame, pixel, count = run.photons.in_time_order()
    dense = np.zeros((run.n_frames, run.partition.labels.size), np.uint16)
    dense[frame, pixel] = count
    return list(dense.reshape(-1, *run.partition.shape))


def _same(result: hnb.FitResult, other: hnb.FitResult) -> None:
    assert result.chi2 == pytest.approx(other.chi2, rel=1e-7)
    np.testing.assert_allclose(result.curve("J")["value"], other.curve("J")["value"], rtol=2e-3)


def test_a_replay_sharpens_and_ends_with_the_numbers_of_the_whole_run(
    run: FrameSet, offline: hnb.FitResult, tmp_path: Path
) -> None:
    updated = threading.Event()

    def replay() -> Iterator[
        object
    ]:  # no sooner than the fits, which else are as many as the machine has time for
        for item in growing.arriving(run, threading.Event()):
            yield item
            if item[0] in (60, 78, 102, 133):
                updated.wait()
                updated.clear()

    seen = []

    def see(update: hnb.analysis.LiveUpdate) -> None:
        seen.append(update)
        updated.set()

    live = hnb.live(
        replay(), MODE, partition=run.partition, dt=run.dt, first=60, growth=0.3, save=tmp_path / "live.nc"
    )
    result = live.run(see)
    _same(result, offline)
    assert [update.frames for update in seen] == [60, 78, 102, 133, 160]
    value, low, high = seen[-1].curve("J")
    assert low < value < high
    assert hnb.FitResult.load(tmp_path / "live.nc") == result
    assert not live.told


def test_dropped_repeated_and_late_frames_are_told_and_survived(run: FrameSet) -> None:
    images = _images(run)
    numbers = [k for k in range(1, 161) if k not in (30, 31, 90)]
    numbers[100:100] = [50, 51]  # again
    numbers[40], numbers[41] = numbers[41], numbers[40]  # late
    came = ((k, images[k - 1]) for k in numbers)
    live = hnb.live(came, MODE, partition=run.partition, dt=0.5, first=150, growth=10.0)
    with pytest.warns(DataWarning) as told:
        result = live.run()
    assert {str(w.message) for w in told} == {
        "3 frames never came and are left out",
        "2 frames came again and count once",
    }
    _same(result, hnb.fit(run.mask_frames([30, 31, 90]), MODE))


def test_a_source_that_fails_or_falls_silent_keeps_what_came(run: FrameSet) -> None:
    images = _images(run)

    def failing() -> Iterator[np.ndarray]:
        yield from images[:120]
        raise OSError("link down")

    with pytest.warns(DataWarning, match=r"the source failed \(link down\)"):
        result = hnb.live(failing(), MODE, partition=run.partition, dt=0.5, first=110, growth=10).run()
    assert result.success
    assert result.provenance["selection"]["frames"] == [1, 120]

    def silent() -> Iterator[np.ndarray]:
        yield from images[:120]
        threading.Event().wait()

    with pytest.warns(DataWarning, match="the source counts as ended"):
        result = hnb.live(
            silent(), MODE, partition=run.partition, dt=0.5, first=110, growth=10, patience=0.5
        ).run()
    assert result.provenance["selection"]["frames"][1] == 120


def test_a_rule_stops_the_fit_once_enough_is_known(run: FrameSet) -> None:
    live = hnb.live(run, MODE, first=60, growth=0.2, stop_when=known_to("J", 10.0, over=5.0))
    live.run()
    assert len(live.history) == 1
    assert live.told == [f"enough is known after {live.history[0].frames} frames"]


def test_frames_that_never_came_are_told_where_a_rule_stops_the_fit_too(run: FrameSet) -> None:
    came = ((k, image) for k, image in enumerate(_images(run), start=1) if k not in (30, 31))
    live = hnb.live(came, MODE, partition=run.partition, dt=0.5, first=60, stop_when=lambda update: True)
    with pytest.warns(DataWarning, match="2 frames never came and are left out"):
        live.run()
    assert len(live.history) == 1


def test_a_file_is_followed_while_it_is_written(
    run: FrameSet, offline: hnb.FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "POLL", 0.01)
    images, path = np.array(_images(run)), tmp_path / "growing.h5"

    def write() -> None:
        with h5py.File(path, "w", libver="latest") as h5file:
            shape = run.partition.shape
            stack = h5file.create_dataset(
                "entry/data/data", (0, *shape), np.uint16, maxshape=(None, *shape), chunks=(8, *shape)
            )
            h5file.swmr_mode = True
            for first in range(0, 160, 40):
                stack.resize(first + 40, axis=0)
                stack[first : first + 40] = images[first : first + 40]
                stack.flush()

    writer = threading.Thread(target=write)
    writer.start()
    writer.join()
    live = hnb.live(path, MODE, partition=run.partition, dt=0.5, first=160, patience=2.0)
    with pytest.warns(DataWarning, match="counts as ended"):
        _same(live.run(), offline)


def test_a_folder_is_followed_file_by_file(
    run: FrameSet, offline: hnb.FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "POLL", 0.01)
    for k, part in enumerate(np.array_split(np.array(_images(run)), 4)):
        with h5py.File(tmp_path / f"part_{k}.h5", "w") as h5file:
            h5file["entry/data/data"] = part
    live = hnb.live(tmp_path, MODE, partition=run.partition, dt=0.5, first=160, patience=2.0)
    with pytest.warns(DataWarning, match="counts as ended"):
        _same(live.run(), offline)


def test_what_cannot_be_followed_is_said(run: FrameSet) -> None:
    with pytest.raises(ConfigurationError, match="partition= and dt="):
        hnb.live(iter([]), MODE)
    with pytest.raises(ConfigurationError, match="one-time mode"):
        hnb.live(run, "kww")
    with pytest.raises(ConfigurationError, match="the source gave 0 frames"):
        hnb.live(iter([]), MODE, partition=run.partition, dt=0.5).run()
    with (
        pytest.warns(DataWarning, match="5 is no live source|int is no live source"),
        pytest.raises(ConfigurationError),
    ):
        hnb.live(5, MODE, partition=run.partition, dt=0.5).run()


def test_frames_that_were_kept_when_the_process_was_killed_go_on_to_the_numbers_of_the_whole_run(
    run: FrameSet, offline: hnb.FitResult, tmp_path: Path
) -> None:
    """Killed in the middle of a frame: what came before is there, and the source may give some of it again."""
    np.savez(
        tmp_path / "run.npz", labels=run.partition.labels, q=run.q, phi=run.phi, images=np.array(_images(run))
    )
    script = f"""
import os, signal
from pathlib import Path
import numpy as np
from heterodyne_nb.frames import Partition, growing
from heterodyne_nb.frames.kept import Kept
held = np.load({str(tmp_path / "run.npz")!r})
bins = Partition(held["labels"], held["q"], held["phi"])
frames = growing.GrowingFrames(bins, 0.5, Kept(Path({str(tmp_path / "kept")!r}), bins, 0.5))
for image in held["images"][:90]:
    frames.append(image)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    path = tmp_path / "kept"
    with path.open("ab") as file:
        file.write(path.read_bytes()[-50:-3])  # a frame that was cut off
    rest = ((k + 1, image) for k, image in enumerate(_images(run)) if k >= 80)
    live = hnb.live(rest, MODE, partition=run.partition, dt=0.5, first=160, keep=path)
    with pytest.warns(DataWarning, match="10 frames came again and count once"):
        _same(live.run(), offline)
    again = hnb.live(iter([]), MODE, partition=run.partition, dt=0.5, first=160, keep=path)
    _same(again.run(), offline)
    with pytest.raises(DataFormatError, match="other frames"):
        hnb.live(iter([]), MODE, partition=run.partition, dt=0.25, keep=path)


def test_a_file_whose_writer_is_killed_gives_all_that_it_had_written(
    run: FrameSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "POLL", 0.01)
    np.save(tmp_path / "images.npy", np.array(_images(run)))
    path = tmp_path / "growing.h5"
    script = """
import sys
import h5py, numpy as np
images = np.load(sys.argv[2])
with h5py.File(sys.argv[1], "w", libver="latest") as h5file:
    shape = images.shape[1:]
    stack = h5file.create_dataset("entry/data/data", (0, *shape), "u2", maxshape=(None, *shape), chunks=(8, *shape))
    h5file.swmr_mode = True
    for first, last in ((0, 60), (60, 120)):
        stack.resize(last, axis=0)
        stack[first:last] = images[first:last]
        stack.flush()
        print("written", flush=True)
        sys.stdin.readline()
"""
    asked = [sys.executable, "-c", script, str(path), str(tmp_path / "images.npy")]
    with subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        live = hnb.live(path, MODE, partition=run.partition, dt=0.5, first=60, growth=1.0)
        others = set(threading.enumerate())
        updates = iter(live)
        assert next(updates).frames == 60
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "written\n"
        writer.kill()
    assert next(updates).frames == 120
    updates.close()
    part = hnb.fit(run.select(frames=(1, 120)), MODE)
    assert live.result is not None
    _same(live.result, part)
    for thread in set(threading.enumerate()) - others:  # that of the source, which would keep the file open
        if thread.name == "live source":
            thread.join()
    late = iter(
        hnb.live(path, MODE, partition=run.partition, dt=0.5, first=120)
    )  # still marked as being written
    _same(next(late).result, part)
    late.close()


def test_frames_that_come_while_those_before_are_put_in_order_are_in_the_next_fit(
    run: FrameSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, lock, joined = _images(run), threading.Lock(), growing.joined
    frames = growing.GrowingFrames(run.partition, run.dt)
    monkeypatch.setattr(growing, "_TOGETHER", 500)
    for image in images[:80]:
        frames.append(image)

    def meanwhile(*parts: object) -> object:
        with lock:  # else it would wait for ever
            for image in images[frames.n_frames :]:
                frames.append(image)
        return joined(*parts)

    monkeypatch.setattr(growing, "joined", meanwhile)
    assert frames.snapshot(lock).n_frames == 80
    whole = frames.snapshot(lock).photons
    for name in ("frame", "count", "start"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(run.photons, name))
