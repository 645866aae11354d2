"""Small files of every layout, written with h5py from the layouts' description, not with our writers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

Q = np.array([0.01, 0.02])
PHI = np.array([-90.0, 0.0, 90.0])
DT = 0.5
TAU_FRAMES = np.array([1, 2, 4, 8])


def random_maps(shape: tuple[int, ...] = (2, 3), n: int = 12, seed: int = 1) -> np.ndarray:
    """Symmetric float32 maps around 1, no two pixels alike."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(1.0, 0.1, (*shape, n, n)).astype(np.float32)
    lower = np.tril_indices(n, -1)
    for one in maps.reshape(-1, n, n):
        one[lower] = one.T[lower]
    return maps


def random_g2(n_tau: int, n_bin: int, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """g2 and its error, (delays, bins)."""
    rng = np.random.default_rng(seed)
    return 1.0 + 0.2 * rng.random((n_tau, n_bin)), 0.01 + 0.01 * rng.random((n_tau, n_bin))


def build_apsu(
    path: Path,
    maps: np.ndarray,
    *,
    keep: list[int] | None = None,
    part: Any = np.triu,
    frame_time: Any = DT,
    q: np.ndarray = Q,
    phi: np.ndarray = PHI,
    g2: bool = False,
    filters: dict[str, Any] | None = None,
) -> Path:
    """APS-U. `maps` is (q, phi, N, N); `keep` lists the grid cells that have a label (all by default)."""
    flat = maps.reshape(-1, *maps.shape[-2:])
    cells = list(range(len(flat))) if keep is None else keep
    with h5py.File(path, "w") as f:
        f["entry/instrument/detector_1/frame_time"] = frame_time
        qmap = f.create_group("xpcs/qmap")
        qmap["dynamic_v_list_dim0"], qmap["dynamic_v_list_dim1"] = q, phi
        qmap["dynamic_num_pts"] = np.array([q.size, phi.size])
        qmap["dynamic_index_mapping"] = np.array(cells)
        qmap["dynamic_roi_map"] = np.repeat(np.arange(len(cells) + 1), 5).reshape(-1, 5).astype("u4")
        f["xpcs/twotime/processed_bins"] = np.arange(1, len(cells) + 1)
        for i, cell in enumerate(cells, start=1):
            name = f"xpcs/twotime/correlation_map/c2_{i:05d}"
            f.create_dataset(name, data=part(flat[cell]).astype("f4"), **(filters or {"compression": "lzf"}))
        if g2:
            values, errors = random_g2(TAU_FRAMES.size, len(cells))
            f["xpcs/multitau/delay_list"] = TAU_FRAMES
            f["xpcs/multitau/normalized_g2"] = values
            f["xpcs/multitau/normalized_g2_err"] = errors
    return path


def build_aps_legacy(path: Path, maps: np.ndarray, *, row: bool = True, prefix: str = "g2") -> Path:
    """APS legacy; lists as (1, n) rows or flat, maps named g2_… or c2_…."""
    flat = maps.reshape(-1, *maps.shape[-2:])
    q, phi = np.repeat(Q, PHI.size), np.tile(PHI, Q.size)
    values, errors = random_g2(TAU_FRAMES.size, len(flat))
    with h5py.File(path, "w") as f:
        f["xpcs/dqlist"] = q[None] if row else q
        f["xpcs/dphilist"] = phi[None] if row else phi
        f["xpcs/dqmap"] = np.repeat(np.arange(len(flat) + 1), 4).reshape(-1, 4).astype("u4")
        f["xpcs/qphi_bin_to_process"] = np.arange(1, len(flat) + 1)
        f["measurement/instrument/detector/exposure_period"] = np.array([[DT]])
        f["exchange/tau"] = TAU_FRAMES[None].astype("f4")
        f["exchange/norm-0-g2"], f["exchange/norm-0-stderr"] = values.astype("f4"), errors.astype("f4")
        for i, one in enumerate(flat, start=1):
            f[f"exchange/C2T_all/{prefix}_{i:05d}"] = np.triu(one)
    return path


def build_nxxpcs(
    path: Path,
    maps: np.ndarray,
    *,
    mode: str = "one_array_q_first",
    baseline: Any = 1,
    origin: str = "upper_left",
    part: Any = np.triu,
    unit: str | None = "1/angstrom",
    entry: str = "entry",
) -> Path:
    """NXxpcs in any of its storage modes."""
    flat = maps.reshape(-1, *maps.shape[-2:])
    stored = np.stack([part(one - (0 if int(baseline) else 1)) for one in flat]).astype("f4")
    if origin == "lower_left":
        stored = stored[:, ::-1]
    values, errors = random_g2(TAU_FRAMES.size, len(flat))
    q, phi = np.repeat(Q, PHI.size), np.tile(PHI, Q.size)
    with h5py.File(path, "w") as f:
        group = f.create_group(entry)
        group["definition"] = np.bytes_("NXxpcs")
        detector = group.create_group("instrument/detector_x")
        detector.attrs["NX_class"] = "NXdetector"
        detector["frame_time"] = np.array([DT])
        masks = group.create_group("instrument/masks")
        masks["dynamic_q_list"] = q * (10 if unit == "nm^-1" else 1)
        if unit:
            masks["dynamic_q_list"].attrs["units"] = unit
        masks["dynamic_phi_list"] = phi
        masks["dynamic_roi_map"] = np.repeat(np.arange(len(flat) + 1), 3).reshape(-1, 3).astype("u4")
        node: Any
        if mode == "data_exchange_keys":
            node = group.create_group("twotime/two_time_corr_func")
            for i, one in enumerate(stored, start=1):
                node[f"{i:05d}"] = one
        else:
            data = stored if mode == "one_array_q_first" else np.moveaxis(stored, 0, -1)
            node = group.create_dataset("twotime/two_time_corr_func", data=data, compression="gzip")
        node.attrs["storage_mode"] = np.bytes_(mode)
        node.attrs["baseline_reference"] = baseline
        node.attrs["time_origin_location"] = origin
        node.attrs["populated_elements"] = "upper_half"
        group["data/delay_difference"] = TAU_FRAMES
        group["data/g2"], group["data/g2_derr"] = values, errors
    return path


def build_nxxpcs_old(path: Path) -> Path:
    """NXxpcs before the standard: g2 only, delays in seconds."""
    values, errors = random_g2(TAU_FRAMES.size, 2)
    with h5py.File(path, "w") as f:
        f["entry/XPCS/data/g2"], f["entry/XPCS/data/g2_errors"] = values, errors
        f["entry/XPCS/data/t_el"] = TAU_FRAMES * DT
        f["entry/XPCS/data/ql_dyn"] = Q
        f["entry/XPCS/data/masks/mask/mask"] = np.ones((3, 3), "u1")
    return path


def build_esrf(path: Path, maps: np.ndarray, *, analyses: tuple[str, ...] = ("full",)) -> Path:
    """ESRF ID02: one region a map, stored as (region, lag, age) with every lag and half-frame age."""
    n = maps.shape[-1]
    ttcf = np.full((len(maps), n, 2 * n - 1), np.nan, "f4")
    for i in range(n):
        for j in range(i, n):
            ttcf[:, j - i, i + j] = maps[:, i, j]
    values, errors = random_g2(TAU_FRAMES.size, len(maps))
    with h5py.File(path, "w") as f:
        f.attrs["MagicString"] = np.bytes_("XPCSResultFile_v2.0")
        for key in analyses:
            group = f.create_group(f"entry_0000/correlations/{key}")
            group["parameters/q"] = Q[: len(maps)] * 10
            group["roi_masks"] = np.arange(len(maps) * 6).reshape(len(maps), 2, 3) % 2 == 0
            group["twotime/ttcf"] = ttcf
            group["twotime/lag"] = np.arange(n) * DT
            group["twotime/age"] = np.arange(2 * n - 1) * DT / 2
            group["g2/lag"] = TAU_FRAMES * DT
            group["g2/cf"], group["g2/err"] = values.T, errors.T
    return path


def build_dahu(path: Path) -> Path:
    """What the dahu server at ID02 writes: g2 of two rings, (q, t), the unit of q as pyFAI spells it."""
    values, _ = random_g2(TAU_FRAMES.size, 2)
    with h5py.File(path, "w") as f:
        group = f.create_group("entry/1_XPCS/results")
        group["g2"], group["q"], group["t"] = values.T, Q * 10, TAU_FRAMES * DT
        group["q"].attrs["unit"], group["t"].attrs["unit"] = "q_nm^-1", "s"
        group["qmask"] = np.repeat(np.arange(3), 4).reshape(3, 4)
    return path


def build_pychx(path: Path, maps: np.ndarray, *, angles: bool = False, bad: list[int] | None = None) -> Path:
    """pyCHX: q last, q values as attributes, delays in seconds from lag 0."""
    tau = np.r_[0, TAU_FRAMES] * DT
    values, _ = random_g2(tau.size, len(maps))
    with h5py.File(path, "w") as f:
        f["g12b"] = np.moveaxis(maps, 0, -1).astype("f8")
        f["g2"], f["taus"] = values, tau
        f.create_group("md").attrs["acquire period"] = str(DT)
        qval = f.create_group("qval_dict")
        for i in range(len(maps)):
            qval.attrs[str(i)] = np.array([Q[i], 200.0]) if angles else np.array([Q[i]])
        if bad is not None:
            f["bad_frame_list"] = np.array(bad)
    return path


def build_mid(path: Path, trains: np.ndarray) -> Path:
    """European XFEL MID: `trains` is (train, q, N, N), stored as (train, t, t, q)."""
    n = trains.shape[-1]
    tau = np.arange(1, n + 1) * 1e-6
    rng = np.random.default_rng(3)
    with h5py.File(path, "w") as f:
        group = f.create_group("train_resolved/correlation")
        group["q"], group["t"] = Q[: trains.shape[1]] * 10, tau
        group["ttc"] = np.moveaxis(trains, 1, -1)
        group["g2"] = 1 + 0.1 * rng.random((len(trains), n, trains.shape[1]))
    return path
