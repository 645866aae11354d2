"""What is known and how well: identifiability, jackknife, profiles, goodness of fit, models side by side."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from plot_samples import make_result

from heterodyne_nb import plots
from heterodyne_nb.assess import GoodnessOfFit
from heterodyne_nb.errors import ConfigurationError, OptimizationError
from heterodyne_nb.uncertainty import identifiability


@pytest.fixture
def goodness() -> GoodnessOfFit:
    shared = np.array([[1.0, np.nan, np.nan], [-4.0, 0.5, np.nan], [2.0, 0.0, 1.5]])
    data = {
        "shared": (("block2", "block1"), shared),
        "shared_by_age": ("age", [1.0, -4.0, 1.5, 0.0, 1.5]),
        "block_start": ("block1", [0.5, 10.5, 20.5]),
        "block_end": ("block1", [10.0, 20.0, 30.0]),
        "speckle_ratio": ("bin", [1.0, 1.1, 0.9, 3.0]),
        "speckle_chance": ("bin", [1.0, 1.0, 1.0, 0.001]),
    }
    coords = {
        "age": [5.0, 10.0, 15.0, 20.0, 25.0],
        "q": ("bin", [0.01] * 4),
        "phi": ("bin", [0.0, 30.0, 60.0, 90.0]),
    }
    return GoodnessOfFit(
        xr.Dataset(
            data, coords=coords, attrs={"p_structure": 0.001, "p_size": 0.4, "curves": "{}", "bins": 9}
        )
    )


@pytest.fixture(scope="module")
def combinations():
    """Three numbers: one well known, one hardly, and two that count only as their sum."""
    hessian = np.diag([2e6, 2.0, 2e4, 2e4])
    hessian[2, 3] = hessian[3, 2] = 2e4
    names, values = ["D0", "alpha", "D_offset", "v0"], [100.0, 0.5, 3.0, 2.0]
    return identifiability(hessian, names, values, scales={"D0": 100.0, "alpha": 1.0, "D_offset": 3, "v0": 3})


@pytest.fixture
def compared() -> SimpleNamespace:
    ds = xr.Dataset(
        {
            "numbers": ("mode", [51, 62]),
            "chi2_reduced": ("mode", [12.0, 0.8]),
            "clic": ("mode", [5000.0, 0.0]),
            "bic": ("mode", [4000.0, 0.0]),
            "held_out": ("mode", [13.0, 0.9]),
            "held_out_fold": (("mode", "fold"), [[20.0, 30.0, 25.0, 25.0], [2.0, 2.0, 2.0, 2.0]]),
        },
        coords={"mode": ["static_anisotropic", "heterodyne"]},
    )
    return SimpleNamespace(dataset=ds, chosen="heterodyne", verdict=lambda: "The data ask for heterodyne.")


@pytest.fixture
def profiles() -> xr.Dataset:
    """One profile that is a parabola, one that steepens and ends at a bound, with fewer points."""
    position = np.array([np.linspace(-3, 3, 13), np.append(np.linspace(0, 2, 9), [np.nan] * 4)])
    root = np.array([np.linspace(-3, 3, 13), np.append(np.linspace(-1, 1, 9) ** 3 * 1.5, [np.nan] * 4)])
    return xr.Dataset(
        {
            "position": (("quantity", "point"), position),
            "root": (("quantity", "point"), root),
            "value": ("quantity", [0.0, 1.0]),
            "stderr": ("quantity", [1.0, np.nan]),
            "lower": ("quantity", [-1.96, -np.inf]),
            "upper": ("quantity", [1.96, 2.0]),
            "lower_end": ("quantity", ["reached", "open"]),
            "upper_end": ("quantity", ["reached", "bound"]),
            "unit": ("quantity", ["deg", "1"]),
        },
        coords={"quantity": ["phi0", "alpha"]},
        attrs={"level": 0.95},
    )


def by_name(figure, name: str, panel: str = "x") -> list:
    return [trace for trace in figure.data if trace.name == name and trace.xaxis == panel]


def test_the_shared_residual_is_a_symmetric_map_in_errors(goodness: GoodnessOfFit) -> None:
    tiles = plots.goodness_of_fit(goodness).data[0]
    np.testing.assert_allclose(tiles.z, tiles.z.T)
    assert tiles.z[1, 0] == -4.0
    assert (tiles.zmin, tiles.zmax) == (-4.0, 4.0)
    np.testing.assert_allclose(tiles.x, [0.5, 10.5, 20.5, 30.0])


def test_findings_stand_above_and_the_course_along_the_age_below(goodness: GoodnessOfFit) -> None:
    figure = plots.goodness_of_fit(goodness)
    assert figure.layout.title.text == goodness.verdict()
    words = figure.layout.title.subtitle.text.replace("<br>", " ")
    assert all(finding in words for finding in goodness.findings)
    np.testing.assert_allclose(figure.data[1].y, goodness.dataset["shared_by_age"])
    assert figure.layout.xaxis2.title.text == "age (s)"
    assert figure.layout.yaxis2.title.text == "shared residual (errors)"


def test_something_else_is_refused(goodness: GoodnessOfFit) -> None:
    with pytest.raises(ConfigurationError, match="no goodness of fit"):
        plots.goodness_of_fit(goodness.dataset)


def test_weights_of_every_combination_are_drawn_against_the_parameters(combinations) -> None:
    weights = plots.identifiability(combinations).data[0]
    assert list(weights.x) == ["D0", "alpha", "D_offset", "v0"]
    expected = np.array([d.weights for d in combinations.directions])
    largest = np.max(np.abs(expected), axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(weights.z), np.abs(expected / largest), atol=1e-6)
    np.testing.assert_allclose(weights.z.max(axis=1), 1.0, atol=1e-6)


def test_precisions_stand_in_the_row_of_their_combination(combinations) -> None:
    figure = plots.identifiability(combinations)
    precision = {row: x for trace in figure.data[1:] for row, x in zip(trace.y, trace.x, strict=True)}
    for k, direction in enumerate(combinations.directions):
        if np.isfinite(direction.precision):
            assert precision[str(k + 1)] == pytest.approx(direction.precision)
    assert [trace.name for trace in figure.data[1:]] == ["determined", "hardly determined", "not determined"]


def test_what_is_not_determined_is_said_in_words_and_marked_as_infinite(combinations) -> None:
    figure = plots.identifiability(combinations)
    null = next(d for d in combinations.directions if d.kind == "null")
    words = figure.layout.title.subtitle.text.replace("<br>", " ")
    assert f"not determined: {null.text}" in words
    assert "hardly determined: " in words
    assert list(figure.data[-1].text) == ["∞"]
    assert figure.data[-1].x[0] < 10 ** figure.layout.xaxis2.range[1]


def test_the_axes_are_named_and_the_best_known_stands_on_top(combinations) -> None:
    layout = plots.identifiability(combinations, theme="dark").layout
    assert layout.xaxis2.title.text == "standard error / scale of the parameters"
    assert layout.yaxis.title.text == "combination"
    assert layout.yaxis.range[0] > layout.yaxis.range[1]


def test_a_result_without_a_matrix_is_an_error() -> None:
    with pytest.raises(OptimizationError, match="Gauss-Newton"):
        plots.identifiability(make_result())


def test_every_mode_has_its_row_and_the_chosen_one_is_marked(compared: SimpleNamespace) -> None:
    figure = plots.model_comparison(compared)
    rows = list(figure.data[0].y)
    assert rows[0] == "static anisotropic<br>51 numbers"
    assert rows[1].startswith("<b>▶ heterodyne")
    np.testing.assert_allclose(figure.data[0].x, [12.0, 0.8])
    assert figure.layout.title.subtitle.text == "The data ask for heterodyne."


def test_criteria_are_differences_and_the_best_stands_at_the_edge(compared: SimpleNamespace) -> None:
    clic, bic = plots.model_comparison(compared).data[1:3]
    assert (clic.name, bic.name) == ("CLIC", "BIC")
    np.testing.assert_allclose(clic.customdata, [5000.0, 0.0])
    np.testing.assert_allclose(clic.x, [5000.0, 0.5])


def test_angles_left_out_carry_the_scatter_of_their_folds(compared: SimpleNamespace) -> None:
    held = plots.model_comparison(compared).data[3]
    np.testing.assert_allclose(held.x, [13.0, 0.9])
    folds = np.array([20.0, 30.0, 25.0, 25.0])
    expected = 13.0 * np.sqrt(4) * folds.std(ddof=1) / folds.sum()
    np.testing.assert_allclose(held.error_x.array, [expected, 0.0])


def test_without_folds_there_are_two_panels_and_something_else_is_refused(compared: SimpleNamespace) -> None:
    compared.dataset = compared.dataset.drop_vars(["held_out", "held_out_fold"])
    assert len(plots.model_comparison(compared).data) == 3
    with pytest.raises(ConfigurationError, match="no comparison of models"):
        plots.model_comparison({"heterodyne": 1})


def test_points_of_a_profile_are_squares_of_the_signed_root(profiles: xr.Dataset) -> None:
    figure = plots.profile(profiles)
    (points,) = by_name(figure, "points")
    np.testing.assert_allclose(points.y, profiles["root"].values[0] ** 2)
    (second,) = by_name(figure, "points", "x2")
    assert len(second.x) == 9
    assert figure.layout.xaxis.title.text == "phi0 (deg)"


def test_the_parabola_of_a_profile_without_skew_lies_on_it(profiles: xr.Dataset) -> None:
    figure = plots.profile(profiles)
    (parabola,), (line,) = by_name(figure, "parabola"), by_name(figure, "profile")
    np.testing.assert_allclose(parabola.y, line.y, atol=1e-9)
    assert by_name(figure, "parabola", "x2") == []  # no standard error, no parabola


def test_interval_and_threshold_are_those_of_the_level(profiles: xr.Dataset) -> None:
    figure = plots.profile(profiles)
    (shade,) = by_name(figure, "interval")
    assert (min(shade.x), max(shade.x)) == (-1.96, 1.96)
    np.testing.assert_allclose([shape.y0 for shape in figure.layout.shapes], 3.841459, rtol=1e-5)
    (open_ended,) = by_name(figure, "interval", "x2")
    assert (min(open_ended.x), max(open_ended.x)) == (0.0, 2.0)


def test_an_end_that_was_not_reached_is_said_above_its_panel(profiles: xr.Dataset) -> None:
    first, second = (note.text for note in plots.profile(profiles).layout.annotations)
    assert "end" not in first
    assert "lower end not found" in second
    assert "upper end at a bound" in second


def test_the_pull_of_every_group_is_drawn_with_the_verdict_above() -> None:
    table = pd.DataFrame([[0.2, -3.0], [0.1, 0.4]], index=["phi = 0°", "phi = 45°"], columns=["v", "phi0"])
    jackknife = SimpleNamespace(
        influence=table,
        verdict=lambda: "phi = 0° pulls phi0",
        dataset=xr.Dataset(attrs={"over": "phi"}),
    )
    figure = plots.jackknife(jackknife)
    (pulls,) = figure.data
    np.testing.assert_allclose(pulls.z, table.values, rtol=1e-6)
    assert (pulls.zmin, pulls.zmax) == (-3.0, 3.0)
    assert figure.layout.title.subtitle.text == "phi = 0° pulls phi0"
    assert figure.layout.yaxis.title.text == "angle left out"


@pytest.mark.parametrize("draw", [plots.profile, plots.jackknife])
def test_what_is_something_else_is_refused_with_what_is_expected(draw) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        draw({"phi0": 1.0})
