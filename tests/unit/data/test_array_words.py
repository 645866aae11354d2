"""Plain arrays and texts: what they say of times, columns and bins is obeyed, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from layout_builders import build_mid, random_maps

from heterodyne_nb.data import open_dataset
from heterodyne_nb.errors import DataFormatError, DataWarning

N, DT = 12, 0.1
MAPS = random_maps((2, 2), n=N)
TAU = np.array([1, 2, 4, 8]) * DT
G2 = 1 + 0.2 * np.exp(-TAU)


def npz(path: Path, **more: Any) -> Path:
    np.savez(path / "a.npz", **{"c2": MAPS, "q": [0.01, 0.02], "phi": [-45.0, 30.0], **more})
    return path / "a.npz"


GAP = np.r_[np.arange(6), np.arange(9, 15)] * DT
SLOWER = np.cumsum(np.r_[np.full(6, DT), np.full(6, 2 * DT)])


@pytest.mark.parametrize("times", [GAP, SLOWER, np.geomspace(DT, 3.0, N), np.r_[np.arange(11) * DT, np.nan]])
def test_times_of_frames_that_are_not_equidistant_are_refused_unless_a_step_is_given(tmp_path: Path, times):
    path = npz(tmp_path, t=times)
    with pytest.raises(DataFormatError, match="the times of the frames step by"):
        open_dataset(path)
    assert open_dataset(path, dt=DT).attrs["dt"] == DT


def test_the_step_of_equidistant_times_is_the_frame_time_whatever_their_jitter(tmp_path: Path):
    jitter = np.random.default_rng(0).uniform(-0.02, 0.02, N) * DT
    ds = open_dataset(npz(tmp_path, t=(1 + np.arange(N)) * DT + jitter))
    assert ds.attrs["dt"] == pytest.approx(DT, rel=5e-3)
    assert open_dataset(npz(tmp_path, t=np.arange(N) * DT)).attrs["dt"] == pytest.approx(DT)


def test_a_frame_time_that_contradicts_the_times_is_refused(tmp_path: Path):
    with pytest.raises(DataFormatError, match=r"dt is 100 s, and t steps by 0\.1 s"):
        open_dataset(npz(tmp_path, t=np.arange(N) * DT, dt=100.0))
    assert open_dataset(npz(tmp_path, t=np.arange(N) * DT, dt=DT)).attrs["dt"] == DT


def test_times_that_begin_later_than_the_run_are_told(tmp_path: Path):
    with pytest.warns(DataWarning, match="t begins at 50 s"):
        ds = open_dataset(npz(tmp_path, t=50 + np.arange(N) * DT))
    assert float(ds["t"][0]) == pytest.approx(DT)


def test_a_mid_file_with_steps_that_differ_is_refused(tmp_path: Path):
    path = build_mid(tmp_path / "a.h5", random_maps((3, 2), n=N))
    with h5py.File(path, "a") as f:
        f["train_resolved/correlation/t"][...] = GAP + DT
    with pytest.raises(DataFormatError, match="equal steps"):
        open_dataset(path)


@pytest.mark.parametrize(
    ("head", "factor"),
    [
        ("tau_ms,g2,err", 1e3), ("lag (us),g2,g2_err", 1e6), ("# delay/ms,g2,std", 1e3), ("tau,g2,err", 1.0),
        ("time_s,g2,sigma", 1.0), ("tau [ns],g2,dg2", 1e9), ("", 1.0),
    ],
)  # fmt: skip
def test_the_head_of_a_table_says_the_unit_of_its_lags(tmp_path: Path, head: str, factor: float):
    rows = np.stack([TAU * factor, G2, np.full(4, 1e-3)], axis=1)
    np.savetxt(tmp_path / "a.csv", rows, delimiter=",", header=head, comments="")
    ds = open_dataset(tmp_path / "a.csv", q=0.01, phi=0.0, dt=DT)
    np.testing.assert_allclose(ds["tau"], TAU)
    np.testing.assert_allclose(ds["g2"].values.ravel(), G2)


@pytest.mark.parametrize(("head", "order"), [("g2 tau err", [1, 0, 2]), ("stderr;g2;lag", [2, 1, 0])])
def test_columns_are_taken_by_their_names(tmp_path: Path, head: str, order: list[int]):
    rows = np.stack([TAU, G2, np.full(4, 1e-3)], axis=1)[:, order]
    separator = ";" if ";" in head else " "
    np.savetxt(tmp_path / "a.txt", rows, delimiter=separator, header=head)
    ds = open_dataset(tmp_path / "a.txt", q=0.01, phi=0.0, dt=DT)
    np.testing.assert_allclose(ds["tau"], TAU)
    np.testing.assert_allclose(ds["g2"].values.ravel(), G2)
    np.testing.assert_allclose(ds["g2_err"], 1e-3)


def test_columns_that_are_there_twice_are_refused(tmp_path: Path):
    np.savetxt(tmp_path / "a.csv", np.stack([TAU, G2, G2], 1), delimiter=",", header="tau,g2,g2", comments="")
    with pytest.raises(DataFormatError, match="the columns are tau, g2, g2"):
        open_dataset(tmp_path / "a.csv", q=0.01, phi=0.0, dt=DT)


@pytest.mark.parametrize("phi", [[30.0, 30.0], [30.0, 390.0]])
def test_an_angle_that_is_there_twice_leaves_every_bin_on_its_own(tmp_path: Path, phi: list[float]):
    with pytest.warns(DataWarning, match="there twice"):
        ds = open_dataset(npz(tmp_path, phi=phi, dt=DT))
    assert ds.sizes["bin"] == 4
    np.testing.assert_array_equal(ds["q"], [0.01, 0.01, 0.02, 0.02])
    np.testing.assert_array_equal(ds["c2"].values, MAPS.reshape(4, N, N))
