"""What a translation of a configuration carries: values, where they came from, notes, problems."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from heterodyne_nb.options.problems import Problem


@dataclass
class Translation:
    """Values in the form of the schema, and the record of how they came about.

    Attributes
    ----------
    values : dict
        Sections of the schema.
    translated, ignored : list of str
        Notes on what was given another place or meaning, and on what is not used.
    briefly : list of str
        The same as ``ignored``, with settings counted instead of named.
    problems : list of Problem
        What is wrong already.
    origin : dict
        Path in the schema to the path the user wrote.
    """

    values: dict[str, Any]
    translated: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    briefly: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    origin: dict[str, str] = field(default_factory=dict)

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
