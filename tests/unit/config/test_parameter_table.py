"""resolve_parameters with a mode and a mapping: what the optimiser is given, and every error on the way."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from heterodyne_nb.config.parameters import PARAMETERS, ParameterSpec, mode_parameters, resolve_parameters
from heterodyne_nb.errors import ConfigurationError, ConfigurationWarning


def message_of(mode, parameters, **kwargs) -> str:
    with pytest.raises(ConfigurationError) as caught:
        resolve_parameters(mode, parameters, **kwargs)
    return str(caught.value)


def test_without_requests_the_table_holds_the_defaults_and_says_none_was_given():
    table = resolve_parameters("heterodyne")
    specs = PARAMETERS["heterodyne"]
    assert table.names == tuple(s.name for s in specs)
    np.testing.assert_array_equal(table.values, [s.default for s in specs])
    np.testing.assert_array_equal(table.bounds, [(s.lower, s.upper) for s in specs])
    assert table.vary.all()
    assert not table.given.any()
    assert table.units[6] == "Å/s"


def test_a_value_bounds_role_and_prior_are_taken_over():
    table = resolve_parameters(
        "static_isotropic",
        {
            "D0": {"value": 50, "min": 1, "max": 99, "prior": (40, 5)},
            "alpha": 0.5,
            "D_offset": {"value": 2, "vary": False},
        },
    )
    np.testing.assert_array_equal(table.values, [50, 0.5, 2])
    assert (table.lower[0], table.upper[0]) == (1, 99)
    assert table.prior == ((40.0, 5.0), None, None)
    np.testing.assert_array_equal(table.vary, [True, True, False])
    assert table.role == ("free", "free", "fixed")


def test_numpy_numbers_and_booleans_are_accepted():
    table = resolve_parameters(
        "kww", {"Gamma": np.float32(2), "alpha": {"value": np.int64(1), "vary": np.False_}}
    )
    np.testing.assert_array_equal(table.values, [2, 1])
    np.testing.assert_array_equal(table.vary, [True, False])


def test_a_tied_parameter_follows_the_end_of_its_chain():
    with pytest.warns(ConfigurationWarning, match=r"value 7 is not used.*tied to D0_ref = 5"):
        table = resolve_parameters(
            "heterodyne",
            {
                "D0_sample": {"value": 7, "tie": "D_offset_ref"},
                "D_offset_ref": {"tie": "D0_ref"},
                "D0_ref": 5,
            },
        )
    sample, offset = table.index("D0_sample"), table.index("D_offset_ref")
    assert table.tie[sample] == table.tie[offset] == "D0_ref"
    assert table.values[sample] == table.values[offset] == 5
    assert not table.vary[[sample, offset]].any()
    assert table.vary[table.index("D0_ref")]
    assert table.given[offset]


def test_a_tied_group_has_the_bounds_all_its_members_allow():
    table = resolve_parameters(
        "heterodyne", {"alpha_ref": {"min": -1, "max": 1}, "alpha_sample": {"tie": "alpha_ref", "min": -0.5}}
    )
    for name in ("alpha_ref", "alpha_sample"):
        assert (table.lower[table.index(name)], table.upper[table.index(name)]) == (-0.5, 1)


def test_a_tied_group_without_common_bounds_is_an_error():
    text = message_of(
        "heterodyne",
        {
            "alpha_ref": {"value": -1, "min": -2, "max": 0},
            "alpha_sample": {"tie": "alpha_ref", "min": 1, "max": 2},
        },
    )
    assert "alpha_ref and alpha_sample are tied, but their bounds have no value in common" in text


def test_a_default_start_outside_the_given_bounds_moves_to_their_middle():
    table = resolve_parameters("static_isotropic", {"D0": {"min": 1e4, "max": 3e4}})
    assert table.values[0] == 2e4
    assert not table.given[0]


def test_an_alias_is_understood():
    table = resolve_parameters("laminar_flow", {"gamma_dot_t0": 0.25})
    assert table.values[table.index("gamma_dot_0")] == 0.25


def test_a_table_is_returned_as_it_is():
    table = resolve_parameters("kww")
    assert resolve_parameters(table) is table


def test_the_table_goes_through_its_own_dict_form_unchanged():
    table = resolve_parameters(
        "heterodyne", {"f2": {"value": 0, "vary": False}, "alpha_ref": {"tie": "alpha_sample"}}
    )
    again = resolve_parameters("heterodyne", table.to_dict())
    assert again.to_dict() == table.to_dict()
    assert again.tie == table.tie


def test_the_arrays_cannot_be_changed():
    table = resolve_parameters("kww")
    with pytest.raises(ValueError, match="read-only"):
        table.values[0] = 3


def test_tables_compare_by_content():
    assert resolve_parameters("kww", {"Gamma": 2}) == resolve_parameters("kww", {"Gamma": 2})
    assert resolve_parameters("kww", {"Gamma": 2}) != resolve_parameters("kww", {"Gamma": 3})


def test_text_and_html_name_every_parameter_with_its_unit():
    table = resolve_parameters("heterodyne", {"f2": {"value": 0, "vary": False}})
    assert "13 free of 14 parameters" in str(table)
    for name, unit in zip(table.names, table.units, strict=True):
        assert name in str(table)
        assert f"<td>{unit}</td>" in table._repr_html_()


def test_a_plugin_brings_its_own_parameters():
    specs = (ParameterSpec("rate", "1/s", 1.0, 0.0, 10.0, "a rate"),)
    table = resolve_parameters("my_model", {"rate": 2.0}, specs=specs)
    assert table.names == ("rate",)
    assert "did you mean 'rate'?" in message_of("my_model", {"rat": 2.0}, specs=specs)


def test_components_are_counted_by_n_components():
    assert len(mode_parameters("multicomponent", 3)) == len(
        resolve_parameters("multicomponent", n_components=3)
    )
    assert "phi0_3" in resolve_parameters("multicomponent", n_components=3).names


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"D0_rf": 1.0}, "parameters.D0_rf: unknown parameter 'D0_rf'"),
        ({"D0_rf": 1.0}, "did you mean 'D0_ref'?"),
        ({"D0_ref": -1.0}, "start value -1 of D0_ref is below its lower bound 0 (default)"),
        ({"D0_ref": -1.0}, "change the value, or set this parameter's bounds"),
        ({"D0_ref": {"value": 50, "max": 20}}, "start value 50 of D0_ref is above its upper bound 20"),
        ({"D0_ref": "12"}, "parameters.D0_ref: '12' is not a number"),
        ({"D0_ref": True}, "True is not a number"),
        ({"D0_ref": float("nan")}, "parameters.D0_ref: nan is not finite"),
        ({"D0_ref": {"max": float("inf")}}, "parameters.D0_ref.max: inf is not finite"),
        ({"D0_ref": {"min": 5, "max": 5}}, "lower bound 5 is not below upper bound 5"),
        ({"D0_ref": {"max": -5}}, "lower bound 0 (default) is not below upper bound -5"),
        ({"D0_ref": {"valu": 5}}, "parameters.D0_ref.valu: unknown field 'valu'"),
        ({"D0_ref": {"valu": 5}}, "did you mean 'value'?"),
        ({"D0_ref": {"vary": "no"}}, "'no' is neither true nor false"),
        ({"D0_ref": {"vary": False}}, "is fixed but has no value"),
        ({"D0_ref": {"prior": (1, 0)}}, "parameters.D0_ref.prior.sigma: 0 is not positive"),
        ({"D0_ref": {"prior": (1, -2)}}, "-2 is not positive"),
        ({"D0_ref": {"prior": 3}}, "3 is not a prior; allowed: two numbers: (mu, sigma)"),
        ({"D0_ref": {"prior": (float("inf"), 1)}}, "parameters.D0_ref.prior.mu: inf is not finite"),
        ({"D0_ref": {"tie": "D0_sampl"}}, "did you mean 'D0_sample'?"),
        ({"D0_ref": {"tie": "D0_ref"}}, "D0_ref is tied to itself: D0_ref -> D0_ref"),
        (
            {"D0_ref": {"tie": "D0_sample"}, "D0_sample": {"tie": "D0_ref"}},
            "D0_ref is tied to itself: D0_ref -> D0_sample -> D0_ref",
        ),
        ({"D0_ref": {"tie": "v0"}}, "D0_ref (Å²/s) cannot equal v0 (Å/s)"),
        ({"D0_ref": {"value": 1, "vary": False, "tie": "D0_sample"}}, "both fixed and tied to D0_sample"),
        ({"phi0": 1.0, "phi_0": 2.0}, "'phi0' is given twice, by its name and by an alias"),
    ],
)
def test_each_mistake_is_named(parameters, expected):
    assert expected in message_of("heterodyne", parameters)


def test_all_mistakes_are_listed_at_once():
    text = message_of("heterodyne", {"D0_rf": 1.0, "alpha_ref": "x", "v0": {"prior": (0, -1)}})
    assert text.startswith("3 problems")
    for part in ("D0_rf", "'x' is not a number", "sigma"):
        assert part in text


@pytest.mark.parametrize(
    ("mode", "n_components", "expected"),
    [
        ("heterodine", None, "did you mean 'heterodyne'?"),
        ("multicomponent", None, "n_components: is missing"),
        ("multicomponent", 1, "n_components: is 1"),
        ("heterodyne", 3, "fixed number of components"),
    ],
)
def test_a_wrong_mode_or_number_of_components_is_an_error(mode, n_components, expected):
    assert expected in message_of(mode, None, n_components=n_components)


def test_a_prior_on_a_fixed_parameter_is_noted():
    with pytest.warns(ConfigurationWarning, match="the prior of a fixed parameter has no effect"):
        resolve_parameters("kww", {"alpha": {"value": 1, "vary": False, "prior": (1, 0.1)}})


def test_a_plain_request_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolve_parameters("heterodyne", {"D0_ref": 5.0, "alpha_ref": {"tie": "alpha_sample"}})
