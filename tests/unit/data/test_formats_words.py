"""What files say with names, pointers, links and metadata is obeyed in every layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from layout_builders import (
    DT,
    PHI,
    TAU_FRAMES,
    Q,
    build_aps_legacy,
    build_apsu,
    build_esrf,
    build_mid,
    build_nxxpcs,
    build_pychx,
    random_g2,
    random_maps,
)

import heterodyne_nb
from heterodyne_nb.data import list_analyses, make_dataset, open_dataset, write_apsu, write_dataset
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning

MAPS = random_maps(n=6)
FLAT = MAPS.reshape(-1, 6, 6)


def with_axes(
    path: Path, names: Any, units: Any, first: np.ndarray, second: np.ndarray, *, attrs=False
) -> Path:
    """APS-U with two named axes and a map in each place of their grid."""
    build_apsu(path, FLAT.reshape(first.size, second.size, 6, 6), q=first, phi=second)
    with h5py.File(path, "a") as f:
        qmap = f["xpcs/qmap"]
        for i, (name, unit) in enumerate(zip(names, units, strict=True)):
            if attrs:
                qmap[f"dynamic_v_list_dim{i}"].attrs.update(name=name, units=unit)
        if not attrs:
            qmap["map_names"] = [n.encode() for n in names]
            qmap["map_units"] = [u.encode() for u in units]
    return path


# ---- axes of the partition ----


@pytest.mark.parametrize("attrs", [False, True])
def test_axes_in_the_other_order_are_put_right(tmp_path: Path, attrs: bool):
    path = with_axes(tmp_path / "a.hdf", ("phi", "q"), ("rad", "1/nm"), np.deg2rad(PHI), Q * 10, attrs=attrs)
    ds = open_dataset(path)
    np.testing.assert_allclose(ds["q"], Q)
    np.testing.assert_allclose(ds["phi"], PHI)
    np.testing.assert_array_equal(ds["c2"], FLAT.reshape(3, 2, 6, 6).swapaxes(0, 1))


def test_a_partition_of_qx_and_qy_keeps_them_and_gives_q_and_phi(tmp_path: Path):
    path = with_axes(tmp_path / "a.hdf", ("qx", "qy"), ("1/nm", "1/nm"), Q * 10, np.array([-0.1, 0.1, 0.2]))
    ds = open_dataset(path)
    assert ds["c2"].dims == ("bin", "t1", "t2")
    np.testing.assert_allclose(ds["qx"], np.repeat(Q, 3))
    np.testing.assert_allclose(ds["q"], np.hypot(ds["qx"], ds["qy"]))
    np.testing.assert_allclose(ds["phi"], np.rad2deg(np.arctan2(ds["qy"], ds["qx"])))
    assert ds["qy"].attrs["units"] == "1/Å"
    np.testing.assert_array_equal(ds["c2"], FLAT)


@pytest.mark.parametrize("other", ["y", "alpha"])
def test_a_partition_of_q_and_something_else_keeps_it_by_its_name(tmp_path: Path, other: str):
    path = with_axes(tmp_path / "a.hdf", ("q", other), ("1/A", "deg" if other == "alpha" else "mm"), Q, PHI)
    with pytest.warns(DataWarning, match=f"one of q and {other}: phi is set to 0"):
        ds = open_dataset(path)
    np.testing.assert_allclose(ds["q"], np.repeat(Q, 3))
    np.testing.assert_allclose(ds[other], np.tile(PHI, 2))
    assert ds[other].attrs["units"] == ("degrees" if other == "alpha" else "mm")
    assert ds.attrs["partition_axes"] == f"q, {other}"
    write_apsu(ds, tmp_path / "b.hdf")
    with pytest.warns(DataWarning, match="phi is set to 0"):
        back = open_dataset(tmp_path / "b.hdf")
    np.testing.assert_allclose(back[other], ds[other])
    np.testing.assert_array_equal(back["c2"], ds["c2"])


def test_a_partition_of_x_and_y_has_no_q_unless_the_file_has_its_geometry(tmp_path: Path):
    x, y = np.array([100.0, 110.0]), np.array([90.0, 100.0, 120.0])
    path = with_axes(tmp_path / "a.hdf", ("x", "y"), ("pixel", "pixel"), x, y)
    with pytest.warns(DataWarning, match="nothing gives the q of its bins"):
        ds = open_dataset(path)
    np.testing.assert_array_equal(ds["x"], np.repeat(x, 3))
    assert np.isnan(ds["q"]).all()
    with pytest.raises(DataFormatError, match="the q of some bins is not known"):
        heterodyne_nb.fit(ds, mode="static_isotropic")
    known = {
        "beam_center_x": 50,
        "beam_center_y": 100,
        "pixel_size": 75e-6,
        "detector_distance": 5.0,
        "energy": 10.0,
    }
    with h5py.File(path, "a") as f:
        for name, value in known.items():
            f[f"xpcs/qmap/{name}"] = value
    ds = open_dataset(path)
    two_theta = np.arctan(np.hypot(ds["x"] - 50, ds["y"] - 100) * 75e-6 / 5.0)
    np.testing.assert_allclose(ds["q"], 4 * np.pi / 1.2398419843 * np.sin(two_theta / 2), rtol=1e-8)
    assert ds["phi"].values[1] == 0.0
    assert "geometry" in ds.attrs["q_origin"]


def test_a_partition_with_one_axis_has_phi_0_and_says_so(tmp_path: Path):
    path = tmp_path / "a.hdf"
    build_apsu(path, FLAT[:2][:, None], phi=np.zeros(1))
    with h5py.File(path, "a") as f:
        f["xpcs/qmap/map_names"], f["xpcs/qmap/map_units"] = [b"q", b"none"], [b"1/nm", b""]
        del f["xpcs/qmap/dynamic_v_list_dim1"]
    ds = open_dataset(path)
    np.testing.assert_allclose(ds["q"], Q / 10)
    assert ds.attrs["phi_origin"] == "the partition has none: 0 assumed"


# ---- pointers and several analyses ----


def second_analysis(path: Path) -> np.ndarray:
    """APS legacy with /xpcs_1, whose results are in /exchange_1; /xpcs points to /exchange."""
    build_aps_legacy(path, MAPS)
    values, errors = random_g2(TAU_FRAMES.size, 6, seed=9)
    with h5py.File(path, "a") as f:
        f.copy("xpcs", "xpcs_1")
        f["xpcs/output_data"], f["xpcs_1/output_data"] = b"/exchange", b"/exchange_1"
        f["exchange_1/tau"], f["exchange_1/norm-0-g2"], f["exchange_1/norm-0-stderr"] = (
            TAU_FRAMES,
            values,
            errors,
        )
    return values


def test_several_analyses_are_listed_and_chosen_and_the_default_is_what_the_file_points_to(tmp_path: Path):
    path = tmp_path / "a.hdf"
    values = second_analysis(path)
    assert list_analyses(path) == ["xpcs", "xpcs_1"]
    with pytest.warns(DataWarning, match=r"2 analyses, 'xpcs' is read; not read: \['xpcs_1'\]"):
        first = open_dataset(path)
    np.testing.assert_array_equal(first["c2"], MAPS)
    assert first.attrs["analyses"] == "xpcs, xpcs_1"
    second = open_dataset(path, analysis="xpcs_1")
    assert "c2" not in second
    np.testing.assert_allclose(second["g2"].values.reshape(6, -1), values.T)
    with pytest.raises(ConfigurationError, match="no analysis 'xpcs_7'"):
        open_dataset(path, analysis="xpcs_7")


def test_results_are_taken_where_the_file_points(tmp_path: Path):
    path = tmp_path / "a.hdf"
    values = second_analysis(path)
    with h5py.File(path, "a") as f:
        f["xpcs/output_data"][()] = b"/exchange"
        del f["xpcs_1"], f["xpcs/output_data"]
        f["xpcs/output_data"] = b"/exchange_1"
    np.testing.assert_allclose(open_dataset(path)["g2"].values.reshape(6, -1), values.T)
    assert list_analyses(path) == ["xpcs"]


def test_aps_u_results_are_taken_where_the_file_points(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", MAPS, g2=True)
    with h5py.File(path, "a") as f:
        f.move("xpcs/multitau", "results/multitau")
        f.move("xpcs/twotime", "results/twotime")
        f["xpcs/output_data"] = "/results"
    np.testing.assert_array_equal(open_dataset(path)["c2"], MAPS)


def test_nxxpcs_entries_are_analyses_and_the_default_of_the_file_comes_first(tmp_path: Path):
    path = build_nxxpcs(tmp_path / "a.nxs", MAPS)
    with h5py.File(path, "a") as f:
        f.copy("entry", "scan_2")
        f["scan_2/instrument/masks/dynamic_q_list"][...] *= 2
        f.attrs["default"] = "scan_2"
    assert list_analyses(path) == ["scan_2", "entry"]
    with pytest.warns(DataWarning, match="'scan_2' is read"):
        np.testing.assert_allclose(open_dataset(path)["q"], 2 * Q)
    np.testing.assert_allclose(open_dataset(path, analysis="entry")["q"], Q)


def test_an_analysis_of_a_layout_that_holds_one_is_an_error(tmp_path: Path):
    path = build_pychx(tmp_path / "a.h5", random_maps((2,)))
    assert list_analyses(path) == []
    with pytest.raises(ConfigurationError, match="holds a single one"):
        open_dataset(path, analysis="other")


# ---- every form of NXxpcs ----


def test_nxxpcs_in_every_form_gives_one_dataset(tmp_path: Path):
    wanted = open_dataset(build_nxxpcs(tmp_path / "plain.nxs", MAPS))

    def tuples(entry: h5py.Group) -> None:
        masks = entry["instrument/masks"]
        q, phi = masks["dynamic_q_list"][()] * 10, masks["dynamic_phi_list"][()]
        del masks["dynamic_q_list"], masks["dynamic_phi_list"]
        masks["dynamic_q_list"] = np.column_stack([q, np.deg2rad(phi)])
        masks["dynamic_q_list"].attrs["units"] = "(nm^-1, rad)"

    def keys(entry: h5py.Group) -> None:
        for name in ("g2", "g2_derr"):
            values = entry[f"data/{name}"][()]
            del entry[f"data/{name}"]
            for label in range(1, values.shape[1] + 1):
                entry[f"data/{name}/{name}_{label:05d}"] = values[:, label - 1]

    def period(entry: h5py.Group) -> None:
        detector = entry["instrument/detector_x"]
        del detector["frame_time"]
        detector["acquire_period"] = DT * 1e3
        detector["acquire_period"].attrs["units"] = "ms"

    def below(entry: h5py.Group) -> None:
        for name in list(entry):
            entry.move(name, f"xpcs/{name}")
        entry["xpcs"].attrs["NX_class"] = "NXsubentry"

    for change in (tuples, keys, period, below):
        path = build_nxxpcs(tmp_path / f"{change.__name__}.nxs", MAPS)
        with h5py.File(path, "a") as f:
            change(f["entry"])
        ds = open_dataset(path)
        for name in ("q", "phi", "tau", "g2", "g2_err", "c2"):
            np.testing.assert_allclose(
                ds[name], wanted[name], rtol=1e-9, err_msg=f"{change.__name__}: {name}"
            )


# ---- links ----


@pytest.mark.parametrize("kind", ["external", "soft", "virtual"])
def test_a_map_whose_file_is_gone_leaves_its_bin_out_by_name(tmp_path: Path, kind: str):
    path = build_apsu(tmp_path / "a.hdf", MAPS)
    name = "xpcs/twotime/correlation_map/c2_00002"
    with h5py.File(path, "a") as f:
        del f[name]
        if kind == "virtual":
            layout = h5py.VirtualLayout((6, 6), "f4")
            layout[:] = h5py.VirtualSource("gone.h5", "c2", (6, 6))
            f.create_virtual_dataset(name, layout, fillvalue=1)
        else:
            f[name] = h5py.ExternalLink("gone.h5", "/c2") if kind == "external" else h5py.SoftLink("/gone.h5")
    with pytest.warns(DataWarning, match=r"missing \(c2_00002: .*gone|put together from gone.h5.*phi = 0°"):
        ds = open_dataset(path)
    np.testing.assert_array_equal(ds["usable"], [[True, False, True], [True, True, True]])


def test_one_missing_source_of_a_stack_leaves_out_its_bin_alone(tmp_path: Path):
    path = build_nxxpcs(tmp_path / "a.nxs", MAPS)
    stored = np.stack([np.triu(one) for one in FLAT])
    with h5py.File(tmp_path / "maps.h5", "w") as f:
        f["c2"] = stored
    with h5py.File(path, "a") as f:
        node = f["entry/twotime/two_time_corr_func"]
        attrs = dict(node.attrs)
        del f["entry/twotime/two_time_corr_func"]
        layout = h5py.VirtualLayout((6, 6, 6), "f4")
        for i in range(6):
            source = h5py.VirtualSource("gone.h5" if i == 4 else "maps.h5", "c2", (6, 6, 6))
            layout[i] = source[i]
        node = f.create_virtual_dataset("entry/twotime/two_time_corr_func", layout, fillvalue=0)
        node.attrs.update(attrs)
    with pytest.warns(DataWarning, match=r"gone.h5, which is not there\): bin q = 0.02 1/Å, phi = 0°$"):
        ds = open_dataset(path)
    np.testing.assert_array_equal(ds["usable"], [[True, True, True], [True, False, True]])
    np.testing.assert_array_equal(ds["c2"][0], MAPS[0])


def test_g2_that_is_a_link_to_nothing_is_named(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", MAPS, g2=True)
    with h5py.File(path, "a") as f:
        del f["xpcs/multitau/normalized_g2"]
        f["xpcs/multitau/normalized_g2"] = h5py.ExternalLink("gone.h5", "/g2")
    with pytest.warns(DataWarning, match=r"normalized_g2 is left out: it is linked to /g2 of gone.h5"):
        ds = open_dataset(path)
    assert ds["g2"].attrs["origin"] == "computed from c2"


def test_rings_and_sectors_without_data_are_left_out_unless_asked_for(tmp_path: Path):
    maps = MAPS.copy()
    maps[1] = np.nan
    path = tmp_path / "a.hdf"
    build_apsu(path, maps)
    with pytest.warns(DataWarning, match="all NaN"):
        ds = open_dataset(path)
    assert dict(ds.sizes)["q"] == 1
    assert ds.attrs["no_data"] == "left out: q = 0.02"
    with pytest.warns(DataWarning, match="all NaN"):
        assert open_dataset(path, keep_empty=True).sizes["q"] == 2


# ---- metadata ----

SAID = {
    **{"start_time": "2026-02-03T04:05:06", "sample": "silica", "uid": "a-1", "temperature": 293.15},
    **{
        "exposure": 0.02,
        "energy": 7.35,
        "detector_distance": 8.0,
        "beam_center_x": 512.5,
        "beam_center_y": 400.0,
    },
}
#: Where each layout has them, and in which unit this test writes them.
PLACES: dict[str, dict[str, tuple[str, str | None, Any]]] = {
    "aps-u": {
        "start_time": ("entry/start_time", None, SAID["start_time"]),
        "sample": ("entry/sample/name", None, "silica"),
        "uid": ("entry/entry_identifier", None, "a-1"),
        "temperature": ("entry/sample/temperature", "degC", 20.0),
        "exposure": ("entry/instrument/detector_1/count_time", "ms", 20.0),
        "energy": ("entry/instrument/incident_beam/incident_energy", "eV", 7350.0),
        "detector_distance": ("xpcs/qmap/detector_distance", "mm", 8000.0),
        "beam_center_x": ("xpcs/qmap/beam_center_x", "pixel", 512.5),
        "beam_center_y": ("xpcs/qmap/beam_center_y", None, 400.0),
    },
    "aps-legacy": {
        "start_time": ("measurement/instrument/source_begin/datetime", None, SAID["start_time"]),
        "sample": ("measurement/sample/name", None, "silica"),
        "uid": ("measurement/instrument/acquisition/datafilename", None, "a-1"),
        "temperature": ("measurement/sample/temperature_A", None, [[20.0]]),
        "exposure": ("measurement/instrument/detector/exposure_time", None, [[0.02]]),
        "energy": ("measurement/instrument/source_begin/energy", None, [[7.35]]),
        "detector_distance": ("measurement/instrument/detector/distance", None, [[8000.0]]),
        "beam_center_x": ("measurement/instrument/acquisition/beam_center_x", None, [[512.5]]),
        "beam_center_y": ("measurement/instrument/acquisition/beam_center_y", None, [[400.0]]),
    },
    "nxxpcs": {
        "start_time": ("entry/start_time", None, SAID["start_time"]),
        "sample": ("entry/sample/name", None, "silica"),
        "uid": ("entry/entry_identifier", None, "a-1"),
        "temperature": ("entry/sample/temperature", None, 293.15),
        "exposure": ("entry/instrument/detector_1/count_time", "NX_TIME", 0.02),
        "energy": ("entry/instrument/incident_beam/incident_energy", "keV", 7.35),
        "detector_distance": ("entry/instrument/detector_1/distance", "cm", 800.0),
        "beam_center_x": ("entry/instrument/detector_1/beam_center_x", None, 512.5),
        "beam_center_y": ("entry/instrument/detector_1/beam_center_y", None, 400.0),
    },
    "esrf-id02": {
        "start_time": ("entry_0000/start_time", None, SAID["start_time"]),
        "sample": ("entry_0000/sample/name", None, "silica"),
        "energy": ("entry_0000/instrument/beam/incident_energy", "keV", 7.35),
        "detector_distance": ("entry_0000/instrument/detector/distance", "m", 8.0),
    },
    "pychx": {
        "start_time": ("md@start_time", None, SAID["start_time"]),
        "sample": ("md@sample", None, "silica"),
        "uid": ("md@uid", None, "a-1"),
        "temperature": ("md@temperature", None, "20.0"),
        "exposure": ("md@exposure time", "ms", "20"),
        "energy": ("md@energy", "eV", "7350"),
        "detector_distance": ("md@detector_distance", "mm", "8000"),
        "beam_center_x": ("md@beam_center_x", None, "512.5"),
        "beam_center_y": ("md@beam_center_y", None, "400"),
    },
    "xfel-mid": {
        "energy": ("instrument/photon_energy", "eV", 7350.0),
        "sample": ("sample/name", None, "silica"),
    },
}
BUILD = {
    "aps-u": lambda p: build_apsu(p, MAPS),
    "aps-legacy": lambda p: build_aps_legacy(p, MAPS),
    "nxxpcs": lambda p: build_nxxpcs(p, MAPS),
    "esrf-id02": lambda p: build_esrf(p, FLAT[:2]),
    "pychx": lambda p: build_pychx(p, FLAT[:2]),
    "xfel-mid": lambda p: build_mid(p, random_maps((2, 2), n=6)),
}


def tell(path: Path, layout: str) -> Path:
    with h5py.File(path, "a") as f:
        for key, unit, value in PLACES[layout].values():
            name, _, attribute = key.partition("@")
            if attribute:
                f[name].attrs[attribute] = value
                if unit:
                    f[name].attrs[f"{attribute}_units"] = unit
            else:
                f[name] = value
                if unit:
                    f[name].attrs["units"] = unit
    return path


@pytest.mark.parametrize("layout", list(PLACES))
def test_metadata_are_read_in_the_units_of_the_package(tmp_path: Path, layout: str):
    ds = open_dataset(tell(BUILD[layout](tmp_path / "a.h5"), layout))
    for name in PLACES[layout]:
        assert ds.attrs[name] == (pytest.approx(SAID[name]) if name in ds.attrs else None), name
        assert ds.xpcs.metadata().loc[name, "value"] == ds.attrs[name]
    assert ds.xpcs.metadata().loc["energy", "unit"] == "keV"


@pytest.mark.parametrize("layout", list(PLACES))
def test_metadata_travel_to_aps_u_and_to_our_own_files(tmp_path: Path, layout: str):
    ds = open_dataset(tell(BUILD[layout](tmp_path / "a.h5"), layout))
    write_apsu(ds, tmp_path / "b.hdf")
    write_dataset(ds, tmp_path / "b.nc")
    for back in (open_dataset(tmp_path / "b.hdf"), open_dataset(tmp_path / "b.nc")):
        for name in PLACES[layout]:
            assert back.attrs[name] == pytest.approx(SAID[name]), name


def test_metadata_in_an_unknown_unit_are_left_out_by_name(tmp_path: Path):
    path = tell(BUILD["aps-u"](tmp_path / "a.hdf"), "aps-u")
    with h5py.File(path, "a") as f:
        f["xpcs/qmap/detector_distance"].attrs["units"] = "bananas"
    with pytest.warns(
        DataWarning, match=r"detector_distance is left out: .*unit of detector_distance is 'bananas'"
    ):
        ds = open_dataset(path)
    assert "detector_distance" not in ds.attrs


def test_pictures_and_the_partition_travel_from_aps_u_to_aps_u(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", MAPS)
    rng = np.random.default_rng(0)
    held = {
        "temporal_mean/scattering_2d": rng.random((1, 7, 5)),
        "temporal_mean/scattering_1d": rng.random((1, 20)),
        "temporal_mean/scattering_1d_segments": rng.random((3, 20)),
        "qmap/static_roi_map": rng.integers(0, 20, (7, 5)),
        "qmap/static_v_list_dim0": np.linspace(0.01, 0.02, 20),
        "spatial_mean/intensity_vs_time": np.stack([np.arange(1, 7), rng.random(6)]),
    }
    with h5py.File(path, "a") as f:
        for key, values in held.items():
            f[f"xpcs/{key}"] = values
        partition = f["xpcs/qmap/dynamic_roi_map"][()]
    ds = open_dataset(path)
    np.testing.assert_array_equal(ds["saxs_2d"], held["temporal_mean/scattering_2d"][0])
    np.testing.assert_array_equal(ds["saxs_2d"][2:4, 1], held["temporal_mean/scattering_2d"][0, 2:4, 1])
    write_apsu(ds, tmp_path / "b.hdf")
    with h5py.File(tmp_path / "b.hdf") as f:
        for key, values in held.items():
            np.testing.assert_array_equal(
                f[f"xpcs/{key}"][()].squeeze(), np.squeeze(values)[...], err_msg=key
            )
        np.testing.assert_array_equal(f["xpcs/qmap/dynamic_roi_map"], partition)
    write_apsu(ds.isel(q=[1]), tmp_path / "c.hdf")  # three bins of six: new labels on the same pixels
    with h5py.File(tmp_path / "c.hdf") as f:
        expected = np.where(partition > 3, partition.astype(int) - 3, 0)
        np.testing.assert_array_equal(f["xpcs/qmap/dynamic_roi_map"], expected)


def test_a_dataset_without_metadata_gains_none(tmp_path: Path):
    write_apsu(make_dataset(MAPS, q=Q, phi=PHI, dt=DT), tmp_path / "a.hdf")
    assert not set(SAID) & set(open_dataset(tmp_path / "a.hdf").attrs)


def test_metadata_and_how_a_file_was_opened_go_into_results_reports_and_scripts(tmp_path: Path):
    path = tmp_path / "a.hdf"
    second_analysis(path)
    tell(path, "aps-legacy")
    with h5py.File(path, "a") as f:
        f["xpcs_1/dqlist"][...] *= 10
    ds = open_dataset(path, analysis="xpcs_1", units={"q": "1/nm"})
    np.testing.assert_allclose(ds["q"], Q)
    result = heterodyne_nb.fit(ds, mode="kww")
    assert "sample silica" in str(result._repr_html_())
    script = result.to_script()
    assert "analysis='xpcs_1'" in script.replace('"', "'")
    assert "units={'q': '1/nm'}" in script.replace('"', "'")


@pytest.mark.parametrize("pointer", [b"/exchange_7", 3, [b"/exchange_7"]])
def test_a_pointer_to_nothing_is_refused_by_name(tmp_path: Path, pointer: Any):
    path = build_aps_legacy(tmp_path / "a.hdf", MAPS)
    with h5py.File(path, "a") as f:
        f["xpcs/output_data"] = pointer
    with pytest.raises(DataFormatError, match=r"xpcs/output_data: it points to .* no such group"):
        open_dataset(path)


def test_a_partition_with_fewer_labels_than_bins_is_written_as_it_is(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", MAPS)
    with h5py.File(path, "a") as f:
        f["xpcs/qmap/dynamic_roi_map"][...] %= 3
    ds = open_dataset(path)
    write_apsu(ds, tmp_path / "b.hdf")
    np.testing.assert_array_equal(open_dataset(tmp_path / "b.hdf")["dynamic_roi_map"], ds["dynamic_roi_map"])


def test_a_lost_partition_is_named_and_the_maps_are_read(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", MAPS)
    with h5py.File(path, "a") as f:
        del f["xpcs/qmap/dynamic_roi_map"]
        f["xpcs/qmap/dynamic_roi_map"] = h5py.ExternalLink("gone.h5", "/roi")
    with pytest.warns(DataWarning, match="dynamic_roi_map is left out: it is linked to /roi of gone.h5"):
        np.testing.assert_array_equal(open_dataset(path)["c2"], MAPS)


def test_every_small_value_of_an_aps_u_file_survives_a_round_trip(tmp_path: Path):
    path = tell(build_apsu(tmp_path / "a.hdf", MAPS), "aps-u")
    held = {
        "entry/user/name": "A. Person",
        "entry/instrument/attenuator_1/transmission": 0.5,
        "entry/instrument/undulator/gap": np.array([[12.5]]),
        "entry/sample/positions": np.arange(3),
        "entry/sample/tags": ["dense", "fresh"],
    }
    with h5py.File(path, "a") as f:
        for key, value in held.items():
            f[key] = value
        f["entry/instrument/undulator/gap"].attrs["units"] = "mm"
        f["entry/instrument/masks/dynamic_q_list"] = np.arange(2) * 0.01 + 0.01
        f["entry/gone"] = h5py.ExternalLink("gone.h5", "/x")
        before = {n for n in _datasets(f) if n.startswith("entry") and "masks" not in n}
    write_apsu(open_dataset(path).isel(q=[0]), tmp_path / "b.hdf")
    with h5py.File(tmp_path / "b.hdf") as f:
        assert before <= _datasets(f)
        assert "entry/instrument/masks/dynamic_q_list" not in _datasets(f)  # no longer that of the bins
        assert f["entry/user/name"][()] == b"A. Person"
        assert f["entry/instrument/undulator/gap"].attrs["units"] == "mm"
        np.testing.assert_array_equal(f["entry/sample/positions"], [0, 1, 2])
        assert [t.decode() for t in f["entry/sample/tags"][()]] == ["dense", "fresh"]
    assert open_dataset(tmp_path / "b.hdf").attrs["dt"] == DT


def _datasets(f: h5py.File) -> set[str]:
    names: set[str] = set()
    f.visititems(lambda name, node: names.add(name) if isinstance(node, h5py.Dataset) else None)
    return names
