"""Files of the page, its colours, and a plotly figure that is redrawn in place."""

from __future__ import annotations

import json
import zlib
from functools import cache
from importlib.resources import files
from typing import Any

import anywidget
import ipywidgets as widgets
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from heterodyne_nb.plots.canvas import THEMES

_STATIC = files("heterodyne_nb.app").joinpath("static")


@cache
def script(*names: str) -> str:
    """One ES module of several files, in the order given; only the last one exports.

    Front ends load a widget's script from a text without an address, so its parts cannot import each other.
    """
    return "\n".join(_STATIC.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in names)


@cache
def style(name: str) -> str:
    """One style sheet."""
    return _STATIC.joinpath(f"{name}.css").read_text(encoding="utf-8")


__all__ = ["LiveFigure", "PageTheme"]


class PageTheme(anywidget.AnyWidget):
    """An invisible widget that knows the look of its page.

    Attributes
    ----------
    theme : {"light", "dark"}
        That of the latest page of this kernel until its own page says otherwise; observe it to draw figures anew.
    """

    _esm = script("page_theme")
    _latest = "light"

    theme = traitlets.Enum(THEMES, default_value="light").tag(sync=True)

    def __init__(self) -> None:
        super().__init__(theme=PageTheme._latest)

    @traitlets.observe("theme")
    def _remember(self, change: dict[str, Any]) -> None:
        PageTheme._latest = change["new"]


class LiveFigure:
    """A place for one figure: ``widget`` is put into the page once, :meth:`draw` shows another figure there.

    What is shown is what was drawn last: nothing but the number of views is read back from the page, and
    plotly.js itself finds what differs. The window that a user has zoomed to stays while the axes mean the same.

    Parameters
    ----------
    height : int
        Height in pixels; the width is that of the page.
    hint : str
        Said while there is no figure.

    Attributes
    ----------
    widget : ipywidgets.DOMWidget
    figure : plotly.graph_objects.Figure or None
        What is shown.
    """

    def __init__(self, height: int, hint: str = "") -> None:
        self.height = height
        self.figure: go.Figure | None = None
        self.widget = _Plot(hint=hint, library=_library(), layout={"width": "100%", "overflow": "hidden"})
        self.widget.add_class("hn-figure")
        self._room(height)

    def draw(self, figure: go.Figure, *, of: Any = None, height: float | None = None) -> None:
        """Show a figure; its own width and height give way to those of the place.

        Parameters
        ----------
        figure : plotly.graph_objects.Figure
        of : object, optional
            What the figure is of, such as the run: of another one the whole is shown, whatever was zoomed to.
        height : float, optional
            Of this figure, where that of the place is not meant.
        """
        _fold_subtitle(figure)
        axes = [
            (axis.plotly_name, axis.type, axis.title.text)
            for axis in (*figure.select_xaxes(), *figure.select_yaxes())
        ]
        height = round(height or self.height)
        figure.update_layout(
            width=None,
            height=height,
            paper_bgcolor="rgba(0,0,0,0)",
            uirevision=json.dumps([str(of), axes]),
            legend_uirevision=json.dumps([trace.name for trace in figure.data]),
        )
        self.figure = figure
        self._room(height)
        self.widget.layout.display = ""
        self.widget.spec = figure.to_json()

    def clear(self) -> None:
        """Show no figure, but what to do to get one."""
        self.figure, self.widget.spec = None, ""

    def hide(self) -> None:
        """Take no room in the page until something is drawn."""
        self.widget.layout.display = "none"

    def _room(self, height: int) -> None:
        self.widget.layout.min_height = f"{height}px"

    @property
    def displayed(self) -> bool:
        """Whether a page shows the figure."""
        return self.figure is not None and bool(self.widget._view_count)

    def close(self) -> None:
        """Take the figure away."""
        self.widget.close()


class _Plot(anywidget.AnyWidget):
    """Draws what `spec` says, a figure in plotly's JSON; as wide as its place."""

    _esm = script("download", "live_figure")

    spec = traitlets.Unicode("").tag(sync=True)
    #: Points that a brush took in, as (meta of their trace …, x).
    selected: Any = traitlets.List().tag(sync=True)
    hint = traitlets.Unicode("").tag(sync=True)
    library = traitlets.Instance(widgets.Widget).tag(sync=True, **widgets.widget_serialization)

    def __init__(self, **traits: Any) -> None:
        super().__init__(_view_count=0, **traits)  # from 0 on the page counts; from None it does not


class _Library(widgets.Widget):
    """plotly.js, which every figure of a page shares: a copy of it takes 16 MB there."""

    packed = traitlets.Bytes().tag(sync=True)
    version = traitlets.Unicode().tag(sync=True)


@cache
def _packed() -> bytes:
    return zlib.compress(get_plotlyjs().encode(), level=6)


_kept: list[_Library] = []


def _library() -> _Library:
    """The one of this kernel; another one where somebody has closed it with all widgets."""
    if not _kept or _kept[0].comm is None:
        _kept[:] = [_Library(packed=_packed(), version=get_plotlyjs_version())]
    return _kept[0]


def _fold_subtitle(figure: go.Figure) -> None:
    """Make a subtitle further lines of the title: plotly sets both in one place while a figure is not yet shown."""
    title = figure.layout.title
    if title.text and title.subtitle.text:
        text = f'{title.text}<br><span style="font-size:12px">{title.subtitle.text}</span>'
        figure.update_layout(title={"text": text, "subtitle": None})
