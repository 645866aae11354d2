"""A folder of runs as a table: what each file holds, and how good it is, from small samples of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from heterodyne_nb import remote
from heterodyne_nb.data.dataset import stack_bins
from heterodyne_nb.data.open import open_dataset
from heterodyne_nb.data.prepare import crop_frames, detect_bad_frames, estimate_sigma
from heterodyne_nb.data.runs import run_files
from heterodyne_nb.errors import DataFormatError, HeterodyneError, MissingFileError, heard_by

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["scan_folder"]

_WINDOW, _WINDOWS, _SHORT = 200, 3, 3
_TOLD = ("start_time", "sample", "temperature")


def scan_folder(folder: str | os.PathLike[str] | list[Any], **opening: Any) -> pd.DataFrame:
    """Look at every result file of a folder.

    Parameters
    ----------
    folder : path, pattern or list of paths
        As :func:`heterodyne_nb.open_dataset` takes many runs.
    **opening
        Its keywords, such as ``q=`` and ``units=``.

    Returns
    -------
    DataFrame
        One row a file, with the columns

        - ``file``, ``layout``, ``q`` (1/Å, smallest to largest), ``n_q``, ``n_bins`` (that hold data), ``n_frames``,
          ``dt`` (s), ``start_time``, ``temperature`` (K), ``sample``;
        - ``contrast``: mean of c2 − 1 (of the measured g2 − 1, where there is no map) over the three shortest lags;
        - ``bad_frames``: share of the frames that are masked, or stand out by :func:`~prepare.detect_bad_frames`;
        - ``signal_to_noise``: the contrast over the noise of one pixel of c2, or over the error of g2;
        - ``problem``: why the file, or its quality, cannot be read, and its warnings; empty where all is well.

        What a file does not say is NaN or empty.

    Raises
    ------
    MissingFileError, DataFormatError
        There is no such folder, or it holds no result file.

    Notes
    -----
    Cheap: the quality is that of one bin, the live one of the smallest q, in three windows of 200 frames at the
    start, the middle and the end of the run.

    Examples
    --------
    >>> hn.scan_folder("2024-06/")[["file", "n_frames", "contrast", "problem"]]  # doctest: +SKIP
    """
    import pandas as pd

    files = run_files(folder)
    if files is None:
        where = os.fspath(folder) if isinstance(folder, str | os.PathLike) else str(folder)
        if not (remote.is_url(where) or os.path.exists(where)):
            raise MissingFileError("there is no such folder", where=where)
        raise DataFormatError("this is a single file", where=where, expected="a folder, a pattern, or a list")
    return pd.DataFrame([_row(remote.place(file), opening) for file in files], columns=list(_EMPTY))


_EMPTY: dict[str, Any] = {
    **{"file": "", "layout": "", "q": "", "n_q": 0, "n_bins": 0, "n_frames": 0, "dt": np.nan},
    **{"start_time": "", "temperature": np.nan, "sample": ""},
    **dict.fromkeys(("contrast", "bad_frames", "signal_to_noise"), np.nan),
    "problem": "",
}


def _row(path: remote.Place, opening: dict[str, Any]) -> dict[str, Any]:
    row, told = {**_EMPTY, "file": path.name}, []
    with heard_by(lambda text, category: told.append(text)):
        try:
            with open_dataset(path, **opening) as ds:
                row |= _contents(ds)
                row |= _quality(ds)
        except HeterodyneError as error:
            told.insert(0, error.message)
    return row | {"problem": "; ".join(told)}


def _contents(ds: xr.Dataset) -> dict[str, Any]:
    q = np.unique(ds["q"].values[np.isfinite(ds["q"].values)])
    ends = [f"{value:.4g}" for value in ([q[0], q[-1]] if q.size > 1 else q)]
    live = stack_bins(ds, drop_dead=True).sizes["bin"]
    return {
        "layout": ds.attrs.get("layout", "heterodyne_nb"),
        **{"q": " to ".join(ends), "n_q": q.size, "n_bins": live},
        **{"n_frames": ds.sizes.get("t", 0), "dt": float(ds.attrs["dt"])},
        **{name: ds.attrs[name] for name in _TOLD if name in ds.attrs},
    }


def _quality(ds: xr.Dataset) -> dict[str, float]:
    """Contrast, share of bad frames and signal to noise of one bin."""
    bins = stack_bins(ds, drop_dead=True)
    one = bins.isel(bin=[int(np.argmin(np.nan_to_num(bins["q"].values, nan=np.inf)))])
    if "c2" not in one:
        return _of_curve(one)
    parts = list(_windows(one))
    with np.errstate(invalid="ignore"):
        lags = [np.diagonal(p["c2"].values[0], k) for p in parts for k in range(1, _SHORT + 1)]
    values = np.concatenate(lags)
    contrast = float(np.mean(values[np.isfinite(values)])) - 1 if np.isfinite(values).any() else np.nan
    noise = float(np.mean([estimate_sigma(part).item() for part in parts]))
    bad = np.concatenate([~part["mask"].values | ~np.asarray(detect_bad_frames(part)) for part in parts])
    return {"contrast": contrast, "bad_frames": float(bad.mean()), "signal_to_noise": contrast / noise}


def _windows(one: xr.Dataset) -> list[xr.Dataset]:
    """Runs of frames at the start, the middle and the end, in memory."""
    n = one.sizes["t"]
    kept = one[["c2", "mask", "n_pixels", "usable"]]
    if n <= _WINDOW * _WINDOWS:
        return [kept.load()]
    starts = np.linspace(0, n - _WINDOW, _WINDOWS).astype(int)
    first = int(one["frame"].values[0])
    parts = [crop_frames(kept, first + int(s), first + int(s) + _WINDOW - 1) for s in starts]
    return [part[["c2", "mask", "n_pixels", "usable"]].load() for part in parts]


def _of_curve(one: xr.Dataset) -> dict[str, float]:
    g2, err = (one[name].values[0] for name in ("g2", "g2_err"))
    short = np.flatnonzero(np.isfinite(g2))[:_SHORT]
    contrast, error = float(g2[short].mean()) - 1, float(np.mean(err[short]))
    return {"contrast": contrast, "signal_to_noise": contrast / error if error > 0 else np.nan}
