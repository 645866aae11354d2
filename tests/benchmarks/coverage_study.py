"""How often 95 % bands hold the truth.  python tests/benchmarks/coverage_study.py [--experiments 200] [--cases ...]

Every experiment is simulated from speckle fields (nothing of the models is used for that) and fitted from the true
parameters, so that what is judged is the bands and not the search; for some experiments of each case the last line
says how often a search without any start gives the same curves at mid-time, or a better fit. Counted is how often the band of a curve holds the
true curve at the first, the middle and the last frame: for the bands a fit gives by default, and for (JᵀJ)⁻¹ with the
residual variance. A last line counts how many of the figures for J_sample, v and x_sample lie in 90-98 %, and how many
outside by more than chance explains. Two processes at most; --quick is 20 experiments of every case.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import numpy as np
from scipy.stats import binom

import heterodyne_nb as hnb
from heterodyne_nb.errors import HeterodyneWarning
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.uncertainty.bands import NORMAL_95, propagate

PLACES = ("first", "mid", "last")
#: Curves that are judged together, and the coverage that is asked of their bands.
JUDGED, ASKED = ("J_sample", "v", "x_sample"), (0.90, 0.98)
EIGHT = tuple(np.arange(8) * 22.5 - 80.0)


@dataclass(frozen=True)
class Case:
    """A kind of experiment: what flows, and how it is seen."""

    mode: str
    truth: dict[str, float]
    about: str
    phi: tuple[float, ...] = EIGHT
    q: tuple[float, ...] = (0.012,)
    frames: int = 100
    seen: dict[str, Any] = field(default_factory=lambda: {"n_pixels": 500})
    fixed: tuple[str, ...] = ()


def _heterodyne(
    ref: Iterable[float], sample: Iterable[float], v: Iterable[float], x: Iterable[float]
) -> dict:
    names = [spec.name for spec in ModelFactory.create_model("heterodyne").parameters]
    return dict(zip(names, (*ref, *sample, *v, *x, 15.0), strict=True))


STEADY = _heterodyne((60, 0, 0), (600, 0, 0), (60, 0, 0), (0.1, 0.01, 0, 0.35))
SPEEDING = _heterodyne((20, 0.4, 30), (60, 0.6, 200), (2, 0.8, 20), (0.35, -0.04, 0, 0.27))
SLOWING = _heterodyne((150, -0.3, 20), (2000, -0.5, 150), (150, -0.4, 25), (0.35, -0.04, 0, 0.27))
FAINT = _heterodyne((1, 0, 0), (600, 0, 0), (60, 0, 0), (0.1, 0.01, 0, 0.35))
CASES = {
    "steady": Case("heterodyne", STEADY, "constant rates"),
    "speeding": Case("heterodyne", SPEEDING, "rates that grow, a fraction that falls"),
    "slowing": Case("heterodyne", SLOWING, "rates that fall"),
    "few-speckles": Case("heterodyne", SPEEDING, "80 speckles a bin", seen={"n_pixels": 80}),
    "many-speckles": Case("heterodyne", SPEEDING, "4000 speckles a bin", seen={"n_pixels": 4000}),
    "three-angles": Case("heterodyne", SPEEDING, "three bins only", phi=(-40.0, 0.0, 50.0)),
    "still-reference": Case("heterodyne", FAINT, "a reference that hardly moves: J_ref near its bound"),
    "counting": Case(
        "heterodyne", SPEEDING, "contrast 0.3, 8 photons", seen={"n_pixels": 1500, "contrast": 0.3, "mean_counts": 8}
    ),
    "static": Case(
        "static_anisotropic", {"D0": 900.0, "alpha": -0.4, "D_offset": 100.0}, "one component", phi=(0.0, 45.0, 90.0)
    ),
    "laminar": Case(
        "laminar_flow",
        {"D0": 900.0, "alpha": -0.3, "D_offset": 100.0, "gamma_dot_0": 1.3e-4, "beta": 0.3, "gamma_dot_offset": 7e-5,
         "phi0": 15.0},
        "shear in a gap of 10⁵ Å", seen={"n_pixels": 300, "gap": 1e5},
    ),
}  # fmt: skip


#: Kinds of tests/benchmarks/goodness_study.py that are fitted as ``heterodyne_free``, with 500 speckles in eight bins.
FREE = {"free-oscillating": "oscillating v", "free-stopping": "stopping v", "free-steady": "right"}


@dataclass(frozen=True)
class Outcome:
    """One experiment; arrays are (curve, place)."""

    truth: np.ndarray
    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    naive: np.ndarray
    chi2: float
    at_bound: bool
    success: bool
    seconds: float


def simulate(case: Case, seed: int) -> Any:
    """One experiment of a case."""
    grid = {"q": case.q, "phi": case.phi, "n_frames": case.frames, "dt": 0.5, "seed": seed}
    return hnb.simulate.speckle(case.mode, case.truth, **grid, **case.seen)


def fit(case: Case, data: Any, **how: Any) -> Any:
    """Fit an experiment, every parameter free; warnings of single fits would fill the screen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeterodyneWarning)
        return hnb.fit(data, case.mode, gap=case.seen.get("gap"), **how)


def naive_errors(result: Any, t: np.ndarray) -> np.ndarray:
    """Standard errors of all curves at t from (JᵀJ)⁻¹ and the residual variance, what other packages print."""
    record, model = result.dataset, ModelFactory.create_model(result.mode)
    half = 0.5 * record["hessian"].values
    size = np.sqrt(np.maximum(np.diag(half), 1e-300))
    covariance = np.linalg.pinv(half / np.outer(size, size), rcond=1e-11, hermitian=True) / np.outer(
        size, size
    )
    values = record["parameters"].values
    return propagate(lambda p: _curves(model, p, t).ravel(), values, covariance * record.attrs["sigma2"])


def _curves(model: Any, values: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(curve, float) for curve in model.curves(values, t).values()])


def experiment(name: str, seed: int) -> Outcome:
    """Simulate and fit once."""
    case = CASES[name]
    data = simulate(case, seed)
    begun = time.perf_counter()
    result = fit(case, data, parameters=case.truth, multistart=0)
    seconds = time.perf_counter() - begun
    places = [0, case.frames // 2, case.frames - 1]
    t = result.dataset["t"].values[places]
    model = ModelFactory.create_model(case.mode)
    bands = [result.curve(curve).isel(t=places) for curve in result.curve_names]
    truth = _curves(model, np.array(list(case.truth.values())), t)
    value, lower, upper = (
        np.stack([band[part].values for band in bands]) for part in ("value", "lower", "upper")
    )
    order = [list(model.curve_units).index(curve) for curve in result.curve_names]
    return Outcome(
        truth[order], value, lower, upper, naive_errors(result, t).reshape(truth.shape)[order],
        result.chi2_reduced, "at bound" in result.status.values(), result.success, seconds,
    )  # fmt: skip


def search_agrees(name: str, seed: int) -> bool:
    """Whether a search without a start finds curves within half a band's half-width, or a better χ²."""
    case = CASES[name]
    data = simulate(case, seed)
    near = fit(case, data, parameters=case.truth, multistart=0)
    found = fit(case, data)
    if found.chi2 < near.chi2 * (1 - 1e-6):
        return True
    middle = {"t": case.frames // 2}
    pairs = [(near.curve(curve).isel(middle), found.curve(curve).isel(middle)) for curve in near.curve_names]
    return all(abs(a["value"] - b["value"]) <= 0.25 * (a["upper"] - a["lower"]) for a, b in pairs)


def free_experiment(task: tuple[str, int]) -> dict[str, np.ndarray]:
    """Whether the bands of a free-form fit hold the truth, (frame,) for each curve; the start is found by the fit."""
    from goodness_study import experiment as of_kind

    data, true = of_kind(FREE[task[0]], task[1])
    result, held = fit(Case("heterodyne_free", {}, task[0]), data, multistart=4), {}
    for curve, truth in true.items():
        band = result.curve(curve)
        held[curve] = ((band["lower"] <= truth) & (truth <= band["upper"])).values
    return held


def free_table(name: str, found: list[dict[str, np.ndarray]]) -> Iterator[str]:
    """Coverage of the free-form bands, %: at the first, middle and last frame, and the mean over all frames."""
    yield f"{name}: {len(found)} experiments; 95 % band holds the truth, %: first, mid, last frame; mean over t"
    for curve in found[0]:
        inside = 100 * np.stack([one[curve] for one in found])
        ends = " ".join(f"{inside[:, at].mean():6.1f}" for at in (0, inside.shape[1] // 2, -1))
        yield f"  {curve:10s} {ends}   {inside.mean():6.1f}"


def _search_agrees(task: tuple[str, int]) -> bool:
    return search_agrees(*task)


def _experiment(task: tuple[str, int]) -> Outcome:
    return experiment(*task)


def held(outcomes: list[Outcome]) -> np.ndarray:
    """Whether bands hold the truth, (experiment, curve, place)."""
    return np.stack([(o.lower <= o.truth) & (o.truth <= o.upper) for o in outcomes])


def judged(name: str, outcomes: list[Outcome]) -> list[int]:
    """How many experiments hold the truth, for each judged curve that a case has and each place."""
    curves = list(ModelFactory.create_model(CASES[name].mode).curve_units)
    inside = held(outcomes).sum(axis=0)
    return [int(count) for curve in JUDGED if curve in curves for count in inside[curves.index(curve)]]


def verdict(hits: list[int], n: int) -> str:
    """One line on all of them."""
    counts, (least, most) = np.array(hits), ASKED
    above, below = counts > most * n, counts < least * n
    chance = np.where(above, binom.sf(counts - 1, n, most), np.where(below, binom.cdf(counts, n, least), 1.0))
    return (
        f"{', '.join(JUDGED)}: {100 * counts.mean() / n:.1f} % on average; of {len(counts)} figures {above.sum()} above "
        f"{100 * most:g} % (largest {100 * counts.max() / n:.1f}), {below.sum()} below {100 * least:g} % (smallest "
        f"{100 * counts.min() / n:.1f}); by more than chance explains (5 %): {(chance < 0.05).sum()}"
    )


def table(name: str, outcomes: list[Outcome]) -> Iterator[str]:
    """Lines of one case."""
    case, n = CASES[name], len(outcomes)
    stack = {
        part: np.stack([getattr(o, part) for o in outcomes])
        for part in ("truth", "value", "lower", "upper", "naive")
    }
    truth, value, inside = stack["truth"], stack["value"], held(outcomes)
    half = 0.5 * (stack["upper"] - stack["lower"])
    naive = np.abs(value - truth) <= NORMAL_95 * stack["naive"]
    bias = np.median(value - truth, axis=0) / np.median(half / NORMAL_95, axis=0)
    width = np.median(half, axis=0) / np.abs(truth[0])
    share = [100 * np.mean([getattr(o, part) for o in outcomes]) for part in ("at_bound", "success")]
    chi2, seconds = (np.median([getattr(o, part) for o in outcomes]) for part in ("chi2", "seconds"))
    yield (
        f"{name} ({case.about}): {n} experiments, {len(case.phi) * len(case.q)} bins, {case.frames} frames, "
        f"{case.seen}; reduced chi2 {chi2:.2f}, at a bound {share[0]:.0f} %, converged {share[1]:.0f} %, {seconds:.2f} s a fit"
    )
    yield f"  {'':10s}{'band holds the truth, %':>25s}{'(JᵀJ)⁻¹ does, %':>24s}{'half-width / truth':>24s}{'bias / error':>22s}"
    yield f"  {'':10s} " + "   ".join(("{:>6s} {:>6s} {:>6s}".format(*PLACES),) * 4)
    for k, curve in enumerate(ModelFactory.create_model(case.mode).curve_units):
        blocks = (100 * inside.mean(axis=0)[k], 100 * naive.mean(axis=0)[k], width[k], bias[k])
        forms = ("{:6.1f}", "{:6.1f}", "{:6.3g}", "{:6.2f}")
        yield f"  {curve:10s} " + "   ".join(
            " ".join(form.format(x).rjust(6) for x in block)
            for form, block in zip(forms, blocks, strict=True)
        )


def main() -> None:
    """Run the cases asked for and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=200)
    parser.add_argument("--cases", nargs="+", choices=[*CASES, *FREE], default=list(CASES))
    parser.add_argument("--searched", type=int, default=4, help="experiments a case searched without a start")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first experiment of a case")
    parser.add_argument("--processes", type=int, choices=(1, 2), default=2)
    parser.add_argument("--quick", action="store_true", help="20 experiments of every case")
    asked = parser.parse_args()
    n = 20 if asked.quick else asked.experiments
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # what the spawned processes start with
    print(f"binomial error of a coverage of 95 %: {100 * np.sqrt(0.95 * 0.05 / n):.1f} %")
    hits: list[int] = []
    with ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as pool:
        for name in asked.cases:
            seeds = range(asked.first_seed, asked.first_seed + n)
            if name in FREE:
                found = list(pool.map(free_experiment, [(name, seed) for seed in seeds]))
                print("\n".join(free_table(name, found)), flush=True)
                continue
            outcomes = list(pool.map(_experiment, [(name, seed) for seed in seeds]))
            print("\n".join(table(name, outcomes)), flush=True)
            hits += judged(name, outcomes)
            same = list(pool.map(_search_agrees, [(name, seed) for seed in seeds[: asked.searched]]))
            print(f"  a search without a start agrees in {sum(same)} of {len(same)} experiments", flush=True)
    if hits:
        print(verdict(hits, n))


if __name__ == "__main__":
    main()
