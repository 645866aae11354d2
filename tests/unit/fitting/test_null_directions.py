"""Every direction that no data can tell, in every mode, is found and named; and no others are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from fit_samples import HETERODYNE

from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.engine import Objective, OneTimeObjective, problem_from_dataset
from heterodyne_nb.fitting.one_time_fit import one_time_problem
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.simulate import model_maps
from heterodyne_nb.uncertainty import Identifiability, identifiability

PHI = [-60.0, -15.0, 10.0, 30.0, 75.0]
STATIC = [300.0, -0.4, 30.0]
LAMINAR = [300.0, -0.4, 30.0, 2e-3, -0.3, 5e-4, 15.0]
TWO = [150.0, -0.3, 20.0, 1500.0, -0.5, 150.0, 300.0, -0.4, 40.0, 0.35, -0.04, 0.27, 15.0]
THREE = [*TWO, 700.0, -0.2, 60.0, 120.0, 0.2, 15.0, 0.1, -0.06, 0.1, 50.0]
SHIFT = "f0 and f2 only through f0·exp(−f1·f2)"
GAP = 2e6


def found(mode: str, values: list[float], phi: list[float]) -> Identifiability:
    """Identifiability of a mode at its own parameters, on exact maps."""
    gap = GAP if mode == "laminar_flow" else None
    grid: dict[str, Any] = {"q": [0.006, 0.012], "phi": phi, "n_frames": 48, "dt": 0.5, "gap": gap}
    ds = model_maps(mode, values, contrast=0.3, noise=0.005, **grid)

    model = ModelFactory.create_model(mode)
    table = resolve_parameters(
        model.name, dict(zip(model.parameter_names, values, strict=True)), specs=model.parameters
    )
    objective = Objective(problem_from_dataset(ds, model, table, gap=gap))
    hessian = objective.equations(np.array(values), wanted=np.arange(len(values))).hessian
    return identifiability(hessian, model.parameter_names, values, model=model)


def nulls(what: Identifiability) -> list[str]:
    return [direction.text for direction in what.directions if direction.kind == "null"]


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("static_isotropic", STATIC, []),
        ("static_anisotropic", STATIC, []),
        ("laminar_flow", LAMINAR, []),
        ("heterodyne", list(HETERODYNE.values()), [SHIFT]),
        ("multicomponent_2", TWO, []),
        ("multicomponent_3", THREE, []),
    ],
)
def test_with_several_angles(mode: str, values: list[float], expected: list[str]) -> None:
    assert nulls(found(mode, values, PHI)) == expected


@pytest.mark.parametrize(
    ("mode", "values", "count"),
    [
        ("laminar_flow", LAMINAR, 1),
        ("heterodyne", list(HETERODYNE.values()), 2),
        ("multicomponent_2", TWO, 1),
        ("multicomponent_3", THREE, 2),
    ],
)
def test_one_angle_leaves_each_velocity_and_its_direction_open(
    mode: str, values: list[float], count: int
) -> None:
    what = found(mode, values, [40.0])
    assert what.n_null == count
    angles = [text for text in nulls(what) if "phi0" in text]
    assert len(angles) == count - nulls(what).count(SHIFT)
    assert all("only through the velocity along the angles measured" in text for text in angles)


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("static_isotropic", [300.0, 0.0, 30.0], ["D0 and D_offset only as their sum"]),
        (
            "laminar_flow",
            [300.0, -0.4, 30.0, 2e-3, 0.0, 5e-4, 15.0],
            ["gamma_dot_0 and gamma_dot_offset only as their sum"],
        ),
        (
            "heterodyne",
            [*list(HETERODYNE.values())[:7], 0.0, *list(HETERODYNE.values())[8:]],
            [SHIFT, "v0 and v_offset only as their sum"],
        ),
        (
            "multicomponent_2",
            [150.0, 0.0, 20.0, *TWO[3:]],
            ["D0_1 and D_offset_1 only as their sum"],
        ),
    ],
)
def test_a_constant_rate_knows_only_the_sum_of_its_two_parts(
    mode: str, values: list[float], expected: list[str]
) -> None:
    assert sorted(nulls(found(mode, values, PHI))) == sorted(expected)


def test_a_constant_fraction_knows_only_the_sum_of_its_parts() -> None:
    values = list((HETERODYNE | {"f1": 0.0}).values())
    what = found("heterodyne", values, PHI)
    assert what.status[what.names.index("f2")] == "null"
    assert "f0 and f3 only as their sum" in nulls(what)


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("kww", [0.05, 0.9], []),
        ("heterodyne_equilibrium", [0.4, 60.0, 600.0, 90.0, 15.0], []),
    ],
)
def test_one_time_modes(mode: str, values: list[float], expected: list[str]) -> None:
    assert nulls(one_time(mode, values, PHI)) == expected


def test_one_angle_of_a_one_time_mode() -> None:
    texts = nulls(one_time("heterodyne_equilibrium", [0.4, 60.0, 600.0, 90.0, 15.0], [40.0]))
    assert len(texts) == 1
    assert "v" in texts[0]
    assert "phi0" in texts[0]


def one_time(mode: str, values: list[float], phi: list[float]) -> Identifiability:
    model, tau, q = ModelFactory.create_model(mode), 0.5 * np.arange(1, 60), np.array([0.006, 0.012])
    exact = model.correlation(
        values, tau[None, None, :], q=q[:, None, None], phi=np.array(phi)[None, :, None]
    )
    g2 = 1 + 0.2 * np.broadcast_to(exact, (2, len(phi), tau.size))
    ds = xr.Dataset(
        {"g2": (("q", "phi", "tau"), g2), "g2_err": (("q", "phi", "tau"), np.full(g2.shape, 1e-3))},
        coords={"q": q, "phi": phi, "tau": tau},
    )
    asked = dict(zip(model.parameter_names, values, strict=True))
    table = resolve_parameters(mode, asked, specs=model.parameters)
    objective = OneTimeObjective(one_time_problem(ds, model, table))
    hessian = objective.equations(np.array(values), wanted=np.arange(len(values))).hessian
    return identifiability(hessian, model.parameter_names, values, rcond=1e-9, model=model)
