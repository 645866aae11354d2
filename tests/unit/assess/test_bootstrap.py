"""Draws of a fit: what they are made of, how they spread, and what they may never do."""

from __future__ import annotations

import numba as nb
import numpy as np
import pytest
from refit_samples import (
    STATIC,
    speckle_fit,
    speckle_objective,
    static_data,
    static_fit,
    static_objective,
    v_at,
)

import heterodyne_nb as hnb
from heterodyne_nb.assess import Bootstrap, bootstrap
from heterodyne_nb.assess.bootstrap import tile_weights
from heterodyne_nb.errors import ConfigurationError, FitWarning, OptimizationError
from heterodyne_nb.fitting.same_fit import objective_of, optimum
from heterodyne_nb.optimize import create_strategy
from heterodyne_nb.progress import StopToken
from heterodyne_nb.uncertainty.covariance import estimate_covariance
from heterodyne_nb.uncertainty.reweighting import Reweighting


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = nb.get_num_threads()
    nb.set_num_threads(1)
    yield
    nb.set_num_threads(threads)


def test_weights_of_one_lead_back_to_the_optimum() -> None:
    tiles = Reweighting.at(speckle_objective(), optimum(speckle_fit()), 8)
    stepped = tiles.step(np.ones(tiles.products.shape[:2]))
    assert v_at(stepped) == pytest.approx(v_at(optimum(speckle_fit())), rel=1e-5)


def test_a_block_weight_multiplies_every_tile_that_holds_the_block() -> None:
    tiles = Reweighting.at(static_objective(), optimum(static_fit()), 5)
    late, early = tiles.places
    weights = tile_weights(np.random.default_rng(0), tiles, "blocks")
    own = weights[:, late == early]
    np.testing.assert_allclose(weights, np.where(late == early, own[:, late], own[:, late] * own[:, early]))
    common = tile_weights(np.random.default_rng(0), tiles, "blocks", common_frames=True)
    assert np.ptp(common, axis=0).max() == 0.0
    bins = tile_weights(np.random.default_rng(0), tiles, "bins")
    assert np.ptp(bins, axis=1).max() == 0.0


def test_one_step_is_the_refit_of_the_weighted_data_where_the_model_is_nearly_linear() -> None:
    """Weights on bins are those of a fit with other noise levels."""
    objective, theta = static_objective(), optimum(static_fit())
    tiles = Reweighting.at(objective, theta, 6)
    weights = np.random.default_rng(2).exponential(1.0, (objective.problem.n_bins, 1))
    ds = static_data().copy()
    sigma = ds["sigma"].values / np.sqrt(weights).reshape(ds["sigma"].shape)
    refit = hnb.fit(
        ds.assign(sigma=(ds["sigma"].dims, sigma)), "static_isotropic", parameters=STATIC, multistart=0
    )
    every = np.broadcast_to(weights, tiles.products.shape[:2])
    one = tiles.step(every, None, None, 1)
    exact = tiles.step(every, None, None, 5)
    model, t = objective.problem.model, np.array([1.0, 5.0, 25.0])
    moved = model.curves(optimum(refit), t)["J"] - model.curves(theta, t)["J"]
    np.testing.assert_allclose(model.curves(exact, t)["J"] - model.curves(theta, t)["J"], moved, rtol=2e-3)
    np.testing.assert_allclose(model.curves(one, t)["J"] - model.curves(theta, t)["J"], moved, rtol=0.2)


def test_matched_draws_spread_as_the_dyadic_covariance_says() -> None:
    found = bootstrap(static_fit(0.0), static_objective(0.0), n=400, seed=1)
    plain = bootstrap(static_fit(0.0), static_objective(0.0), n=400, seed=1, match=False)
    spread = estimate_covariance(static_objective(0.0), optimum(static_fit(0.0)))
    model = hnb.ModelFactory.create_model("static_isotropic")
    at = 5.0

    def level(theta: np.ndarray) -> float:
        return float(model.curves(theta, np.array([at]))["J"][0])

    theta = optimum(static_fit(0.0))
    slope = np.array([at ** theta[1], theta[0] * at ** theta[1] * np.log(at), 1.0])
    dyadic, naive = (float(np.sqrt(slope @ c @ slope)) for c in (spread.covariance, spread.naive))
    assert found.of(level)[0] == pytest.approx(dyadic, rel=0.2)
    assert plain.of(level)[0] > 1.1 * naive  # product weights on independent pixels: up to the root of 3


@pytest.mark.slow
def test_intervals_from_shared_noise_cover_and_those_of_single_pixels_do_not() -> None:
    """40 experiments, most of the noise shared by the pixels of a frame."""
    covered, naive = [], []
    asked = {"D0": 300.0, "alpha": {"value": -0.4, "vary": False}, "D_offset": {"value": 30.0, "vary": False}}
    for seed in range(40):
        data = static_data(0.8, seed)
        result = hnb.fit(data, "static_isotropic", parameters=asked, multistart=0)
        objective = objective_of(result, data)
        draws = bootstrap(result, objective, n=80, seed=seed)
        one = draws.intervals().sel(parameter="D0")
        covered.append(float(one["lower"]) <= 300.0 <= float(one["upper"]))
        error = np.sqrt(estimate_covariance(objective, optimum(result)).naive[0, 0])
        naive.append(abs(result.values["D0"] - 300.0) <= 1.96 * error)
    assert np.mean(covered) >= 0.8
    assert np.mean(naive) < np.mean(covered) - 0.1


def test_bands_stay_where_curves_can_be() -> None:
    found = bootstrap(speckle_fit(), speckle_objective(), n=150, seed=2)
    bands = found.curves()
    for name in ("J_ref", "J_sample"):
        assert float(bands[f"{name}_lower"].min()) >= 0.0
    assert float(bands["x_sample_lower"].min()) >= 0.0
    assert float(bands["x_sample_upper"].max()) <= 1.0
    inside = (bands["v_lower"] <= bands["v"]) & (bands["v"] <= bands["v_upper"])
    assert bool(inside.all())


def test_draws_stay_inside_the_bounds_of_the_fit() -> None:
    asked = {**STATIC, "alpha": {"value": -0.4, "min": -0.42, "max": -0.3}}
    result = hnb.fit(static_data(), "static_isotropic", parameters=asked, multistart=0)
    found = bootstrap(result, static_data(), n=100)
    alpha = found.draws[:, 1]
    assert alpha.min() >= -0.42
    assert alpha.max() <= -0.3
    assert np.any(np.isclose(alpha, -0.42)) or np.any(np.isclose(alpha, -0.3))


def test_fixed_and_tied_parameters_stay_so() -> None:
    asked = {**STATIC, "D_offset": {"value": 30.0, "vary": False}}
    result = hnb.fit(static_data(), "static_isotropic", parameters=asked, multistart=0)
    assert np.ptp(bootstrap(result, static_data(), n=20).draws[:, 2]) == 0.0


def test_a_prior_is_drawn_like_a_measurement() -> None:
    asked = {**STATIC, "D_offset": {"value": 30.0, "prior": (30.0, 1e-3)}}
    result = hnb.fit(static_data(), "static_isotropic", parameters=asked, multistart=0)
    found = bootstrap(result, static_data(), n=200)
    assert found.draws[:, 2].std() == pytest.approx(1e-3, rel=0.2)


def test_more_steps_end_lower_than_one() -> None:
    tiles = Reweighting.at(speckle_objective(), optimum(speckle_fit()), 8)
    weights = tile_weights(np.random.default_rng(4), tiles, "blocks")

    def height(theta: np.ndarray) -> float:
        return Reweighting.at(tiles.objective, theta, 8).equations(weights).chi2

    heights = [height(tiles.step(weights, None, None, steps)) for steps in (1, 3)]
    assert heights[1] <= heights[0] <= height(tiles.theta)


def test_the_same_seed_gives_the_same_draws_and_another_one_does_not() -> None:
    first, again, other = (
        bootstrap(static_fit(), static_objective(), n=5, seed=seed, weights="poisson").draws
        for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_fit_takes_over_the_errors_and_bands_of_the_draws() -> None:
    found = bootstrap(speckle_fit(), speckle_objective(), n=60)
    result = found.apply_to(speckle_fit())
    assert result.uncertainty == found.method
    assert result.errors["v0"] == pytest.approx(found.draws[:, 6].std(ddof=1))
    np.testing.assert_allclose(result.curve("J_ref")["lower"], found.curves()["J_ref_lower"])
    assert np.isnan(result.errors["f2"])


def test_derived_figures_of_draws_have_intervals() -> None:
    found = bootstrap(speckle_fit(), speckle_objective(), n=60)
    derived, delta = found.derived(speckle_fit().dataset), speckle_fit().derived()
    np.testing.assert_allclose(derived["value"], delta["value"])
    assert bool((derived["lower"] <= derived["upper"]).all())
    ratio = float((derived["stderr"] / delta["stderr"]).sel(quantity="displacement"))
    assert 0.4 < ratio < 2.5
    assert "fringe_rate_lower" in derived


def test_draws_print_as_a_table() -> None:
    found = bootstrap(static_fit(), static_objective(), n=20)
    assert repr(found).splitlines()[0].startswith("static_isotropic: 20 draws, bootstrap over 12 blocks")
    assert "<table>" in found._repr_html_()
    assert found.table().shape == (3, 5)


def test_a_loss_is_honoured() -> None:
    result = hnb.fit(static_data(), "static_isotropic", parameters=STATIC, multistart=0, loss="huber")
    draws = bootstrap(result, static_data(), n=30).draws
    assert np.all(np.isfinite(draws))
    assert np.abs(draws[:, 0].mean() - result.values["D0"]) < 3 * draws[:, 0].std()


def test_other_data_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="chi-square of the result"):
        bootstrap(static_fit(), static_data(0.5, 9), n=5)
    with pytest.raises(ConfigurationError, match="no dataset"):
        bootstrap(static_fit(), static_data()["c2"], n=5)


def test_a_result_that_went_through_a_file_is_the_same_fit(tmp_path) -> None:
    loaded = hnb.FitResult.load(static_fit().save(tmp_path / "fit.nc"))
    np.testing.assert_array_equal(
        bootstrap(loaded, static_data(), n=4).draws, bootstrap(static_fit(), static_data(), n=4).draws
    )


@pytest.mark.parametrize(
    ("setting", "value"),
    [("n", 1), ("n", 2.5), ("kind", "tiles"), ("weights", "normal"), ("steps", 0), ("blocks", True)],
)
def test_a_wrong_setting_is_named(setting: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=setting):
        bootstrap(static_fit(), static_objective(), **{setting: value})


def test_few_bins_are_warned_about_and_one_is_refused() -> None:
    one = static_data().isel(q=[0], phi=[0])
    result = hnb.fit(one, "static_isotropic", parameters=STATIC, multistart=0)
    with pytest.raises(ConfigurationError, match="1 bin cannot be drawn from"):
        bootstrap(result, one, n=5, kind="bins")
    few = static_data().isel(phi=[0, 1])
    with pytest.warns(FitWarning, match="4 bins say little"):
        bootstrap(hnb.fit(few, "static_isotropic", parameters=STATIC, multistart=0), few, n=5, kind="both")


def test_it_can_be_stopped_and_tells_its_progress() -> None:
    stop, events = StopToken(), []

    def watch(event) -> None:
        events.append(event)
        if event.fraction > 0.3:
            stop.cancel()

    found = bootstrap(static_fit(), static_objective(), n=100, on_progress=watch, stop=stop)
    assert isinstance(found, Bootstrap)
    assert 2 <= found.n < 100
    assert events[0].stage == "bootstrap"
    with pytest.raises(OptimizationError, match="stopped after 0 draws"):
        bootstrap(static_fit(), static_objective(), n=10, stop=stop)


def test_a_strategy_may_use_the_objective_of_a_result() -> None:
    again = create_strategy("gauss_newton").optimize(static_objective(), static_objective().x0)
    assert again.fun == pytest.approx(static_fit().chi2, rel=1e-9)
