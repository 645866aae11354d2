"""The files a fit leaves behind, each complete or not there at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heterodyne_nb.cli.report import write_report

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


def save_fit(
    folder: Path,
    result: FitResult,
    dataset: xr.Dataset,
    *,
    formats: Sequence[str] = ("netcdf", "json", "csv", "html"),
    title: str,
    account: Sequence[str] = (),
    warnings: Sequence[str] = (),
    figures: bool = True,
) -> list[Path]:
    """Write a fit in every format asked for.

    Parameters
    ----------
    folder : pathlib.Path
        Created if need be. A file of the same name is replaced once its successor is complete.
    result, dataset
        The fit and the data it was made from.
    formats : sequence of str
        Keys of :data:`FILES`.
    title, account, warnings, figures
        As for :func:`heterodyne_nb.cli.report.write_report`.

    Returns
    -------
    list of pathlib.Path
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [result.save(folder / FILES[name]) for name in formats if name != "html"]
    if "html" in formats:
        report = write_report(
            folder / FILES["html"],
            result,
            dataset,
            title=title,
            account=account,
            warnings=warnings,
            figures=figures,
        )
        written.append(report)
    return written
