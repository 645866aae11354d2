"""RunsPanel: a folder of runs as a table, to open one, average some, and fit many by the session's settings."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import pandas as pd
import traitlets

from heterodyne_nb.analysis.campaign import Campaign
from heterodyne_nb.app.latest import Background, Latest
from heterodyne_nb.app.live_figure import script, style
from heterodyne_nb.app.panel import Panel, button, row
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.app.session.work import Mailbox, Work
from heterodyne_nb.app.thumbnail import thumbnail
from heterodyne_nb.data import average_runs, scan_folder
from heterodyne_nb.data.runs import run_files
from heterodyne_nb.errors import ConfigurationError, HeterodyneError, MissingFileError
from heterodyne_nb.progress import ProgressEvent, StopToken
from heterodyne_nb.result import FitResult
from heterodyne_nb.text.numbers import value_with_error

__all__ = ["RunTable", "RunsPanel"]

#: Columns of what a file holds: head, column of :func:`heterodyne_nb.scan_folder`, and how a value is written.
_HELD = (
    ("run", "file", "{}"),
    ("remarks", "problem", "{}"),
    ("start", "start_time", "{}"),
    ("sample", "sample", "{}"),
    ("T (K)", "temperature", "{:.5g}"),
    ("q (1/Å)", "q", "{}"),
    ("bins", "n_bins", "{}"),
    ("frames", "n_frames", "{}"),
    ("dt (s)", "dt", "{:.4g}"),
    ("contrast", "contrast", "{:.3f}"),
    ("bad frames", "bad_frames", "{:.1%}"),
    ("signal/noise", "signal_to_noise", "{:.3g}"),
)
#: Runs whose pictures are made, and sent to the page, at a time.
_DRAWN = 8
#: Seconds between two looks for new files.
_LOOK = 2.0


class RunTable(anywidget.AnyWidget):
    """Rows of text, chosen and opened by mouse or keyboard.

    Attributes
    ----------
    columns : list of str
    rows : list of list of str
    names : list of str
        What a row is known by.
    pictures : dict of str to str
        A picture of some rows as a ``data:`` address, by their names.
    selected : list of str
        Names of the rows chosen.
    opened : list
        Name of the row opened last, and a number that differs every time.
    """

    _esm = script("run_table")
    _css = style("run_table")

    columns = traitlets.List(traitlets.Unicode()).tag(sync=True)
    rows: traitlets.List = traitlets.List().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    pictures: traitlets.Dict = traitlets.Dict().tag(sync=True)
    selected = traitlets.List(traitlets.Unicode()).tag(sync=True)
    opened: traitlets.List = traitlets.List()
    hint = traitlets.Unicode("").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.on_msg(self._heard)

    def _heard(self, _: Any, told: dict[str, Any], __: Any) -> None:
        """What the page says was done."""
        if "open" in told:
            self.opened = [told["open"], len(self.opened) and self.opened[1] + 1]
        elif "choose" in told:
            others = [one for one in self.selected if one not in told["choose"]]
            self.selected = [*others, *told["choose"]] if told["chosen"] else others


class RunsPanel(Panel):
    """A folder of runs.

    Parameters
    ----------
    session : AnalysisSession, optional
        A new one by default; its configuration is that of every fit, and it opens what is chosen.

    Attributes
    ----------
    folder : ipywidgets.Text
        A folder, or a pattern such as ``runs/*.hdf``.
    scan, open, average, fit, stop : ipywidgets.Button
    follow : ipywidgets.Checkbox
        Take in, and fit while fits run, files that appear.
    output : ipywidgets.Text
        Folder of the fits and their table; those that are there already are not made again.
    table : RunTable
        A run a row, known by its path: its clearest map, what it holds, how good it is, and its fit.
    told : ipywidgets.HTML

    Examples
    --------
    >>> import heterodyne_nb as hnb                                       # doctest: +SKIP
    >>> hnb.app.RunsPanel(hnb.AnalysisSession())                          # doctest: +SKIP
    """

    def __init__(self, session: AnalysisSession | None = None) -> None:
        super().__init__(session)
        self.folder = widgets.Text(
            description="Runs",
            placeholder="folder of runs, or a pattern such as runs/*.hdf",
            layout={"flex": "1 1 300px", "width": "auto"},
            style={"description_width": "40px"},
        )
        self.scan = button("Look", "List the runs of this folder, and how good they are", 80, "primary")
        self.follow = widgets.Checkbox(
            description="follow new files", indent=False, layout={"width": "130px"}
        )
        self.table = RunTable(hint="No folder has been looked at.", layout={"width": "100%"})
        self.open = button("Open", "Open the run chosen; a double click on it does the same", 80)
        self.average = button(
            "Average", "Average the runs chosen, repeats of one measurement, and open that", 90
        )
        self.fit = button(
            "Fit runs", "Fit the runs chosen (all, if none is) by the settings of this session", 90
        )
        self.stop = button("Stop", "End the fits; those that are done are kept", 80, "warning")
        self.output = widgets.Text(
            description="into",
            placeholder="folder of the fits",
            layout={"flex": "1 1 200px", "width": "auto"},
            style={"description_width": "30px"},
        )
        self.told = widgets.HTML(layout={"flex": "1 1 240px"})
        self.widget = widgets.VBox(
            [
                row(self.folder, self.scan, self.follow),
                row(self.open, self.average, self.fit, self.stop, self.output),
                row(self.told),
                self.message,
                self.table,
                self.page,
            ],
            layout={"width": "100%"},
        )
        self.background = Background(lambda error: self.say(str(error)))
        self.thumbnails = Latest(lambda error: self.say(str(error)))
        self._mailbox = Mailbox(lambda error: self.say(str(error)), threading.RLock())
        self._held: dict[str, dict[str, Any]] = {}
        self._sizes: dict[str, int] = {}
        self._fits: dict[str, tuple[str, FitResult | None]] = {}
        self._campaign: Campaign | None = None
        self._work: Work | None = None
        self._timer: asyncio.TimerHandle | None = None
        actions = {
            self.scan: self.look,
            self.average: self._average,
            self.fit: self._fit,
            self.stop: self._stop,
        }
        for one, action in actions.items():
            self.on_press(one, action)
        self.on_press(self.open, lambda: self._open(self._chosen(1, 1)[0]))
        self.folder.on_msg(lambda _, content, __: content.get("event") == "submit" and self.scan.click())
        self.watch(self.table, "opened", lambda: self._open(self.table.opened[0]))
        self.watch(self.follow, "value", self._following)
        self._show()

    # -- the folder -------------------------------------------------------------------------------

    def look(self) -> None:
        """Look at the folder: at every file again."""
        self._held, self._sizes, self._fits = {}, {}, {}
        if not self.output.value.strip():
            here = Path(self.folder.value.strip()).expanduser()
            self.output.value = str((here if here.is_dir() else here.parent) / "fits")
        self._look_at(self._files())

    def look_again(self) -> None:
        """Look at files that are new, or have changed, and were as large at the last look: nobody writes them now."""
        try:
            files = self._files()
        except MissingFileError:
            return
        sizes = {file: Path(file).stat().st_size for file in files if Path(file).exists()}
        at_rest = [file for file, size in sizes.items() if self._sizes.get(file) == size]
        fresh = [file for file in at_rest if self._held.get(file, {}).get("size") != sizes[file]]
        self._sizes = sizes
        if fresh and not self.background.busy:
            self._look_at(fresh)

    def _files(self) -> list[str]:
        text = self.folder.value.strip()
        if not text:
            raise ConfigurationError("no folder is named", where="Runs", expected="a folder of runs")
        found = run_files(text)
        if found is None:
            raise MissingFileError("there is no such folder", where=text, expected="a folder, or a pattern")
        return [str(Path(file)) for file in found]

    def _look_at(self, files: list[str]) -> None:
        self.told.value = f"looking at {len(files)} files …"
        sizes = {file: Path(file).stat().st_size for file in files if Path(file).exists()}

        def found(table: pd.DataFrame) -> None:
            for file, held in zip(files, table.to_dict("records"), strict=True):
                self._held[file] = {**{str(k): v for k, v in held.items()}, "size": sizes.get(file)}
            self._sizes |= sizes
            self.told.value = f"{len(self._held)} runs"
            self.table.pictures = {
                k: v for k, v in self.table.pictures.items() if k in self._held and k not in files
            }
            self._show()
            self._draw()

        self.background.start("runs", lambda: scan_folder(list(files)), found)

    def _draw(self) -> None:
        """Make the pictures that are missing, from the top of the table, some at a time."""
        missing = [name for name in self.table.names if name not in self.table.pictures][:_DRAWN]
        if not missing:
            return

        def drawn(found: dict[str, str]) -> None:
            self.table.pictures = {**self.table.pictures, **found}
            self._draw()

        self.thumbnails.ask(lambda: {name: thumbnail(name) for name in missing}, drawn, at_once=False)

    def _following(self) -> None:
        """Look for new files every few seconds, where an event loop runs."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self.follow.value:
            with self.said():
                self.look_again()
            try:
                self._timer = asyncio.get_running_loop().call_later(_LOOK, self._following)
            except RuntimeError:  # no loop: a script, a test
                self._timer = None

    # -- runs that are chosen -----------------------------------------------------------------------

    def _chosen(self, least: int, most: int | None = None) -> list[str]:
        """Paths of the rows chosen, in the order of the table."""
        chosen = [one for one in self.table.names if one in self.table.selected]
        if len(chosen) < least or len(chosen) > (most or len(chosen)):
            expected = "one run" if least == 1 else "two or more"
            raise ConfigurationError(f"{len(chosen)} runs are chosen", where="runs", expected=expected)
        return chosen

    def _open(self, path: str) -> None:
        self.say("")
        self.session.open(path)
        self.told.value = f"{Path(path).name} is open"

    def _average(self) -> None:
        files = self._chosen(2)
        self.told.value = f"averaging {len(files)} runs …"

        def opened(average: Any) -> None:
            self.session.open(average)
            out = average.attrs["runs_left_out"]
            self.told.value = f"the average of {average.attrs['runs']} is open" + (
                f"; left out, unlike the others: {out}" if out else ""
            )

        self.background.start("average", lambda: average_runs(files), opened)

    # -- fits of many runs --------------------------------------------------------------------------

    def _fit(self) -> None:
        if self._work is not None:
            raise ConfigurationError("fits are running already", where="Fit runs", hint="stop them first")
        if not self._held:
            raise ConfigurationError(
                "no folder has been looked at", where="Fit runs", hint="press Look first"
            )
        if not self.output.value.strip():
            raise ConfigurationError("no folder is named", where="into", expected="the folder of the fits")
        files = [Path(one) for one in self.table.selected]
        runs = partial(list, files) if files else lambda: [Path(one) for one in self._files()]
        follow = float("inf") if self.follow.value and not files else None
        self._mailbox.open()
        config = self.session.to_config()
        output = Path(self.output.value.strip()).expanduser()

        def task(report: Any, stop: StopToken) -> Any:
            campaign = self._campaign = Campaign(config, output, report, stop)
            report(ProgressEvent("campaign", None, message="the fits begin"))
            return campaign.run(runs, follow=follow)

        self._work = Work("campaign", task, StopToken(), self._mailbox, self._progress, self._ended)
        self._show()
        self._work.start()

    def _progress(self, event: ProgressEvent) -> None:
        self._show()
        self.told.value = event.message

    def _ended(self, work: Work) -> None:
        if work is not self._work:
            return
        self._work = None
        self._show()
        self.told.value = f"table.csv and the fits are in {self.output.value}"
        if work.failure is not None:
            raise work.failure

    def _stop(self) -> None:
        if self._work is not None:
            self._work.stop.cancel()
            self.told.value = "ending at the next pass over the data …"

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is looked at or fitted any more; False when the time runs out first."""
        work = self._work
        done = (work is None or work.wait(timeout)) and self.background.wait(timeout)
        return done and self.thumbnails.wait(60.0 if timeout is None else timeout)

    def _fitted(self) -> dict[str, tuple[str, FitResult | None]]:
        """Status and result of each run, by its path; a fit is read once."""
        if self._campaign is not None:
            for name, record in list(self._campaign.records.items()):
                known = self._fits.get(record["path"], ("", None))
                if known[0] != (status := record["status"]) or known[1] is None:
                    result = None
                    if status != "failed":
                        try:
                            result = self._campaign.result_of(name)
                        except HeterodyneError as error:
                            status = f"its fit cannot be read: {error.message}"
                    self._fits[record["path"]] = (status, result)
        return self._fits

    def _show(self) -> None:
        fits = self._fitted()
        results = [result for _, result in fits.values() if result is not None]
        free = [n for n, one in results[0].params.items() if one.error > 0] if results else []
        names = sorted(self._held, key=lambda path: Path(path).name)
        lines: list[dict[str, str]] = []
        for file in names:
            held, (status, result) = self._held[file], fits.get(file, ("", None))
            line = {head: _written(form, held[name]) for head, name, form in _HELD}
            values = result.params if result is not None else {}
            line["fit"] = status if result is None else f"{status}, {result.light}"
            line["χ²ᵣ"] = "" if result is None else f"{result.chi2_reduced:.4g}"
            for name in free:
                known = name in values
                line[name] = value_with_error(values[name].value, values[name].error) if known else ""
            lines.append(line)
        heads = [head for head in (lines[0] if lines else ()) if any(line[head] for line in lines)]
        with self.table.hold_sync():
            self.table.columns = heads
            self.table.names = names
            self.table.selected = [one for one in self.table.selected if one in self._held]
            self.table.rows = [[line[head] for head in heads] for line in lines]
        self.stop.disabled = self._work is None
        self.fit.disabled = self._work is not None

    def close(self) -> None:
        """Also end what is fitted and looked at."""
        self.follow.value = False
        work, self._work = self._work, None
        if work is not None:
            work.stop.cancel()
            work.join(5.0)
        self.background.close()
        self.thumbnails.close()
        super().close()


def _written(form: str, value: Any) -> str:
    """A cell; empty where the file does not say."""
    unknown = value is None or value == "" or value != value or (isinstance(value, int) and not value)
    return "" if unknown else form.format(value)
