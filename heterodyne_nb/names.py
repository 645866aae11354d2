"""Find what a person meant: names compared without case and punctuation, nearest one offered."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from heterodyne_nb.errors import ConfigurationError


def squeeze(name: str) -> str:
    """Lower-case letters and digits only: ``"Nelder-Mead"`` and ``"nelder_mead"`` become the same."""
    return "".join(c for c in name.lower() if c.isalnum())


def find_name(name: str, known: Iterable[str], what: str) -> str:
    """The entry of `known` that `name` spells, up to case and punctuation.

    Raises ConfigurationError: No entry matches; the message names the nearest one and lists all.
    """
    table = {squeeze(k): k for k in known}
    found = table.get(squeeze(name)) if isinstance(name, str) else None
    if found is not None:
        return found
    raise unknown_name(name, table.values(), what)


def unknown_name(name: object, known: Iterable[str], what: str) -> ConfigurationError:
    """Build the error for an unknown `name`: nearest spelling as the hint, every choice listed."""
    choices = sorted(known)
    near = difflib.get_close_matches(squeeze(str(name)), [squeeze(c) for c in choices], n=1, cutoff=0.5)
    nearest = next((c for c in choices if near and squeeze(c) == near[0]), None)
    return ConfigurationError(
        f"unknown {what} {name!r}",
        expected="one of " + ", ".join(choices),
        hint=f"did you mean {nearest!r}?" if nearest else None,
    )
