"""Run notebooks afresh and keep only what reads well without a kernel.

    python notebooks/refresh.py                      all of them
    python notebooks/refresh.py 06_homodyne*.ipynb   some

Kept are texts, tables and still pictures, in 256 colours. Plotly's own JSON, widget states and execution times
go: they differ from run to run and make a file that nobody can compare. A notebook that writes to the error
stream is run once more, as a browser that draws the pictures sometimes complains, and then refused. A stamp of
the code that was run is kept, by which the tests find outputs that are older than their code.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

_HERE = Path(__file__).resolve().parent
_DROPPED = ("application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json")
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Execute in a new kernel; an error in a cell raises."""
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
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


def _kept(outputs: list) -> list:
    kept: list = []
    for output in outputs:
        if output.output_type == "stream" and kept and kept[-1].get("name") == output.name:
            kept[-1].text += output.text  # printed in one go or in several: the reader sees one text
            continue
        data = output.get("data", {})
        dropped = [data.pop(name, None) for name in _DROPPED]
        if any(dropped) and set(data) <= {"text/plain"}:
            continue  # a live figure or widget without a still picture: its name tells a reader nothing
        if "image/png" in output.get("data", {}):
            output.data["image/png"] = _smaller(output.data["image/png"])
        kept.append(output)
    return kept


def _smaller(picture: str) -> str:
    """The same PNG (base64) in 256 colours, or as it was where that is no gain."""
    full = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    packed = io.BytesIO()
    full.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(packed, "png", optimize=True)
    text = base64.b64encode(packed.getvalue()).decode()
    return min(text, picture, key=len)


def _complaints(notebook: nbformat.NotebookNode) -> str:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return "".join(o.text for cell in cells for o in cell.outputs if o.get("name") == "stderr")


def main(names: list[str]) -> None:
    """Refresh the named notebooks, or all of them."""
    for path in [Path(name) for name in names] or sorted(_HERE.glob("*.ipynb")):
        started = time.perf_counter()
        notebook = nbformat.read(path, as_version=4)
        run(notebook, path.resolve().parent)
        if _complaints(notebook):
            run(notebook, path.resolve().parent)
        if _complaints(notebook):
            sys.exit(f"{path.name} is left as it was: it writes to the error stream\n{_complaints(notebook)}")
        tidy(notebook)
        nbformat.validate(notebook)
        fresh = path.with_suffix(".ipynb.part")
        nbformat.write(notebook, fresh)
        os.replace(fresh, path)
        size = path.stat().st_size / 1000
        print(f"{path.name}: {time.perf_counter() - started:.0f} s, {size:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
