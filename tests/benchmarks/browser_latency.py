"""How long a slider waits for its picture, measured in the browser: ``python tests/benchmarks/browser_latency.py``.

A page with one map of 1000 × 1000 frames in each of eight bins is served by Voilà and opened in the system's
Chromium. Measured there, from a key on the bin slider to the frame of the screen after the new picture was drawn:
the median and the longest of 50 moves while nothing else runs, and the same while a fit runs in the background.
Before that, without a browser: how long the fit keeps the kernel's event loop from answering at all.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "browser"))
from driving import Canvas
from servers import served_notebook

CELL = """
import warnings
import numpy as np
import heterodyne_nb as hnb
import ipywidgets as widgets
from heterodyne_nb.data import write_apsu
from heterodyne_nb.widgets import DataExplorer

warnings.simplefilter("ignore")
truth = hnb.example_truth()["parameters"]
write_apsu(hnb.simulate.model_maps(
    "heterodyne", truth, q=[0.012], phi=np.linspace(-80, 80, {bins}), n_frames={frames}, dt=0.1,
    contrast=0.2, noise=0.02), "run.h5")
session = hnb.AnalysisSession("run.h5")
session.change_settings(multistart=3000)
explorer = DataExplorer(session)
fit, cancel, state = widgets.Button(description="fit"), widgets.Button(description="end"), widgets.Label("idle")
fit.on_click(lambda _: session.run())
cancel.on_click(lambda _: session.cancel())
session.observe(lambda change: setattr(state, "value", change["new"]), "status")
widgets.VBox([fit, cancel, state, explorer.widget])
"""

#: Press an arrow key and wait until the canvas has drawn another picture and the screen has shown it.
MOVE = """async ([key, name]) => {
  const canvas = document.querySelector(".hn-map canvas");
  const row = [...document.querySelectorAll(".widget-inline-hbox")]
    .find((one) => one.querySelector("label")?.textContent === name);
  const handle = row.querySelector(".noUi-handle");
  const before = canvas.dataset.picture;
  const start = performance.now();
  handle.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  while (canvas.dataset.picture === before) {
    await new Promise(requestAnimationFrame);
    if (performance.now() - start > 20000) throw new Error("no new picture in 20 s");
  }
  await new Promise(requestAnimationFrame);
  return performance.now() - start;
}"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--bins", type=int, default=8)
    parser.add_argument("--moves", type=int, default=50)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    cell = CELL.format(frames=options.frames, bins=options.bins)
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with tempfile.TemporaryDirectory() as folder:
        held_up(options.frames, options.bins, Path(folder))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with served_notebook(Path(folder), cell) as address:
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.set_default_timeout(600_000)
            page.goto(address, wait_until="commit")
            Canvas(page, "map").wait()
            measure(page, 10)  # compiles, and opens what is opened once
            print(f"{options.frames}² maps, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
            tell("nothing else running", measure(page, options.moves))
            page.locator('button:text-is("fit")').click()
            page.locator('.widget-label:text-is("running")').wait_for()
            while_fitting = measure(page, options.moves)
            running = page.locator('.widget-label:text-is("running")').count()
            tell("while a fit runs" if running else "while a fit runs (it ended before)", while_fitting)
            page.locator('button:text-is("end")').click()
            page.locator('.widget-label:text-is("idle")').wait_for()
        browser.close()
    return 0


def held_up(frames: int, bins: int, folder: Path) -> None:
    """Print how late the event loop wakes while a fit of the same data runs in the background."""
    import numpy as np

    import heterodyne_nb as hnb
    from heterodyne_nb.data import write_apsu

    truth, path = hnb.example_truth()["parameters"], folder / "run.h5"
    grid = {"q": [0.012], "phi": np.linspace(-80, 80, bins), "n_frames": frames, "dt": 0.1}
    write_apsu(hnb.simulate.model_maps("heterodyne", truth, contrast=0.2, noise=0.02, **grid), path)

    async def late() -> list[float]:
        session, waits = hnb.AnalysisSession(path), []
        session.run()
        while session.status == "running":
            begun = time.perf_counter()
            await asyncio.sleep(0.005)
            waits.append(1e3 * (time.perf_counter() - begun) - 5.0)
        return waits

    waits = np.array(asyncio.run(late()))
    print(
        f"event loop held up by a fit: 99 % of {waits.size} waits below {np.quantile(waits, 0.99):.0f} ms, "
        f"longest {waits.max():.0f} ms"
    )


def measure(page: Any, moves: int) -> list[float]:
    """Milliseconds of each move, to the right and back again."""
    return [float(page.evaluate(MOVE, [key, "φ"])) for key in keys(moves)]


def keys(moves: int) -> list[str]:
    """Arrow keys that keep a slider of eight places within them."""
    return [("ArrowRight", "ArrowLeft")[k // 5 % 2] for k in range(moves)]


def tell(what: str, times: list[float]) -> None:
    """One line: median, 90 % and longest."""
    ordered = sorted(times)
    ninety = ordered[int(0.9 * (len(ordered) - 1))]
    print(
        f"slider to picture, {what}: median {statistics.median(times):.0f} ms, 90 % {ninety:.0f} ms, "
        f"longest {ordered[-1]:.0f} ms of {len(times)} moves"
    )


if __name__ == "__main__":
    raise SystemExit(main())
