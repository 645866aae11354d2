"""Contrast and offset: the best ones inside their limits, judged by SciPy's general minimiser."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, minimize

from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.engine import CONTRAST_MODES
from heterodyne_nb.engine.normal import ContrastOffset
from heterodyne_nb.engine.problem import scale_of
from heterodyne_nb.errors import ConfigurationError, ConfigurationWarning

Q, PHI = np.repeat([0.01, 0.02], 4), np.tile([0.0, 40.0, 80.0, 120.0], 2)


def products(seed: int) -> np.ndarray:
    """Of bins whose free contrasts and offsets partly lie outside the limits."""
    rng = np.random.default_rng(seed)
    m = rng.uniform(0, 1, (8, 50))
    data = 1 + rng.uniform(-0.5, 2, (8, 1)) * m + rng.normal(0, 0.1, m.shape)
    z = np.stack([m, np.ones_like(m), data], axis=1)
    return z @ z.transpose(0, 2, 1)


def linear(mode: str, **asked: dict) -> ContrastOffset:
    return ContrastOffset(mode, Q, PHI, resolve_parameters("static_isotropic", asked))


ASKED = {
    "limits": {"contrast": {"max": 0.6}, "offset": {"min": 0.9, "max": 1.1}},
    "offset held": {"contrast": {"max": 0.8}, "offset": {"value": 1.0, "vary": False}},
    "contrast held": {"contrast": {"value": 0.3, "vary": False}, "offset": {"max": 1.05}},
    "prior": {"contrast": {"max": 0.9, "prior": (0.4, 0.1)}},
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("mode", CONTRAST_MODES)
@pytest.mark.parametrize("seed", range(3))
def test_no_pair_inside_the_limits_fits_better(mode: str, asked: str, seed: int) -> None:
    part, sums = linear(mode, **ASKED[asked]), products(seed)
    best = part.solve(sums)
    values = np.stack([best.contrast, best.offset], axis=1)
    assert np.all(values[:, part.free] >= part.lower[part.free] - 1e-9)
    assert np.all(values[:, part.free] <= part.upper[part.free] + 1e-9)

    def chi2(coefficients: np.ndarray) -> float:
        pair = part.base + part.design @ coefficients
        inner = np.column_stack([pair, -np.ones(8)])
        penalty = 0.0
        if asked == "prior":  # one measurement a group of bins that share a contrast
            groups = {"per_bin": 8, "shared": 1, "per_q": 2, "smooth_phi": part.design.shape[2] / 2}[mode]
            penalty = groups / 8 * np.sum((pair[:, 0] - 0.4) ** 2) / 0.1**2
        return float(np.einsum("bi,bij,bj", inner, sums, inner) + penalty)

    kinds = np.flatnonzero(part.free)
    rows = np.concatenate([part.design[:, k] for k in kinds])
    low, high = (np.repeat(limit[kinds], 8) for limit in (part.lower, part.upper))
    start = np.linalg.lstsq(rows, 0.5 * (low + high))[0]
    other = minimize(chi2, start, method="SLSQP", constraints=[LinearConstraint(rows, low, high)])
    own = np.einsum("bi,bij,bj", best.inner, sums, best.inner) + best.penalty
    assert own <= other.fun * (1 + 1e-6)


def test_what_limits_do_not_hold_is_free_in_the_curvature() -> None:
    part = linear("per_bin", contrast={"max": 0.6}, offset={"min": -9.0, "max": 9.0})
    best = part.solve(products(0))
    held = int(np.sum((best.contrast <= 0.0) | (best.contrast >= 0.6)))
    assert 0 < held < 8
    assert best.free.shape == (16, 16 - held)


def test_speckle_contrast_is_between_0_and_1_unless_asked_otherwise() -> None:
    table = resolve_parameters("heterodyne", {})
    assert (table.contrast.lower, table.contrast.upper) == (0.0, 1.0)
    assert "contrast" not in table.to_dict()
    asked = resolve_parameters("heterodyne", {"contrast": {"max": 700.0}})
    assert asked.to_dict()["contrast"] == {"min": 0.0, "max": 700.0}
    assert resolve_parameters("heterodyne", asked.to_dict()).contrast == asked.contrast


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"contrast": {"tie": "alpha"}}, "cannot be tied"),
        ({"contrast": {"min": 0.5, "max": 0.2}}, "lower bound"),
        ({"offset": {"vary": False}}, "no value"),
        ({"offset": 7.0}, "above its upper bound"),
        ({"contrast": {"value": 8.0, "vary": False, "max": 2.0}}, "above its upper bound"),
    ],
)
def test_a_wrong_wish_for_contrast_or_offset_is_told(asked: dict, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        resolve_parameters("static_isotropic", asked)


def test_a_start_value_of_what_is_solved_for_is_said_to_have_no_effect() -> None:
    with pytest.warns(ConfigurationWarning, match="solved for in every step"):
        table = resolve_parameters("static_isotropic", {"contrast": 0.3})
    assert table.contrast.fixed is None


def test_default_limits_follow_the_units_of_the_data() -> None:
    table = resolve_parameters("static_isotropic", {})
    for mean, low, high in ((1.2, 0.8, 2.0), (0.1, -0.2, 1.0), (50.0, 40.0, 100.0)):
        part = ContrastOffset("per_bin", Q, PHI, table, scale_of(mean))
        assert (part.lower[1], part.upper[1]) == pytest.approx((low, high))
        assert (part.lower[0], part.upper[0]) == pytest.approx((0.0, max(1.0, mean if mean > 3 else 1.0)))
    held = resolve_parameters("static_isotropic", {"contrast": {"value": 8.0, "vary": False}})
    assert held.contrast.fixed == 8.0
