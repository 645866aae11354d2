"""A plotly figure in the page that is redrawn in place."""

from __future__ import annotations

from typing import Any

import anywidget
import ipywidgets as widgets
import plotly.graph_objects as go
import traitlets

from heterodyne_nb.widgets.frontend import script

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
        self.widget.add_class("hn-figure")
        self._place = _FigurePlace()
        self._place.observe(self._resize, "width")
        self.clear()

    def draw(self, figure: go.Figure) -> None:
        """Show a figure; its own width and height give way to those of the place."""
        _fold_subtitle(figure)
        width = self._place.width or None
        figure.update_layout(
            width=width, height=self.height, autosize=width is None, paper_bgcolor="rgba(0,0,0,0)"
        )
        if self.displayed and _alike(self.figure, figure):
            with self.figure.batch_update():
                for old, new in zip(self.figure.data, figure.data, strict=True):
                    old.update(_without_uid(new), overwrite=True)
                self.figure.layout.update(figure.layout.to_plotly_json(), overwrite=True)
            return
        self._put(_widget(figure))

    def clear(self, hint: str | None = None) -> None:
        """Show no figure, but what to do to get one."""
        words = f'<div style="padding:12px;opacity:0.75">{self._hint if hint is None else hint}</div>'
        self._put(widgets.HTML(words))
        self.figure = None

    def _resize(self, change: Any) -> None:
        """The page has told the width of the place; without it plotly falls back on its own at times."""
        if self.figure is not None:
            self.figure.update_layout(width=change["new"], autosize=False)

    @property
    def displayed(self) -> bool:
        """Whether a page shows the figure: changes made before that would be lost when figures are nested."""
        return self.figure is not None and bool(self.figure._view_count)

    def close(self) -> None:
        """Take the figure away."""
        self._place.unobserve_all()
        for child in self.widget.children:
            child.close()
        self.widget.close()

    def _put(self, content: Any) -> None:
        before = self.widget.children[:1]
        self.widget.children = (content, self._place)
        self.figure = content
        for old in before:
            old.close()


class _FigurePlace(anywidget.AnyWidget):
    """Invisible; tells plotly and Python how wide the place of a figure is, in pixels."""

    _esm = script("figure_place")

    width = traitlets.Int(0).tag(sync=True)


def _fold_subtitle(figure: go.Figure) -> None:
    """Make a subtitle further lines of the title: plotly sets both in one place while a figure is not yet shown."""
    title = figure.layout.title
    if title.text and title.subtitle.text:
        text = f'{title.text}<br><span style="font-size:12px">{title.subtitle.text}</span>'
        figure.update_layout(title={"text": text, "subtitle": None})


def _widget(figure: go.Figure) -> Any:
    """A figure that counts its views, follows the width of its place, and shows no logo."""
    widget = go.FigureWidget(figure)
    widget._view_count = 0
    widget._config = {**widget._config, "responsive": True, "displaylogo": False}
    return widget


def _alike(one: Any, other: go.Figure) -> bool:
    """Whether two figures differ in numbers only: same look, same traces, same axes."""
    if one.layout.template.layout.paper_bgcolor != other.layout.template.layout.paper_bgcolor:
        return False  # a template changed in place leaves the axes in the old colours
    shapes = [
        [(trace.type, trace.xaxis, trace.yaxis) if "xaxis" in trace else (trace.type,) for trace in fig.data]
        for fig in (one, other)
    ]
    axes = [{key for key in fig.layout if fig.layout[key] is not None} for fig in (one, other)]
    return shapes[0] == shapes[1] and axes[0] == axes[1]


def _without_uid(trace: Any) -> dict[str, Any]:
    return {key: value for key, value in trace.to_plotly_json().items() if key != "uid"}
