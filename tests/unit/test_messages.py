"""What a person sees first of a warning or a wrong name."""

import sys
import warnings

import pytest

import heterodyne_nb
from heterodyne_nb.errors import ConfigurationError, DataWarning


def test_a_warning_points_at_the_line_that_called_the_package():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        line = sys._getframe().f_lineno + 1
        heterodyne_nb.example_dataset()
    (dead_bin,) = [one for one in said if issubclass(one.category, DataWarning)]
    assert (dead_bin.filename, dead_bin.lineno) == (__file__, line)


def test_a_misspelt_name_of_the_package_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match="did you mean 'plots'"):
        heterodyne_nb.plot  # noqa: B018
    with pytest.raises(AttributeError, match=r"it offers .*'fit'"):
        heterodyne_nb.something_else_entirely  # noqa: B018


def test_a_fit_of_a_shear_cell_asks_for_its_gap_before_anything_is_read():
    with pytest.raises(ConfigurationError, match="laminar_flow needs the gap") as told:
        heterodyne_nb.fit(heterodyne_nb.example_dataset(), "laminar_flow")
    assert "pass gap=" in str(told.value)


def test_a_start_value_out_of_bounds_is_answered_with_bounds_in_the_unit_of_the_parameter():
    data = heterodyne_nb.example_dataset()
    with pytest.raises(ConfigurationError, match=r"-2 \(default\) to 2 \(default\);"):
        heterodyne_nb.fit(data, parameters={"alpha_ref": 5})
    with pytest.raises(ConfigurationError, match=r"Å/s"):
        heterodyne_nb.fit(data, parameters={"v0": 1e9})
