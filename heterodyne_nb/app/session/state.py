"""What a session observes and undoes: its traits, and the one way in which they change."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import xarray as xr
from traitlets import Any as AnyTrait
from traitlets import Bool, Float, HasTraits, Instance, Int, Tuple, Unicode, observe

from heterodyne_nb.app.session.entries import FitEntry, FitSettings, default_table, for_mode
from heterodyne_nb.app.session.selection import Range, in_order, places, prepared
from heterodyne_nb.app.session.work import in_our_words
from heterodyne_nb.config import ConfigManager, ParameterTable
from heterodyne_nb.errors import ConfigurationError, HeterodyneError, heard_by
from heterodyne_nb.progress import ProgressEvent

State = TypeVar("State")

_MOST = 200
#: Actions of one name closer together than this (a slider that moves) are one step.
_ONE_STEP = 1.0


class UndoStack(Generic[State]):
    """States that were left, with the name of the action that left each."""

    def __init__(self) -> None:
        self._past: list[tuple[str, State]] = []
        self._future: list[tuple[str, State]] = []
        self._last_push = 0.0

    def push(self, name: str, left: State, *, merge: bool = False) -> None:
        """Remember the state that an action is about to leave; what was undone before is forgotten."""
        now = time.monotonic()
        going_on = merge and self._past and self._past[-1][0] == name and now - self._last_push < _ONE_STEP
        if not going_on:
            self._past = [*self._past[1 - _MOST :], (name, left)]
        self._future, self._last_push = [], now

    def undo(self, current: State) -> tuple[str, State] | None:
        """Name of the action undone and the state to go back to; None where there is none."""
        return self._step(self._past, self._future, current)

    def redo(self, current: State) -> tuple[str, State] | None:
        """Name of the action done again and the state it leads to; None where there is none."""
        return self._step(self._future, self._past, current)

    def _step(
        self, source: list[tuple[str, State]], target: list[tuple[str, State]], current: State
    ) -> tuple[str, State] | None:
        if not source:
            return None
        name, state = source.pop()
        target.append((name, current))
        self._last_push = 0.0
        return name, state

    @property
    def steps(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Actions done, and actions undone, each in the order in which they were made."""
        return tuple(name for name, _ in self._past), tuple(name for name, _ in self._future[::-1])


@dataclass(frozen=True, eq=False)
class Opened:
    """Data as they were opened: the dataset, where it came from, and how it was asked for."""

    dataset: xr.Dataset
    source: str
    options: tuple[tuple[str, Any], ...] = ()
    ours_to_close: bool = False

    @property
    def in_memory(self) -> bool:
        """Whether no file holds these data as they are."""
        return self.source.startswith("<")


class ADataset(Instance):
    """A dataset that changes when it is another object: comparing values would read every map."""

    def __init__(self) -> None:
        super().__init__(xr.Dataset, allow_none=True, read_only=True)

    def set(self, obj: Any, value: Any) -> None:
        """Set, and tell the observers unless it is the same object."""
        old = obj._trait_values.get(self.name)
        new = self._validate(obj, value)
        obj._trait_values[self.name] = new
        if new is not old:
            obj._notify_trait(self.name, old, new)


Method = TypeVar("Method", bound=Callable[..., Any])


def action(method: Method) -> Method:
    """Make a method one action of the user: see :meth:`SessionState.acting`."""

    @functools.wraps(method)
    def acted(self: SessionState, *args: Any, **kwargs: Any) -> Any:
        with self.acting():
            return method(self, *args, **kwargs)

    return cast(Method, acted)


#: Traits that undo steps over, beside the data opened.
CHOICES = (
    "config",
    "bin",
    "bins",
    "masked",
    "crop",
    "excluded",
    "parameters",
    "settings",
    "shown",
    "deleted",
    "notes",
)

Choices = dict[str, Any]


class SessionState(HasTraits):
    """The observable part of :class:`~heterodyne_nb.app.session.AnalysisSession`.

    The traits in the first block are choices of the user: assigning one, or calling the method that is named
    after it, is one step of undo. The others are read only.

    Attributes
    ----------
    config : ConfigManager or None
        The configuration last applied.
    bin : int
        Place of the bin shown, in the stacked form (q varies slowest, dead bins counted).
    bins : tuple of int or None
        Places of the bins that are fitted; None for all usable ones.
    masked : tuple of (first, last)
        Frames left out, 1-based, both ends included, sorted.
    crop : (first, last) or None
        Frames kept.
    excluded : tuple of (q, phi, tau)
        Points of g2 left out.
    parameters : ParameterTable
        Start values, bounds and roles of the next fit.
    settings : FitSettings
    shown : int or None
        Place in the history of the result shown.
    deleted : tuple of str
        Names of entries of the history that lists leave out; undo brings them back.
    notes : mapping of str to str
        What was written to entries of the history, by their names.
    dataset : xarray.Dataset or None
        The data, masked and cropped, every bin.
    source : str
        Path of the data file; ``"<memory 1>"`` and so on for data made in memory.
    history : tuple of FitEntry
    robust_path : xarray.Dataset or None
        The latest path of radii, see :func:`heterodyne_nb.radius_path`.
    status : {"idle", "running", "cancelling"}
    activity : str
        What is running: ``"fit"``, ``"guess"``, ``"robust"``, ``"radius path"``, ``"bad frames"``; empty when idle.
    progress : ProgressEvent or None
    seconds : float
        How long the last work took.
    error : HeterodyneError or None
        Of the last action or work; None once one succeeds.
    warnings : tuple of str
        Of the last action or work.
    undo_name, redo_name : str
        What undo and redo would take; empty where there is nothing.
    steps : (tuple of str, tuple of str)
        Actions that undo can take back, and those that redo can do again, in the order in which they were made.
    closed : bool
    """

    config = Instance(ConfigManager, allow_none=True)
    bin = Int(0)
    bins = AnyTrait(None, allow_none=True)
    masked = AnyTrait(())
    crop = AnyTrait(None, allow_none=True)
    excluded = AnyTrait(())
    parameters = Instance(ParameterTable)
    settings = Instance(FitSettings)
    shown = Int(None, allow_none=True)
    deleted = AnyTrait(())
    notes = AnyTrait({})

    dataset = ADataset()
    source = Unicode("", read_only=True)
    history = Tuple(read_only=True)
    robust_path = ADataset()
    status = Unicode("idle", read_only=True)
    activity = Unicode("", read_only=True)
    progress = Instance(ProgressEvent, allow_none=True, read_only=True)
    seconds = Float(0.0, read_only=True)
    error = Instance(HeterodyneError, allow_none=True)
    warnings = Tuple(read_only=True)
    undo_name = Unicode("", read_only=True)
    redo_name = Unicode("", read_only=True)
    steps = Tuple(default_value=((), ()), read_only=True)
    closed = Bool(False, read_only=True)

    def __init__(self) -> None:
        self._changing = self._acting = True
        settings = FitSettings()
        super().__init__(settings=settings, parameters=default_table(settings.mode))
        self._opened: Opened | None = None
        self._undo: UndoStack[tuple[Opened | None, Choices]] = UndoStack()
        self._turn = threading.RLock()
        self._changing = self._acting = False

    @property
    def original(self) -> xr.Dataset | None:
        """The data as opened, no frame masked or cropped by this session."""
        return self._opened.dataset if self._opened else None

    @property
    def choices(self) -> Choices:
        """The user's choices by name."""
        return {name: getattr(self, name) for name in CHOICES}

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Within it warnings go to ``warnings`` and an error to ``error``, which is also raised."""
        with self._turn:
            if self._acting:  # part of a larger action
                yield
                return
            self._acting, told = True, list[str]()
            try:
                with heard_by(lambda text, _: told.append(text)):
                    yield
            except Exception as error:
                ours = in_our_words(error)
                self.error = ours
                if ours is error:
                    raise
                raise ours from error
            else:
                self.set_trait("warnings", tuple(told))
                self.error = None
            finally:
                self._acting = False

    def _change(self, action: str, *, merge: bool = False, **new: Any) -> None:
        """One action of the user: check, remember for undo, set everything, then tell the observers."""
        with self.acting():
            opened = new.pop("opened", self._opened)
            before = (self._opened, self.choices)
            after = _checked({**self.choices, **new}, opened)
            if opened is self._opened and all(after[name] is before[1][name] for name in CHOICES):
                return
            dataset = self._prepared(opened, after)
            self._undo.push(action, before, merge=merge)
            self._set(opened, after, dataset)

    def _prepared(self, opened: Opened | None, choices: Choices) -> xr.Dataset | None:
        names = ("masked", "crop", "excluded")
        same = opened is self._opened and all(choices[n] == getattr(self, n) for n in names)
        if opened is None or (same and self.dataset is not None):
            return self.dataset if opened is not None else None
        return prepared(opened.dataset, *(choices[n] for n in names))

    def _set(self, opened: Opened | None, choices: Choices, dataset: xr.Dataset | None) -> None:
        with self._turn:
            self._changing = True
            try:
                with self.hold_trait_notifications():
                    self._opened = opened
                    for name, value in choices.items():
                        setattr(self, name, value)
                    self.set_trait("dataset", dataset)
                    self.set_trait("source", opened.source if opened else "")
                    self._tell_undo()
            finally:
                self._changing = False

    def _tell_undo(self) -> None:
        past, future = steps = self._undo.steps
        self.set_trait("undo_name", past[-1] if past else "")
        self.set_trait("redo_name", future[0] if future else "")
        self.set_trait("steps", steps)

    @observe(*CHOICES)
    def _assigned(self, change: Any) -> None:
        """A choice was assigned from outside: make it an action like any other, or take it back."""
        if self._changing:
            return
        name, new, old = change["name"], change["new"], change["old"]
        self._changing = True
        try:
            setattr(self, name, old)
        finally:
            self._changing = False
        self._change(f"{name} changed", **{name: new})

    def undo(self, count: int = 1) -> str:
        """Take the last actions back; returns the name of the last one taken, empty where there is none."""
        return self._step(self._undo.undo, count)

    def redo(self, count: int = 1) -> str:
        """Do again what was undone; returns the name of the last one done, empty where there is none."""
        return self._step(self._undo.redo, count)

    def _step(self, step: Callable[..., Any], count: int) -> str:
        name, state = "", (self._opened, self.choices)
        for _ in range(count):
            if (found := step(state)) is None:
                break
            name, state = found
        if name:
            opened, choices = state
            with self.acting():
                self._set(opened, choices, self._prepared(opened, choices))
        return name

    @property
    def kept(self) -> list[int]:
        """Places of the entries of the history that are not deleted."""
        return [k for k, entry in enumerate(self.history) if entry.name not in self.deleted]

    def _append(self, entry: FitEntry) -> None:
        self.set_trait("history", (*self.history, entry))


def _checked(choices: Choices, opened: Opened | None) -> Choices:
    """The choices in their proper form, those that depend on each other brought together."""
    done = dict(choices)
    done["masked"] = _kept(choices["masked"], in_order(choices["masked"]))
    done["crop"] = _kept(choices["crop"], _one_range(choices["crop"]))
    if choices["parameters"].mode != choices["settings"].mode:
        done["parameters"] = for_mode(choices["parameters"], choices["settings"].mode)
    if opened is not None:
        count = len(places(opened.dataset)[0])
        done["bin"] = _place(choices["bin"], count)
        if choices["bins"] is not None:
            wanted = tuple(sorted({_place(one, count) for one in choices["bins"]}))
            if not wanted:
                raise ConfigurationError("no bin is chosen", where="bins", expected="at least one bin")
            done["bins"] = _kept(choices["bins"], wanted)
    return done


def _kept(old: Any, new: Any) -> Any:
    """The old object where the new one says the same, so that nothing counts as changed."""
    return old if type(old) is type(new) and old == new else new


def _one_range(crop: Any) -> Range | None:
    return in_order([crop])[0] if crop is not None else None


def _place(value: Any, count: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= int(value) < count:
        raise ConfigurationError(f"there is no bin {value!r}", where="bin", expected=f"0 to {count - 1}")
    return int(value)
