"""The frame of a self-contained HTML page: its style and the pieces it is put together from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from string import Template
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.export import TOOLBAR

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: $theme; }
body { margin: 0 auto; max-width: 1240px; padding: 24px 28px 60px; background: $paper; color: $ink;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6em; margin: 0 0 2px; }
h2 { font-size: 1.2em; margin: 38px 0 10px; padding-bottom: 4px; border-bottom: 1px solid $grid; }
.lead, .small { color: $faint; }
.lead { margin: 0 0 18px; overflow-wrap: anywhere; }
.small { font-size: 0.87em; }
.warn { border-left: 4px solid $warn; padding: 6px 12px; margin: 12px 0; }
.cards { display: flex; flex-wrap: wrap; gap: 12px; margin: 16px 0; }
.card { border: 1px solid $grid; border-radius: 8px; padding: 10px 16px; min-width: 110px; }
.card b { display: block; font-size: 1.35em; font-weight: 600; font-variant-numeric: tabular-nums; }
.card span { color: $faint; font-size: 0.87em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 18px 4px 0; border-bottom: 1px solid $grid; vertical-align: top; }
th { font-weight: 600; }
tr.dim td { color: $faint; }
tr.mark td:last-child { color: $warn; font-weight: 600; }
ul { margin: 0; padding-left: 1.2em; }
.note { border-left: 4px solid $grid; padding: 6px 12px; margin: 12px 0; }
td { overflow-wrap: anywhere; }
figure { margin: 0 0 14px; overflow-x: auto; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.85em; }
@media print { body { max-width: none; } .card { break-inside: avoid; } figure { break-inside: avoid; } }
</style>
$library
</head>
<body>
$body
</body>
</html>
""")


def page(title: str, body: Iterable[str], *, theme: str, interactive: bool = True) -> str:
    """Return a whole page that asks nothing of any network.

    Parameters
    ----------
    title : str
        Plain text.
    body : iterable of str
        HTML parts, in order.
    theme : {"light", "dark"}
    interactive : bool
        Put plotly.js into the page, once; needed by :func:`figure_part`.
    """
    return _PAGE.substitute(
        title=escape(title),
        theme=canvas.check_theme(theme),
        paper=canvas.paper(theme),
        ink=canvas.ink(theme),
        faint=canvas.faint(theme),
        grid=canvas.grid(theme),
        warn=canvas.line_colour(1, theme),
        library=f"<script>{get_plotlyjs()}</script>" if interactive else "",
        body="\n".join(body),
    )


def figure_part(figure: go.Figure, name: str) -> str:
    """Return a figure as HTML that uses the page's plotly.js; `name` is its id in the page."""
    inside = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=TOOLBAR)
    return f"<figure>{inside}</figure>"


def heading(text: str) -> str:
    """Second-level heading."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """Paragraph of plain text, of class `kind`."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def cards(numbers: Mapping[str, str]) -> str:
    """Headline numbers: what -> value."""
    inside = "".join(
        f'<div class="card"><b>{escape(value)}</b><span>{escape(what)}</span></div>'
        for what, value in numbers.items()
    )
    return f'<div class="cards">{inside}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], marks: Sequence[str] = ()) -> str:
    """Table of plain text; a row's mark is ``"dim"`` (set back), ``"mark"`` (stands out) or empty."""
    kinds = marks or [""] * len(rows)
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f'<tr class="{kind}">' + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row, kind in zip(rows, kinds, strict=True)
    )
    thead = f"<thead><tr>{top}</tr></thead>" if head else ""
    return f'<div class="wide"><table>{thead}<tbody>{body}</tbody></table></div>'


def bullets(lines: Iterable[str]) -> str:
    """List of plain text."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def flattened(nested: Mapping[str, Any], stem: str = "") -> list[tuple[str, str]]:
    """Rows (dotted name, text) of a nested mapping, for a table."""
    rows: list[tuple[str, str]] = []
    for key, value in nested.items():
        name = f"{stem}{key}"
        if isinstance(value, Mapping) and value:
            rows += flattened(value, f"{name}.")
        else:
            rows.append((name, _text(value)))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value) or "none"
    if isinstance(value, float):
        return f"{value:.10g}"
    return "none" if value is None else str(value)
