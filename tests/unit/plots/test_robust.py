"""Robust fits as pictures: price, worst case, the worst instrument's map, and the path of radii."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from plot_samples import CONTRAST, SIGMA, TRUTH, frame_times, make_result

from heterodyne_nb import plots
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.plots.robust import relative_changes
from heterodyne_nb.result import FitResult


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


INSTRUMENT: list[dict[str, Any]] = [
    {"name": "q_scale", "value": 0.01, "tolerances": 1.0},
    {"name": "phi_zero_deg", "value": -2.0, "tolerances": -0.5},
]


def robust(method: str, **more: object) -> FitResult:
    """A result that carries what fit_robust certifies."""
    record = {**COMMON, "method": method, **more}
    return FitResult(make_result().dataset.assign_attrs(robust=json.dumps(record)))


COMMON = {
    "nominal": 1.02, "nominal_before": 1.0, "worst_case": 1.5, "worst_case_before": 1.9, "radius": 1.0,
    "radius_rule": "stated", "words": "the worst case is named here", "relative_gap": 3e-10,
}  # fmt: skip


def heatmaps(figure: go.Figure) -> list[np.ndarray]:
    return [trace.z for trace in figure.data if isinstance(trace, go.Heatmap)]


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


def test_price_and_gain_run_from_the_plain_to_the_robust_fit() -> None:
    figure = plots.worst_case(robust("ellipsoidal", perturbation=INSTRUMENT))
    price, gain = figure.data[:2]
    assert (price.name, list(price.y)) == ("data as they are", [1.0, 1.02])
    assert (gain.name, list(gain.y)) == ("worst case", [1.9, 1.5])
    assert list(price.x) == ["plain fit", "robust fit"]
    assert figure.layout.yaxis.title.text == "reduced χ²"
    assert "the worst case is named here" in figure.layout.title.subtitle.text


def test_values_far_apart_stand_on_a_logarithmic_axis() -> None:
    near = plots.worst_case(robust("wasserstein", perturbation={"beta": 1.0}))
    far = plots.worst_case(robust("wasserstein", perturbation={"beta": 1.0}, worst_case_before=65.0))
    assert (near.layout.yaxis.type, far.layout.yaxis.type) == (None, "log")


def test_errors_of_the_instrument_are_bars_in_tolerances() -> None:
    figure = plots.worst_case(robust("ellipsoidal", perturbation=INSTRUMENT))
    bars = figure.data[-1]
    assert list(bars.y) == ["q scale", "zero of φ"]
    assert list(bars.x) == [1.0, -0.5]
    assert "(tolerances)" in figure.layout.xaxis2.title.text
    assert figure.layout.xaxis2.range == (-1.1, 1.1)


def test_parameters_that_a_law_leans_on_are_bars_the_largest_on_top() -> None:
    bars = plots.worst_case(robust("wasserstein", perturbation={"v0": 0.2, "beta": 0.7})).data[-1]
    assert list(bars.y) == ["beta", "v0"]
    np.testing.assert_allclose(bars.x, [70.0, 20.0])


def test_samples_stand_in_order_and_those_that_hold_the_answer_stand_out() -> None:
    found = robust("scenario", scenario_values=[1.3, 1.1, 1.5, 1.5], active_scenarios=[2, 3])
    figure = plots.worst_case(found)
    others, held = figure.data[2:4]
    assert list(others.y) == [1.1, 1.3]
    assert list(held.y) == [1.5, 1.5]
    assert list(held.x) == [3, 4]


def test_the_worst_instruments_map_is_that_of_the_model_there(experiment: xr.Dataset) -> None:
    found = robust(
        "ellipsoidal", perturbation=[*INSTRUMENT, {"name": "baseline", "value": 0.02, "tolerances": 1}]
    )
    fitted, worst, difference = heatmaps(plots.worst_case_maps(experiment, found, q=0.01, phi=0))
    t = frame_times(120)
    shape = ModelFactory.create_model("heterodyne").correlation(
        TRUTH, t[:, None], t[None, :], q=0.0101, phi=-2.0
    )
    drift = 0.02 * 0.5 * np.add.outer(*(np.linspace(-0.5, 0.5, 120),) * 2)
    known = np.isfinite(worst)
    left = (worst - drift)[known]
    design = np.stack([shape[known], np.ones(known.sum())], axis=1)
    (contrast, offset), rest, *_ = np.linalg.lstsq(design, left, rcond=None)
    assert np.sqrt(rest[0] / left.size) < 1e-6
    assert contrast == pytest.approx(CONTRAST, rel=0.1)
    assert offset == pytest.approx(1.0, abs=0.01)
    np.testing.assert_allclose(difference[known], (worst - fitted)[known] / SIGMA, atol=1e-3)


def test_shifted_blocks_of_frames_show_as_stripes(experiment: xr.Dataset) -> None:
    stripes = [{"name": "frame_stripe", "value": v, "tolerances": v} for v in (0.0, 0.0, 0.5, 0.0)]
    found = robust("ellipsoidal", perturbation=stripes)
    _, _, difference = heatmaps(plots.worst_case_maps(experiment, found, q=0.01, phi=0))
    inside, outside = np.nanmean(difference[65:85, :30]), np.nanmean(difference[95:, :30])
    assert inside - outside == pytest.approx(0.5 / SIGMA, rel=0.2)


def test_a_plain_fit_and_a_worst_case_without_a_map_are_errors(
    experiment: xr.Dataset, result: FitResult
) -> None:
    with pytest.raises(ConfigurationError, match="plain fit"):
        plots.worst_case(result)
    with pytest.raises(ConfigurationError, match="no instrument"):
        plots.worst_case_maps(experiment, robust("wasserstein", perturbation={"v0": 1.0}), q=0.01, phi=0)
