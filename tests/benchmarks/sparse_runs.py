"""Photons of long, dark runs, for times of fits: exact speckle at the cost of the photons, not of the frames.

:func:`heterodyne_nb.simulate.frames` moves every field from frame to frame, an hour for 10⁵ frames × 24 bins × 2000
pixels. Here candidates for a photon come at a fixed rate, fields go on from one to the next by what they forget in
between, and a candidate is a photon with a chance that goes with the intensity (thinning). A frame holds one photon of a
pixel at most, which the correlation between frames does not feel; an intensity beyond 11 times the mean, e⁻¹¹ of all,
is cut.

    python tests/benchmarks/sparse_runs.py FOLDER JSON

writes the photons of each bin, ``frame{b}.npy`` and ``start{b}.npy``, of the run that JSON describes.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np

from heterodyne_nb.frames import FrameSet, Partition
from heterodyne_nb.frames.sources import Source
from heterodyne_nb.simulate.components import check_axes, components

_MOST = 11.0


@nb.njit(nogil=True)
def _photons(gained, share, turn, rate, rng, frame, start):  # type: ignore[no-untyped-def]
    """Fill frame with those of the photons, pixel by pixel; gained (c, N) ½ q² ∫J, share and turn (c, N) of fields."""
    parts, n = share.shape
    field, at = np.empty(parts, np.complex128), np.empty(parts)
    count, root, wait = 0, np.sqrt(0.5), 1.0 / np.log(1.0 - rate * _MOST)
    for p in range(len(start) - 1):
        t = -1
        while True:
            fresh = t < 0
            t += 1 + int(np.log(1.0 - rng.random()) * wait)
            if t >= n:
                break
            seen = 0.0j
            for c in range(parts):
                keep = 0.0 if fresh else np.exp(at[c] - gained[c, t])
                new = root * np.sqrt(1.0 - keep * keep) * (rng.standard_normal() + 1j * rng.standard_normal())
                field[c] = new if fresh else keep * field[c] + new
                at[c] = gained[c, t]
                seen += share[c, t] * np.exp(1j * turn[c, t]) * field[c]
            if rng.random() * _MOST < seen.real**2 + seen.imag**2:
                frame[count] = t
                count += 1
        start[p + 1] = count


def write_run(folder: str | Path, run: dict[str, Any]) -> None:
    """Write the photons of a run; ``run``: mode, truth, q, phi (B,), n_frames, dt, n_pixels, mean_counts, seed."""
    if run["mean_counts"] * _MOST > 0.9:
        raise ValueError(f"{run['mean_counts']} photons a pixel and frame: at most {0.9 / _MOST:.2g} here")
    axes = check_axes(run["q"], run["phi"], run["n_frames"], run["dt"])
    parts = components(run["mode"], run["truth"], axes)
    power = np.mean(np.sum([c.amplitude**2 for c in parts], axis=0))
    share = np.array([c.amplitude for c in parts]) / np.sqrt(power)
    expected = run["mean_counts"] * run["n_pixels"] * run["n_frames"]
    q = float(axes.q[0])
    gained = 0.5 * q**2 * np.array([np.concatenate([[0.0], np.cumsum(c.spread)]) for c in parts])

    def write(b: int) -> None:
        angle = np.radians([c.direction - axes.phi[b] for c in parts])
        turn = q * np.cos(angle)[:, None] * np.array([c.displacement for c in parts])
        frame, start = np.empty(int(1.2 * expected) + 1000, np.int32), np.zeros(run["n_pixels"] + 1, np.int64)
        rng = np.random.default_rng([run["seed"], b])
        _photons(gained, share, turn, run["mean_counts"], rng, frame, start)
        np.save(Path(folder) / f"frame{b}.npy", frame[: start[-1]])
        np.save(Path(folder) / f"start{b}.npy", start)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write, range(len(axes.phi))))


def read_run(folder: str | Path, run: dict[str, Any]) -> FrameSet:
    """The frames of a run that was written; its photons are read when they are needed."""
    bins, pixels = len(run["phi"]), run["n_pixels"]
    labels = np.repeat(np.arange(1, bins + 1), pixels).reshape(bins, pixels)

    def batches(_: Any) -> Any:
        for b in range(bins):
            frame, start = (np.load(Path(folder) / f"{name}{b}.npy") for name in ("frame", "start"))
            pixel = np.repeat(np.arange(b * pixels, (b + 1) * pixels, dtype=np.int32), np.diff(start))
            yield frame, pixel, np.ones(len(frame), np.uint16)

    source = Source("sparse run", "simulation", batches, labels.shape, run["n_frames"], run["dt"])
    return FrameSet(
        source, Partition(labels, np.full(bins, run["q"]), np.array(run["phi"], float)), run["dt"]
    )


if __name__ == "__main__":
    write_run(sys.argv[1], json.loads(sys.argv[2]))
