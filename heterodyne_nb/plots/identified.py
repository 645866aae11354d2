"""What the data determine: independent combinations of the parameters, best known first."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from heterodyne_nb.plots import canvas
from heterodyne_nb.uncertainty.identifiability import Direction, Identifiability
from heterodyne_nb.uncertainty.identifiability_words import headline

_WORDS = {"determined": "determined", "weak": "hardly determined", "null": "not determined"}
_SYMBOLS = {"determined": "circle", "weak": "diamond", "null": "x"}
_COLOURS = {"determined": 0, "weak": 4, "null": 1}
#: A combination counts as weak from this standard error on, as a part of its scale.
_WEAK = 0.5
#: Directions said in words above the panels.
_SAID = 4
_ROW, _ABOVE_AND_BELOW = 26, 260


def identifiability(result: Any, *, theme: str = "light") -> go.Figure:
    """Combinations of parameters, best determined first: what they are made of, and how well each is known.

    Left, the weight of every parameter in each combination, counted in its scale (the change of it that
    would count as large); right, the standard error of the combination in the same scales. Beyond a half,
    its 95 % interval is as wide as all it could reasonably be. What is hardly or not at all determined
    stands in words above.

    Parameters
    ----------
    result : FitResult or Identifiability
    theme : {"light", "dark"}

    Raises
    ------
    OptimizationError
        If the result keeps no Gauss-Newton matrix.
    """
    found = result if isinstance(result, Identifiability) else result.identifiability()
    directions = found.directions
    rows = [str(k + 1) for k in range(len(directions))]
    figure = canvas.panels(
        "What the data determine",
        _in_words(found),
        theme=theme,
        height=_ABOVE_AND_BELOW + _ROW * len(rows),
        rows=1,
        cols=2,
        shared_yaxes=True,
        column_widths=[0.58, 0.42],
        horizontal_spacing=0.03,
        subplot_titles=["made of", "known to"],
    )
    figure.add_trace(_weights(found, rows, theme), row=1, col=1)
    ends = _ends(directions)
    for trace in _precisions(directions, rows, ends[1], theme):
        figure.add_trace(trace, row=1, col=2)
    figure.update_xaxes(tickangle=-50, showgrid=False, row=1, col=1)
    figure.update_yaxes(range=[len(rows) - 0.5, -0.5], type="category", showgrid=False)
    figure.update_yaxes(title_text="combination", row=1, col=1)
    figure.update_xaxes(
        title_text="standard error / scale of the parameters", type="log", tickformat="~g", dtick=1,
        range=np.log10(ends).tolist(), showgrid=True, row=1, col=2,
    )  # fmt: skip
    figure.add_vline(x=_WEAK, line={"dash": "dash", "width": 1, "color": canvas.faint(theme)}, row=1, col=2)
    return figure.update_layout(
        legend={
            "orientation": "h",
            "x": 1,
            "xanchor": "right",
            "y": -90 / (_ROW * len(rows)),
            "yanchor": "top",
        }
    )


def _in_words(found: Identifiability) -> str:
    """Headline, and what is open, the worst first."""
    open_ones = [d for d in reversed(found.directions) if d.kind != "determined"]
    lines = [f"{_WORDS[d.kind]}: {d.text}" for d in open_ones[:_SAID]]
    if len(open_ones) > _SAID:
        lines.append(f"… and {len(open_ones) - _SAID} more")
    return "<br>".join([headline(found.names, found.directions), *lines])


def _weights(found: Identifiability, rows: list[str], theme: str) -> go.Heatmap:
    weights = np.array([direction.weights for direction in found.directions])
    largest = np.take_along_axis(weights, np.argmax(np.abs(weights), axis=1)[:, None], axis=1)
    said = np.broadcast_to(np.array([d.text for d in found.directions])[:, None], weights.shape)
    return go.Heatmap(
        x=list(found.names),
        y=rows,
        z=(weights / largest).astype(np.float32),
        customdata=said,
        colorscale=canvas.diverging_scale(theme),
        zmin=-1,
        zmax=1,
        xgap=1,
        ygap=1,
        showscale=False,
        hovertemplate="%{x}: %{z:.2f} of the largest weight<br>%{customdata}<extra></extra>",
    )


def _ends(directions: tuple[Direction, ...]) -> tuple[float, float]:
    """Limits of the axis of precisions; those that are infinite are drawn at its end."""
    finite = [d.precision for d in directions if 0 < d.precision < np.inf]
    low, high = min([*finite, _WEAK]), max([*finite, _WEAK])
    return low / 2, high * 10


def _precisions(
    directions: tuple[Direction, ...], rows: list[str], end: float, theme: str
) -> list[go.Scatter]:
    traces = []
    for kind, words in _WORDS.items():
        mine = [k for k, direction in enumerate(directions) if direction.kind == kind]
        if not mine:
            continue
        precision = np.array([directions[k].precision for k in mine])
        marker = {
            "color": canvas.line_colour(_COLOURS[kind], theme),
            "symbol": _SYMBOLS[kind],
            "size": 10,
        }
        traces.append(
            go.Scatter(
                x=np.where(np.isfinite(precision), precision, end / 2),
                y=[rows[k] for k in mine],
                mode="markers+text",
                text=["" if np.isfinite(p) else "∞" for p in precision],
                textposition="middle left",
                textfont={"size": 16},
                name=words,
                marker=marker,
                customdata=[[_relative(p), directions[k].text] for p, k in zip(precision, mine, strict=True)],
                hovertemplate="%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
            )
        )
    return traces


def _relative(precision: float) -> str:
    return f"known to {precision:.2g} of its scale" if np.isfinite(precision) else "not known at all"
