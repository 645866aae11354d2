"""A separable model of the user's own: registered, evaluated, checked, fitted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from heterodyne_nb import fit, simulate
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory, ParameterSpec, SeparableModel, Terms, check_model
from heterodyne_nb.models.model import SeparableModel as Base

T = np.arange(1, 41) * 0.5


class Swing(SeparableModel):
    """A component that swings past one at rest."""

    name = "swing"
    parameters = (
        ParameterSpec("J", "Å²/s", 100.0, 0.0, 1e5, "transport of both"),
        ParameterSpec("reach", "Å", 200.0, 0.0, 1e5, "amplitude of the swing"),
        ParameterSpec("share", "1", 0.4, 0.0, 1.0, "field share of the swinging component"),
    )

    def terms(self, params, t, phi, *, derivatives=True):
        J, reach, x = self.unpack(params)
        out = Terms.zeros(2, 1, 3, len(t), len(phi))
        cross = 2 * x * (1 - x) / (x**2 + (1 - x) ** 2)
        slope = (2 - 4 * x) / (x**2 + (1 - x) ** 2) - cross * (4 * x - 2) / (x**2 + (1 - x) ** 2)
        first, second = 1 / (1 + cross), cross / (1 + cross)
        out.amplitude[:] = np.sqrt([first, second])[:, None]
        bend = slope / (1 + cross) ** 2
        out.d_amplitude[:, 2] = np.array([-bend, bend])[:, None] / (2 * out.amplitude)
        out.decay[:] = J * (t - t[0])
        out.d_decay[:, 0] = t - t[0]
        wave = np.sin(2 * np.pi * t / 10)
        out.displacement[0], out.d_displacement[0, 1] = reach * wave, wave
        out.weight[1, 0] = np.cos(np.radians(phi))
        return out


class WrongSlope(Swing):
    name = "wrong_slope"

    def terms(self, params, t, phi, *, derivatives=True):
        out = super().terms(params, t, phi, derivatives=derivatives)
        out.d_displacement[0, 1] *= 1.01
        return out


class TooBright(Swing):
    name = "too_bright"

    def terms(self, params, t, phi, *, derivatives=True):
        out = super().terms(params, t, phi, derivatives=derivatives)
        out.amplitude[1] *= 1.1
        return out


@pytest.fixture
def swing() -> Iterator[str]:
    name = ModelFactory.register(Swing)
    yield name
    ModelFactory.unregister(name)


@pytest.mark.parametrize("mode", ["static_isotropic", "heterodyne", "multicomponent_3"])
def test_the_sum_of_the_terms_is_the_model(mode: str) -> None:
    model = ModelFactory.create_model(mode)
    rng = np.random.default_rng(0)
    theta = np.array([spec.default for spec in model.parameters])
    theta[[n.startswith(("f0", "f3")) for n in model.parameter_names]] = 0.2
    t1, t2 = rng.choice(T, (2, 30))
    q, phi = rng.uniform(0.001, 0.01, 30), rng.uniform(-90, 90, 30)
    own = model.correlation(theta, t1, t2, q=q, phi=phi)
    summed = Base.correlation(model, theta, t1, t2, q=q, phi=phi)
    np.testing.assert_allclose(summed, own, rtol=0, atol=1e-13)


def test_a_model_given_by_its_curves_is_simulated_and_fitted_by_name(swing: str) -> None:
    truth = {"J": 150.0, "reach": 400.0, "share": 0.3}
    ds = simulate.model_maps(swing, truth, q=0.01, phi=[0, 45, 90], n_frames=40, dt=0.5, noise=0.01, seed=1)
    start = {"J": 120.0, "reach": 380.0, "share": 0.35}
    result = fit(ds, swing, parameters=start, multistart=0)
    for name, value in truth.items():
        assert abs(result.values[name] - value) < 4 * result.errors[name] < 0.2 * value
    assert result.model_map(q=0.01, phi=45, t=T).shape == (40, 40)


@pytest.mark.parametrize("mode", ["static_isotropic", "heterodyne", "multicomponent_3"])
def test_the_derivatives_of_the_built_in_models_pass(mode: str) -> None:
    model = ModelFactory.create_model(mode)
    lower, upper = (np.array([getattr(s, end) for s in model.parameters]) for end in ("lower", "upper"))
    typical = {"D0": 500.0, "alpha": -0.4, "D_offset": 20.0, "v0": 80.0, "beta": -0.3, "v_offset": 10.0,
               "f0": 0.2, "f1": -0.03, "f2": 5.0, "f3": 0.2, "phi0": 20.0}  # fmt: skip
    theta = [
        next(v for k, v in typical.items() if n == k or n.startswith(f"{k}_")) for n in model.parameter_names
    ]
    assert np.all((theta >= lower) & (theta <= upper))
    off = check_model(model, theta, T, phi=[0, 30, 80])
    assert set(off) == set(model.parameter_names)
    assert max(off.values()) < 1e-5


def test_a_wrong_derivative_is_found_and_named() -> None:
    values = {"J": 100.0, "reach": 300.0, "share": 0.3}
    assert max(check_model(Swing(), values, T, phi=[0, 40]).values()) < 1e-6
    with pytest.raises(ConfigurationError, match=r"d_displacement by reach.*off by 0\.0099"):
        check_model(WrongSlope(), values, T, phi=[0, 40])
    with pytest.raises(ConfigurationError, match=r"'too_bright' is 1\.\d+ on the diagonal"):
        check_model(TooBright(), values, T)


def test_what_cannot_be_checked_or_registered_is_said() -> None:
    with pytest.raises(ConfigurationError, match="has no terms to check"):
        check_model(ModelFactory.create_model("laminar_flow"), [1.0] * 7, T)
    with pytest.raises(ConfigurationError, match=r"cannot be created: .*abstract"):
        ModelFactory.register(SeparableModel)
    with pytest.raises(ConfigurationError, match="is no model"):
        ModelFactory.register(dict)  # type: ignore[arg-type]

    class NoNames(Swing):
        name = "no_names"
        parameters = ()

    with pytest.raises(ConfigurationError, match="'no_names' names no parameters"):
        ModelFactory.register(NoNames)
