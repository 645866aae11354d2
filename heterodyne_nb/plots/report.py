"""One page that tells a fit, without any network: headline numbers, parameters, figures, and where it all came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.offline import get_plotlyjs

from heterodyne_nb.errors import ConfigurationError, OptimizationError
from heterodyne_nb.files import write_text
from heterodyne_nb.old_paths import formerly
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.comparison import comparison
from heterodyne_nb.plots.curves import curves
from heterodyne_nb.plots.cuts import g2_cuts
from heterodyne_nb.plots.export import TOOLBAR
from heterodyne_nb.plots.fringes import flow_curve, velocity_polar
from heterodyne_nb.plots.maps import c2
from heterodyne_nb.plots.quality import chi2_by_angle, convergence, correlation, intensity
from heterodyne_nb.plots.select import Bin, all_bins, fit_result
from heterodyne_nb.plots.statistics import identifiability
from heterodyne_nb.result import report as parts
from heterodyne_nb.result.trust import trust_flags
from heterodyne_nb.text import html
from heterodyne_nb.text.numbers import number, value_with_error

#: Bins shown as data | model | residual, and the sides of maps in the page: it stays a few MB.
_SHOWN_BINS, _PAIR_SIZE, _OVERVIEW_SIZE = 3, 200, 80
Draw = Callable[[], go.Figure]
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


@formerly("result", "dataset", "path", ds="dataset")
def report(
    dataset: xr.Dataset | None,
    result: Any,
    path: str | Path,
    *,
    title: str | None = None,
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
    figures: bool = True,
    theme: str = "light",
) -> Path:
    """Write a self-contained HTML report of a fit, and return its path.

    Opens without a network: plotly.js is in the page, once. A figure that this result or dataset has
    no data for is named at the end of the page with the reason.

    Parameters
    ----------
    dataset : xarray.Dataset or None
        The data that were fitted; None leaves out the figures that need them.
    result : FitResult
    path : str or Path
        File to write, usually ``report.html``; it appears whole or not at all.
    title : str, optional
        Heading. Default: the mode, and whether the fit converged.
    notes, warnings : sequence of str
        Lines about the data and the run, and what deserves suspicion beside the result's own flags.
    figures : bool
        False leaves out all figures and plotly.js with them: a small page of numbers.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If the folder does not exist or the theme is unknown.
    """
    canvas.check_theme(theme)
    fit_result(result)
    head = title or parts.title(result.dataset)
    source = _source(result, dataset)
    body = [*_summary(result, head, source, warnings), *_tables(result)]
    if notes:
        body += [heading("Data and run"), html.bullets(notes)]
    if figures:
        body += _figures(result, dataset, theme)
    body += _record(result)
    text = page(f"{head}: {source}" if source else head, body, theme=theme, interactive=figures)
    write_text(path, text)
    return Path(path)


def _source(result: Any, dataset: xr.Dataset | None) -> str:
    """Name of the data file: as the result recorded it, else as the dataset says."""
    named = result.provenance.get("source") or (dataset.attrs.get("source") if dataset is not None else "")
    return str(named or "")


def _summary(result: Any, title: str, source: str, warnings: Sequence[str]) -> Iterator[str]:
    data = result.dataset
    yield f"<h1>{escape(title)}</h1>"
    yield paragraph(" · ".join(filter(None, [source, result.method, result.message])), "lead")
    numbers = {"reduced χ²": number(result.chi2_reduced)}
    if data.attrs["n_data"]:
        numbers["data points"] = f"{int(data.attrs['n_data']):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    numbers["fitted numbers"] = str(int(data.attrs["n_free"]))
    if "bin" in data.sizes:
        numbers["(q, φ) bins"] = str(data.sizes["bin"])
    seconds = parts.elapsed(data)
    if seconds is not None:
        numbers["time"] = f"{number(seconds, 2)} s"
    yield cards(numbers)
    for flag in trust_flags(data):
        yield paragraph(flag.text, "warn" if flag.serious else "note")
    for line in warnings:
        yield paragraph(line, "warn")


def _tables(result: Any) -> Iterator[str]:
    yield heading("Parameters")
    yield _table(parts.parameter_table(result.dataset))
    known = parts.curve_table(result.dataset)
    if known is not None:
        yield heading("Curves")
        yield _table(known)
    derived = result.derived()
    if derived.sizes.get("quantity"):
        yield heading("Derived quantities")
        values = zip(derived["value"].values, derived["stderr"].values, strict=True)
        shown = [value_with_error(float(value), float(error)) for value, error in values]
        columns = (derived["description"].values, shown, derived["unit"].values)
        rows = [tuple(map(str, row)) for row in zip(*columns, strict=True)]
        yield table(("quantity", "value ± standard error", "unit"), rows)


def _table(content: parts.Table) -> str:
    return table(content.head, content.rows, content.marks)


def _figures(result: Any, dataset: xr.Dataset | None, theme: str) -> Iterator[str]:
    missing = []
    for section, (title, drawings) in enumerate(_plan(result, dataset, theme)):
        drawn = []
        for k, draw in enumerate(drawings):
            try:
                drawn.append(figure_part(draw(), f"figure-{section}-{k}"))
            except (ConfigurationError, OptimizationError) as error:
                missing.append(f"{title}: {error.message}")
        if drawn:
            yield heading(title)
            yield from drawn
    if missing:
        yield heading("Not shown")
        yield table((), [(line,) for line in missing])


def _plan(result: Any, dataset: xr.Dataset | None, theme: str) -> Iterator[tuple[str, list[Draw]]]:
    """Sections of figures, each figure drawn only when its turn comes."""
    yield "Curves in time", [lambda: curves(result, theme=theme)]
    if dataset is not None:
        yield from _plan_with_data(result, dataset, theme)
    yield (
        "Quality of the fit",
        [
            lambda: chi2_by_angle(result, theme=theme),
            lambda: identifiability(result, theme=theme),
            lambda: correlation(result, theme=theme),
            lambda: convergence(result, theme=theme),
        ],
    )
    if flow_curve(result) is not None:
        yield "Fringes", [lambda: velocity_polar(result=result, theme=theme)]


def _plan_with_data(result: Any, dataset: xr.Dataset, theme: str) -> Iterator[tuple[str, list[Draw]]]:
    shown = telling_bins(result)
    if "c2" in dataset.variables:
        yield "Data against model", [_pair(dataset, result, one, theme) for one in shown]
    if "g2" in dataset.variables:
        yield "One-time correlation", [_cut(dataset, result, one, theme) for one in shown]
    if "c2" in dataset.variables:
        first = shown[0]
        yield (
            "The data",
            [
                lambda: c2(dataset, max_size=_OVERVIEW_SIZE, theme=theme),
                lambda: intensity(dataset, q=first.q, phi=first.phi, theme=theme),
            ],
        )


def _pair(dataset: xr.Dataset, result: Any, one: Bin, theme: str) -> Draw:
    return lambda: comparison(dataset, result, q=one.q, phi=one.phi, max_size=_PAIR_SIZE, theme=theme)


def _cut(dataset: xr.Dataset, result: Any, one: Bin, theme: str) -> Draw:
    return lambda: g2_cuts(dataset, q=one.q, phi=one.phi, result=result, theme=theme)


def telling_bins(result: Any) -> list[Bin]:
    """Bins worth a look: the best, the middle and the worst by chi-square; all when there are few."""
    bins = all_bins(result.dataset)
    if len(bins) <= _SHOWN_BINS or "chi2_reduced_bin" not in result.dataset:
        return bins[:_SHOWN_BINS]
    order = np.argsort(result.dataset["chi2_reduced_bin"].values)
    return [bins[k] for k in (order[0], order[len(order) // 2], order[-1])]


def _record(result: Any) -> Iterator[str]:
    for title, content in (
        ("Bins", parts.bin_table(result.dataset)),
        ("Path", parts.path_table(result.dataset)),
    ):
        if content is not None:
            yield heading(title)
            yield _table(content)
    yield heading("Provenance")
    rows = flattened(result.provenance)
    yield table((), rows) if rows else paragraph("Nothing was recorded.", "small")


def page(title: str, body: Iterable[str], *, theme: str, interactive: bool = True) -> str:
    """Return a whole page that asks nothing of any network.

    ``title``: Plain text. ``body``: HTML parts, in order. ``theme`` {"light", "dark"}. ``interactive``: Put plotly.js
    into the page, once; needed by :func:`figure_part`.
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
    return f'<div class="wide">{html.table(head, rows, marks)}</div>'


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
