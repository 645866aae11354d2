"""``xarray.open_dataset(path, engine="xpcs")``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import xarray as xr
from xarray.backends import BackendEntrypoint

from heterodyne_nb.data.formats import LAYOUTS
from heterodyne_nb.data.open import open_dataset


class XpcsBackendEntrypoint(BackendEntrypoint):
    """XPCS result files of the light sources, lazily, with or without dask (``chunks=``)."""

    description = "XPCS two-time and one-time correlation results (APS, NSLS-II, ESRF, European XFEL, NXxpcs)"
    open_dataset_parameters = (
        *("filename_or_obj", "drop_variables", "q", "phi", "frames", "dt", "layout", "mask"),
        *("analysis", "units", "keep_empty", "isolated"),
    )

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        q: Any = None,
        phi: Any = None,
        frames: Any = None,
        dt: float | None = None,
        layout: str | None = None,
        mask: Any = None,
        analysis: str | None = None,
        units: Mapping[str, str] | None = None,
        keep_empty: bool = False,
        isolated: bool | Mapping[str, float] = False,
    ) -> xr.Dataset:
        """Open a result file; the keywords are those of :func:`heterodyne_nb.open_dataset`."""
        settings: dict[str, Any] = {
            "analysis": analysis,
            "units": units,
            "keep_empty": keep_empty,
            "layout": layout,
            "isolated": isolated,
        }
        ds = open_dataset(filename_or_obj, q=q, phi=phi, frames=frames, dt=dt, mask=mask, **settings)
        if drop_variables is None:
            return ds
        names = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables)
        return ds.drop_vars(names, errors="ignore")

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether a path is an HDF5 file of a known layout; never raises, never claims other files."""
        if not isinstance(filename_or_obj, str | os.PathLike) or not Path(filename_or_obj).is_file():
            return False
        try:
            with h5py.File(filename_or_obj, mode="r") as h5file:
                return any(not layout.lacks(h5file) for layout in LAYOUTS)
        except Exception:  # a guess says no, whatever is wrong with the file
            return False
