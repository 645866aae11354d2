"""Sums over tiles that share frames, corrected for what a fit took up."""

from __future__ import annotations

import numpy as np
import pytest

from heterodyne_nb.uncertainty.covariance import (
    cluster_count,
    corrected_meat,
    degrees_of_freedom,
    dyadic_meat,
    membership,
)


def test_every_tile_off_the_diagonal_holds_two_clusters_and_the_others_one() -> None:
    member = membership(5)
    late, early = np.tril_indices(5)
    assert member.shape == (5, 15)
    assert cluster_count(15) == 5
    np.testing.assert_array_equal(member.sum(axis=0), np.where(late == early, 1, 2))
    assert member.sum(axis=1).tolist() == [5.0] * 5


def test_without_leverage_the_meat_is_the_sum_over_pairs_of_tiles_that_share_frames() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(21, 3))
    found = corrected_meat(scores, np.zeros((21, 3, 3)))
    related = membership(6).T @ membership(6) > 0
    np.testing.assert_allclose(found, np.einsum("ti,tu,uj->ij", scores, related, scores), rtol=1e-12)


def regression(rng: np.random.Generator, shared: float, per_tile: int = 12) -> tuple[float, float, float]:
    """Slope's error², and its variance by corrected and by plain dyads, of one regression on a few tiles."""
    clusters, columns = 6, 4
    late, early = np.tril_indices(clusters)
    tiles = len(late)
    design = rng.normal(size=(tiles, per_tile, columns)) + 0.7 * rng.normal(size=(tiles, 1, columns))
    frames = rng.normal(size=clusters)
    noise = rng.normal(size=(tiles, per_tile)) + shared * (frames[late] + frames[early])[:, None]
    matrix = np.einsum("tpi,tpj->tij", design, design)
    whole = matrix.sum(axis=0)
    step = np.linalg.solve(whole, np.einsum("tpi,tp->i", design, noise))
    scores = np.einsum("tpi,tp->ti", design, noise - design @ step)
    root = np.linalg.cholesky(np.linalg.inv(whole))
    white = scores @ root
    corrected = root @ corrected_meat(white, root.T @ matrix @ root) @ root.T
    plain = root @ corrected_meat(white, np.zeros_like(matrix)) @ root.T
    return step[0] ** 2, corrected[0, 0], plain[0, 0]


@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_the_correction_takes_back_what_the_fit_took_up(shared: float) -> None:
    rng = np.random.default_rng(1)
    truth, corrected, plain = np.mean([regression(rng, shared) for _ in range(800)], axis=0)
    assert plain < 0.88 * truth
    assert 0.95 * truth < corrected < 1.8 * truth  # six clusters and four columns: cautious, not short


def test_a_cluster_that_alone_holds_a_direction_gives_no_infinite_error() -> None:
    scores = np.zeros((3, 2))
    leverage = np.zeros((3, 2, 2))
    leverage[0] = np.diag([1.0, 0.2])
    assert np.all(np.isfinite(corrected_meat(scores, leverage)))


def test_degrees_of_freedom_grow_with_the_bins_and_are_1_for_a_single_tile() -> None:
    one = degrees_of_freedom(
        np.ones((1, 3, 1))
    )  # two clusters: every tile but the diagonal pair shares frames
    np.testing.assert_allclose(one, np.sqrt(9 / 7 * 2))
    np.testing.assert_allclose(degrees_of_freedom(np.ones((8, 3, 1))), 8 * one)
    lonely = np.zeros((2, 78, 2))
    lonely[0, 0, 0] = 3.0
    np.testing.assert_allclose(degrees_of_freedom(lonely), [1.0, 1.0])


def satterthwaite(draws: np.ndarray) -> float:
    """2 mean² / variance of the dyadic estimate of many draws of scores (n, B, T)."""
    related = (membership(6).T @ membership(6) > 0).astype(float)
    values = np.einsum("nbt,tu,nbu->n", draws, related, draws, optimize=True)
    return float(2 * values.mean() ** 2 / values.var())


def test_degrees_of_freedom_lie_between_those_for_noise_of_pixels_and_noise_of_frames() -> None:
    rng = np.random.default_rng(3)
    clusters, bins = 6, 4
    share = rng.uniform(0.5, 1.5, size=(bins, clusters * (clusters + 1) // 2))
    white = satterthwaite(np.sqrt(share) * rng.normal(size=(4000, *share.shape)))
    late, early = np.tril_indices(clusters)
    frames = rng.normal(size=(4000, bins, clusters))
    common = satterthwaite(share * (frames[:, :, late] + frames[:, :, early]))
    assert white < degrees_of_freedom(share[:, :, None])[0] < common


def test_the_plain_meat_scales_with_the_square_of_the_scores() -> None:
    scores = np.random.default_rng(2).normal(size=(2, 21, 3))
    np.testing.assert_allclose(dyadic_meat(10.0 * scores), 100.0 * dyadic_meat(scores), rtol=1e-12)
