import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.result import FitResult, record

FIXTURE = Path(__file__).parents[2] / "fixtures" / "results_schema_1.nc"


def rewritten(result, target, **attrs):
    """Save a result with attributes changed as no writer of ours would."""
    ds = result.dataset.assign_attrs(attrs)
    ds.to_netcdf(target, engine="h5netcdf")
    return target


def test_a_file_of_schema_version_1_loads_with_what_it_knew():
    result = FitResult.load(FIXTURE)
    assert result.mode == "static_isotropic"
    assert result.values == {"D0": 1000.0, "alpha": -0.5, "D_offset": 0.0}
    assert result.errors["D0"] == 12.0
    assert result.status == {"D0": "free", "alpha": "free", "D_offset": "fixed"}
    assert result.chi2_reduced == 1.04
    assert np.isnan(result.chi2)
    np.testing.assert_allclose(result.curve("J")["upper"], 1010.0 * np.array([0.5, 1.0, 1.5]) ** -0.5)
    assert result.dataset["unit"].values.tolist() == ["Å²/s", "1", "Å²/s"]


def test_a_migrated_result_can_be_reported_and_saved_in_the_present_version(tmp_path):
    result = FitResult.load(FIXTURE)
    assert "static_isotropic fit" in result.summary()
    again = FitResult.load(result.save(tmp_path / "now.nc"))
    assert again == result
    assert again.dataset.attrs["schema_version"] == record.SCHEMA_VERSION


def test_every_older_version_has_a_migration():
    assert sorted(record.MIGRATIONS) == list(range(1, record.SCHEMA_VERSION))


def test_a_newer_schema_version_is_refused_with_advice(result, tmp_path):
    target = rewritten(result, tmp_path / "future.nc", schema_version=record.SCHEMA_VERSION + 1)
    with pytest.raises(DataFormatError, match=r"future\.nc.*newer.*\n.*\n.*upgrade"):
        FitResult.load(target)


@pytest.mark.parametrize("version", ["two", 0, -1])
def test_a_schema_version_that_is_none_is_refused(result, tmp_path, version):
    with pytest.raises(DataFormatError, match="schema_version is"):
        FitResult.load(rewritten(result, tmp_path / "odd.nc", schema_version=version))


def test_an_incomplete_result_names_everything_it_lacks(result, tmp_path):
    ds = result.dataset.drop_vars(["stderr", "unit"])
    del ds.attrs["mode"]
    ds.to_netcdf(tmp_path / "part.nc", engine="h5netcdf")
    with pytest.raises(DataFormatError, match="no variable stderr, no variable unit, no attribute mode"):
        FitResult.load(tmp_path / "part.nc")


def test_parameters_of_the_wrong_shape_are_refused(tmp_path):
    with xr.open_dataset(FIXTURE, engine="h5netcdf") as ds:
        odd = ds.load().drop_vars("parameter").rename(parameters="old")
    odd["parameters"] = odd["old"].expand_dims(run=2)
    odd.to_netcdf(tmp_path / "odd.nc", engine="h5netcdf")
    with pytest.raises(DataFormatError, match="dimensions"):
        FitResult.load(tmp_path / "odd.nc")


def test_loading_does_not_touch_the_file(tmp_path):
    copy = tmp_path / "copy.nc"
    shutil.copy(FIXTURE, copy)
    FitResult.load(copy)
    assert copy.read_bytes() == FIXTURE.read_bytes()
