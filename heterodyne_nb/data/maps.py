"""Walk over the two-time maps of a dataset, one in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from heterodyne_nb.errors import ConfigurationError

__all__ = ["bin_dims", "each_map", "need_c2", "used_frames"]


def need_c2(ds: xr.Dataset, purpose: str) -> None:
    """Refuse a dataset without two-time maps, saying what they were wanted for."""
    if "c2" not in ds:
        raise ConfigurationError(
            f"{purpose} needs a two-time map, and this dataset has none",
            where="c2",
            expected="a dataset with c2(…, t1, t2)",
            hint="open the two-time result of this run",
        )


def bin_dims(ds: xr.Dataset) -> tuple[str, ...]:
    """Return the dims that tell bins apart: ``("q", "phi")`` or ``("bin",)``."""
    return tuple(str(d) for d in ds["c2"].dims if d not in ("t1", "t2"))


def used_frames(ds: xr.Dataset) -> np.ndarray:
    """Return ``mask`` as a bool array, all True where there is none."""
    return ds["mask"].values.astype(bool) if "mask" in ds else np.ones(ds.sizes["t1"], dtype=bool)


def each_map(ds: xr.Dataset) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Yield ``(place, map)`` of every usable bin; the map, shape (N, N), is read when its turn comes."""
    dims = bin_dims(ds)
    c2 = ds["c2"].transpose(*dims, "t1", "t2")
    usable = ds["usable"].transpose(*dims).values if "usable" in ds else np.ones(c2.shape[:-2], dtype=bool)
    for place in np.ndindex(*c2.shape[:-2]):
        if usable[place]:
            yield place, c2.isel(dict(zip(dims, place, strict=True))).values
