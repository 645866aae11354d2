"""What differs between two configurations, setting by setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from heterodyne_nb.config.parameters_table import ParameterTable


class Difference(NamedTuple):
    """One setting that two configurations hold differently; None where one does not hold it."""

    path: str
    value: Any
    other: Any

    def __str__(self) -> str:
        return f"{self.path}: {self.value!r} instead of {self.other!r}"


def differences(values: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return the settings that differ, by dotted path, in the order of the first."""
    mine, theirs = dict(_flat(values)), dict(_flat(other))
    paths = [*mine, *(path for path in theirs if path not in mine)]
    return tuple(Difference(p, mine.get(p), theirs.get(p)) for p in paths if mine.get(p) != theirs.get(p))


def effective_parameters(table: ParameterTable) -> dict[str, dict[str, Any]]:
    """Return what each parameter amounts to; the value is None where the user gave none."""
    return {
        name: {
            "value": float(table.values[i]) if table.given[i] else None,
            "lower": float(table.lower[i]),
            "upper": float(table.upper[i]),
            "role": table.role[i],
            "prior": table.prior[i],
        }
        for i, name in enumerate(table.names)
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}.")
        else:
            yield path, value
