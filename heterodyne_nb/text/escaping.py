"""Text that came from files, made harmless for where it is written; for HTML there is :func:`html.escape`."""

from __future__ import annotations

import os
import shlex
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def printable(text: object, keep: str = "") -> str:
    r"""Escape what does not print, so that it neither begins a line nor steers a terminal: ``\n``, ``\x1b``, ``\udcff``.

    Parameters
    ----------
    text : object
        Its ``str`` is used.
    keep : str
        Characters that are left as they are.
    """
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in str(text))


def docstring(text: str) -> str:
    """Python source of a docstring that says `text`, whatever is in it."""
    inside = repr(text)[1:-1].replace('"', '\\"')
    return f'"""{inside}"""'


def comment(text: str) -> str:
    """Python source of a comment; it stays on its line."""
    return f"# {printable(text)}"


def in_figure(text: object) -> str:
    """Text as a figure shows it: plotly reads ``<b>``, ``<a href>`` and ``&lt;`` in texts as HTML."""
    return escape(printable(text), quote=False)


def shell_word(path: str | os.PathLike[str]) -> str:
    """A path as one word to copy into a POSIX shell, never taken for a flag."""
    text = os.fspath(path)
    return shlex.quote(os.path.join(".", text) if text.startswith("-") else text)


def csv_text(text: str) -> str:
    """A text cell that stays in its row, and that a spreadsheet does not take for a formula."""
    text = printable(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def csv_table(frame: pd.DataFrame) -> str:
    """A table as CSV, its texts, head and index as :func:`csv_text` has them."""

    def cell(value: object) -> object:
        return csv_text(value) if isinstance(value, str) else value

    safe = frame.map(cell).rename(columns=cell, index=cell)
    return str(safe.to_csv(index=frame.index.name is not None))


def storable(text: str) -> str:
    """Text as UTF-8 can hold it: the bytes of a file name that are none become ``\\udcff``, also in JSON."""
    return text.encode("utf-8", "backslashreplace").decode()
