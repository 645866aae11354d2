"""Speckle of one bin: its mean is the model, its noise is the real kind."""

import tracemalloc

import numpy as np
import pytest

from heterodyne_nb.models import ModelFactory
from heterodyne_nb.simulate import fields
from heterodyne_nb.simulate.components import check_axes, components
from heterodyne_nb.simulate.example import TRUTH
from heterodyne_nb.simulate.fields import Detector, bin_correlation, mode_weights

AXES = check_axes([0.012], [0.0], 40, 1.0)
OFF = np.triu_indices(40, 1)
THREE = [100, 0, 0, 300, -0.3, 20, 60, -0.3, 10, 0.2, 0.01, 0.1, 10, 200, 0, 0, -40, 0, 0, 0, 0, 0.3, 70]
CASES = {
    "heterodyne": (list(TRUTH.values()), None),
    "static_isotropic": ([300.0, -0.4, 20.0], None),
    "laminar_flow": ([100.0, -0.4, 20.0, 5e-5, -0.3, 1e-5, 20.0], 2e6),
    "heterodyne_equilibrium": ([0.3, 50.0, 300.0, 40.0, 10.0], None),
    "multicomponent_3": (THREE, None),
}


def realisations(mode, params, detector, *, count, gap=None, phi=0.0):
    population = components(mode, params, AXES, gap)
    seeds = [np.random.SeedSequence(s) for s in range(count)]
    return np.array([bin_correlation(population, 0.012, phi, detector, s)[0] for s in seeds])


def model(mode, params, *, gap=None, phi=0.0):
    chosen = ModelFactory.create_model(mode)
    early, late = AXES.t[:, None], AXES.t[None, :]
    if chosen.one_time:
        return chosen.correlation(params, np.abs(late - early), q=0.012, phi=phi)
    return chosen.correlation(params, early, late, q=0.012, phi=phi, gap=gap)


def z_scores(maps, expected):
    error = maps.std(axis=0, ddof=1) / np.sqrt(len(maps))
    return ((maps.mean(axis=0) - expected) / error)[OFF]


@pytest.mark.parametrize("mode", CASES)
@pytest.mark.parametrize("phi", [0.0, -130.0])
def test_mean_over_seeds_is_the_model_within_its_standard_error(mode, phi):
    params, gap = CASES[mode]
    maps = realisations(mode, params, Detector(512, np.ones(1)), count=40, gap=gap, phi=phi)
    z = z_scores(maps, 1 + model(mode, params, gap=gap, phi=phi))
    assert 0.2 < np.sqrt(np.mean(z**2)) < 1.5  # 1 for independent pixels; they are correlated
    assert np.abs(z).max() < 5.5


def test_the_comparison_with_the_model_would_see_a_direction_wrong_by_ten_degrees():
    params = list(TRUTH.values())
    maps = realisations("heterodyne", params, Detector(1024, np.ones(1)), count=40, phi=60.0)
    wrong = [*params[:-1], params[-1] + 10]
    assert np.abs(z_scores(maps, 1 + model("heterodyne", wrong, phi=60.0))).max() > 10


@pytest.mark.parametrize("contrast", [1.0, 0.62, 0.5, 0.24, 0.03])
def test_modes_share_the_intensity_and_make_the_contrast(contrast):
    weights = mode_weights(contrast)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights**2).sum() == pytest.approx(contrast)
    assert (weights >= 0).all()
    assert len(weights) == int(np.ceil(1 / contrast - 1e-9))


def test_partial_coherence_scales_the_model_by_the_contrast():
    params = list(TRUTH.values())
    maps = realisations("heterodyne", params, Detector(1024, mode_weights(0.24)), count=40)
    z = z_scores(maps, 1 + 0.24 * model("heterodyne", params))
    assert 0.2 < np.sqrt(np.mean(z**2)) < 1.5


def test_shot_noise_leaves_the_mean_and_no_spike_on_the_diagonal():
    params = list(TRUTH.values())
    maps = realisations("heterodyne", params, Detector(1024, np.ones(1), mean_counts=0.5), count=40)
    z = z_scores(maps, 1 + model("heterodyne", params))
    assert 0.2 < np.sqrt(np.mean(z**2)) < 1.5
    diagonal = np.einsum("sii->si", maps)
    error = diagonal.mean(axis=1).std(ddof=1) / np.sqrt(len(maps))
    assert abs(diagonal.mean() - 2.0) < 4 * error  # 1/<n> = 2 more without the correction
    assert error < 0.05


def test_noise_falls_with_the_root_of_the_number_of_pixels():
    params = [2e5, 0.0, 0.0]  # forgets itself within a frame: every pixel off the diagonal is pure noise
    few, many = (
        realisations("static_isotropic", params, Detector(n, np.ones(1)), count=10)[:, *OFF].std()
        for n in (256, 4096)
    )
    assert few / many == pytest.approx(4.0, rel=0.06)
    assert many == pytest.approx(1 / np.sqrt(4096), rel=0.06)  # contrast / sqrt(pixels)


def test_noise_is_dyadic_where_speckle_lives_longer_than_a_frame():
    params = list(TRUTH.values())
    maps = realisations("heterodyne", params, Detector(256, np.ones(1)), count=60)
    noise = maps - maps.mean(axis=0)
    near, far = noise[:, 5, 30], [noise[:, 5, 31], noise[:, 22, 12]]
    shared, apart = (np.corrcoef(near, other)[0, 1] for other in far)
    assert shared > 0.7
    assert abs(apart) < 0.5


def test_a_bin_is_reproduced_exactly_and_blocks_of_pixels_differ():
    population = components("heterodyne", TRUTH, AXES)
    detector = Detector(2 * fields._BLOCK, np.ones(1), mean_counts=3.0)

    def blocks():
        return [
            b.copy() for b in fields.pixel_blocks(population, 0.01, 0, detector, np.random.SeedSequence(4))
        ]

    first, second = blocks(), blocks()
    assert np.array_equal(first, second)
    assert not np.array_equal(first[0], first[1])


def test_every_pixel_is_used_once():
    population, detector = components("heterodyne", TRUTH, AXES), Detector(1300, np.ones(1))
    blocks = fields.pixel_blocks(population, 0.01, 0, detector, np.random.SeedSequence(1))
    assert [block.shape[1] for block in blocks] == [512, 512, 276]


def test_memory_does_not_grow_with_the_number_of_pixels():
    population = components("static_isotropic", [300.0, 0.0, 0.0], AXES)
    tracemalloc.start()
    bin_correlation(population, 0.01, 0.0, Detector(30_000, np.ones(1)), np.random.SeedSequence(1))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6  # all intensities at once would take 9.6 MB


def test_intensity_follows_the_fractions_or_stays_steady():
    population = components("heterodyne", TRUTH, AXES)
    power = sum(c.amplitude**2 for c in population)
    for steady, expected in ((False, power / power.mean()), (True, np.ones(40))):
        detector = Detector(4000, mode_weights(0.2), steady=steady)
        _, intensity = bin_correlation(population, 0.012, 0.0, detector, np.random.SeedSequence(3))
        np.testing.assert_allclose(intensity, expected, atol=5 * np.sqrt(0.2 / 4000))


def test_frames_without_beam_are_dark_and_uncorrelated():
    lost = np.zeros(40, dtype=bool)
    lost[[10, 11]] = True
    detector = Detector(600, np.ones(1), no_beam=lost)
    population = components("heterodyne", TRUTH, AXES)
    c2, intensity = bin_correlation(population, 0.012, 0.0, detector, np.random.SeedSequence(3))
    np.testing.assert_allclose(c2[10], 1.0, atol=1e-6)
    assert intensity[lost].max() < 0.1 * intensity[~lost].min()
    assert np.diag(c2)[~lost].min() > 1.7
