"""One self-contained HTML page of a fit: numbers, what was used, and figures that zoom without a network."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heterodyne_nb import __version__

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import xarray as xr

    from heterodyne_nb.results import FitResult

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1F2430; max-width: 1180px; margin: 2em auto;
       padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
ul { padding-left: 1.2em; } li.warning { color: #8A3C00; } footer { color: #6A7280; margin: 3em 0 1em; }
figure { margin: 1.5em 0; overflow-x: auto; }
"""


def write_report(
    target: Path,
    result: FitResult,
    dataset: xr.Dataset,
    *,
    title: str,
    account: Sequence[str] = (),
    warnings: Sequence[str] = (),
    figures: bool = True,
) -> Path:
    """Write the report of a fit.

    Parameters
    ----------
    target : pathlib.Path
        The HTML file; replaced in one step once the page is complete.
    result : FitResult
        The fit.
    dataset : xarray.Dataset
        The data that were fitted.
    title : str
        Heading.
    account, warnings : sequence of str
        What was used, and what deserves suspicion, one line each.
    figures : bool
        Whether the page holds figures.
    """
    sections = [
        f"<h1>{html.escape(title)}</h1>",
        result._repr_html_(),
        _list("Data", account),
        _list("Warnings", warnings, "warning"),
    ]
    if figures:
        sections.append("<h2>Figures</h2>")
        sections.extend(embed(fit_figures(result, dataset)))
    return write_page(target, title, sections)


def write_page(target: Path, title: str, sections: Sequence[str]) -> Path:
    """Write an HTML page from its sections."""
    page = (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(sections)
        + f"\n<footer>heterodyne_nb {__version__}</footer></body></html>\n"
    )
    from heterodyne_nb.results.files.atomic import new_file

    with new_file(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return target


def embed(figures: Iterator[go.Figure] | Sequence[go.Figure]) -> Iterator[str]:
    """Yield the HTML of each figure; the first one brings the plotting library, for all."""
    for number, figure in enumerate(figures):
        body = figure.to_html(
            full_html=False, include_plotlyjs=number == 0, config={"displaylogo": False, "responsive": True}
        )
        yield f"<figure>{body}</figure>"


def fit_figures(result: FitResult, dataset: xr.Dataset) -> Iterator[go.Figure]:
    """Yield the figures of a fit: curves, the best and the worst bin, quality by angle, correlation, path."""
    import numpy as np

    from heterodyne_nb import plots

    kept: Any = result.dataset
    if result.curve_names:
        yield plots.curves(result)
    if "c2" in dataset.variables and "chi2_reduced_bin" in kept:
        for q, phi in _best_and_worst(kept):
            yield plots.comparison(dataset, result, q=q, phi=phi)
    if "chi2_reduced_bin" in kept:
        yield plots.chi2_by_angle(result)
    if "covariance" in kept and np.isfinite(np.diag(kept["covariance"].values)).any():
        yield plots.correlation(result)


def _best_and_worst(kept: Any) -> list[tuple[float, float]]:
    import numpy as np

    chi2 = np.atleast_1d(kept["chi2_reduced_bin"].values)
    places = dict.fromkeys((int(np.nanargmin(chi2)), int(np.nanargmax(chi2))))
    return [(float(kept["q"].values[k]), float(kept["phi"].values[k])) for k in places]


def _list(heading: str, lines: Sequence[str], css: str = "") -> str:
    if not lines:
        return ""
    items = "".join(f"<li class='{css}'>{html.escape(line)}</li>" for line in lines)
    return f"<h2>{heading}</h2><ul>{items}</ul>"
