"""The fast products against the plain NumPy twin, and the twin against the published formulas."""

from __future__ import annotations

import numba as nb
import numpy as np
import pytest
from engine_problems import (
    chosen_parameters,
    every_parameter,
    formula_products,
    make_problem,
    scaled_difference,
    twin_products,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_models import SEPARABLE
from reference_sums import separable_maps

from heterodyne_nb.engine import products_at

MODES = st.sampled_from(SEPARABLE)
SEEDS = st.integers(0, 10**6)
#: Around the sizes of blocks (16, 64, 128, 512) and far from them.
SIZES = st.one_of(
    st.integers(3, 40), st.sampled_from([63, 64, 65, 127, 128, 129, 144, 145]), st.integers(3, 160)
)


def agreement(problem, theta, wanted) -> float:
    return scaled_difference(products_at(problem, theta, wanted), twin_products(problem, theta, wanted))


@given(mode=MODES, n=SIZES, bins=st.integers(1, 3), seed=SEEDS)
@settings(deadline=None, max_examples=30)
@example(mode="heterodyne", n=300, bins=1, seed=1)
@example(mode="heterodyne", n=257, bins=1, seed=5)
@example(mode="heterodyne", n=16, bins=40, seed=2)
@example(mode="static_isotropic", n=3, bins=1, seed=3)
@example(mode="multicomponent_4", n=3, bins=2, seed=4)
def test_products_are_those_of_the_twin_for_every_model_and_size(mode, n, bins, seed) -> None:
    problem, theta = make_problem(mode, n, bins, seed)
    wanted = chosen_parameters(problem, np.random.default_rng(seed))
    assert agreement(problem, theta, wanted) < 3e-12


@given(
    mode=MODES,
    n=SIZES,
    seed=SEEDS,
    masked=st.sampled_from([0.05, 0.5, 0.9]),
    holes=st.sampled_from([0, 1, 30]),
)
@settings(deadline=None, max_examples=30)
def test_masked_frames_and_unmeasured_pixels_are_as_good_as_absent(mode, n, seed, masked, holes) -> None:
    problem, theta = make_problem(mode, n, 2, seed, masked=masked, holes=holes)
    wanted = chosen_parameters(problem, np.random.default_rng(seed))
    found, expected = products_at(problem, theta, wanted), twin_products(problem, theta, wanted)
    whole = twin_products(
        make_problem(mode, n, 2, seed)[0], theta, wanted
    )  # holes are taken out of the whole
    assert scaled_difference(found, expected, whole) < 3e-12
    np.testing.assert_array_equal(found[:, -2, -2], expected[:, -2, -2])


@pytest.mark.parametrize("where", [[0], [-1], [0, 1, 2], [15, 16], [127, 128], list(range(16, 48)), [0, -1]])
def test_frames_masked_at_the_ends_and_at_block_edges(where: list[int]) -> None:
    problem, theta = make_problem("heterodyne", 150, 2, 7)
    problem.mask[0, where] = 0.0
    problem = type(problem)(*(getattr(problem, name) for name in _FIELDS))
    assert agreement(problem, theta, every_parameter(problem)) < 3e-12


_FIELDS = ("model", "table", "data", "q", "phi", "t", "mask", "sigma", "holes", "gap")


def test_what_masked_frames_hold_does_not_matter() -> None:
    problem, theta = make_problem("heterodyne", 70, 2, 8, masked=0.3)
    before = products_at(problem, theta, every_parameter(problem))
    gone = problem.mask == 0.0
    for b in range(2):
        problem.data[b, gone[b], :] = 1e6
        problem.data[b, :, gone[b]] = -1e6
    problem = type(problem)(*(getattr(problem, name) for name in _FIELDS))
    np.testing.assert_array_equal(products_at(problem, theta, every_parameter(problem)), before)


def test_what_the_upper_triangle_and_the_diagonal_hold_does_not_matter() -> None:
    problem, theta = make_problem("heterodyne", 70, 2, 9)
    before = products_at(problem, theta, every_parameter(problem))
    problem.data[:] = np.where(np.tri(70, k=-1) > 0, problem.data, np.nan)
    np.testing.assert_array_equal(products_at(problem, theta, every_parameter(problem)), before)


def test_a_bin_without_any_used_pixel_has_zero_products() -> None:
    problem, theta = make_problem("heterodyne", 40, 3, 10)
    problem.mask[1] = 0.0
    problem = type(problem)(*(getattr(problem, name) for name in _FIELDS))
    found = products_at(problem, theta, every_parameter(problem))
    np.testing.assert_array_equal(found[1], 0.0)
    assert agreement(problem, theta, every_parameter(problem)) < 3e-12


def test_the_number_of_threads_does_not_matter() -> None:
    """Tasks never share a sum; how a bin is cut into tasks only changes the last digits."""
    problem, theta = make_problem("heterodyne", 300, 1, 11)
    threads, wanted = nb.get_num_threads(), every_parameter(problem)
    try:
        nb.set_num_threads(1)
        alone = products_at(problem, theta, wanted)
        nb.set_num_threads(nb.config.NUMBA_NUM_THREADS)
        together, again = products_at(problem, theta, wanted), products_at(problem, theta, wanted)
    finally:
        nb.set_num_threads(threads)
    assert scaled_difference(together, alone) < 1e-13
    np.testing.assert_array_equal(again, together)


def test_products_add_up_over_bins() -> None:
    problem, theta = make_problem("heterodyne", 90, 4, 12, masked=0.1, holes=5)
    whole = products_at(problem, theta, every_parameter(problem))
    for b in range(4):
        holes = problem.holes[problem.holes[:, 0] == b].copy()
        holes[:, 0] = 0
        one = type(problem)(
            problem.model, problem.table, problem.data[b : b + 1], problem.q[b : b + 1], problem.phi[b : b + 1],
            problem.t, problem.mask[b : b + 1], problem.sigma[b : b + 1], holes,
        )  # fmt: skip
        part = products_at(one, theta, every_parameter(problem))
        assert scaled_difference(part[0], whole[b]) < 1e-13


def test_wanted_parameters_are_rows_of_the_full_products() -> None:
    problem, theta = make_problem("multicomponent_3", 60, 2, 13)
    full = products_at(problem, theta, every_parameter(problem))
    wanted = np.array([1, 4, 12, 22])
    rows = [*wanted, *range(len(theta), len(theta) + 3)]
    assert scaled_difference(products_at(problem, theta, wanted), full[np.ix_(range(2), rows, rows)]) < 1e-13


@pytest.mark.parametrize("mode", SEPARABLE)
@pytest.mark.parametrize("seed", range(3))
def test_the_twin_is_the_published_formula_and_its_derivatives(mode: str, seed: int) -> None:
    problem, theta = make_problem(mode, 25, 2, seed)
    wanted = every_parameter(problem)
    expected = formula_products(problem, theta, wanted)
    found = twin_products(problem, theta, wanted)
    dead = np.einsum("bii->bi", expected) < 1e-18 * np.abs(expected).max()
    assert scaled_difference(found, np.where(dead[:, :, None] | dead[:, None, :], found, expected)) < 2e-7


@pytest.mark.parametrize("mode", SEPARABLE)
def test_the_twin_map_is_the_correlation(mode: str) -> None:
    problem, theta = make_problem(mode, 50, 2, 5)
    terms = problem.model.terms(theta, problem.t, problem.phi)
    for b in range(2):
        m, _ = separable_maps(terms, problem.q[b], b, every_parameter(problem)[:0])
        exact = problem.model.correlation(
            theta, problem.t[:, None], problem.t[None, :], q=problem.q[b], phi=problem.phi[b]
        )
        np.testing.assert_allclose(np.tril(m), np.tril(exact), atol=1e-13)
