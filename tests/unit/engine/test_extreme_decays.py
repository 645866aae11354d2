"""Decays far beyond what exp can hold, exponents at and beyond -1, long runs: no overflow, nothing lost.

Derivatives are differences of curves that may be 1e6 times larger, so they keep nine digits where values keep
twelve.
"""

from __future__ import annotations

import numpy as np
import pytest
from engine_problems import every_parameter, make_problem, scaled_difference, twin_products
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import SEPARABLE

from heterodyne_nb.engine import products_at, tile_products_at

TRANSPORT = {"static_isotropic": [(0, 1, 2)], "heterodyne": [(0, 1, 2), (3, 4, 5)]}


def with_decay(mode: str, n: int, seed: int, total: tuple[float, ...], exponent: float, bins: int = 1):
    """A problem whose components decay by exp(-total) from the first to the last frame, at the smallest q."""
    problem, theta = make_problem(mode, n, bins, seed)
    t = problem.t
    for (amplitude, power, offset), decay in zip(TRANSPORT[mode], total, strict=True):
        theta[[amplitude, power, offset]] = 1.0, exponent, 0.0
        curve = problem.model.terms(theta, t, problem.phi).decay[amplitude // 3]
        theta[amplitude] = decay / (problem.q.min() ** 2 * curve[-1])
    return problem, theta


def agreement(problem, theta, total: float = 1.0) -> float:
    """Agreement with the twin, in units of what a decay of ``exp(-total)`` leaves of the digits."""
    lost = max(1.0, 1e-3 * min(total, 1e7))
    wanted = every_parameter(problem)
    assert (
        scaled_difference(*(f(problem, theta, wanted[:0]) for f in (products_at, twin_products)))
        < 1e-11 * lost
    )
    with np.errstate(over="raise", invalid="raise"):
        found = products_at(problem, theta, wanted)
    assert np.all(np.isfinite(found))
    expected = twin_products(problem, theta, wanted)
    gone = np.einsum("bii->bi", expected) < 1e-26  # decayed away before the first pixel
    dark = gone[:, :, None] | gone[:, None, :]
    assert np.all(np.abs(found[dark]) < 1e-11 * np.abs(expected).max())
    return scaled_difference(np.where(dark, 0.0, found), np.where(dark, 0.0, expected)) / lost


@pytest.mark.parametrize("total", [0.0, 1e-6, 1.0, 30.0, 89.0, 300.0, 1e3, 1e6, 1e12])
@pytest.mark.parametrize("exponent", [0.0, -1.0, -1.9, 1.5])
def test_a_static_map_of_any_decay(total: float, exponent: float) -> None:
    problem, theta = with_decay("static_isotropic", 150, 3, (total,), exponent)
    assert agreement(problem, theta, total) < 3e-9


@pytest.mark.parametrize(
    "total", [(1e-3, 1e3), (1e3, 1e-3), (1.0, 1e6), (1e6, 1e6), (0.0, 1e9), (200.0, 5e3), (0.0, 0.0)]
)
@pytest.mark.parametrize("exponent", [0.0, -1.9])
def test_one_component_may_decay_at_once_and_the_other_never(
    total: tuple[float, float], exponent: float
) -> None:
    problem, theta = with_decay("heterodyne", 140, 4, total, exponent)
    assert agreement(problem, theta, max(total)) < 3e-9


@pytest.mark.parametrize("steps", [20.0, 290.0, 310.0, 700.0])
def test_a_long_decay_inside_a_few_frames_in_the_middle_of_flat_ones(steps: float) -> None:
    """Frame times that pause: everything decays between two frames of one block."""
    problem, theta = with_pause(steps)
    assert agreement(problem, theta, steps) < 3e-9


@pytest.mark.parametrize("steps", [1e5, 1e8])
def test_values_survive_a_pause_of_days(steps: float) -> None:
    problem, theta = with_pause(steps)
    none = np.zeros(0, int)
    found, expected = products_at(problem, theta, none), twin_products(problem, theta, none)
    assert scaled_difference(found, expected) < 1e-15 * steps


def with_pause(steps: float):
    """A heterodyne problem whose run pauses after 40 frames for ``steps`` times its length."""
    problem, theta = make_problem("heterodyne", 100, 2, 5)
    t = problem.t.copy()
    t[40:] += steps * (t[-1] - t[0])
    names = ("model", "table", "data", "q", "phi")
    problem = type(problem)(
        *(getattr(problem, name) for name in names), t, problem.mask, problem.sigma, problem.holes
    )
    theta[[0, 1, 3, 4, 6, 8, 10]] = 0.0
    theta[[2, 5]] = (
        1.0 / (0.01**2 * 20.0),
        0.5 / (0.01**2 * 20.0),
    )  # one decay time in a run without the pause
    return problem, theta


@given(
    mode=st.sampled_from(SEPARABLE[:4]),
    n=st.integers(3, 90),
    seed=st.integers(0, 10**6),
    exponent=st.sampled_from([-2.0, -1.0 - 1e-12, -1.0, -1.0 + 1e-12, 0.0, 2.0]),
)
@settings(deadline=None, max_examples=12)
def test_every_exponent_is_as_good_as_any(mode: str, n: int, seed: int, exponent: float) -> None:
    problem, theta = make_problem(mode, n, 2, seed, exponent=exponent)
    assert agreement(problem, theta) < 3e-9


@pytest.mark.parametrize("total", [(1e3, 1e6), (1.0, 1e4)])
def test_products_per_tile_survive_long_decays_too(total: tuple[float, float]) -> None:
    problem, theta = with_decay("heterodyne", 100, 6, total, -0.5)
    wanted = every_parameter(problem)
    tiles, _ = tile_products_at(problem, theta, wanted, 4)
    assert np.all(np.isfinite(tiles))
    expected = twin_products(problem, theta, wanted)
    gone = np.einsum("bii->bi", expected) < 1e-26
    dark = gone[:, :, None] | gone[:, None, :]
    whole = np.where(dark, 0.0, tiles.sum(axis=1))
    assert scaled_difference(whole, np.where(dark, 0.0, expected)) < 3e-9


def test_a_run_of_three_thousand_frames_in_one_bin() -> None:
    """Many blocks of every size; the expected sums are taken row by row from the formula."""
    n = 3000
    problem, theta = make_problem("heterodyne", n, 1, 9)
    problem.mask[0, 1500:1600] = 0.0
    problem.mask[0, -1] = 0.0
    found = products_at(problem, theta, np.array([5, 8, 12]))[0]
    place = {"q": problem.q[0], "phi": problem.phi[0]}
    expected = np.zeros((2, 3))
    for j in np.flatnonzero(problem.mask[0]):
        used = np.flatnonzero(problem.mask[0, :j])
        m = problem.model.correlation(theta, problem.t[used], problem.t[j], **place)
        row = problem.data[0, j, used].astype(float)
        expected += [[m @ m, m.sum(), m @ row], [m.sum(), len(used), row.sum()]]
    np.testing.assert_allclose(found[3, [3, 4, 5]], expected[0], rtol=1e-11)
    step = np.zeros_like(theta)
    for at, i in enumerate((5, 8, 12)):
        step[:] = 0.0
        step[i] = 1e-4 * abs(theta[i])
        high, low = (products_at(problem, theta + sign * step, step[:0].astype(int))[0] for sign in (1, -1))
        slope = (high - low) / (2 * step[i])
        np.testing.assert_allclose(found[at, 4], slope[0, 1], rtol=1e-6)
        np.testing.assert_allclose(found[at, 5], slope[0, 2], rtol=1e-6)
        np.testing.assert_allclose(2 * found[at, 3], slope[0, 0], rtol=1e-6)
