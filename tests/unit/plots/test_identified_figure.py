"""What the data determine, as a picture."""

from __future__ import annotations

import numpy as np
import pytest
from plot_samples import make_result

from heterodyne_nb import plots
from heterodyne_nb.errors import OptimizationError
from heterodyne_nb.uncertainty import identifiability


@pytest.fixture(scope="module")
def found():
    """Three numbers: one well known, one hardly, and two that count only as their sum."""
    hessian = np.diag([2e6, 2.0, 2e4, 2e4])
    hessian[2, 3] = hessian[3, 2] = 2e4
    names, values = ["D0", "alpha", "D_offset", "v0"], [100.0, 0.5, 3.0, 2.0]
    return identifiability(hessian, names, values, scales={"D0": 100.0, "alpha": 1.0, "D_offset": 3, "v0": 3})


def test_weights_of_every_combination_are_drawn_against_the_parameters(found) -> None:
    weights = plots.identifiability(found).data[0]
    assert list(weights.x) == ["D0", "alpha", "D_offset", "v0"]
    expected = np.array([d.weights for d in found.directions])
    largest = np.max(np.abs(expected), axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(weights.z), np.abs(expected / largest), atol=1e-6)
    np.testing.assert_allclose(weights.z.max(axis=1), 1.0, atol=1e-6)


def test_precisions_stand_in_the_row_of_their_combination(found) -> None:
    figure = plots.identifiability(found)
    precision = {row: x for trace in figure.data[1:] for row, x in zip(trace.y, trace.x, strict=True)}
    for k, direction in enumerate(found.directions):
        if np.isfinite(direction.precision):
            assert precision[str(k + 1)] == pytest.approx(direction.precision)
    assert [trace.name for trace in figure.data[1:]] == ["determined", "hardly determined", "not determined"]


def test_what_is_not_determined_is_said_in_words_and_marked_as_infinite(found) -> None:
    figure = plots.identifiability(found)
    null = next(d for d in found.directions if d.kind == "null")
    words = figure.layout.title.subtitle.text.replace("<br>", " ")
    assert f"not determined: {null.text}" in words
    assert "hardly determined: " in words
    assert list(figure.data[-1].text) == ["∞"]
    assert figure.data[-1].x[0] < 10 ** figure.layout.xaxis2.range[1]


def test_the_axes_are_named_and_the_best_known_stands_on_top(found) -> None:
    layout = plots.identifiability(found, theme="dark").layout
    assert layout.xaxis2.title.text == "standard error / scale of the parameters"
    assert layout.yaxis.title.text == "combination"
    assert layout.yaxis.range[0] > layout.yaxis.range[1]


def test_a_result_without_a_matrix_is_an_error() -> None:
    with pytest.raises(OptimizationError, match="Gauss-Newton"):
        plots.identifiability(make_result())
