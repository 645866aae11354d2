"""The experiment that ships with the package: its truth, its file, and how it was simulated.

A colloidal suspension flows past a slower network after a step in shear, watched at 8-ID with 0.5 s frames
for 100 s: both components slow down as they age, the flow slows, and the flowing share of the field falls
from 0.62 to 0.32. Three q rings by eight sectors of 22.5°, partially coherent, photon counting. As real data
has, four frames fell into a beam dump and one sector lies in the shadow of the beam stop's holder.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.data import write_apsu
from heterodyne_nb.data.units import KEV_ANGSTROM
from heterodyne_nb.files import new_file
from heterodyne_nb.simulate.experiment import speckle

if TYPE_CHECKING:
    import xarray as xr

MODE = "heterodyne"

#: Published parameters of the example; rates in Å²/s and Å/s, times in s, phi0 in degrees.
TRUTH: dict[str, float] = {
    "D0_ref": 150.0,
    "alpha_ref": -0.3,
    "D_offset_ref": 20.0,
    "D0_sample": 2000.0,
    "alpha_sample": -0.5,
    "D_offset_sample": 150.0,
    "v0": 150.0,
    "beta": -0.4,
    "v_offset": 25.0,
    "f0": 0.35,
    "f1": -0.02,
    "f2": 0.0,
    "f3": 0.27,
    "phi0": 15.0,
}

#: What the beamline measured, as keywords of `speckle`; q in 1/Å, phi in degrees, dt in s.
EXPERIMENT: dict[str, Any] = {
    "q": (0.006, 0.009, 0.012),
    "phi": (-67.5, -45.0, -22.5, 0.0, 22.5, 45.0, 67.5, 90.0),
    "n_frames": 200,
    "dt": 0.5,
    "n_pixels": (1800, 2700, 3600),
    "contrast": (0.32, 0.28, 0.24),
    "mean_counts": (25.0, 14.0, 8.0),
    "bad_frames": (121, 122, 123, 124),
    "dead_bins": ((0, 7),),
    "seed": 20250,
}

#: What the beamline says of the run, in the package's units, and the shape of its detector.
RUN: dict[str, Any] = {
    "sample": "simulated: colloidal suspension in a network, after a step in shear",
    "energy": 7.35,
    "exposure": 0.5,
    "detector_distance": 6.984,
    "pixel_size": 75e-6,
    "beam_center_x": 70.0,
    "beam_center_y": 320.0,
}
DETECTOR = (640, 400)

_FILE = Path(__file__).parent / "example" / "heterodyne_example.h5"


def simulate_example(only: tuple[int, int] | None = None) -> xr.Dataset:
    """The example, simulated anew.

    ``only`` (int, int): Place (i_q, i_phi) of a single bin to simulate; the others are then dead.
    """
    settings = dict(EXPERIMENT)
    if only is not None:
        shape = (len(settings["q"]), len(settings["phi"]))
        settings["dead_bins"] = [place for place in np.ndindex(shape) if place != only]
    return speckle(MODE, TRUTH, **settings)


def example_partition() -> NDArray[np.uint32]:
    """Label of each detector pixel, q slowest: in each sector the pixels nearest to the ring, as many as simulated."""
    y, x = np.indices(DETECTOR)
    x, y = x - RUN["beam_center_x"], y - RUN["beam_center_y"]
    two_theta = np.arctan(np.hypot(x, y) * RUN["pixel_size"] / RUN["detector_distance"])
    q, phi = 4 * np.pi * RUN["energy"] / KEV_ANGSTROM * np.sin(two_theta / 2), np.rad2deg(np.arctan2(-y, x))
    labels = np.zeros(DETECTOR, np.uint32)
    counts = np.broadcast_to(EXPERIMENT["n_pixels"], len(EXPERIMENT["q"]))
    bins = itertools.product(zip(EXPERIMENT["q"], counts, strict=True), EXPERIMENT["phi"])
    for label, ((ring, n_pixels), azimuth) in enumerate(bins, start=1):
        off = np.where(np.abs((phi - azimuth + 180) % 360 - 180) < 11.25, np.abs(q - ring), np.inf)
        labels.ravel()[np.argsort(off, axis=None, kind="stable")[:n_pixels]] = label
    return labels


def example_path() -> Path:
    """Path of the shipped example file, in the APS-U (8-ID) layout."""
    return _FILE


def example_dataset() -> xr.Dataset:
    """The shipped example, opened as any other file is.

    Examples
    --------
    >>> from heterodyne_nb import simulate
    >>> dict(simulate.example_dataset().c2.sizes)
    {'q': 3, 'phi': 8, 't1': 200, 't2': 200}
    """
    from heterodyne_nb.data import open_dataset

    return open_dataset(example_path())


def example_truth() -> dict[str, Any]:
    """What the example was made from.

    Returns
    -------
    dict
        ``mode``; ``parameters``, a dict in published order; ``contrast``, one per q; ``bad_frames``, 1-based;
        ``dead_bins`` as (q in 1/Å, phi in degrees); ``q``, ``phi``, ``dt``, ``n_frames``, ``n_pixels``,
        ``mean_counts``, ``seed``.
    """
    facts = {key: value for key, value in EXPERIMENT.items() if key != "dead_bins"}
    dead = [(EXPERIMENT["q"][i], EXPERIMENT["phi"][j]) for i, j in EXPERIMENT["dead_bins"]]
    return {"mode": MODE, "parameters": dict(TRUTH), **facts, "dead_bins": dead}


def main(arguments: Sequence[str] | None = None) -> Path:
    """Simulate the example and write it; returns the path written."""
    parser = argparse.ArgumentParser(
        prog="python -m heterodyne_nb.simulate.example", description="Simulate the shipped example."
    )
    parser.add_argument(
        "file", nargs="?", type=Path, default=example_path(), help="default: the shipped file"
    )
    path: Path = parser.parse_args(arguments).file
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = simulate_example().assign_attrs(RUN)
    labels = np.arange(1, ds["n_pixels"].size + 1).reshape(ds["n_pixels"].shape)
    ds = ds.assign(
        dynamic_roi_map=(("pixel_y", "pixel_x"), example_partition()), label=(("q", "phi"), labels)
    )
    with new_file(path) as draft:
        write_apsu(ds, draft, compression="gzip")
        _as_a_correlator_leaves_it(draft, ds)
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
    return path


def _as_a_correlator_leaves_it(path: Path, ds: xr.Dataset) -> None:
    """Add what a beamline's file has and a dataset has not: the dead bins' NaN maps."""
    n_phi, n_frames = ds.sizes["phi"], ds.sizes["t"]
    dead = [i * n_phi + j + 1 for i, j in EXPERIMENT["dead_bins"]]
    nothing = np.triu(np.full((n_frames, n_frames), np.nan, dtype=np.float32))
    nothing[np.tril_indices(n_frames, -1)] = 0
    with h5py.File(path, "a") as h5file:
        twotime = h5file["xpcs/twotime"]
        labels = np.concatenate([twotime["processed_bins"][()], dead])
        del twotime["processed_bins"]
        twotime["processed_bins"] = labels
        for number in range(labels.size - len(dead) + 1, labels.size + 1):
            name = f"correlation_map/c2_{number:05d}"
            twotime.create_dataset(name, data=nothing, compression="gzip")
        for name in ("normalized_g2", "normalized_g2_segments"):
            means = twotime[name][()]
            del twotime[name]
            twotime[name] = np.pad(
                means, [*[(0, 0)] * (means.ndim - 1), (0, len(dead))], constant_values=np.nan
            )
        h5file.attrs["simulation"] = ds.attrs["simulation"]


if __name__ == "__main__":
    main()
