"""Profiles, jackknife and the path of radii as pictures."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from heterodyne_nb import plots
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.robust import relative_changes


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


@pytest.fixture
def path() -> xr.Dataset:
    t = np.array([1.0, 2.0, 4.0])
    v = np.array([[10.0, 20.0, 0.0], [11.0, 20.0, 1.0], [12.0, 18.0, 1.0]])
    return xr.Dataset(
        {
            "nominal": ("radius", [1.0, 1.1, 1.4]),
            "worst_case": ("radius", [1.0, 1.5, 2.0]),
            "worst_case_nominal": ("radius", [1.0, 1.8, 3.0]),
            "v": (("radius", "t"), v, {"units": "Å/s"}),
        },
        coords={"radius": [0.0, 0.5, 1.0], "t": t},
        attrs={"method": "ellipsoidal", "auto_radius": 0.5},
    )


def by_name(figure, name: str, panel: str = "x") -> list:
    return [trace for trace in figure.data if trace.name == name and trace.xaxis == panel]


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


def test_the_path_shows_price_and_gain_against_the_radius(path: xr.Dataset) -> None:
    figure = plots.radius_path(path)
    for name in ("nominal", "worst_case", "worst_case_nominal"):
        assert any(list(trace.y) == path[name].values.tolist() for trace in figure.data)
    assert figure.layout.xaxis.title.text == "radius (tolerances)"
    assert [shape.x0 for shape in figure.layout.shapes] == [0.5]


def test_curves_along_the_path_are_changes_against_the_plain_fit(path: xr.Dataset) -> None:
    (last,) = by_name(plots.radius_path(path), "radius 1", "x2")
    np.testing.assert_allclose(last.y, [20.0, -10.0, np.nan])
    np.testing.assert_allclose(relative_changes(np.zeros((2, 2))), np.full((2, 2), np.nan))


def test_a_rule_beyond_the_path_is_said_and_not_drawn(path: xr.Dataset) -> None:
    figure = plots.radius_path(path.assign_attrs(auto_radius=9.0))
    assert not figure.layout.shapes
    assert "the rule of this method takes radius 9" in figure.layout.title.subtitle.text


def test_one_radius_is_no_path(path: xr.Dataset) -> None:
    with pytest.raises(ConfigurationError, match="one radius"):
        plots.radius_path(path.isel(radius=[0]))
    with pytest.raises(ConfigurationError, match="worst_case"):
        plots.radius_path(path.drop_vars("worst_case"))


def test_the_pull_of_every_group_is_drawn_with_the_verdict_above() -> None:
    table = pd.DataFrame([[0.2, -3.0], [0.1, 0.4]], index=["phi = 0°", "phi = 45°"], columns=["v", "phi0"])
    jackknife = SimpleNamespace(
        influence=table,
        verdict=lambda: "phi = 0° pulls phi0",
        dataset=xr.Dataset(attrs={"over": "phi"}),
    )
    figure = plots.influence(jackknife)
    (pulls,) = figure.data
    np.testing.assert_allclose(pulls.z, table.values, rtol=1e-6)
    assert (pulls.zmin, pulls.zmax) == (-3.0, 3.0)
    assert figure.layout.title.subtitle.text == "phi = 0° pulls phi0"
    assert figure.layout.yaxis.title.text == "angle left out"


@pytest.mark.parametrize("draw", [plots.profile, plots.influence])
def test_what_is_something_else_is_refused_with_what_is_expected(draw) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        draw({"phi0": 1.0})
