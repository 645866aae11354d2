"""Run notebooks afresh and keep only what reads well without a kernel.

    python notebooks/refresh.py                      all of them
    python notebooks/refresh.py 06_homodyne*.ipynb   some

Kept are texts, tables and still pictures, in 256 colours. Plotly's own JSON, widget states and execution times
go: they differ from run to run and make a file that nobody can compare. A notebook that writes to the error
stream, or whose pictures fail, is run once more, as a browser that draws them sometimes complains, and then refused.
Where there is no browser, cells that are as they were keep the pictures they had. A stamp of the code that was run
is kept, by which the tests find outputs that are older than their code.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

from heterodyne_nb.plots.export import NO_STILLS, find_browser

_HERE = Path(__file__).resolve().parent
_FIGURE, _PNG = "application/vnd.plotly.v1+json", "image/png"
_DROPPED = (_FIGURE, "application/vnd.jupyter.widget-view+json")
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Execute in a new kernel; an error in a cell raises."""
    client = NotebookClient(
        notebook, timeout=600, startup_timeout=600, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()


def stamp(notebook: nbformat.NotebookNode) -> str:
    """Short digest of the code of all cells, blank ends of lines aside."""
    lines = [line.rstrip() for c in notebook.cells if c.cell_type == "code" for line in c.source.splitlines()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Drop from an executed notebook what is not for reading."""
    about = {"kernelspec": _KERNEL, "language_info": {"name": "python"}, "code_that_ran": stamp(notebook)}
    notebook.metadata = nbformat.from_dict(about)
    for number, cell in enumerate(notebook.cells):
        cell["id"], cell.metadata = f"cell-{number:02d}", nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs = _kept(cell.outputs)


def keep_pictures(notebook: nbformat.NotebookNode, before: nbformat.NotebookNode) -> str:
    """Give a notebook run without a browser the pictures of unchanged cells; say how many figures get none."""
    had = {cell.source: _outputs(cell, _PNG) for cell in before.cells}
    lacking = 0
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        pictures, figures = had.get(cell.source, []), _outputs(cell, _FIGURE)
        for figure, picture in zip(figures, pictures, strict=False):
            figure.data[_PNG] = picture.data[_PNG]
        cell.outputs += pictures[len(figures) :]  # of files, which could not be drawn either
        lacking += max(len(figures) - len(pictures), 0)
    return f", figures without a picture: {lacking}" if lacking else ""


def _outputs(cell: nbformat.NotebookNode, kind: str) -> list:
    return [output for output in cell.get("outputs", []) if kind in output.get("data", {})]


def _kept(outputs: list) -> list:
    kept: list = []
    for output in outputs:
        if output.output_type == "stream":
            lines = output.text.splitlines(keepends=True)
            output.text = "".join(line for line in lines if not line.startswith(NO_STILLS))
            if not output.text:
                continue
        if output.output_type == "stream" and kept and kept[-1].get("name") == output.name:
            kept[-1].text += output.text  # printed in one go or in several: the reader sees one text
            continue
        data = output.get("data", {})
        dropped = [data.pop(name, None) for name in _DROPPED]
        if any(dropped) and set(data) <= {"text/plain"}:
            continue  # a live figure or widget without a still picture: its name tells a reader nothing
        if _PNG in data:
            data[_PNG] = _smaller(data[_PNG])
        kept.append(output)
    return kept


def _smaller(picture: str) -> str:
    """The same PNG (base64) in 256 colours, or as it was where that is no gain."""
    full, packed = Image.open(io.BytesIO(base64.b64decode(picture))), io.BytesIO()
    if full.mode == "P":
        return picture
    few = full.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(packed, "png", optimize=True)
    text = base64.b64encode(packed.getvalue()).decode()
    return min(text, picture, key=len)


def _complaints(notebook: nbformat.NotebookNode) -> str:
    streams = [o for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "stream"]
    return "".join(o.text for o in streams if o.name == "stderr" or (find_browser() and NO_STILLS in o.text))


def main(names: list[str]) -> None:
    """Refresh the named notebooks, or all of them."""
    if not find_browser():
        print("There is no browser to draw pictures: cells that are as they were keep those they had.")
    for path in [Path(name) for name in names] or sorted(_HERE.glob("*.ipynb")):
        started = time.perf_counter()
        notebook = nbformat.read(path, as_version=4)
        before = copy.deepcopy(notebook)
        run(notebook, path.resolve().parent)
        if _complaints(notebook):
            run(notebook, path.resolve().parent)
        if _complaints(notebook):
            sys.exit(f"{path.name} is left as it was: it complains\n{_complaints(notebook)}")
        lacking = "" if find_browser() else keep_pictures(notebook, before)
        tidy(notebook)
        nbformat.validate(notebook)
        fresh = path.with_suffix(".ipynb.part")
        nbformat.write(notebook, fresh)
        os.replace(fresh, path)
        size = path.stat().st_size / 1000
        print(f"{path.name}: {time.perf_counter() - started:.0f} s, {size:.0f} kB{lacking}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
