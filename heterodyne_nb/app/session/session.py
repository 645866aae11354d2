"""AnalysisSession: one observable place for data, choices, fits and their history; how it shows itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import xarray as xr

from heterodyne_nb.analysis.loading import describe
from heterodyne_nb.app.session import store
from heterodyne_nb.app.session.actions import Actions
from heterodyne_nb.app.session.entries import FitEntry, FitSettings, default_table, with_values
from heterodyne_nb.app.session.script import entry_script
from heterodyne_nb.app.session.selection import same_bin
from heterodyne_nb.app.session.state import Opened, action
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.data.isolated import probe
from heterodyne_nb.errors import ConfigurationError, DataFormatError
from heterodyne_nb.guard import guarded
from heterodyne_nb.remote import AnyPath, Place, Remote, absolute, told
from heterodyne_nb.result import FitResult
from heterodyne_nb.text.html import bullets, heading, page, table


def summary_of(session: AnalysisSession) -> Iterator[tuple[str, str]]:
    """What is open, what would be fitted and how, and what has been done: pairs of a word and a statement."""
    source = session.source
    data = "no data" if session.dataset is None else source if source.startswith("<") else Path(source).name
    yield "data", data
    yield "mode", session.settings.mode
    table = session.parameters
    yield "parameters", f"{int(table.vary.sum())} free of {len(table)}"
    if session.bins is not None:
        yield "bins fitted", str(len(session.bins))
    count = len(session.history)
    yield "fits", f"{count} fit{'' if count == 1 else 's'}"
    if session.result is not None and session.shown is not None:
        yield "shown", session.history[session.shown].label
    if session.status != "idle":
        yield "now", f"{session.activity} {session.status}"


def summary_html(session: AnalysisSession) -> str:
    """The same as a table, with the data's frames and bins and the history."""
    rows = [[word, said] for word, said in summary_of(session)]
    parts = [heading("AnalysisSession"), table(("", ""), rows)]
    if session.dataset is not None:
        parts.append(bullets(describe(session.dataset)))
    if session.history:
        parts += [f"<p>{escape('History')}</p>", bullets(entry.label for entry in session.history)]
    if session.error is not None:
        parts.append(f"<p>{escape(str(session.error))}</p>")
    return page("".join(parts))


class AnalysisSession(Actions):
    """Data, choices, fits and history of one analysis; every widget observes one of these.

    Parameters
    ----------
    data : path or xarray.Dataset, optional
        Opened at once, see :meth:`open`.
    config : ConfigManager, path or mapping, optional
        Applied at once, see :meth:`set_config`; where it names a data file and `data` is not given, that
        file is opened.

    Examples
    --------
    >>> import heterodyne_nb as hnb                                       # doctest: +SKIP
    >>> session = hnb.AnalysisSession("run12.h5")                         # doctest: +SKIP
    >>> session.mask_frames(121, 124)                                     # doctest: +SKIP
    >>> session.run(); session.wait(); print(session.result.summary())    # doctest: +SKIP
    """

    def __init__(
        self,
        data: AnyPath | xr.Dataset | None = None,
        *,
        config: ConfigManager | str | os.PathLike[str] | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if data is not None:
            self.open(data)
        if config is not None:
            self.set_config(config)

    @action
    def open(self, data: AnyPath | xr.Dataset, **options: Any) -> None:
        """Open a run; the bin shown stays the one of the same q and phi, masks and crop do not stay.

        Parameters
        ----------
        data : path or xarray.Dataset
            A file of any known layout, or data in memory.
        **options
            As for :func:`heterodyne_nb.open_dataset` (``dt``, ``layout``, ``q``, ``phi``, …).

        Raises
        ------
        DataFormatError, ConfigurationError
            As for :func:`heterodyne_nb.open_dataset`.
        """
        self._refuse_while_running("another run cannot be opened")
        opened = _open(data, options)
        fresh: dict[str, Any] = {"bin": same_bin(self._place_shown(), opened.dataset), "bins": None}
        name = Path(opened.source).name or "data"
        self._change(f"open {name}", opened=opened, masked=(), crop=None, excluded=(), **fresh)

    def open_example(self) -> None:
        """Open the example that comes with the package."""
        from heterodyne_nb.simulate import example_path

        self.open(example_path())

    @action
    def set_config(self, config: ConfigManager | str | os.PathLike[str] | Mapping[str, Any]) -> None:
        """Apply a configuration: its mode, parameters and method, its frames, and its data if it names a file.

        Raises
        ------
        ConfigurationError
            Listing every problem; nothing is changed then.
        """
        from heterodyne_nb.app.session.configuration import apply_config

        new = apply_config(self, config)
        self._change("configuration", **new)

    @action
    def to_config(self) -> ConfigManager:
        """The configuration that asks for what this session would do now."""
        from heterodyne_nb.app.session.configuration import config_of

        return config_of(self)

    @action
    def to_script(self, index: int | None = None, path: str | os.PathLike[str] | None = None) -> str:
        """The Python that makes the result shown again, to rounding, with the public functions alone.

        Parameters
        ----------
        index : int, optional
            A history entry instead of the one shown.
        path : path, optional
            The data file, where it is to be another one.

        Raises
        ------
        ConfigurationError
            There is no result, or its data were made in memory and are not saved yet.
        """
        place = self._checked_index(self.shown if index is None else index)
        if place is None:
            raise ConfigurationError("there is no result to write a script for", hint="run a fit first")
        given = None if path is None else os.fspath(path)
        return entry_script(self.history[place], self.history, given)

    @action
    def save(self, path: AnyPath) -> Place:
        """Write everything but the data, whose path and hash are kept, to a folder.

        Parameters
        ----------
        path : path
            A folder of a saved session, which is replaced, or a name not in use.

        Returns
        -------
        pathlib.Path

        Warns
        -----
        DataWarning
            The data were made in memory and are copied into the folder; told in ``warnings``.
        """
        target = absolute(path)
        opened = store.write_session(self, target)
        if opened is not self._opened and opened is not None and self._opened is not None:
            entries = store.moved(self.history, self._opened.source, opened.source)
            self._opened = opened
            self.set_trait("source", opened.source)
            self.set_trait("history", entries)
        return target

    @classmethod
    def load(
        cls,
        path: AnyPath,
        *,
        data: str | os.PathLike[str] | None = None,
        isolated: bool | Mapping[str, float] = False,
    ) -> AnalysisSession:
        """Read a saved session: the same data, choices, history and result shown.

        Parameters
        ----------
        path : path
            The folder.
        data : path, optional
            The data file, where it has moved.
        isolated : bool or mapping
            Read session and data in a process of its own first, as :func:`heterodyne_nb.open_dataset` does.

        Raises
        ------
        MissingFileError
            There is no session, or its data are not there.
        DataFormatError
            It is damaged, or of a newer version.
        """
        folder = absolute(path)
        if isolated:
            probe(folder, {"data": data}, isolated, "heterodyne_nb.app.session:AnalysisSession.load")
        session = cls()
        with session.acting(), guarded(folder, "a folder written by AnalysisSession.save, complete"):
            record = store.read_session(folder)
            place = store.data_place(record, folder, None if data is None else os.fspath(data))
            opened = None if place is None else _open(place[0], place[1])
            choices = store.choices_from(record)
            session.set_trait("history", store.history_from(record, folder))
            session._set(opened, choices, session._prepared(opened, choices))
        return session

    @classmethod
    def of_result(cls, result: FitResult, data: xr.Dataset | None = None) -> AnalysisSession:
        """A session that shows one result, made elsewhere.

        Parameters
        ----------
        result : FitResult
        data : xarray.Dataset, optional
            The data that were fitted, for the views that need them.
        """
        session = cls()
        if data is not None:
            session.open(data)
        settings = FitSettings(mode=result.mode, gap=result.gap)
        entry = FitEntry(
            name="fit 1",
            kind="result",
            results={result.method: result},
            settings=settings,
            parameters=with_values(default_table(settings.mode), result.values),
            source=session.source or str(result.provenance.get("source", "its own run")),
        )
        session._append(entry)
        session._change("show a result", settings=settings, parameters=entry.parameters, shown=0)
        return session

    def __repr__(self) -> str:
        return f"AnalysisSession({'; '.join(said for _, said in summary_of(self))})"

    def _repr_html_(self) -> str:
        return summary_html(self)


def _open(data: AnyPath | xr.Dataset, options: Mapping[str, Any]) -> Opened:
    from heterodyne_nb.app.session.selection import source_of
    from heterodyne_nb.data import open_dataset
    from heterodyne_nb.data.door import checked, one_run

    if not isinstance(data, str | os.PathLike | Remote):
        data = checked(one_run(data, "a session"))
        if not {"c2", "g2"} & set(data.data_vars):
            raise DataFormatError("the dataset holds neither c2 nor g2", where="data")
        if options:
            raise ConfigurationError("options are for files", where=", ".join(options))
        return Opened(data, source_of(data))
    path = absolute(data)
    opened = one_run(open_dataset(path, **options), str(data))
    return Opened(opened, told(path), tuple(options.items()), ours_to_close=True)
