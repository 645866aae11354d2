"""Repeats averaged: errors propagate, an outlier is left out and named, maps stay lazy."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from layout_builders import random_maps

import heterodyne_nb as hn
from heterodyne_nb.data import average_runs, make_dataset, write_apsu, write_dataset
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning

TAU = np.geomspace(0.1, 10, 20)


def repeat(seed: int, shift: float = 0.0, **attrs: object) -> xr.Dataset:
    noise = np.random.default_rng(seed).normal(0, 5e-3, TAU.size)
    g2 = 1 + 0.3 * np.exp(-TAU) + noise + shift
    ds = make_dataset(g2=g2[None, None], g2_err=np.full((1, 1, 20), 5e-3), tau=TAU, q=0.01, phi=0.0, dt=0.1)
    return ds.assign_attrs(source=f"rep{seed}", **attrs)


def test_the_mean_has_propagated_errors_and_an_outlier_is_left_out_by_name():
    runs = [repeat(k, 0.1 if k == 5 else 0.0) for k in range(8)]
    with pytest.warns(DataWarning, match="unlike the others: rep5"):
        mean = average_runs(runs)
    good = np.mean([ds["g2"].values for k, ds in enumerate(runs) if k != 5], axis=0)
    np.testing.assert_allclose(mean["g2"], good)
    np.testing.assert_allclose(mean["g2_err"], 5e-3 / np.sqrt(7))
    assert mean.attrs["runs_left_out"] == "rep5"
    assert "rep4, rep6" in mean.attrs["runs"]


def test_without_errors_the_scatter_of_the_runs_is_the_error():
    runs = [ds.assign(g2_err=ds["g2_err"] * np.nan) for ds in map(repeat, range(6))]
    mean = average_runs(runs, threshold=10)
    scatter = np.std([ds["g2"].values for ds in runs], axis=0, ddof=1) / np.sqrt(6)
    np.testing.assert_allclose(mean["g2_err"], scatter)


@pytest.mark.filterwarnings("ignore:run1.hdf.*NaN pixels:heterodyne_nb.errors.DataWarning")
def test_maps_of_files_are_averaged_where_they_are_measured(tmp_path: Path):
    maps = [random_maps((1, 2), seed=k) for k in range(3)]
    maps[1][0, 0, 2, 5] = maps[1][0, 0, 5, 2] = np.nan
    for k, one in enumerate(maps):
        write_apsu(make_dataset(one, q=0.01, phi=[0, 90], dt=1.0), tmp_path / f"run{k}.hdf")
    mean = average_runs(str(tmp_path / "run*.hdf"), threshold=10)
    np.testing.assert_allclose(mean["c2"], np.nanmean(np.stack(maps), axis=0), rtol=1e-6)
    np.testing.assert_allclose(
        mean["c2"][0, 1, 3:5, [7, 2]], np.mean(maps, axis=0)[0, 1, 3:5][:, [7, 2]], rtol=1e-6
    )
    assert mean["g2"].attrs["origin"] == "computed from c2"
    assert mean.attrs["runs"] == "run0.hdf, run1.hdf, run2.hdf"


def test_metadata_are_kept_where_all_runs_agree():
    mean = average_runs([repeat(k, sample="silica", temperature=290.0 + k) for k in range(3)], threshold=10)
    assert mean.attrs["sample"] == "silica"
    assert "temperature" not in mean.attrs


def test_runs_that_do_not_fit_are_refused_by_name():
    other = repeat(1).assign_coords(tau=("tau", TAU * 2, {"units": "s"}))
    with pytest.raises(DataFormatError, match="rep1: its tau differs"):
        average_runs([repeat(0), other])
    with pytest.raises(ConfigurationError, match="at least two runs"):
        average_runs([repeat(0)])
    with pytest.raises(ConfigurationError, match="threshold"):
        average_runs([repeat(0), repeat(1)], threshold=0)


@pytest.mark.filterwarnings("ignore:runs left out of the average:heterodyne_nb.errors.DataWarning")
def test_a_fit_of_an_average_tells_its_runs_and_its_script_repeats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for k in range(5):
        write_dataset(repeat(k, 0.1 if k == 0 else 0.0), tmp_path / f"rep{k}.nc")
    result = hn.fit(average_runs(tmp_path), "kww")
    assert "source" not in result.provenance
    assert result.provenance["averaged"] == ["rep1.nc", "rep2.nc", "rep3.nc", "rep4.nc"]
    assert "averaged: rep1.nc rep2.nc" in result.summary()
    (tmp_path / "again.py").write_text(result.to_script(), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert runpy.run_path("again.py")["result"].values == result.values
