"""What the bins share in their residuals."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from heterodyne_nb import plots
from heterodyne_nb.assess import Criticism
from heterodyne_nb.errors import ConfigurationError


@pytest.fixture
def found() -> Criticism:
    shared = np.array([[1.0, np.nan, np.nan], [-4.0, 0.5, np.nan], [2.0, 0.0, 1.5]])
    data = {
        "shared": (("block2", "block1"), shared),
        "shared_by_age": ("age", [1.0, -4.0, 1.5, 0.0, 1.5]),
        "block_start": ("block1", [0.5, 10.5, 20.5]),
        "block_end": ("block1", [10.0, 20.0, 30.0]),
        "chi2_reduced": ("angle", [1.0, 1.1, 0.9, 2.0]),
        "chi2_score": ("angle", [0.0, 0.5, -0.5, 9.0]),
        "worse_by": ("angle", [1.0, 1.1, 0.9, 2.0]),
    }
    coords = {"age": [5.0, 10.0, 15.0, 20.0, 25.0], "angle": [0.0, 30.0, 60.0, 90.0]}
    return Criticism(xr.Dataset(data, coords=coords, attrs={"p_structure": 0.001, "p_runs": 0.4, "bins": 9}))


def test_the_shared_residual_is_a_symmetric_map_in_errors(found: Criticism) -> None:
    tiles = plots.goodness_of_fit(found).data[0]
    np.testing.assert_allclose(tiles.z, tiles.z.T)
    assert tiles.z[1, 0] == -4.0
    assert (tiles.zmin, tiles.zmax) == (-4.0, 4.0)
    np.testing.assert_allclose(tiles.x, [0.5, 10.5, 20.5, 30.0])


def test_findings_stand_above_and_the_course_along_the_age_below(found: Criticism) -> None:
    figure = plots.goodness_of_fit(found)
    assert figure.layout.title.text == found.verdict()
    words = figure.layout.title.subtitle.text.replace("<br>", " ")
    assert all(finding in words for finding in found.findings)
    np.testing.assert_allclose(figure.data[1].y, found.dataset["shared_by_age"])
    assert figure.layout.xaxis2.title.text == "age (s)"
    assert figure.layout.yaxis2.title.text == "shared residual (errors)"


def test_something_else_is_refused(found: Criticism) -> None:
    with pytest.raises(ConfigurationError, match="no criticism"):
        plots.goodness_of_fit(found.dataset)
