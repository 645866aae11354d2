"""The files a fit leaves behind, each complete or not there at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from heterodyne_nb.errors import HeterodyneError
from heterodyne_nb.files import alone_in, make_folder

if TYPE_CHECKING:
    import xarray as xr

    from heterodyne_nb.result import FitResult

#: File name by the name the configuration uses in ``output.formats``.
FILES = {
    "netcdf": "results.nc",
    "zarr": "results.zarr",
    "nexus": "results.nxs",
    "json": "summary.json",
    "csv": "parameters.csv",
    "html": "report.html",
}


#: Bytes that a run needs at most: the report with its figures takes 10 MB, results of 10⁴ frames 5 MB.
ROOM = 32_000_000
_OTHERS = re.compile(r"results_\w+\.nc")


@contextmanager
def chosen_folder(
    folder: Path, result: FitResult, overwrite: bool, reason: str = "--overwrite replaces them"
) -> Iterator[tuple[Path, str]]:
    """Yield the folder a fit is to be saved in, and what is to be told where it is another than was asked for.

    A folder without results is used as it is. Where it holds some they are kept, and the fit goes to the first free
    ``run-002``, ``run-003`` and so on in it. No other process is given the same one meanwhile.

    Parameters
    ----------
    folder : pathlib.Path
        As asked for; made if need be.
    result : FitResult
    overwrite : bool
        Replace earlier results, unless this fit did not succeed and those are not known to have failed too.
    reason : str
        Told beside what was kept.
    """
    if overwrite and (result.success or _failed(folder)):
        yield make_folder(folder), ""
        return
    reason = "it did not succeed" if overwrite else reason
    for place in chain([folder], (folder / f"run-{number:03d}" for number in count(2))):
        if place.exists() and not place.is_dir():
            continue
        try:
            with alone_in(make_folder(place)) as alone:
                if alone and not _holds_results(place):
                    told = f"the earlier results in {folder} are kept, this fit is in {place} ({reason})"
                    yield place, "" if place == folder else told
                    return
        finally:
            if place != folder:
                with suppress(OSError):  # it stays where something was saved
                    place.rmdir()


def _holds_results(place: Path) -> bool:
    return any(one.name in FILES.values() or _OTHERS.fullmatch(one.name) for one in place.iterdir())


def _failed(folder: Path) -> bool:
    """Whether the fit in a folder is known not to have succeeded."""
    kept = kept_result(folder)
    return kept is not None and not kept.success


def kept_result(folder: Path) -> FitResult | None:
    """The fit that a folder holds, or None where there is none that can be read."""
    from heterodyne_nb.result import FitResult

    for name in ("netcdf", "zarr"):
        with suppress(HeterodyneError):
            return FitResult.load(folder / FILES[name])
    return None


def save_fit(folder: Path, result: FitResult, dataset: xr.Dataset, formats: Sequence[str]) -> list[Path]:
    """Write a fit in every format asked for.

    Parameters
    ----------
    folder : pathlib.Path
        One of :func:`chosen_folder`. A file of the same name is replaced once its successor is complete.
    result, dataset
        The fit and the data it was made from.
    formats : sequence of str
        Keys of :data:`FILES`.

    Returns
    -------
    list of pathlib.Path
        The files written.
    """
    written = [result.save(folder / FILES[name]) for name in formats if name != "html"]
    if "html" in formats:
        from heterodyne_nb import plots

        written.append(plots.report(dataset, result, folder / FILES["html"]))
    return written
