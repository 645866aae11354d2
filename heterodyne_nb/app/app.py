"""App: the whole toolkit on one page, panel by panel, on one session."""

from __future__ import annotations

import importlib
import os
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from heterodyne_nb.app.environment import FILE, FOLDER, PAGE
from heterodyne_nb.app.panel import Panel, button, row, short_path
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.app.session.autosave import Autosave, interrupted, recent_sessions, remember, remembered
from heterodyne_nb.app.undo_bar import UndoBar
from heterodyne_nb.data.formats.native import is_zarr
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.remote import Place, absolute, place

__all__ = ["App", "from_environment"]

#: Title of a tab, the name of its panel as an attribute of the app, and the class.
TABS = (
    ("Data", "data", "DataExplorer"),
    ("Runs", "runs", "RunsPanel"),
    ("g₂", "g2", "G2Panel"),
    ("Config", "config", "ConfigEditor"),
    ("Fit", "fit", "FitPanel"),
    ("Robust", "robust", "RobustPanel"),
    ("Result", "result", "ResultPanel"),
    ("Live", "live", "LivePanel"),
)


class App(Panel):
    """Tabs of data, configuration, fit, robust fit and result, with undo, cancel and saved sessions above.

    A panel is made when its tab is first opened, or its attribute first used.

    Parameters
    ----------
    session : AnalysisSession or path, optional
        A new session by default; a path opens a data file, a saved session's folder, or a folder of runs.

    Attributes
    ----------
    session : AnalysisSession
        Another one after a saved session was loaded.
    tabs : ipywidgets.Tab
    data, runs, g2, config, fit, robust, result, live : Panel
    undo, redo, cancel, save, load : ipywidgets.Button
    back : UndoBar
        Its ``steps`` lists what was done.
    folder : ipywidgets.Combobox
        Where `save` writes the session and `load` reads one; offers the sessions that saved themselves.
    saving : Autosave or None
        Saves the session after each action, once :meth:`keep` was called.
    status : ipywidgets.HTML

    Examples
    --------
    >>> import heterodyne_nb as hnb                                       # doctest: +SKIP
    >>> hnb.App(hnb.AnalysisSession("run12.h5"))                          # doctest: +SKIP
    """

    def __init__(self, session: AnalysisSession | str | os.PathLike[str] | None = None) -> None:
        super().__init__(session if isinstance(session, AnalysisSession) else AnalysisSession())
        self._panels: dict[str, Panel] = {}
        self.saving: Autosave | None = None
        self._page: Path | None = None
        self._make_bar()
        self.tabs = widgets.Tab(
            children=[widgets.VBox(layout={"padding": "4px", "overflow": "visible"}) for _ in TABS],
            titles=[title for title, _, _ in TABS],
            selected_index=0,
        )
        self.widget = widgets.VBox([self.bar, self.message, self.tabs, self.page], layout={"width": "100%"})
        self.watch(self.tabs, "selected_index", self._open_tab)
        for one, action in (
            (self.cancel, lambda: self.session.cancel()),
            (self.save, self._save),
            (self.load, self._load),
        ):
            self.on_press(one, action)
        if session is not None and not isinstance(session, AnalysisSession):
            with self.said():
                self._open(place(session))
        self._empty()
        self._observe()
        self._open_tab()

    def _empty(self) -> None:
        """Say in every tab without a panel that one is being made."""
        for child in self.tabs.children:
            if not child.children:
                child.children = (widgets.HTML("one moment …"),)

    def _make_bar(self) -> None:
        self.status = widgets.HTML(layout={"flex": "1 1 300px", "min_width": "200px"})
        self.cancel = button("Cancel", "End what is running; a fit keeps its best so far", 80, icon="stop")
        self.folder = widgets.Combobox(
            placeholder="folder, or a recent session",
            tooltip="Folder that keeps choices, history and results; the data stay where they are",
            layout={"width": "230px"},
        )
        self._offer_recent()
        self.save = button("Save", "Write the session to this folder", 80, icon="save")
        self.load = button("Load", "Go on with the session in this folder", 80, icon="folder-open")
        self.going_back = widgets.HBox()
        self._make_undo()
        self.bar = row(self.status, self.cancel, self.going_back, self.folder, self.save, self.load)

    def _make_undo(self) -> None:
        """Undo of the session shown."""
        self.back = UndoBar(self.session, words=False)
        self.undo, self.redo = self.back.undo, self.back.redo
        self.going_back.children = (self.back.widget,)

    def __getattr__(self, name: str) -> Any:
        for number, (_, panel, _) in enumerate(TABS):
            if name == panel:
                return self._panel(number)
        raise AttributeError(f"the app has no {name!r}")

    def _panel(self, place: int) -> Panel:
        """The panel of a tab, made when it is first wanted."""
        _, name, kind = TABS[place]
        if name not in self._panels:
            made = getattr(importlib.import_module("heterodyne_nb.app"), kind)(self.session)
            self._panels[name] = made
            before, self.tabs.children[place].children = self.tabs.children[place].children, (made.widget,)
            for one in before:
                one.close()
        return self._panels[name]

    def _open_tab(self) -> None:
        if self.tabs.selected_index is not None:
            self._panel(self.tabs.selected_index)

    def _observe(self) -> None:
        session = self.session
        self.watch(session, ["dataset", "source", "settings", "status", "progress", "shown"], self._tell)
        self.watch(session, "source", self._opened)
        self._tell()
        self._opened()

    def _opened(self) -> None:
        """A run of g2 alone opens where g2 is fitted; one chosen from many, where its data are."""
        ds = self.session.dataset
        if ds is not None and "c2" not in ds and "g2" in ds:
            self._turn_to("g2")
        elif ds is not None and TABS[self.tabs.selected_index or 0][1] == "runs":
            self._turn_to("data")

    def _turn_to(self, panel: str) -> None:
        self.tabs.selected_index = [name for _, name, _ in TABS].index(panel)

    def _tell(self) -> None:
        session = self.session
        run = Path(session.source).name
        if session.source.startswith("<") and session.dataset is not None:
            runs = session.dataset.attrs.get("runs")
            run = f"average of {runs}" if runs else "data in memory"
        words = [run if session.dataset is not None else "no run is open", session.settings.mode]
        words.append(_work(session) if session.status != "idle" else _shown(session))
        text = " · ".join(word for word in words if word)
        self.status.value = f'<span style="line-height:1.4">{escape(text)}</span>'
        self.cancel.layout.display = "none" if session.status == "idle" else ""
        self.cancel.disabled = session.status == "cancelling"

    def _offer_recent(self) -> None:
        self._recent = dict(recent_sessions())
        self.folder.options = tuple(self._recent)

    def _named_folder(self) -> str | Path:
        text = self.folder.value.strip()
        if text in self._recent:
            return self._recent[text]
        if not text:
            raise ConfigurationError(
                "no folder is named", where="session", expected="the folder of a session"
            )
        return text

    def _save(self) -> None:
        written = self.session.save(self._named_folder())
        self.folder.value = short_path(str(written))

    def _load(self) -> None:
        if self.session.status != "idle":
            raise ConfigurationError(
                f"a {self.session.activity} is running", where="session", hint="cancel it, or wait for it"
            )
        self._adopt(AnalysisSession.load(self._named_folder()))

    def _open(self, path: Place) -> None:
        path = absolute(path)
        if (path / "session.json").is_file():
            self.folder.value = short_path(str(path))
            self._adopt(AnalysisSession.load(path))
        elif isinstance(path, Path) and path.is_dir() and not is_zarr(path):
            self.runs.folder.value = short_path(path)
            self._turn_to("runs")
            self.runs.look()
        else:
            self.session.open(path)

    def keep(self, page: Path | None = None) -> None:
        """Save the session after each action from now on, in a folder of its own.

        Parameters
        ----------
        page : Path, optional
            A file that says which session this page showed last: the page goes on with that one, and with its fit if
            one was running.
        """
        self._page = page
        earlier = remembered(page) if page is not None else None
        ran = "" if earlier is None else interrupted(earlier)
        if earlier is not None:
            with self.said():
                self._adopt(AnalysisSession.load(earlier))
                self._save_itself(earlier)
        if self.saving is None:
            self._save_itself(None)
        if ran == "fit":
            with self.said():
                self.session.run(resume=True)
        elif ran:
            self.say(f"a {ran} was running when the page was left: start it again")

    def _save_itself(self, folder: Path | None) -> None:
        self.saving = Autosave(self.session, folder, self.say)
        if self._page is not None:
            remember(self._page, self.saving.folder)
        self._offer_recent()

    def _adopt(self, session: AnalysisSession) -> None:
        """Go on with another session; the old one is closed."""
        old = self.session
        kept, self.saving = self.saving, None
        if kept is not None:
            kept.flush()
            kept.close()
        self._unwatch(old)
        self.going_back.children = ()
        self.back.close()
        for (_, name, _), child in zip(TABS, self.tabs.children, strict=True):
            if name in self._panels:
                child.children = ()  # out of the page first: a figure that is closed in view still answers to it
        for panel in self._panels.values():
            panel.close()
        self._panels.clear()
        self.session = session
        old.close()
        self._make_undo()
        self._empty()
        if kept is not None:
            self._save_itself(None)
        self._observe()
        self._open_tab()

    def close(self) -> None:
        """Take the whole page away; the session stays."""
        if self.saving is not None:
            self.saving.close()
        for panel in (self.back, *self._panels.values()):
            panel.close()
        self._panels.clear()
        super().close()


def from_environment() -> App:
    """The app of a page that ``heterodyne-nb app`` serves: on the file it was given, or where the page was left."""
    if folder := os.environ.get(FOLDER):
        os.chdir(folder)
    page = Path(os.environ[PAGE]) if os.environ.get(PAGE) else None
    left = page is not None and remembered(page) is not None
    app = App(None if left else os.environ.get(FILE) or None)
    app.keep(page)
    return app


def _work(session: AnalysisSession) -> str:
    """What is running, in words."""
    event = session.progress
    if session.status == "cancelling":
        return f"ending the {session.activity} …"
    chi2 = f", χ²ᵣ {event.chi2:.5g}" if event is not None and event.chi2 is not None else ""
    return f"running: {session.activity}{chi2} …"


def _shown(session: AnalysisSession) -> str:
    return session.history[session.shown].label if session.shown is not None else "no fit yet"
