"""How a configuration shows itself: one line of text, or a page in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from heterodyne_nb.config.parameters_table import ParameterTable
from heterodyne_nb.options.problems import ConfigurationProblems
from heterodyne_nb.config.schema import Settings
from heterodyne_nb.text.escaping import printable


def text(name: str, settings: Settings | None, error: ConfigurationProblems | None) -> str:
    """Return one line: the file, the mode, the data, or how many problems there are."""
    if settings is None:
        return f"ConfigManager({name}: {len(error.problems) if error else 0} problems)"
    return printable(f"ConfigManager({name}: {settings.mode}, {_data(settings)}, {_methods(settings)})")


def html_page(
    name: str,
    settings: Settings | None,
    table: ParameterTable | None,
    error: ConfigurationProblems | None,
    notes: Sequence[str],
) -> str:
    """Return a summary, the parameters, and what is wrong or not used."""
    parts = [f"<div><h4>{escape(name)}</h4>"]
    if error is not None:
        parts.append(_list("Problems", error.problems))
    if settings is not None:
        rows = "".join(f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in _summary(settings))
        parts.append(f"<table>{rows}</table>")
    if table is not None:
        parts.append(table._repr_html_())
    if notes:
        parts.append(_list("Notes", notes))
    return "".join([*parts, "</div>"])


def _list(title: str, entries: Iterable[object]) -> str:
    items = "".join(f"<li>{escape(str(entry))}</li>" for entry in entries)
    return f"<details open><summary>{title}</summary><ul>{items}</ul></details>"


def _summary(settings: Settings) -> Iterable[tuple[str, str]]:
    temporal, choice = settings.temporal, settings.scattering.selection
    last = "last" if temporal.end_frame is None else str(temporal.end_frame)
    yield "mode", settings.mode
    yield "data", _data(settings)
    yield "time step", "from the data" if temporal.dt is None else f"{temporal.dt:g} s"
    yield "frames", f"{temporal.start_frame} to {last}"
    yield "q", "all" if choice is None else f"{_q(choice)} 1/Å"
    if settings.geometry.gap is not None:
        yield "gap", f"{settings.geometry.gap:g} Å"
    ranges = settings.angle_filtering.ranges
    yield "angles", ", ".join(f"{a:g} to {b:g}°" for a, b in ranges) if ranges else "all"
    yield "fit", f"{_methods(settings)}, loss {settings.optimization.loss}"
    yield "output", settings.output.directory


def _q(choice: float | list[float] | tuple[float, float]) -> str:
    if isinstance(choice, tuple):
        return f"{choice[0]:g} to {choice[1]:g}"
    return ", ".join(f"{q:g}" for q in (choice if isinstance(choice, list) else [choice]))


def _data(settings: Settings) -> str:
    return settings.data.file or "no data file"


def _methods(settings: Settings) -> str:
    return ", ".join(settings.optimization.classical.methods)
