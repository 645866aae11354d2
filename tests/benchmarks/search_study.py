"""Does a fit without any guess find the optimum?  python tests/benchmarks/search_study.py [number of experiments]

Synthetic experiments of 8 angles x 200 frames with 1-2 % noise of the contrast, parameters drawn over broad ranges.
"Best known" is the lowest χ² of: the fit without a guess, a fit from the truth, and the truth itself.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np

import heterodyne_nb as hnb
from heterodyne_nb.errors import HeterodyneWarning
from heterodyne_nb.models import ModelFactory

FRAMES, DT, Q = 200, 0.1, 0.01
PHI = np.arange(8) * 22.5 - 80.0
CONTRAST = 0.3


def draw(rng: np.random.Generator) -> dict[str, float]:
    """Parameters over what a run of this length can show, from barely decaying to decayed within frames."""
    run, middle = FRAMES * DT, DT * np.sqrt(FRAMES)
    slow, fast = np.sort(np.exp(rng.uniform(np.log(0.05 / run), np.log(0.5 / DT), 2))) / Q**2
    alpha, beta = rng.uniform(-1.0, 1.0, 2), rng.uniform(-0.6, 0.6)
    speed = np.exp(rng.uniform(np.log(2.0 / run), np.log(2.0 / DT))) / Q
    share = rng.uniform(0.3, 1.0, 3)
    first, last = rng.uniform(0.1, 0.9, 2)
    rate = rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 5.0) / run
    f0 = (last - first) / (np.exp(rate * run) - np.exp(rate * DT))
    if not abs(f0) <= 1.0 or not -1.0 <= first - f0 * np.exp(rate * DT) <= 2.0:
        f0, rate = 0.0, -0.05
    values = [
        share[0] * slow * middle ** -alpha[0], alpha[0], (1 - share[0]) * slow,
        share[1] * fast * middle ** -alpha[1], alpha[1], (1 - share[1]) * fast,
        share[2] * speed * middle**-beta, beta, (1 - share[2]) * speed,
        f0, rate, 0.0, first - f0 * np.exp(rate * DT), rng.uniform(-90.0, 90.0),
    ]  # fmt: skip
    return dict(zip(ModelFactory.create_model("heterodyne").parameter_names, values, strict=True))


def main(count: int) -> None:
    """Print one line an experiment and the summary."""
    warnings.simplefilter("ignore", HeterodyneWarning)
    found, seconds = 0, []
    for k in range(count):
        rng = np.random.default_rng(k)
        truth = draw(rng)
        data = hnb.simulate.model_maps(
            "heterodyne", list(truth.values()), q=[Q], phi=PHI, n_frames=FRAMES, dt=DT, contrast=CONTRAST,
            noise=CONTRAST * rng.uniform(0.01, 0.02), seed=k,
        )  # fmt: skip
        begun = time.perf_counter()
        result = hnb.fit(data, seed=k)
        seconds.append(time.perf_counter() - begun)
        start = {name: {"value": value, "min": -1e7, "max": 1e7} for name, value in truth.items()}
        reference = hnb.fit(data, parameters=start, multistart=0)
        best = min(result.chi2, reference.chi2)
        good = result.chi2 <= best * (1 + 1e-3)
        found += good
        print(
            f"{k:3d} {'ok ' if good else 'BAD'} {seconds[-1]:6.2f} s  reduced chi2 {result.chi2_reduced:.5f}"
            f"  from the truth {reference.chi2_reduced:.5f}",
            flush=True,
        )
        if not good:
            print("      ", {n: float(f"{v:.4g}") for n, v in truth.items()}, flush=True)
            print("      ", [round(s["chi2_reduced"], 3) for s in result.path], flush=True)
    print(f"{found} of {count} within 1e-3 of the best known; median {np.median(seconds):.2f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
