"""The files a fit leaves behind, each complete or not there at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

    from heterodyne_nb.results import FitResult

#: File name by the name the configuration uses in ``output.formats``.
FILES = {
    "netcdf": "results.nc",
    "zarr": "results.zarr",
    "nexus": "results.nxs",
    "json": "summary.json",
    "csv": "parameters.csv",
    "html": "report.html",
}


def save_fit(folder: Path, result: FitResult, dataset: xr.Dataset, formats: Sequence[str]) -> list[Path]:
    """Write a fit in every format asked for.

    Parameters
    ----------
    folder : pathlib.Path
        Created if need be. A file of the same name is replaced once its successor is complete.
    result, dataset
        The fit and the data it was made from.
    formats : sequence of str
        Keys of :data:`FILES`.

    Returns
    -------
    list of pathlib.Path
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [result.save(folder / FILES[name]) for name in formats if name != "html"]
    if "html" in formats:
        from heterodyne_nb import plots

        written.append(plots.report(result, dataset, folder / FILES["html"]))
    return written
