"""Steps back and forth between frozen states."""

from __future__ import annotations

import time
from typing import Generic, TypeVar

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
    def names(self) -> tuple[str, str]:
        """Actions that undo and redo would take; empty where there is none."""
        return (self._past[-1][0] if self._past else "", self._future[-1][0] if self._future else "")
