"""Write the shipped example file anew: ``python -m heterodyne_nb.simulate.make_example [FILE]``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from heterodyne_nb.data import write_apsu
from heterodyne_nb.files import new_file
from heterodyne_nb.simulate.example import EXPERIMENT, RUN, example_partition, example_path, simulate_example


def main(arguments: Sequence[str] | None = None) -> Path:
    """Simulate the example and write it; returns the path written."""
    parser = argparse.ArgumentParser(
        prog="python -m heterodyne_nb.simulate.make_example", description="Simulate the shipped example."
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
