"""How a session shows itself as the last line of a cell."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from heterodyne_nb.analysis.loading import describe
from heterodyne_nb.text.html import bullets, heading, page, table

if TYPE_CHECKING:
    from heterodyne_nb.app.session.session import AnalysisSession


def summary_of(session: AnalysisSession) -> Iterator[tuple[str, str]]:
    """What is open, what would be fitted and how, and what has been done: pairs of a word and a statement."""
    source = session.source
    data = "no data" if session.dataset is None else source if source.startswith("<") else Path(source).name
    yield "data", data
    yield "mode", session.settings.mode
    table = session.parameters
    yield "parameters", f"{int(table.vary.sum())} free of {len(table)}"
    if session.bins is not None:
        yield "bins fitted", str(len(session.bins))
    count = len(session.history)
    yield "fits", f"{count} fit{'' if count == 1 else 's'}"
    if session.result is not None and session.shown is not None:
        yield "shown", session.history[session.shown].label
    if session.status != "idle":
        yield "now", f"{session.activity} {session.status}"


def summary_html(session: AnalysisSession) -> str:
    """The same as a table, with the data's frames and bins and the history."""
    rows = [[word, said] for word, said in summary_of(session)]
    parts = [heading("AnalysisSession"), table(("", ""), rows)]
    if session.dataset is not None:
        parts.append(bullets(describe(session.dataset)))
    if session.history:
        parts += [f"<p>{escape('History')}</p>", bullets(entry.label for entry in session.history)]
    if session.error is not None:
        parts.append(f"<p>{escape(str(session.error))}</p>")
    return page("".join(parts))
