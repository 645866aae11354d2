"""The model system and the plugins in the words of the architecture page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

import heterodyne_nb
from heterodyne_nb import HeterodyneModel, ModelFactory, ModelPlugin, heterodyne_model
from heterodyne_nb.data import make_dataset
from heterodyne_nb.models import one_time
from heterodyne_nb.optimize import STRATEGIES


class CustomFlowModel(ModelPlugin):
    def get_model_name(self) -> str:
        return "custom_flow"

    def compute_correlation(self, tau: Any, params: Any, q: Any, phi: Any = None) -> Any:
        D, v = params
        return np.exp(-2 * D * q**2 * tau) * np.cos(q * v * tau)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    ModelFactory.unregister("custom_flow")


@pytest.fixture
def synthetic_data() -> tuple[np.ndarray, np.ndarray]:
    tau = np.logspace(-6, 1, 100)
    g1 = np.exp(-(tau**0.8))
    return tau, g1


def test_the_factory_makes_models_and_names_the_modes_it_knows() -> None:
    assert isinstance(ModelFactory.create_model("heterodyne"), HeterodyneModel)
    assert heterodyne_nb.HeterodyneModel is HeterodyneModel
    with pytest.raises(ValueError, match=r"unknown analysis mode 'no_such'(.|\n)*laminar_flow"):
        ModelFactory.create_model("no_such")


def test_a_plugin_of_two_methods_is_a_model_whose_parameters_are_read_from_its_code() -> None:
    ModelFactory.register(CustomFlowModel)
    model = ModelFactory.create_model("custom_flow")
    assert model.parameter_names == ("D", "v")
    tau = np.linspace(0.0, 2.0, 7)
    m = model.correlation([3.0, 40.0], tau, q=0.1)
    np.testing.assert_allclose(m, np.exp(-0.06 * tau) * np.cos(4.0 * tau))


@pytest.mark.parametrize(
    "given", [None, {"D": 10.0, "v": {"value": 20.0, "min": 0.0, "max": 200.0, "unit": "Å/s"}}]
)
def test_such_a_plugin_is_fitted_like_any_other_model(given: Any) -> None:
    ModelFactory.register(CustomFlowModel, parameters=given)
    tau, q = np.arange(1, 61) * 0.02, np.array([0.05, 0.1])
    rng = np.random.default_rng(5)
    m = CustomFlowModel().compute_correlation(tau, (30.0, 60.0), q[:, None])
    g2 = 1.0 + 0.3 * m[:, None, :] + 0.002 * rng.standard_normal((2, 1, 60))
    ds = make_dataset(g2=g2, g2_err=np.full(g2.shape, 0.002), tau=tau, q=q, phi=[0.0], dt=0.02)
    result = heterodyne_nb.fit(ds, "custom_flow", parameters={"D": 20.0, "v": 50.0})
    assert result.success
    for name, truth in {"D": 30.0, "v": 60.0}.items():
        assert abs(result.values[name] - truth) < 4 * result.errors[name]
        assert result.errors[name] < 0.1 * truth


def test_a_configuration_names_a_plugin_and_a_registered_strategy_like_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class PageStrategy(heterodyne_nb.OptimizationStrategy):
        name = "page_strategy"

        def optimize(self, objective_func: Any, initial_params: Any) -> Any:
            return minimize(objective_func, initial_params, method="Nelder-Mead")

    monkeypatch.setitem(STRATEGIES, "page_strategy", PageStrategy)
    ModelFactory.register(CustomFlowModel)
    values = {
        "analysis_settings": {"mode": "custom_flow"},
        "initial_parameters": {"values": {"D": 300.0, "v": 1.0}, "fixed": ["v"]},
        "optimization": {"classical": {"methods": ["page_strategy"]}},
        "data": {"file": str(Path(__file__).resolve().parents[1] / "fixtures" / "test_data.h5")},
    }
    core = heterodyne_nb.HeterodyneAnalysisCore(values)
    assert core.config.validate()
    result = core.optimize_classical()
    assert (result.success, result.method, result.fit_result.mode) == (True, "page_strategy", "custom_flow")
    assert result.x[1] == 1.0


def test_repeated_evaluations_are_answered_from_a_cache(
    synthetic_data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    tau, _ = synthetic_data
    params = (0.3, 80.0, 900.0, 1500.0, 20.0)
    one_time._correlation.cache_clear()
    first = heterodyne_model(tau, params, 0.03, 10.0)
    kept = first.copy()
    first[:] = 0.0  # the caller's own copy

    def again(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("evaluated again")

    monkeypatch.setattr(one_time.HeterodyneEquilibriumModel, "correlation", again)
    np.testing.assert_array_equal(heterodyne_model(tau, params, 0.03, 10.0), kept)
    np.testing.assert_array_equal(heterodyne_model(tau, params, 0.03, 10.0, contrast=0.2), 1.0 + 0.2 * kept)
    with pytest.raises(AssertionError, match="evaluated again"):
        heterodyne_model(tau, params, 0.03, 11.0)


def test_what_is_large_is_not_kept() -> None:
    one_time._correlation.cache_clear()
    heterodyne_model(np.linspace(0.1, 1, 300), (0.3, 80.0, 900.0, 1500.0, 20.0), np.full(300, 0.03), 10.0)
    assert one_time._correlation.cache_info().currsize == 0
