"""Thumbnails for the index: one picture of each notebook, without its title and scaled down.

python notebooks/images/make_thumbnails.py
"""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import nbformat
from PIL import Image

_HERE = Path(__file__).resolve().parent
_WIDTH, _HEIGHT = 300, 170
#: Which picture of a notebook, counted from 0; the first where none is named.
_CHOSEN = {
    "01_quickstart": 1,
    "02_load_and_explore": 3,
    "06_homodyne_and_laminar_flow": 1,
    "07_many_q_many_runs": 0,
    "08_shear_banding_N_components": 3,
    "09_write_a_model_plugin": 0,
    "10_from_speckle_to_parameters": 2,
    "13_from_photons_to_velocity": 2,
    "11_g2_of_many_q": 2,
}


#: Of these the pictures are of the page, and have no title to cut off.
_SCREENSHOTS = ("03_interactive_fit",)


def main() -> None:
    """Write thumb_NAME.png for every notebook that keeps pictures."""
    for path in sorted(_HERE.parent.glob("*.ipynb")):
        pictures = _pictures(path)
        if not pictures or path.stem == "index":
            continue
        chosen = pictures[min(_CHOSEN.get(path.stem, 0), len(pictures) - 1)]
        image = Image.open(io.BytesIO(chosen)).convert("RGB")
        if path.stem not in _SCREENSHOTS:
            image = image.crop((0, 78, image.width, image.height))
        image.thumbnail((2 * _WIDTH, 2 * _HEIGHT), Image.Resampling.LANCZOS)
        close = 3 if path.stem in _SCREENSHOTS else 0  # greys of a page stay grey
        small = image.quantize(128, Image.Quantize.MAXCOVERAGE, kmeans=close, dither=Image.Dither.NONE)
        small.save(_HERE / f"thumb_{path.stem}.png", optimize=True)


def _pictures(path: Path) -> list[bytes]:
    """Pictures that a notebook made, or else those it shows."""
    cells = nbformat.read(path, as_version=4).cells
    outputs = [o for cell in cells if cell.cell_type == "code" for o in cell.outputs]
    made = [base64.b64decode(o.data["image/png"]) for o in outputs if "image/png" in o.get("data", {})]
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    shown = [path.parent / name for name in re.findall(r"!\[[^\]]*\]\(([^)]+\.png)\)", text)]
    return made or [picture.read_bytes() for picture in shown if picture.is_file()]


if __name__ == "__main__":
    main()
