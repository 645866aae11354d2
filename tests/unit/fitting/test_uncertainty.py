"""Errors that respect correlated pixels: what they are made of, and whether they cover the truth."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from fit_samples import HETERODYNE, PHI, STATIC, near, objective_of, static_maps

from heterodyne_nb.engine import Objective, Tiles
from heterodyne_nb.optimize import create_strategy
from heterodyne_nb.simulate import model_maps
from heterodyne_nb.uncertainty.covariance import Covariance, dyadic_meat, estimate_covariance

MAPS = 40
MIDDLE = float(np.sqrt(0.5 * 20.0))


def fitted(objective: Objective) -> np.ndarray:
    return create_strategy("gauss_newton").optimize(objective, objective.x0).x


def v_at(theta: np.ndarray, t: float = MIDDLE) -> float:
    return float(theta[6] * t ** theta[7] + theta[8])


def v_error(theta: np.ndarray, covariance: np.ndarray, t: float = MIDDLE) -> float:
    slope = np.zeros(14)
    slope[6:9] = t ** theta[7], theta[6] * t ** theta[7] * np.log(t), 1.0
    return float(np.sqrt(slope @ covariance @ slope))


@cache
def repeated() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """v at mid-time, its dyadic and its naive error in repeated experiments."""
    rows = []
    for seed in range(MAPS):
        grid: dict[str, Any] = {"q": [0.009], "phi": PHI, "n_frames": 40, "dt": 0.5}
        ds = model_maps("heterodyne", HETERODYNE, contrast=0.3, noise=0.03, seed=seed, **grid)
        objective = objective_of(ds, "heterodyne", HETERODYNE)
        theta = fitted(objective)
        spread = estimate_covariance(objective, theta)
        rows.append((v_at(theta), v_error(theta, spread.covariance), v_error(theta, spread.naive)))
    return tuple(np.array(rows).T)  # type: ignore[return-value]


def test_with_independent_noise_the_95_per_cent_interval_covers_the_truth() -> None:
    value, error, _ = repeated()
    truth = v_at(np.array(list(HETERODYNE.values())))
    covered = np.mean(np.abs(value - truth) <= 1.96 * error)
    assert 0.85 <= covered <= 1.0
    assert np.mean(error) == pytest.approx(np.std(value), rel=0.3)


def test_the_two_estimates_agree_on_independent_noise() -> None:
    _, error, naive = repeated()
    assert np.mean(error) == pytest.approx(np.mean(naive), rel=0.35)  # four bins: a little cautious
    assert np.mean(error) > 0.95 * np.mean(naive)


def test_with_noise_shared_by_frames_it_covers_too_and_the_naive_one_does_not() -> None:
    rows = []
    asked = {"D0": 300.0, "alpha": {"value": 0.0, "vary": False}, "D_offset": {"value": 0.0, "vary": False}}
    for seed in range(60):
        grid: dict[str, Any] = {"q": [0.02], "phi": PHI, "n_frames": 96, "dt": 0.5}
        law = [300.0, 0.0, 0.0]
        ds = model_maps("static_isotropic", law, contrast=0.2, noise=0.01, dyadic=0.5, seed=seed, **grid)
        objective = objective_of(ds, "static_isotropic", asked)
        theta = fitted(objective)
        spread = estimate_covariance(objective, theta)
        rows.append((theta[0] - 300.0, spread.covariance[0, 0] ** 0.5, spread.naive[0, 0] ** 0.5))
    off, error, naive = np.array(rows).T
    assert np.mean(np.abs(off) <= 1.96 * error) >= 0.85
    assert np.mean(error) == pytest.approx(np.std(off), rel=0.3)
    assert np.mean(np.abs(off) <= 1.96 * naive) < 0.8


@cache
def static_spread(**asked: Any) -> tuple[Objective, np.ndarray, Covariance]:
    objective = objective_of(static_maps(), "static_isotropic", STATIC)
    theta = fitted(objective)
    return objective, theta, estimate_covariance(objective, theta)


def test_scores_add_up_to_half_the_gradient_and_the_matrix_to_half_the_curvature() -> None:
    objective, theta, _ = static_spread()
    theta = theta * np.array([1.05, 0.97, 1.1])  # the scores cancel at the optimum itself
    local = objective.equations(theta)
    tiles = Tiles.at(objective, theta, 6, local=local)
    scores, matrix = tiles.joint_scores, tiles.joint_matrix
    assert scores.shape == (4, 21, 3 + 8)
    internal = objective.normal_equations(theta)
    total = scores.sum(axis=(0, 1))
    np.testing.assert_allclose(2 * total[:3], internal.gradient, rtol=1e-7)
    np.testing.assert_allclose(total[3:], 0.0, atol=1e-6 * np.abs(scores).max())
    inner = matrix[3:, 3:]
    schur = matrix[:3, :3] - matrix[:3, 3:] @ np.linalg.solve(inner, matrix[3:, :3])
    np.testing.assert_allclose(2 * schur, internal.hessian, rtol=1e-6)


def test_the_meat_is_the_sum_over_pairs_of_tiles_that_share_a_cluster() -> None:
    rng = np.random.default_rng(1)
    c, k = 7, 3
    late, early = np.tril_indices(c)
    scores = rng.normal(size=(2, len(late), k)) + rng.normal(size=(2, 1, k))
    expected = np.zeros((k, k))
    for s in scores:
        for i in range(len(late)):
            for j in range(len(late)):
                if {late[i], early[i]} & {late[j], early[j]}:
                    expected += np.outer(s[i], s[j])
    values, vectors = np.linalg.eigh(expected * c / (c - 1))
    expected = (vectors * np.maximum(values, 0)) @ vectors.T
    np.testing.assert_allclose(dyadic_meat(scores), expected, rtol=1e-10)


def test_covariances_are_symmetric_and_never_negative() -> None:
    _, _, spread = static_spread()
    for matrix in (spread.covariance, spread.naive, spread.hessian):
        np.testing.assert_allclose(matrix, matrix.T, rtol=1e-9)
        assert np.linalg.eigvalsh(matrix).min() > -1e-9 * np.linalg.eigvalsh(matrix).max()
    assert not spread.at_bound.any()


@pytest.mark.parametrize("clusters", [2, 5, 12, 25, 500])
def test_any_number_of_clusters_will_do(clusters: int) -> None:
    objective, theta, usual = static_spread()
    spread = estimate_covariance(objective, theta, clusters=clusters)
    root, expected = (np.sqrt(np.diag(s.covariance)) for s in (spread, usual))
    assert np.all((root > 0.2 * expected) & (root < 5 * expected))


@pytest.mark.parametrize("n", [3, 4, 7, 8])
def test_a_run_of_a_few_frames_has_errors_too(n: int) -> None:
    few = static_maps().isel(t=slice(n), t1=slice(n), t2=slice(n))
    objective = objective_of(few, "static_isotropic", {**STATIC, "alpha": {"value": 0.0, "vary": False}})
    spread = estimate_covariance(objective, objective.x0)
    assert np.all(np.isfinite(spread.covariance))


def test_twice_the_data_make_errors_smaller_by_the_root_of_two() -> None:
    """Root mean square over experiments: one estimate from few bins scatters, and is the more cautious the fewer."""
    asked = {**STATIC, "alpha": {"value": -0.4, "vary": False}, "D_offset": {"value": 30.0, "vary": False}}
    errors = []
    for phi in (np.arange(4) * 20.0, np.arange(8) * 20.0):
        variances = []
        for seed in range(8):
            grid: dict[str, Any] = {"q": [0.01], "phi": phi, "n_frames": 60, "dt": 0.5}
            ds = model_maps("static_isotropic", STATIC, contrast=0.2, noise=0.01, seed=seed, **grid)
            objective = objective_of(ds, "static_isotropic", asked)
            variances.append(estimate_covariance(objective, fitted(objective)).covariance[0, 0])
        errors.append(np.sqrt(np.mean(variances)))
    assert errors[0] / errors[1] == pytest.approx(np.sqrt(2), rel=0.25)


def test_fixed_parameters_have_no_variance_and_a_tied_one_that_of_its_target() -> None:
    asked = near(HETERODYNE, share=0.01) | {
        "alpha_sample": {"tie": "alpha_ref"},
        "beta": {"value": -0.4, "vary": False},
    }
    ds = model_maps(
        "heterodyne", HETERODYNE, q=[0.009], phi=PHI, n_frames=40, dt=0.5, contrast=0.3, noise=0.03
    )
    objective = objective_of(ds, "heterodyne", asked)
    covariance = estimate_covariance(objective, fitted(objective)).covariance
    names = list(HETERODYNE)
    assert covariance[names.index("beta"), names.index("beta")] == 0.0
    ref, sample = names.index("alpha_ref"), names.index("alpha_sample")
    assert covariance[ref, ref] == covariance[sample, sample] == covariance[ref, sample] > 0.0


def test_a_prior_sets_the_error_of_what_the_data_do_not_tell() -> None:
    asked = {**STATIC, "D_offset": {"value": 30.0, "prior": (30.0, 1e-3)}}
    objective = objective_of(static_maps(), "static_isotropic", asked)
    theta = fitted(objective)
    assert theta[2] == pytest.approx(30.0, abs=5e-3)
    assert estimate_covariance(objective, theta).naive[2, 2] == pytest.approx(1e-6, rel=0.2)


def test_what_rests_on_a_bound_says_so_and_makes_no_other_look_better_known() -> None:
    asked = {**STATIC, "alpha": {"value": -0.2, "min": -0.25}}
    objective = objective_of(static_maps(), "static_isotropic", asked)
    spread = estimate_covariance(objective, fitted(objective))
    assert spread.at_bound.tolist() == [False, True, False]
    free = static_spread()[2].covariance
    assert np.all(np.diag(spread.covariance) > 0.25 * np.diag(free))


@pytest.mark.parametrize("end", ["first", "last"])
def test_a_fraction_that_rests_at_zero_marks_the_parameters_that_set_its_ends(end: str) -> None:
    grid: dict[str, Any] = {"q": [0.009], "phi": PHI, "n_frames": 40, "dt": 0.5}
    ds = model_maps("heterodyne", HETERODYNE, contrast=0.3, noise=0.03, **grid)
    objective = objective_of(ds, "heterodyne", HETERODYNE)
    z = objective.to_internal(objective.x0)
    z[9 if end == "first" else 10] = 0.0
    spread = estimate_covariance(objective, objective.from_internal(z))
    marked = [name for name, flag in zip(HETERODYNE, spread.at_bound, strict=True) if flag]
    assert marked == ["f0", "f3"]


def test_a_published_bound_that_stops_a_curve_is_told() -> None:
    """A nearly straight fraction is stopped by the bound of f3, though no coordinate is."""
    grid: dict[str, Any] = {"q": [0.009], "phi": PHI, "n_frames": 40, "dt": 0.5}
    ds = model_maps("heterodyne", HETERODYNE, contrast=0.3, noise=0.03, **grid)
    objective = objective_of(ds, "heterodyne", HETERODYNE)
    z = objective.to_internal(objective.x0)
    z[9:12] = np.array([0.8, 0.2, 0.004]) / objective.coordinates.scale[9:12]
    theta = objective.from_internal(z)
    assert theta[12] in objective.bounds[12]
    spread = estimate_covariance(objective, theta)
    assert spread.at_bound[12]


def test_a_direction_without_information_gets_no_error_and_spoils_no_other() -> None:
    """Neither v nor phi0 acts when the sample is absent."""
    absent = HETERODYNE | {"f0": 0.0, "f3": 0.0}
    grid: dict[str, Any] = {"q": [0.009], "phi": PHI, "n_frames": 40, "dt": 0.5}
    ds = model_maps("heterodyne", absent, contrast=0.3, noise=0.03, **grid)
    objective = objective_of(ds, "heterodyne", absent)
    with np.errstate(all="raise"):
        spread = estimate_covariance(objective, objective.x0)
    assert np.all(np.isfinite(spread.covariance))
    assert spread.covariance[6, 6] == 0.0
    assert spread.covariance[2, 2] > 0.0
