"""Every layout is recognised and read: maps, q, phi, times, pixels, g2."""

from __future__ import annotations

from pathlib import Path

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
    build_nxxpcs_old,
    build_pychx,
    random_g2,
    random_maps,
)

from heterodyne_nb.data import open_dataset
from heterodyne_nb.data.age_lag import cells_of
from heterodyne_nb.errors import DataFormatError, DataWarning


def assert_g2(ds, values, errors, *, rtol=1e-12):
    """g2 of the dataset, (q, phi, tau), against (delays, bins)."""
    shape = (*ds["n_pixels"].shape, len(values))
    np.testing.assert_allclose(ds["g2"].values, values.T.reshape(shape), rtol=rtol)
    np.testing.assert_allclose(ds["g2_err"].values, errors.T.reshape(shape), rtol=rtol)
    assert ds["g2"].attrs["origin"] == "measured"


def test_aps_u_gives_maps_bins_times_pixels_and_g2(tmp_path: Path):
    maps = random_maps()
    ds = open_dataset(build_apsu(tmp_path / "a.hdf", maps, g2=True))
    assert ds.attrs["layout"] == "aps-u"
    assert ds.attrs["triangle"] == "upper"
    np.testing.assert_array_equal(ds["c2"].values, maps)
    np.testing.assert_array_equal(ds["q"], Q)
    np.testing.assert_array_equal(ds["phi"], PHI)
    np.testing.assert_allclose(ds["t"], np.arange(1, 13) * DT)
    np.testing.assert_array_equal(ds["frame"], np.arange(1, 13))
    np.testing.assert_array_equal(ds["n_pixels"], np.full((2, 3), 5))
    np.testing.assert_allclose(ds["tau"], TAU_FRAMES * DT)
    assert_g2(ds, *random_g2(4, 6))


def test_every_variable_carries_units_and_a_long_name(tmp_path: Path):
    ds = open_dataset(build_apsu(tmp_path / "a.hdf", random_maps()))
    for name, variable in ds.variables.items():
        assert variable.attrs.get("units"), name
        assert variable.attrs.get("long_name"), name


@pytest.mark.parametrize("row", [True, False])
@pytest.mark.parametrize("prefix", ["g2", "c2"])
def test_aps_legacy_gives_maps_bins_times_pixels_and_g2(tmp_path: Path, row: bool, prefix: str):
    maps = random_maps()
    ds = open_dataset(build_aps_legacy(tmp_path / "a.hdf", maps, row=row, prefix=prefix))
    assert ds.attrs["layout"] == "aps-legacy"
    np.testing.assert_array_equal(ds["c2"].values, maps)
    np.testing.assert_array_equal(ds["q"], Q)
    np.testing.assert_array_equal(ds["phi"], PHI)
    np.testing.assert_array_equal(ds["n_pixels"], np.full((2, 3), 4))
    np.testing.assert_allclose(ds["tau"], TAU_FRAMES * DT)
    assert_g2(ds, *random_g2(4, 6), rtol=1e-6)


@pytest.mark.parametrize("mode", ["one_array_q_first", "one_array_q_last", "data_exchange_keys"])
@pytest.mark.parametrize("baseline", [1, 0, "0"])
def test_nxxpcs_is_read_in_every_storage_mode_and_baseline(tmp_path: Path, mode: str, baseline):
    maps = random_maps()
    ds = open_dataset(build_nxxpcs(tmp_path / "a.nxs", maps, mode=mode, baseline=baseline))
    assert ds.attrs["layout"] == "nxxpcs"
    np.testing.assert_allclose(ds["c2"].values, maps, rtol=1e-6)
    np.testing.assert_array_equal(ds["q"], Q)
    np.testing.assert_array_equal(ds["phi"], PHI)
    assert ds.attrs["dt"] == DT
    assert_g2(ds, *random_g2(4, 6))


def test_nxxpcs_with_its_time_origin_in_the_lower_left_is_turned(tmp_path: Path):
    maps = random_maps()
    ds = open_dataset(build_nxxpcs(tmp_path / "a.nxs", maps, origin="lower_left"))
    np.testing.assert_array_equal(ds["c2"].values, maps)
    np.testing.assert_array_equal(
        ds["c2"].isel(q=1, phi=0, t1=slice(2, 9), t2=slice(0, 4)), maps[1, 0, 2:9, :4]
    )
    assert "lower left" in ds.attrs["time_origin"]


def test_nxxpcs_is_found_under_any_entry_name(tmp_path: Path):
    ds = open_dataset(build_nxxpcs(tmp_path / "a.nxs", random_maps(), entry="scan_17"))
    assert ds.sizes["q"] == 2


def test_nxxpcs_accepts_g2_either_way_round(tmp_path: Path):
    path = build_nxxpcs(tmp_path / "a.nxs", random_maps())
    values, errors = random_g2(4, 6)
    with h5py.File(path, "a") as f:
        del f["entry/data/g2"], f["entry/data/g2_derr"]
        f["entry/data/g2"], f["entry/data/g2_derr"] = values.T, errors.T
    assert_g2(open_dataset(path), values, errors)


def test_nxxpcs_with_q_and_phi_lists_as_axes_of_a_grid(tmp_path: Path):
    maps = random_maps()
    path = build_nxxpcs(tmp_path / "a.nxs", maps)
    with h5py.File(path, "a") as f:
        masks = f["entry/instrument/masks"]
        del masks["dynamic_q_list"], masks["dynamic_phi_list"]
        masks["dynamic_q_list"], masks["dynamic_phi_list"] = Q, PHI
    np.testing.assert_array_equal(open_dataset(path)["c2"].values, maps)


def test_nxxpcs_with_fewer_maps_than_labels_and_no_list_is_an_error(tmp_path: Path):
    path = build_nxxpcs(tmp_path / "a.nxs", random_maps())
    with h5py.File(path, "a") as f:
        del f["entry/twotime/two_time_corr_func"]
        f["entry/twotime/two_time_corr_func"] = random_maps((4,))
    with pytest.raises(DataFormatError, match="4 maps for 6 labels and no processed_bins"):
        open_dataset(path)


def test_nxxpcs_before_the_standard_gives_g2_with_delays_in_seconds(tmp_path: Path):
    ds = open_dataset(build_nxxpcs_old(tmp_path / "a.h5"))
    assert ds.attrs["layout"] == "nxxpcs-old"
    assert "c2" not in ds
    np.testing.assert_allclose(ds["tau"], TAU_FRAMES * DT)
    np.testing.assert_array_equal(ds["q"], Q)
    np.testing.assert_array_equal(ds["phi"], [0.0])
    assert_g2(ds, *random_g2(4, 2))
    assert ds.attrs["dt_origin"] == "not in the file: the smallest delay"


def test_esrf_lag_and_age_become_t1_and_t2(tmp_path: Path):
    maps = random_maps((2,))
    ds = open_dataset(build_esrf(tmp_path / "a.h5", maps))
    assert ds.attrs["layout"] == "esrf-id02"
    np.testing.assert_array_equal(ds["c2"].values[:, 0], maps)
    np.testing.assert_array_equal(ds["c2"].isel(q=1, phi=0, t1=7, t2=slice(3, 11)), maps[1, 7, 3:11])
    np.testing.assert_allclose(ds["q"], Q)
    np.testing.assert_array_equal(ds["n_pixels"][:, 0], [3, 3])
    assert ds.attrs["dt"] == DT
    assert_g2(ds, *random_g2(4, 2))
    assert "1/nm assumed" in ds.attrs["q_unit"]


def test_esrf_maps_averaged_over_cells_of_lag_and_age_say_so(tmp_path: Path):
    path = build_esrf(tmp_path / "a.h5", random_maps((2,)))
    with h5py.File(path, "a") as f:
        group = f["entry_0000/correlations/full/twotime"]
        del group["ttcf"], group["lag"], group["age"]
        group["lag"] = np.array([0.0, 1.0, 2.0, 4.5]) * DT
        group["age"] = np.arange(10) * DT
        group["ttcf"] = np.random.default_rng(0).normal(1, 0.1, (2, 4, 10))
    with pytest.warns(DataWarning, match="averages over cells of lag and age"):
        ds = open_dataset(path)
    with pytest.warns(DataWarning, match="20 NaN pixels"):  # lags beyond the last bin
        c2 = ds["c2"].isel(q=0, phi=0).values
    assert c2.shape == (10, 10)
    with h5py.File(path) as f:
        stored = f["entry_0000/correlations/full/twotime/ttcf"][0].astype("f4")
    assert c2[3, 3] == stored[0, 3]
    assert c2[2, 6] == stored[3, 4]  # lag 4 lies in the bin around 4.5, age is 4
    assert c2[6, 2] == stored[3, 4]


@pytest.mark.filterwarnings("ignore::heterodyne_nb.errors.DataWarning")
def test_esrf_cells_hold_the_pixels_that_the_correlator_averaged(tmp_path: Path):
    """Ages in wide cells from the first frame to the last, lags single and then in ratio: centres are in the file."""
    n, one = 61, random_maps((1,), n=61)[0]
    lags, ages = np.r_[np.arange(10) - 0.5, np.logspace(1, np.log10(60), 6)], np.linspace(0, 60, 13)
    late, early = np.tril_indices(n, -1)
    at = np.clip(np.searchsorted(lags, late - early, "right") - 1, 0, len(lags) - 2)
    at = at, np.clip(np.searchsorted(ages, (late + early) / 2, "right") - 1, 0, len(ages) - 2)
    total, count = np.zeros((2, len(lags) - 1, len(ages) - 1))
    np.add.at(total, at, one[late, early])
    np.add.at(count, at, 1)
    path = build_esrf(tmp_path / "a.h5", random_maps((1,)))
    with h5py.File(path, "a") as f:
        group = f["entry_0000/correlations/full/twotime"]
        del group["ttcf"], group["lag"], group["age"]
        middles = np.r_[0.5 * (lags[:10] + lags[1:11]), np.sqrt(lags[10:-1] * lags[11:])]
        group["lag"], group["age"] = middles * DT, 0.5 * (ages[1:] + ages[:-1]) * DT
        with np.errstate(invalid="ignore"):
            group["ttcf"] = (total / count)[None]
    ds = open_dataset(path)
    assert ds.sizes["t"] == n
    cells = cells_of(ds)
    np.testing.assert_array_equal(cells.pixels[1:], count[1:])
    value, pixels = cells.means(ds["c2"].values[0, 0], np.ones(n, bool))
    np.testing.assert_array_equal(pixels[1:], count[1:])
    np.testing.assert_allclose(value[pixels > 0], (total / np.maximum(count, 1))[pixels > 0], rtol=1e-6)


def test_esrf_with_several_analyses_reads_the_first_and_names_the_others(tmp_path: Path):
    path = build_esrf(tmp_path / "a.h5", random_maps((2,)), analyses=("az0", "az90"))
    with pytest.warns(DataWarning, match=r"'az0' is read; not read: \['az90'\]"):
        ds = open_dataset(path)
    assert ds.attrs["analysis"] == "az0"


@pytest.mark.parametrize("angles", [False, True])
def test_pychx_has_q_last_and_q_values_as_attributes(tmp_path: Path, angles: bool):
    maps = random_maps((2,))
    ds = open_dataset(build_pychx(tmp_path / "a.h5", maps, angles=angles))
    assert ds.attrs["layout"] == "pychx"
    np.testing.assert_array_equal(ds["c2"].values[:, 0], maps)
    np.testing.assert_array_equal(ds["q"], Q)
    np.testing.assert_allclose(ds["phi"], [-160.0 if angles else 0.0])
    assert ds.attrs["dt"] == DT
    np.testing.assert_allclose(ds["tau"], TAU_FRAMES * DT)
    np.testing.assert_allclose(ds["g2"].values[:, 0], random_g2(5, 2)[0][1:].T)
    assert np.isnan(ds["g2_err"].values).all()


def test_pychx_bad_frames_are_masked(tmp_path: Path):
    ds = open_dataset(build_pychx(tmp_path / "a.h5", random_maps((2,)), bad=[0, 5]))
    np.testing.assert_array_equal(ds["frame"].values[~ds["mask"].values], [1, 6])


def test_pychx_without_a_period_uses_the_step_of_tausb(tmp_path: Path):
    path = build_pychx(tmp_path / "a.h5", random_maps((2,)))
    with h5py.File(path, "a") as f:
        del f["md"].attrs["acquire period"]
        f["tausb"] = np.arange(5) * 0.25
    assert open_dataset(path).attrs["dt"] == 0.25


def test_mid_averages_its_trains(tmp_path: Path):
    trains = random_maps((3, 2))
    trains[1, 0, 2, 5] = np.nan
    ds = open_dataset(build_mid(tmp_path / "a.h5", trains))
    assert ds.attrs["layout"] == "xfel-mid"
    assert ds.attrs["n_trains"] == 3
    np.testing.assert_allclose(ds["c2"].values[:, 0], np.nanmean(trains.astype(float), axis=0), rtol=1e-6)
    np.testing.assert_allclose(ds["q"], Q)
    np.testing.assert_allclose(ds.attrs["dt"], 1e-6)
    with h5py.File(tmp_path / "a.h5") as f:
        g2 = f["train_resolved/correlation/g2"][()]
    np.testing.assert_allclose(ds["g2"].values[:, 0], g2.mean(axis=0).T)
    np.testing.assert_allclose(ds["g2_err"].values[:, 0], (g2.std(axis=0, ddof=1) / np.sqrt(3)).T)


def test_an_unknown_layout_lists_what_each_layout_lacks(tmp_path: Path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as f:
        f["xpcs/qmap/x"] = 1
        f["measurements/c2"] = np.ones((3, 3))
    with pytest.raises(DataFormatError) as caught:
        open_dataset(path)
    text = str(caught.value)
    assert "it holds /measurements, /xpcs" in text
    assert "aps-u: lacks xpcs/multitau | xpcs/twotime" in text
    assert "aps-legacy: lacks xpcs/dqlist, exchange" in text
    assert "nxxpcs: lacks an NXentry with definition = NXxpcs" in text
    assert "esrf-id02: lacks root attribute MagicString" in text
    assert "pychx: lacks g12b | g2, md, qval_dict" in text
    assert "xfel-mid: lacks train_resolved/correlation/q" in text
    assert "make_dataset" in text


def test_a_named_layout_that_does_not_fit_says_what_is_lacking(tmp_path: Path):
    path = build_apsu(tmp_path / "a.hdf", random_maps())
    with pytest.raises(DataFormatError, match="does not have the layout 'pychx': it lacks g12b"):
        open_dataset(path, layout="pychx")
    with pytest.raises(ValueError, match=r"layout 'apsu' is not known[\s\S]*aps-legacy"):
        open_dataset(path, layout="apsu")
