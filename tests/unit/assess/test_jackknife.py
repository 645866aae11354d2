"""Fits without one angle at a time."""

from __future__ import annotations

import numba as nb
import numpy as np
import pytest
from refit_samples import (
    HETERODYNE,
    STATIC,
    speckle_fit,
    speckle_objective,
    static_data,
    static_fit,
    static_objective,
)

import heterodyne_nb as hnb
from heterodyne_nb.assess import jackknife
from heterodyne_nb.assess.jackknife import groups_of
from heterodyne_nb.errors import ConfigurationError, OptimizationError
from heterodyne_nb.progress import StopToken
from heterodyne_nb.simulate import model_maps


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = nb.get_num_threads()
    nb.set_num_threads(1)
    yield
    nb.set_num_threads(threads)


def test_without_an_angle_the_fit_is_that_of_the_other_angles() -> None:
    found = jackknife(static_fit(), static_objective(), refit=True)
    rest = static_data().isel(phi=[0, 1, 3])
    fitted = hnb.fit(rest, "static_isotropic", parameters=STATIC, multistart=0)
    assert found.dataset["label"].values[2] == "phi = 80°"
    model, t = hnb.ModelFactory.create_model("static_isotropic"), np.array([0.5, 5.0, 30.0])
    theirs = model.curves(fitted.dataset["parameters"].values, t)["J"]
    ours = model.curves(found.dataset["values"].values[2], t)["J"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_one_step_goes_where_the_refit_goes() -> None:
    one = jackknife(speckle_fit(), speckle_objective()).dataset
    full = jackknife(speckle_fit(), speckle_objective(), refit=True).dataset
    for name in ("v(24.25)", "phi0", "J_sample(24.25)", "x_sample(24.25)"):
        off = (one["pull"] - full["pull"]).sel(quantity=name)
        assert float(np.abs(off).max()) < 0.35


def test_an_angle_that_says_something_else_is_named() -> None:
    grid = {"q": [0.009], "n_frames": 60, "dt": 0.5, "contrast": 0.3, "noise": 0.02}
    good = [-60.0, -30.0, -15.0, 0.0, 30.0, 60.0, 75.0]
    ds = model_maps("heterodyne", HETERODYNE, phi=good, seed=4, **grid)
    odd = model_maps("heterodyne", {**HETERODYNE, "v0": 320.0}, phi=[30.0], seed=5, **grid)
    c2 = ds["c2"].values.copy()
    c2[0, 4] = odd["c2"].values[0, 0]
    mixed = ds.assign(c2=(ds["c2"].dims, c2, ds["c2"].attrs))
    fitted = hnb.fit(mixed, "heterodyne", parameters=HETERODYNE, multistart=0)
    told = jackknife(fitted, mixed).verdict()
    assert told.startswith("phi = 30° pulls v(15.25) by +")
    clean = hnb.fit(ds, "heterodyne", parameters=HETERODYNE, multistart=0)
    assert jackknife(clean, ds).verdict().startswith("No angle stands out")


def test_jackknife_errors_are_of_the_size_of_the_others() -> None:
    ds = jackknife(speckle_fit(), speckle_objective()).dataset
    ratio = (ds["stderr"] / ds["stderr_dyadic"]).values
    assert 0.4 < np.median(ratio) < 2.5


def test_rings_and_bins_can_be_left_out_too() -> None:
    objective = static_objective()
    assert groups_of(objective, "q")[0] == ["q = 0.01 1/Å", "q = 0.02 1/Å"]
    bins = jackknife(static_fit(), objective, over="bin")
    assert bins.dataset.sizes["left_out"] == 8
    assert bins.influence.shape == (8, 1)
    with pytest.raises(ConfigurationError, match="2 groups to leave out"):
        jackknife(static_fit(), objective, over="q")
    with pytest.raises(ConfigurationError, match="'angle'"):
        jackknife(static_fit(), objective, over="angle")


def test_some_bins_keep_their_data_masks_and_holes() -> None:
    ds = static_data().copy(deep=True)
    ds["c2"].values[1, 2, 5, 9] = ds["c2"].values[1, 2, 9, 5] = np.nan
    with pytest.warns(hnb.errors.DataWarning, match="1 pixel without data"):
        fitted = hnb.fit(ds, "static_isotropic", parameters=STATIC, multistart=0)
    from heterodyne_nb.fitting.same_fit import objective_of

    with pytest.warns(hnb.errors.DataWarning):
        objective = objective_of(fitted, ds)
    part = objective.subset(np.array([0, 0, 1, 0, 0, 0, 1, 0], bool))
    assert part.problem.holes.tolist() == [[1, 9, 5]]
    theta = objective.x0
    assert part(theta) == pytest.approx(objective.equations(theta).chi2_bin[[2, 6]].sum())


def test_it_prints_as_a_table_with_a_verdict() -> None:
    found = jackknife(speckle_fit(), speckle_objective())
    lines = repr(found).splitlines()
    assert lines[0] == "heterodyne without one phi at a time (one step): shift in standard errors"
    assert lines[2].startswith("phi = −60°") or lines[2].startswith("phi = -60°")
    assert "<table>" in found._repr_html_()


def test_a_stopped_jackknife_is_an_error() -> None:
    stop = StopToken()
    stop.cancel()
    with pytest.raises(OptimizationError, match="stopped after 0 of 4 groups"):
        jackknife(static_fit(), static_objective(), stop=stop)
