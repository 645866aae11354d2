import numpy as np
import pytest
from result_parts import STATUS, VALUES, parts

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.result import FitResult, batch_table

FREE = ["free"] * 14


def test_parameters_stand_against_the_coordinate(make_result):
    fits = [make_result(parameters=np.array(VALUES) * factor, status=FREE) for factor in (1.0, 1.1, 1.2)]
    table = batch_table(fits, "q", [0.004, 0.006, 0.008], unit="1/Å")
    np.testing.assert_allclose(table["parameters"].sel(parameter="D0_sample"), [4180.0, 4598.0, 5016.0])
    np.testing.assert_array_equal(table["q"], [0.004, 0.006, 0.008])
    assert table["q"].attrs["units"] == "1/Å"
    assert table["parameters"].dims == ("q", "parameter")
    assert table["trusted"].all()
    assert table.attrs["mode"] == "heterodyne"
    assert table["offset"].values == pytest.approx(3 * [1.0005])
    assert table["contrast"].dims == ("q",)


def test_each_doubt_has_its_own_column_and_its_words(make_result):
    stuck = [*FREE[:7], "at bound", *FREE[8:]]
    fits = [
        make_result(status=FREE),
        make_result(status=stuck),
        make_result(status=FREE, success=False, message="stopped by hand"),
        make_result(status=FREE, chi2=9000.0),
        make_result(status=[*FREE[:9], "not determined", *FREE[10:]]),
        make_result(
            status=FREE,
            solutions=[{"parameters": [*VALUES[:13], VALUES[13] + 50], "chi2": 3190.0, "rise": 0.5}],
        ),
    ]
    table = batch_table(fits, "file", list("abcdef"))
    assert table["bounds_hit"].values.tolist() == [False, True, False, False, False, False]
    assert table["not_converged"].values.tolist() == [False, False, True, False, False, False]
    assert table["poor_chi2"].values.tolist() == [False, False, False, True, False, False]
    assert table["unidentified"].values.tolist() == [False, False, False, False, True, False]
    assert table["ambiguous"].values.tolist() == [False, False, False, False, False, True]
    assert table["trusted"].values.tolist() == [True, False, False, False, True, False]
    assert "stopped by hand" in str(table["flags"].sel(file="c").values)
    assert str(table["flags"].sel(file="a").values) == ""


def test_curves_stand_beside_each_other_with_their_bands(make_result):
    fits = [make_result(parameters=np.array(VALUES) * factor, status=FREE) for factor in (1.0, 1.1)]
    table = batch_table(fits, "q", [0.004, 0.006])
    for number, one in enumerate(fits):
        for name in one.curve_names:
            assert table[name].dims == ("q", "t")
            np.testing.assert_array_equal(table[name].isel(q=number), one.dataset[name])
            np.testing.assert_array_equal(table[f"{name}_upper"].isel(q=number), one.dataset[f"{name}_upper"])
    assert table["v"].attrs["units"] == "Å/s"


def test_fits_of_other_times_leave_the_rest_of_a_curve_open(make_result):
    whole = make_result(status=FREE)
    half = FitResult(whole.dataset.isel(t=slice(0, whole.dataset.sizes["t"] // 2)))
    table = batch_table([whole, half], "age", [1.0, 2.0])
    assert np.isfinite(table["v"].sel(age=1.0)).all()
    known = np.isfinite(table["v"].sel(age=2.0)).values
    assert known.sum() == half.dataset.sizes["t"]
    assert known[: known.sum()].all()


def test_without_values_the_fits_are_counted(result):
    assert batch_table([result, result])["index"].values.tolist() == [0, 1]


def test_the_table_can_be_saved(result, tmp_path):
    table = batch_table([result, result], "age", [1.0, 2.0])
    table.to_netcdf(tmp_path / "batch.nc", engine="h5netcdf")
    assert STATUS[7] == str(table["status"].sel(age=1.0, parameter="beta").values)


def test_what_cannot_stand_in_one_table_is_our_error(result):
    static = ModelFactory.create_model("static_isotropic")
    other = FitResult.from_parts(
        static, **parts(parameters=[1.0, 0.0, 0.0], stderr=None, status=None, covariance=None, bands=None)
    )
    with pytest.raises(ConfigurationError, match="no results"):
        batch_table([])
    with pytest.raises(ConfigurationError, match="several modes: heterodyne, static_isotropic"):
        batch_table([result, other])
    with pytest.raises(ConfigurationError, match="3 values of q for 1 results"):
        batch_table([result], "q", [1, 2, 3])
