"""The scripts and styles that the canvas widgets send to the page, joined from ``app/static``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

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
