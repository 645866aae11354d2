"""Reports against golden files; HETERODYNE_NB_GOLDEN=write renews them after a look at the difference."""

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from result_parts import STATUS, VALUES, parts

from heterodyne_nb.models import ModelFactory
from heterodyne_nb.result import FitResult
from heterodyne_nb.result.report import path_table
from heterodyne_nb.result.trust import trust_flags

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"


def check_golden(name, text):
    path = GOLDEN / name
    if os.environ.get("HETERODYNE_NB_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def unconverged(make_result):
    return make_result(
        success=False, chi2=9000.0, message="stopped at the time limit of 2 s", bands={}, bins=None
    )


def test_the_text_report_of_a_heterodyne_fit(result):
    check_golden("report_heterodyne.txt", result.summary())


def test_the_html_report_of_a_heterodyne_fit(result):
    check_golden("report_heterodyne.html", result._repr_html_())


def test_the_text_report_of_a_fit_that_did_not_converge(make_result):
    check_golden("report_unconverged.txt", unconverged(make_result).summary())


def test_the_text_report_of_a_static_fit_with_many_bins():
    model = ModelFactory.create_model("static_isotropic")
    bins = parts()["bins"].isel(bin=np.arange(40) % 4).assign_coords(bin=np.arange(40))
    small = {
        "parameters": [1234.56, -0.123, 0.0],
        "stderr": [5.6, 0.0012, 0.0],
        "status": ["free", "free", "fixed"],
    }
    whole = parts(**small, covariance=None, bands=None, bins=bins, provenance={}, path=[])
    check_golden("report_static.txt", FitResult.from_parts(model, **whole).summary())


def test_a_parameter_that_is_not_determined_shows_no_digits(result):
    line = next(line for line in result.summary().splitlines() if line.startswith("f0 "))
    assert "not determined" in line
    assert "0.3" not in line


def test_warnings_come_before_the_numbers(make_result):
    text = unconverged(make_result).summary()
    assert text.index("!! The fit did not converge: stopped at the time limit of 2 s.") < text.index("D0_ref")
    assert text.startswith("heterodyne fit: NOT CONVERGED")


def test_a_free_parameter_without_an_error_says_so(make_result):
    text = make_result(stderr=[np.nan] * 14, status=["free"] * 14).summary()
    assert text.count("error not known") == 14


def test_the_shift_that_another_parameter_takes_up_is_called_a_convention(make_result):
    errors = np.ones(14)
    errors[11] = np.nan
    text = make_result(stderr=errors, status=["free"] * 14).summary()
    line = next(line for line in text.splitlines() if line.startswith("f2 "))
    assert line.endswith("a convention: only f0·exp(−f1·f2) counts")
    fixed = make_result(stderr=errors, status=["free"] * 11 + ["fixed"] + ["free"] * 2).summary()
    assert "a convention" not in fixed


def test_errors_that_do_not_rest_on_sigma_are_said_to_when_chi_square_is_large(make_result):
    text = "the errors below do not rest on sigma"
    assert text in make_result(chi2=9000.0, uncertainty="dyadic cluster-robust").summary()
    assert text not in make_result(chi2=9000.0, uncertainty="").summary()


def test_runs_of_one_kind_take_one_line_of_the_path(make_result):
    search = [
        {
            "strategy": "gauss_newton",
            "start": "search",
            "iterations": 10,
            "chi2_reduced": c,
            "seconds": 0.5,
            "message": m,
        }
        for c, m in ((1.4, "iteration limit"), (1.1, "converged"), (None, "failed"))
    ]
    last = {
        "strategy": "gauss_newton",
        "start": "all pixels",
        "iterations": 3,
        "chi2_reduced": 1.02,
        "seconds": 0.1,
    }
    table = path_table(make_result(path=[*search, last]).dataset)
    assert table.rows == (
        ("gauss_newton", "search (3 runs)", "30", "1.1", "1.5", "converged"),
        ("gauss_newton", "all pixels", "3", "1.02", "0.1", ""),
    )


class _Checker(HTMLParser):
    void = frozenset({"br", "hr", "img"})

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_every_tag_of_the_html_is_closed_in_order(result):
    checker = _Checker()
    checker.feed(result._repr_html_())
    assert checker.open == []


def test_text_from_outside_is_escaped(make_result):
    nasty = "<img src=x onerror=alert(1)>"
    html = make_result(
        message=nasty,
        method=nasty,
        provenance={"source": nasty, "config": {nasty: nasty}},
        path=[{"strategy": nasty, "fallback": nasty}],
    )._repr_html_()
    assert "<img" not in html
    assert html.count("&lt;img") >= 6


def test_the_html_needs_nothing_from_elsewhere_and_paints_no_white(result):
    html = result._repr_html_()
    assert not re.search(r"https?://|<script|<link|src=", html)
    solid = re.findall(r"background(?:-color)?:\s*(?!transparent|rgba)([^;}]+)", html)
    assert solid == []


def test_the_curves_are_told_at_three_times_with_their_units(result):
    lines = {line.split()[0]: line for line in result.summary().splitlines() if line}
    assert "t = 0.5 s" in lines["curve"]
    assert "t = 20 s" in lines["curve"]
    assert lines["J_sample"].endswith("Å²/s")


def codes(result):
    return [flag.code for flag in result.flags]


def test_flags_name_each_reason_for_doubt(make_result):
    good = make_result(status=["free"] * 14)
    assert codes(good) == []
    assert codes(make_result()) == ["at_bound", "not_determined"]
    assert codes(make_result(status=["free"] * 14, success=False)) == ["not_converged"]
    assert codes(make_result(status=["free"] * 14, chi2=9000.0)) == ["poor_chi2"]
    assert codes(make_result(status=["free"] * 14, chi2=900.0)) == ["small_chi2"]
    assert codes(make_result(status=["free"] * 14, n_data=16)) == ["poor_chi2"]
    fallback = [{"strategy": "trf", "fallback": "gurobi has no licence, trf was used"}]
    assert codes(make_result(status=["free"] * 14, path=fallback)) == ["fallback"]
    poor = parts()["bins"]
    poor["chi2_reduced_bin"] = ("bin", [1.0, 1.0, 9.0, 1.0])
    flagged = make_result(status=["free"] * 14, bins=poor).flags
    assert [flag.code for flag in flagged] == ["poor_bins"]
    assert "q = 0.008 1/Å, phi = -45°" in flagged[0].text
    poor["chi2_reduced_bin"] = ("bin", [0.7, 0.7, 1.2, 0.7])
    assert codes(make_result(status=["free"] * 14, bins=poor)) == []


def test_a_curve_at_0_is_no_bound_that_could_be_widened(make_result):
    status = ["free"] * 14
    status[0] = status[2] = "at bound"  # D0_ref = 100, D_offset_ref = 5: inside their bounds, J_ref touches 0
    result = make_result(status=status)
    (flag,) = result.flags
    assert (flag.code, flag.serious) == ("at_limit", False)
    assert "D0_ref, D_offset_ref" in flag.text
    assert "Widen" not in result.summary()


def test_a_bound_is_serious_where_the_data_pull_beyond_it_or_where_the_user_drew_it(make_result):
    place, specs = STATUS.index("at bound"), ModelFactory.create_model("heterodyne").parameters
    own = np.array([(spec.lower, spec.upper) for spec in specs])
    drawn = own.copy()
    drawn[place, 1] = 0.5 * drawn[place, 1]

    def first(pull, bounds=own, **more):
        values = np.array(VALUES)
        values[place] = bounds[place, 1]
        passing = np.where(np.arange(14) == place, pull, 0.0)
        made = make_result(parameters=values, passing=passing, bounds=bounds, **more)
        return next(flag for flag in made.flags if flag.code == "at_bound")

    assert not first(0.5).serious
    assert first(5.0).serious
    assert first(-5.0).serious
    assert first(np.nan).serious
    assert first(0.5, drawn).serious
    large = 1.6 * make_result().chi2 / make_result().chi2_reduced
    assert first(0.5, chi2=large).serious  # the residuals may be what the bound costs


def test_contrast_and_offset_are_told_where_limits_hold_them_or_data_do_not(make_result):
    def flags(more=None, **levels):
        bins = parts()["bins"].assign({name: ("bin", values) for name, values in levels.items()})
        made = make_result(status=["free"] * 14, bins=bins, **(more or {}))
        return {flag.code: flag.serious for flag in made.flags}

    known = {"contrast_error": [0.01] * 4, "offset_error": [0.01] * 4, "offset_pull": [0.0] * 4}
    held = known | {"contrast": [1.0, 0.2, 0.2, 0.2]}
    assert flags(**known, contrast_pull=[0.0] * 4) == {}
    assert flags(**held, contrast_pull=[1.0, 0, 0, 0]) == {"contrast_limit": False}
    assert flags(**held, contrast_pull=[5.0, 0, 0, 0]) == {"contrast_limit": True}
    # a chi-square that few speckles explain is nothing against a limit; one that they do not is
    large = {"chi2": 1.6 * make_result().chi2 / make_result().chi2_reduced}
    usual, never = ({**large, "goodness": {"chance": chance, "curves": {}}} for chance in (0.04, 0.001))
    ratio = held | {"contrast_pull": [1.0, 0, 0, 0], "speckle_ratio": [1.6] * 4}
    assert flags(usual, **ratio) == {"contrast_limit": False}
    assert flags(never, **ratio) == {"contrast_limit": True, "poor_chi2": True}
    assert flags(large, **ratio) == {"contrast_limit": True, "poor_chi2": True}
    loose = known | {"contrast": [0.3] * 4, "contrast_error": [4.0] * 4}
    assert flags(**loose, contrast_pull=[0.0] * 4) == {"loose_contrast": True}
    assert flags(**known, contrast=[0.0, 0.2, 0.2, 0.2], contrast_pull=[0.0] * 4) == {"no_contrast": False}


def test_a_small_chi2_is_no_serious_matter_where_errors_do_not_rest_on_sigma(make_result):
    naive = make_result(status=["free"] * 14, chi2=900.0, uncertainty="inverse of JᵀJ").flags[0]
    dyadic = make_result(status=["free"] * 14, chi2=900.0, uncertainty="dyadic cluster-robust").flags[0]
    assert (naive.serious, dyadic.serious) == (True, False)
    assert "the errors do not rest" in dyadic.text


def test_a_velocity_whose_exponent_is_hardly_known_is_told_unless_the_velocity_is_well_known(make_result):
    record = make_result(status=["free"] * 14).dataset.copy(deep=True)
    record["stderr"] = record["stderr"].copy()
    record["stderr"].loc[{"parameter": "beta"}] = 1.2
    record["v_lower"], record["v_upper"] = 0.9 * record["v"], 1.1 * record["v"]
    (flag,) = trust_flags(record)
    assert (flag.code, flag.serious) == ("loose_exponent", False)
    assert "beta is known to ± 1.2 only" in flag.text
    assert f"profile of v({record['t'].values[0]:g}) does not" in flag.text
    well_known = record.assign(v_lower=0.99 * record["v"], v_upper=1.01 * record["v"])
    assert trust_flags(well_known) == ()
    record["stderr"].loc[{"parameter": "beta"}] = 0.2
    assert trust_flags(record) == ()


def test_only_undetermined_parameters_are_no_serious_matter(result):
    assert {flag.code: flag.serious for flag in result.flags} == {"at_bound": True, "not_determined": False}


def test_at_which_bound_a_parameter_stands(make_result):
    bounds = np.array([[v - 1.0, v + 1.0] for v in VALUES])
    bounds[7] = VALUES[7], VALUES[7] + 3.0
    assert STATUS[7] == "at bound"
    assert "at its lower bound" in make_result(bounds=bounds).summary()
    bounds[7] = VALUES[7] - 3.0, VALUES[7]
    assert "at its upper bound" in make_result(bounds=bounds).summary()


@pytest.mark.parametrize("mode", ["kww", "heterodyne_equilibrium", "laminar_flow", "multicomponent_3"])
def test_every_mode_can_be_reported(mode):
    model = ModelFactory.create_model(mode)
    values = [spec.default for spec in model.parameters]
    whole = parts(parameters=values, stderr=None, status=None, covariance=None, bands=None)
    result = FitResult.from_parts(model, **whole)
    assert result.summary().startswith(f"{mode} fit: converged")
    assert all(name in result._repr_html_() for name in model.parameter_names)
