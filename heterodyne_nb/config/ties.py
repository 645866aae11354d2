"""Parameters that always equal another one: who follows whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from heterodyne_nb.options.problems import Problem


class Ties:
    """Equalities between parameters, each pointing from a follower to its target.

    Parameters
    ----------
    targets : mapping of str to (str or None)
        For every parameter the one it equals, or None.
    """

    def __init__(self, targets: Mapping[str, str | None]) -> None:
        self._targets = dict(targets)

    def root(self, name: str) -> str:
        """Return the parameter at the end of the chain that starts at ``name``."""
        return self._chain(name)[-1]

    def groups(self) -> dict[str, list[str]]:
        """Return each root that has followers, with them."""
        found: dict[str, list[str]] = {}
        for name, target in self._targets.items():
            if target is not None:
                found.setdefault(self.root(name), []).append(name)
        return found

    def _chain(self, name: str) -> list[str]:
        """Follow the targets from ``name``; a cycle ends with its first repeated name."""
        chain = [name]
        while (target := self._targets[chain[-1]]) is not None:
            chain.append(target)
            if target in chain[:-1]:
                break
        return chain

    def check(
        self,
        units: Mapping[str, str],
        paths: Mapping[str, str],
        fixed: Collection[str],
        problems: list[Problem],
    ) -> None:
        """Note self-ties, cycles, ties across units, and parameters both fixed and tied."""
        for name, target in self._targets.items():
            if target is None:
                continue
            path = f"{paths[name]}.tie"
            chain = self._chain(name)
            if name in chain[1:]:
                message = f"{name} is tied to itself: " + " -> ".join(chain)
                problems.append(Problem(path, message, "ties that end at a parameter of its own"))
            elif units[name] != units[target]:
                message = f"{name} ({units[name]}) cannot equal {target} ({units[target]})"
                problems.append(Problem(path, message, "a parameter of the same unit"))
            if name in fixed:
                problems.append(Problem(path, f"{name} is both fixed and tied to {target}", "one of the two"))
