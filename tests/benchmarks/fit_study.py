"""How long whole fits take, and how much memory.  python tests/benchmarks/fit_study.py

Nothing is subsampled in the answer: every pixel of every bin counts. Times include reading the arrays, estimating
the noise, the search for start values, the fit on all pixels and the errors.
"""

from __future__ import annotations

import resource
import sys
import time
import warnings

import numpy as np

import heterodyne_nb as hnb
from heterodyne_nb.errors import HeterodyneWarning

TRUTH = {
    "D0_ref": 150.0, "alpha_ref": -0.3, "D_offset_ref": 20.0, "D0_sample": 2000.0, "alpha_sample": -0.5,
    "D_offset_sample": 150.0, "v0": 150.0, "beta": -0.4, "v_offset": 25.0, "f0": 0.35, "f1": -0.02, "f2": 0.0,
    "f3": 0.27, "phi0": 15.0,
}  # fmt: skip
CASES = {
    "8 x 200²": {"q": [0.01], "phi": np.arange(8) * 22.5 - 80.0, "n_frames": 200, "dt": 0.5},
    "8 x 1000²": {"q": [0.01], "phi": np.arange(8) * 22.5 - 80.0, "n_frames": 1000, "dt": 0.1},
    "3 q x 8 phi x 1000²": {
        "q": [0.006, 0.009, 0.012],
        "phi": np.arange(8) * 22.5 - 80.0,
        "n_frames": 1000,
        "dt": 0.1,
    },
}


def peak_mb() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def main(names: list[str]) -> None:
    """Print one line a case."""
    warnings.simplefilter("ignore", HeterodyneWarning)
    small = hnb.simulate.model_maps(
        "heterodyne", list(TRUTH.values()), q=[0.01], phi=[0.0, 60.0], n_frames=40, dt=0.5, noise=0.01, seed=0
    )
    hnb.fit(small, multistart=1)  # compiles the kernels or loads them
    for name in names or CASES:
        case = CASES[name]
        data = hnb.simulate.model_maps(
            "heterodyne", list(TRUTH.values()), contrast=0.3, noise=0.005, seed=1, **case
        )
        before = peak_mb()
        begun = time.perf_counter()
        result = hnb.fit(data)
        searched = time.perf_counter() - begun
        begun = time.perf_counter()
        start = {key: value * 1.15 for key, value in TRUTH.items() if key != "f2"}
        given = hnb.fit(data, parameters=start, multistart=0)
        print(
            f"{name}: no guess {searched:.2f} s (reduced chi2 {result.chi2_reduced:.4f}); from a start 15 % off"
            f" {time.perf_counter() - begun:.2f} s ({given.chi2_reduced:.4f});"
            f" peak memory {peak_mb() - before:.0f} MB above the process with the data,"
            f" of which the float32 maps {data.c2.nbytes / 2**20:.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
