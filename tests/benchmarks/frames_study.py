"""Fits from detector frames: how often their bands hold the truth, what they cost, and what another correlator says.

    python tests/benchmarks/frames_study.py coverage [EXPERIMENTS [SEED [SETTING]]]
    python tests/benchmarks/frames_study.py cost
    python tests/benchmarks/frames_study.py whole [MODE [FOLDER]]
    python tests/benchmarks/frames_study.py optimum
    python tests/benchmarks/frames_study.py replay [MODE [FRAMES]]
    python tests/benchmarks/frames_study.py peer PYTHON

``coverage``: speckle experiments fitted from near the truth; share of nominal 95 % bands that hold the curve at the first,
the middle and the last frame, by clusters of pixels (photons) and by clusters of frames (the map of the same photons).
``cost``: seconds of a pass with all derivatives over photons, and over the map where it fits.
``whole``: time and memory of a fit without a start of 100 000 frames × 24 bins × 2000 pixels × 0.02 photons.
``optimum``: whether fits of long runs end at the χ² of fits that do without the map between search and photons.
``replay``: whether a live fit takes in frames of 10⁴ pixels at 1 kHz, and whether it ends with the numbers of the whole run.
``peer``: g2 and c2 of ``xpcs-correlator``, run by the Python that has it, against ours.

Measured, in per cent, 100 experiments a line (a count of 95 is known to 2), by speckles of the heterodyne one 200:

    =====================================  ========  =======================  =======================
    experiment                             curve     speckles: first mid last  frames: first mid last
    =====================================  ========  =======================  =======================
    one component, 400 speckles            J          93   92  100             96   81   93
    2000 speckles                          J          96   93   97             97   87   95
    2000 speckles, 60 frames               J          98   94  100            100   92   97
    1600 pixels, speckles of 2 × 2         J          95   90  100             95   77   95
    2000 pixels, 0.05 photons              J          97   94  100            100   93   98
    heterodyne, 8 bins × 600 speckles      J_ref      88   96   99             92   94   97
                                           J_sample   94   96   95             98   93   97
                                           v          94   94   96             99   94   98
                                           x_sample   94   95   96             99   99  100
    =====================================  ========  =======================  =======================

Their contrast is 1, the limit of a contrast: before bands lay around the answer without limits, J_sample at mid-run was at
88 in the same experiments. J_ref at the first frame falls short where its exponent is left open, between -1.9 and 2: where
the answer is a J that rises from 0, its tangent knows no curve that is steep at first, and the band
ends far below the truth, though a J that falls fits nearly as well.

A pass with all 14 derivatives over 10⁵ ... 10⁸ photons of one bin took 0.004 ... 2.7 s on two busy cores: 22 to 63 ns a
photon, the larger where frames, whose model products cost by themselves, are many and photons few. c2 agrees with that of
xpcs-correlator 0.4.5 to 1.2e-7, g2 to 5e-8.

The whole heterodyne fit, 9.6e7 photon events, took 14.5 s of processors to sort and 166 s to fit, 327 s in all on two
cores that others used too; all photons were left 2 iterations. It held 1.77 GB at most. With and without the map
between search and photons χ² ended within 3e-11 of each other in 3 of 3 runs. On the same cores a live fit took in
frames of 10⁴ pixels at 252 µs of the processor each, fits apart, and with a seventh of a core fell 11 s behind in 4 s;
it lost none and ended within 8e-9 of the χ² of the whole run, J within 1.2e-3.
"""

from __future__ import annotations

import json
import resource
import secrets
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sparse_runs import read_run, write_run

import heterodyne_nb as hnb
from heterodyne_nb import simulate
from heterodyne_nb.config import resolve_parameters
from heterodyne_nb.engine import FrameProblem, Objective, Problem, products_at
from heterodyne_nb.engine.photons import PhotonData
from heterodyne_nb.frames import FrameSet, Partition
from heterodyne_nb.frames.correlation import inverse_means
from heterodyne_nb.frames.sources import Source
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.models.symmetries import canonical
from heterodyne_nb.optimize import create_strategy
from heterodyne_nb.uncertainty.bands import curve_bands
from heterodyne_nb.uncertainty.covariance import estimate_covariance

STATIC = {"D0": 300.0, "alpha": -0.4, "D_offset": 20.0}
AXES = {"q": 0.008, "phi": 0.0, "dt": 0.5, "mean_counts": 0.5}
SETTINGS: dict[str, tuple[str, dict[str, float], dict[str, Any]]] = {
    "one component, 400 speckles, 150 frames": (
        "static_isotropic", STATIC, {**AXES, "n_frames": 150, "n_pixels": 400},
    ),
    "one component, 2000 speckles, 150 frames": (
        "static_isotropic", STATIC, {**AXES, "n_frames": 150, "n_pixels": 2000},
    ),
    "one component, 2000 speckles, 60 frames": (
        "static_isotropic", STATIC, {**AXES, "n_frames": 60, "n_pixels": 2000},
    ),
    "one component, 1600 pixels, speckles of 2 × 2": (
        "static_isotropic", STATIC, {**AXES, "n_frames": 150, "n_pixels": 1600, "speckle_size": 2},
    ),
    "one component, 2000 pixels, 0.05 photons": (
        "static_isotropic", STATIC, {**AXES, "n_frames": 150, "n_pixels": 2000, "mean_counts": 0.05},
    ),
    "heterodyne, 2 q × 4 phi, 600 speckles, 150 frames": (
        "heterodyne", dict(simulate.example_truth()["parameters"]),
        {"q": [0.006, 0.009], "phi": [-45.0, 0.0, 45.0, 90.0], "dt": 0.5, "mean_counts": 0.5, "n_frames": 150,
         "n_pixels": 600},
    ),
}  # fmt: skip


def problems(frames: FrameSet, mode: str, start: dict[str, float]) -> tuple[FrameProblem, Problem]:
    """The problem of photons and that of their map, with the same weights."""
    model = ModelFactory.create_model(mode)
    table = resolve_parameters(mode, start, specs=model.parameters)
    data = PhotonData(frames.photons, inverse_means(frames), frames.scale, frames.partition.shape[1])
    rest: dict[str, Any] = {
        "model": model, "table": table, "q": frames.q, "phi": frames.phi, "t": frames.t,
        "mask": frames.usable.astype(float), "sigma": np.ones(frames.n_bins), "holes": np.zeros((0, 3), np.int64),
    }  # fmt: skip
    return FrameProblem(data=data, **rest), Problem(data=data.cell_map(np.arange(frames.n_frames)), **rest)


def covered(
    mode: str, truth: dict[str, float], axes: dict[str, Any], seed: int
) -> dict[str, np.ndarray] | None:
    """Whether bands hold each curve at the first, middle and last frame: (roads, 3), frames before map."""
    frames = simulate.frames(mode, truth, **axes, seed=seed)
    pair = problems(frames, mode, truth)
    objective = Objective(pair[0])
    found = create_strategy("gauss_newton").optimize(objective, objective.x0)
    if not found.success:
        return None
    theta = canonical(pair[0].model, found.x, frames.t, pair[0].table)
    some = [0, len(frames.t) // 2, -1]
    true = pair[0].model.curves(np.array(list(truth.values())), frames.t[some])
    out: dict[str, list[np.ndarray]] = {name: [] for name in true}
    for problem in pair:
        objective = Objective(problem)
        spread = estimate_covariance(objective, theta)
        bands = curve_bands(problem.model, theta, spread.covariance, problem.t, spread=spread)
        for name, (low, high) in bands.items():
            out[name].append((low[some] <= true[name]) & (true[name] <= high[some]))
    return {name: np.array(values) for name, values in out.items()}


def coverage(experiments: int, seed: int | None = None, only: str = "") -> None:
    """Print the table of coverage; without a seed one is drawn. ``only``: Settings whose names begin so."""
    first = secrets.randbelow(2**31) if seed is None else seed
    print(f"seed {first}")
    print(f"{'':50s} {'curve':9s} {'speckles: first mid last':>26s}   {'frames as clusters':>20s}   n")
    for k, (name, (mode, truth, axes)) in enumerate(SETTINGS.items()):
        if not name.startswith(only):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            all_of = [covered(mode, truth, axes, first + 1000 * k + n) for n in range(experiments)]
        runs = [one for one in all_of if one is not None]
        for curve in runs[0]:
            share = 100 * np.mean([one[curve] for one in runs], axis=0)
            texts = ["  ".join(f"{v:5.1f}" for v in row) for row in share]
            print(f"{name:50s} {curve:9s} {texts[0]:>26s}   {texts[1]:>20s}   {len(runs)}", flush=True)


def random_photons(n_frames: int, bins: int, pixels: int, mean: float, seed: int = 0) -> FrameSet:
    """Frames without a speckle pattern, made fast: for times, not for answers."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(1, bins + 1), pixels).reshape(bins, pixels)

    def batches(_: Any) -> Any:
        for p in range(0, bins * pixels, 200):
            some = np.arange(p, min(p + 200, bins * pixels))
            n = rng.poisson(mean * n_frames, len(some))
            pixel = np.repeat(some, n)
            yield rng.integers(0, n_frames, len(pixel)), pixel, np.ones(len(pixel), np.uint16)

    source = Source("random photons", "simulation", batches, labels.shape, n_frames, 1e-4)
    phi = np.linspace(-170.0, 170.0, bins)
    return FrameSet(source, Partition(labels, np.full(bins, 0.008), phi), 1e-4)


def cost() -> None:
    """Print seconds of a pass against photons."""
    truth = dict(simulate.example_truth()["parameters"])
    print("  frames  pixels  photons     pass, s   ns a photon   pass over the map, s")
    for n, pixels, mean in (
        (1000, 500, 0.2), (1000, 5000, 0.2), (10_000, 1000, 0.1), (10_000, 10_000, 0.1), (100_000, 2000, 0.05),
        (100_000, 10_000, 0.1),
    ):  # fmt: skip
        frames = random_photons(n, 1, pixels, mean)
        model = ModelFactory.create_model("heterodyne")
        data = PhotonData(frames.photons, inverse_means(frames), frames.scale, pixels)
        object.__setattr__(
            data, "__dict__", {**data.__dict__, "moments": np.array([[0.5 * n * (n - 1), 1.0, 1.0]])}
        )
        rest: dict[str, Any] = {
            "model": model, "table": resolve_parameters("heterodyne", {}, specs=model.parameters), "q": frames.q,
            "phi": frames.phi, "t": frames.t * 1e3, "mask": frames.usable.astype(float), "sigma": np.ones(1),
            "holes": np.zeros((0, 3), np.int64),
        }  # fmt: skip
        problem = FrameProblem(data=data, **rest)
        wanted, theta = np.arange(14), np.array(list(truth.values()))
        seconds = _best(lambda p=problem, th=theta, w=wanted: products_at(p, th, w))
        by_map = np.nan
        if n <= 4000:
            maps = Problem(data=data.cell_map(np.arange(n)), **rest)
            by_map = _best(lambda p=maps, th=theta, w=wanted: products_at(p, th, w))
        events = len(frames.photons.frame)
        print(
            f"{n:8d}{pixels:8d}{events:10.2e}{seconds:12.3f}{1e9 * seconds / events:12.1f}{by_map:20.3f}",
            flush=True,
        )


def _best(call: Any, repeats: int = 3) -> float:
    call()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return min(times)


#: Long runs of a whole fit: what is slow keeps to a decay in 0.1 s, fringes pass in 0.1 s, 1000 frames.
LONG = {
    "static_isotropic": {"D0": 2.0e4, "alpha": -0.2, "D_offset": 2.0e3},
    "heterodyne": {
        "D0_ref": 2e4, "alpha_ref": -0.2, "D_offset_ref": 2e3, "D0_sample": 3e5, "alpha_sample": -0.3,
        "D_offset_sample": 2e4, "v0": 1.6e4, "beta": -0.2, "v_offset": 2e3, "f0": 0.3, "f1": -0.4, "f2": 0.0, "f3": 0.3,
        "phi0": 15.0,
    },
}  # fmt: skip


def long_run(mode: str, bins: int, frames: int, pixels: int, seed: int) -> dict[str, Any]:
    """A run for :mod:`sparse_runs`: angles all around, 10 s, 0.02 photons a pixel and frame, 0.06 where frames are few."""
    phi = np.linspace(-180.0 + 360.0 / bins, 180.0, bins)
    return {
        "mode": mode, "truth": LONG[mode], "q": 0.004, "phi": phi.tolist(), "n_frames": frames, "dt": 10.0 / frames,
        "n_pixels": pixels, "mean_counts": 0.02 if frames > 20_000 else 0.06, "seed": seed,
    }  # fmt: skip


def whole(mode: str = "heterodyne", folder: str = "") -> None:
    """Print time and memory of a whole fit without a start, and how far the answer is from the truth.

    ``folder``: With a run that was simulated before; else one is, by a process whose memory does not count.
    """
    run = long_run(mode, 24, 100_000, 2000, seed=2)
    with tempfile.TemporaryDirectory() as place:
        if not folder:
            script = Path(__file__).with_name("sparse_runs.py")
            subprocess.run([sys.executable, script, place, json.dumps(run)], check=True)
        frames = read_run(folder or place, run)
        begun, worked = time.perf_counter(), time.process_time()
        frames.photons  # noqa: B018
        print(
            f"sorted in {time.perf_counter() - begun:.1f} s ({time.process_time() - worked:.1f} s of processors)"
        )
    begun, worked = time.perf_counter(), time.process_time()
    result = hnb.fit(frames, mode)
    total, work = time.perf_counter() - begun, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{mode}: {len(frames.photons.frame):.3g} photon events, fitted in {total:.1f} s ({work:.1f} s of processors) "
        f"without a start, {peak:.2f} GB at most; {result.provenance['road']}"
    )
    for step in result.path:
        if "data" not in step or step["frames"] > 600:
            print({k: step[k] for k in ("start", "frames", "chi2_reduced", "iterations", "nfev", "seconds")})
    some = [0, len(frames.t) // 2, -1]
    model = ModelFactory.create_model(mode)
    for name, true in model.curves(np.array(list(run["truth"].values())), frames.t[some]).items():
        low, found, high = (result.curve(name)[part].values[some] for part in ("lower", "value", "upper"))
        for at, *numbers in zip(("first", "mid", "last"), true, found, low, high, strict=True):
            print(
                f"{name} at the {at} frame: true {{:.5g}}, found {{:.5g}} [{{:.5g}}, {{:.5g}}]".format(
                    *numbers
                )
            )


def optimum(seeds: int = 3) -> None:
    """Compare optima of fits that go by way of a finer map with those of fits that go on with all photons at once."""
    angles = {
        "all around": np.linspace(-150.0, 180.0, 6), "three": np.array([0.0, 45.0, 90.0]),
        "one side": np.array([-20.0, 5.0, 30.0, 55.0]),
    }  # fmt: skip
    apart: list[float] = []
    through = FrameProblem.finer
    for layout, phi in angles.items():
        for seed in range(seeds):
            run = long_run("heterodyne", len(phi), 8000, 400, seed=100 + seed) | {"phi": phi.tolist()}
            with tempfile.TemporaryDirectory() as place:
                write_run(place, run)
                frames = read_run(place, run)
                frames.photons  # noqa: B018
            found = []
            for finer in (through, property(lambda _: None)):
                FrameProblem.finer = finer  # type: ignore[assignment,method-assign]
                worked = time.process_time()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    result = hnb.fit(frames, "heterodyne", via="frames")
                found.append((float(result.chi2), time.process_time() - worked))
            apart.append(found[0][0] / found[1][0] - 1.0)
            print(
                f"{layout}, seed {seed}: χ² differs by {apart[-1]:.1e}; {found[0][1]:.1f} and {found[1][1]:.1f} s",
                flush=True,
            )
    FrameProblem.finer = through  # type: ignore[method-assign]
    failed = sum(abs(one) > 1e-6 for one in apart)
    print(f"{failed} of {len(apart)} end at another χ² (1e-6 relative)")


def replay(mode: str = "heterodyne", n: str = "10000") -> None:
    """Replay a run of 4 bins × 2500 pixels at 1 kHz into a live fit; print how late frames were taken in, and both answers."""
    run = long_run(mode, 4, int(n), 2500, seed=7) | {"dt": 1e-3}
    with tempfile.TemporaryDirectory() as place:
        write_run(place, run)
        frames = read_run(place, run)
        frames.photons  # noqa: B018
    dense = np.zeros((frames.n_frames, frames.partition.labels.size), np.uint8)
    frame, pixel, count = frames.photons.in_time_order()
    dense[frame, pixel] = count
    late, work = np.zeros(frames.n_frames), [0.0]

    def source() -> Any:
        begun, worked = time.perf_counter(), time.thread_time()
        for k, image in enumerate(dense.reshape(-1, *frames.partition.shape)):
            due = begun + 1e-3 * (k + 1)
            while (left := due - time.perf_counter()) > 0:
                time.sleep(left)
            late[k] = -left
            yield k + 1, image
        work[0] = time.thread_time() - worked

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        following = hnb.live(source(), mode, partition=frames.partition, dt=1e-3, first=1000)
        begun = time.perf_counter()
        result = following.run()
        seconds = time.perf_counter() - begun
        whole_run = hnb.fit(frames, mode)
    print(
        f"{frames.n_frames} frames of {dense.shape[1]} pixels at 1 kHz: taken in {1e3 * np.median(late):.2f} ms after they "
        f"were due (median), {1e3 * late.max():.0f} ms at most, the last {1e3 * late[-1]:.1f} ms; "
        f"{1e6 * work[0] / frames.n_frames:.0f} µs of the processor a frame; {len(following.history)} fits, the last "
        f"{seconds - 1e-3 * frames.n_frames:.1f} s after the last frame; told: {following.told or 'nothing'}"
    )
    print(f"χ² live over χ² of the whole run: 1 {result.chi2 / whole_run.chi2 - 1.0:+.1e}")
    for name in whole_run.curve_names:
        ours, theirs = (np.asarray(one.curve(name)["value"]) for one in (result, whole_run))
        print(f"{name}: differs by {np.abs(ours / theirs - 1.0).max():.1e} at most")


def peer(python: str) -> None:
    """Compare with xpcs-correlator, which the given Python has."""
    frames = simulate.frames(
        "static_isotropic",
        STATIC,
        q=[0.006, 0.009],
        phi=0.0,
        n_frames=400,
        dt=0.5,
        n_pixels=2500,
        mean_counts=0.4,
    )
    dense = np.zeros((frames.n_frames, frames.partition.labels.size), np.uint16)
    frame, pixel, count = frames.photons.in_time_order()
    dense[frame, pixel] = count
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.npz"
        np.savez(path, frames=dense.reshape(-1, *frames.partition.shape), labels=frames.partition.labels)
        script = Path(__file__).with_name("frames_peer.py")
        begun = subprocess.run([python, script, path], capture_output=True, text=True, check=True)
        theirs = dict(np.load(path.with_name("correlator_dense_reference.npz")))
        print(json.loads(begun.stdout.splitlines()[-1]))
    begun_at = time.perf_counter()
    ds = hnb.correlate(frames, twotime=True)
    print(f"ours: {time.perf_counter() - begun_at:.2f} s, g2 and c2")
    off = ~np.eye(frames.n_frames, dtype=bool)
    for b in range(2):
        ours, mean = ds.c2.values[b, 0].astype(float), frames.intensity[b]
        g2 = [
            (np.diagonal(ours, k) * mean[:-k] * mean[k:]).sum() / (mean[:-k] * mean[k:]).sum()
            for k in range(1, frames.n_frames)
        ]  # theirs weights by the intensity
        apart = np.abs(ours - theirs["c2"][b])[off].max(), np.abs(g2 - theirs["g2"][b]).max()
        print(f"bin {b}: c2 differs by {apart[0]:.1e} at most, g2 by {apart[1]:.1e}", flush=True)


if __name__ == "__main__":
    command, *rest_of = sys.argv[1:] or ["coverage"]
    if command == "coverage":
        coverage(*map(int, rest_of[:2] or ["200"]), *rest_of[2:])
    else:
        {"cost": cost, "whole": whole, "optimum": optimum, "replay": replay, "peer": peer}[command](*rest_of)
