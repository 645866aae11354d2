import csv
import json
import math

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from heterodyne_nb import files
from heterodyne_nb.errors import ConfigurationError, DataFormatError, MissingFileError
from heterodyne_nb.result import FitResult
from heterodyne_nb.result.record import SCHEMA_VERSION

FORMATS = [".nc", ".zarr", ".csv", ".json", ".nxs", ".txt"]
COMPLETE = [".nc", ".zarr"]


@pytest.mark.parametrize("suffix", COMPLETE)
def test_a_result_saved_and_loaded_is_equal(result, tmp_path, suffix):
    again = FitResult.load(result.save(tmp_path / f"results{suffix}"))
    assert again == result
    assert again.dataset["t"].attrs == result.dataset["t"].attrs


@pytest.mark.parametrize("suffix", COMPLETE)
@given(
    values=st.lists(st.floats(allow_nan=True), min_size=14, max_size=14),
    message=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    chi2=st.floats(),
)
@settings(deadline=None, max_examples=8)
def test_any_numbers_and_any_message_survive_a_round_trip(
    make_result, tmp_path, suffix, values, message, chi2
):
    result = make_result(stderr=values, message=message, chi2=chi2, t=None, bands=None)
    assert FitResult.load(result.save(tmp_path / f"any{suffix}")) == result


def test_the_netcdf_file_has_the_published_variables_for_a_plain_reader(result, tmp_path):
    with xr.open_dataset(result.save(tmp_path / "results.nc"), engine="h5netcdf") as ds:
        assert ds["parameters"].dims == ds["stderr"].dims == ("parameter",)
        for curve in ("J_ref", "J_sample", "v", "x_sample"):
            assert ds[curve].dims == ds[f"{curve}_lower"].dims == ds[f"{curve}_upper"].dims == ("t",)
        assert ds.attrs["chi2_reduced"] == result.chi2_reduced
        assert ds.attrs["schema_version"] == SCHEMA_VERSION
        assert float(ds["parameters"].sel(parameter="phi0")) == 12.5


def test_the_csv_has_a_row_a_parameter_at_full_precision(result, tmp_path):
    with result.save(tmp_path / "parameters.csv").open(encoding="utf-8") as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream)}
    assert list(rows) == list(result.parameter_names)
    assert float(rows["D0_sample"]["value"]) == 4180.0
    assert rows["D0_sample"]["unit"] == "Å²/s"
    assert rows["f0"]["stderr"] == ""
    assert (rows["beta"]["status"], rows["beta"]["lower"], rows["beta"]["upper"]) == (
        "at bound",
        "-2.0",
        "0.05",
    )


def test_the_json_summary_is_strict_json_with_null_for_what_is_unknown(result, tmp_path):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    text = result.save(tmp_path / "summary.json").read_text(encoding="utf-8")
    summary = json.loads(text, parse_constant=refuse)
    assert summary["parameters"]["f0"]["stderr"] is None
    assert summary["parameters"]["D0_sample"]["value"] == 4180.0
    assert summary["success"] is True
    assert summary["curves"]["v"]["t"] == [0.5, 10.0, 20.0]
    assert summary["curves"]["v"]["unit"] == "Å/s"
    assert summary["bins"][2] == {
        "bin": 2, "q": 0.008, "phi": -45.0, "chi2_reduced_bin": 1.03, "contrast": 0.19, "offset": 0.999
    }  # fmt: skip
    assert summary["provenance"]["source"] == "run_0042.h5"
    assert summary["path"][1]["start"] == "random 1"


def test_the_nexus_file_is_an_nxfit_under_an_nxentry_with_curves_as_nxdata(result, tmp_path):
    with h5py.File(result.save(tmp_path / "results.nxs")) as root:
        entry = root[root.attrs["default"]]
        assert entry.attrs["NX_class"] == "NXentry"
        process = entry["fits/fit"]
        assert process.attrs["NX_class"] == "NXfit"
        assert process["program"][()] == b"heterodyne_nb"
        assert process["version"][()] == b"0.1.0"
        assert json.loads(process["provenance/data"][()])["seed"] == 7
        assert process["figure_of_merit_reduced_chi_square"][()] == result.chi2_reduced
        function = process["global_fit_function"]
        assert function.attrs["NX_class"] == "NXfit_function"
        parameters = function["fit_parameters"]
        assert parameters.attrs["NX_class"] == "NXparameters"
        assert list(parameters) == list(result.parameter_names)
        assert parameters["D0_sample"][()] == 4180.0
        assert parameters["D0_sample"].attrs["units"] == "angstrom^2/s"
        assert parameters["D0_sample"].attrs["error"] == 31.0
        assert parameters["D0_sample"].attrs["vary"]
        assert not parameters["D_offset_sample"].attrs["vary"]
        assert parameters["beta"].attrs["description"] == "at bound"
        shown = entry[entry.attrs["default"]]
        assert shown.attrs["NX_class"] == "NXdata"
        signal = shown[shown.attrs["signal"]]
        np.testing.assert_array_equal(signal, result.dataset[shown.attrs["signal"]])
        assert shown[shown.attrs["axes"][0]].shape == signal.shape
        assert entry["bins"].attrs["signal"] == "contrast"
        assert process["covariance/covariance"].shape == (14, 14)


def test_every_group_of_the_nexus_file_names_its_class(result, tmp_path):
    nameless = []
    with h5py.File(result.save(tmp_path / "results.nxs")) as root:
        root.visititems(lambda name, obj: nameless.append(name) if _nameless(obj) else None)
    assert nameless == []


def test_pandas_reads_the_page_of_text_with_errors_and_units(result, tmp_path):
    text = result.to_text(tmp_path / "fit.txt")
    table = pd.read_csv(tmp_path / "fit.txt", comment="#").set_index("quantity")
    for name, one in result.params.items():
        row = table.loc[name]
        np.testing.assert_allclose(
            [row.value, row.error, row.lower], [one.value, one.error, one.lower], rtol=1e-7
        )
        assert (row.unit, row.status) == (one.unit or "1", one.status)
    curve = table.loc["J_sample"]
    known = result.dataset["J_sample"].sel(t=curve.t.values)
    np.testing.assert_allclose(curve.value, known, rtol=1e-7)
    np.testing.assert_allclose(curve.upper - curve.lower, 80.0, rtol=1e-5)
    np.testing.assert_allclose(curve.error, 40 / 1.959964, rtol=1e-5)
    assert {curve.t.min(), curve.t.max()} == {0.5, 20.0}
    assert table.loc["contrast"].q.tolist() == [0.004, 0.004, 0.008, 0.008]
    head = [line for line in text.splitlines() if line.startswith("# ")]
    for said in (
        "reduced χ² 1.0268",
        f"light: {result.light}",
        "run_0042.h5",
        "numpy 2.0.0",
        "t in s, q in 1/Å",
    ):
        assert any(said in line for line in head), said


def test_the_page_of_a_one_time_fit_has_its_parameters_levels_and_run(one_time_result, tmp_path):
    one_time_result.save(tmp_path / "fit.txt")
    table = pd.read_csv(tmp_path / "fit.txt", comment="#").set_index("quantity")
    np.testing.assert_allclose(table.loc["Gamma"].error, one_time_result.errors["Gamma"], rtol=1e-7)
    np.testing.assert_allclose(
        table.loc["contrast"].error, one_time_result.dataset["contrast_error"], rtol=1e-7
    )
    assert table.loc["offset"].phi.tolist() == [0.0, 45.0, 0.0, 45.0]
    assert "sample silica" in (tmp_path / "fit.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["result", "one_time_result"])
def test_nxcheck_finds_nothing_against_the_nexus_file(kind, request, tmp_path):
    validate = pytest.importorskip(
        "nexusformat.nexus.validate", reason="for this test: pip install 'heterodyne_nb[validators]'"
    )
    saved = request.getfixturevalue(kind).save(tmp_path / "results.nxs")
    for path in ("/", "/entry/fits/fit"):  # a collection is not looked into
        assert validate.validate_file(str(saved), path) == (0, 0)


def _nameless(obj):
    return isinstance(obj, h5py.Group) and "NX_class" not in obj.attrs


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_result_without_curves_and_bins_is_saved_in_every_format(make_result, tmp_path, suffix):
    bare = make_result(t=None, bands=None, bins=None, covariance=None, provenance=None, path=None)
    target = bare.save(tmp_path / f"bare{suffix}")
    assert target.exists()
    if suffix in COMPLETE:
        assert FitResult.load(target) == bare


@pytest.mark.parametrize("suffix", FORMATS)
def test_saving_again_replaces_the_file_and_leaves_nothing_else_behind(result, make_result, tmp_path, suffix):
    target = tmp_path / f"results{suffix}"
    result.save(target)
    make_result(message="second").save(target)
    assert [p.name for p in tmp_path.iterdir()] == [target.name]
    if suffix in COMPLETE:
        assert FitResult.load(target).message == "second"


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(result, tmp_path, monkeypatch, suffix):
    target = result.save(tmp_path / f"results{suffix}")
    before = sorted(p.name for p in target.iterdir()) if target.is_dir() else target.read_bytes()

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(files, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        result.save(target)
    monkeypatch.undo()
    after = sorted(p.name for p in target.iterdir()) if target.is_dir() else target.read_bytes()
    assert after == before
    assert [p.name for p in tmp_path.iterdir()] == [target.name]


def test_a_failed_exchange_of_a_zarr_folder_puts_the_old_one_back(result, make_result, tmp_path, monkeypatch):
    target = result.save(tmp_path / "results.zarr")
    replace, calls = files.replace, []

    def second_fails(*args):
        calls.append(args)
        if len(calls) == 2:
            raise OSError("network share gone")
        return replace(*args)

    monkeypatch.setattr(files, "replace", second_fails)
    with pytest.raises(OSError, match="share gone"):
        make_result(message="second").save(target)
    monkeypatch.undo()
    assert FitResult.load(target) == result


def test_an_old_zarr_folder_is_never_deleted_even_when_it_cannot_be_put_back(result, tmp_path, monkeypatch):
    target = result.save(tmp_path / "results.zarr")
    replace, calls = files.replace, []

    def only_first_works(*args):
        calls.append(args)
        if len(calls) > 1:
            raise OSError("network share gone")
        return replace(*args)

    monkeypatch.setattr(files, "replace", only_first_works)
    with pytest.raises(OSError, match="share gone"):
        result.save(target)
    monkeypatch.undo()
    assert FitResult.load(target) == result


def test_a_folder_of_something_else_is_not_replaced_by_a_zarr_store(result, tmp_path):
    mine = tmp_path / "mine.zarr"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigurationError, match="left alone"):
        result.save(mine)
    assert (mine / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("name", ["results.xlsx", "results", "nowhere/results.nc"])
def test_an_unknown_suffix_or_folder_is_our_error(result, tmp_path, name):
    with pytest.raises(ConfigurationError):
        result.save(tmp_path / name)


def test_a_missing_file_is_our_error(tmp_path):
    with pytest.raises(MissingFileError, match="no such file"):
        FitResult.load(tmp_path / "results.nc")


@pytest.mark.parametrize("suffix", [".csv", ".json", ".nxs", ".txt"])
def test_a_partial_format_says_what_can_be_loaded_instead(result, tmp_path, suffix):
    target = result.save(tmp_path / f"part{suffix}")
    with pytest.raises(ConfigurationError, match=r"\.nc file"):
        FitResult.load(target)


def test_a_truncated_file_is_a_data_format_error(result, tmp_path):
    target = result.save(tmp_path / "results.nc")
    target.write_bytes(target.read_bytes()[:3000])
    with pytest.raises(DataFormatError, match=r"results\.nc.*cannot be read"):
        FitResult.load(target)


def test_text_named_nc_is_a_data_format_error(tmp_path):
    target = tmp_path / "results.nc"
    target.write_text("not HDF5")
    with pytest.raises(DataFormatError, match="cannot be read"):
        FitResult.load(target)


def test_a_damaged_or_foreign_zarr_folder_is_a_data_format_error(result, tmp_path):
    empty = tmp_path / "empty.zarr"
    empty.mkdir()
    with pytest.raises(DataFormatError, match="not a Zarr store"):
        FitResult.load(empty)
    target = result.save(tmp_path / "results.zarr")
    (target / ".zmetadata").write_text("{")
    with pytest.raises(DataFormatError, match="cannot be read"):
        FitResult.load(target)


def test_a_netcdf_file_of_something_else_is_a_data_format_error(tmp_path):
    target = tmp_path / "weather.nc"
    xr.Dataset({"rain": ("day", np.arange(3.0))}).to_netcdf(target, engine="h5netcdf")
    with pytest.raises(DataFormatError, match="not a saved fit result"):
        FitResult.load(target)


def test_special_values_come_back_as_they_were(make_result, tmp_path):
    stderr = [math.nan, math.inf, -0.0, 5e-324, *[1.0] * 10]
    again = FitResult.load(make_result(stderr=stderr).save(tmp_path / "special.nc"))
    np.testing.assert_array_equal(list(again.errors.values()), stderr)
    assert np.signbit(again.errors["D_offset_ref"])
