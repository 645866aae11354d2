"""Whether the page that shows a widget is light or dark, for figures drawn in Python."""

from __future__ import annotations

import anywidget
import traitlets

from heterodyne_nb.plots.theme import THEMES
from heterodyne_nb.widgets.frontend import script

__all__ = ["PageTheme"]


class PageTheme(anywidget.AnyWidget):
    """An invisible widget that knows the look of its page.

    Attributes
    ----------
    theme : {"light", "dark"}
        ``"light"`` until a page says otherwise; observe it to draw figures anew.
    """

    _esm = script("page_theme")

    theme = traitlets.Enum(THEMES, default_value="light").tag(sync=True)
