"""Whether the page that shows a widget is light or dark, for figures drawn in Python."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from heterodyne_nb.app.frontend import script
from heterodyne_nb.plots.canvas import THEMES

__all__ = ["PageTheme"]


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
