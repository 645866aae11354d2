"""AnalysisSession: one observable place for data, choices, fits and their history."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from heterodyne_nb.analysis.session import parameters as tables
from heterodyne_nb.analysis.session import store
from heterodyne_nb.analysis.session.running import Running
from heterodyne_nb.analysis.session.script import entry_script
from heterodyne_nb.analysis.session.selection import places, same_bin, without
from heterodyne_nb.analysis.session.state import Opened, action
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.errors import ConfigurationError

_KEEP: Any = object()


class AnalysisSession(Running):
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
        data: str | os.PathLike[str] | xr.Dataset | None = None,
        *,
        config: ConfigManager | str | os.PathLike[str] | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if data is not None:
            self.open(data)
        if config is not None:
            self.set_config(config)

    @action
    def open(self, data: str | os.PathLike[str] | xr.Dataset, **options: Any) -> None:
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
        self._change(f"open {name}", opened=opened, masked=(), crop=None, **fresh)

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
        from heterodyne_nb.analysis.session.configuration import apply_config

        new = apply_config(self, config)
        self._change("configuration", **new)

    def to_config(self) -> ConfigManager:
        """The configuration that asks for what this session would do now."""
        from heterodyne_nb.analysis.session.configuration import config_of

        return config_of(self)

    @action
    def mask_frames(self, first: int, last: int | None = None) -> None:
        """Leave the frames from `first` to `last` out (1-based, both included)."""
        last = first if last is None else last
        self._change(f"mask frames {first}-{last}", masked=(*self.masked, (first, last)))

    @action
    def unmask_frames(self, first: int | None = None, last: int | None = None) -> None:
        """Use frames again that this session masked; all of them without arguments."""
        if first is None:
            self._change("unmask all frames", masked=())
            return
        last = first if last is None else last
        self._change(f"unmask frames {first}-{last}", masked=without(self.masked, first, last))

    @action
    def crop_frames(self, first: int | None = None, last: int | None = None) -> None:
        """Keep the frames from `first` to `last` alone; all of them without arguments."""
        if first is None and last is None:
            self._change("all frames", crop=None)
            return
        frames = self._need_data()["frame"].values
        crop = (int(frames[0]) if first is None else first, int(frames[-1]) if last is None else last)
        self._change(f"crop to frames {crop[0]}-{crop[1]}", crop=crop)

    @action
    def select_bin(self, bin: int | None = None, *, q: float | None = None, phi: float | None = None) -> None:
        """Show a bin: by its place, or the one nearest to q (1/Å) and phi (degrees)."""
        if bin is None:
            here = self._place_shown() or (0.0, 0.0)
            wanted = (here[0] if q is None else q, here[1] if phi is None else phi)
            bin = _nearest(wanted, *places(self._need_data()))
        self._change("show another bin", merge=True, bin=bin)

    @action
    def fit_bins(self, bins: Sequence[int] | None) -> None:
        """Choose the bins that are fitted, by their places; None for all usable ones."""
        self._change("choose bins", bins=None if bins is None else tuple(bins))

    @action
    def set_parameter(
        self,
        name: str,
        *,
        value: float | None = _KEEP,
        min: float | None = _KEEP,
        max: float | None = _KEEP,
        vary: bool | None = _KEEP,
        tie: str | None = _KEEP,
        prior: tuple[float, float] | None = _KEEP,
    ) -> None:
        """Change what is asked of one parameter; None takes a field back to its default.

        Raises
        ------
        ConfigurationError
            As for :func:`heterodyne_nb.fit`; nothing is changed then.
        """
        given = {"value": value, "min": min, "max": max, "vary": vary, "tie": tie, "prior": prior}
        changes = {field: x for field, x in given.items() if x is not _KEEP}
        table = tables.edited(self.parameters, name, changes)
        if table != self.parameters:
            self._change(f"{' and '.join(changes)} of {name}", merge=True, parameters=table)

    @action
    def set_parameters(self, values: Mapping[str, float]) -> None:
        """Take several start values at once, as one step of undo; they are moved into their bounds."""
        self._change("start values", parameters=tables.with_values(self.parameters, values))

    @action
    def reset_parameters(self) -> None:
        """Ask nothing of any parameter: defaults of the mode, all free."""
        self._change("reset parameters", parameters=tables.default_table(self.settings.mode))

    @action
    def change_settings(self, **changes: Any) -> None:
        """Change settings of the next fit, e.g. ``mode=``, ``method=``, ``loss=``, ``time_limit=``.

        Raises
        ------
        ConfigurationError
            There is no such setting, or its value is wrong; nothing is changed then.
        """
        settings = self.settings.changed(**changes)
        if settings != self.settings:
            self._change(f"change {', '.join(changes)}", merge=True, settings=settings)

    @action
    def show(self, index: int | None) -> None:
        """Show the result of a history entry."""
        self._change("show a result", merge=True, shown=self._checked_index(index))

    @action
    def revert(self, index: int | None = None) -> None:
        """Take the parameters and settings of a history entry, its fitted values as start values."""
        place = self._checked_index(self.shown if index is None else index)
        if place is None:
            raise ConfigurationError("there is no fit to go back to", hint="run a fit first")
        entry = self.history[place]
        table = tables.with_values(entry.parameters, entry.result.values)
        self._change(f"revert to {entry.name}", settings=entry.settings, parameters=table, shown=place)

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
    def save(self, path: str | os.PathLike[str]) -> Path:
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
        target = Path(path).expanduser().absolute()
        opened = store.write_session(self, target)
        if opened is not self._opened and opened is not None and self._opened is not None:
            entries = store.moved(self.history, self._opened.source, opened.source)
            self._opened = opened
            self.set_trait("source", opened.source)
            self.set_trait("history", entries)
        return target

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, data: str | os.PathLike[str] | None = None
    ) -> AnalysisSession:
        """Read a saved session: the same data, choices, history and result shown.

        Parameters
        ----------
        path : path
            The folder.
        data : path, optional
            The data file, where it has moved.

        Raises
        ------
        MissingFileError
            There is no session, or its data are not there.
        DataFormatError
            It is damaged, or of a newer version.
        """
        folder = Path(path).expanduser().absolute()
        record = store.read_session(folder)
        session = cls()
        with session.acting():
            place = store.data_place(record, folder, None if data is None else os.fspath(data))
            opened = None if place is None else _open(place[0], place[1])
            choices = store.choices_from(record)
            session.set_trait("history", store.history_from(record, folder))
            session._set(opened, choices, session._prepared(opened, choices))
        return session

    def _checked_index(self, index: int | None) -> int | None:
        if index is None:
            return None
        if not -len(self.history) <= index < len(self.history):
            raise ConfigurationError(
                f"there is no entry {index}", where="history", expected=f"0 to {len(self.history) - 1}"
            )
        return index % len(self.history)

    def _place_shown(self) -> tuple[float, float] | None:
        if self.original is None:
            return None
        q, phi = places(self.original)
        return float(q[self.bin]), float(phi[self.bin])


def _open(data: str | os.PathLike[str] | xr.Dataset, options: Mapping[str, Any]) -> Opened:
    from heterodyne_nb.analysis.session.origin import source_of
    from heterodyne_nb.data import open_dataset

    if isinstance(data, xr.Dataset):
        if options:
            raise ConfigurationError("options are for files", where=", ".join(options))
        return Opened(data, source_of(data))
    path = Path(data).expanduser().absolute()
    return Opened(open_dataset(path, **options), str(path), tuple(options.items()), ours_to_close=True)


def _nearest(wanted: tuple[float, float], q: Any, phi: Any) -> int:
    turn = abs((phi - wanted[1] + 180) % 360 - 180)
    near = abs(q - wanted[0])
    return int(min(range(len(q)), key=lambda k: (round(near[k], 12), turn[k])))
