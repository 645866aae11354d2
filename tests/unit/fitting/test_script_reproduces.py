"""The script a result writes does the same fit again, on the shipped example."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import pytest

import heterodyne_nb
from heterodyne_nb import fit, open_dataset
from heterodyne_nb.result import FitResult
from heterodyne_nb.simulate import example_path, example_truth


def again(result: FitResult, monkeypatch: pytest.MonkeyPatch) -> FitResult:
    """Execute the result's script as it stands."""
    monkeypatch.chdir(example_path().parent)
    names: dict[str, Any] = {}
    exec(compile(result.to_script(), "script.py", "exec"), names)
    return names["result"]


@pytest.fixture(scope="module")
def data():
    ds = open_dataset(example_path(), q=[0.009], phi=[-45.0, 0.0, 45.0], frames=(11, 90), mask=[20, (33, 35)])
    yield ds
    ds.close()


SETTINGS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "robust with an option": {"loss": "huber", "loss_scale": 1.2, "options": {"max_iterations": 40}},
    "tied, fixed, expected": {
        "contrast": "shared",
        "method": "trf",
        "parameters": {
            "alpha_sample": {"tie": "alpha_ref"},
            "f2": {"value": 0.0, "vary": False},
            "phi0": {"value": 15.0, "min": -90.0, "prior": (14.0, 5.0)},
        },
    },
}


@pytest.fixture(scope="module")
def fitted(data):
    """The fit with some of the settings."""

    @cache
    def one(which: str) -> FitResult:
        settings = dict(SETTINGS[which])
        parameters = example_truth()["parameters"] | settings.pop("parameters", {})
        return fit(data, "heterodyne", parameters=parameters, multistart=0, seed=3, **settings)

    return one


@pytest.mark.parametrize("which", SETTINGS)
@pytest.mark.filterwarnings("ignore:the fit did not converge:heterodyne_nb.errors.FitWarning")
def test_the_script_reproduces_chi_square_to_the_last_digits(fitted, which: str, monkeypatch, capsys) -> None:
    result = fitted(which)
    repeated = again(result, monkeypatch)
    assert repeated.chi2 == pytest.approx(result.chi2, rel=1e-10)
    np.testing.assert_allclose(list(repeated.values.values()), list(result.values.values()), rtol=1e-6)
    assert repeated.provenance == result.provenance
    assert repeated.summary() in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:the fit did not converge:heterodyne_nb.errors.FitWarning")
def test_the_script_holds_every_setting_that_matters(fitted) -> None:
    script = fitted("robust with an option").to_script()
    for name in ("loss", "loss_scale", "options", "multistart", "parameters", "seed"):
        assert re.search(rf"\b{name}=", script), name
    assert "# recorded, but not an argument" not in script


def test_a_one_time_fit_is_reproduced_too(monkeypatch) -> None:
    with open_dataset(example_path(), q=[0.009], phi=[0.0]) as ds:
        result = fit(ds, "kww", seed=7)
    assert again(result, monkeypatch).chi2 == pytest.approx(result.chi2, rel=1e-10)
    assert heterodyne_nb.__version__ in result.to_script()
