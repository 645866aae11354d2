"""Which model the data ask for: the right one, on data of each."""

from __future__ import annotations

from functools import cache
from typing import Any

import numba as nb
import numpy as np
import pytest
import xarray as xr

import heterodyne_nb as hnb
from heterodyne_nb.assess import ModelComparison, compare_models
from heterodyne_nb.assess.compare_models import _held_out, _trace
from heterodyne_nb.data import make_dataset
from heterodyne_nb.errors import ConfigurationError, OptimizationError
from heterodyne_nb.fitting.same_fit import objective_of, optimum
from heterodyne_nb.progress import StopToken
from heterodyne_nb.simulate import model_maps, speckle

HETERODYNE = {
    "D0_ref": 150.0, "alpha_ref": -0.3, "D_offset_ref": 20.0,
    "D0_sample": 1500.0, "alpha_sample": -0.5, "D_offset_sample": 150.0,
    "v0": 300.0, "beta": -0.4, "v_offset": 40.0,
    "f0": 0.35, "f1": -0.04, "f2": 0.0, "f3": 0.27, "phi0": 15.0,
}  # fmt: skip
STATIC = {"D0": 300.0, "alpha": -0.4, "D_offset": 30.0}
PHI = [-60.0, -15.0, 0.0, 30.0, 45.0, 75.0]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = nb.get_num_threads()
    nb.set_num_threads(1)
    yield
    nb.set_num_threads(threads)


@cache
def flowing() -> xr.Dataset:
    return speckle(
        "heterodyne", HETERODYNE, q=[0.009], phi=PHI, n_frames=64, dt=0.5, n_pixels=600, contrast=0.3, seed=2
    )


@cache
def compared() -> ModelComparison:
    return compare_models(
        flowing(),
        ["heterodyne", "static_anisotropic"],
        parameters={"static_anisotropic": STATIC, "heterodyne": HETERODYNE},
        multistart=0,
        folds=3,
    )


def test_data_with_fringes_ask_for_the_model_with_fringes() -> None:
    found = compared()
    assert found.chosen == "heterodyne"
    assert found.verdict().startswith("The data ask for heterodyne; static_anisotropic leaves too much over.")
    table = found.table()
    assert table.index.tolist() == ["static_anisotropic", "heterodyne"]  # simplest first
    assert table.loc["heterodyne", "clic"] == table.loc["heterodyne", "bic"] == 0.0
    gain, error = table.loc["heterodyne", ["held_out_gain", "held_out_gain_error"]]
    assert gain > 2 * error > 0


@pytest.mark.filterwarnings("ignore::heterodyne_nb.errors.FitWarning")
def test_data_without_fringes_do_not_ask_for_them() -> None:
    data = speckle(
        "static_isotropic",
        STATIC,
        q=[0.012],
        phi=PHI,
        n_frames=64,
        dt=0.5,
        n_pixels=600,
        contrast=0.3,
        seed=3,
    )
    start = {**HETERODYNE, "v0": 20.0}
    found = compare_models(
        data,
        ["static_anisotropic", "heterodyne"],
        parameters={"static_anisotropic": STATIC, "heterodyne": start},
        multistart=0,
        folds=3,
    )
    assert found.chosen == "static_anisotropic"
    assert "heterodyne is not justified" in found.verdict()
    assert found.fits["heterodyne"].chi2 <= found.fits["static_anisotropic"].chi2 * 1.02


def test_with_independent_pixels_each_fitted_number_takes_up_one_unit() -> None:
    data = model_maps(
        "static_isotropic",
        STATIC,
        q=[0.01, 0.02],
        phi=PHI,
        n_frames=64,
        dt=0.5,
        contrast=0.2,
        noise=0.01,
        seed=6,
    )
    result = hnb.fit(data, "static_isotropic", parameters=STATIC, multistart=0)
    objective = objective_of(result, data)
    ratio = _trace(objective, optimum(result)) / objective.n_free
    assert 0.5 < ratio < 2.0  # corrected for few clusters, on the careful side


def test_correlated_pixels_count_as_fewer() -> None:
    attrs = compared().dataset.attrs
    assert attrs["inflation"] > 5
    assert attrs["n_effective"] == pytest.approx(attrs["n_data"] / attrs["inflation"])


def test_without_folds_the_criteria_decide() -> None:
    found = compare_models(
        flowing(),
        ["static_anisotropic", "heterodyne"],
        parameters={"static_anisotropic": STATIC, "heterodyne": HETERODYNE},
        multistart=0,
        folds=0,
    )
    assert found.chosen == "heterodyne"
    assert "held_out" not in found.dataset
    assert "held-out" not in repr(found).splitlines()[1]


def test_a_held_out_angle_is_predicted_by_the_fit_to_the_others() -> None:
    data = flowing().assign(sigma=(("q", "phi"), np.full((1, 6), 0.05)))
    whole = hnb.fit(data, "static_anisotropic", parameters=STATIC, multistart=0)
    folds = _held_out(objective_of(whole, data), optimum(whole), 3, StopToken())
    rest, left = data.isel(phi=[1, 2, 4, 5]), data.isel(phi=[0, 3])
    fitted = hnb.fit(rest, "static_anisotropic", parameters=whole.values, multistart=0)
    held = {name: {"value": value, "vary": False} for name, value in fitted.values.items()}
    predicted = hnb.fit(left, "static_anisotropic", parameters=held, multistart=0).chi2
    assert folds[0] == pytest.approx(predicted, rel=1e-4)


def test_it_prints_a_table_a_verdict_and_what_the_pixels_count() -> None:
    lines = repr(compared()).splitlines()
    assert lines[0].startswith("The data ask for heterodyne")
    assert lines[1].split()[:3] == ["mode", "fitted", "numbers"]
    assert "data count as" in lines[-1]
    html = compared()._repr_html_()
    assert '<tr class="hnb-mark"><td>heterodyne</td>' in html
    assert np.isfinite(compared().dataset["chi2"]).all()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"modes": ["heterodyne"]}, "two or more"),
        ({"modes": ["heterodyne", "heterodyne"]}, "two or more"),
        ({"modes": ["heterodyne", "kww"]}, "modes of one kind"),
        ({"modes": ["heterodyne", "hetrodyne"]}, "heterodyne"),
        ({"parameters": {"laminar_flow": {}}}, "parameters are given for laminar_flow"),
        ({"folds": -1}, "folds"),
    ],
)
def test_what_cannot_be_compared_is_named(changes: dict, told: str) -> None:
    arguments = {"modes": ["static_anisotropic", "heterodyne"], **changes}
    with pytest.raises(ConfigurationError, match=told):
        compare_models(flowing(), **arguments)


def test_a_stopped_comparison_is_an_error() -> None:
    stop = StopToken()
    stop.cancel()
    with pytest.raises(OptimizationError, match="comparison was stopped"):
        compare_models(
            flowing(),
            ["static_anisotropic", "heterodyne"],
            parameters={"static_anisotropic": STATIC},
            multistart=0,
            stop=stop,
        )


def _decays(shape: Any, errors: bool = True) -> xr.Dataset:
    """Three curves with correlated errors."""
    tau, q = np.geomspace(0.02, 40.0, 40), np.array([0.01, 0.014, 0.02])
    apart = np.abs(np.subtract.outer(np.arange(40), np.arange(40)))
    noise = np.random.default_rng(0).standard_normal((3, 40)) @ np.linalg.cholesky(0.8**apart).T
    g2 = 1 + 0.2 * shape(0.2 * (q[:, None] / 0.01) ** 2 * tau) + 2e-3 * noise
    known = np.full((3, 1, 40), 2e-3) if errors else None
    return make_dataset(g2=g2[:, None], g2_err=known, tau=tau, q=q, phi=[0.0], dt=0.02)


@pytest.mark.parametrize(
    ("truth", "shape", "errors"),
    [
        ("single_exponential", lambda x: np.exp(-2 * x), True),
        ("single_exponential", lambda x: np.exp(-2 * x), False),
        ("kww", lambda x: np.exp(-2 * x**0.7), False),
        ("double_exponential", lambda x: (0.5 * np.exp(-5 * x) + 0.5 * np.exp(-x / 5)) ** 2, True),
    ],
)
def test_the_decay_that_made_the_data_is_chosen_though_lags_are_correlated(truth, shape, errors) -> None:
    found = compare_models(_decays(shape, errors), ["single_exponential", "kww", "double_exponential"])
    assert found.chosen == truth
    assert found.dataset.attrs["inflation"] > 1.5
    assert "held_out" not in found.dataset
