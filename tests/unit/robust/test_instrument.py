"""The mis-set instrument: derivatives against differences, values against data taken with another instrument."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from robust_samples import maps, objective_of, solved

from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.config.parameters import ParameterSpec
from heterodyne_nb.engine import Objective, OneTimeObjective, OneTimeProblem, RobustObjective
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory, ModelPlugin
from heterodyne_nb.models.plugin import adapt_plugin
from heterodyne_nb.robust.instrument import Instrument, checked_tolerances

ALL = {"q_scale": 0.01, "phi_zero_deg": 1.0, "frame_time": 0.005, "baseline": 0.002, "frame_stripe": 0.003}


def one_time_objective() -> OneTimeObjective:
    model = ModelFactory.create_model("heterodyne_equilibrium")
    names = {"fraction": 0.4, "J_ref": 60.0, "J_sample": 400.0, "v": 60.0, "phi0": 20.0}
    table = resolve_parameters(model.name, names, specs=model.parameters)
    tau, q, phi = np.arange(1, 40) * 0.3, np.full(3, 0.01), np.array([0.0, 40.0, 80.0])
    m = model.correlation(np.array(list(names.values())), tau[None], q=q[:, None], phi=phi[:, None])
    g2 = 1 + 0.2 * m + 1e-3 * np.random.default_rng(0).standard_normal(m.shape)
    return OneTimeObjective(OneTimeProblem(model, table, tau, g2, np.full(g2.shape, 1e6), q, phi))


class Stretched(ModelPlugin):
    """A two-time model without curves."""

    two_time = True
    parameters = (
        ParameterSpec("rate", "1/s", 0.3, 0.0, 10.0, "decay rate at q = 0.01 1/Å"),
        ParameterSpec("power", "1", 1.0, 0.2, 2.0, "stretching"),
    )

    def get_model_name(self) -> str:
        return "stretched_for_instrument"

    def compute_correlation(self, tau, params, q, phi=None):
        lag = np.abs(np.asarray(tau[1]) - np.asarray(tau[0]))
        turn = 1 + 0.2 * np.cos(np.radians(phi))
        return np.exp(-2 * (params[0] * turn * (np.asarray(q) / 0.01) ** 2 * lag) ** params[1])


def plugin_objective() -> Objective:
    static = solved()[0].problem
    model = adapt_plugin(Stretched())
    table = resolve_parameters(model.name, {"rate": 0.3, "power": 0.9}, specs=model.parameters)
    return Objective(replace(static.every(2), model=model, table=table, layouts={}))


def cases() -> dict[str, tuple[Objective, np.ndarray]]:
    out = {mode: solved(mode) for mode in ("static_isotropic", "heterodyne", "laminar_flow")}
    for name, objective in (("one-time", one_time_objective()), ("plugin", plugin_objective())):
        out[name] = (objective, objective.x0)
    return out


@pytest.fixture(scope="module")
def every() -> dict[str, tuple[Objective, np.ndarray]]:
    return cases()


@pytest.mark.parametrize("name", ["static_isotropic", "heterodyne", "laminar_flow", "one-time", "plugin"])
def test_derivatives_by_the_unknowns_are_those_of_the_true_function(name: str, every) -> None:
    objective, theta = every[name]
    instrument = Instrument(objective, {k: v for k, v in ALL.items() if k != "frame_stripe"})
    wanted = objective.moving
    local = instrument.equations(theta, wanted)
    h = 1e-3 if name != "plugin" else 1e-2
    for k in range(instrument.size):
        u = np.zeros(instrument.size)
        u[k] = h
        slope = (instrument.chi2_at(theta, u) - instrument.chi2_at(theta, -u)) / (2 * h)
        scale = np.sqrt(local.chi2 * local.hessian[len(wanted) + k, len(wanted) + k])
        assert abs(slope - local.gradient[len(wanted) + k]) <= 1e-5 * scale
    assert local.chi2 == pytest.approx(objective(theta), rel=1e-8)
    np.testing.assert_allclose(
        local.gradient[: len(wanted)],
        objective.equations(theta).gradient[wanted],
        rtol=1e-6,
        atol=1e-6 * local.chi2,
    )


@pytest.mark.parametrize("name", ["static_isotropic", "heterodyne", "laminar_flow", "plugin"])
def test_a_mis_set_instrument_is_one_whose_labels_are_wrong(name: str, every) -> None:
    objective, theta = every[name]
    instrument = Instrument(objective, {"q_scale": 0.01, "phi_zero_deg": 1.0, "frame_time": 0.005})
    u, p = np.array([0.7, -0.4, 0.5]), objective.problem
    relabelled = replace(p, q=p.q * 1.007, phi=p.phi - 0.4, t=p.t * 1.0025, layouts={})
    expected = Objective(relabelled).equations(theta, derivatives=False).chi2
    assert instrument.chi2_at(theta, u) == pytest.approx(expected, rel=1e-9)


def test_a_shift_of_frames_is_added_to_the_maps() -> None:
    objective, theta = solved()
    instrument = Instrument(objective, {"frame_stripe": 0.01})
    u = np.zeros(instrument.size)
    u[2] = 1.5
    edges = np.rint(np.linspace(0, 40, instrument.clusters + 1)).astype(int)
    bad = np.zeros(40, bool)
    bad[edges[2] : edges[3]] = True
    shifted = objective.problem.data - 0.015 * (bad[:, None] | bad[None, :]).astype(np.float32)
    moved = replace(
        objective.problem, data=np.where(objective.problem.data == 0, 0, shifted).astype(np.float32)
    )
    assert instrument.chi2_at(theta, u) == pytest.approx(Objective(moved)(theta), rel=1e-5)


def test_a_wrong_q_of_a_static_fit_is_another_rate() -> None:
    objective, theta = solved()
    instrument = Instrument(objective, {"q_scale": 0.01})
    local = instrument.equations(theta, objective.moving)
    m = len(objective.moving)
    response = np.linalg.solve(local.hessian[:m, :m], local.hessian[:m, m:]).ravel()
    np.testing.assert_allclose(response[[0, 2]], 0.02 * theta[[0, 2]], rtol=1e-6)  # J grows by (1 + s)²
    assert response[1] == pytest.approx(0.0, abs=1e-8)


def test_a_robust_loss_weights_the_unknowns_too() -> None:
    plain, theta = solved()
    local = plain.equations(theta, derivatives=False)
    start = local.contrast, local.offset
    robust = RobustObjective(plain.problem, loss="huber", scale=1.0, start=start)
    instrument = Instrument(robust, ALL)
    joint = instrument.equations(theta, robust.moving, weighting=instrument.weighting(theta))
    assert joint.chi2 == pytest.approx(robust(theta), rel=1e-9)
    lighter = Instrument(plain, ALL).equations(theta, plain.moving)
    acting = np.diag(lighter.hessian) > 0  # a static model knows no direction
    assert np.all(np.diag(joint.hessian)[acting] < np.diag(lighter.hessian)[acting])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"q_scal": 0.01}, "did you mean 'q_scale'"),
        ({"q_scale": -0.1}, "0 to 0.5"),
        ({"q_scale": 0.0}, "every calibration counts as known"),
        ({"phi_zero_deg": "1"}, "0 to 90"),
    ],
)
def test_wrong_tolerances_are_told(asked: dict, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        checked_tolerances(asked)


def test_priors_belong_to_the_joint_equations() -> None:
    ds = maps()
    objective = objective_of(
        ds, "static_isotropic", {"D0": {"value": 300.0, "prior": (250.0, 20.0)}, "alpha": -0.4}
    )
    instrument = Instrument(objective, {"q_scale": 0.01})
    theta = objective.x0
    assert instrument.equations(theta, objective.moving).chi2 == pytest.approx(objective(theta), rel=1e-10)
    assert instrument.chi2_at(theta, np.zeros(1)) == pytest.approx(objective(theta), rel=1e-10)
