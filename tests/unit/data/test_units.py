"""Units of every field of every layout are obeyed, refused by name, or noted: never silently other numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pint
import pytest
import xarray as xr
from layout_builders import (
    DT,
    TAU_FRAMES,
    build_aps_legacy,
    build_apsu,
    build_dahu,
    build_esrf,
    build_mid,
    build_nxxpcs,
    build_nxxpcs_old,
    build_pychx,
    random_g2,
    random_maps,
)

import heterodyne_nb
from heterodyne_nb.data import make_dataset, open_dataset, prepare, write_dataset
from heterodyne_nb.data.units import QUANTITIES, convert
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning

MAPS, STACK, TRAINS = random_maps(n=6), random_maps((2,), n=6), random_maps((2, 2), n=6)
BUILD: dict[str, Callable[[Path], Path]] = {
    "aps-u": lambda p: build_apsu(p, MAPS, g2=True),
    "aps-legacy": lambda p: build_aps_legacy(p, MAPS),
    "nxxpcs": lambda p: build_nxxpcs(p, MAPS),
    "nxxpcs-old": build_nxxpcs_old,
    "esrf-id02": lambda p: build_esrf(p, STACK),
    "esrf-dahu": build_dahu,
    "pychx": lambda p: build_pychx(p, STACK, angles=True),
    "xfel-mid": lambda p: build_mid(p, TRAINS),
}
#: Layout, key (@ an attribute), what it means, the unit in which the builder writes it.
FIELDS = [
    ("aps-u", "xpcs/qmap/dynamic_v_list_dim0", "q", "1/angstrom"),
    ("aps-u", "xpcs/qmap/dynamic_v_list_dim1", "phi", "degree"),
    ("aps-u", "entry/instrument/detector_1/frame_time", "dt", "s"),
    ("aps-u", "xpcs/multitau/delay_list", "tau", "frames"),
    ("aps-legacy", "xpcs/dqlist", "q", "1/angstrom"),
    ("aps-legacy", "xpcs/dphilist", "phi", "degree"),
    ("aps-legacy", "measurement/instrument/detector/exposure_period", "dt", "s"),
    ("aps-legacy", "exchange/tau", "tau", "frames"),
    ("nxxpcs", "entry/instrument/masks/dynamic_q_list", "q", "1/angstrom"),
    ("nxxpcs", "entry/instrument/masks/dynamic_phi_list", "phi", "degree"),
    ("nxxpcs", "entry/instrument/detector_x/frame_time", "dt", "s"),
    ("nxxpcs", "entry/data/delay_difference", "tau", "frames"),
    ("nxxpcs-old", "entry/XPCS/data/ql_dyn", "q", "1/angstrom"),
    ("nxxpcs-old", "entry/XPCS/data/t_el", "tau", "s"),
    ("esrf-id02", "entry_0000/correlations/full/parameters/q", "q", "1/nm"),
    ("esrf-id02", "entry_0000/correlations/full/g2/lag", "tau", "s"),
    ("esrf-id02", "entry_0000/correlations/full/twotime/lag", "tau", "s"),
    ("esrf-id02", "entry_0000/correlations/full/twotime/age", "age", "s"),
    ("esrf-dahu", "entry/1_XPCS/results/q", "q", "1/nm"),
    ("esrf-dahu", "entry/1_XPCS/results/t", "tau", "s"),
    ("pychx", "qval_dict@q", "q", "1/angstrom"),
    ("pychx", "qval_dict@phi", "phi", "degree"),
    ("pychx", "taus", "tau", "s"),
    ("pychx", "md@acquire period", "dt", "s"),
    ("xfel-mid", "train_resolved/correlation/q", "q", "1/nm"),
    ("xfel-mid", "train_resolved/correlation/t", "tau", "s"),
]
#: Other units of the same meaning, in spellings met in files, and how pint writes them.
OTHERS = {
    "q": [("nm^-1", "1/nm"), ("1/A", "1/angstrom")],
    "phi": [("rad", "radian"), ("°", "degree")],
    "dt": [("ms", "ms"), ("µs", "us")],
}
OTHERS["tau"] = OTHERS["age"] = OTHERS["dt"]
IDS = [f"{layout}:{key}" for layout, key, _, _ in FIELDS]
ureg = pint.UnitRegistry(cache_folder=None)


def rewrite(path: Path, key: str, factor: float, unit: str | None) -> None:
    """Multiply the numbers under a key and give them a unit, or take the unit away."""
    name, _, attribute = key.partition("@")
    with h5py.File(path, "a") as f:
        if name == "qval_dict":
            at, attrs = ("q", "phi").index(attribute), f[name].attrs
            for i in [k for k in attrs if k.isdigit()]:
                row = np.array(attrs[i], float)
                row[at] *= factor
                attrs[i] = row
            word = f"{attribute}_units"
        elif attribute:
            attrs = f[name].attrs
            attrs[attribute], word = str(float(attrs[attribute]) * factor), f"{attribute}_units"
        else:
            values = f[name][()].astype(float) * factor
            del f[name]
            f[name] = values
            attrs, word = f[name].attrs, "units"
        if unit is None:
            attrs.pop(word, None)
        else:
            attrs[word] = unit


def factor_to(name: str, written: str, unit: str) -> float:
    """What the builder's numbers are multiplied by to be in `unit`."""
    if written == "frames":
        return DT * ureg.Quantity(1.0, "s").to(unit).magnitude
    return ureg.Quantity(1.0, written).to(unit).magnitude


def assert_same(ds: xr.Dataset, other: xr.Dataset) -> None:
    assert dict(ds.sizes) == dict(other.sizes)
    for name in ("q", "phi", "tau", "t", "g2"):
        if name in other.variables:
            np.testing.assert_allclose(ds[name], other[name], rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(ds.attrs["dt"], other.attrs["dt"], rtol=1e-9)


def is_same(ds: xr.Dataset, other: xr.Dataset) -> bool:
    try:
        assert_same(ds, other)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(("layout", "key", "name", "written"), FIELDS, ids=IDS)
def test_a_unit_is_obeyed_whatever_it_is(tmp_path: Path, layout: str, key: str, name: str, written: str):
    wanted = open_dataset(BUILD[layout](tmp_path / "plain.h5"))
    for i, (spelt, unit) in enumerate(OTHERS[name]):
        path = BUILD[layout](tmp_path / f"{i}.h5")
        rewrite(path, key, factor_to(name, written, unit), spelt)
        found = open_dataset(path)
        assert_same(found, wanted)
        assert key.partition("@")[2] or key not in found.attrs.get("units_assumed", "")


@pytest.mark.parametrize("unit", ["bananas", "kg"])
@pytest.mark.parametrize(("layout", "key", "name", "written"), FIELDS, ids=IDS)
def test_an_unknown_unit_or_one_of_something_else_is_refused_by_name(
    tmp_path: Path, layout: str, key: str, name: str, written: str, unit: str
):
    path = BUILD[layout](tmp_path / "a.h5")
    rewrite(path, key, 1.0, unit)
    with pytest.raises(DataFormatError, match=unit):
        open_dataset(path)


@pytest.mark.filterwarnings("ignore::heterodyne_nb.errors.DataWarning")
@pytest.mark.parametrize(("layout", "key", "name", "written"), FIELDS, ids=IDS)
def test_a_unit_taken_away_is_never_silent(tmp_path: Path, layout: str, key: str, name: str, written: str):
    wanted = open_dataset(BUILD[layout](tmp_path / "plain.h5"))
    for i, unit in enumerate([OTHERS[name][0][1], written]):
        path = BUILD[layout](tmp_path / f"{i}.h5")
        rewrite(path, key, 1.0 if unit == written else factor_to(name, written, unit), None)
        try:
            ds = open_dataset(path)
        except DataFormatError:
            continue
        place = key.replace("@acquire period", "").partition("@")[0]
        noted = place in ds.attrs.get("units_assumed", "")
        assert noted, ds.attrs
        assert noted or is_same(ds, wanted)


@pytest.mark.filterwarnings("ignore::heterodyne_nb.errors.DataWarning")
@pytest.mark.parametrize(("layout", "key", "name", "written"), FIELDS, ids=IDS)
def test_a_unit_that_the_user_states_goes_before_the_file(
    tmp_path: Path, layout: str, key: str, name: str, written: str
):
    if layout == "esrf-id02" and name == "tau":
        pytest.skip("lags of maps and of g2 are two fields of one meaning")
    wanted = open_dataset(BUILD[layout](tmp_path / "plain.h5"))
    spelt, unit = OTHERS[name][0]
    path = BUILD[layout](tmp_path / "a.h5")
    rewrite(path, key, factor_to(name, written, unit), None)
    assert_same(open_dataset(path, units={name: spelt}), wanted)


def test_delays_in_frames_are_taken_as_such_where_a_layout_writes_seconds(tmp_path: Path):
    path = build_pychx(tmp_path / "a.h5", random_maps((2,)))
    rewrite(path, "taus", 1 / DT, "frames")
    np.testing.assert_allclose(open_dataset(path)["tau"], TAU_FRAMES * DT)


def test_delays_that_are_no_whole_frames_and_have_no_unit_are_doubted(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps(), g2=True)
    rewrite(path, "xpcs/multitau/delay_list", 0.3, None)
    with pytest.warns(DataWarning, match="delays have no unit and are no whole numbers"):
        open_dataset(path)


def test_angles_that_look_like_radians_are_doubted(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    rewrite(path, "xpcs/qmap/dynamic_v_list_dim1", np.pi / 180, None)
    with pytest.warns(DataWarning, match="look like radians"):
        open_dataset(path)


def test_a_unit_of_what_nobody_asks_for_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="colour"):
        open_dataset(build_apsu(tmp_path / "a.hdf", random_maps()), units={"colour": "red"})


# ---- arrays and text ----


def test_arrays_take_units_from_the_file_beside_them_or_from_the_user(tmp_path: Path):
    np.save(tmp_path / "a.npy", random_maps((2, 1)))
    told = {"q": [0.1, 0.2], "phi": [0.5], "dt": 500, "units": {"q": "1/nm", "phi": "rad", "dt": "ms"}}
    (tmp_path / "a.json").write_text(json.dumps(told))
    ds = open_dataset(tmp_path / "a.npy")
    np.testing.assert_allclose(ds["q"], [0.01, 0.02])
    np.testing.assert_allclose(ds["phi"], np.rad2deg([0.5]))
    assert ds.attrs["dt"] == 0.5
    (tmp_path / "a.json").write_text("{}")
    other = open_dataset(tmp_path / "a.npy", q=[0.1, 0.2], phi=[0.5], dt=500, units=told["units"])
    assert_same(other, ds)
    (tmp_path / "a.json").write_text(json.dumps({**told, "q_units": "parsec^2"}))
    with pytest.raises(DataFormatError, match="parsec"):
        open_dataset(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("ending", "separator"), [(".txt", " "), (".csv", ","), (".dat", "\t"), (".csv", ";")]
)
def test_a_map_written_as_text_opens(tmp_path: Path, ending: str, separator: str):
    one = random_maps((1, 1))
    path = tmp_path / f"map{ending}"
    np.savetxt(path, one[0, 0], delimiter=separator, header="a two-time map", fmt="%.9e")
    ds = open_dataset(path, q=0.01, phi=0.0, dt=0.1)
    np.testing.assert_allclose(ds["c2"].values, one, rtol=1e-6)
    assert ds.attrs["dt"] == 0.1


def test_a_text_of_delays_and_g2_opens_with_the_unit_in_its_head(tmp_path: Path):
    values, errors = random_g2(4, 1)
    path = tmp_path / "g2.csv"
    rows = np.column_stack([TAU_FRAMES * DT * 1e3, values, errors])
    np.savetxt(path, rows, delimiter=",", header="tau (ms),g2,err", comments="")
    ds = open_dataset(path, q=0.01, phi=0.0, dt=DT)
    np.testing.assert_allclose(ds["tau"], TAU_FRAMES * DT)
    np.testing.assert_allclose(ds["g2"].values.ravel(), values.ravel())
    np.testing.assert_allclose(ds["g2_err"].values.ravel(), errors.ravel())


def test_a_text_of_another_shape_or_of_words_is_refused(tmp_path: Path):
    np.savetxt(tmp_path / "a.txt", np.ones((5, 4)))
    with pytest.raises(DataFormatError, match="5 rows of 4 numbers"):
        open_dataset(tmp_path / "a.txt", q=0.01, dt=1.0)
    (tmp_path / "b.txt").write_text("not a map\n")
    with pytest.raises(DataFormatError, match="no row of numbers"):
        open_dataset(tmp_path / "b.txt", q=0.01, dt=1.0)
    (tmp_path / "c.csv").write_text("1,2\n3\n")
    with pytest.raises(DataFormatError, match="cannot be read"):
        open_dataset(tmp_path / "c.csv", q=0.01, dt=1.0)


@pytest.mark.parametrize("modern", [False, True])
def test_arrays_of_matlab_open(tmp_path: Path, modern: bool):
    maps = random_maps((3,))
    held = {"C2": np.moveaxis(maps, 0, -1), "q": np.array([[0.1, 0.2, 0.3]]), "dt": np.array([[0.5]])}
    path = tmp_path / "a.mat"
    if modern:  # version 7.3 is HDF5, columns first
        with h5py.File(path, "w") as f:
            for name, value in held.items():
                f[name] = value.T
    else:
        from scipy.io import savemat

        savemat(path, {**held, "q_units": "1/nm"})
    ds = open_dataset(path, units={"q": "1/nm"} if modern else None)
    np.testing.assert_array_equal(ds["c2"].values[:, 0], maps)
    np.testing.assert_allclose(ds["q"], [0.01, 0.02, 0.03])
    assert ds.attrs["dt"] == 0.5


# ---- datasets ----


def test_q_that_no_experiment_reaches_is_refused_with_the_way_to_say_its_unit():
    maps = random_maps((1, 1))
    with pytest.raises(DataFormatError, match=r"q = 25 1/Å is not possible[\s\S]*units=\{'q': '1/nm'\}"):
        make_dataset(maps, q=25, phi=0, dt=1.0)
    assert make_dataset(maps, q=25, phi=0, dt=1.0, units={"q": "1/um"})["q"].item() == pytest.approx(0.0025)


def test_numbers_with_a_unit_of_their_own_are_converted():
    maps = random_maps((1, 1))
    q = xr.DataArray([0.1], dims="q", attrs={"units": "1/nm"})
    ds = make_dataset(maps, q=q, phi=ureg.Quantity(np.array([np.pi]), "rad"), dt=ureg.Quantity(20.0, "ms"))
    assert ds["q"].item() == pytest.approx(0.01)
    assert ds["phi"].item() == pytest.approx(180.0)
    assert ds.attrs["dt"] == pytest.approx(0.02)


def decays(unit: str = "1/Å") -> xr.Dataset:
    tau = np.geomspace(0.02, 20, 30)
    g2 = 1 + 0.3 * np.exp(-2 * 0.5 * tau)
    ds = make_dataset(g2=g2[None, None], g2_err=np.full((1, 1, 30), 1e-3), tau=tau, q=0.01, phi=0.0, dt=0.02)
    factor = convert(1.0, unit, "q", "test")
    return ds.assign_coords(q=("q", ds["q"].values / factor, {"units": unit}))


@pytest.mark.parametrize("unit", ["1/nm", "1/m", "angstrom^-1"])
def test_a_one_time_fit_converts_q_at_its_door(unit: str):
    wanted = heterodyne_nb.fit(decays(), mode="kww")
    found = heterodyne_nb.fit(decays(unit), mode="kww")
    assert found.values == pytest.approx(wanted.values, rel=1e-6)


def test_a_two_time_fit_converts_every_coordinate_at_its_door():
    t = np.arange(1, 41) * 0.1
    model = 1 + 0.3 * np.exp(-6e-3 * np.abs(t[:, None] - t))
    noise = np.random.default_rng(0).normal(0, 1e-3, (40, 40))
    ds = make_dataset((model + noise + noise.T)[None, None], q=0.01, phi=0.0, dt=0.1)
    wanted = heterodyne_nb.fit(ds, mode="static_isotropic", multistart=0)
    other = ds.assign_coords(
        q=("q", ds["q"].values * 10, {"units": "1/nm"}),
        t=("t", ds["t"].values * 1e3, {"units": "ms"}),
    )
    found = heterodyne_nb.fit(other, mode="static_isotropic", multistart=0)
    assert found.values == pytest.approx(wanted.values, rel=1e-6)


def test_the_door_of_a_fit_refuses_what_it_does_not_understand():
    for unit, said in (("furlong", "furlong"), ("1/pm", "is not possible")):
        bad = decays().assign_coords(q=("q", [1.0], {"units": unit}))
        with pytest.raises(DataFormatError, match=said):
            heterodyne_nb.fit(bad, mode="kww")


def test_a_file_of_ours_with_other_units_is_converted(tmp_path: Path):
    ds = decays("1/nm")
    write_dataset(ds, tmp_path / "a.nc")
    assert open_dataset(tmp_path / "a.nc")["q"].item() == pytest.approx(0.01)
    assert prepare.select(open_dataset(tmp_path / "a.nc"), q=0.01).sizes["q"] == 1


@pytest.mark.parametrize(
    ("spelt", "name", "factor"),
    [
        *[("Å⁻¹", "q", 1.0), ("A-1", "q", 1.0), ("inverse_nanometer", "q", 0.1), ("nm^{-1}", "q", 0.1)],
        *[("µm⁻¹", "q", 1e-4), ("1/Angstroms", "q", 1.0), ("NM-1", "q", 0.1), ("m**-1", "q", 1e-10)],
        *[
            ("MS", "dt", 1e-3),
            ("S", "dt", 1.0),
            ("usec", "dt", 1e-6),
            ("μs", "tau", 1e-6),
            ("min", "t", 60.0),
        ],
        *[
            ("Radians", "phi", 180 / np.pi),
            ("°", "phi", 1.0),
            ("deg", "alpha", 1.0),
            ("mrad", "tth", 0.18 / np.pi),
        ],
        *[("eV", "energy", 1e-3), ("KeV", "energy", 1.0), ("mm", "detector_distance", 1e-3)],
        *[("Å", "wavelength", 1e-10), ("µm", "pixel_size", 1e-6), ("Kelvin", "temperature", 1.0)],
    ],
)
def test_units_are_known_in_the_spellings_of_files(spelt: str, name: str, factor: float):
    assert convert(3.0, spelt, name, "here") == pytest.approx(3.0 * factor, rel=1e-13)


def test_degrees_celsius_become_kelvin():
    for spelt in ("C", "°C", "degC", "celsius"):
        assert convert(20.0, spelt, "temperature", "here") == pytest.approx(293.15)


@pytest.mark.parametrize("name", sorted(QUANTITIES))
def test_every_quantity_knows_its_own_unit(name: str):
    assert convert(2.5, QUANTITIES[name].unit, name, "here") == 2.5
    assert convert(2.5, QUANTITIES[name].pint, name, "here") == 2.5


def test_a_unit_given_as_a_coordinate_of_its_own_is_that_of_q():
    wanted = decays()
    other = wanted.assign_coords(q=wanted["q"] * 10, units="1/nm")
    assert heterodyne_nb.fit(other, mode="kww").values == pytest.approx(
        heterodyne_nb.fit(wanted, mode="kww").values, rel=1e-6
    )
    assert other.xpcs.select(q=0.01)["q"].item() == pytest.approx(0.01)


def test_the_result_of_a_fit_tells_q_in_the_unit_of_the_package():
    result = heterodyne_nb.fit(decays("1/nm"), mode="kww")
    assert json.loads(result.dataset.attrs["provenance"])["selection"]["q"] == pytest.approx([0.01])
