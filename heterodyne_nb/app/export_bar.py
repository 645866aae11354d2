"""Write the result shown to a file, and offer it for download."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path

import ipywidgets as widgets

from heterodyne_nb import plots
from heterodyne_nb.app.panel import Panel, button, row
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.files import write_text
from heterodyne_nb.result import FitResult

__all__ = ["FORMATS", "ExportBar"]

#: Formats by what they are called, with the ending of their files.
FORMATS = (
    ("netCDF, everything", ".nc"),
    ("NeXus", ".nxs"),
    ("CSV, parameters", ".csv"),
    ("Text, one page", ".txt"),
    ("JSON, summary", ".json"),
    ("HTML report", ".html"),
    ("Python script", ".py"),
    ("Zarr, everything", ".zarr"),
)
#: Largest file that is sent to the page for download, in bytes.
_LARGEST = 20_000_000


class ExportBar(Panel):
    """Format, file name, and a button that writes.

    Attributes
    ----------
    format : ipywidgets.Dropdown
        Value: the ending.
    path : ipywidgets.Text
    replace : ipywidgets.Checkbox
        Without it a file that exists is left as it is.
    write : ipywidgets.Button
    told : ipywidgets.HTML
        Where the file is, and a link to download it.
    """

    def __init__(self, session: AnalysisSession, result: Callable[[], FitResult]) -> None:
        super().__init__(session)
        self._result = result
        self.format = widgets.Dropdown(options=FORMATS, description="export", layout={"width": "250px"})
        self.format.style.description_width = "initial"
        self.path = widgets.Text(
            value="fit.nc", tooltip="File to write, from the notebook's folder", layout={"width": "260px"}
        )
        self.replace = widgets.Checkbox(
            description="replace",
            indent=False,
            tooltip="Replace a file that exists",
            layout={"width": "80px"},
        )
        self.write = button("Write", "Write the result shown to this file", 90, icon="save")
        self.told = widgets.HTML(layout={"flex": "1 1 200px"})
        self.widget = widgets.VBox(
            [row(self.format, self.path, self.replace, self.write, self.told), self.message, self.page]
        )
        self.watch(self.format, "value", self._renamed)
        self.on_press(self.write, self._write)

    def _renamed(self) -> None:
        text = self.path.value.strip()
        self.path.value = str(Path(text or "fit").with_suffix(self.format.value))

    def _write(self) -> None:
        self.told.value = ""
        target = Path(self.path.value.strip()).expanduser()
        if not target.name:
            raise ConfigurationError("no file is named", where="export", expected="the path of a file")
        if target.suffix != self.format.value:
            target = target.with_name(target.name + self.format.value)
        if os.path.lexists(target) and not self.replace.value:
            raise ConfigurationError(
                "exists and is left as it is",
                where=str(target),
                hint="tick “replace”, or choose another name",
            )
        result = self._result()
        writers: dict[str, Callable[[Path], object]] = {
            ".html": partial(self._write_report, result),
            ".py": self._write_script,
        }
        writers.get(target.suffix, result.save)(target)
        self.path.value = str(target)
        self.told.value = _told(target)

    def _write_report(self, result: FitResult, target: Path) -> None:
        session = self.session
        assert session.shown is not None
        entry = session.history[session.shown]
        data = session.data_of(session.shown) if entry.source == session.source else None
        plots.report(data, result, target, warnings=entry.warnings)

    def _write_script(self, target: Path) -> None:
        write_text(target, self.session.to_script())


def _told(target: Path) -> str:
    """Where the file is; a small one can be downloaded from the page, which may be on another computer."""
    place = escape(str(target.absolute()))
    if not target.is_file() or target.stat().st_size > _LARGEST:
        return f"written: {place}"
    data = base64.b64encode(target.read_bytes()).decode()
    link = (
        f'<a download="{escape(target.name)}" href="data:application/octet-stream;base64,{data}">download</a>'
    )
    return f"written: {place} · {link}"
