"""fit(): what is asked is done, what is wrong is said before any work, what is stopped keeps its best."""

from __future__ import annotations

import subprocess
import sys
import threading
from functools import cache
from typing import Any

import numpy as np
import pytest
from fit_samples import HETERODYNE, PHI, STATIC, chi2_at, heterodyne_maps, near, static_maps
from held import stopped_clock

from heterodyne_nb import fit, progress
from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.data import make_dataset, stack_bins
from heterodyne_nb.engine import Objective, RobustObjective, products
from heterodyne_nb.errors import ConfigurationError, DataFormatError, FitWarning
from heterodyne_nb.progress import ProgressEvent, StopToken
from heterodyne_nb.result import FitResult
from heterodyne_nb.simulate import model_maps


def static_fit(**settings: Any) -> FitResult:
    arguments = {"parameters": STATIC, "multistart": 0, **settings}
    return fit(static_maps(), "static_isotropic", **arguments)


@cache
def plain() -> FitResult:
    """The static fit with nothing else asked for."""
    return static_fit()


@cache
def flowing() -> FitResult:
    """The heterodyne fit from near the truth."""
    return fit(heterodyne_maps(), "heterodyne", parameters=near(HETERODYNE, share=0.01), multistart=0)


def test_a_fit_from_near_the_truth_finds_it_within_its_errors() -> None:
    result = flowing()
    assert result.success
    assert result.message.startswith("converged")
    assert result.chi2_reduced == pytest.approx(1.0, abs=0.06)
    assert result.chi2 <= chi2_at(heterodyne_maps(), "heterodyne", HETERODYNE)
    for name in ("v0", "beta", "v_offset", "phi0"):
        assert abs(result.values[name] - HETERODYNE[name]) < 4 * result.errors[name]
    np.testing.assert_allclose(result.dataset["contrast"], 0.3, rtol=0.02)
    np.testing.assert_allclose(result.dataset["offset"], 1.0, rtol=0.02)
    np.testing.assert_allclose(result.dataset["phi"], PHI)


def test_the_curves_of_the_result_lie_in_their_bands_around_the_truth() -> None:
    result = flowing()
    t = result.dataset["t"].values
    truth = HETERODYNE["v0"] * t ** HETERODYNE["beta"] + HETERODYNE["v_offset"]
    v = result.curve("v")
    width = (v["upper"] - v["lower"]) / 2
    assert np.all(width > 0)
    assert np.mean(np.abs(v["value"] - truth) <= 2 * width) > 0.9
    assert np.max(np.abs(v["value"] / truth - 1)) < 0.05
    x = result.curve("x_sample")["value"]
    assert float(x.min()) >= 0.0
    assert float(x.max()) <= 1.0


@pytest.mark.parametrize("method", ["gauss_newton", "trf", "lbfgsb", "nelder_mead", "gurobi"])
def test_every_method_fits_a_static_map(method: str) -> None:
    if method == "gurobi":
        from heterodyne_nb.optimize import GurobiTrustRegionStrategy

        if not GurobiTrustRegionStrategy.ready():
            pytest.skip("Gurobi cannot run here")
    result = static_fit(method=method, parameters=near(STATIC))
    assert result.method == method
    assert result.chi2 == pytest.approx(plain().chi2, rel=1e-5)


@pytest.mark.parametrize("contrast", ["per_bin", "shared", "per_q", "smooth_phi"])
def test_contrast_and_offset_are_tied_as_asked(contrast: str) -> None:
    result = static_fit(contrast=contrast)
    values = result.dataset["contrast"].values
    assert len(np.unique(np.round(values, 12))) == {"per_bin": 4, "shared": 1}.get(contrast, 2)
    linear = {"per_bin": 8, "shared": 2}.get(contrast, 4)
    assert result.dataset.attrs["n_free"] == 3 + linear


def test_fixed_parameters_stay_and_say_so() -> None:
    asked = {**STATIC, "alpha": {"value": -0.35, "vary": False}}
    result = static_fit(parameters=asked)
    assert result.values["alpha"] == -0.35
    assert result.status["alpha"] == "fixed"
    assert np.isnan(result.errors["alpha"])
    assert result.values["D0"] != STATIC["D0"]
    assert result.chi2 > plain().chi2


def test_tied_parameters_are_equal_and_carry_the_error_of_their_target() -> None:
    asked: dict[str, Any] = near(HETERODYNE, share=0.01) | {"alpha_sample": {"tie": "alpha_ref"}}
    result = fit(heterodyne_maps(), "heterodyne", parameters=asked, multistart=0)
    assert result.values["alpha_sample"] == result.values["alpha_ref"]
    assert result.errors["alpha_sample"] == pytest.approx(result.errors["alpha_ref"])
    assert result.status["alpha_sample"] == "tied"


def test_a_prior_pulls_and_narrows() -> None:
    free = plain()
    narrow = {**STATIC, "alpha": {"value": -0.4, "prior": (-0.3, 0.001)}}
    pulled = static_fit(parameters=narrow)
    assert pulled.values["alpha"] == pytest.approx(-0.3, abs=0.003)
    assert pulled.errors["alpha"] < free.errors["alpha"]
    assert pulled.chi2 > free.chi2


def test_bounds_are_kept_and_a_parameter_on_one_says_so() -> None:
    asked = {**STATIC, "alpha": {"value": -0.2, "min": -0.25}}
    result = static_fit(parameters=asked)
    assert result.values["alpha"] == -0.25
    assert result.status["alpha"] == "at bound"
    assert result.status["D0"] == "free"
    assert any(flag.code == "at_bound" and flag.serious for flag in result.flags)


def test_a_sample_that_is_not_there_gets_no_share_and_none_below_zero() -> None:
    truth = HETERODYNE | {"f0": 0.0, "f3": 0.0}
    grid = {"q": [0.009], "phi": PHI, "n_frames": 40, "dt": 0.5}
    ds = model_maps("heterodyne", truth, contrast=0.3, noise=0.02, seed=3, **grid)
    start = {"f0": 0.1, "f1": -0.04, "f3": 0.05}
    fixed = {name: {"value": HETERODYNE[name], "vary": False} for name in HETERODYNE if name[0] not in "f"}
    result = fit(ds, "heterodyne", parameters=start | fixed, multistart=0)
    x = result.curve("x_sample")["value"].values
    assert np.all((x >= -1e-9) & (x <= 0.1))
    assert result.success


def test_with_everything_fixed_the_map_is_only_judged() -> None:
    fixed = {name: {"value": value, "vary": False} for name, value in STATIC.items()}
    for multistart in (0, None):
        result = static_fit(parameters=fixed, multistart=multistart)
        assert result.success
        assert result.values == STATIC
        assert result.chi2 == pytest.approx(chi2_at(static_maps(), "static_isotropic", STATIC))


def test_stated_start_values_are_where_the_fit_starts() -> None:
    first: list[ProgressEvent] = []
    start = {"D0": 77.0, "alpha": 0.3, "D_offset": 11.0}
    static_fit(parameters=start, on_progress=first.append)
    told = next(event for event in first if event.parameters)
    assert told.parameters == pytest.approx(start)


def test_a_table_of_parameters_is_as_good_as_a_mapping() -> None:
    table = resolve_parameters("static_isotropic", STATIC)
    assert static_fit(parameters=table).chi2 == plain().chi2
    with pytest.raises(ConfigurationError, match="table is for mode 'static_isotropic'"):
        fit(heterodyne_maps(), "heterodyne", parameters=table)


def test_the_same_seed_gives_the_same_answer() -> None:
    one, two = (static_fit(parameters=None, multistart=3, seed=4) for _ in range(2))
    assert one.values == two.values
    assert one.chi2 == two.chi2


def test_bins_may_be_stacked_or_picked() -> None:
    whole = plain()
    stacked = fit(stack_bins(static_maps()), "static_isotropic", parameters=STATIC, multistart=0)
    assert stacked.values == pytest.approx(whole.values)
    one = fit(static_maps().isel(q=0, phi=1), "static_isotropic", parameters=STATIC, multistart=0)
    assert one.dataset.sizes["bin"] == 1


@pytest.mark.parametrize("n", [4, 6, 9])
def test_a_run_of_a_few_frames_can_be_fitted(n: int) -> None:
    few = static_maps().isel(t=slice(n), t1=slice(n), t2=slice(n))
    asked = {"D0": 300.0, "alpha": {"value": -0.4, "vary": False}, "D_offset": {"value": 30.0, "vary": False}}
    result = fit(few, "static_isotropic", parameters=asked, multistart=0)
    assert np.isfinite(result.errors["D0"])


def test_a_map_without_noise_gives_back_its_parameters() -> None:
    grid = {"q": [0.01, 0.02], "phi": [0.0], "n_frames": 50, "dt": 0.5}
    ds = model_maps("static_isotropic", STATIC, contrast=0.2, **grid)
    result = fit(ds, "static_isotropic", parameters=near(STATIC), multistart=0)
    assert result.values == pytest.approx(STATIC, rel=1e-3)


# -- stopping -------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [None, HETERODYNE], ids=["without a start", "with a start"])
@pytest.mark.parametrize("loss", ["linear", "huber"])
@pytest.mark.filterwarnings("ignore:v. fringes advance:heterodyne_nb.errors.FitWarning")
def test_a_fit_cancelled_at_the_first_event_returns_something_finite(parameters, loss: str) -> None:
    stop, events = StopToken(), list[ProgressEvent]()

    def cancel(event: ProgressEvent) -> None:
        events.append(event)
        stop.cancel()

    result = fit(
        heterodyne_maps(), "heterodyne", parameters=parameters, loss=loss, on_progress=cancel, stop=stop
    )
    assert not result.success
    assert result.message == f"cancelled: best so far{', before the loss huber' if loss == 'huber' else ''}"
    assert np.isfinite(result.chi2)
    assert np.all(np.isfinite(list(result.values.values())))
    assert events
    assert [step["iterations"] for step in result.path if step["iterations"]] == []  # no step after it


@pytest.mark.filterwarnings("ignore:v. fringes advance:heterodyne_nb.errors.FitWarning")
def test_a_fit_cancelled_in_the_search_returns_the_best_of_it() -> None:
    stop, chi2 = StopToken(), list[float]()

    def cancel(event: ProgressEvent) -> None:
        if event.stage == "search" and event.chi2 is not None:
            chi2.append(event.chi2)
            stop.cancel()

    result = fit(heterodyne_maps(), "heterodyne", on_progress=cancel, stop=stop)
    assert not result.success
    assert result.message.startswith("cancelled")
    assert result.chi2_reduced <= 1.05 * min(chi2)


@pytest.mark.filterwarnings("ignore:v. fringes advance:heterodyne_nb.errors.FitWarning")
def test_a_fit_is_cancelled_from_another_thread() -> None:
    stop = StopToken()

    def cancel(event: ProgressEvent) -> None:
        if event.stage == "search" and stop.reason is None:
            other = threading.Thread(target=stop.cancel)
            other.start()
            other.join()

    result = fit(heterodyne_maps(), "heterodyne", stop=stop, multistart=200, on_progress=cancel)
    assert result.message.startswith("cancelled")
    assert sum(step["iterations"] > 0 for step in result.path) < 100  # those that were running


@pytest.mark.filterwarnings("ignore:v. fringes advance:heterodyne_nb.errors.FitWarning")
def test_a_time_limit_ends_the_fit_with_its_best(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = stopped_clock(monkeypatch, progress)

    def later(event: ProgressEvent) -> None:
        clock.now += event.stage == "search"

    result = fit(heterodyne_maps(), "heterodyne", time_limit=2.5, on_progress=later)
    assert not result.success
    assert result.message == "time limit: best so far"
    assert np.isfinite(result.chi2)


@pytest.mark.parametrize("stage", ["load", "search", "hops", "gauss_newton"])
@pytest.mark.filterwarnings("ignore:v. fringes advance:heterodyne_nb.errors.FitWarning")
def test_once_time_is_up_one_more_pass_is_made_over_the_data_which_gives_the_errors(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds, stop, passes = heterodyne_maps(n_frames=400), StopToken(), []  # the search looks at fewer

    def counted(name: str) -> Any:
        inner = getattr(Objective, name)

        def count(self: Objective, *arguments: Any) -> Any:
            if stop.reason and len(self.problem.t) == len(ds["t"]):
                passes.append(name)
            return inner(self, *arguments)

        return count

    for name in ("weighted_products", "tile_products"):
        monkeypatch.setattr(Objective, name, counted(name))

    def cancel(event: ProgressEvent) -> None:
        if event.stage == stage:
            stop.cancel()

    result = fit(ds, "heterodyne", multistart=2, on_progress=cancel, stop=stop)
    assert result.message == "cancelled: best so far"
    assert passes == ["tile_products"]
    assert np.isfinite(result.chi2_reduced)
    assert np.isfinite(result.errors["v0"])
    assert result.path[-1]["chi2_reduced"] == pytest.approx(result.chi2_reduced)


def test_a_robust_loss_ends_in_four_passes_once_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, passes, points = StopToken(), [], []
    inner, products_of = products.tile_products, RobustObjective.weighted_products

    def counted(*arguments: Any) -> None:
        if stop.reason:
            passes.append(1)
        inner(*arguments)

    def stopping(self: RobustObjective, *arguments: Any) -> Any:
        found = products_of(self, *arguments)
        points.append(1)
        if len(points) == 3:
            stop.cancel()
        return found

    monkeypatch.setattr(products, "tile_products", counted)
    monkeypatch.setattr(RobustObjective, "weighted_products", stopping)
    result = static_fit(loss="huber", stop=stop)
    assert result.message == "cancelled: best so far"
    assert np.isfinite(result.errors["D0"])
    assert len(passes) <= 4  # χ², errors (two) and residuals; 23 where it reweighted each time


def test_a_given_stop_token_and_a_time_limit_both_count() -> None:
    stop = StopToken()
    result = static_fit(stop=stop, time_limit=1e-9)
    assert result.message.startswith("time limit")
    assert stop.reason is None
    stop.cancel()
    assert static_fit(stop=stop, time_limit=100.0).message.startswith("cancelled")


def test_progress_is_told_from_reading_to_the_end() -> None:
    events: list[ProgressEvent] = []
    result = static_fit(parameters=None, multistart=2, on_progress=events.append)
    stages = list(dict.fromkeys(event.stage for event in events))
    assert stages == ["load", "start values", "search", "hops", "gauss_newton"]
    fractions = [event.fraction for event in events if event.stage == "search"]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] <= fractions[-1] <= 1
    assert events[-1].chi2 == pytest.approx(result.chi2_reduced, rel=1e-6)


def test_the_path_tells_every_run() -> None:
    result = static_fit(parameters=None, multistart=3)
    assert [step["start"] for step in result.path][-1] == "all pixels"
    assert all(step["iterations"] >= 0 and step["seconds"] >= 0 for step in result.path)
    first, *hops = [step["start"] for step in plain().path]
    assert first == "all pixels"
    assert hops
    assert all(start.startswith(("hops", "search")) for start in hops)


def test_an_unconverged_fit_warns() -> None:
    with pytest.warns(FitWarning, match="did not converge: iteration limit"):
        result = static_fit(parameters={"D0": 1.0, "alpha": 1.0}, options={"max_iterations": 1})
    assert not result.success


# -- what is wrong is said first --------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "method": ({"method": "gaus_newton"}, "did you mean 'gauss_newton'"),
    "option": ({"options": {"dampin": 1}}, "did you mean 'damping'"),
    "option value": ({"options": {"damping": -1}}, "gauss_newton.damping"),
    "contrast": ({"contrast": "per_phi"}, "unknown contrast mode"),
    "loss": ({"loss": "hubber"}, "did you mean 'huber'"),
    "loss scale": ({"loss": "huber", "loss_scale": "mad"}, "a number above 0, or 'auto'"),
    "loss scale of zero": ({"loss": "huber", "loss_scale": 0}, "a number above 0, or 'auto'"),
    "multistart": ({"multistart": -1}, "an integer, 0 or more"),
    "half a start": ({"multistart": 2.5}, "an integer, 0 or more"),
    "seed": ({"seed": "lucky"}, "an integer, 0 or more"),
    "time limit": ({"time_limit": -3}, "seconds, more than 0"),
    "no time": ({"time_limit": "soon"}, "seconds, more than 0"),
    "parameter": ({"parameters": {"D_0ffset": 1.0}}, "D_offset"),
    "start": ({"parameters": {"alpha": 7.0}}, "above its upper bound"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_setting_is_an_error_before_any_work(what: str) -> None:
    settings, message = WRONG[what]
    events: list[ProgressEvent] = []
    with pytest.raises(ConfigurationError, match=message):
        static_fit(**settings, on_progress=events.append)
    assert {event.stage for event in events} <= {"load"}


def test_what_is_no_dataset_or_holds_no_maps_is_an_error() -> None:
    with pytest.raises(
        ConfigurationError, match="a ndarray is no dataset\\n  expected: a Dataset or a FrameSet"
    ):
        fit(np.ones((3, 3)), "static_isotropic")
    g2 = make_dataset(g2=np.ones((1, 1, 5)), tau=np.arange(1.0, 6.0), q=0.01, phi=0.0, dt=1.0)
    with pytest.raises(DataFormatError, match="no two-time maps"):
        fit(g2, "static_isotropic")
    with pytest.raises(DataFormatError, match="the dataset has no g2"):
        fit(static_maps().drop_vars(["g2", "g2_err"]), "kww")


def test_laminar_flow_without_a_gap_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="needs the gap of the shear cell"):
        fit(static_maps(), "laminar_flow")


def test_only_the_first_fit_of_a_process_announces_the_kernels() -> None:
    code = """
import heterodyne_nb as hnb
ds = hnb.simulate.model_maps("static_isotropic", {"D0": 300.0, "alpha": -0.4, "D_offset": 30.0},
    q=[0.01], phi=[0.0], n_frames=30, dt=0.5, contrast=0.2, noise=0.01, seed=1)
for _ in range(2):
    told = []
    hnb.fit(ds, "static_isotropic", multistart=0, on_progress=told.append)
    print(sum("preparing the kernels" in event.message for event in told))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0"]


def summed_by_hand(rule: str, t: np.ndarray, q: float, phi: float) -> np.ndarray:
    """The heterodyne map with its integrals as sums over frames, pixel by pixel."""
    law = {
        name: HETERODYNE[f"D0_{name}"] * t ** HETERODYNE[f"alpha_{name}"] + HETERODYNE[f"D_offset_{name}"]
        for name in ("ref", "sample")
    }
    law["v"] = HETERODYNE["v0"] * t ** HETERODYNE["beta"] + HETERODYNE["v_offset"]
    x = HETERODYNE["f0"] * np.exp(HETERODYNE["f1"] * t) + HETERODYNE["f3"]
    out = np.ones((len(t), len(t)))
    for i, j in zip(*np.triu_indices(len(t), 1), strict=True):
        steps = np.diff(t[i : j + 1])
        ref, sample, path = (
            np.trapezoid(value[i : j + 1], t[i : j + 1])
            if rule == "trapezoid"
            else np.sum(value[i + 1 : j + 1] * steps)
            for value in law.values()
        )
        fringe = np.cos(q * np.cos(np.radians(HETERODYNE["phi0"] - phi)) * path)
        s1, s2, r1, r2 = x[i], x[j], 1 - x[i], 1 - x[j]
        parts = (r1 * r2) ** 2 * np.exp(-(q**2) * ref), (s1 * s2) ** 2 * np.exp(-(q**2) * sample)
        cross = 2 * r1 * r2 * s1 * s2 * np.exp(-(q**2) * (ref + sample) / 2) * fringe
        out[i, j] = out[j, i] = (sum(parts) + cross) / ((s1**2 + r1**2) * (s2**2 + r2**2))
    return out


@pytest.mark.parametrize("rule", ["trapezoid", "rectangle"])
def test_figures_of_packages_that_sum_over_frames_are_reproduced(rule: str, tmp_path: Any) -> None:
    t, phi, rng = 0.5 * np.arange(1, 41), [0.0, 60.0], np.random.default_rng(3)
    maps = np.array([[summed_by_hand(rule, t, 0.009, angle) for angle in phi]])
    simulated = model_maps("heterodyne", HETERODYNE, q=[0.009], phi=phi, n_frames=40, dt=0.5, integral=rule)
    np.testing.assert_allclose(simulated["c2"].values - 1.0, maps, atol=2e-7)
    noise = np.triu(rng.standard_normal((2, 40, 40)), 1)
    noisy = make_dataset(
        (1 + 0.3 * maps + 1e-4 * (noise + noise.swapaxes(1, 2))).astype(np.float32), q=[0.009], phi=phi, dt=0.5,
        sigma=np.full((1, 2), 1e-4),
    )  # fmt: skip
    start = {name: {"value": value, "vary": name == "v0"} for name, value in HETERODYNE.items()}
    summed, exact = (fit(noisy, parameters=start, integral=how, multistart=0) for how in (rule, "exact"))
    assert summed.chi2_reduced < 1.1
    assert exact.chi2_reduced > 2.0
    assert summed.provenance["config"]["integral"] == rule
    assert "integral" not in exact.provenance["config"]
    summed.save(tmp_path / "fit.nc")
    again = FitResult.load(tmp_path / "fit.nc")
    left = noisy["c2"].values[0, 1] - again.model_map(phi=60.0).values
    assert np.std(left[np.triu_indices(40, 1)]) < 1.1e-4
    assert f"integral={rule!r}" in again.to_script("maps.nc")


def test_a_model_that_integrates_in_its_own_way_refuses_sums_over_frames() -> None:
    with pytest.raises(ConfigurationError, match="integrates nothing"):
        fit(static_maps(), "kww", integral="trapezoid")
    with pytest.raises(ConfigurationError, match=r"(?s)simpson.*trapezoid"):
        fit(static_maps(), "static_isotropic", integral="simpson")
