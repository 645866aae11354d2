"""Small pieces of self-contained HTML that read well on light and dark notebook themes.

No colours of background are set; text inherits the notebook's own, lines and tints are half
transparent, so they show on white and on black. Selectors of cells name their class twice, or a
notebook's own style would align them to the right.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

_STYLE = """<style>
.hnb-report{color:inherit;font-variant-numeric:tabular-nums;line-height:1.45;max-width:72em}
.hnb-report p{margin:.4em 0 .2em}
.hnb-report .hnb-head{font-weight:600;font-size:1.05em}
.hnb-report .hnb-alert,.hnb-report .hnb-note{border-left:4px solid;padding:.25em .7em;margin:.3em 0}
.hnb-report .hnb-alert{border-color:#d9822b;background:rgba(217,130,43,.14)}
.hnb-report .hnb-note{border-color:rgba(128,128,128,.6);background:rgba(128,128,128,.10)}
.hnb-report table{border-collapse:collapse;margin:.4em 0;color:inherit;background:transparent}
.hnb-report.hnb-report table th,.hnb-report.hnb-report table td{padding:.15em .8em .15em 0;text-align:left;border:0;
  border-bottom:1px solid rgba(128,128,128,.3);color:inherit;background:transparent;white-space:nowrap}
.hnb-report.hnb-report table th{font-weight:600;border-bottom:2px solid rgba(128,128,128,.55)}
.hnb-report tr.hnb-dim td{opacity:.62}
.hnb-report tr.hnb-mark td{background:rgba(217,130,43,.14)}
.hnb-report details{margin:.4em 0}
.hnb-report summary{cursor:pointer}
.hnb-report ul{margin:.1em 0 .4em 1.2em;padding:0}
</style>"""


def page(body: str) -> str:
    """Wrap HTML in the report's own block with its style."""
    return f'{_STYLE}<div class="hnb-report">{body}</div>'


def heading(text: str) -> str:
    """Return a headline."""
    return f'<p class="hnb-head">{escape(text)}</p>'


def alert(text: str, *, serious: bool = True) -> str:
    """Return a line that stands out: a warning, or a note when not `serious`."""
    return f'<p class="hnb-{"alert" if serious else "note"}">{escape(text)}</p>'


def bullets(items: Iterable[str]) -> str:
    """Return a list."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], classes: Sequence[str] = ()) -> str:
    """Return a table, without a head where it is empty; `classes` gives each row's class (or empty)."""
    body = []
    for i, row in enumerate(rows):
        kind = f' class="{classes[i]}"' if i < len(classes) and classes[i] else ""
        body.append(f"<tr{kind}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>")
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    top = f"<thead><tr>{top}</tr></thead>" if head else ""
    return f"<table>{top}<tbody>{''.join(body)}</tbody></table>"


def folded(title: str, body: str) -> str:
    """Return a part that opens on a click."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


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
