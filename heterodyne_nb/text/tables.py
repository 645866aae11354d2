"""Tables of a result's main numbers, in a terminal and in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from heterodyne_nb.text.html import heading, page, table


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of text with the cells of every column below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


@dataclass(frozen=True)
class Printed:
    """How a result prints."""

    title: str
    rows: list[list[str]]  #: The first is the head.
    note: str = ""  #: Below the table.
    marked: str | None = None  #: First cell of a row that stands out in a notebook.


class Tabular(ABC):
    """A result that prints itself as a title, a table and perhaps a note."""

    @abstractmethod
    def _printed(self) -> Printed:
        """What is printed."""

    def __repr__(self) -> str:
        shown = self._printed()
        return "\n".join([shown.title, *aligned(shown.rows), *([shown.note] if shown.note else [])])

    def _repr_html_(self) -> str:
        shown = self._printed()
        head, *rows = shown.rows
        marks = ["hnb-mark" if row[0] == shown.marked else "" for row in rows]
        body = heading(shown.title) + table(head, rows, marks)
        return page(body + (heading(shown.note) if shown.note else ""))
