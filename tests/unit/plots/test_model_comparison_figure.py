"""Several modes side by side."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from heterodyne_nb import plots
from heterodyne_nb.errors import ConfigurationError


@pytest.fixture
def found() -> SimpleNamespace:
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


def test_every_mode_has_its_row_and_the_chosen_one_is_marked(found: SimpleNamespace) -> None:
    figure = plots.model_comparison(found)
    rows = list(figure.data[0].y)
    assert rows[0] == "static anisotropic<br>51 numbers"
    assert rows[1].startswith("<b>▶ heterodyne")
    np.testing.assert_allclose(figure.data[0].x, [12.0, 0.8])
    assert figure.layout.title.subtitle.text == "The data ask for heterodyne."


def test_criteria_are_differences_and_the_best_stands_at_the_edge(found: SimpleNamespace) -> None:
    clic, bic = plots.model_comparison(found).data[1:3]
    assert (clic.name, bic.name) == ("CLIC", "BIC")
    np.testing.assert_allclose(clic.customdata, [5000.0, 0.0])
    np.testing.assert_allclose(clic.x, [5000.0, 0.5])


def test_angles_left_out_carry_the_scatter_of_their_folds(found: SimpleNamespace) -> None:
    held = plots.model_comparison(found).data[3]
    np.testing.assert_allclose(held.x, [13.0, 0.9])
    folds = np.array([20.0, 30.0, 25.0, 25.0])
    expected = 13.0 * np.sqrt(4) * folds.std(ddof=1) / folds.sum()
    np.testing.assert_allclose(held.error_x.array, [expected, 0.0])


def test_without_folds_there_are_two_panels_and_something_else_is_refused(found: SimpleNamespace) -> None:
    found.dataset = found.dataset.drop_vars(["held_out", "held_out_fold"])
    assert len(plots.model_comparison(found).data) == 3
    with pytest.raises(ConfigurationError, match="no comparison of models"):
        plots.model_comparison({"heterodyne": 1})
