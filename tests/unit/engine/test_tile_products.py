"""Products per tile: they add up to the whole, robust weights are those of the losses, laminar and plugins too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine_problems import (
    every_parameter,
    formula_products,
    formula_z,
    make_problem,
    scaled_difference,
    twin_products,
    used_pixels,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import TWO_TIME

from heterodyne_nb.engine import LOSSES, Problem, Weighting, get_loss, products_at, tile_products_at
from heterodyne_nb.engine.pixels import block_edges
from heterodyne_nb.models import TwoTimeModel

ROBUST = ("huber", "soft_l1", "cauchy", "tukey")


class Concealed(TwoTimeModel):
    """A model whose curves nobody can see, so that only its formula is left: the generic path."""

    def __init__(self, model: TwoTimeModel) -> None:
        self.model = model
        self.name, self.parameters, self.needs_gap = "concealed", model.parameters, model.needs_gap

    def correlation(self, params, t1, t2, *, q, phi=0.0, gap=None):
        return self.model.correlation(params, t1, t2, q=q, phi=phi, gap=gap)


def concealed(problem: Problem) -> Problem:
    names = ("table", "data", "q", "phi", "t", "mask", "sigma", "holes", "gap")
    return Problem(Concealed(problem.model), *(getattr(problem, name) for name in names))


def tile_of_pixel(n: int, clusters: int) -> np.ndarray:
    """Tile number of every pixel, rows t2, written from the definition."""
    cuts = np.unique(np.rint(np.linspace(0, n, min(clusters, n) + 1)).astype(int))
    cluster = np.searchsorted(cuts, np.arange(n), side="right") - 1
    late, early = cluster[:, None], cluster[None, :]
    return np.where(late >= early, late * (late + 1) // 2 + early, -1)


@given(
    mode=st.sampled_from([mode for mode in TWO_TIME if mode != "multicomponent_4"]),
    n=st.one_of(st.integers(3, 30), st.sampled_from([63, 64, 65, 128, 130])),
    clusters=st.integers(1, 14),
    seed=st.integers(0, 10**6),
    masked=st.sampled_from([0.0, 0.2, 0.8]),
    holes=st.sampled_from([0, 7]),
)
@settings(deadline=None, max_examples=40)
def test_tiles_add_up_to_the_whole(mode, n, clusters, seed, masked, holes) -> None:
    problem, theta = make_problem(mode, n, 2, seed, masked=masked, holes=holes)
    wanted = every_parameter(problem)
    tiles, rho = tile_products_at(problem, theta, wanted, clusters)
    count = min(clusters, n)
    assert tiles.shape == (2, count * (count + 1) // 2, len(wanted) + 3, len(wanted) + 3)
    assert rho.shape == tiles.shape[:2]
    whole = products_at(problem, theta, wanted)
    reference = products_at(make_problem(mode, n, 2, seed)[0], theta, wanted)
    assert scaled_difference(tiles.sum(axis=1), whole, np.maximum(whole, reference)) < 1e-11
    np.testing.assert_array_equal(tiles, np.swapaxes(tiles, 2, 3))


@pytest.mark.parametrize("mode", ["heterodyne", "laminar_flow"])
@pytest.mark.parametrize("clusters", [1, 4, 7])
def test_every_tile_holds_the_pixels_of_its_frames(mode: str, clusters: int) -> None:
    problem, theta = make_problem(mode, 90, 2, 3, masked=0.15, holes=11)
    wanted = np.array([0, 4, 6])
    tiles, _ = tile_products_at(problem, theta, wanted, clusters)
    places = tile_of_pixel(90, clusters)
    for b in range(2):
        z, used = formula_z(problem, theta, wanted, b), used_pixels(problem, b)
        for k in range(tiles.shape[1]):
            rows = z[:, (used > 0) & (places == k)]
            assert scaled_difference(tiles[b, k], rows @ rows.T, tiles[b].sum(axis=0)) < 1e-8


@pytest.mark.parametrize("mode", ["heterodyne", "laminar_flow", "concealed"])
@pytest.mark.parametrize("loss", ROBUST)
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_robust_weights_and_costs_are_those_of_the_losses(mode: str, loss: str, scale: float) -> None:
    problem, theta = make_problem(
        "heterodyne" if mode == "concealed" else mode, 70, 2, 4, masked=0.1, holes=9
    )
    problem = concealed(problem) if mode == "concealed" else problem
    contrast, offset = np.array([0.2, 0.31]), np.array([1.01, 0.97])
    rule = get_loss(loss)
    weighting = Weighting(contrast, offset, loss, rule.tuning, scale)
    wanted = np.array([0, 5])
    tiles, rho = tile_products_at(problem, theta, wanted, 3, weighting)
    places = tile_of_pixel(70, 3)
    for b in range(2):
        z, used = formula_z(problem, theta, wanted, b), used_pixels(problem, b)
        residual = (z[-1] - offset[b] - contrast[b] * z[-3]) / (problem.sigma[b] * scale)
        for k in range(tiles.shape[1]):
            inside = (used > 0) & (places == k)
            rows = z[:, inside]
            expected = (rows * rule.weight(residual[inside])) @ rows.T
            assert scaled_difference(tiles[b, k], expected, tiles[b].sum(axis=0)) < 1e-8
            cost = scale**2 * rule.rho(residual[inside] ** 2).sum()
            np.testing.assert_allclose(rho[b, k], cost, rtol=1e-10)


@pytest.mark.parametrize("loss", ROBUST)
@pytest.mark.parametrize("size", [0.0, 1e-9, 0.1, 1.0, 10.0])
def test_robust_weights_are_right_for_residuals_of_every_size(loss: str, size: float) -> None:
    """Noise from far below to far above the tuning constant, on both sides of every kink."""
    problem, theta = make_problem("static_isotropic", 20, 1, 5)
    rule, rng = LOSSES[loss], np.random.default_rng(6)
    m = problem.model.correlation(theta, problem.t[None, :], problem.t[:, None], q=problem.q[0])
    problem.data[0] = 1.0 + 0.2 * m + size * rule.tuning * problem.sigma[0] * rng.uniform(-2, 2, m.shape)
    weighting = Weighting(np.array([0.2]), np.array([1.0]), loss, rule.tuning)
    tiles, rho = tile_products_at(problem, theta, np.zeros(0, int), 1, weighting)
    used = used_pixels(problem, 0) > 0
    residual = (problem.data[0].astype(float) - 1.0 - 0.2 * m)[used] / problem.sigma[0]
    np.testing.assert_allclose(tiles[0, 0, 1, 1], rule.weight(residual).sum(), rtol=1e-12)
    np.testing.assert_allclose(rho[0, 0], rule.rho(residual**2).sum(), rtol=1e-5 if size < 0.1 else 1e-10)


def test_the_linear_loss_gives_every_pixel_the_weight_one_and_costs_chi_square() -> None:
    problem, theta = make_problem("heterodyne", 40, 1, 7)
    weighting = Weighting(np.array([0.2]), np.array([1.0]))
    tiles, rho = tile_products_at(problem, theta, np.zeros(0, int), 2, weighting)
    inner = np.array([0.2, 1.0, -1.0])
    chi2 = np.einsum("i,tij,j->t", inner, tiles[0], inner) / problem.sigma[0] ** 2
    np.testing.assert_allclose(rho[0], chi2, rtol=1e-9)


@pytest.mark.parametrize("clusters", [1, 5])
def test_a_model_without_curves_gives_what_its_curves_would(clusters: int) -> None:
    problem, theta = make_problem("heterodyne", 70, 2, 8, masked=0.2, holes=8)
    wanted = np.array([0, 3, 6, 9, 13])
    plain, _ = tile_products_at(concealed(problem), theta, wanted, clusters)
    curves, _ = tile_products_at(problem, theta, wanted, clusters)
    assert scaled_difference(plain.sum(axis=1), curves.sum(axis=1)) < 1e-7
    np.testing.assert_allclose(plain[:, :, -3:, -3:], curves[:, :, -3:, -3:], rtol=1e-11, atol=1e-13)
    whole = products_at(concealed(problem), theta, wanted)
    assert scaled_difference(whole, products_at(problem, theta, wanted)) < 1e-7


@given(
    n=st.one_of(st.integers(3, 40), st.sampled_from([64, 65, 129])),
    seed=st.integers(0, 10**6),
    masked=st.sampled_from([0.0, 0.3]),
    holes=st.sampled_from([0, 6]),
)
@settings(deadline=None, max_examples=20)
def test_laminar_products_are_those_of_the_formula(n: int, seed: int, masked: float, holes: int) -> None:
    problem, theta = make_problem("laminar_flow", n, 2, seed, masked=masked, holes=holes)
    wanted = every_parameter(problem)
    found, expected = products_at(problem, theta, wanted), formula_products(problem, theta, wanted)
    whole = formula_products(make_problem("laminar_flow", n, 2, seed)[0], theta, wanted)
    assert scaled_difference(found, expected, np.maximum(whole, 1e-24)) < 1e-6
    np.testing.assert_allclose(found[:, 7:, 7:], expected[:, 7:, 7:], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shear", [0.0, 1e-9, 1e-3, 1.0, 1e3])
def test_laminar_products_through_every_size_of_the_argument_of_sin_x_over_x(shear: float) -> None:
    problem, theta = make_problem("laminar_flow", 60, 2, 9)
    theta[3:6] = shear * theta[3], -0.4, 0.1 * shear * theta[5]
    wanted = every_parameter(problem)
    found, expected = products_at(problem, theta, wanted), formula_products(problem, theta, wanted)
    np.testing.assert_allclose(found[:, 7:, 7:], expected[:, 7:, 7:], rtol=1e-10)
    tame = np.ix_(range(2), *2 * [[0, 1, 2, 7, 8, 9] if shear in (0.0, 1e-9, 1e3) else range(10)])
    assert scaled_difference(found[tame], expected[tame]) < 1e-5  # of differences; without shear they vanish
    assert np.all(np.isfinite(found))


@given(n=st.integers(3, 700), clusters=st.integers(1, 20))
@settings(deadline=None, max_examples=100)
def test_clusters_are_about_equal_and_blocks_are_short(n: int, clusters: int) -> None:
    clusters = min(clusters, n)
    edges, cluster = block_edges(n, clusters)
    lengths = np.diff(edges)
    assert (edges[0], edges[-1]) == (0, n)
    assert np.all((lengths >= 1) & (lengths <= 64))
    sizes = np.bincount(cluster, weights=lengths)
    assert len(sizes) == clusters
    assert sizes.max() - sizes.min() <= 1
    assert np.all(np.diff(cluster) >= 0)


def test_masks_differ_from_bin_to_bin() -> None:
    problem, theta = make_problem("heterodyne", 80, 3, 10, masked=0.3)
    assert len(np.unique(problem.mask, axis=0)) == 3
    tiles, _ = tile_products_at(problem, theta, every_parameter(problem), 5)
    assert (
        scaled_difference(tiles.sum(axis=1), twin_products(problem, theta, every_parameter(problem))) < 1e-11
    )


def test_a_loss_with_a_tuning_constant_of_its_own() -> None:
    problem, theta = make_problem("static_isotropic", 20, 1, 11)
    for part in (problem, concealed(problem)):
        weighting = Weighting(np.array([0.2]), np.array([1.0]), "huber", 0.5)
        _, rho = tile_products_at(part, theta, np.zeros(0, int), 1, weighting)
        z, used = formula_z(part, theta, np.zeros(0, int), 0), used_pixels(part, 0) > 0
        residual = (z[-1] - 1.0 - 0.2 * z[-3])[used] / part.sigma[0]
        expected = replace(LOSSES["huber"], tuning=0.5).rho(residual**2).sum()
        np.testing.assert_allclose(rho[0, 0], expected, rtol=1e-10)
