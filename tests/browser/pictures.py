"""Take the pictures of the panels for README and notebook 03: ``python tests/browser/pictures.py``.

The example is fitted, plainly and robustly, the app is served in light and dark colours, and each tab is
photographed in the system's Chromium, into ``notebooks/images``.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from driving import PATIENCE, SETTLED, Canvas, press, read, tab
from PIL import Image
from playwright.sync_api import sync_playwright
from servers import served_app

import heterodyne_nb as hnb
from heterodyne_nb.simulate import example_path

IMAGES = Path(__file__).resolve().parents[2] / "notebooks" / "images"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
TABS = ("Data", "Config", "Fit", "Robust", "Result")
#: Those that README and notebook show; a folder given on the command line gets every tab in both looks.
SHOWN = {"light": ("Data", "Fit", "Robust", "Result"), "dark": ("Data",)}
WIDTH, TALLEST = 1240, 1500
#: What shows that a tab is drawn.
DRAWN = {
    "Data": "lag τ",
    "Fit": "lag τ",
    "Robust": "Worst case of the ellipsoidal fit",
    "Result": "mean velocity",
}


def prepared(folder: Path) -> Path:
    """A saved session of the example with a plain and a robust fit."""
    session = hnb.AnalysisSession()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the dead sector of the example
        shutil.copyfile(example_path(), folder / "example.h5")  # its own path would show in the pictures
        session.open(folder / "example.h5")
        session.mask_frames(121, 124)
        session.select_bin(q=0.012, phi=22.5)
        session.run()
        session.wait()
        session.run_robust(["ellipsoidal"])
        session.wait()
    session.show(0)
    return session.save(folder / "flow")


def photograph(page: Any, name: str, target: Path) -> None:
    """Open a tab, wait until it is drawn, and save what it shows."""
    tab(page, name)
    if name == "Data":
        Canvas(page, "map").wait()
        press(page, "Read fringes")
        read(page, "peaks are clear")
    if name == "Fit":
        press(page, "Guess")
        page.wait_for_selector('button[title="undo: guess"]:visible')
        press(page, "Run")
        read(page, "fit 3 · heterodyne")
    if name == "Config":
        read(page, "All settings are valid")
    if name == "Robust":
        page.locator('.widget-inline-hbox:visible:has(label:text-is("look at")) select').select_option(
            "ellipsoidal"
        )
    if name in DRAWN:
        page.locator(".hn-figure:visible", has_text=DRAWN[name]).first.wait_for()
    page.wait_for_function(SETTLED)
    whole = page.locator(".jp-OutputArea-output .widget-vbox:visible").first
    box = whole.bounding_box()
    shown = {"x": box["x"], "y": box["y"], "width": box["width"], "height": min(box["height"], TALLEST)}
    shot = page.screenshot(clip=shown, full_page=True)
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture.save(target, optimize=True)
    print(
        f"{target.name}: {target.stat().st_size / 1000:.0f} kB, {picture.width} × {picture.height}",
        flush=True,
    )


def main(folder: Path, shown: dict[str, tuple[str, ...]]) -> None:
    """Take them: a tab in light colours as panel_<tab>.png, in dark ones as dark_<tab>.png."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as driver:
        session = prepared(Path(scratch))
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for theme, prefix in (("light", "panel"), ("dark", "dark")):
            with served_app(Path(scratch), "--theme", theme, str(session)) as address:
                page = browser.new_page(viewport={"width": WIDTH, "height": 2400})
                page.set_default_timeout(PATIENCE)
                page.goto(address, wait_until="commit")
                for name in shown[theme]:
                    photograph(page, name, folder / f"{prefix}_{name.lower()}.png")
                page.close()
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]), {"light": TABS, "dark": TABS})
    else:
        main(IMAGES, SHOWN)
