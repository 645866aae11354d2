"""Which file is open: a path, a list of the files beside it, the example, and what is in it."""

from __future__ import annotations

from html import escape
from pathlib import Path

import ipywidgets as widgets
import xarray as xr

from heterodyne_nb.app.panel import Panel, button, row, short_path
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.data.dataset import live_bins, stack_bins
from heterodyne_nb.data.units import METADATA
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.text.numbers import number

__all__ = ["FileBar"]

#: What a light source's file may end in; folders ending in .zarr are files too.
SUFFIXES = (".h5", ".hdf", ".hdf5", ".nxs", ".nc", ".npz", ".npy", ".mat", ".zarr")
_UP = "⬑ folder above"


class FileBar(Panel):
    """Opens a run in a session.

    Attributes
    ----------
    path : ipywidgets.Text
    browse, open, example : ipywidgets.Button
    listing : ipywidgets.Select
        Data files and folders beside `path`, shown by `browse`.
    contents : ipywidgets.HTML
        What the open run holds.
    """

    def __init__(self, session: AnalysisSession) -> None:
        super().__init__(session)
        self._listing = False
        self.path = widgets.Text(
            placeholder="path of a result file (HDF5, NeXus, netCDF, Zarr, npz)",
            description="Run",
            tooltip="Path of a two-time result file; Enter opens it",
            layout={"flex": "1 1 300px", "width": "auto"},
            style={"description_width": "32px"},
        )
        self.browse = button("Browse…", "List the data files beside this one", 90)
        self.open = button("Open", "Open this file; the bin stays the one of the same q and φ", 80, "primary")
        self.example = button("Example", "Open the experiment that comes with the package", 90)
        self.listing = widgets.Select(rows=8, layout={"width": "100%", "display": "none"})
        self.contents = widgets.HTML()
        self.widget = widgets.VBox(
            [
                row(self.path, self.browse, self.open, self.example),
                self.listing,
                self.contents,
                self.message,
                self.page,
            ]
        )
        self.on_press(self.open, self.open_path)
        self.on_press(self.example, session.open_example)
        self.on_press(self.browse, self._toggle)
        self.path.on_msg(lambda _, content, __: content.get("event") == "submit" and self.open.click())
        self.watch(self.listing, "value", self._picked)
        self.watch(session, ["dataset", "source"], self._show)
        self._show()

    def open_path(self) -> None:
        """Open the file that is written in the field."""
        text = self.path.value.strip()
        if not text:
            raise ConfigurationError("no file is named", where="Run", expected="the path of a result file")
        self.session.open(text)
        self.listing.layout.display = "none"

    def _toggle(self) -> None:
        hidden = self.listing.layout.display == "none"
        self.listing.layout.display = "" if hidden else "none"
        if hidden:
            here = Path(self.path.value.strip() or ".").expanduser().absolute()
            self._list(here if here.is_dir() and here.suffix != ".zarr" else here.parent)

    def _list(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigurationError(f"there is no folder {folder}", where="Run")
        inside = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
        folders = [p for p in inside if p.is_dir() and p.suffix not in SUFFIXES]
        files = [p for p in inside if p.suffix.lower() in SUFFIXES]
        options = [(_UP, str(folder.parent))]
        options += [(f"{p.name}/", str(p)) for p in folders] + [(_named(p), str(p)) for p in files]
        self._listing = True  # the list chooses its first line by itself, and nobody picked that
        try:
            self.listing.options, self.listing.value = options, None
        finally:
            self._listing = False

    def _picked(self) -> None:
        if self._listing or self.listing.value is None:
            return
        found = Path(self.listing.value)
        self.path.value = str(found)
        if found.is_dir() and found.suffix != ".zarr":
            self._list(found)

    def _show(self) -> None:
        if self.session.source:
            self.path.value = short_path(self.session.source)
        self.contents.value = f'<span style="opacity:0.8">{escape(self._words())}</span>'

    def _words(self) -> str:
        ds = self.session.dataset
        return "No run is open." if ds is None else contents_of(ds)


def contents_of(ds: xr.Dataset) -> str:
    """One line: the file's layout, frames, and bins, and what is known of the run."""
    stacked = stack_bins(ds, drop_dead=False)
    alive, count = int(live_bins(stacked).sum()), stacked.sizes["bin"]
    bins = f"{ds.sizes['q']} q × {ds.sizes['phi']} φ" if "q" in ds.dims else f"{count} bins"
    words = [str(ds.attrs["layout"])] if ds.attrs.get("layout") else []
    words.append(
        f"{ds.sizes['t']} frames of {float(ds.attrs['dt']):.4g} s" if "t" in ds.sizes else "one-time g₂"
    )
    words.append(bins if alive == count else f"{bins}, {count - alive} without data")
    for name in ("sample", "temperature", "energy", "start_time"):
        if name in ds.attrs:
            value = number(ds.attrs[name]) if METADATA[name] else str(ds.attrs[name])
            words.append(f"{value} {METADATA[name]}".strip())
    return " · ".join(words)


def _named(path: Path) -> str:
    size = float(path.stat().st_size)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{path.name}  ({size:.3g} {unit})" if path.is_file() else path.name
