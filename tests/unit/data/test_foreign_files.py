"""Structures of files that others write, as their writers' sources and public trackers show them: opened, fitted, reported, exported.

Each writer puts the same decay, of rate 0.5 1/s, into its structure, so a delay or a frame time that is read wrong shows
in the rate. q are 0.01 and 0.02 1/Å, φ −45° and 30° where the structure has angles.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io

import heterodyne_nb
from heterodyne_nb.cli import main
from heterodyne_nb.data import open_dataset, write_apsu, write_nxxpcs

N, DT, RATE = 40, 0.1, 0.5
Q, PHI = np.array([0.01, 0.02]), np.array([-45.0, 30.0])
QQ, PP = np.repeat(Q, 2), np.tile(PHI, 2)
TAU = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32])
RNG = np.random.default_rng(5)


def curve(tau: np.ndarray) -> np.ndarray:
    return 1 + 0.2 * np.exp(-2 * RATE * tau)


def noisy(values: np.ndarray, n: int) -> np.ndarray:
    return values + RNG.normal(0, 0.001, (n, *values.shape))


t = np.arange(N) * DT
MAPS = noisy(curve(np.abs(t[:, None] - t)), 4)
MAPS = ((MAPS + MAPS.transpose(0, 2, 1)) / 2).astype("f4")
G2 = noisy(curve(TAU * DT), 4)  # (bins, delays)
ERR = np.full_like(G2, 0.001)
LABELS = np.repeat(np.arange(5), 6).reshape(5, 6).astype("u4")

Build = Callable[[Path], Path]
STRUCTURES: dict[str, tuple[Build, dict[str, Any]]] = {}


def structure(name: str, **opened: Any) -> Callable[[Build], Build]:
    """Enter a writer under a name, with the keywords that its file is opened with."""

    def enter(build: Build) -> Build:
        STRUCTURES[name] = (build, opened)
        return build

    return enter


def h5(path: Path, table: dict[str, Any], attrs: dict[str, dict[str, Any]] | None = None) -> Path:
    """An HDF5 file of datasets, and of attributes by the path of their holder."""
    with h5py.File(path, "w") as f:
        for key, value in table.items():
            f[key] = value
        for key, said in (attrs or {}).items():
            f.require_group(key).attrs.update(said) if key not in f else f[key].attrs.update(said)
    return path


# ---- APS 8-ID since the upgrade ----

QMAP = {
    "xpcs/qmap/dynamic_v_list_dim0": Q,
    "xpcs/qmap/dynamic_v_list_dim1": PHI,
    "xpcs/qmap/dynamic_num_pts": [2, 2],
    "xpcs/qmap/dynamic_index_mapping": np.arange(4),
    "xpcs/qmap/dynamic_roi_map": LABELS,
    "xpcs/qmap/mask": np.ones((5, 6), "u1"),
}
FRAME = {"entry/instrument/detector_1/frame_time": DT}
MULTITAU = {
    "xpcs/multitau/delay_list": TAU,
    "xpcs/multitau/normalized_g2": G2.T,
    "xpcs/multitau/normalized_g2_err": ERR.T,
}
CONFIG = {
    f"xpcs/{kind}/config/{key}": 1
    for kind in ("multitau", "twotime")
    for key in ("avg_frame", "stride_frame")
}


def triangles(group: str, prefix: str = "c2_", part: Any = np.triu) -> dict[str, Any]:
    return {f"{group}/{prefix}{i:05d}": part(one) for i, one in enumerate(MAPS, start=1)}


TWOTIME = {**triangles("xpcs/twotime/correlation_map"), "xpcs/twotime/processed_bins": np.arange(1, 5)}


@structure("boost_corr: two-time and multi-tau")
def _(path: Path) -> Path:
    frame = {key: np.array([[value]]) for key, value in FRAME.items()}
    return h5(path, {**QMAP, **frame, **MULTITAU, **TWOTIME, **CONFIG})


@structure("boost_corr: multi-tau, half of it unmeasured")
def _(path: Path) -> Path:
    g2, err = np.where(TAU[:, None] > 16, 0, G2.T), np.where(TAU[:, None] > 16, 0, ERR.T)
    return h5(
        path,
        {
            **QMAP,
            **FRAME,
            **MULTITAU,
            "xpcs/multitau/normalized_g2": g2,
            "xpcs/multitau/normalized_g2_err": err,
        },
    )


@structure("boost_corr: early, maps under c2_half")
def _(path: Path) -> Path:
    maps = triangles("xpcs/twotime/c2_half")
    return h5(path, {**QMAP, **FRAME, **maps, "xpcs/twotime/processed_bins": np.arange(1, 5)})


@structure("boost_corr: every other frame, two averaged")
def _(path: Path) -> Path:
    frame = {"entry/instrument/detector_1/frame_time": DT / 4}
    strides = dict.fromkeys(CONFIG, 2)
    return h5(path, {**QMAP, **frame, **TWOTIME, **strides})


@structure("boost_corr: partition (phi, q) by its names")
def _(path: Path) -> Path:
    swapped = {"xpcs/qmap/dynamic_v_list_dim0": PHI, "xpcs/qmap/dynamic_v_list_dim1": Q}
    names = {"xpcs/qmap/map_names": [b"phi", b"q"], "xpcs/qmap/map_units": [b"deg", b"1/A"]}
    return h5(path, {**QMAP, **swapped, **names, **FRAME, **TWOTIME})


@structure("boost_corr: a sector without pixels")
def _(path: Path) -> Path:
    maps = {k: v for k, v in TWOTIME.items() if "00004" not in k}
    fewer = {"xpcs/qmap/dynamic_index_mapping": [0, 1, 3], "xpcs/twotime/processed_bins": [1, 2, 3]}
    return h5(
        path, {**QMAP, **FRAME, **maps, **fewer, "xpcs/qmap/dynamic_roi_map": np.where(LABELS < 4, LABELS, 0)}
    )


@structure("boost_corr: one ring, no angles, g2 as a row")
def _(path: Path) -> Path:
    one = {"xpcs/qmap/dynamic_v_list_dim0": Q[:1], "xpcs/qmap/dynamic_v_list_dim1": [0.0]}
    one |= {"xpcs/qmap/map_names": [b"q", b"none"], "xpcs/qmap/dynamic_index_mapping": [0]}
    one |= {"xpcs/multitau/normalized_g2": G2[0], "xpcs/multitau/normalized_g2_err": ERR[0]}
    return h5(path, {**QMAP, **FRAME, **MULTITAU, **one, "xpcs/qmap/dynamic_roi_map": np.minimum(LABELS, 1)})


@structure("boost_corr: maps in another file")
def _(path: Path) -> Path:
    h5(path.with_suffix(".maps.h5"), TWOTIME)
    linked = {"xpcs/twotime": h5py.ExternalLink(path.with_suffix(".maps.h5").name, "/xpcs/twotime")}
    return h5(path, {**QMAP, **FRAME, **linked})


@structure("8-ID: Rigaku burst, delays in ms, detector of another name")
def _(path: Path) -> Path:
    table = {
        **QMAP,
        **MULTITAU,
        "xpcs/multitau/delay_list": TAU * DT * 1e3,
        "entry/instrument/detector_2/frame_time": DT,
    }
    return h5(path, table, {"xpcs/multitau/delay_list": {"units": "ms"}})


# ---- APS 8-ID-I before it ----

PERIOD = {"measurement/instrument/detector/exposure_period": np.array([[DT]])}
LISTS = {"xpcs/dqlist": QQ[None], "xpcs/dphilist": PP[None], "xpcs/dqmap": LABELS}


def exchange(group: str = "exchange") -> dict[str, Any]:
    return {
        f"{group}/tau": TAU[None].astype("f4"),
        f"{group}/norm-0-g2": G2.T.astype("f4"),
        f"{group}/norm-0-stderr": ERR.T.astype("f4"),
    }


@structure("8-ID-I: multi-tau of XPCS-Eigen")
def _(path: Path) -> Path:
    return h5(path, {**LISTS, **PERIOD, **exchange(), "xpcs/Version": b"1.0", "hdf_metadata_version": 15})


@structure("8-ID-I: results where output_data points")
def _(path: Path) -> Path:
    wrong = {
        "exchange/norm-0-g2": np.ones((TAU.size, 4)),
        "exchange/tau": TAU,
        "exchange/norm-0-stderr": ERR.T,
    }
    return h5(
        path, {**LISTS, **PERIOD, **wrong, **exchange("exchange_1"), "xpcs/output_data": b"/exchange_1"}
    )


@structure("8-ID-I: two-time of boost_corr, g2full and partials")
def _(path: Path) -> Path:
    extra = {"exchange/g2full": np.ones((N, 4)), "exchange/g2partials": np.ones((N // 5, 5, 4))}
    extra |= {"exchange/frameSum": np.stack([np.arange(N), np.ones(N)]), "exchange/pixelSum": np.ones((5, 6))}
    maps = triangles("exchange/C2T_all", "g2_")
    return h5(path, {**LISTS, **PERIOD, **extra, **maps, "xpcs/qphi_bin_to_process": np.arange(1, 5)})


@structure("8-ID-I: half maps below the diagonal, named c2")
def _(path: Path) -> Path:
    flat = {"xpcs/dqlist": QQ, "xpcs/dphilist": PP % 360}
    return h5(path, {**flat, **PERIOD, **triangles("exchange/C2T_all", part=np.tril)})


# ---- NeXus ----


def nexus(
    entry: str = "entry", unit: str = "1/angstrom", scale: float = 1.0
) -> tuple[dict[str, Any], dict[str, Any]]:
    table = {
        f"{entry}/definition": b"NXxpcs",
        f"{entry}/instrument/detector_1/frame_time": [DT],
        f"{entry}/instrument/masks/dynamic_q_list": QQ * scale,
        f"{entry}/instrument/masks/dynamic_phi_list": PP,
        f"{entry}/instrument/masks/dynamic_roi_map": LABELS,
    }
    return table, {f"{entry}/instrument/masks/dynamic_q_list": {"units": unit}}


def curves(group: str, mode: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if mode == "data_exchange_keys":
        table = {
            f"{group}/{k}/roi_{i:05d}": v[i - 1]
            for i in range(1, 5)
            for k, v in (("g2", G2), ("g2_derr", ERR))
        }
    else:
        first = mode == "one_array_q_first"
        table = {f"{group}/g2": G2 if first else G2.T, f"{group}/g2_derr": ERR if first else ERR.T}
    return table | {f"{group}/delay_difference": TAU}, {f"{group}/g2": {"storage_mode": mode}}


def two_time(baseline: int, origin: str, mode: str) -> tuple[dict[str, Any], dict[str, Any]]:
    stored = np.triu(MAPS - (1 - baseline))
    stored = stored[:, ::-1] if origin == "lower_left" else stored
    said = {"storage_mode": mode, "baseline_reference": baseline, "time_origin_location": origin}
    key = "entry/twotime/two_time_corr_func"
    return {key: stored if mode == "one_array_q_first" else np.moveaxis(stored, 0, -1)}, {key: said}


def joined(path: Path, *parts: tuple[dict[str, Any], dict[str, Any]]) -> Path:
    tables, attributes = zip(*parts, strict=True)
    return h5(
        path,
        {k: v for one in tables for k, v in one.items()},
        {k: v for one in attributes for k, v in one.items()},
    )


@structure("NXxpcs: one array, bins first")
def _(path: Path) -> Path:
    return joined(path, nexus(), two_time(1, "upper_left", "one_array_q_first"))


@structure("NXxpcs: bins last, baseline 0, origin at the lower left, q in 1/nm")
def _(path: Path) -> Path:
    return joined(path, nexus(unit="1/nm", scale=10.0), two_time(0, "lower_left", "one_array_q_last"))


@structure("NXxpcs: a dataset a label")
def _(path: Path) -> Path:
    return joined(path, nexus(), curves("entry/data", "data_exchange_keys"))


@structure("NXxpcs of boost_corr: g2 under multitau")
def _(path: Path) -> Path:
    return joined(path, nexus(), curves("entry/multitau", "one_array_q_first"))


@structure("NXxpcs: as a subentry beside the raw data")
def _(path: Path) -> Path:
    raw = {"entry/data/data": np.zeros((2, 5, 6), "u2"), "entry/definition": b"NXsas"}
    return joined(path, (raw, {}), nexus("entry/xpcs"), curves("entry/xpcs/data", "one_array"))


@structure("NXxpcs pilot: /entry/XPCS, delays in s")
def _(path: Path) -> Path:
    pilot = {"data/g2": G2.T, "data/g2_stderr": ERR.T, "data/tau": TAU * DT}
    pilot |= {"mask/dqlist": QQ, "mask/dphilist": PP, "mask/dqmap": LABELS}
    return h5(path, {"entry/definition": b"NXxpcs", **{f"entry/XPCS/{k}": v for k, v in pilot.items()}})


# ---- ESRF, NSLS-II, European XFEL ----


@structure("ESRF ID02: regions by lag and age")
def _(path: Path) -> Path:
    ttcf = np.full((4, N, 2 * N - 1), np.nan, "f4")
    for i in range(N):
        ttcf[:, np.arange(N - i), 2 * i + np.arange(N - i)] = MAPS[:, i, i:]
    group = "entry_0000/correlations/full"
    table = {
        "parameters/q": QQ * 10,
        "parameters/phi": PP,
        "roi_masks": np.arange(1, 5)[:, None, None] == LABELS,
    }
    table |= {"twotime/ttcf": ttcf, "twotime/lag": t, "twotime/age": np.arange(2 * N - 1) * DT / 2}
    return h5(
        path, {f"{group}/{k}": v for k, v in table.items()}, {"/": {"MagicString": "XPCSResultFile_v2.0"}}
    )


@structure("ESRF ID02: dahu, g2 of rings with the shot noise at lag 0")
def _(path: Path) -> Path:
    lags = np.arange(N) * DT
    g2 = noisy(np.where(lags == 0, 3.0, curve(lags)), 2)
    table = {"g2": g2, "q": Q * 10, "t": lags, "qmask": np.minimum(LABELS, 2)}
    said = {"q": {"unit": "q_nm^-1"}, "t": {"unit": "s"}}
    group = "entry/1_XPCS/results"
    attrs = {f"{group}/{k}": v for k, v in said.items()} | {"/": {"creator": "dahu", "default": "/entry"}}
    return h5(path, {f"{group}/{k}": v for k, v in table.items()}, attrs)


@structure("NSLS-II CHX: pyCHX, q last")
def _(path: Path) -> Path:
    qval = {str(i): [q, p] for i, (q, p) in enumerate(zip(QQ, PP, strict=True))}
    attrs = {"md": {"acquire period": str(DT), "sample": "silica"}, "qval_dict": qval}
    return h5(path, {"g12b": np.moveaxis(MAPS, 0, -1).astype("f8"), "imgsum": np.ones(N)}, attrs)


@structure("European XFEL MID: trains, q in 1/nm")
def _(path: Path) -> Path:
    trains = np.stack([MAPS[:2], MAPS[2:]])
    table = {"q": Q * 10, "t": (1 + np.arange(N)) * DT, "ttc": np.moveaxis(trains, 1, -1)}
    return h5(path, {f"train_resolved/correlation/{k}": v for k, v in table.items()})


# ---- plain arrays ----


@structure("arrays: .npz of heterodyne-analysis")
def _(path: Path) -> Path:
    np.savez(path.with_suffix(".npz"), c2_exp=MAPS[:2], wavevector_q_list=Q[:1], phi_angles_list=PHI, dt=DT)
    return path.with_suffix(".npz")


@structure("arrays: .npy and JSON, dt in ms")
def _(path: Path) -> Path:
    np.save(path.with_suffix(".npy"), MAPS.reshape(2, 2, N, N))
    said = {"q": Q.tolist(), "phi": PHI.tolist(), "dt": DT * 1e3, "units": {"dt": "ms"}}
    path.with_suffix(".json").write_text(json.dumps(said))
    return path.with_suffix(".npy")


@structure("arrays: MATLAB")
def _(path: Path) -> Path:
    scipy.io.savemat(path.with_suffix(".mat"), {"c2": MAPS.reshape(2, 2, N, N), "q": Q, "phi": PHI, "dt": DT})
    return path.with_suffix(".mat")


@structure("arrays: a map as text", q=0.01, phi=30.0, dt=DT)
def _(path: Path) -> Path:
    np.savetxt(path.with_suffix(".txt"), MAPS[1], header="C2 of ROI 2")
    return path.with_suffix(".txt")


@structure("arrays: columns of g2 as text", q=0.01, phi=30.0, dt=DT)
def _(path: Path) -> Path:
    np.savetxt(path.with_suffix(".dat"), np.stack([TAU * DT, G2[1], ERR[1]], axis=1), header="tau g2 err")
    return path.with_suffix(".dat")


@pytest.mark.filterwarnings("ignore::heterodyne_nb.errors.DataWarning")
@pytest.mark.parametrize("name", list(STRUCTURES))
def test_a_foreign_file_is_opened_fitted_reported_and_exported(tmp_path: Path, name: str):
    build, opened = STRUCTURES[name]
    ds = open_dataset(build(tmp_path / "run.h5"), **opened)
    assert set(np.unique(ds["q"].values.round(9))) <= set(Q)
    assert set(np.unique(ds["phi"].values.round(9))) <= {*PHI, 0.0}
    result = heterodyne_nb.fit(ds, mode="kww", parameters={"alpha": {"value": 1.0, "vary": False}})
    assert result.params["Gamma"].value == pytest.approx(RATE, rel=0.03)
    assert "kww" in result.summary()
    assert "Gamma" in str(result._repr_html_())
    result.save(tmp_path / "fit.nxs")
    result.to_text(tmp_path / "fit.txt")
    assert pd.read_csv(tmp_path / "fit.txt", comment="#")["value"].notna().all()
    for write, ending in ((write_apsu, "hdf"), (write_nxxpcs, "nxs")):
        write(ds, tmp_path / f"again.{ending}")
        again = open_dataset(tmp_path / f"again.{ending}")
        np.testing.assert_allclose(again["q"], ds["q"])
        np.testing.assert_allclose(again.attrs["dt"], ds.attrs["dt"])
        main = "c2" if "c2" in ds else "g2"
        np.testing.assert_allclose(again[main], ds[main], rtol=1e-6)


#: One of each layout: once it is open, a file is a dataset like any other.
OF_EACH_LAYOUT = (
    *("boost_corr: two-time and multi-tau", "8-ID-I: two-time of boost_corr, g2full and partials"),
    *(
        "NXxpcs: a dataset a label",
        "NXxpcs pilot: /entry/XPCS, delays in s",
        "ESRF ID02: regions by lag and age",
    ),
    *(
        "NSLS-II CHX: pyCHX, q last",
        "European XFEL MID: trains, q in 1/nm",
        "arrays: .npy and JSON, dt in ms",
    ),
    "arrays: columns of g2 as text",
)


@pytest.mark.filterwarnings("ignore::heterodyne_nb.errors.DataWarning")
@pytest.mark.parametrize("name", OF_EACH_LAYOUT)
def test_a_foreign_file_goes_through_the_application_and_the_command(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
):
    """Opened and fitted in a session, saved, taken up again, and repeated by the command from what the session exports."""
    build, opened = STRUCTURES[name]
    path = build(tmp_path / "run.h5")
    session = heterodyne_nb.AnalysisSession()
    session.open(path, **opened)
    session.change_settings(mode="kww")
    session.set_parameter("alpha", value=1.0, vary=False)
    asked = session.to_config()
    session.run()
    assert session.wait(60)
    assert session.error is None
    rate = session.result.params["Gamma"].value
    assert rate == pytest.approx(RATE, rel=0.03)
    session.save(tmp_path / "session")
    session.close()
    again = heterodyne_nb.AnalysisSession.load(tmp_path / "session")
    assert again.result == session.result
    again.close()
    asked.save(tmp_path / "config.json")
    assert main(["fit", str(tmp_path / "config.json"), "--output", str(tmp_path / "out")]) == 0
    result = heterodyne_nb.FitResult.load(tmp_path / "out" / "results.nc")
    assert result.params["Gamma"].value == pytest.approx(rate, rel=1e-6)
    assert "Gamma" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    flags = [text for key, value in opened.items() for text in (f"--{key}", str(value))]
    assert main(["convert", str(path), str(tmp_path / "own.nc"), *flags]) == 0
    seen = str(tmp_path / "own.nc" if opened else path)
    capsys.readouterr()
    assert main(["inspect", seen]) == 0
    assert "layout: " in capsys.readouterr().out
    assert main(["plot", seen, "--output", str(tmp_path / "figure.html")]) == 0
    assert "plotly" in (tmp_path / "figure.html").read_text(encoding="utf-8").lower()
