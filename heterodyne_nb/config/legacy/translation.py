"""A foreign configuration read key by key, and what its translation carries: values, origins, notes, problems."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from heterodyne_nb.options.problems import Problem, nearest


@dataclass
class Translation:
    """Values in the form of the schema, and the record of how they came about."""

    values: dict[str, Any]  #: Sections of the schema.
    #: translated, ignored: Notes on what was given another place or meaning, and on what is not used.
    translated: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    #: The same as ``ignored``, with settings counted instead of named.
    briefly: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)  #: What is wrong already.
    origin: dict[str, str] = field(default_factory=dict)  #: Path in the schema to the path the user wrote.

    def put(self, path: str, value: Any, origin: str) -> None:
        """Set the setting at a dotted path, unless the value is None; twice is a problem."""
        if value is None:
            return
        *sections, key = path.split(".")
        home = self.values
        for name in sections:
            inner = home.setdefault(name, {})
            if not isinstance(inner, dict):
                return  # the schema will say that this section is none
            home = inner
        if key in home and home[key] != value:
            earlier = self.origin.get(path, path)
            message = f"{value!r} differs from {earlier} = {home[key]!r}"
            self.problems.append(Problem(origin, message, "", "give it once"))
            return
        home[key] = value
        self.origin[path] = origin

    def note(self, text: str) -> None:
        """Record that something was given another place or meaning."""
        self.translated.append(text)

    def ignore(self, text: str, brief: str | None = None) -> None:
        """Record that something is not used, and how to say so in the short form of a warning."""
        self.ignored.append(text)
        self.briefly.append(text if brief is None else brief)

    def as_written(self, problem: Problem) -> Problem:
        """Return the problem with the path the user wrote."""
        for path in sorted(self.origin, key=len, reverse=True):
            if problem.path == path or problem.path.startswith((f"{path}.", f"{path}[")):
                return replace(problem, path=self.origin[path] + problem.path[len(path) :])
        return problem


_ABSENT = object()
_LIKE = 0.75  # how alike two keys must be for one to be the other misspelt


def without_comments(value: Any) -> Any:
    """Return a copy without the keys that begin with ``_``, at any depth."""
    if isinstance(value, Mapping):
        return {k: without_comments(v) for k, v in value.items() if not str(k).startswith("_")}
    if isinstance(value, list | tuple):
        return [without_comments(entry) for entry in value]
    return value.tolist() if hasattr(value, "tolist") else value  # NumPy's arrays and scalars


class Foreign:
    """A foreign configuration of which each key is taken once; what stays was not used.

    ``values``: The configuration, without comments; it is copied.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values: dict[str, Any] = without_comments(values)
        self._asked: dict[str, set[str]] = {}
        self._found: set[str] = set()

    def take(self, path: str, default: Any = None) -> Any:
        """Return the value at a dotted path, and take it out."""
        section, _, key = path.rpartition(".")
        self._asked.setdefault(section, set()).add(key)
        home = self._section(section)
        value = home.pop(key, _ABSENT) if home is not None else _ABSENT
        if value is _ABSENT:
            return default
        self._found.add(path)
        return value

    def keys(self, path: str) -> tuple[str, ...]:
        """Return the keys of the section at a dotted path; none where there is no section."""
        section = self._section(path)
        return tuple(section) if section else ()

    def enter(self, path: str) -> None:
        """Have the unused keys of a section reported one by one, each with its own reason."""
        self._section(path)
        self._asked.setdefault(path, set())

    def know(self, names: Iterable[str]) -> None:
        """Say which top-level sections exist, so that a misspelt one is found."""
        self._asked.setdefault("", set()).update(names)

    def _section(self, path: str) -> dict[str, Any] | None:
        """Return the section at a dotted path; the way to it counts as asked for."""
        current: Any = self._values
        done: list[str] = []
        for part in path.split(".") if path else ():
            self._asked.setdefault(".".join(done), set()).add(part)
            done.append(part)
            current = current.get(part) if isinstance(current, dict) else None
        return current if isinstance(current, dict) else None

    def misspelt(self) -> Iterator[Problem]:
        """Yield a problem for each unused key that looks like one which was asked for in vain."""
        for path, key, _ in self._unused():
            missing = [name for name in sorted(self._asked.get(path, ())) if not self._has(_join(path, name))]
            likely = nearest(key, missing, cutoff=_LIKE)
            if likely:
                yield Problem(_join(path, key), f"unknown setting {key!r}", "", f"did you mean {likely!r}?")

    def _has(self, path: str) -> bool:
        home = self._section(path.rpartition(".")[0])
        return path in self._found or (home is not None and path.rpartition(".")[2] in home)

    def unused(self) -> Iterator[tuple[str, dict[str, list[str]]]]:
        """Yield each section with unused keys, and for each such key the settings inside it."""
        by_section: dict[str, dict[str, list[str]]] = {}
        for path, key, value in self._unused():
            by_section.setdefault(path, {})[key] = list(_leaves(value))
        yield from by_section.items()

    def _unused(self) -> Iterator[tuple[str, str, Any]]:
        yield from self._walk("", self._values)

    def _walk(self, path: str, section: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
        for key, value in section.items():
            inner = _join(path, key)
            if isinstance(value, dict) and inner in self._asked:
                yield from self._walk(inner, value)
            elif not (isinstance(value, dict) and not value):
                yield path, key, value


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _leaves(value: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted paths of the settings inside a value; none when it is a plain one."""
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        path = _join(prefix, key)
        if isinstance(inner, dict):
            yield from _leaves(inner, path)
        else:
            yield path
