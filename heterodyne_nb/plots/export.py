"""Figures as files: a picture through kaleido, a page that needs no network, or stills in a notebook."""

from __future__ import annotations

import asyncio
import atexit
import base64
import importlib.util
import shutil
import threading
import warnings
from collections.abc import Coroutine
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io as pio
from plotly.io.base_renderers import MimetypeRenderer

from heterodyne_nb.errors import ConfigurationError, HeterodyneError
from heterodyne_nb.files import new_file, write_text

_SIZE = {"width": 900, "height": 600}
_FORMATS = ("png", "svg", "pdf", "jpg", "jpeg", "webp")
_LIVE = "plotly_mimetype"
_PATIENCE = 120.0  # seconds for a browser to start, or for one picture

#: What every interactive figure of ours offers in its tool bar.
TOOLBAR = {"displaylogo": False, "responsive": True, "toImageButtonOptions": {"format": "png", "scale": 2}}

#: How the line begins that says why figures have no still pictures.
NO_STILLS = "Figures have no still pictures"


class FigureExportError(HeterodyneError, RuntimeError):
    """A picture cannot be made on this machine."""


def save_png(figure: go.Figure, path: str | Path, *, scale: float = 2.0) -> Path:
    """Write a figure as a picture, and return the path.

    Parameters
    ----------
    figure : plotly Figure
        Its own width and height are used; 900 × 600 where it has none.
    path : str or Path
        The suffix chooses the format: .png, and also .svg, .pdf, .jpg, .webp.
    scale : float
        Pixels of the picture per pixel of the figure.

    Raises
    ------
    FigureExportError
        If kaleido or a Chromium for it is missing, or it fails.
    ConfigurationError
        If the suffix is unknown or the folder does not exist.
    """
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in _FORMATS:
        raise ConfigurationError(f"no picture format {path.suffix!r}", where="path", expected=str(_FORMATS))
    picture = draw(figure.to_dict(), kind, scale)
    with new_file(path) as temporary:
        temporary.write_bytes(picture)
    return path


def save_html(figure: go.Figure, path: str | Path) -> Path:
    """Write a figure as one page that opens without a network, and return the path.

    Raises
    ------
    ConfigurationError
        If the folder does not exist.
    """
    write_text(path, figure.to_html(include_plotlyjs=True, full_html=True, config=TOOLBAR))
    return Path(path)


def find_browser() -> str | None:
    """Path of the browser that draws pictures, found as kaleido finds it; None where there is none."""
    if importlib.util.find_spec("choreographer") is None:
        return None
    from choreographer.browsers.chromium import ChromeNotFoundError, Chromium
    from choreographer.channels import Pipe

    try:
        with closing(Pipe()) as unused:
            path = Chromium(unused).path
    except ChromeNotFoundError:
        return None
    return shutil.which(str(path))  # it must be a program too


def require_browser() -> None:
    """Raise FigureExportError, saying what to install, where no picture can be drawn."""
    if importlib.util.find_spec("kaleido") is None:
        raise FigureExportError("pictures need kaleido", hint="pip install 'heterodyne_nb[app]'")
    if find_browser() is None:
        raise FigureExportError(
            "no Chromium or Chrome is found to draw pictures",
            hint="install chromium, or run kaleido_get_chrome, or set BROWSER_PATH to a browser",
        )


def draw(figure: dict[str, Any], kind: str, scale: float, *, more_to_come: bool = False) -> bytes:
    """Picture of a figure (as plotly's dict), 900 × 600 where it has no size of its own.

    ``more_to_come``: keep the browser open for the pictures that follow.
    """
    require_browser()
    import kaleido

    size = {name: figure.get("layout", {}).get(name) or default for name, default in _SIZE.items()}
    with warnings.catch_warnings():
        # a running kaleido server keeps its own options and says so; the picture is the same
        warnings.filterwarnings("ignore", message="The kopts argument is ignored")
        try:
            options = {"format": kind, "scale": scale, **size}
            if more_to_come or _open_browser.cache_info().currsize:
                return _open_browser().draw(figure, options)
            return bytes(kaleido.calc_fig_sync(figure, opts=options, kopts={"mathjax": False}))
        except Exception as error:
            raise FigureExportError(f"kaleido failed: {error}") from error


class _Browser:
    """A browser in a thread of its own: to start one takes as long as to draw five pictures."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="pictures", daemon=True)
        self._thread.start()
        try:
            self._kaleido = self._done(self._opened())
        except BaseException:
            self._end()
            raise
        atexit.register(self._close)

    def _serve(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    async def _opened(self) -> Any:
        import kaleido

        browser = kaleido.Kaleido(n=1, mathjax=False)
        await browser.open()
        return browser

    def _done(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    def draw(self, figure: dict[str, Any], options: dict[str, Any]) -> bytes:
        return bytes(self._done(self._kaleido.calc_fig(figure, opts=options)))

    def _close(self) -> None:
        with suppress(Exception):  # it may have died before
            self._done(self._kaleido.close())
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)


@cache
def _open_browser() -> _Browser:
    return _Browser()


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

    def to_mimebundle(self, fig_dict: dict[str, Any]) -> dict[str, str]:
        try:
            return {
                "image/png": base64.b64encode(draw(fig_dict, "png", self.scale, more_to_come=True)).decode()
            }
        except FigureExportError as error:
            _live_only(error)  # a browser that hangs would keep every figure waiting
            return {}


def _live_only(error: FigureExportError) -> None:
    pio.renderers.default = _LIVE
    print(f"{NO_STILLS}: {error.message.splitlines()[0]}" + (f" ({error.hint})" if error.hint else ""))
