import math

import numpy as np
import pytest

from heterodyne_nb.errors import OptimizationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.uncertainty import Identifiability, identifiability
from heterodyne_nb.uncertainty.bands import jacobian
from heterodyne_nb.uncertainty.identifiability import natural_scales

MODEL = ModelFactory.create_model("heterodyne")
HETERODYNE = list(MODEL.parameter_names)
TRUTH = [100.0, 0.2, 5.0, 4180.0, -0.25, 120.0, 1234.5, 0.05, 10.0, 0.3, 0.01, 3.0, 0.2, 12.5]


def heterodyne_matrix(values, noise, azimuths=(0, 30, 60, 90, 120, 150), q=0.005):
    """2 JᵀWJ of a small two-time experiment, by finite differences of the model."""
    model = ModelFactory.create_model("heterodyne")
    t = 0.5 * np.arange(1, 41)
    i, j = np.triu_indices(t.size, 1)

    def everything(p):
        return np.concatenate([model.correlation(p, t[i], t[j], q=q, phi=phi) for phi in azimuths])

    slopes = jacobian(everything, np.array(values))
    return 2 * slopes.T @ slopes / noise**2


def test_errors_of_a_regular_problem_are_those_of_the_inverse():
    rng = np.random.default_rng(0)
    design = rng.normal(size=(200, 4)) * [1.0, 1e-4, 1e5, 30.0]
    found = identifiability(2 * design.T @ design, ["a", "b", "c", "d"], [1.0, 2.0, 3.0, 4.0], sigma2=2.5)
    expected = np.sqrt(np.diag(2.5 * np.linalg.inv(design.T @ design)))
    np.testing.assert_allclose(found.stderr, expected, rtol=1e-10)
    assert found.n_null == 0
    assert isinstance(found, Identifiability)


def test_the_precision_of_every_direction_is_that_of_its_combination():
    rng = np.random.default_rng(1)
    design = rng.normal(size=(60, 3)) @ np.array([[1, 0.9, 0.0], [0, 0.3, 0.2], [0, 0, 2.0]])
    values = [2.0, -3.0, 0.5]
    found = identifiability(2 * design.T @ design, ["a", "b", "c"], values)
    covariance = np.linalg.inv(design.T @ design)
    for direction in found.directions:
        weights = np.array(direction.weights) / np.array(found.scales)
        assert direction.precision == pytest.approx(np.sqrt(weights @ covariance @ weights), rel=1e-8)
    precisions = [direction.precision for direction in found.directions]
    assert precisions == sorted(precisions)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([1.0, 1.0], "a and b only as their sum"),
        ([1.0, -1.0], "a and b only as their difference"),
        ([3.0, 2.0], "a and b only as their product"),
        ([3.0, -2.0], "a and b only as their ratio"),
        ([1.0, 0.25], "a and b only as a + 0.25·b"),
        ([1.0, -0.25], "a and b only as a − 0.25·b"),
        ([1.0, 0.0], "b has no influence on these data"),
    ],
)
def test_an_exact_null_direction_is_found_and_worded(row, said):
    """Data that see only row·(a, b), with a = 2 and b = 3."""
    design = np.outer(np.linspace(1, 2, 20), row)
    found = identifiability(2 * design.T @ design, ["a", "b"], [2.0, 3.0])
    assert found.n_null == 1
    assert found.directions[-1].text == said
    assert said in found.in_words()


def test_two_null_directions_are_told_apart():
    """Columns: a, b only as a sum; c, d only as a ratio; e regular."""
    rng = np.random.default_rng(2)
    x, y, z = rng.normal(size=(3, 50))
    design = np.stack([x, x, 5.0 * y, -2.0 * y, z], axis=1)
    found = identifiability(2 * design.T @ design, list("abcde"), [1.0, 7.0, 2.0, 5.0, 1.0])
    texts = {direction.text for direction in found.directions if direction.kind == "null"}
    assert texts == {"a and b only as their sum", "c and d only as their ratio"}
    assert found.status == ("null", "null", "null", "null", "determined")
    assert found.not_determined == ("a", "b", "c", "d")


def test_units_do_not_decide_what_is_null():
    rng = np.random.default_rng(3)
    design = rng.normal(size=(50, 3))
    for power in (-12, 0, 12):
        unit = np.array([1.0, 10.0**power, 1.0])
        found = identifiability(2 * (design * unit).T @ (design * unit), list("abc"), 1.0 / unit)
        assert found.n_null == 0
        np.testing.assert_allclose(
            np.array(found.stderr) * unit, np.sqrt(np.diag(np.linalg.inv(design.T @ design))), rtol=1e-6
        )


def test_the_heterodyne_model_has_one_exact_null_direction_and_it_is_named():
    found = identifiability(heterodyne_matrix(TRUTH, 1e-4), HETERODYNE, TRUTH, model=MODEL)
    assert found.n_null == 1
    assert found.directions[-1].text == "f0 and f2 only through f0·exp(−f1·f2)"
    assert "fix f2" in found.in_words()
    assert {"f0", "f2"} <= set(found.not_determined)
    assert "phi0" not in found.not_determined


def test_at_a_zero_exponent_the_amplitude_and_the_offset_are_known_only_as_their_sum():
    values = [*TRUTH[:1], 0.0, *TRUTH[2:]]
    found = identifiability(heterodyne_matrix(values, 1e-3), HETERODYNE, values, model=MODEL)
    texts = [direction.text for direction in found.directions if direction.kind == "null"]
    assert "D0_ref and D_offset_ref only as their sum" in texts
    assert "f0 and f2 only through f0·exp(−f1·f2)" in texts
    assert any("D_offset_ref" in line for line in found.suggestions)


def test_a_near_zero_exponent_is_weak_but_not_null():
    values = [*TRUTH[:1], 0.03, *TRUTH[2:]]
    found = identifiability(heterodyne_matrix(values, 1e-2), HETERODYNE, values, model=MODEL)
    assert found.n_null == 1
    weak = [direction for direction in found.directions if direction.kind == "weak"]
    assert any(
        {"D0_ref", "D_offset_ref"} <= set(direction.text.replace(",", "").split()) for direction in weak
    )
    status = dict(zip(found.names, found.status, strict=True))
    assert status["D0_ref"] == "weak"
    assert status["v0"] == "determined"


def test_less_noise_makes_weak_directions_determined_and_leaves_null_ones_null():
    counts = []
    for noise in (1.0, 1e-2, 1e-5):
        found = identifiability(heterodyne_matrix(TRUTH, noise), HETERODYNE, TRUTH, model=MODEL)
        counts.append(
            [sum(d.kind == kind for d in found.directions) for kind in ("determined", "weak", "null")]
        )
    assert [c[2] for c in counts] == [1, 1, 1]
    assert counts[0][0] < counts[1][0] < counts[2][0] == 13


def test_one_angle_across_the_flow_cannot_see_the_velocity():
    """phi0 - phi = 90 degrees: no fringes; v0, beta and v_offset drop out, only phi0 is felt."""
    found = identifiability(heterodyne_matrix(TRUTH, 1e-3, azimuths=(102.5,)), HETERODYNE, TRUTH, model=MODEL)
    assert {"v0", "beta", "v_offset"} <= set(found.not_determined)


def test_sigma2_widens_every_error():
    matrix = heterodyne_matrix(TRUTH, 1e-3)
    narrow, wide = (identifiability(matrix, HETERODYNE, TRUTH, sigma2=s, model=MODEL) for s in (1.0, 9.0))
    finite = np.isfinite(narrow.stderr)
    np.testing.assert_allclose(np.array(wide.stderr)[finite], 3 * np.array(narrow.stderr)[finite])


def test_stated_errors_are_judged_instead_of_those_of_independent_pixels():
    matrix = heterodyne_matrix(TRUTH, 1e-3)
    errors = np.linspace(0.1, 2.0, 14)
    stated = identifiability(matrix, HETERODYNE, TRUTH, covariance=np.diag(errors**2), model=MODEL)
    assert stated.n_null == 1
    kept = [i for i, name in enumerate(HETERODYNE) if name not in ("f0", "f2")]
    np.testing.assert_allclose(np.array(stated.stderr)[kept], errors[kept])


def test_what_the_covariance_says_about_a_null_direction_does_not_matter():
    matrix = np.array([[2.0, 2.0], [2.0, 2.0]]) / 0.01**2
    held = np.diag([0.01**2, 0.0])
    spread = np.full((2, 2), 0.25 * 0.01**2)
    for covariance in (held, spread):
        found = identifiability(
            matrix, ["a", "b"], [2.0, 3.0], covariance=covariance, scales={"a": 1, "b": 1}
        )
        assert found.directions[0].precision == pytest.approx(0.01 / np.sqrt(2))
        assert found.directions[1].text == "a and b only as their sum"


def test_an_amplitude_and_an_exponent_that_blur_are_read_as_their_curve():
    covariance = np.diag([0.9**2, 0.4**2, 1e-4])
    covariance[0, 1] = covariance[1, 0] = 0.95 * 0.9 * 0.4
    scales = {"D0": 1.0, "alpha": 1.0, "D_offset": 1.0}
    found = identifiability(
        np.diag([2.0, 2.0, 2.0]),
        ["D0", "alpha", "D_offset"],
        [1.0, -0.4, 1.0],
        scales=scales,
        covariance=covariance,
        model=ModelFactory.create_model("static_isotropic"),
    )
    assert (
        found.directions[-1].text
        == "D0 and alpha trade off against each other: read J(t) and its band instead"
    )
    assert found.suggestions == ("fix the exponent alpha; a longer run tells them apart",)


def test_a_covariance_of_another_size_is_our_error():
    with pytest.raises(OptimizationError, match="covariance of shape"):
        identifiability(np.eye(2), ["a", "b"], [1.0, 1.0], covariance=np.eye(3))


def test_the_short_form_is_the_words():
    found = identifiability(np.diag([2e4, 2e6]), ["Gamma", "alpha"], [1.0, 1.0])
    assert repr(found) == found.in_words()


def test_a_determined_problem_says_so():
    found = identifiability(np.diag([2e4, 2e6]), ["Gamma", "alpha"], [1.0, 1.0])
    assert found.in_words() == "All 2 parameters are determined; the least well known combination to 1 %."
    assert found.suggestions == ()


def test_a_parameter_without_influence_among_others():
    found = identifiability(np.diag([2e4, 0.0, 2e6]), ["D0", "alpha", "D_offset"], [1.0, 0.5, 1.0])
    assert found.status == ("determined", "null", "determined")
    assert math.isinf(found.stderr[1])
    assert found.directions[-1].text == "alpha has no influence on these data"


def test_nothing_determined_at_all_is_said_and_not_a_crash():
    found = identifiability(np.zeros((2, 2)), ["D0", "alpha"], [1.0, 0.0])
    assert found.in_words().startswith("0 of 2 combinations are determined, 2 not at all.")


def test_the_tables_have_a_row_a_parameter_and_a_row_a_direction():
    found = identifiability(heterodyne_matrix(TRUTH, 1e-3), HETERODYNE, TRUTH, model=MODEL)
    table = found.table()
    assert list(table.index) == HETERODYNE
    assert table.loc["D0_sample", "relative"] == table.loc["D0_sample", "stderr"] / 4180.0
    directions = found.directions_table()
    assert len(directions) == 14
    weights = directions[HETERODYNE].to_numpy()[:13]
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1.0, rtol=1e-5)


def test_notes_are_shown_with_the_words():
    found = identifiability(np.diag([2.0]), ["a"], [1.0], notes=["J_ref at mid-time is 24 ± 3 Å²/s"])
    assert "J_ref at mid-time is 24 ± 3 Å²/s" in found.in_words()


def test_a_hardly_determined_value_is_shown_with_no_more_digits_than_its_error_leaves():
    found = identifiability(np.diag([2 / 700.0**2]), ["D0"], [1234.567])
    assert found.status == ("weak",)
    assert "<td>(1.2 ± 0.7)·10³</td>" in found._repr_html_()
    assert "D0 is hardly determined (standard error 57 %)" in found.in_words()


def test_the_html_escapes_names_and_hides_undetermined_values():
    found = identifiability(np.zeros((1, 1)), ["<script>"], [123.0], scales={"<script>": 7.0})
    html = found._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "not determined" in html
    assert "<td>123" not in html


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        (np.eye(3), "shape"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "NaN"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
        (np.diag([1.0, -1.0]), "symmetric"),
    ],
)
def test_a_wrong_matrix_is_our_error(matrix, said):
    with pytest.raises(OptimizationError, match=said):
        identifiability(matrix, ["a", "b"], [1.0, 1.0])


def test_every_published_parameter_belongs_to_a_curve_of_its_model_or_stands_alone():
    for mode in ModelFactory.names():
        model = ModelFactory.create_model(mode)
        held = {spec.name for spec in model.parameters if spec.held}
        for name, part in model.parts().items():
            if model.one_time or part.part == "direction" or name in held:
                assert part.curve == name, (mode, name)
            else:
                assert part.curve in model.curve_units, (mode, name)


def test_scales_are_shared_within_a_curve_and_follow_the_run():
    scales = natural_scales(MODEL.parts(), dict(zip(HETERODYNE, TRUTH, strict=True)), duration=20.0)
    assert scales["D_offset_sample"] == scales["D0_sample"] == 4180.0
    assert scales["alpha_ref"] == scales["f0"] == scales["f3"] == 1.0
    assert scales["phi0"] == 90.0
    assert scales["f1"] == 0.05
    assert scales["f2"] == 20.0


def test_a_result_judges_only_what_it_varied_and_adds_what_its_curves_say(make_result):
    status = ["free"] * 14
    status[2] = "fixed"
    status[5] = "tied"
    values = [*TRUTH[:1], 0.01, *TRUTH[2:]]
    result = make_result(
        parameters=values, status=status, hessian=heterodyne_matrix(values, 3e-2), sigma2=1.0, bands=None
    )
    found = result.identifiability()
    assert set(HETERODYNE) - set(found.names) == {"D_offset_ref", "D_offset_sample"}
    assert found.directions[-1].text == "f0 and f2 only through f0·exp(−f1·f2)"
    assert any(note.startswith("x_sample at mid-time is 0.5") for note in found.notes)


def test_a_result_without_a_gauss_newton_matrix_cannot_be_judged(make_result, result):
    with pytest.raises(OptimizationError, match="keeps no Gauss-Newton matrix"):
        result.identifiability()
    with pytest.raises(OptimizationError, match="fixed or tied"):
        make_result(status=["fixed"] * 14, hessian=np.eye(14)).identifiability()
