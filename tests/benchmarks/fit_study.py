"""How long whole fits take, and how much memory.  python tests/benchmarks/fit_study.py

Nothing is subsampled in the answer: every pixel of every bin counts. Times include reading the arrays, estimating
the noise, the search for start values, the fit on all pixels and the errors.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

import heterodyne_nb as hnb
from heterodyne_nb.data import make_dataset
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


def fit_in_own_process(name: str, folder: str) -> None:
    """Fit a case whose maps are in a file, so that the memory is that of the fit and not of the simulation."""
    warnings.simplefilter("ignore", HeterodyneWarning)
    case = CASES[name]
    small = hnb.simulate.model_maps(
        "heterodyne", list(TRUTH.values()), q=[0.01], phi=[0.0, 60.0], n_frames=40, dt=0.5, noise=0.01, seed=0
    )
    hnb.fit(small, multistart=1)  # compiles the kernels or loads them
    before = peak_mb()
    maps = np.load(f"{folder}/maps.npy")
    data = make_dataset(maps, q=case["q"], phi=case["phi"], dt=case["dt"])
    begun = time.perf_counter()
    result = hnb.fit(data)
    searched = time.perf_counter() - begun
    peak = peak_mb() - before
    begun = time.perf_counter()
    start = {key: value * 1.15 for key, value in TRUTH.items() if key != "f2"}
    given = hnb.fit(data, parameters=start, multistart=0)
    print(
        f"{name}: no guess {searched:.2f} s (reduced chi2 {result.chi2_reduced:.4f}), of which all pixels"
        f" {sum(s['seconds'] for s in result.path if s['start'] == 'all pixels'):.2f} s;"
        f" from a start 15 % off {time.perf_counter() - begun:.2f} s ({given.chi2_reduced:.4f});"
        f" memory {peak:.0f} MB above the idle process, the caller's float32 maps being {maps.nbytes / 2**20:.0f} MB",
        flush=True,
    )


def main(names: list[str]) -> None:
    """Print one line a case."""
    for name in names or CASES:
        data = hnb.simulate.model_maps(
            "heterodyne", list(TRUTH.values()), contrast=0.3, noise=0.005, seed=1, **CASES[name]
        )
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/maps.npy", data.c2.values)
            subprocess.run([sys.executable, __file__, "--child", name, folder], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        fit_in_own_process(*sys.argv[2:4])
    else:
        main(sys.argv[1:])
