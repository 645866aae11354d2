"""How often a fit says that its model is wrong, and how often it is confident and wrong.

python tests/benchmarks/goodness_study.py [--each N, default 12] [--first SEED] [--kinds ...], one process.

Experiments are simulated from speckle fields whose rates follow any course in time (nothing of the models is used) and
fitted as two components with default settings and no start. Right ones have 3 to 9 angles, of which half are random,
80 to 200 frames, 200 to 3000 speckles, contrast 0.2 to 1, one or two q, with and without photon noise. Counted are, for
each kind: fits with a serious flag of the goodness of fit (``poor_chi2``, ``bent_curve``, ``poor_bins``), fits whose
light is not green, and reduced chi-square; how many of nine 95 % bands (J_sample, v and x_sample at the first, middle and
last frame) hold the truth; and fits that are confident and wrong: the light is green, and a curve at mid-time is further
outside its band than the band is wide. Lines of single fits come first.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np

import heterodyne_nb as hnb
from heterodyne_nb.data.dataset import make_dataset
from heterodyne_nb.errors import HeterodyneWarning
from heterodyne_nb.simulate.components import Component
from heterodyne_nb.simulate.fields import Detector, bin_correlation, mode_weights

DT = 0.5
EIGHT = tuple(np.arange(8) * 22.5 - 80.0)
OBJECTS = {"poor_chi2", "bent_curve", "poor_bins"}
#: Rates and fraction of the sample by time in s.
FLOWS = (
    {"J_ref": lambda t: 60 + 0 * t, "J_sample": lambda t: 600 + 0 * t, "v": lambda t: 60 + 0 * t,
     "x": lambda t: 0.35 + 0.1 * np.exp(0.01 * t)},
    {"J_ref": lambda t: 20 * t**0.4 + 30, "J_sample": lambda t: 60 * t**0.6 + 200, "v": lambda t: 2 * t**0.8 + 20,
     "x": lambda t: 0.35 * np.exp(-0.04 * t) + 0.27},
    {"J_ref": lambda t: 150 * t**-0.3 + 20, "J_sample": lambda t: 2000 * t**-0.5 + 150,
     "v": lambda t: 150 * t**-0.4 + 25, "x": lambda t: 0.35 * np.exp(-0.04 * t) + 0.27},
)  # fmt: skip
KINDS = (
    "right", "right, random", "right, three angles", "right, two q", "right, photons", "oscillating v", "stopping v",
    "jump of J", "intensity drift", "dead frames", "gap in time", "third component", "aliased fringes", "odd angle",
)  # fmt: skip


def simulate(flow: dict[str, Any], seed: int, **how: Any) -> Any:
    """Speckle of two components, or three, whose rates follow any course in time."""
    n, phi, q = how.get("n", 120), how.get("phi", EIGHT), how.get("q", (0.012,))
    t = how.get("t", DT * np.arange(1, n + 1))
    third, gain = how.get("third", 0.0), how.get("gain", np.ones(n))
    fine = t[:-1, None] + np.diff(t)[:, None] * (np.arange(8) + 0.5) / 8

    def steps(rate: Any) -> np.ndarray:
        return np.diff(t) * rate(fine).mean(axis=1)

    def path(rate: Any) -> np.ndarray:
        return np.concatenate([[0.0], np.cumsum(steps(rate))])

    lost = np.isin(np.arange(n), how.get("bad", ()))
    detector = Detector(
        how.get("pixels", 500),
        mode_weights(how.get("contrast", 1.0)),
        how.get("counts"),
        lost if lost.any() else None,
    )
    c2 = np.empty((len(q), len(phi), n, n), np.float32)
    for i, j in np.ndindex(c2.shape[:2]):
        odd = 2.0 if j == how.get("odd") else 1.0  # another speed in one direction
        x = flow["x"](t)
        parts = [
            Component(1 - x - third, steps(flow["J_ref"]), np.zeros(n)),
            Component(x, steps(flow["J_sample"]), odd * path(flow["v"]), 15.0),
        ]
        if third:
            fast = path(lambda t: 150 + 0 * t)
            parts.append(Component(np.full(n, third), steps(lambda t: 150 + 0 * t), fast, 70.0))
        stream = np.random.SeedSequence(seed, spawn_key=(i, j))
        c2[i, j] = bin_correlation(parts, q[i], phi[j], detector, stream)[0]
    return make_dataset(c2=c2 * np.outer(gain, gain).astype(np.float32), q=list(q), phi=list(phi), dt=DT)


def experiment(kind: str, seed: int) -> tuple[Any, dict[str, np.ndarray]]:
    """One experiment of a kind, and the true curves at its frames."""
    rng, flow = np.random.default_rng([seed, 77]), dict(FLOWS[seed % 3])
    v, J = flow["v"], flow["J_sample"]
    t = DT * np.arange(1, 121)
    when, period = rng.uniform(20, 40), rng.uniform(10, 20)
    if kind == "right, random":
        angles = np.sort(rng.uniform(-90, 90, rng.integers(4, 10)))
        seen = {"n": int(rng.integers(80, 200)), "pixels": int(rng.integers(200, 3000))}
        data = simulate(flow, seed, phi=tuple(angles), contrast=float(rng.uniform(0.2, 1)), **seen)
        return data, truth(flow, DT * np.arange(1, seen["n"] + 1))
    changed = {
        "oscillating v": {"v": lambda t: v(t) * (1 + 0.35 * np.sin(2 * np.pi * t / period))},
        "stopping v": {"v": lambda t: v(t) * (t < when)},
        "jump of J": {"J_sample": lambda t: J(t) * np.where(t < when, 1.0, 5.0)},
        "aliased fringes": {"v": lambda t: 900 + 0 * t, "J_sample": lambda t: 100 + 0 * t},
    }
    how: dict[str, dict[str, Any]] = {
        "right, three angles": {"phi": (-40.0, 0.0, 50.0)},
        "right, two q": {"q": (0.009, 0.014), "phi": EIGHT[::2]},
        "right, photons": {"pixels": 1500, "contrast": 0.3, "counts": 8.0},
        "intensity drift": {"gain": 1 + 0.03 * np.sin(2 * np.pi * t / when)},
        "dead frames": {"bad": (30, 31, 32, 77)},
        "gap in time": {"t": np.concatenate([t[:60], t[60:] + rng.uniform(5, 20)])},
        "third component": {"third": 0.2},
        "odd angle": {"odd": int(rng.integers(8))},
    }
    flow, told = flow | changed.get(kind, {}), how.get(kind, {})
    return simulate(flow, seed, **told), truth(flow, told.get("t", t))


def truth(flow: dict[str, Any], t: np.ndarray) -> dict[str, np.ndarray]:
    """The sample's curves at the frames."""
    return {"J_sample": flow["J_sample"](t), "v": flow["v"](t), "x_sample": flow["x"](t)}


def judged(kind: str, seed: int) -> dict[str, Any]:
    """One experiment, fitted with defaults."""
    data, true = experiment(kind, seed)
    result = hnb.fit(data, "heterodyne")
    held, wrong = 0, False
    for name, values in true.items():
        band = result.curve(name)
        low, high = band["lower"].values, band["upper"].values
        places = [0, len(values) // 2, -1]
        held += int(np.sum((low[places] <= values[places]) & (values[places] <= high[places])))
        k = places[1]
        wrong |= bool(max(low[k] - values[k], values[k] - high[k]) > high[k] - low[k])
    serious = {flag.code for flag in result.flags if flag.serious}
    return {
        "kind": kind, "seed": seed, "objected": bool(serious & OBJECTS), "lit": result.light != "green", "held": held,
        "wrong": wrong, "chi2": result.chi2_reduced, "others": sorted(serious - OBJECTS),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=12)
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore", HeterodyneWarning)
    rows, begun = [], time.process_time()
    for seed in range(options.first, options.first + options.each):
        for kind in options.kinds:
            rows.append(judged(kind, seed))
            print(
                *(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in rows[-1].items()),
                flush=True,
            )
    print(f"{(time.process_time() - begun) / len(rows):.1f} CPU s a fit, simulation included")
    print(
        f"{'kind':20s} {'fits':>5s} {'objected':>9s} {'not green':>10s} {'bands hold':>11s} {'confident and wrong':>20s}  "
        "chi2_reduced (least, median, most)"
    )
    for kind in (*options.kinds, "all right", "all wrong"):
        mine = [
            r
            for r in rows
            if kind in (r["kind"], "all right" if r["kind"].startswith("right") else "all wrong")
        ]
        if mine:
            objected, lit = (sum(r[k] for r in mine) for k in ("objected", "lit"))
            wrong = sum(r["wrong"] and not r["lit"] for r in mine)
            chi2, held = [r["chi2"] for r in mine], sum(r["held"] for r in mine) / (9 * len(mine))
            figures = " ".join(f"{value:7.2f}" for value in (min(chi2), np.median(chi2), max(chi2)))
            print(f"{kind:20s} {len(mine):5d} {objected:9d} {lit:10d} {held:10.1%} {wrong:20d}  {figures}")


if __name__ == "__main__":
    main()
