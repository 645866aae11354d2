"""What a file says of its run is still said after it was opened and written again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from layout_builders import random_g2, random_maps

import heterodyne_nb
from heterodyne_nb.data import open_dataset, write_aps_legacy, write_apsu, write_dataset, write_nxxpcs

RNG = np.random.default_rng(0)
N, N_Q, N_PHI = 12, 2, 3
BINS, PIXELS, N_STATIC = N_Q * N_PHI, (7, 10), 13
G2, ERR = random_g2(4, BINS)
DETECTOR = "entry/instrument/detector_1"


def below(group: str, **values: Any) -> dict[str, Any]:
    return {f"{group}/{name}": value for name, value in values.items()}


#: A result of 8-ID with all that boost_corr and the beamline's metadata writer put into it.
APS_U: dict[str, Any] = {
    **below("entry", start_time="2026-02-03T04:05:06-06:00", end_time="2026-02-03T04:06:06-06:00"),
    **below("entry", entry_identifier="H0042_silica", entry_identifier_uuid="5f0c", scan_number=17),
    **below("entry", title="silica in glycerol", experiment_description="creep", run_cycle="2026-1"),
    **below("entry/instrument/attenuator_1", attenuator_transmission=0.5, attenuator_index=3, material="Si"),
    **below("entry/instrument/attenuator_2", attenuator_transmission=1.0, attenuator_index=0),
    **below("entry/instrument/bluesky/metadata", cycle="2026-1", conda_prefix="8idi", databroker_catalog="8idi_xpcs"),
    **below("entry/instrument/bluesky/metadata", X_energy=7.35, absolute_cross_section_scale=1, bcx=5.5, bcy=4.25),
    **below("entry/instrument/bluesky/metadata", concise="True", data_management="dm", det_dist=8.0, nframes=N),
    **below("entry/instrument/datamanagement", workflow_name="xpcs8-boost", workflow_uuid="a1b2", qmap="q.hdf"),
    **below(DETECTOR, frame_time=0.5, count_time=0.02, acquire_period=0.5, distance=8.0, beam_center_x=5.5),
    **below(DETECTOR, beam_center_y=4.25, x_pixel_size=7.5e-5, y_pixel_size=7.5e-5, description="rigaku3M"),
    **below(DETECTOR, threshold_energy=4.0, compression="none", flatfield_applied=1, position_x=1.5, position_y=2.5),
    **below(DETECTOR, beam_center_position_x=1.0, beam_center_position_y=2.0, qmap_file="q.hdf", rotation=[[0.0]]),
    **below("entry/instrument/incident_beam", incident_energy=7.35, incident_energy_spread=1e-4, ring_current=101.5),
    **below("entry/instrument/incident_beam", extent=[1.5e-5, 1e-5], incident_beam_intensity=1e9),
    **below("entry/instrument/monochromator_1", energy=7.35, d_spacing=3.1355),
    **below("entry/instrument/undulator_1", gap=12.5, energy=7.4, taper=0.0),
    **below("entry/instrument/undulator_2", gap=13.5, energy=7.4),
    **below("entry/sample", name="silica", position_x=1.0, position_y=2.0, position_z=3.0, qnw_lakeshore=25.0),
    **below("entry/sample", qnw1_temperature=20.0, qnw1_temperature_set=20.0, qnw2_temperature=21.0),
    **below("entry/sample", rheometer_rate=0.5, huber_pitch=0.0, huber_x=0.1, huber_y=0.2),
    **below("entry/user", name="A. Person", badge="12345", proposal="GUP-1", email="a@b.c", facility="APS"),
    **below("xpcs/qmap", dynamic_v_list_dim0=[0.01, 0.02], dynamic_v_list_dim1=[0.0, 10.0, 20.0]),
    **below("xpcs/qmap", dynamic_num_pts=[N_Q, N_PHI], dynamic_index_mapping=np.arange(BINS)),
    **below("xpcs/qmap", dynamic_roi_map=np.repeat(np.arange(7), 10).reshape(PIXELS).astype("u4")),
    **below("xpcs/qmap", static_v_list_dim0=np.linspace(0.01, 0.02, N_STATIC), static_v_list_dim1=[0.0]),
    **below("xpcs/qmap", static_num_pts=[N_STATIC, 1], static_index_mapping=np.arange(N_STATIC)),
    **below("xpcs/qmap", static_roi_map=np.repeat(np.arange(14), 5).reshape(PIXELS).astype("u4")),
    **below("xpcs/qmap", map_names=[b"q", b"phi"], map_units=[b"1/A", b"deg"], mask=np.ones(PIXELS, "u1")),
    **below("xpcs/qmap", beam_center_x=5.5, beam_center_y=4.25, detector_distance=8.0, pixel_size=7.5e-5),
    **below("xpcs/qmap", energy=7.35, source_file="q.hdf", source_begin=1, source_end=N),
    **below("xpcs/multitau", delay_list=[1, 2, 4, 8], normalized_g2=G2, normalized_g2_err=ERR),
    **below("xpcs/multitau/config", avg_frame=1, stride_frame=1, begin_frame=1, end_frame=N, dq_selection="all"),
    **below("xpcs/multitau/config", num_loop=4, batch_size=8, gpu_id=-1, verbose=1, smooth="sqmap", type="Both"),
    **below("xpcs/multitau/config", normalize_frame=0, save_G2=0, output="cluster_results", raw="run.h5"),
    **below("xpcs/twotime/config", avg_frame=1, stride_frame=1, smooth="sqmap", num_partial_g2=5, dq_selection="all"),
    **{f"xpcs/twotime/correlation_map/c2_{i + 1:05d}": m for i, m in enumerate(map(np.triu, random_maps((BINS,))))},
    **below("xpcs/twotime", processed_bins=np.arange(1, BINS + 1), normalized_g2=RNG.random((N, BINS))),
    **below("xpcs/twotime", normalized_g2_segments=RNG.random((2, 5, BINS))),
    **below("xpcs/temporal_mean", scattering_1d=RNG.random((1, N_STATIC)), scattering_2d=RNG.random((1, *PIXELS))),
    **below("xpcs/temporal_mean", scattering_1d_segments=RNG.random((3, N_STATIC))),
    **below("xpcs/temporal_mean", scattering_2d_segments=RNG.random((3, *PIXELS))),
    **below("xpcs/spatial_mean", intensity_vs_time=np.stack([np.arange(1, N + 1), RNG.random(N)])),
}  # fmt: skip
#: Made anew from the maps when a file is written, not copied.
ANEW = {"xpcs/twotime/normalized_g2", "xpcs/twotime/normalized_g2_segments"}
SAID = {
    **{
        "start_time": "2026-02-03T04:05:06-06:00",
        "sample": "silica",
        "uid": "H0042_silica",
        "exposure": 0.02,
    },
    **{
        "temperature": 293.15,
        "energy": 7.35,
        "detector_distance": 8.0,
        "pixel_size": 7.5e-5,
        "scan_number": "17",
    },
    **{"beam_center_x": 5.5, "beam_center_y": 4.25, "end_time": "2026-02-03T04:06:06-06:00"},
}
PICTURES = (
    "saxs_2d",
    "saxs_1d",
    "saxs_1d_segments",
    "dynamic_roi_map",
    "static_roi_map",
    "pixel_mask",
    "intensity",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return build(tmp_path / "run.hdf", APS_U)


def build(path: Path, table: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as f:
        for key, value in table.items():
            f[key] = value
    return path


def datasets(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with h5py.File(path) as f:
        f.visititems(
            lambda key, node: found.update({key: node[()]}) if isinstance(node, h5py.Dataset) else None
        )
    return found


def survivors(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Keys whose value is the same, whatever leading axes of length 1 and types."""
    return {key for key, value in before.items() if key in after and same(value, after[key])}


def same(a: Any, b: Any) -> bool:
    a, b = np.squeeze(np.asarray(a)), np.squeeze(np.asarray(b))
    if {a.dtype.kind, b.dtype.kind} & set("OSU"):
        return [str(x) for x in np.ravel(a)] == [str(x) for x in np.ravel(b)]
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-6, equal_nan=a.dtype.kind == "f")


def test_every_dataset_of_an_aps_u_file_survives_a_round_trip(path: Path, tmp_path: Path):
    write_apsu(open_dataset(path), tmp_path / "again.hdf")
    before, after = datasets(path), datasets(tmp_path / "again.hdf")
    assert len(before) > 130
    assert set(before) <= set(after)
    assert set(before) - survivors(before, after) <= ANEW


@pytest.mark.parametrize("ending", [".hdf", ".legacy", ".nxs", ".nc", ".zarr"])
def test_what_is_known_of_a_run_survives_every_layout_that_we_write(path: Path, tmp_path: Path, ending: str):
    ds = open_dataset(path)
    write = {".hdf": write_apsu, ".legacy": write_aps_legacy, ".nxs": write_nxxpcs}.get(ending, write_dataset)
    write(ds, tmp_path / f"again{ending}")
    back = open_dataset(tmp_path / f"again{ending}")
    for name, value in SAID.items():
        if (ending, name) != (".legacy", "scan_number"):  # which has no place for it
            assert back.attrs[name] == (pytest.approx(value) if isinstance(value, float) else value), name
            assert name in back.xpcs.metadata().index
    for name in PICTURES:
        np.testing.assert_allclose(back[name], ds[name], err_msg=name)


@pytest.mark.parametrize("write", [write_nxxpcs, write_aps_legacy, write_apsu])
def test_a_second_round_trip_loses_nothing_that_the_first_kept(path: Path, tmp_path: Path, write: Any):
    write(open_dataset(path), tmp_path / "first.h5")
    write(open_dataset(tmp_path / "first.h5"), tmp_path / "second.h5")
    first, second = datasets(tmp_path / "first.h5"), datasets(tmp_path / "second.h5")
    assert set(first) - survivors(first, second) == set()


def test_what_is_known_of_a_run_goes_into_results(path: Path, tmp_path: Path):
    ds = open_dataset(path)
    result = heterodyne_nb.fit(ds.drop_vars("c2").drop_dims(["t", "t1", "t2"]), mode="kww")
    assert {name: result.provenance["run"][name] for name in SAID} == pytest.approx(SAID)
    again = heterodyne_nb.FitResult.load(result.save(tmp_path / "fit.nc"))
    assert again.provenance["run"] == result.provenance["run"]
    assert "sample silica" in result._repr_html_()
