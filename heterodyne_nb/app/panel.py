"""What every panel shares: it observes a session, says errors in place, and takes itself away again."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import ipywidgets as widgets
from traitlets import HasTraits

from heterodyne_nb.app.live_figure import PageTheme
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.errors import HeterodyneError, heard_by

Part = TypeVar("Part", bound="Panel")

__all__ = ["Panel", "button", "heading", "heading_html", "row", "short_path"]


class Panel:
    """A part of the page that observes one session; its children are attributes, ``widget`` is the whole.

    Subclasses build their children, call :meth:`watch` and :meth:`on_press`, and set ``widget``.

    Attributes
    ----------
    session : AnalysisSession
    widget : ipywidgets.Box
    message : ipywidgets.HTML
        Where an error of this panel is said.
    page : PageTheme
        Whether the page is light or dark; it must be in `widget` to know.
    warned : deque of str
        The latest warnings of what the panel did.
    """

    widget: widgets.Box

    def __init__(self, session: AnalysisSession | None = None) -> None:
        self.session = AnalysisSession() if session is None else session
        self.page = PageTheme()
        self.message = widgets.HTML(layout={"display": "none"})
        self.warned: deque[str] = deque(maxlen=20)
        self._watched: list[tuple[HasTraits, Callable[..., Any], Any]] = []
        self._parts: list[Panel] = []

    def watch(self, target: HasTraits, names: str | list[str], handler: Callable[[], Any]) -> None:
        """Call `handler`, without arguments, when one of the traits changes, until :meth:`close`."""

        def call(change: Any) -> None:
            with self.said():
                handler()

        target.observe(call, names)
        self._watched.append((target, call, names))

    def on_press(self, button: widgets.Button, action: Callable[[], Any]) -> None:
        """Call `action` when a button is pressed; an error is said in the panel."""

        def call(_: Any) -> None:
            self.say("")
            with self.said():
                action()

        button.on_click(call)

    @contextmanager
    def said(self) -> Iterator[None]:
        """Within it an error appears in the panel instead of a traceback, and warnings are collected."""
        try:
            with heard_by(lambda text, _: self.warned.append(text)):
                yield
        except HeterodyneError as error:
            self.say(str(error))
        except Exception as error:
            self.say(f"a fault in heterodyne_nb, please report it: {type(error).__name__}: {error}")

    def say(self, text: str) -> None:
        """Show an error; an empty text takes it away."""
        self.message.layout.display = "" if text else "none"
        self.message.value = error_box(text) if text else ""

    def add(self, part: Part) -> Part:
        """Take a panel in as a part that is closed with this one."""
        self._parts.append(part)
        return part

    def _unwatch(self, target: HasTraits) -> None:
        """Stop observing one target."""
        for one in [entry for entry in self._watched if entry[0] is target]:
            target.unobserve(*one[1:])
            self._watched.remove(one)

    def close(self) -> None:
        """Stop observing and take every widget of the panel away; the session stays."""
        for target, call, names in self._watched:
            target.unobserve(call, names)
        self._watched.clear()
        for part in self._parts:
            part.close()
        for one in (self.widget, self.message, self.page):
            close_all(one)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)


def close_all(widget: Any) -> None:
    """Close a widget and everything in it."""
    for child in getattr(widget, "children", ()):
        close_all(child)
    widget.close()


def heading(text: str) -> widgets.HTML:
    """A small heading above a group of controls."""
    return widgets.HTML(heading_html(text), layout={"margin": "6px 2px 2px 2px"})


def heading_html(text: str) -> str:
    """What such a heading holds."""
    style = (
        "font-weight:600;font-size:13px;line-height:20px;border-bottom:1px solid var(--jp-border-color2,#ddd)"
    )
    return f'<div style="{style}">{escape(text)}</div>'


def button(label: str, tip: str, width: int | None = None, style: str = "", icon: str = "") -> widgets.Button:
    """A button with a tooltip; `width` in pixels, as wide as its label without."""
    layout = {"width": "auto" if width is None else f"{width}px", "min_width": "38px" if icon else "64px"}
    return widgets.Button(description=label, tooltip=tip, button_style=style, icon=icon, layout=layout)


def row(*children: widgets.Widget, **layout: Any) -> widgets.HBox:
    """Controls beside each other, which wrap where the page is narrow."""
    box = {"flex_flow": "row wrap", "align_items": "center", "width": "100%", "overflow": "visible"}
    return widgets.HBox(children, layout={**box, **layout})


def error_box(text: str) -> str:
    """An error as HTML: what is wrong in full, how to mend it below."""
    style = (
        "white-space:pre-wrap;line-height:1.4;padding:6px 10px;margin:4px 0;border-left:4px solid #D55E00;"
        "background:var(--jp-layout-color2,#f3f3f3);color:var(--jp-ui-font-color1,inherit)"
    )
    return f'<div role="alert" style="{style}">{escape(text)}</div>'


def short_path(path: str | os.PathLike[str]) -> str:
    """A path from the current folder on where it lies inside, in full otherwise."""
    full, here = Path(path), Path.cwd()
    return str(full.relative_to(here)) if full.is_relative_to(here) else str(full)
