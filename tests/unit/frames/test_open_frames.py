"""Frames come in the way detectors write them, and are the same photons whichever way they came."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.sparse import coo_array

import heterodyne_nb as hnb
from heterodyne_nb import simulate
from heterodyne_nb.errors import (
    ConfigurationError,
    DataFormatError,
    DataWarning,
    MissingFileError,
    OutputError,
)
from heterodyne_nb.frames import FrameSet, Partition, read_qmap, ring_partition, write_frames, write_qmap
from heterodyne_nb.frames.growing import GrowingFrames
from heterodyne_nb.frames.rigaku import MODULE, SHAPE_3M

AXES = {"q": [0.005, 0.01], "phi": [0.0, 90.0], "n_frames": 37, "dt": 0.5, "n_pixels": 60}


def _frames(**changed: object) -> FrameSet:
    return simulate.frames("static_isotropic", [50.0, 0.0, 0.0], **{**AXES, "mean_counts": 0.4, **changed})


def _dense(frames: FrameSet) -> np.ndarray:
    out = np.zeros((frames.n_frames, frames.partition.labels.size))
    frame, pixel, count = frames.photons.in_time_order()
    out[frame, pixel] = count
    return out.reshape(-1, *frames.partition.shape)


def need_fabio() -> None:
    pytest.importorskip("fabio", reason="images are read by fabio: pip install 'heterodyne_nb[frames]'")


def assert_same_photons(one: FrameSet, other: FrameSet) -> None:
    for name in ("frame", "count", "start", "first", "pixel"):
        np.testing.assert_array_equal(getattr(one.photons, name), getattr(other.photons, name), err_msg=name)
    assert one.n_frames == other.n_frames


@pytest.mark.parametrize("layout", ["hdf5", "imm", "npy", "npz", "events", "sparse", "tif", "edf"])
def test_what_is_written_is_read_back_photon_by_photon(layout: str, tmp_path: Path) -> None:
    if layout in ("tif", "edf"):
        need_fabio()
    suffix = {"hdf5": ".h5", "imm": ".imm", "npy": ".npy", "tif": "", "edf": ""}.get(layout, ".npz")
    frames = _frames()
    path = write_frames(frames, tmp_path / f"run{suffix}", layout)
    back = hnb.open_frames(path, partition=frames.partition, dt=0.5)
    assert "photons" not in back.__dict__, "opening reads no photon"
    assert_same_photons(frames, back)


@pytest.mark.parametrize("shape", [MODULE, SHAPE_3M])
def test_rigaku_events_come_back_from_one_file_and_from_six(shape: tuple[int, int], tmp_path: Path) -> None:
    frames = _frames(shape=shape)
    path = write_frames(frames, tmp_path / "run.bin", "rigaku")
    assert len(list(tmp_path.iterdir())) == (6 if shape == SHAPE_3M else 1)
    back = hnb.open_frames(path, partition=frames.partition, dt=0.5, n_frames=frames.n_frames)
    assert_same_photons(frames, back)


def test_a_rigaku_word_holds_count_pixel_and_frame_at_their_bits(tmp_path: Path) -> None:
    words = np.array([(7 << 40) | (5 << 16) | 3, (9 << 40) | (6 << 16) | 4095], "<u8")
    words.tofile(tmp_path / "a.bin")
    labels = np.zeros(MODULE, int)
    labels[0, 5:7] = 1
    frames = hnb.open_frames(tmp_path / "a.bin", partition=(labels, [0.01], [0.0]), dt=1.0)
    frame, pixel, count = frames.photons.in_time_order()
    assert (frame.tolist(), pixel.tolist(), count.tolist()) == ([7, 9], [5, 6], [3, 4095])
    assert frames.n_frames == 10


def test_the_second_file_of_a_rigaku_3m_is_the_module_on_the_upper_right(tmp_path: Path) -> None:
    for number in range(6):
        words = [(2 << 40) | (0 << 16) | 1] if number == 0 else []
        np.array(words, "<u8").tofile(tmp_path / f"a.bin.{number:03d}")
    labels = np.ones(SHAPE_3M, int)
    frames = hnb.open_frames(tmp_path / "a.bin.000", partition=(labels, [0.01], [0.0]), dt=1.0)
    assert frames.photons.in_time_order()[1].tolist() == [1024 + 52]


@pytest.mark.parametrize("kind", ["array", "iterator", "matrix", "csc", "lists", "unordered", "many batches"])
def test_arrays_iterators_matrices_and_lists_hold_the_same_photons(
    kind: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    frames = _frames()
    dense = _dense(frames).astype(np.uint16)
    events = frames.photons.in_time_order()
    if kind == "many batches":
        monkeypatch.setattr("heterodyne_nb.frames.sources._VALUES", 5 * dense[0].size)
        monkeypatch.setattr("heterodyne_nb.frames.photons._SEGMENT", 100)
    order = rng.permutation(len(events[0]))
    given = {
        "array": lambda: dense,
        "many batches": lambda: dense,
        "iterator": lambda: (frame for frame in dense),
        "matrix": lambda: coo_array(dense.reshape(len(dense), -1)).tocsr(),
        "csc": lambda: coo_array(dense.reshape(len(dense), -1)).tocsc(),
        "lists": lambda: events,
        "unordered": lambda: tuple(column[order] for column in events),
    }[kind]()
    assert_same_photons(frames, hnb.open_frames(given, partition=frames.partition, dt=0.5, n_frames=None))


def test_two_events_of_one_pixel_and_frame_are_one() -> None:
    events = ([0, 0, 2, 1, 3], [0, 0, 1, 1, 0], [2, 3, 1, 0, 1])
    frames = hnb.open_frames(events, partition=(np.ones((1, 2), int), [0.01], [0.0]), dt=1.0)
    assert [c.tolist() for c in frames.photons.in_time_order()] == [[0, 2, 3], [0, 1, 0], [5, 1, 1]]


def test_several_files_of_a_stack_follow_each_other(tmp_path: Path) -> None:
    frames = _frames()
    dense = _dense(frames).astype(np.uint32)
    paths = []
    for k, part in enumerate(np.array_split(dense, 3)):
        paths.append(tmp_path / f"part{k}.h5")
        with h5py.File(paths[-1], "w") as h5file:
            h5file["somewhere/frames"] = part
    assert_same_photons(frames, hnb.open_frames(paths, partition=frames.partition, dt=0.5))


def test_the_frame_time_is_read_from_the_file_in_its_unit(tmp_path: Path) -> None:
    frames = _frames()
    path = write_frames(frames, tmp_path / "run.h5", "hdf5")
    with h5py.File(path, "a") as h5file:
        node = h5file["entry/instrument/detector_1/frame_time"]
        node[()] = 20.0
        node.attrs["units"] = "us"
    assert hnb.open_frames(path, partition=frames.partition).dt == pytest.approx(2e-5)


@pytest.mark.parametrize("kind", ["uint32", "float", "int"])
def test_pixels_that_a_detector_marks_as_dead_are_left_out_and_told(kind: str) -> None:
    frames = _frames()
    dense = _dense(frames).astype({"uint32": np.uint32, "float": float, "int": np.int32}[kind])
    y, x = np.argwhere(frames.partition.labels == 2)[7]
    dense[5:, y, x] = {"uint32": np.iinfo(np.uint32).max, "float": np.nan, "int": -1}[kind]
    found = hnb.open_frames(dense, partition=frames.partition, dt=0.5)
    with pytest.warns(DataWarning, match="1 pixel that the detector marks as dead"):
        assert found.photons.n_pixels.tolist() == [60, 59, 60, 60]
    assert found.n_pixels.tolist() == [60, 59, 60, 60]
    used = np.ones(dense[0].shape, bool)
    used[y, x] = False
    assert_same_photons(found, frames.without_pixels(used))


def test_frames_that_arrive_one_by_one_leave_out_the_same_dead_pixels() -> None:
    frames = _frames()
    dense = _dense(frames).astype(np.uint16)
    y, x = np.argwhere(frames.partition.labels == 2)[7]
    dense[5:, y, x] = np.iinfo(np.uint16).max
    growing = GrowingFrames(frames.partition, 0.5)
    for image in dense:
        growing.append(image)
    with pytest.warns(DataWarning, match="live frames: 1 pixel that the detector marks as dead"):
        live = growing.snapshot()
    whole = hnb.open_frames(dense, partition=frames.partition, dt=0.5)
    with pytest.warns(DataWarning, match="frames: 1 pixel that the detector marks as dead"):
        assert whole.photons.n_pixels.tolist() == [60, 59, 60, 60]
    assert_same_photons(live, whole)
    with pytest.raises(DataFormatError, match="negative"):
        growing.append((38, [3], [-1]))


def test_frames_and_bins_can_be_chosen_and_keep_their_times() -> None:
    frames = _frames()
    part = frames.select(bins=[2, 1], frames=(5, 20))
    np.testing.assert_array_equal(part.t, 0.5 * np.arange(5, 21))
    np.testing.assert_array_equal(part.q, frames.q[[2, 1]])
    np.testing.assert_allclose(part.intensity, frames.intensity[[2, 1], 4:20])
    assert part.mask_frames([(6, 8)]).used.tolist() == [k not in (6, 7, 8) for k in range(5, 21)]


def test_frames_left_out_add_up_and_those_without_a_photon_are_not_used() -> None:
    dense = _dense(_frames())
    dense[10] = 0
    frames = hnb.open_frames(dense, partition=_frames().partition, dt=0.5, mask=[3, (5, 6)])
    more = frames.mask_frames(9)
    assert np.flatnonzero(~more.used).tolist() == [2, 4, 5, 8]
    assert np.flatnonzero(~more.usable[0]).tolist() == [2, 4, 5, 8, 10]


def test_smoothing_divides_by_the_mean_of_the_static_region() -> None:
    rng = np.random.default_rng(1)
    labels, static = np.ones((8, 8), int), np.repeat([[1, 2]], 8, axis=0).repeat(4, axis=1)
    gain = np.where(static == 1, 2.0, 6.0)
    dense = rng.poisson(gain, (4000, 8, 8))
    frames = hnb.open_frames(dense, partition=Partition(labels, [0.01], [0.0], static), dt=1.0)
    pixel = frames.photons.pixel
    means = [dense[:, static == k].mean() for k in (1, 2)]
    expected = np.where(static == 1, *means).ravel()[pixel] / dense.mean()
    np.testing.assert_allclose(frames.scale, expected, rtol=1e-12)
    np.testing.assert_allclose(frames.scale, gain.ravel()[pixel] / 4.0, rtol=0.02)
    flat = dense.reshape(4000, 64)[:, pixel] / frames.scale
    np.testing.assert_allclose(frames.intensity[0], flat.mean(axis=1))


def test_a_q_map_file_comes_back_with_empty_bins_left_out(tmp_path: Path) -> None:
    partition = _frames().partition
    write_qmap(tmp_path / "map.h5", partition)
    back = read_qmap(tmp_path / "map.h5")
    np.testing.assert_array_equal(back.labels, partition.labels)
    np.testing.assert_allclose([back.q, back.phi], [partition.q, partition.phi])
    with h5py.File(tmp_path / "map.h5", "a") as h5file:
        h5file["qmap/mask"][...] = partition.labels != 2
        h5file["qmap/dynamic_v_list_dim0"][...] *= 10
        h5file["qmap/dynamic_v_list_dim0"].attrs["units"] = "1/nm"
        h5file["qmap/map_units"][0] = "1/nm"
    back = hnb.open_frames(_dense(_frames()), partition=tmp_path / "map.h5", dt=0.5)
    assert (back.n_bins, back.phi.tolist()) == (3, [0.0, 0.0, 90.0])
    np.testing.assert_allclose(back.q, partition.q[[0, 2, 3]])


def test_rings_are_cut_into_wedges() -> None:
    y, x = np.indices((40, 40)) - 19.5
    part = ring_partition(np.hypot(x, y) * 1e-3, np.degrees(np.arctan2(y, x)), q_edges=[0.01, 0.015], n_phi=4)
    assert part.n_bins == 4
    np.testing.assert_allclose(sorted(part.phi), [-135, -45, 45, 135])
    assert np.ptp(np.bincount(part.labels.ravel())[1:]) == 0, "a centred ring has equal quarters"
    assert part.labels[35, 24] == 0
    assert 0.012 < part.q[0] < 0.013


@pytest.mark.skipif(importlib.util.find_spec("pyFAI") is None, reason="pyFAI is an extra")
def test_a_poni_file_gives_the_q_of_every_ring(tmp_path: Path) -> None:
    from heterodyne_nb.frames import partition_from_poni

    (tmp_path / "a.poni").write_text(
        'poni_version: 2\nDetector: Detector\nDetector_config: {"pixel1": 7.5e-05, "pixel2": 7.5e-05, '
        '"max_shape": [100, 120]}\nDistance: 5.0\nPoni1: 0.00375\nPoni2: 0.0045\nRot1: 0\nRot2: 0\nRot3: 0\n'
        "Wavelength: 1e-10\n"
    )
    part = partition_from_poni(tmp_path / "a.poni", q_edges=[0.002, 0.0022], n_phi=2, phi_start=-90.0)
    y, x = np.indices((100, 120))
    r = 7.5e-5 * np.hypot(y + 0.5 - 50, x + 0.5 - 60)
    q = 4 * np.pi * np.sin(0.5 * np.arctan(r / 5.0))
    np.testing.assert_array_equal(part.labels > 0, (q >= 0.002) & (q < 0.0022))
    np.testing.assert_allclose(part.q, 0.0021, rtol=0.02)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".tif", ".edf", ".cbf"])
@pytest.mark.parametrize("damage", ["cut short", "of another kind"])
def test_a_damaged_file_is_named_and_no_library_speaks(suffix: str, damage: str, tmp_path: Path) -> None:
    path, image = tmp_path / f"a{suffix}", np.arange(60 * 60, dtype=np.int32).reshape(60, 60)
    if suffix in (".npy", ".npz"):
        with path.open("wb") as stream:
            {".npy": np.save, ".npz": np.savez}[suffix](stream, image[None])
    else:
        need_fabio()
        import fabio

        kind = {
            ".tif": fabio.tifimage.TifImage, ".edf": fabio.edfimage.EdfImage, ".cbf": fabio.cbfimage.CbfImage,
        }[suffix]  # fmt: skip
        kind(data=image).write(str(path))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage == "cut short" else b"something else" * 20)
    part = Partition(np.ones((60, 60), int), [0.01], [0.0])
    with pytest.raises(DataFormatError, match=f"a{suffix}: .*(cannot be read|cannot read|not complete)"):
        hnb.open_frames(path, partition=part, dt=1.0).photons  # noqa: B018


@pytest.mark.parametrize("layout", ["npy", "npz", "events", "sparse", "imm", "hdf5"])
def test_a_file_has_the_name_that_was_asked_for_and_replaces_an_older_one_whole(
    layout: str, tmp_path: Path
) -> None:
    frames = _frames()
    path = write_frames(frames, tmp_path / "run", layout)
    assert list(tmp_path.iterdir()) == [path]
    kind = {"events": "npz", "sparse": "npz"}.get(layout, layout)
    assert_same_photons(frames, hnb.open_frames(path, partition=frames.partition, dt=0.5, layout=kind))
    with pytest.raises(OutputError, match="there is no such folder"):
        write_frames(frames, tmp_path / "none" / "run", layout)


def test_key_and_layout_are_for_files() -> None:
    frames = _frames()
    for option in ({"key": "entry/data"}, {"layout": "npz"}):
        with pytest.raises(ConfigurationError, match=f"{next(iter(option))}: is for files"):
            hnb.open_frames(_dense(frames), partition=frames.partition, dt=0.5, **option)


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    frames = _frames()
    part = frames.partition
    with pytest.raises(MissingFileError):
        hnb.open_frames(tmp_path / "none.h5", partition=part, dt=1.0)
    with pytest.raises(ConfigurationError, match="does not tell the time"):
        hnb.open_frames(_dense(frames), partition=part)
    with pytest.raises(ConfigurationError, match="do not fit a partition"):
        hnb.open_frames(_dense(frames).transpose(0, 2, 1)[:, :5], partition=part, dt=1.0)
    with pytest.raises(ConfigurationError, match="holds no frames"):
        hnb.open_frames(5, partition=part, dt=1.0)
    with pytest.raises(ConfigurationError, match="not a partition"):
        hnb.open_frames(_dense(frames), partition=5, dt=1.0)
    with pytest.raises(DataFormatError, match="belongs to another detector"):
        hnb.open_frames(([0], [10**6], [1]), partition=part, dt=1.0).photons  # noqa: B018
    with pytest.raises(DataFormatError, match="negative"):
        hnb.open_frames(([0, 1, 2], [0, 0, 0], [1, -1, 1]), partition=part, dt=1.0).photons  # noqa: B018
    (tmp_path / "a.bin").write_bytes(b"12345")
    with pytest.raises(DataFormatError, match="not whole events"):
        hnb.open_frames(tmp_path / "a.bin", partition=part, dt=1.0)
    path = write_frames(frames, tmp_path / "a.imm", "imm")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataFormatError, match="ends inside a frame"):
        hnb.open_frames(path, partition=part, dt=1.0)
    np.zeros(1000, np.int32).tofile(tmp_path / "b.imm")
    with pytest.raises(DataFormatError, match="expected: an IMM file"):
        hnb.open_frames(tmp_path / "b.imm", partition=part, dt=1.0)
    (tmp_path / "a.bin.000").write_bytes(bytes(8))
    with pytest.raises(DataFormatError, match=r"a\.bin\.001.* missing"):
        hnb.open_frames(tmp_path / "a.bin.000", partition=part, dt=1.0)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ConfigurationError, match=r"layout of a\.txt is not known"):
        hnb.open_frames(tmp_path / "a.txt", partition=part, dt=1.0)
    with h5py.File(tmp_path / "two.h5", "w") as h5file:
        h5file["a"], h5file["b"] = np.zeros((3, 2, 2)), np.zeros((3, 2, 2))
    with pytest.raises(DataFormatError, match="name it with key="):
        hnb.open_frames(tmp_path / "two.h5", partition=part, dt=1.0)
    with pytest.raises(ConfigurationError, match="labels go up to 1"):
        Partition(np.ones((3, 3), int), [0.01, 0.02], [0.0, 0.0])
