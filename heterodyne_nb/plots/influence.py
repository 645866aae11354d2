"""Which angle, ring or bin pulls a fit: the jackknife as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas

_ROW, _AROUND = 30, 240
_OVER = {"phi": "angle", "q": "ring", "bin": "bin"}


def influence(jackknife: Any, *, theme: str = "light") -> go.Figure:
    """Shift of each number when one group of bins is left out, in standard errors of the whole fit.

    Parameters
    ----------
    jackknife : Jackknife
        As :func:`heterodyne_nb.jackknife` returns it.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If this is no jackknife.
    """
    table = getattr(jackknife, "influence", None)
    if table is None:
        raise ConfigurationError(
            f"a {type(jackknife).__name__} is no jackknife",
            where="jackknife",
            expected="what jackknife returns",
        )
    pull = np.asarray(table.values, dtype=float)
    reach = max(1.0, float(np.nanmax(np.abs(pull), initial=0.0)))
    rows, columns = ([str(name) for name in axis] for axis in (table.index, table.columns))
    over = str(jackknife.dataset.attrs.get("over", "bin"))
    figure = canvas.panels(
        f"Influence of each {_OVER.get(over, over)}",
        jackknife.verdict(),
        theme=theme,
        height=_AROUND + _ROW * len(rows),
    )
    figure.add_trace(
        go.Heatmap(
            x=columns, y=rows, z=pull.astype(np.float32), zmin=-reach, zmax=reach, xgap=1, ygap=1,
            colorscale=canvas.diverging_scale(theme), texttemplate="%{z:.2f}", textfont={"size": 10},
            colorbar={"title": {"text": "shift / σ"}},
            hovertemplate="without %{y}: %{x} shifts by %{z:.3g} of its standard error<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(tickangle=-40, showgrid=False, title_text=None)
    figure.update_yaxes(
        autorange="reversed", type="category", showgrid=False, title_text=f"{_OVER.get(over, over)} left out"
    )
    return figure
