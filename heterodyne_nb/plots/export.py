"""Figures as files: a picture through kaleido, or a page that needs no network."""

from __future__ import annotations

import importlib.util
import shutil
import warnings
from contextlib import closing
from pathlib import Path

import plotly.graph_objects as go

from heterodyne_nb.errors import ConfigurationError, HeterodyneError
from heterodyne_nb.files import new_file, write_text

_SIZE = {"width": 900, "height": 600}
_FORMATS = ("png", "svg", "pdf", "jpg", "jpeg", "webp")

#: What every interactive figure of ours offers in its tool bar.
TOOLBAR = {"displaylogo": False, "responsive": True, "toImageButtonOptions": {"format": "png", "scale": 2}}


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
    return write_picture(figure, path, scale=scale)


def write_picture(figure: go.Figure, path: str | Path, *, scale: float) -> Path:
    """Write a figure in the format that the suffix names, each of its pixels `scale` large."""
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
    page = figure.to_html(include_plotlyjs=True, full_html=True, config=TOOLBAR)
    write_text(path, page)
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


def draw(figure: dict, kind: str, scale: float) -> bytes:
    """Picture of a figure (as plotly's dict), 900 × 600 where it has no size of its own."""
    require_browser()
    import kaleido

    size = {name: figure.get("layout", {}).get(name) or default for name, default in _SIZE.items()}
    with warnings.catch_warnings():
        # a running kaleido server keeps its own options and says so; the picture is the same
        warnings.filterwarnings("ignore", message="The kopts argument is ignored")
        try:
            return kaleido.calc_fig_sync(
                figure, opts={"format": kind, "scale": scale, **size}, kopts={"mathjax": False}
            )
        except Exception as error:
            raise FigureExportError(f"kaleido failed: {error}") from error
