"""Problem: checks, moments, coarser copies; and reading a dataset into one."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from engine_problems import every_parameter, make_problem, scaled_difference, twin_products, used_pixels
from hypothesis import given, settings
from hypothesis import strategies as st

from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.data import make_dataset, open_dataset, stack_bins, write_apsu
from heterodyne_nb.engine import Objective, Problem, problem_from_dataset, products_at
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning, OptimizationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.simulate import model_maps

Q, PHI, N = [0.01, 0.02], [0.0, 30.0, 60.0], 40
LAW = [300.0, -0.2, 3.0]
FIELDS = ("model", "table", "data", "q", "phi", "t", "mask", "sigma", "holes", "gap")


@pytest.fixture(scope="module")
def maps() -> xr.Dataset:
    return model_maps(
        "static_isotropic", LAW, q=Q, phi=PHI, n_frames=N, dt=0.5, contrast=0.2, noise=0.01, seed=1
    )


def changed(maps: xr.Dataset, change: Callable[[np.ndarray], None]) -> xr.Dataset:
    """The maps after a change to their array, as a dataset from memory."""
    c2 = maps["c2"].values.copy()
    change(c2)
    return make_dataset(c2, q=Q, phi=PHI, dt=0.5)


def problem_of(ds: xr.Dataset, mode: str = "static_isotropic", **options) -> Problem:
    model = ModelFactory.create_model(mode)
    return problem_from_dataset(ds, model, resolve_parameters(mode, {}, specs=model.parameters), **options)


def test_a_dataset_becomes_a_problem_of_all_its_bins(maps: xr.Dataset) -> None:
    problem = problem_of(maps)
    assert (problem.n_bins, problem.n_data, len(problem.holes)) == (6, 6 * N * (N - 1) // 2, 0)
    np.testing.assert_array_equal(problem.q, np.repeat(Q, 3))
    np.testing.assert_array_equal(problem.phi, np.tile(PHI, 2))
    np.testing.assert_allclose(problem.t, 0.5 * np.arange(1, N + 1))
    assert problem.ends == (0.5, 20.0)
    assert problem.data.dtype == np.float32
    np.testing.assert_allclose(problem.sigma, 0.01)
    objective = Objective(problem)
    assert objective.reduced(objective(np.array(LAW))) == pytest.approx(1.0, abs=0.1)


def test_without_a_stated_noise_it_is_estimated(maps: xr.Dataset) -> None:
    np.testing.assert_allclose(problem_of(maps.drop_vars("sigma")).sigma, 0.01, rtol=0.2)


def test_the_sums_over_the_data_are_those_of_the_used_pixels() -> None:
    problem, _ = make_problem("static_isotropic", 45, 3, 1, masked=0.3, holes=6)
    for b in range(3):
        used = used_pixels(problem, b) > 0
        values = problem.data[b].astype(float)[used]
        assert problem.count[b] == used.sum()
        np.testing.assert_allclose(problem.sum_data[b], values.sum(), rtol=1e-13)
        np.testing.assert_allclose(problem.sum_squares[b], (values**2).sum(), rtol=1e-13)


def test_masked_frames_of_the_dataset_are_masked_in_every_bin(maps: xr.Dataset) -> None:
    used = np.ones(N, bool)
    used[[0, 7, N - 1]] = False
    problem = problem_of(maps.assign(mask=("t", used)))
    np.testing.assert_array_equal(problem.mask, np.tile(used.astype(float), (6, 1)))
    assert problem.n_data == 6 * (N - 3) * (N - 4) // 2


@pytest.mark.parametrize("pick", [{"q": 1}, {"phi": 2}, {"q": 0, "phi": 1}, {"q": [1]}])
def test_a_single_q_or_phi_may_be_picked(maps: xr.Dataset, pick: dict[str, int]) -> None:
    problem = problem_of(maps.isel(pick))
    whole = problem_of(maps)
    here = np.isin(whole.q, np.atleast_1d(maps["q"].isel({k: v for k, v in pick.items() if k == "q"})))
    here &= np.isin(whole.phi, np.atleast_1d(maps["phi"].isel({k: v for k, v in pick.items() if k == "phi"})))
    np.testing.assert_array_equal(problem.data, whole.data[here])
    np.testing.assert_array_equal(problem.q, whole.q[here])
    np.testing.assert_array_equal(problem.phi, whole.phi[here])


def test_single_bins_of_the_stacked_form_may_be_picked(maps: xr.Dataset) -> None:
    whole = problem_of(maps)
    np.testing.assert_array_equal(problem_of(stack_bins(maps).isel(bin=[4])).data, whole.data[4:5])
    np.testing.assert_array_equal(problem_of(stack_bins(maps).isel(bin=4)).data, whole.data[4:5])


HOW = {
    "a NaN pixel": (
        lambda c: c.__setitem__((0, 1, [3, 7], [7, 3]), np.nan),
        "bin q = 0.01 1/Å, phi = 30°: 1 pixel without data left out, the rest is used",
        [780, 779, 780, 780, 780, 780],
    ),
    "an infinite pixel": (
        lambda c: c.__setitem__((0, 1, [3, 7], [7, 3]), np.inf),
        "bin q = 0.01 1/Å, phi = 30°: 1 pixel without data left out, the rest is used",
        [780, 779, 780, 780, 780, 780],
    ),
    "a NaN frame": (
        lambda c: (c.__setitem__((1, 2, 5), np.nan), c.__setitem__((1, 2, slice(None), 5), np.nan)),
        "bin q = 0.02 1/Å, phi = 60°: 1 frame without data left out, the rest is used",
        [780, 780, 780, 780, 780, 741],
    ),
    "the first frames without data": (
        lambda c: (c.__setitem__((0, 0, slice(30)), 0), c.__setitem__((0, 0, slice(None), slice(30)), 0)),
        "bin q = 0.01 1/Å, phi = 0°: 30 frames without data left out, the rest is used",
        [45, 780, 780, 780, 780, 780],
    ),
    "two runs never correlated with each other": (
        lambda c: (
            c.__setitem__((0, 0, slice(20), slice(20, None)), np.nan),
            c.__setitem__((0, 0, slice(20, None), slice(20)), np.nan),
        ),
        "bin q = 0.01 1/Å, phi = 0°: 400 pixels without data left out, the rest is used",
        [380, 780, 780, 780, 780, 780],
    ),
    "an all-NaN bin": (
        lambda c: c.__setitem__((0, 1), np.nan),
        "bin q = 0.01 1/Å, phi = 30°: its map holds no data; the bin is left out",
        [780] * 5,
    ),
    "a constant bin": (
        lambda c: c.__setitem__((0, 1), 1.25),
        "bin q = 0.01 1/Å, phi = 30°: its map is constant; the bin is left out",
        [780] * 5,
    ),
    "a bin of zeros": (
        lambda c: c.__setitem__((0, 1), 0.0),
        "bin q = 0.01 1/Å, phi = 30°: its map has no pixel that can be used; the bin is left out",
        [780] * 5,
    ),
}


@pytest.mark.parametrize("what", HOW)
def test_what_cannot_be_used_is_left_out_by_name_and_the_rest_is_used(maps: xr.Dataset, what: str) -> None:
    change, message, counts = HOW[what]
    with pytest.warns(DataWarning) as told:
        problem = problem_of(changed(maps, change))
    assert [str(one.message) for one in told] == [message]
    np.testing.assert_array_equal(problem.count, counts)
    assert np.all(np.isfinite(problem.data))
    local = Objective(problem).equations(np.array(LAW))
    assert local.chi2 / problem.n_data == pytest.approx(1.0, abs=0.15)


def test_several_bins_are_told_one_by_one(maps: xr.Dataset) -> None:
    def change(c2: np.ndarray) -> None:
        c2[0, 0], c2[1, 1] = np.nan, 1.0
        c2[1, 2, 8, 9] = c2[1, 2, 9, 8] = np.nan

    with pytest.warns(DataWarning) as told:
        problem = problem_of(changed(maps, change))
    assert [str(one.message).partition(":")[0] for one in told] == [
        "bin q = 0.01 1/Å, phi = 0°",
        "bin q = 0.02 1/Å, phi = 60°",
        "bin q = 0.02 1/Å, phi = 30°",
    ]
    np.testing.assert_array_equal(problem.phi, [30.0, 60.0, 0.0, 60.0])
    np.testing.assert_array_equal(problem.holes, [[3, 9, 8]])


def test_data_missing_in_masked_frames_are_not_missed(maps: xr.Dataset) -> None:
    ds = changed(
        maps, lambda c: (c.__setitem__((0, 1, 5), np.nan), c.__setitem__((0, 1, slice(None), 5), np.nan))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problem = problem_of(ds.assign(mask=("t", np.arange(N) != 5)))
    assert len(problem.holes) == 0


def test_a_dead_bin_of_a_file_is_told_once_when_the_file_is_opened(maps: xr.Dataset, tmp_path) -> None:
    write_apsu(changed(maps, lambda c: c.__setitem__((0, 1), 1.0)), tmp_path / "run.h5")
    with pytest.warns(DataWarning, match=r"run.h5: .*constant: bin q = 0.01 1/Å, phi = 30°"):
        ds = open_dataset(tmp_path / "run.h5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert problem_of(ds).n_bins == 5
    ds.close()


@pytest.mark.parametrize(
    ("mode", "change", "message"),
    [
        ("kww", lambda ds: ds, "'kww' is a one-time model"),
        ("static_isotropic", lambda ds: ds.drop_vars("c2"), "no two-time maps\n.*one-time mode"),
        ("static_isotropic", lambda ds: changed(ds, lambda c: c.fill(np.nan)), "none of the 6 bins"),
        ("static_isotropic", lambda ds: changed(ds, lambda c: c.fill(1.0)), "none of 6 bins can be used"),
        ("static_isotropic", lambda ds: ds.assign(mask=("t", np.zeros(N, bool))), "0 of 40 frames are used"),
        ("static_isotropic", lambda ds: ds.isel(t=[0, 1], t1=[0, 1], t2=[0, 1]), "2 of 2 frames"),
    ],
)
def test_data_that_cannot_be_fitted_are_an_error_that_says_why(
    maps: xr.Dataset, mode, change, message
) -> None:
    with pytest.raises(DataFormatError, match=message):
        problem_of(change(maps), mode)


@pytest.mark.parametrize("gap", [None, 0.0, -1.0])
def test_laminar_flow_without_a_gap_is_an_error_before_anything_is_read(maps: xr.Dataset, gap) -> None:
    with pytest.raises(ConfigurationError, match="needs the gap"):
        problem_of(maps, "laminar_flow", gap=gap)


def test_noise_that_cannot_be_estimated_is_an_error_that_names_the_bin(maps: xr.Dataset) -> None:
    few = maps.drop_vars("sigma").isel(q=[0], phi=[0], t=slice(3), t1=slice(3), t2=slice(3))
    with pytest.raises(DataFormatError, match=r"noise of bin q = 0.01 1/Å, phi = 0° cannot be estimated"):
        problem_of(few)


def test_noise_of_zero_or_times_out_of_order_are_errors() -> None:
    problem, _ = make_problem("static_isotropic", 20, 2, 1)
    parts = {name: getattr(problem, name) for name in FIELDS}
    with pytest.raises(OptimizationError, match="not positive"):
        Problem(**{**parts, "sigma": np.array([0.1, 0.0])})
    with pytest.raises(DataFormatError, match="increasing"):
        Problem(**{**parts, "t": problem.t[::-1]})


@given(
    n=st.integers(9, 80), stride=st.integers(1, 3), seed=st.integers(0, 10**6), holes=st.sampled_from([0, 25])
)
@settings(deadline=None, max_examples=30)
def test_every_nth_frame_is_the_same_problem_at_fewer_times(
    n: int, stride: int, seed: int, holes: int
) -> None:
    problem, theta = make_problem("heterodyne", n, 2, seed, masked=0.2, holes=holes)
    coarse = problem.every(stride)
    keep = np.arange(n)[stride // 2 :: stride]
    np.testing.assert_array_equal(coarse.t, problem.t[keep])
    np.testing.assert_array_equal(coarse.data, problem.data[:, keep][:, :, keep])
    np.testing.assert_array_equal(coarse.mask, problem.mask[:, keep])
    for b in range(2):
        at = coarse.holes[coarse.holes[:, 0] == b]
        marked = np.zeros((len(keep), len(keep)), bool)
        marked[at[:, 1], at[:, 2]] = True
        blank = np.tril(coarse.data[b] == 0.0, -1) & (np.outer(coarse.mask[b], coarse.mask[b]) > 0)
        np.testing.assert_array_equal(marked, blank)
    wanted = every_parameter(coarse)
    whole = twin_products(make_problem("heterodyne", n, 2, seed)[0], theta, wanted)
    assert (
        scaled_difference(products_at(coarse, theta, wanted), twin_products(coarse, theta, wanted), whole)
        < 1e-11
    )
