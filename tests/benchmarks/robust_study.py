"""Which trouble, which medicine?  python tests/benchmarks/robust_study.py [--seeds 20] [--jobs 2] [--out FILE]

Simulated heterodyne maps (8 angles x 48 frames, 7 % noise of the contrast a pixel, part of it common to a frame's
pixels), spoiled in one way, fitted by every method. Printed are, over the seeds, the median error of the curves with
its quartiles, and how much of the true curves lies inside the 95 % bands.

Error of a fit: root mean square over the curves J_ref, J_sample, v, x_sample of their distance from the truth, each
the mean absolute difference over the mean of the true curve; at most 3. Every fit starts at the truth, so that none
ends in another optimum; the start is not a stated value, so that no method is told the truth. One line shows the
Wasserstein fit with values stated that are each up to 30 % wrong.

--cost times each method on 8 x 1000^2 against the classical fit, with the peak memory above it.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import heterodyne_nb as hnb
from heterodyne_nb.errors import HeterodyneError, HeterodyneWarning
from heterodyne_nb.models import ModelFactory

TRUTH = {
    "D0_ref": 150.0, "alpha_ref": -0.3, "D_offset_ref": 20.0,
    "D0_sample": 1500.0, "alpha_sample": -0.5, "D_offset_sample": 150.0,
    "v0": 300.0, "beta": -0.4, "v_offset": 40.0,
    "f0": 0.35, "f1": -0.04, "f2": 0.0, "f3": 0.27, "phi0": 15.0,
}  # fmt: skip
Q, PHI, FRAMES, DT, CONTRAST, NOISE = 0.009, np.arange(8) * 22.5 - 80.0, 48, 0.5, 0.3, 0.02
CALIBRATION = {"q_scale": 0.02, "phi_zero_deg": 3.0}
FAULTS = (
    "clean", "outliers 1 %", "outliers 5 %", "stripe", "parasitic angle", "q + 2 %", "phi + 3°", "near-degenerate",
)  # fmt: skip
KEPT = ("nominal", "worst_case", "worst_case_before", "relative_gap", "still_promised", "radius")
LOSSES = ("huber", "soft_l1", "cauchy", "tukey")


#: Nearly constant rates, of which one hardly shows: amplitude, exponent and offset of each cannot be told apart.
STEADY = {
    **TRUTH, "D0_ref": 12.0, "alpha_ref": 0.05, "D_offset_ref": 8.0, "D0_sample": 400.0, "alpha_sample": -0.05,
    "D_offset_sample": 100.0, "v0": 60.0, "beta": -0.05, "v_offset": 30.0, "f0": 0.05,
}  # fmt: skip


def truth_of(fault: str) -> dict[str, float]:
    """Parameters the maps of a fault were made from."""
    return STEADY if fault == "near-degenerate" else TRUTH


def maps(
    seed: int, *, q: float = Q, shift: float = 0.0, truth: dict[str, float] = TRUTH, **change: Any
) -> xr.Dataset:
    """Clean maps; the instrument may be off without the labels knowing."""
    setting = {"phi": PHI, "n_frames": FRAMES, "noise": NOISE, **change}
    phi = np.asarray(setting.pop("phi"), float)
    ds = hnb.simulate.model_maps(
        "heterodyne",
        truth,
        q=[q],
        phi=phi + shift,
        dt=DT,
        contrast=CONTRAST,
        seed=seed,
        dyadic=0.05,
        **setting,
    )
    return ds.assign_coords(q=[Q], phi=phi)


def both_sides(upper: np.ndarray) -> np.ndarray:
    """The same above and below the diagonal."""
    upper = np.triu(upper, 1)
    return upper + np.swapaxes(upper, -1, -2)


def spoiled(fault: str, seed: int) -> xr.Dataset:
    """Maps with one fault."""
    rng = np.random.default_rng(1000 + seed)
    if fault == "q + 2 %":
        return maps(seed, q=1.02 * Q)
    if fault == "phi + 3°":
        return maps(seed, shift=3.0)
    if fault == "near-degenerate":
        return maps(seed, phi=[-10.0, 15.0, 40.0], n_frames=40, noise=0.03, truth=STEADY)
    ds = maps(seed)
    c2 = ds["c2"].values.astype(float)
    if fault.startswith("outliers"):
        share = float(fault.split()[1]) / 100.0
        c2 += both_sides((rng.random(c2.shape) < share) * rng.uniform(0.1, 0.6, c2.shape))
    elif fault == "stripe":
        first = int(rng.integers(8, 36))
        bad = np.zeros(FRAMES)
        bad[first : first + 3] = rng.uniform(0.06, 0.12, 3)
        c2 += bad[:, None] + bad[None, :]
    elif fault == "parasitic angle":
        t = ds["t"].values
        slow = np.exp(-np.abs(t[:, None] - t[None, :]) / 6.0)
        k = int(rng.integers(len(PHI)))
        c2[0, k] += 0.35 * (CONTRAST * slow + 1.0 - c2[0, k])
    return ds.assign(c2=(ds["c2"].dims, c2.astype(np.float32), ds["c2"].attrs))


def score(result: hnb.FitResult, truth: dict[str, float]) -> tuple[float, float]:
    """Error of the curves, and the share of the true ones inside their bands."""
    t = result.dataset["t"].values
    true = ModelFactory.create_model("heterodyne").curves(list(truth.values()), t)
    distances, inside = [], []
    for name, curve in true.items():
        got = result.curve(name)
        distances.append(np.mean(np.abs(got["value"].values - curve)) / np.mean(np.abs(curve)))
        inside.append(np.mean((got["lower"].values <= curve) & (curve <= got["upper"].values)))
    return float(min(np.sqrt(np.mean(np.square(distances))), 3.0)), float(np.mean(inside))


def plain(ds: xr.Dataset, start: dict[str, float], **settings: Any) -> hnb.FitResult:
    """The fit without a worst case."""
    return hnb.fit_robust(ds, methods="wasserstein", radius=0.0, start=start, **settings)["wasserstein"]


def rough(truth: dict[str, float], ds: xr.Dataset) -> dict[str, float]:
    """What somebody may know beforehand: every parameter to 30 %."""
    rng = np.random.default_rng(int(1e4 * float(np.asarray(ds["c2"][0, 0, 0, 1]))))
    return {name: value * (1.0 + 0.3 * rng.uniform(-1.0, 1.0)) for name, value in truth.items()}


def answers(ds: xr.Dataset, truth: dict[str, float]) -> dict[str, hnb.FitResult]:
    """Every method's fit of one dataset."""
    squares = plain(ds, truth)
    out = {"least squares": squares}
    out |= {loss: plain(ds, squares.values, loss=loss) for loss in LOSSES}
    common: dict[str, Any] = {"calibration": CALIBRATION, "n_scenarios": 20}
    out |= hnb.fit_robust(ds, start=squares, **common)
    known = {**common, "methods": "wasserstein", "start": squares}
    out["wasserstein, rough values stated"] = hnb.fit_robust(ds, parameters=rough(truth, ds), **known)[
        "wasserstein"
    ]
    out["cvar 20 %"] = hnb.fit_robust(ds, methods="scenario", cvar=0.2, start=squares, **common)["scenario"]
    methods = ("wasserstein", "ellipsoidal")
    both = hnb.fit_robust(ds, methods=methods, loss="tukey", start=out["tukey"], **common)
    out |= {f"{name} + tukey": result for name, result in both.items()}
    good = hnb.prepare.detect_bad_frames(ds)
    out["bad frames masked"] = plain(hnb.prepare.mask_frames(ds, good), truth)
    if ds.sizes["phi"] >= 4:
        offered = hnb.detect_bad_bins(ds, start=squares)
        out["bad bins left out"] = plain(ds.assign(usable=offered), truth)
    return out


def one(case: tuple[str, int]) -> list[dict[str, Any]]:
    """Scores of every method for one fault and seed."""
    import numba as nb

    nb.set_num_threads(1)
    fault, seed = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeterodyneWarning)
        try:
            found = answers(spoiled(fault, seed), truth_of(fault))
        except HeterodyneError as error:
            return [{"fault": fault, "seed": seed, "method": "failed", "why": str(error)}]
    lines = []
    for method, result in found.items():
        error, inside = score(result, truth_of(fault))
        robust = result.robust or {}
        lines.append(
            {"fault": fault, "seed": seed, "method": method, "error": error, "inside": inside}
            | {"message": result.message}
            | {key: robust.get(key) for key in KEPT}
        )
    return lines


def table(lines: list[dict[str, Any]]) -> str:
    """Error, median [quartiles], and share inside the bands, by method and fault."""
    faults = [fault for fault in FAULTS if any(line["fault"] == fault for line in lines)]
    methods = list(dict.fromkeys(line["method"] for line in lines if line["method"] != "failed"))
    rows = ["| | " + " | ".join(faults) + " |", "|---" * (len(faults) + 1) + "|"]
    for method in methods:
        cells = [
            _cell([x for x in lines if x["fault"] == fault and x["method"] == method]) for fault in faults
        ]
        rows.append(f"| {method} | " + " | ".join(cells) + " |")
    count = len({line["seed"] for line in lines})
    failed = [line for line in lines if line["method"] == "failed"]
    rows.append(f"\n{count} seeds; median error [quartiles], share of the true curves inside the bands")
    return "\n".join(rows + [f"failed: {line}" for line in failed])


def _cell(lines: list[dict[str, Any]]) -> str:
    if not lines:
        return "–"
    low, middle, high = np.percentile([line["error"] for line in lines], [25, 50, 75])
    inside = 100 * np.mean([line["inside"] for line in lines])
    return f"{middle:.3f} [{low:.3f} {high:.3f}] {inside:.0f} %"


def certificates(lines: list[dict[str, Any]]) -> str:
    """Worst gaps, and how the worst case of the answers compares with that of the nominal ones."""
    rows = []
    for method in dict.fromkeys(line["method"] for line in lines):
        own = [line for line in lines if line["method"] == method and line.get("radius")]
        if own:
            gaps = [line["relative_gap"] for line in own]
            gain = [1.0 - line["worst_case"] / line["worst_case_before"] for line in own]
            ended = sum("converged" in line["message"] for line in own)
            rows.append(
                f"{method}: {len(own)} fits, {ended} converged, relative gap median {np.median(gaps):.1e}, 95 % below "
                f"{np.percentile(gaps, 95):.1e}, largest {max(gaps):.1e}; worst case lower by "
                f"{100 * np.median(gain):.3g} % (median), least {100 * min(gain):.2g} %"
            )
    return "\n".join(rows)


def study(seeds: int, jobs: int, faults: list[str], out: Path | None) -> None:
    """Run, keep every line as it comes, print the tables."""
    lines: list[dict[str, Any]] = []
    cases = list(product(faults, range(seeds)))
    cases.sort(key=lambda case: case[1])  # so that what is there early covers all faults
    with ProcessPoolExecutor(jobs) as pool:
        for found in pool.map(one, cases):
            lines += found
            if out is not None:
                out.write_text(
                    "\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf8"
                )
    print(table(lines), certificates(lines), sep="\n\n")


def cost() -> None:
    """Seconds and peak memory on 8 x 1000^2, each in a process of its own, warmed up on a small map."""
    for what in ("classical", "wasserstein", "scenario", "ellipsoidal"):
        with ProcessPoolExecutor(1) as pool:
            seconds, memory = pool.submit(_timed, what).result()
        print(f"{what:12s} {seconds:7.2f} s   peak {memory:6.0f} MB above the data")


def _timed(what: str) -> tuple[float, float]:
    warnings.simplefilter("ignore", HeterodyneWarning)

    def run(ds: xr.Dataset) -> None:
        if what == "classical":
            hnb.fit(ds)
        else:
            hnb.fit_robust(ds, methods=what)

    run(maps(0))
    ds = maps(0, n_frames=1000)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on (Linux)
    before = _peak()
    begun = time.perf_counter()
    run(ds)
    return time.perf_counter() - begun, _peak() - before


def _peak() -> float:
    """Highest memory in use, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--fault", action="append", choices=FAULTS)
    parser.add_argument("--out", type=Path, help="keep every line as JSON")
    parser.add_argument("--read", type=Path, help="print the tables of a kept file")
    parser.add_argument("--cost", action="store_true", help="time and memory instead")
    args = parser.parse_args()
    if args.cost:
        cost()
    elif args.read:
        lines = [json.loads(line) for line in args.read.read_text(encoding="utf8").splitlines()]
        print(table(lines), certificates(lines), sep="\n\n")
    else:
        study(args.seeds, args.jobs, args.fault or list(FAULTS), args.out)


if __name__ == "__main__":
    main()
