"""What the bins share in their residuals: nothing, where the model is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas

#: The colours and the axis reach at least this many errors.
_LEAST = 3.0


def criticism(found: Any, *, theme: str = "light") -> go.Figure:
    """Residuals that all bins share, as a map of tiles and along the age, in their errors; findings in words.

    Bins are separate speckles: what their residuals have in common is no noise.

    Parameters
    ----------
    found : Criticism
        As :func:`heterodyne_nb.criticise` returns it.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If this is no criticism.
    """
    if not hasattr(found, "findings"):
        raise ConfigurationError(
            f"a {type(found).__name__} is no criticism", where="found", expected="what criticise returns"
        )
    ds = found.dataset
    shared = np.asarray(ds["shared"].values, dtype=float)
    both = np.where(np.isfinite(shared), shared, shared.T)
    reach = max(_LEAST, float(np.nanmax(np.abs(both), initial=0.0)))
    figure = canvas.panels(
        found.verdict(),
        "<br>".join(found.findings),
        theme=theme,
        width=940,
        height=470,
        rows=1,
        cols=2,
        column_widths=[0.42, 0.58],
        horizontal_spacing=0.24,
        subplot_titles=["shared residual (errors)", "along the age"],
    )
    starts, ends = ds["block_start"].values, ds["block_end"].values
    edges = np.append(starts, ends[-1])
    figure.add_trace(
        go.Heatmap(
            x=edges, y=edges, z=both.astype(np.float32), zmin=-reach, zmax=reach,
            colorscale=canvas.diverging_scale(theme), hoverongaps=False,
            colorbar={"title": {"text": "errors"}, "x": 0.345},
            hovertemplate="t<sub>1</sub> near %{x:.4g} s, t<sub>2</sub> near %{y:.4g} s<br>"
            "%{z:+.2f} errors<extra></extra>",
        ),
        row=1, col=1,
    )  # fmt: skip
    colour = canvas.line_colour(0, theme)
    figure.add_trace(
        go.Scatter(
            x=ds["age"].values, y=ds["shared_by_age"].values, mode="lines+markers", showlegend=False,
            line={"color": colour, "width": 1.6}, marker={"size": 6},
            hovertemplate="age %{x:.4g} s: %{y:+.2f} errors<extra></extra>",
        ),
        row=1, col=2,
    )  # fmt: skip
    figure.add_hrect(
        y0=-2, y1=2, fillcolor=canvas.band_colour(canvas.faint(theme), 0.15), line_width=0, row=1, col=2
    )
    end = max(_LEAST, float(np.nanmax(np.abs(ds["shared_by_age"].values)))) * 1.1
    figure.update_xaxes(title_text="t<sub>1</sub> (s)", constrain="domain", showgrid=False, row=1, col=1)
    figure.update_yaxes(
        title_text="t<sub>2</sub> (s)", scaleanchor="x", constrain="domain", showgrid=False, row=1, col=1
    )
    figure.update_xaxes(title_text="age (s)", row=1, col=2)
    figure.update_yaxes(title_text="shared residual (errors)", range=[-end, end], row=1, col=2)
    return figure
