"""What can be chosen by name: built in, registered by hand, or announced by an installed package."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any, TypeVar

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.names import squeeze, unknown_name

T = TypeVar("T")


def installed(group: str) -> dict[str, Any]:
    """Entry points that installed packages announce in a group, by name.

    The metadata of every package is read for them, so it is read again only where a folder of ``sys.path`` has changed,
    as it does when a package is installed.
    """
    return _announced(group, tuple((folder, _changed(folder)) for folder in sys.path))


@lru_cache(maxsize=16)
def _announced(group: str, folders: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    return {point.name: point for point in entry_points(group=group)}


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


class Registry(dict[str, T]):
    """Things of one kind by name; the folder that implements them puts them in.

    ``kind``: What they are, for messages: ``"method"``. ``announced``: Names that are built in, known before the
    folder that implements them is imported. ``aliases``: Other spelling -> name. ``group``: Entry-point group in
    which installed packages announce more; one is loaded when it is asked for.
    """

    def __init__(
        self,
        kind: str,
        announced: Iterable[str] = (),
        *,
        aliases: Mapping[str, str] | None = None,
        group: str | None = None,
    ) -> None:
        super().__init__()
        self.kind, self.group = kind, group
        self.announced, self.aliases = tuple(announced), dict(aliases or {})
        #: Another source of names, asked whenever they are needed.
        self.more: Callable[[], Iterable[str]] = tuple
        #: Whether a name that is in no list can be chosen all the same.
        self.member: Callable[[str], bool] = lambda name: False

    def names(self) -> tuple[str, ...]:
        """Every name that can be chosen now, the built-in ones first."""
        return tuple(dict.fromkeys([*self.announced, *self, *self.more(), *self._installed()]))

    def spelt(self, name: Any) -> str | None:
        """The name that a text spells, up to case and punctuation; None when it spells none."""
        if not isinstance(name, str):
            return None
        if name in self.announced or name in self or self.member(name):
            return name
        names = self.names()
        aliases = {other: target for other, target in self.aliases.items() if target in names}
        return {squeeze(k): v for k, v in {**aliases, **{n: n for n in names}}.items()}.get(squeeze(name))

    def find(self, name: str) -> str:
        """The name that `name` spells.

        Raises ConfigurationError: There is none; the nearest one is offered.
        """
        found = self.spelt(name)
        if found is None:
            raise unknown_name(name, self.names(), self.kind)
        return found

    def __missing__(self, name: str) -> T:
        point = self._installed().get(name)
        if point is None:
            raise KeyError(name)
        try:
            self[name] = point.load()
        except Exception as problem:
            raise ConfigurationError(
                f"{self.kind} {name!r} ({point.value}) cannot be used: {type(problem).__name__}: {problem}",
                hint="mend or uninstall the package that announces it",
            ) from problem
        return self[name]

    def _installed(self) -> dict[str, Any]:
        return installed(self.group) if self.group else {}
