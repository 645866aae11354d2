"""Robust strategies on real objectives: limits, paths, certificates, solvers, and who takes over."""

from __future__ import annotations

import numpy as np
import pytest
from robust_samples import maps, objective_of, solved

from heterodyne_nb.engine import RobustObjective
from heterodyne_nb.errors import ConfigurationError, FitWarning, OptimizationError
from heterodyne_nb.progress import StopToken
from heterodyne_nb.robust import (
    EllipsoidalRobust,
    RobustHeterodyneOptimizer,
    ScenarioRobust,
    WassersteinDRO,
    profile_radius,
    solvers,
)

TOLERANCES = {"q_scale": 0.02, "baseline": 0.01}
STRATEGIES = {
    "wasserstein": WassersteinDRO(radius=0.05),
    "scenario": ScenarioRobust(radius=0.8, n_scenarios=12),
    "cvar": ScenarioRobust(radius=0.8, n_scenarios=12, cvar=0.3),
    "ellipsoidal": EllipsoidalRobust(radius=1.0, calibration=TOLERANCES),
}


@pytest.fixture(scope="module")
def answers():
    objective, nominal = solved()
    return {name: strategy.optimize(objective, nominal) for name, strategy in STRATEGIES.items()}


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_worst_case_is_lower_and_the_nominal_value_higher(name: str, answers) -> None:
    robust = answers[name].robust
    assert answers[name].success
    assert robust["worst_case"] < robust["worst_case_before"] * (1 - 1e-7)
    assert robust["nominal"] > robust["nominal_before"] * (1 + 1e-9)
    rounding = 1 - 1e-12  # the centre is the truth: the answer may get there
    assert robust["worst_case"] >= robust["nominal"] * rounding


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_certificate_closes_the_gap(name: str, answers) -> None:
    robust = answers[name].robust
    assert robust["relative_gap"] < 1e-5
    assert robust["still_promised"] < 1e-5
    assert robust["program_value"] == pytest.approx(robust["inner_maximum"], rel=1e-5)


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_neighbour_has_a_lower_worst_case(name: str, answers) -> None:
    objective, nominal = solved()
    problem = STRATEGIES[name].problem(objective, nominal)
    best = problem(answers[name].x)
    z = objective.to_internal(answers[name].x)
    rng = np.random.default_rng(0)
    for size in (0.03, 0.01):
        for step in size * rng.standard_normal((12, len(z))):
            assert problem(objective.from_internal(z + step)) >= best * (1 - 1e-6)


@pytest.mark.parametrize("name", STRATEGIES)
def test_radius_zero_is_the_nominal_answer_exactly(name: str) -> None:
    objective, nominal = solved()
    strategy = next(STRATEGIES[name].sweep(objective, nominal, [0.0]))
    np.testing.assert_array_equal(strategy.x, nominal)
    assert strategy.success
    assert strategy.robust["worst_case"] == pytest.approx(strategy.robust["nominal"], rel=1e-14)


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_nominal_value_rises_along_the_path(name: str) -> None:
    objective, nominal = solved()
    top = 0.3 if name == "wasserstein" else 1.0
    found = list(STRATEGIES[name].sweep(objective, nominal, top * np.array([0.0, 0.1, 0.4, 1.0])))
    values = np.array([one.robust["nominal"] for one in found])
    worst = np.array([one.robust["worst_case"] for one in found])
    assert np.all(np.diff(values) > -1e-7 * values[1:])
    assert values[-1] > values[0]
    assert np.all(np.diff(worst) > 0)


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_allowance_caps_the_nominal_value(name: str) -> None:
    objective, nominal = solved()
    strategy = type(STRATEGIES[name])(**{**vars(STRATEGIES[name]), "allowance": 0.05})
    answer = strategy.optimize(objective, nominal)
    assert objective(answer.x) <= objective(nominal) + 0.0501
    assert answer.robust["worst_case"] <= answer.robust["worst_case_before"]


def test_the_explicit_worst_law_costs_what_the_closed_form_says() -> None:
    objective, nominal = solved("heterodyne")
    problem = WassersteinDRO(radius=0.03).problem(objective, nominal)
    assert problem.verified(nominal).value == pytest.approx(problem.worst_case(nominal).value, rel=1e-9)


def test_the_worst_instrument_is_told_and_really_mis_set() -> None:
    objective, nominal = solved("heterodyne")
    strategy = EllipsoidalRobust(calibration={"q_scale": 0.004, "phi_zero_deg": 0.2})
    robust = next(strategy.sweep(objective, nominal, [0.0]))
    problem = strategy.problem(objective, nominal)
    found = problem.verified(nominal)
    lengths = [one["tolerances"] for one in found.details["perturbation"]]
    assert np.linalg.norm(lengths) == pytest.approx(1.0)
    assert found.details["words"].startswith("the worst case is ")
    assert found.details["worst_case_nonlinear"] == pytest.approx(objective.reduced(found.value), rel=0.05)
    assert robust.robust["words"] == "the worst case is the instrument as it is"


def test_a_fixed_and_a_tied_parameter_stay_and_bounds_hold() -> None:
    asked = {
        "D0": {"value": 300.0, "min": 295.0, "max": 305.0},
        "alpha": {"value": -0.4, "vary": False},
        "D_offset": 30.0,
    }
    objective = objective_of(maps(), "static_isotropic", asked)
    for name in ("wasserstein", "ellipsoidal"):
        answer = STRATEGIES[name].optimize(objective, objective.x0)
        assert answer.x[1] == -0.4
        assert 295.0 <= answer.x[0] <= 305.0


def test_a_prior_is_the_centre_and_counts() -> None:
    asked = {
        "D0": {"value": 300.0, "prior": (320.0, 10.0)},
        "alpha": {"value": -0.4, "prior": (-0.4, 0.01)},
        "D_offset": {"value": 30.0, "prior": (28.0, 4.0)},
    }
    objective = objective_of(maps(), "static_isotropic", asked)
    problem = WassersteinDRO(radius=0.1).problem(objective, objective.x0)
    np.testing.assert_allclose(objective.from_internal(problem.middle), [320.0, -0.4, 28.0], rtol=1e-9)
    answer = WassersteinDRO(radius=10.0).optimize(objective, objective.x0)
    np.testing.assert_allclose(answer.x, [320.0, -0.4, 28.0], rtol=0.02)


def test_a_large_radius_leads_to_constant_curves_where_nothing_is_stated() -> None:
    objective = objective_of(maps(), "static_isotropic", {"alpha": {"min": -1.5, "max": 1.5}})
    _, nominal = solved()
    answer = WassersteinDRO(radius=20.0).optimize(objective, nominal)
    assert answer.x[1] == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("loss", ["huber", "cauchy"])
def test_worst_cases_of_robust_losses_close_their_gap_too(loss: str) -> None:
    plain, theta = solved()
    local = plain.equations(theta, derivatives=False)
    objective = RobustObjective(plain.problem, loss=loss, scale=1.0, start=(local.contrast, local.offset))
    for name in ("wasserstein", "scenario", "ellipsoidal"):
        answer = STRATEGIES[name].optimize(objective, theta)
        assert answer.robust["relative_gap"] < 1e-5
        assert answer.robust["worst_case"] <= answer.robust["worst_case_before"] * (1 + 1e-9)


def test_a_solver_that_fails_hands_over_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = solvers._attempt

    def failing(problem, solver):
        return "it gave up" if solver.name == "CLARABEL" else tried(problem, solver)

    monkeypatch.setattr(solvers, "_attempt", failing)
    objective, nominal = solved()
    with pytest.warns(FitWarning, match="CLARABEL gave no answer .it gave up.; SCS took its place"):
        answer = WassersteinDRO(radius=0.02).optimize(objective, nominal)
    assert answer.robust["solver"] == "SCS"
    assert len(answer.robust["fallbacks"]) == 1


def test_a_solver_that_raises_hands_over_and_its_cause_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import cvxpy as cp

    solve = cp.Problem.solve

    def raising(self, *arguments, solver=None, **options):
        if solver == "CLARABEL":
            raise RuntimeError("License expired 2025-01-01")
        return solve(self, *arguments, solver=solver, **options)

    monkeypatch.setattr(cp.Problem, "solve", raising)
    objective, nominal = solved()
    with pytest.warns(FitWarning, match="CLARABEL gave no answer .RuntimeError: License expired 2025-01-01."):
        answer = WassersteinDRO(radius=0.02).optimize(objective, nominal)
    assert answer.success
    assert answer.robust["solver"] == "SCS"


def test_a_solver_without_matrix_inequalities_hands_over_at_once() -> None:
    if not solvers.solver_readiness("GUROBI"):
        pytest.skip("Gurobi is not here")
    objective, nominal = solved()
    with pytest.warns(FitWarning, match="GUROBI gave no answer .it takes no matrix inequalities."):
        answer = EllipsoidalRobust(solver="GUROBI", calibration=TOLERANCES).optimize(objective, nominal)
    assert answer.robust["solver"] == "CLARABEL"


def test_when_every_solver_fails_the_nominal_answer_is_kept_and_marked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(solvers, "_attempt", lambda problem, solver: "no luck")
    objective, nominal = solved()
    with pytest.warns(FitWarning, match=r"wasserstein ends at its best point so far; .*CLARABEL: no luck"):
        answer = WassersteinDRO(radius=0.02).optimize(objective, nominal)
    np.testing.assert_allclose(answer.x, nominal)
    assert not answer.success
    assert np.isnan(answer.robust["relative_gap"])


def test_a_cancelled_run_returns_the_best_so_far() -> None:
    objective, nominal = solved()
    stop = StopToken()
    stop.cancel()
    answer = WassersteinDRO(radius=0.05, stop=stop).optimize(objective, nominal)
    assert (answer.success, answer.message) == (False, "cancelled")
    np.testing.assert_allclose(answer.x, nominal)


def test_progress_is_told_with_the_methods_name() -> None:
    events = []
    objective, nominal = solved()
    WassersteinDRO(radius=0.05, on_progress=events.append).optimize(objective, nominal)
    assert {event.stage for event in events} == {"wasserstein"}
    assert events[-1].parameters.keys() == {"D0", "alpha", "D_offset"}


def test_the_profile_radius_shrinks_with_the_number_of_pixels_and_grows_with_correlation() -> None:
    objective, theta = solved()
    few = objective_of(maps(n_frames=20), "static_isotropic")
    assert profile_radius(objective, theta) < 0.8 * profile_radius(few, theta)
    covariance = 0.5 * objective.normal_equations(theta).hessian
    twice = profile_radius(objective, theta, score_covariance=4.0 * covariance)
    assert twice == pytest.approx(2.0 * profile_radius(objective, theta, score_covariance=covariance))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: WassersteinDRO(radius=-1.0), "wasserstein.radius"),
        (lambda: WassersteinDRO(radius="wide"), "wasserstein.radius"),
        (lambda: ScenarioRobust(radius=1.5), "from 0 to 1"),
        (lambda: ScenarioRobust(n_scenarios=1), "2 or more"),
        (lambda: ScenarioRobust(cvar=1.0), "above 0 and below 1"),
        (lambda: EllipsoidalRobust(calibration={"q": 0.1}), "unknown calibration 'q'"),
        (lambda: RobustHeterodyneOptimizer(["wassertein"]), "did you mean 'wasserstein'"),
        (lambda: RobustHeterodyneOptimizer([]), "no robust method"),
        (lambda: RobustHeterodyneOptimizer(["scenario"], n_scenario=3), "did you mean 'n_scenarios'"),
        (lambda: solvers.solver_name("clarabell"), "did you mean 'CLARABEL'"),
    ],
)
def test_wrong_settings_are_told(make, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        make()


def test_a_plain_function_is_refused() -> None:
    with pytest.raises(OptimizationError, match="normal equations"):
        WassersteinDRO(radius=0.1).optimize(lambda x: float(x @ x), [1.0])


def test_a_solver_that_is_not_installed_is_an_error() -> None:
    missing = [name for name in solvers.SOLVERS if not solvers.solver_readiness(name)]
    if not missing:
        pytest.skip("every solver is here")
    objective, nominal = solved()
    with pytest.raises(OptimizationError, match="pip install"):
        WassersteinDRO(radius=0.1, solver=missing[0]).optimize(objective, nominal)
