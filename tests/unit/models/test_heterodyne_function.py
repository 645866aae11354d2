"""heterodyne_model(tau, params, q, phi): numpy and xarray forms, start time, errors."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import heterodyne_nb
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory, heterodyne_model

EQUILIBRIUM = [0.3, 200.0, 2000.0, 600.0, 20.0]
FULL = [150.0, -0.3, 20.0, 2000.0, -0.5, 150.0, 300.0, -0.4, 25.0, 0.35, -0.02, 0.0, 0.27, 15.0]
TAU, Q, PHI = 0.5 * np.arange(1, 9), np.array([0.006, 0.01]), np.array([-30.0, 0.0, 60.0])


def one_by_one(name: str, params: list[float], t1: float | None = None) -> np.ndarray:
    model = ModelFactory.create_model(name)
    out = np.empty((len(Q), len(PHI), len(TAU)))
    for i, j, k in np.ndindex(out.shape):
        times = (TAU[k],) if t1 is None else (t1, t1 + TAU[k])
        out[i, j, k] = model.correlation(params, *times, q=Q[i], phi=PHI[j])
    return out


def test_five_parameters_are_the_equilibrium_formula() -> None:
    expected = one_by_one("heterodyne_equilibrium", EQUILIBRIUM)
    np.testing.assert_allclose(heterodyne_model(TAU, EQUILIBRIUM, Q, PHI), expected, rtol=1e-15)


def test_fourteen_parameters_are_the_two_time_formula_from_a_start_time() -> None:
    expected = one_by_one("heterodyne", FULL, t1=12.5)
    np.testing.assert_allclose(heterodyne_model(TAU, FULL, Q, PHI, t1=12.5), expected, rtol=1e-15)


def test_the_start_time_is_the_first_frame_unless_it_is_given() -> None:
    by_default = heterodyne_model(np.concatenate([[0.0], TAU]), FULL, Q, PHI)
    np.testing.assert_array_equal(by_default[..., 1:], heterodyne_model(TAU, FULL, Q, PHI, t1=TAU[0]))
    np.testing.assert_allclose(by_default[..., 0], 1.0, rtol=1e-15)


def test_parameters_may_be_named_in_any_order() -> None:
    for params, name in ((EQUILIBRIUM, "heterodyne_equilibrium"), (FULL, "heterodyne")):
        names = ModelFactory.create_model(name).parameter_names
        mapping = dict(reversed(list(zip(names, params, strict=True))))
        np.testing.assert_array_equal(
            heterodyne_model(TAU, mapping, Q, PHI), heterodyne_model(TAU, params, Q, PHI)
        )


@pytest.mark.parametrize(
    ("tau", "q", "phi", "shape"),
    [
        (TAU, Q, PHI, (2, 3, 8)),
        (TAU, 0.01, PHI, (3, 8)),
        (TAU, Q, 0.0, (2, 8)),
        (TAU, 0.01, 0.0, (8,)),
        (1.0, 0.01, 0.0, ()),
        (1.0, Q, PHI, (2, 3)),
        (list(TAU), tuple(Q), [0.0], (2, 1, 8)),
    ],
)
def test_axes_are_q_phi_tau_without_those_of_single_numbers(tau, q, phi, shape) -> None:
    for params in (EQUILIBRIUM, FULL):
        assert heterodyne_model(tau, params, q, phi).shape == shape


def test_single_numbers_are_entries_of_the_grid() -> None:
    grid = heterodyne_model(TAU, EQUILIBRIUM, Q, PHI)
    assert heterodyne_model(TAU[3], EQUILIBRIUM, Q[1], PHI[2]) == grid[1, 2, 3]
    np.testing.assert_array_equal(heterodyne_model(TAU, EQUILIBRIUM, Q[0], PHI), grid[0])


def test_a_contrast_makes_it_g2() -> None:
    m = heterodyne_model(TAU, EQUILIBRIUM, Q, PHI)
    np.testing.assert_allclose(heterodyne_model(TAU, EQUILIBRIUM, Q, PHI, contrast=0.2), 1.0 + 0.2 * m)
    np.testing.assert_allclose(
        heterodyne_model(TAU, EQUILIBRIUM, Q, PHI, contrast=0.2, offset=1.1), 1.1 + 0.2 * m
    )


@pytest.mark.parametrize("which", ["tau", "q", "phi"])
def test_one_labelled_argument_labels_the_answer(which: str) -> None:
    axes = {"tau": TAU, "q": Q, "phi": PHI}
    labelled = {**axes, which: xr.DataArray(axes[which], dims=which)}
    m = heterodyne_model(labelled["tau"], EQUILIBRIUM, labelled["q"], labelled["phi"])
    assert isinstance(m, xr.DataArray)
    assert (m.name, m.dims) == ("M", ("q", "phi", "tau"))
    assert {name: m[name].attrs["units"] for name in m.coords} == {"q": "1/Å", "phi": "deg", "tau": "s"}
    np.testing.assert_array_equal(m, heterodyne_model(TAU, EQUILIBRIUM, Q, PHI))
    assert float(m.sel(q=0.01, phi=60.0, tau=1.0)) == heterodyne_model(1.0, EQUILIBRIUM, 0.01, 60.0)


def test_a_labelled_answer_has_no_axis_for_a_single_number() -> None:
    g2 = heterodyne_model(xr.DataArray(TAU, dims="tau"), FULL, 0.01, PHI, contrast=0.3)
    assert (g2.name, g2.dims) == ("g2", ("phi", "tau"))


@pytest.mark.parametrize(("t1", "named"), [(None, min(TAU[TAU > 0])), (7.5, 7.5)])
def test_a_labelled_answer_names_the_start_time_it_assumes(t1: float | None, named: float) -> None:
    m = heterodyne_model(xr.DataArray(TAU, dims="tau"), FULL, 0.01, PHI, t1=t1)
    assert float(m.t1) == named
    assert m.t1.attrs["units"] == "s"
    np.testing.assert_array_equal(m, heterodyne_model(TAU, FULL, 0.01, PHI, t1=named))
    assert "t1" not in heterodyne_model(xr.DataArray(TAU, dims="tau"), EQUILIBRIUM, 0.01, PHI).coords


def test_it_is_public() -> None:
    assert heterodyne_nb.heterodyne_model is heterodyne_model


@pytest.mark.parametrize(
    ("tau", "params", "options", "message"),
    [
        (TAU, EQUILIBRIUM[:4], {}, "4 parameters given"),
        (TAU, [*FULL, 1.0], {}, "15 parameters given"),
        (TAU, {"fraction": 0.3, "J": 1.0}, {}, "J, .*are unknown or missing"),
        (TAU, [*EQUILIBRIUM[:4], np.nan], {}, "phi0 of model 'heterodyne_equilibrium' are not finite"),
        (TAU, [*EQUILIBRIUM[:4], "x"], {}, "expected: numbers"),
        (["one"], EQUILIBRIUM, {}, r"tau = \['one'\]"),
        (TAU, FULL, {"t1": 0.0}, "time 0 s.*\n.*the first frame is at t = dt"),
        (TAU, FULL, {"t1": "soon"}, "t1 = 'soon'"),
        (-TAU, FULL, {"t1": 1.0}, "time -3 s"),
        ([0.0], FULL, {}, "no positive lag.*\n.*give t1="),
    ],
)
def test_what_cannot_be_evaluated_is_an_error_that_says_so(tau, params, options, message) -> None:
    with pytest.raises(ConfigurationError, match=message):
        heterodyne_model(tau, params, Q, PHI, **options)
