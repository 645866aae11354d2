"""A plotly figure in the page that is redrawn in place."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go

__all__ = ["LiveFigure"]


class LiveFigure:
    """A place for one figure: ``widget`` is put into the page once, :meth:`draw` shows another figure there.

    A figure of the same traces is changed in place, which costs a tenth of a new one; any other replaces it.

    Parameters
    ----------
    height : int
        Height in pixels; the width is that of the page.
    hint : str
        Said while there is no figure.

    Attributes
    ----------
    widget : ipywidgets.VBox
    figure : plotly.graph_objects.FigureWidget or None
    """

    def __init__(self, height: int, hint: str = "") -> None:
        self.height = height
        self.figure: Any = None
        self._hint = hint
        self.widget = widgets.VBox(
            layout={"width": "100%", "min_height": f"{height}px", "overflow": "hidden"}
        )
        self.clear()

    def draw(self, figure: go.Figure) -> None:
        """Show a figure; its own width and height give way to those of the place."""
        figure.update_layout(width=None, height=self.height, autosize=True)
        if self.figure is not None and _alike(self.figure, figure):
            with self.figure.batch_update():
                for old, new in zip(self.figure.data, figure.data, strict=True):
                    old.update(_without_uid(new), overwrite=True)
                self.figure.layout.update(figure.layout.to_plotly_json(), overwrite=True)
            return
        self._put(go.FigureWidget(figure))

    def clear(self, hint: str | None = None) -> None:
        """Show no figure, but what to do to get one."""
        words = f'<div style="padding:12px;opacity:0.75">{self._hint if hint is None else hint}</div>'
        self._put(widgets.HTML(words))
        self.figure = None

    def close(self) -> None:
        """Take the figure away."""
        for child in self.widget.children:
            child.close()
        self.widget.close()

    def _put(self, content: Any) -> None:
        before = self.widget.children
        self.widget.children = (content,)
        self.figure = content
        for old in before:
            old.close()


def _alike(one: Any, other: go.Figure) -> bool:
    """Whether two figures differ in numbers only: same traces, same axes."""
    shapes = [
        [(trace.type, trace.xaxis, trace.yaxis) if "xaxis" in trace else (trace.type,) for trace in fig.data]
        for fig in (one, other)
    ]
    axes = [{key for key in fig.layout if fig.layout[key] is not None} for fig in (one, other)]
    return shapes[0] == shapes[1] and axes[0] == axes[1]


def _without_uid(trace: Any) -> dict[str, Any]:
    return {key: value for key, value in trace.to_plotly_json().items() if key != "uid"}
