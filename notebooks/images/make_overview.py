"""Draw overview.png, the picture of the README: one bin of the example as data | model | residual, and the curves.

Run it again with ``python notebooks/images/make_overview.py``; it needs kaleido and a Chrome or Chromium.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

import heterodyne_nb as hnb
from heterodyne_nb import plots, prepare
from heterodyne_nb.errors import DataWarning

BIN = {"q": 0.012, "phi": 22.5}
SIZE = {"width": 1120, "height": 630}


def fitted() -> tuple:
    """The example without its bad frames, and its fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the dead bin
        ds = hnb.example_dataset()
    ds = prepare.mask_frames(ds, prepare.detect_bad_frames(ds))
    return ds, hnb.fit(ds)


def overview(ds, result) -> go.Figure:
    """Three maps above four curves."""
    maps = plots.comparison(ds, result, max_size=100, **BIN)
    truth = {"truth": hnb.example_truth()["parameters"]}
    curves = plots.curves(result, against=truth, log_time=True)
    figure = make_subplots(rows=2, cols=4)
    figure.update_layout(template=maps.layout.template, margin={"l": 66, "r": 66, "t": 34, "b": 56}, **SIZE)
    _place_maps(figure, maps)
    _place_curves(figure, curves)
    return figure


def _place_maps(figure: go.Figure, maps: go.Figure) -> None:
    figure.update_layout(coloraxis=maps.layout.coloraxis, coloraxis2=maps.layout.coloraxis2)
    domains = ((0.0, 0.26), (0.295, 0.555), (0.705, 0.965))
    titles = (f"data, q = {BIN['q']} Å⁻¹, φ = {BIN['phi']}°", "model", "(data − model) / σ")
    span = maps.layout.xaxis.range
    for k, (domain, title) in enumerate(zip(domains, titles, strict=True)):
        x, y = f"x{k + 11}", f"y{k + 11}"
        common = {"range": span, "showgrid": False, "tickvals": [20, 40, 60, 80, 100]}
        axis = {"domain": domain, "anchor": y, "title": {"text": "t<sub>1</sub> (s)"}, **common}
        figure.layout[f"xaxis{k + 11}"] = axis
        up = {"domain": (0.545, 1.0), "anchor": x, "showticklabels": k == 0, **common}
        figure.layout[f"yaxis{k + 11}"] = {**up, "title": {"text": "t<sub>2</sub> (s)" if k == 0 else ""}}
        for trace in maps.data[2 * k : 2 * k + 2]:
            figure.add_trace(trace.update(xaxis=x, yaxis=y, showlegend=False))
        _title(figure, title, sum(domain) / 2, 1.0)
    for k, axis in enumerate((figure.layout.coloraxis, figure.layout.coloraxis2)):
        axis.colorbar.update(x=domains[k + 1][1] + 0.005, y=0.545, yanchor="bottom", len=0.46)


def _place_curves(figure: go.Figure, curves: go.Figure) -> None:
    width, gap = 0.193, 0.076
    for k in range(4):
        tail = str(k + 1) if k else ""
        left = k * (width + gap)
        x, y = (curves.layout[f"{letter}axis{tail}"].to_plotly_json() for letter in "xy")
        for axis, domain in ((x, (left, left + width)), (y, (0.0, 0.34))):
            axis.update(domain=domain, matches=None, showticklabels=True)
        figure.layout[f"xaxis{tail}"] = {**x, "title": {"text": "t (s)"}, "anchor": f"y{tail}"}
        figure.layout[f"yaxis{tail}"] = {**y, "anchor": f"x{tail}"}
        _title(figure, curves.layout.annotations[k].text, left + width / 2, 0.34)
    for trace in curves.data:
        figure.add_trace(trace)
    figure.update_layout(legend={"x": 1.0, "xanchor": "right", "y": 0.33, "yanchor": "top", "font": {"size": 11}})


def _title(figure: go.Figure, text: str, x: float, y: float) -> None:
    where = {"xref": "paper", "yref": "paper", "xanchor": "center", "yanchor": "bottom"}
    figure.add_annotation(text=text, x=x, y=y, yshift=5, font={"size": 13}, **where)


if __name__ == "__main__":
    target = Path(__file__).with_name("overview.png")
    plots.save_png(overview(*fitted()), target, scale=1.0)
    print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB")
