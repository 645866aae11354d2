"""Files that we write open in the programs that others released."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from layout_builders import random_g2, random_maps

from heterodyne_nb.data import make_dataset, open_dataset, write_apsu, write_nxxpcs
from heterodyne_nb.simulate import example_dataset, example_path

DT = 0.5
RUN = {
    **{"start_time": "2026-02-03T04:05:06Z", "end_time": "2026-02-03T04:06:06Z", "sample": "silica"},
    **{"uid": "a-1", "scan_number": "17", "temperature": 293.15, "exposure": 0.02, "energy": 7.35},
    **{"detector_distance": 8.0, "pixel_size": 7.5e-5, "beam_center_x": 5.5, "beam_center_y": 4.25},
}


def of_maps() -> xr.Dataset:
    return make_dataset(random_maps(), q=[0.01, 0.02], phi=[0, 10, 20], dt=DT)


def of_curves() -> xr.Dataset:
    g2, err = random_g2(4, 6)
    tau = np.array([1, 2, 4, 8]) * DT
    return make_dataset(q=[0.01, 0.02], phi=[0, 10, 20], dt=DT, g2=g2.T, g2_err=err.T, tau=tau)


def of_loose_bins() -> xr.Dataset:
    """Bins that suit no grid, a masked frame, an intensity, pixels counted, everything said of the run."""
    q, phi = [0.01, 0.02, 0.03], [-30, 0, 30]
    mask = np.arange(12) != 4
    ds = make_dataset(
        random_maps((3,)), q=q, phi=phi, dt=DT, n_pixels=[4, 3, 2], mask=mask, bin_form=True, attrs=RUN
    )
    return ds.assign(intensity=("t", np.linspace(1, 2, 12)))


def of_a_detector() -> xr.Dataset:
    """With its partition, a finer static one, and the mean scattering over that."""
    rng = np.random.default_rng(0)
    ds, pixels = of_maps().assign_attrs(RUN), ("pixel_y", "pixel_x")
    labels = np.arange(1, 7).reshape(2, 3)
    return ds.assign(
        label=(("q", "phi"), labels),
        dynamic_roi_map=(pixels, np.repeat(np.arange(7), 10).reshape(7, 10)),
        static_roi_map=(pixels, np.repeat(np.arange(14), 5).reshape(7, 10)),
        pixel_mask=(pixels, np.ones((7, 10), int)),
        saxs_2d=(pixels, rng.random((7, 10))),
        saxs_1d=("static_bin", rng.random(13)),
        saxs_1d_segments=(("segment", "static_bin"), rng.random((3, 13))),
        static_v_list_dim0=("static_v_list_dim0", np.linspace(0.01, 0.02, 13)),
        static_v_list_dim1=("static_v_list_dim1", [0.0]),
        static_index_mapping=("static_label", np.arange(13)),
    )


KINDS = {
    "maps": of_maps,
    "curves": of_curves,
    "loose bins": of_loose_bins,
    "detector": of_a_detector,
    "example": example_dataset,
}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


# ---- pyXpcsViewer ----


@pytest.fixture
def viewer() -> Any:
    why = "for this test: pip install 'heterodyne_nb[validators]'; pip install --no-deps xpcs-viewer"
    return pytest.importorskip("pyxpcsviewer.core.xpcs_file", reason=why)


def check_every_tab(viewer: Any, path: Path, ds: xr.Dataset) -> Any:
    """Load a file as the viewer does, ask for what each of its tabs draws, and return what it loaded."""
    from pyxpcsviewer.core.file_io.ftype_utils import get_ftype
    from pyxpcsviewer.core.file_io.qmap_utils import QMapManager

    assert get_ftype(str(path)) == "nexus"
    seen = viewer.XpcsFile(str(path), qmap_manager=QMapManager())
    for target in ("saxs1d", "saxs1d_partial"):
        q, curves, *_ = seen.get_saxs1d_data(target=target)
        assert curves.shape[1] == q.size
        assert (curves[0] > 0).all()  # the tabs take logarithms, and fail where they cannot
    assert seen.saxs_2d_log.shape == seen.dqmap.shape == seen.sqmap.shape == seen.mask.shape
    assert seen.get_info_at_position(1, 1).startswith("I=")
    assert seen.Int_t_fft.shape == (2, seen.Int_t.shape[1] // 2)
    if "c2" in ds:
        assert seen.Int_t.shape[1] == ds.sizes["t"]
        assert len(seen.get_twotime_qbin_labels()) == int(ds["usable"].sum()) == seen.c2_g2.shape[1]
        pictures = seen.get_twotime_maps(selection=0)
        assert np.nanmax(pictures[0]) > pictures[2]
        shown = seen.get_twotime_c2(selection=1, correct_diag=False)
        assert shown["acquire_period"] == DT
        assert shown["g2_full"].shape == (ds.sizes["t"],)
        assert shown["g2_partial"].shape == (5, ds.sizes["t"] // 5)
    if "Multitau" in seen.atype:
        _, t_el, g2, err, labels = seen.get_g2_data()
        np.testing.assert_allclose(t_el, ds["tau"])
        assert g2.shape == err.shape == (t_el.size, len(labels))
    return seen


def test_the_viewer_opens_what_we_write(viewer: Any, tmp_path: Path, kind: str):
    ds = KINDS[kind]()
    write_apsu(ds, tmp_path / "run.hdf")
    seen = check_every_tab(viewer, tmp_path / "run.hdf", ds)
    expected = {"X_energy": "energy", "det_dist": "detector_distance", "pixel_size": "pixel_size"}
    for theirs, ours in {
        **expected,
        "bcx": "beam_center_x",
        "bcy": "beam_center_y",
        "t1": "exposure",
    }.items():
        np.testing.assert_equal(getattr(seen, theirs), ds.attrs.get(ours, np.nan))
    assert seen.start_time == ds.attrs.get("start_time", "1970-01-01T00:00:00Z")


def test_the_viewer_opens_the_example(viewer: Any):
    seen = check_every_tab(viewer, example_path(), example_dataset().assign(usable=xr.DataArray(np.ones(24))))
    assert seen.X_energy == 7.35
    q = seen.qmap.qmap["q"]
    for label, (ring, azimuth) in {1: (0.006, -67.5), 13: (0.009, 22.5), 24: (0.012, 90)}.items():
        here = seen.dqmap == label  # the viewer's own geometry puts the bins where the file says
        assert q[here].mean() == pytest.approx(ring, rel=5e-3)
        assert seen.qmap.qmap["phi"][here].mean() == pytest.approx(azimuth, abs=0.1)


def test_the_viewer_shows_the_maps_and_curves_that_we_have(viewer: Any, tmp_path: Path):
    ds = of_a_detector()
    write_apsu(ds, tmp_path / "run.hdf")
    seen = check_every_tab(viewer, tmp_path / "run.hdf", ds)
    shown = seen.get_twotime_c2(selection=4, correct_diag=False)
    np.testing.assert_array_equal(shown["c2_mat"], ds["c2"].isel(q=1, phi=1))
    np.testing.assert_allclose(shown["g2_full"][1:], ds["g2"].isel(q=1, phi=1))
    np.testing.assert_array_equal(seen.saxs_1d["Iq"][0], ds["saxs_1d"])
    np.testing.assert_array_equal(seen.Iqp, ds["saxs_1d_segments"])
    np.testing.assert_array_equal(seen.saxs_2d, ds["saxs_2d"])


def test_what_is_made_up_for_a_viewer_says_so_and_is_not_read_back(tmp_path: Path):
    write_apsu(of_maps(), tmp_path / "run.hdf")
    with h5py.File(tmp_path / "run.hdf") as f:
        for key in (
            *("entry/start_time", "entry/instrument/detector_1/count_time", "xpcs/qmap/beam_center_x"),
            *(
                "xpcs/qmap/static_roi_map",
                "xpcs/temporal_mean/scattering_2d",
                "xpcs/temporal_mean/scattering_1d",
            ),
            *("xpcs/spatial_mean/intensity_vs_time", "xpcs/qmap/dynamic_roi_map"),
        ):
            assert f[key].attrs["comment"].startswith("made up: "), key
    back = open_dataset(tmp_path / "run.hdf")
    assert set(back.data_vars) == {"c2", "mask", "usable", "n_pixels", "g2", "g2_err"}
    assert set(back.attrs) == {"dt", "layout", "source", "triangle"}
    assert "comment" in back["n_pixels"].attrs


def test_the_mean_over_the_pixels_is_written_where_each_bin_has_an_intensity(tmp_path: Path):
    ds = of_maps()
    ds["n_pixels"] = ds["n_pixels"] * [1, 2, 3]
    ds["n_pixels"].attrs.pop("comment", None)
    traces = np.random.default_rng(1).random((2, 3, 12))
    ds["intensity"] = (("q", "phi", "t"), traces)
    write_apsu(ds, tmp_path / "run.hdf")
    back = open_dataset(tmp_path / "run.hdf")
    np.testing.assert_allclose(back["intensity"], np.average(traces.mean(0), axis=0, weights=[1, 2, 3]))


# ---- NeXus validators ----

#: What `pynx validate` (pynxtools 0.16) holds against every file of this kind, right or wrong.
CONTRADICTIONS = (
    "NX_PER_LENGTH of 'dynamic_phi_list'",  # the definition gives angles a unit of 1/length
    "baseline_reference should be one of the following: ['0', '1']",  # an integer, as the definition says
)


@pytest.fixture
def nxs(tmp_path: Path, kind: str) -> Path:
    write_nxxpcs(KINDS[kind](), tmp_path / "run.nxs")
    return tmp_path / "run.nxs"


def test_nxvalidate_and_nxcheck_find_no_error_in_what_we_write(nxs: Path):
    validate = pytest.importorskip(
        "nexusformat.nexus.validate", reason="for this test: pip install 'heterodyne_nb[validators]'"
    )
    assert validate.validate_application(str(nxs))[1] == 0
    assert validate.validate_file(str(nxs))[1] == 0


@pytest.mark.parametrize("kind", ["curves", "detector"])
def test_pynx_finds_only_its_own_contradictions_in_what_we_write(nxs: Path):
    pynx = shutil.which("pynx", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if pynx is None:
        pytest.skip("for this test: pip install 'heterodyne_nb[validators]'")
    said = subprocess.run(
        [pynx, "validate", "--ignore-undocumented", str(nxs)], capture_output=True, text=True, check=True
    )
    lines = [line for line in (said.stdout + said.stderr).splitlines() if "WARNING: " in line]
    assert lines[-1].endswith("NOT valid according to the `NXxpcs` application definition.")  # it ran
    assert [line for line in lines[:-1] if not any(c in line for c in CONTRADICTIONS)] == []
