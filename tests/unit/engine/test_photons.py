"""Products of photons with the model's columns are those of the map the photons would make, and of its definition."""

from __future__ import annotations

import numba as nb
import numpy as np
import pytest
from engine_problems import scaled_difference
from reference_sums import separable_maps

from heterodyne_nb import simulate
from heterodyne_nb.engine import FrameProblem, Objective, Problem, Tiles, problem_from_frames, products_at
from heterodyne_nb.engine import photons as module
from heterodyne_nb.engine.columns import fill_columns, problem_columns
from heterodyne_nb.engine.photons import photon_products
from heterodyne_nb.engine.pixel_clusters import pair_fields
from heterodyne_nb.errors import ConfigurationError, DataWarning
from heterodyne_nb.fitting.fitting import parameter_table
from heterodyne_nb.frames import FrameSet, Partition, open_frames
from heterodyne_nb.models import ModelFactory

HETERODYNE = simulate.example_truth()["parameters"]
MULTI = [50.0, -0.2, 5.0, 800.0, -0.3, 40.0, 60.0, -0.2, 10.0, 0.3, -0.01, 0.3, 20.0]
MULTI += [300.0, -0.1, 10.0, 30.0, 0.0, 5.0, 0.1, -0.01, 0.05, 70.0]


def _frames(n: int = 90, **changed: object) -> FrameSet:
    axes = {
        "q": [0.006, 0.009],
        "phi": [0.0, 70.0],
        "n_frames": n,
        "dt": 0.5,
        "n_pixels": 130,
        "mean_counts": 0.5,
    }
    return simulate.frames("heterodyne", HETERODYNE, **{**axes, **changed})


def _even_photons(n: int, pixels: int) -> FrameSet:
    """Frames of 128 photons each over so many pixels: c2 is then a float32 number exactly."""
    rng = np.random.default_rng(5)
    counts = np.zeros((n, 2, pixels), np.uint16)
    for frame in counts.reshape(-1, pixels):
        np.add.at(frame, rng.integers(0, pixels, 128), 1)
    labels = np.repeat([[1], [2]], pixels, axis=1)
    return open_frames(counts, partition=Partition(labels, [0.006, 0.009], [0.0, 70.0]), dt=0.5)


def _both_roads(frames: FrameSet, mode: str = "heterodyne") -> tuple[FrameProblem, Problem]:
    model = ModelFactory.create_model(mode, n_components=3 if mode == "multicomponent" else None)
    table = parameter_table(model, None)
    one, other = (problem_from_frames(frames, model, table, via=via) for via in ("frames", "map"))
    assert isinstance(one, FrameProblem)
    assert not isinstance(other, FrameProblem)
    return one, other


def _theta(mode: str) -> np.ndarray:
    return np.array(
        {
            "heterodyne": list(HETERODYNE.values()),
            "static_isotropic": [300.0, -0.3, 20.0],
            "multicomponent": MULTI,
        }[mode]
    )


@pytest.mark.parametrize("rate", [0.003, 0.3, 30.0, 900.0])
def test_q_and_p_follow_their_definition_however_fast_the_decay(rate: float) -> None:
    rng = np.random.default_rng(1)
    pixels, n, parts = 60, 150, 5
    counts = rng.poisson(rng.uniform(0.0, 0.6, (pixels, 1)), (pixels, n)).astype(np.uint16)
    counts[7] = 0
    scale = rng.uniform(0.5, 2.0, pixels)
    place, frame = np.nonzero(counts)
    start = np.concatenate([[0], np.cumsum((counts > 0).sum(axis=1))])
    inverse = np.where(rng.random(n) < 0.1, 0.0, rng.uniform(1.0, 3.0, n))
    f = np.cumsum(rng.uniform(0, rate, (parts, n)) * np.arange(parts)[:, None], axis=1)
    c = rng.standard_normal((parts, n))
    q, p = np.zeros((2, 3, parts, n))
    photon_products(
        frame.astype(np.int32), counts[place, frame], start, 1 / (pixels * scale**2), np.array([0, 20, 21, pixels]), f,
        c, inverse, q, p, True,
    )  # fmt: skip
    x = counts / scale[:, None] * inverse
    decay = np.exp(-np.abs(f[:, :, None] - f[:, None, :]))
    for g, some in enumerate((slice(0, 20), slice(20, 21), slice(21, None))):
        c2 = np.tril(x[some].T @ x[some] / pixels, -1)
        expected_q = np.einsum("ts,rs,rts->rt", c2, c, decay)
        expected_p = np.einsum("ts,rt,rts->rs", c2, c, decay)
        np.testing.assert_allclose(q[g], expected_q, atol=1e-12 * np.abs(expected_q).max())
        np.testing.assert_allclose(p[g], expected_p, atol=1e-12 * np.abs(expected_p).max())


def test_long_runs_are_swept_tile_by_tile_with_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = _frames(2 * module.TILE + 300, n_pixels=12, q=0.006, phi=0.0)
    photons, n = frames.photons, frames.n_frames
    f, c = np.cumsum(np.full((1, n), 0.01), axis=1), np.ones((1, n))
    q, p = np.zeros((2, 1, 1, n))
    inverse = 1 / frames.intensity[0].clip(1e-3)
    edges = photons.first
    photon_products(
        photons.frame, photons.count, photons.start, np.full(12, 1 / 12), edges, f, c, inverse, q, p, True
    )
    x = photons.dense(slice(0, 12), np.arange(n), inverse, n)
    state, expected = np.zeros(12), np.zeros(n)
    for t in range(n):
        expected[t] = x[:, t] @ state / 12
        state = (state + x[:, t]) * np.exp(-0.01)
    np.testing.assert_allclose(q[0, 0], expected, rtol=1e-11, atol=1e-12 * expected.max())
    assert q.sum() == pytest.approx(p.sum(), rel=1e-12)


@pytest.mark.parametrize("mode", ["heterodyne", "static_isotropic", "multicomponent"])
@pytest.mark.parametrize("masked", [False, True])
def test_both_roads_give_the_same_products_to_nine_figures(mode: str, masked: bool) -> None:
    frames = _even_photons(120, 64)
    if masked:
        frames = frames.mask_frames([(30, 41), 77, 78])
    one, other = _both_roads(frames, mode)
    theta, wanted = _theta(mode), np.arange(len(one.table))
    expected = products_at(other, theta, wanted)
    assert scaled_difference(products_at(one, theta, wanted), expected) < 1e-12
    found, whole = (Objective(problem).equations(theta, derivatives=False).chi2 for problem in (one, other))
    assert found == pytest.approx(whole, rel=1e-9)
    np.testing.assert_array_equal(one.sigma, other.sigma)


def test_both_roads_agree_with_smoothing_and_dark_frames_to_the_rounding_of_maps() -> None:
    frames = _frames(mean_counts=0.02)
    assert not frames.usable.all(), "some frames have no photon"
    static = 1 + np.indices(frames.partition.shape)[1] // 3
    part = Partition(frames.partition.labels, frames.q, frames.phi, static)
    frames = open_frames(frames.photons.in_time_order(), partition=part, dt=0.5, n_frames=90)
    assert np.ptp(frames.scale) > 0
    one, other = _both_roads(frames)
    theta, wanted = _theta("heterodyne"), np.arange(14)
    assert scaled_difference(products_at(one, theta, wanted), products_at(other, theta, wanted)) < 1e-8


@pytest.mark.parametrize("way", ["frames", "pixels", "tiles"])
def test_the_sum_of_squares_is_the_same_by_frames_and_pixels_and_near_it_by_tiles(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = _frames(1200, n_pixels=400, q=0.006, phi=[0.0]).mask_frames([(100, 140)])
    one, other = _both_roads(frames)
    monkeypatch.setattr(module.PhotonData, "_way", lambda self, b: way)
    monkeypatch.setattr(module, "_CELLS", 15)
    found = one.data._squares(0)
    if way == "tiles":
        assert "15 × 15 cells" in one.data.sampled
        spread = other.sum_squares[0] - other.sum_data[0] ** 2 / other.count[0]
        assert abs(found - other.sum_squares[0]) < 0.03 * spread
    else:
        assert not one.data.sampled
        assert found == pytest.approx(other.sum_squares[0], rel=1e-8)


def test_fields_of_a_frame_are_sums_over_the_pairs_that_contain_it() -> None:
    one, _ = _both_roads(_frames(40).mask_frames([(11, 14)]))
    theta, wanted = _theta("heterodyne"), np.array([0, 2, 4, 6, 9, 12, 13])
    contrast, offset = np.array([0.3, 0.5, 0.7, 0.9]), np.array([0.9, 1.0, 1.1, 1.2])
    found = pair_fields(problem_columns(one, theta, wanted), one.mask, contrast, offset)
    terms = one.model.terms(theta, one.t, one.phi)
    for b in range(4):
        m, dm = separable_maps(terms, one.q[b], b, wanted)
        z = np.concatenate([dm, m[None], np.ones_like(m)[None]])
        used = np.tril(np.outer(one.mask[b], one.mask[b]), -1)
        product = z * (contrast[b] * m + offset[b]) * used
        expected = product.sum(axis=1) + product.sum(axis=2)
        size = np.abs(expected).max(axis=1, keepdims=True)
        np.testing.assert_allclose(found[b] / size, expected / size, atol=1e-11)


def test_clusters_of_pixels_have_the_scores_of_the_formula_and_sum_to_the_whole() -> None:
    frames = _frames(50).mask_frames([(11, 14)])
    one, _ = _both_roads(frames)
    objective, theta = Objective(one), _theta("heterodyne")
    sums = Tiles.at(objective, theta)
    assert sums.independent
    np.testing.assert_allclose(
        sums.summed(), objective.weighted_products(theta, objective.moving), rtol=1e-9, atol=1e-9
    )
    terms, b = one.model.terms(theta, one.t, one.phi), 1
    m, dm = separable_maps(terms, one.q[b], b, objective.moving)
    z = np.concatenate([dm, m[None], np.ones_like(m)[None]])
    used = np.tril(np.outer(one.mask[b], one.mask[b]), -1)
    f = (sums.contrast[b] * m + sums.offset[b]) * used
    g = (z * f).sum(axis=1) + (z * f).sum(axis=2)
    some = slice(int(frames.photons.first[b]), int(frames.photons.first[b + 1]))
    x = frames.photons.dense(some, np.arange(50), one.data.inverse[b], 50)
    edges = one.data.clusters[b] - some.start
    residual = np.array([sums.contrast[b], sums.offset[b], -1.0])
    for k in range(len(edges) - 1):
        mine = x[edges[k] : edges[k + 1]]
        pairs = np.einsum("zts,pt,ps->z", z * used, mine, mine)
        u = pairs - len(mine) * np.einsum("zts,ts->z", z, f)
        u -= g @ (mine - (one.mask[b] > 0)).sum(axis=0)
        score = -u / (len(x) * one.sigma[b] ** 2)
        found = sums.products[b, k, :-1, -3:] @ residual
        np.testing.assert_allclose(found, score, atol=1e-9 * np.abs(pairs / one.sigma[b] ** 2 / len(x)).max())


def test_the_cheaper_road_is_taken_and_what_needs_a_map_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = _frames(400, n_pixels=16), _frames(60, n_pixels=900, mean_counts=3.0)
    model = ModelFactory.create_model("heterodyne")
    table = parameter_table(model, None)
    assert isinstance(problem_from_frames(few, model, table), FrameProblem)
    assert not isinstance(problem_from_frames(many, model, table), FrameProblem)
    assert not isinstance(problem_from_frames(few, model, table, robust=True), FrameProblem)
    shear = ModelFactory.create_model("laminar_flow")
    given = parameter_table(shear, None)
    assert not isinstance(problem_from_frames(few, shear, given, gap=1e7), FrameProblem)
    with pytest.raises(ConfigurationError, match="needs the pixels of a map"):
        problem_from_frames(few, shear, given, gap=1e7, via="frames")
    with pytest.raises(ConfigurationError, match="'auto', 'map' or 'frames'"):
        problem_from_frames(few, model, table, via="photons")
    monkeypatch.setattr("heterodyne_nb.frames.correlation._ROOM", 1e-9)
    with pytest.raises(ConfigurationError, match="or fit the frames"):
        problem_from_frames(few, model, table, via="map")


def test_bins_without_a_photon_are_left_out_and_told() -> None:
    frames = _frames()
    frame, pixel, count = frames.photons.in_time_order()
    lit = frames.partition.labels.ravel()[pixel] != 2
    dark = open_frames((frame[lit], pixel[lit], count[lit]), partition=frames.partition, dt=0.5, n_frames=90)
    model = ModelFactory.create_model("heterodyne")
    with pytest.warns(DataWarning, match="no photon; the bin is left out"):
        problem = problem_from_frames(dark, model, parameter_table(model, None), via="frames")
    np.testing.assert_array_equal(problem.q, frames.q[[0, 2, 3]])


def test_a_subset_of_bins_is_the_problem_of_these_bins() -> None:
    one, _ = _both_roads(_frames())
    keep = np.array([False, True, True, False])
    theta, wanted = _theta("heterodyne"), np.arange(14)
    part = one.subset(keep)
    assert scaled_difference(products_at(part, theta, wanted), products_at(one, theta, wanted)[keep]) < 1e-12


def test_columns_of_many_bins_and_frames_are_made_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = _both_roads(_frames())
    theta, wanted = _theta("heterodyne"), np.arange(14)
    whole = [products_at(problem, theta, wanted) for problem in (one, other)]
    monkeypatch.setattr("heterodyne_nb.engine.columns.HELD", 1)
    for problem, expected in zip((one, other), whole, strict=True):
        assert scaled_difference(products_at(problem, theta, wanted), expected) < 1e-13
    arrays = [one for kind in fill_columns.signatures for one in kind if isinstance(one, nb.types.Array)]
    assert {one.layout for one in arrays} == {"C"}, "some bins of many are compiled for themselves"


def test_a_pass_over_photons_finds_the_derivatives_that_are_asked_for_next() -> None:
    problem, of_map = _both_roads(_frames(80, n_pixels=60, q=0.006, phi=[0.0, 70.0]))
    theta, theirs = _theta("heterodyne"), Objective(of_map)
    objective = Objective(problem)
    assert objective(theta) == pytest.approx(theirs(theta), rel=1e-9)
    local, expected = objective.normal_equations(theta), theirs.normal_equations(theta)
    assert objective.evaluations == 1
    np.testing.assert_allclose(
        local.gradient, expected.gradient, rtol=1e-6, atol=1e-7 * np.abs(expected.gradient).max()
    )
    moved = theta * 1.001
    assert objective(moved) == pytest.approx(theirs(moved), rel=1e-9)
    assert objective.evaluations == 2


def test_the_map_between_search_and_photons_is_of_the_whole_run() -> None:
    problem, _ = _both_roads(_frames(1300, n_pixels=8, q=0.006, phi=0.0), "static_isotropic")
    assert problem.finer is None  # the run has no more frames than such a map
    long, _ = _both_roads(_frames(2600, n_pixels=8, q=0.001, phi=0.0), "static_isotropic")
    finer = long.finer
    assert finer is not None
    assert len(long.small.t) <= 600 < len(finer.t) <= 2000
    assert finer.t[0] < long.t[2]
    assert finer.t[-1] > long.t[-4]
