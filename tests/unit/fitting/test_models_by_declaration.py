"""A model is known by what it says of itself, never by its names: subclasses and models of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import xarray as xr

from heterodyne_nb import fit, simulate
from heterodyne_nb.config.parameters import ParameterSpec
from heterodyne_nb.engine import Objective, problem_from_dataset
from heterodyne_nb.fitting.fitting import parameter_table
from heterodyne_nb.models import Curve, HalfTurn, ModelFactory, Reversal, SeparableModel, Terms
from heterodyne_nb.models.symmetries import canonical
from heterodyne_nb.optimize.guess import StartSampler
from heterodyne_nb.optimize.hops import Hops
from heterodyne_nb.plots.fringes import flow_of
from heterodyne_nb.result import FitResult

GAP = 5e5
GRID: dict[str, Any] = {"phi": [-40, 0, 35, 80], "n_frames": 30, "dt": 0.5, "noise": 0.02, "contrast": 0.3}
HETERODYNE = (60, 0.1, 5, 900, -0.2, 20, 300, -0.1, 5, 0.2, -0.05, 0, 0.3, 12)
THREE = (
    *(60, 0.1, 5, 400, -0.2, 10, 200, 0.1, 5, 0.1, -0.05, 0.2, 20),
    *(900, 0.1, 5, -400, 0, 5, 0.05, 0.02, 0.25, 60),
)
#: So that the search is quick.
HELD = {
    name: {"value": value, "vary": False}
    for name, value in zip(ModelFactory.create_model("multicomponent_3").parameter_names, THREE, strict=True)
    if not name.startswith(("D0", "v0", "f3", "phi0"))
}
CASES: dict[str, tuple[tuple[float, ...], list[float], dict[str, Any]]] = {
    "heterodyne": (HETERODYNE, [0.006, 0.01], {}),
    "multicomponent_3": (THREE, [0.008], {"parameters": HELD}),
    "laminar_flow": ((300, -0.2, 10, 2e-3, 0.1, 1e-5, 20), [0.006], {"gap": GAP}),
}


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name == "multicomponent_3")) for name in CASES]
)
def twice(request: pytest.FixtureRequest) -> Iterator[tuple[FitResult, FitResult]]:
    """A built-in model and the same one under another name, fitted with a search."""
    mode = request.param
    values, q, more = CASES[mode]
    model = ModelFactory.create_model(mode)
    model.name = "my_model"
    ModelFactory.register(model)
    gap = more.get("gap")
    maps = [simulate.model_maps(m, values, q=q, **GRID, gap=gap, seed=1) for m in (mode, "my_model")]
    np.testing.assert_array_equal(maps[0]["c2"].values, maps[1]["c2"].values)
    yield tuple(fit(maps[0], m, multistart=2, seed=3, **more) for m in (mode, "my_model"))
    ModelFactory.unregister("my_model")


def test_the_same_model_under_another_name_gives_the_same_result_to_the_last_bit(
    twice: tuple[FitResult, FitResult],
) -> None:
    built_in, mine = twice
    assert mine.mode == "my_model"
    assert set(built_in.dataset.variables) == set(mine.dataset.variables)
    for name, variable in built_in.dataset.variables.items():
        np.testing.assert_array_equal(mine.dataset[name].values, variable.values, err_msg=str(name))
        assert mine.dataset[name].attrs == variable.attrs
    xr.testing.assert_identical(mine.derived(), built_in.derived())
    assert mine.flags == built_in.flags
    assert mine.identifiability() == built_in.identifiability()
    assert [s.values for s in mine.solutions] == [s.values for s in built_in.solutions]
    assert (
        mine.summary().replace("my_model", built_in.mode).split("\n")[2:20]
        == (built_in.summary().split("\n")[2:20])
    )


class Wind(SeparableModel):
    """Half of the field drifts at a speed w(t), all of it forgets with one transport coefficient."""

    name = "wind"
    parameters = (
        ParameterSpec("mobility", "Å²/s", 100.0, 0.0, 1e6, "amplitude of the transport coefficient"),
        ParameterSpec("ageing", "1", 0.0, -2.0, 2.0, "its exponent"),
        ParameterSpec("rest", "Å²/s", 0.0, -1e5, 1e5, "its constant part"),
        ParameterSpec("speed", "Å/s", 100.0, -1e6, 1e6, "drift"),
        ParameterSpec("azimuth", "deg", 0.0, -360.0, 360.0, "direction of the drift"),
    )
    curve_specs = (
        Curve("K", "Å²/s", "transport", (0, 1, 2), "power_law"),
        Curve("w", "Å/s", "velocity", (3,), "constant", direction=4),
    )
    symmetries = (HalfTurn(), Reversal())

    def terms(self, params: Any, t: Any, phi: Any, *, derivatives: bool = True) -> Terms:
        a, b, c, w, azimuth = params
        out, angle = Terms.zeros(2, 1, 5, len(t), len(phi)), np.radians(azimuth - phi)
        growth, log = t ** (1 + b) / (1 + b), np.log(t) - 1 / (1 + b)
        F = np.array([a * growth + c * t, growth, a * growth * log, t])  # and its derivatives
        F -= F[:, :1]
        out.amplitude[:] = np.sqrt(0.5)
        out.decay[:], out.d_decay[:, :3] = F[0], F[1:]
        out.displacement[0], out.d_displacement[0, 3] = w * (t - t[0]), t - t[0]
        out.weight[1, 0], out.d_weight[1, 0, 4] = np.cos(angle), -np.sin(angle) * np.pi / 180
        return out


TRUTH = {"mobility": 800.0, "ageing": -0.3, "rest": 50.0, "speed": 150.0, "azimuth": 20.0}


@pytest.fixture
def wind() -> Iterator[Wind]:
    ModelFactory.register(Wind)
    yield ModelFactory.create_model("wind")
    ModelFactory.unregister("wind")


@pytest.fixture
def blown(wind: Wind) -> xr.Dataset:
    return simulate.model_maps("wind", TRUTH, q=[0.006, 0.01], **GRID, seed=2)


def test_a_model_of_ones_own_in_twenty_lines_is_searched_for_and_has_all_that_built_in_ones_have(
    blown: xr.Dataset,
) -> None:
    result = fit(blown, "wind", multistart=6)
    t = blown["t"].values
    truth = {"K": 800.0 * t**-0.3 + 50.0, "w": np.full(len(t), 150.0)}
    for name, curve in truth.items():
        found = result.curve(name)
        assert np.mean((found["lower"] <= curve) & (curve <= found["upper"])) > 0.8, name
        assert np.all((found["upper"] - found["lower"])[5:] < 0.3 * curve.max())
    assert float(result.curve("K")["lower"].min()) >= 0.0
    assert -90.0 < result.values["azimuth"] <= 90.0
    assert abs(result.values["azimuth"] - 20.0) < 4 * result.errors["azimuth"] < 20.0
    derived = result.derived()
    names = derived["quantity"].values.tolist()
    assert names == ["D", "mean_w", "displacement"]
    middle = 0.5 * (t[0] + t[-1])
    j = 0.5 * np.interp(middle, t, result.dataset["K"].values)
    assert float(derived["value"].sel(quantity="D")) == pytest.approx(j, rel=1e-3)
    assert "fringe_rate" in derived
    speed, azimuth = result.values["speed"], result.values["azimuth"]
    assert flow_of(result, middle)[1:] == pytest.approx((speed, azimuth))


def test_its_bands_end_at_the_limits_it_declares(blown: xr.Dataset) -> None:
    result = fit(blown.isel(t=slice(8), t1=slice(8), t2=slice(8)), "wind", parameters=TRUTH, multistart=0)
    assert float(result.curve("K")["lower"].min()) >= 0.0
    assert float(result.curve("w")["lower"].min()) < float(result.curve("w")["value"].min())


def test_its_directions_and_signs_are_reported_in_one_form(wind: Wind) -> None:
    t, table = 0.5 * np.arange(1, 30), parameter_table(wind, None)
    told = canonical(wind, [800.0, -0.3, 50.0, -150.0, 200.0], t, table)
    np.testing.assert_allclose(told, [800.0, -0.3, 50.0, 150.0, 20.0])


def test_its_unphysical_points_are_refused_and_its_hops_bend_its_curve(wind: Wind, blown: xr.Dataset) -> None:
    objective = Objective(problem_from_dataset(blown, wind, parameter_table(wind, TRUTH)))
    theta = np.array(list(TRUTH.values()))
    assert np.isinf(objective([10.0, -0.3, -50.0, 150.0, 20.0]))
    assert objective(theta) < np.inf
    hops = Hops(objective)
    assert any(np.sign(point[1]) != np.sign(theta[1]) for point in hops.structural(theta))


def test_a_search_draws_its_constants_and_directions_where_data_can_show_them(
    wind: Wind, blown: xr.Dataset
) -> None:
    problem = problem_from_dataset(blown, wind, parameter_table(wind, None))
    sampler = StartSampler(problem, Objective(problem), np.random.default_rng(0))
    speeds, azimuths = np.array([sampler.sample()[3:] for _ in range(200)]).T
    q, dt = problem.q.max(), 0.5
    drawn = speeds[speeds != 100.0]
    assert 60 < len(drawn) < 140
    assert np.all((drawn > 0) & (drawn <= np.pi / (q * dt)))
    assert np.all(np.abs(azimuths) <= 90.0)
    assert azimuths.std() > 20.0


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        (Curve("K", "Å²/s", "transprot", (0, 1, 2), "power_law"), "unknown role 'transprot'"),
        (Curve("K", "Å²/s", "transport", (0, 1, 2), "law"), "unknown form 'law'"),
        (Curve("K", "Å²/s", "transport", (0, 1), "power_law"), "amplitude, exponent, offset"),
        (Curve("K", "Å²/s", "transport", (0, 1, 9), "power_law"), "places of the 5 parameters"),
        (Curve("w", "Å/s", "velocity", (3,), "constant", direction=5), "places of the 5 parameters"),
    ],
)
def test_a_wrong_declaration_is_said_when_the_model_is_registered(curve: Curve, said: str) -> None:
    model = Wind()
    model.curve_specs = (curve,)
    with pytest.raises(ValueError, match=said):
        ModelFactory.register(model)
