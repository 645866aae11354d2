"""One page that tells a fit: headline numbers, parameters, figures, and where it all came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import theme as look
from heterodyne_nb.plots.comparison import comparison
from heterodyne_nb.plots.curves import curves
from heterodyne_nb.plots.cuts import g2_cuts
from heterodyne_nb.plots.intensity import intensity
from heterodyne_nb.plots.maps import c2
from heterodyne_nb.plots.page import (
    cards,
    figure_part,
    flattened,
    heading,
    page,
    paragraph,
    table,
)
from heterodyne_nb.plots.quality import chi2_by_angle, convergence, correlation
from heterodyne_nb.plots.select import Bin, all_bins
from heterodyne_nb.plots.velocity import velocity_polar
from heterodyne_nb.results.files.atomic import new_file
from heterodyne_nb.results.numbers import number, value_with_error

#: Bins shown as data | model | residual, and the sides of maps in the page: it stays a few MB.
_SHOWN_BINS, _PAIR_SIZE, _OVERVIEW_SIZE = 3, 200, 80
_WEAK = ("fixed", "not determined")
Draw = Callable[[], go.Figure]


def report(result: Any, ds: xr.Dataset | None, path: str | Path, *, theme: str = "light") -> Path:
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
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If the folder does not exist or the theme is unknown.
    """
    look.check_theme(theme)
    title = f"{result.mode} fit"
    source = _source(result, ds)
    parts = [*_summary(result, title, source), *_tables(result), *_figures(result, ds, theme)]
    parts += _record(result)
    html = page(f"{title}: {source}" if source else title, parts, theme=theme)
    with new_file(Path(path)) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return Path(path)


def _source(result: Any, ds: xr.Dataset | None) -> str:
    """Name of the data file: as the result recorded it, else as the dataset says."""
    recorded = result.provenance.get("source")
    if isinstance(recorded, dict):
        recorded = recorded.get("name") or recorded.get("file")
    named = recorded or (ds.attrs.get("source") if ds is not None else "")
    return str(named or "")


def _summary(result: Any, title: str, source: str) -> Iterator[str]:
    attrs = result.dataset.attrs
    yield f"<h1>{title}</h1>"
    yield paragraph(" · ".join(filter(None, [source, result.method, result.message])), "lead")
    if not result.success:
        yield paragraph("The optimiser did not converge: the numbers below are its best so far.", "warn")
    numbers = {
        "reduced χ²": number(result.chi2_reduced),
        "data points": f"{int(attrs['n_data']):,}".replace(",", " "),
        "fitted numbers": str(int(attrs["n_free"])),
    }
    if "bin" in result.dataset.sizes:
        numbers["(q, φ) bins"] = str(result.dataset.sizes["bin"])
    seconds = [float(step["seconds"]) for step in result.path if step.get("seconds") is not None]
    if seconds:
        numbers["time"] = f"{sum(seconds):.3g} s"
    yield cards(numbers)


def _tables(result: Any) -> Iterator[str]:
    yield heading("Parameters")
    names, data = result.parameter_names, result.dataset
    units = dict(zip(names, map(str, data["unit"].values), strict=True))
    rows = [
        (n, value_with_error(result.values[n], result.errors[n]), units[n], result.status[n]) for n in names
    ]
    yield table(
        ("parameter", "value ± standard error", "unit", "status"),
        rows,
        [result.status[name] in _WEAK for name in names],
    )
    if any(result.status[name] == "not determined" for name in names):
        yield paragraph(
            "Parameters marked “not determined” are one choice of many that fit equally well; "
            "the curves below are what the data determine.",
            "small",
        )
    derived = result.derived()
    if derived.sizes.get("quantity"):
        yield heading("Derived quantities")
        values = zip(derived["value"].values, derived["stderr"].values, strict=True)
        shown = [value_with_error(float(value), float(error)) for value, error in values]
        columns = (derived["description"].values, shown, derived["unit"].values)
        yield table(
            ("quantity", "value ± standard error", "unit"),
            [tuple(map(str, row)) for row in zip(*columns, strict=True)],
        )


def _figures(result: Any, ds: xr.Dataset | None, theme: str) -> Iterator[str]:
    missing = []
    for number_, (title, drawings) in enumerate(_plan(result, ds, theme)):
        parts = []
        for k, draw in enumerate(drawings):
            try:
                parts.append(figure_part(draw(), f"figure-{number_}-{k}"))
            except ConfigurationError as error:
                missing.append(f"{title}: {error.message}")
        if parts:
            yield heading(title)
            yield from parts
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
    yield heading("Provenance")
    rows = flattened(result.provenance)
    yield table((), rows) if rows else paragraph("Nothing was recorded.", "small")
    if result.path:
        yield heading("Path")
        head = ("strategy", "start", "iterations", "reduced χ²", "time (s)", "message")
        yield table(head, [_step(step) for step in result.path])


def _step(step: dict[str, Any]) -> list[str]:
    strategy, start, iterations, message = (
        str(step.get(key, "")) for key in ("strategy", "start", "iterations", "message")
    )
    chi2, seconds = (_optional(step.get(key)) for key in ("chi2_reduced", "seconds"))
    return [strategy, start, iterations, chi2, seconds, message]


def _optional(value: Any) -> str:
    return "" if value is None else number(float(value))
