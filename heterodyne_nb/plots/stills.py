"""Still pictures beside the live figures of a notebook, where a browser can draw them."""

from __future__ import annotations

import base64

import plotly.io as pio
from plotly.io.base_renderers import MimetypeRenderer

from heterodyne_nb.plots.export import FigureExportError, draw, require_browser

_LIVE = "plotly_mimetype"

#: How the line begins that says why figures have none.
NO_STILLS = "Figures have no still pictures"


def keep_stills(*, scale: float = 1.0) -> None:
    """Show the figures of this notebook live and, where a browser is found, as still pictures too.

    Static pages, such as a code host's, show the stills. Where there is no Chromium or Chrome, or it fails, one line
    says so and the figures are live only.

    Parameters
    ----------
    scale : float
        Pixels of a still per pixel of the figure.
    """
    pio.renderers["still"] = _StillRenderer(scale)
    pio.renderers.default = f"{_LIVE}+still"
    try:
        require_browser()
    except FigureExportError as error:
        _live_only(error)


class _StillRenderer(MimetypeRenderer):
    """A PNG, or nothing from the first failure on."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def to_mimebundle(self, fig_dict: dict) -> dict[str, str]:
        try:
            return {"image/png": base64.b64encode(draw(fig_dict, "png", self.scale)).decode()}
        except FigureExportError as error:
            _live_only(error)  # a browser that hangs would keep every figure waiting
            return {}


def _live_only(error: FigureExportError) -> None:
    pio.renderers.default = _LIVE
    print(f"{NO_STILLS}: {error.message.splitlines()[0]}" + (f" ({error.hint})" if error.hint else ""))
