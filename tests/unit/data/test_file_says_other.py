"""Files whose words and numbers disagree, or which say things in rarer ways: obeyed, or doubted aloud."""

from __future__ import annotations

import json
from collections.abc import Callable
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

from heterodyne_nb.data import list_analyses, open_dataset
from heterodyne_nb.errors import DataFormatError, DataWarning

N = 30
MAPS = random_maps(n=N)
FLAT = MAPS.reshape(-1, N, N)
G2_OF_MAPS = random_g2(N, 6)[0]


def changed(path: Path, change: Callable[[h5py.File], Any]) -> Path:
    with h5py.File(path, "a") as f:
        change(f)
    return path


def put(f: h5py.File, key: str, value: Any, **attrs: Any) -> None:
    kept = dict(f[key].attrs) if key in f else {}
    if key in f:
        del f[key]
    f[key] = value
    f[key].attrs.update(kept | attrs)


def npz(path: Path, maps: np.ndarray) -> Path:
    np.savez(path.with_suffix(".npz"), c2=maps, q=Q, phi=PHI, dt=DT)
    return path.with_suffix(".npz")


# ---- a baseline that is not what the file says ----

LAYOUTS: dict[str, Callable[[Path, np.ndarray], Path]] = {
    "aps-u": build_apsu,
    "aps-legacy": build_aps_legacy,
    "nxxpcs": build_nxxpcs,
    "esrf-id02": lambda p, m: build_esrf(p, m[0, :2]),
    "pychx": lambda p, m: build_pychx(p, m[0, :2]),
    "xfel-mid": lambda p, m: build_mid(p, m[:, :2]),
    "arrays": npz,
}


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_maps_that_do_not_decay_to_1_are_doubted_in_every_layout(tmp_path: Path, layout: str):
    build = LAYOUTS[layout]
    with pytest.warns(
        DataWarning, match=r"the values of c2 lie around -?0\.0\d* *, as those of a baseline of 0 do"
    ):
        ds = open_dataset(build(tmp_path / "a.h5", MAPS - 1))
    assert abs(float(ds["c2"].mean())) < 0.1
    with pytest.warns(DataWarning, match=r"the values of c2 lie around .*: they are not normalised"):
        open_dataset(build(tmp_path / "b.h5", 1e4 * MAPS))
    open_dataset(build(tmp_path / "c.h5", MAPS))  # not a word


def test_a_baseline_of_0_that_is_1_already_is_doubted(tmp_path: Path):
    with pytest.warns(
        DataWarning, match=r"lie around (0.99\d|1|1.0\d) in the file, which says that their baseline is 0"
    ):
        open_dataset(build_nxxpcs(tmp_path / "a.nxs", MAPS + 1, baseline=0))


@pytest.mark.parametrize("seed", range(3))
def test_maps_of_very_few_photons_are_not_doubted(tmp_path: Path, seed: int):
    rng = np.random.default_rng(seed)
    sparse = 50.0 * np.triu(rng.random((2, 3, N, N)) < 0.02)
    open_dataset(build_apsu(tmp_path / "a.hdf", sparse.astype("f4")))


def test_g2_less_1_is_doubted(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", MAPS, g2=True)
    changed(path, lambda f: put(f, "xpcs/multitau/normalized_g2", random_g2(4, 6)[0] - 1))
    with pytest.warns(DataWarning, match="the values of g2 lie around"):
        open_dataset(path)


@pytest.mark.parametrize("spelt", [1.0, b"1", np.array([1]), "1.0"])
def test_a_baseline_is_known_in_any_spelling(tmp_path: Path, spelt: Any):
    path = build_nxxpcs(tmp_path / "a.nxs", MAPS)
    key = "entry/twotime/two_time_corr_func"
    changed(path, lambda f: f[key].attrs.update(baseline_reference=spelt))
    np.testing.assert_array_equal(open_dataset(path)["c2"], MAPS)


# ---- halves of a map ----


@pytest.mark.parametrize("fill", [1.0, -1.0, np.nan])
def test_a_half_of_one_value_holds_nothing(tmp_path: Path, fill: float):
    for part, name in ((np.triu, "upper"), (np.tril, "lower")):
        other = np.where(part(np.ones((N, N), bool)), MAPS, fill)
        ds = open_dataset(build_apsu(tmp_path / f"{name}.hdf", other, part=lambda one: one))
        assert ds.attrs["triangle"] == name
        np.testing.assert_array_equal(ds["c2"], MAPS)


def test_the_half_that_the_file_calls_populated_is_read_and_other_ones_that_differ_are_told(tmp_path: Path):
    noise = np.tril(np.random.default_rng(0).random((N, N)), -1)
    stored = np.triu(MAPS) + noise.astype("f4")
    ds = open_dataset(build_nxxpcs(tmp_path / "a.nxs", stored, part=lambda one: one))
    assert ds.attrs["triangle"] == "upper"
    np.testing.assert_array_equal(ds["c2"], MAPS)
    with pytest.warns(DataWarning, match="the two halves of a two-time map differ"):
        open_dataset(build_apsu(tmp_path / "b.hdf", stored, part=lambda one: one))


@pytest.mark.parametrize("attribute", ["time_origin_location", "populated_elements"])
def test_a_word_that_the_definition_does_not_have_is_refused(tmp_path: Path, attribute: str):
    path = build_nxxpcs(tmp_path / "a.nxs", MAPS)
    changed(path, lambda f: f["entry/twotime/two_time_corr_func"].attrs.update({attribute: "upper_right"}))
    with pytest.raises(DataFormatError, match=f"{attribute} is 'upper_right'"):
        open_dataset(path)


# ---- forms of NXxpcs and APS-U ----


def labelled_delays(f: h5py.File) -> None:
    del f["entry/data/delay_difference"]
    for label in range(1, 7):
        f[f"entry/data/delay_difference/{label:05d}"] = TAU_FRAMES


def tuples_as(form: str) -> Callable[[h5py.File], None]:
    def change(f: h5py.File) -> None:
        masks = f["entry/instrument/masks"]
        rows = np.stack([masks["dynamic_q_list"][()], masks["dynamic_phi_list"][()]])
        del masks["dynamic_phi_list"]
        compound = np.zeros(6, [("q", "f8"), ("phi", "f8")])
        compound["q"], compound["phi"] = rows
        texts = np.array([f"({q:g}, {phi:g})".encode() for q, phi in rows.T])
        put(
            f,
            "entry/instrument/masks/dynamic_q_list",
            {"two rows": rows, "compound": compound, "text": texts}[form],
        )

    return change


FORMS = {"delays a label": labelled_delays} | {
    f"tuples, {n}": tuples_as(n) for n in ("two rows", "compound", "text")
}


@pytest.mark.parametrize("form", list(FORMS))
def test_rarer_forms_of_nxxpcs_give_the_same_dataset(tmp_path: Path, form: str):
    wanted = open_dataset(build_nxxpcs(tmp_path / "plain.nxs", MAPS))
    ds = open_dataset(changed(build_nxxpcs(tmp_path / "a.nxs", MAPS), FORMS[form]))
    for name in ("q", "phi", "tau", "g2", "c2"):
        np.testing.assert_array_equal(ds[name], wanted[name], err_msg=name)


@pytest.mark.parametrize("layout", ["nxxpcs, an array", "nxxpcs, a label", "aps-u"])
def test_g2_of_maps_is_read_where_the_maps_were_not_kept(tmp_path: Path, layout: str):
    key = "entry/twotime/g2_from_two_time_corr_func"

    def only_means(f: h5py.File) -> None:
        if layout == "aps-u":
            del f["xpcs/twotime/correlation_map"]
            f["xpcs/twotime/normalized_g2"] = G2_OF_MAPS
            return
        del f["entry/twotime/two_time_corr_func"], f["entry/data"]
        if layout.endswith("array"):
            f[key] = G2_OF_MAPS
        else:
            for label in range(1, 7):
                f[f"{key}/g2_{label:05d}"] = G2_OF_MAPS[:, label - 1]

    build = build_apsu if layout == "aps-u" else build_nxxpcs
    ds = open_dataset(changed(build(tmp_path / "a.h5", MAPS), only_means))
    assert "c2" not in ds
    np.testing.assert_array_equal(ds["tau"], np.arange(1, N) * DT)
    np.testing.assert_array_equal(ds["g2"].values.reshape(6, -1), G2_OF_MAPS[1:].T)
    assert "not in the file" in ds.attrs["g2_origin"]


def test_detectors_with_other_frame_times_are_named(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", MAPS)
    changed(path, lambda f: put(f, "entry/instrument/detector_2/frame_time", 7 * DT))
    with pytest.warns(
        DataWarning, match=r"detector_1/frame_time, 0.5 s, is taken .*detector_2/frame_time says 3.5 s"
    ):
        assert open_dataset(path).attrs["dt"] == DT


# ---- pointers ----


def test_default_leads_from_group_to_group_in_every_layout_with_several_analyses(tmp_path: Path):
    def second(f: h5py.File, one: str, other: str) -> None:
        f.copy(one, other)

    def subentries(f: h5py.File) -> None:
        for name in list(f["entry"]):
            f.move(f"entry/{name}", f"entry/first/{name}")
        f.copy("entry/first", "entry/second")
        f.attrs["default"], f["entry"].attrs["default"] = "entry", np.bytes_("second")

    def esrf(f: h5py.File) -> None:
        second(f, "entry_0000/correlations/full", "entry_0000/correlations/rings")
        f.attrs["default"] = "entry_0000"
        f["entry_0000"].attrs["default"] = "/entry_0000/correlations/rings/twotime"

    for build, change, wanted in (
        (build_apsu, lambda f: (second(f, "xpcs", "xpcs_1"), f.attrs.update(default="/xpcs_1")), "xpcs_1"),
        (
            build_aps_legacy,
            lambda f: (second(f, "xpcs", "xpcs_1"), f.attrs.update(default="xpcs_1")),
            "xpcs_1",
        ),
        (build_nxxpcs, subentries, "entry/second"),
        (lambda p, m: build_esrf(p, m[0, :2]), esrf, "rings"),
    ):
        path = changed(build(tmp_path / f"{wanted.replace('/', '_')}{build.__name__}.h5", MAPS), change)
        assert list_analyses(path)[0] == wanted
        with pytest.warns(DataWarning, match=f"'{wanted}' is read"):
            assert open_dataset(path).attrs["analysis"] == wanted


def test_an_entry_with_a_second_name_is_one_analysis(tmp_path: Path):
    path = build_nxxpcs(tmp_path / "a.nxs", MAPS)
    changed(path, lambda f: f.__setitem__("all", h5py.SoftLink("/entry")))
    assert list_analyses(path) == ["entry"]
    np.testing.assert_array_equal(open_dataset(path)["c2"], MAPS)


# ---- units in rarer places ----


@pytest.mark.parametrize("word", ["UNITS", "Units", "unit"])
@pytest.mark.parametrize(
    "spelt", ["1/nm", b"nm^-1", np.array([b"1/nm"]), np.array(["nm-1"], dtype=object), "$nm^{-1}$"]
)
def test_the_attribute_of_a_unit_may_be_written_in_any_way(tmp_path: Path, word: str, spelt: Any):
    path = build_apsu(tmp_path / "a.hdf", MAPS)
    changed(path, lambda f: put(f, "xpcs/qmap/dynamic_v_list_dim0", Q * 10, **{word: spelt}))
    np.testing.assert_allclose(open_dataset(path)["q"], Q)


@pytest.mark.parametrize(
    ("names", "units"),
    [
        (["q (1/nm)", "phi [rad]"], None),
        ("q, phi", "1/nm, rad"),
        (b"q phi", b"1/nm rad"),
        (["Q", "azimuthal"], ["nm^-1", "radians"]),
    ],
)
def test_axes_are_named_with_their_units_in_any_way(tmp_path: Path, names: Any, units: Any):
    def change(f: h5py.File) -> None:
        put(f, "xpcs/qmap/dynamic_v_list_dim0", Q * 10)
        put(f, "xpcs/qmap/dynamic_v_list_dim1", np.deg2rad(PHI))
        f["xpcs/qmap/map_names"] = names
        if units is not None:
            f["xpcs/qmap/map_units"] = units

    ds = open_dataset(changed(build_apsu(tmp_path / "a.hdf", MAPS), change))
    np.testing.assert_allclose(ds["q"], Q)
    np.testing.assert_allclose(ds["phi"], PHI)


def test_two_words_for_one_unit_that_differ_are_told(tmp_path: Path):
    def change(f: h5py.File) -> None:
        f["xpcs/qmap/map_names"], f["xpcs/qmap/map_units"] = ["q", "phi"], ["1/nm", "degree"]
        f["xpcs/qmap/dynamic_v_list_dim0"].attrs["units"] = "1/A"
        f["xpcs/qmap/dynamic_v_list_dim1"].attrs["units"] = "deg"  # the same

    with pytest.warns(DataWarning, match="dim0 says '1/A', map_names or map_units '1/nm'") as told:
        ds = open_dataset(changed(build_apsu(tmp_path / "a.hdf", MAPS), change))
    assert [str(one.message) for one in told if "map_units" in str(one.message)][1:] == []
    np.testing.assert_allclose(ds["q"], Q)


def test_pychx_units_may_be_a_list_and_stand_behind_a_number(tmp_path: Path):
    def change(f: h5py.File) -> None:
        f["qval_dict"].attrs.update({"0": [0.1, np.pi / 2], "1": [0.2, 0.0], "units": ["1/nm", "rad"]})
        f["md"].attrs["acquire period"] = "500 ms"

    ds = open_dataset(changed(build_pychx(tmp_path / "a.h5", FLAT[:2]), change))
    np.testing.assert_allclose(ds["q"], Q)
    np.testing.assert_allclose(ds["phi"], [90, 0])
    assert ds.attrs["dt"] == DT


@pytest.mark.parametrize("spelt", [np.array(["1/nm"]), b"1/nm", "1/nm"])
def test_units_inside_of_npz_may_be_written_in_any_way(tmp_path: Path, spelt: Any):
    np.savez(tmp_path / "a.npz", c2=MAPS, q=Q * 10, phi=PHI, dt=DT, q_units=spelt)
    np.savez(tmp_path / "b.npz", c2=MAPS, q=Q * 10, phi=PHI, dt=DT, units=json.dumps({"q": "1/nm"}))
    for name in "ab":
        np.testing.assert_allclose(open_dataset(tmp_path / f"{name}.npz")["q"], Q)


def test_texts_of_matlab_7_3_are_read(tmp_path: Path):
    with h5py.File(tmp_path / "a.mat", "w") as f:
        f["c2"], f["q"], f["dt"] = np.moveaxis(FLAT[:2], 0, 0), Q[:2, None] * 10, [[DT]]
        f["q_units"] = np.array([[ord(c)] for c in "1/nm"], "u2")
        f["q_units"].attrs["MATLAB_class"] = np.bytes_("char")
    np.testing.assert_allclose(open_dataset(tmp_path / "a.mat")["q"], Q)


def test_angles_of_arrays_that_look_like_radians_are_doubted(tmp_path: Path):
    np.savez(tmp_path / "a.npz", c2=MAPS, q=Q, phi=np.deg2rad(PHI), dt=DT)
    with pytest.warns(DataWarning, match="look like radians"):
        open_dataset(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "head", ["delay_in_us g2", "lag time us\tg2", "tau/µs g2", "tau (us) g2", "delay microseconds g2"]
)
def test_the_unit_of_a_delay_in_the_head_of_a_text_is_found(tmp_path: Path, head: str):
    rows = np.column_stack([TAU_FRAMES * DT * 1e6, random_g2(4, 1)[0]])
    np.savetxt(tmp_path / "g2.txt", rows, header=head, delimiter="\t" if "\t" in head else " ")
    np.testing.assert_allclose(open_dataset(tmp_path / "g2.txt", q=0.01, dt=DT)["tau"], TAU_FRAMES * DT)


@pytest.mark.parametrize("factor", [1e3, 1e6, 1e-3])
def test_delays_that_are_no_frames_of_this_run_are_doubted(tmp_path: Path, factor: float):
    path = build_pychx(tmp_path / "a.h5", FLAT[:2])
    changed(path, lambda f: put(f, "taus", np.r_[0, TAU_FRAMES] * DT * factor))
    with pytest.warns(DataWarning, match="if a unit is wrong, say units="):
        open_dataset(path)


def test_lags_in_frames_are_refused_where_no_frame_time_is_known(tmp_path: Path):
    path = build_esrf(tmp_path / "a.h5", FLAT[:2])
    key = "entry_0000/correlations/full/twotime/lag"
    changed(path, lambda f: put(f, key, np.arange(N), units="frames"))
    with pytest.raises(DataFormatError, match=r"is 'frames'\n *expected: a unit of time: s, ms"):
        open_dataset(path)
