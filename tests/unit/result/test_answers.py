"""The sentence that says which further angle would tell two flows apart."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr

from heterodyne_nb.models import ModelFactory
from heterodyne_nb.result.trust import Solution, _angle_that_tells

NAMES = ModelFactory.create_model("heterodyne").parameter_names


def flow(phi0: float) -> Solution:
    return Solution("heterodyne", {**dict.fromkeys(NAMES, 1.0), "phi0": phi0}, 0.0)


@pytest.mark.parametrize(
    ("phi", "flows", "said"),
    [
        ((-40.0, 30.0), {15.0: 60.0, 74.88: 81.79}, "These two angles cannot tell them apart; a third angle"),
        ((0.0, 90.0, 180.0, 270.0), {20.0: 60.0, -20.0: 60.0}, "The angles measured cannot"),
    ],
)
def test_the_angle_named_tells_the_flows_apart(phi: tuple, flows: dict, said: str) -> None:
    record = xr.Dataset({"phi": ("bin", list(phi))}, attrs={"mode": "heterodyne"})
    text = _angle_that_tells(record, [flow(way) for way in flows], [{"v": v} for v in flows.values()])
    assert text.startswith(said)
    below, above, best = map(float, re.findall(r"-?[\d.]+(?=°)", text))
    assert below < best < above
    rates = [np.abs(np.cos(np.radians(way - np.array([below, above, best])))) * v for way, v in flows.items()]
    np.testing.assert_allclose(rates[0][:2], rates[1][:2], rtol=5e-3)
    assert abs(rates[0][2] - rates[1][2]) > 20.0
