"""The gallery shows every view, and importing the figures changes nothing for others."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from heterodyne_nb import plots
from heterodyne_nb.plots import canvas

#: Public names that are no view.
TOOLS = {"FigureExportError", "MapView", "ZoomError", "keep_stills", "reduce_map", "template_name"}


def source(repository: Path) -> str:
    notebook = json.loads((repository / "notebooks" / "gallery.ipynb").read_text(encoding="utf-8"))
    return "\n".join("".join(cell["source"]) for cell in notebook["cells"])


@pytest.mark.parametrize("name", sorted(set(plots.__all__) - TOOLS))
def test_every_view_is_in_the_gallery(repository: Path, name: str) -> None:
    assert f"{name}(" in source(repository) or f"`{name}`" in source(repository)


@pytest.mark.parametrize("name", sorted(set(plots.__all__) - TOOLS))
def test_every_view_has_a_docstring_that_names_its_parameters_and_errors(name: str) -> None:
    view = getattr(plots, name)
    text = inspect.getdoc(view) or ""
    assert "Raises\n---" in text
    for parameter in inspect.signature(view).parameters:
        assert parameter in text, f"{name} does not explain {parameter}"


def test_importing_the_figures_leaves_plotlys_default_template_alone() -> None:
    code = (
        "import plotly.io as pio; before = pio.templates.default; import heterodyne_nb.plots; "
        "assert pio.templates.default == before; "
        "assert {'heterodyne_light', 'heterodyne_dark'} <= set(pio.templates)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("theme", canvas.THEMES)
def test_lines_and_text_stand_out_from_the_background(theme: str) -> None:
    background = _luminance(canvas.paper(theme))
    for index in range(7):
        line = _luminance(canvas.line_colour(index, theme))
        assert _contrast(line, background) >= 2.2, canvas.line_colour(index, theme)
    assert _contrast(_luminance(canvas.ink(theme)), background) >= 7
    assert _contrast(_luminance(canvas.faint(theme)), background) >= 4.5


def _luminance(colour: str) -> float:
    """Relative luminance of ``#RRGGBB`` (WCAG 2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: float, other: float) -> float:
    low, high = sorted((one, other))
    return (high + 0.05) / (low + 0.05)
