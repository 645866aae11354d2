"""One page that tells a fit: headline numbers, parameters, figures, and where it all came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError, OptimizationError
from heterodyne_nb.files import write_text
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.comparison import comparison
from heterodyne_nb.plots.curves import curves
from heterodyne_nb.plots.cuts import g2_cuts
from heterodyne_nb.plots.identified import identifiability
from heterodyne_nb.plots.intensity import intensity
from heterodyne_nb.plots.maps import c2
from heterodyne_nb.plots.page import (
    bullets,
    cards,
    figure_part,
    flattened,
    heading,
    page,
    paragraph,
    table,
)
from heterodyne_nb.plots.quality import chi2_by_angle, convergence, correlation
from heterodyne_nb.plots.select import Bin, all_bins, fit_result
from heterodyne_nb.plots.velocity import velocity_polar
from heterodyne_nb.result import report_parts as parts
from heterodyne_nb.result.trust import trust_flags
from heterodyne_nb.text.numbers import number, value_with_error

#: Bins shown as data | model | residual, and the sides of maps in the page: it stays a few MB.
_SHOWN_BINS, _PAIR_SIZE, _OVERVIEW_SIZE = 3, 200, 80
Draw = Callable[[], go.Figure]


def report(
    result: Any,
    ds: xr.Dataset | None,
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
    result : FitResult
    ds : xarray.Dataset or None
        The data that were fitted; None leaves out the figures that need them.
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
    source = _source(result, ds)
    body = [*_summary(result, head, source, warnings), *_tables(result)]
    if notes:
        body += [heading("Data and run"), bullets(notes)]
    if figures:
        body += _figures(result, ds, theme)
    body += _record(result)
    html = page(f"{head}: {source}" if source else head, body, theme=theme, interactive=figures)
    write_text(path, html)
    return Path(path)


def _source(result: Any, ds: xr.Dataset | None) -> str:
    """Name of the data file: as the result recorded it, else as the dataset says."""
    named = result.provenance.get("source") or (ds.attrs.get("source") if ds is not None else "")
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


def _figures(result: Any, ds: xr.Dataset | None, theme: str) -> Iterator[str]:
    missing = []
    for section, (title, drawings) in enumerate(_plan(result, ds, theme)):
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


def _plan(result: Any, ds: xr.Dataset | None, theme: str) -> Iterator[tuple[str, list[Draw]]]:
    """Sections of figures, each figure drawn only when its turn comes."""
    yield "Curves in time", [lambda: curves(result, theme=theme)]
    if ds is not None:
        yield from _plan_with_data(result, ds, theme)
    yield (
        "Quality of the fit",
        [
            lambda: chi2_by_angle(result, theme=theme),
            lambda: identifiability(result, theme=theme),
            lambda: correlation(result, theme=theme),
            lambda: convergence(result, theme=theme),
        ],
    )
    if "v" in {*result.curve_names, *result.parameter_names}:
        yield "Fringes", [lambda: velocity_polar(result, theme=theme)]


def _plan_with_data(result: Any, ds: xr.Dataset, theme: str) -> Iterator[tuple[str, list[Draw]]]:
    shown = telling_bins(result)
    if "c2" in ds.variables:
        yield "Data against model", [_pair(ds, result, one, theme) for one in shown]
    if "g2" in ds.variables:
        yield "One-time correlation", [_cut(ds, result, one, theme) for one in shown]
    if "c2" in ds.variables:
        first = shown[0]
        yield (
            "The data",
            [
                lambda: c2(ds, max_size=_OVERVIEW_SIZE, theme=theme),
                lambda: intensity(ds, q=first.q, phi=first.phi, theme=theme),
            ],
        )


def _pair(ds: xr.Dataset, result: Any, one: Bin, theme: str) -> Draw:
    return lambda: comparison(ds, result, q=one.q, phi=one.phi, max_size=_PAIR_SIZE, theme=theme)


def _cut(ds: xr.Dataset, result: Any, one: Bin, theme: str) -> Draw:
    return lambda: g2_cuts(ds, q=one.q, phi=one.phi, result=result, theme=theme)


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
