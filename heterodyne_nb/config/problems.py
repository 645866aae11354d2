"""Every problem of a configuration at once: where it is, what was found, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from heterodyne_nb.errors import ConfigurationError

_LONGEST_VALUE = 80


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a setting.

    Attributes
    ----------
    path : str
        Dotted path of the setting, e.g. ``"optimization.robust.radius"``.
    message : str
        What is wrong, with the offending value.
    allowed : str
        What would have been right; empty when the message says it.
    hint : str
        How to mend it, e.g. the nearest valid name of a misspelt key.
    """

    path: str
    message: str
    allowed: str = ""
    hint: str = ""

    def __str__(self) -> str:
        extra = [f"allowed: {self.allowed}"] if self.allowed else []
        extra += [self.hint] if self.hint else []
        return f"{self.path}: {self.message}" + "".join(f"; {text}" for text in extra)


class ConfigurationProblems(ConfigurationError):
    """All problems found in one configuration, in one error.

    Parameters
    ----------
    problems : iterable of Problem
        At least one problem.
    where : str, optional
        The file or object that holds them.

    Attributes
    ----------
    problems : tuple of Problem
        The problems one by one, for a form that marks its fields.
    """

    def __init__(self, problems: Iterable[Problem], *, where: str | None = None) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        if len(self.problems) == 1:
            message = str(self.problems[0])
        else:
            message = f"{len(self.problems)} problems" + "".join(f"\n  - {p}" for p in self.problems)
        super().__init__(message, where=where)


def raise_if_any(problems: Iterable[Problem], *, where: str | None = None) -> None:
    """Raise one :class:`ConfigurationProblems` when there is any problem at all."""
    found = tuple(problems)
    if found:
        raise ConfigurationProblems(found, where=where)


def nearest(name: object, known: Iterable[str], *, cutoff: float | None = None) -> str | None:
    """Return the known name that looks most like ``name``, or None when none does."""
    if cutoff is None:
        cutoff = 0.6 if len(str(name)) > 3 else 0.5  # one wrong letter of two
    by_folded = {k.casefold(): k for k in known}
    match = difflib.get_close_matches(str(name).casefold(), by_folded, n=1, cutoff=cutoff)
    return by_folded[match[0]] if match else None


def unknown_name(path: str, name: object, known: Iterable[str], *, kind: str = "setting") -> Problem:
    """Describe a name that does not exist, with the nearest one that does."""
    known = tuple(known)
    likely = nearest(name, known)
    hint = f"did you mean {likely!r}?" if likely else ""
    return Problem(path, f"unknown {kind} {str(name)!r}", ", ".join(known), hint)


def shown(value: Any) -> str:
    """Return a value as it should stand in a message: short, and with its quotes."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
