"""What the page costs, measured in the browser: ``python tests/benchmarks/browser_latency.py``.

A page with one map of 1000 × 1000 frames in each of eight bins is served by Voilà and opened in the system's
Chromium. Measured there, from a key on the bin slider to the frame of the screen after the new picture was drawn:
the median and the longest of 50 moves while nothing else runs, and the same while a fit runs in the background.
Before that, without a browser: how long the fit keeps the kernel's event loop from answering at all.

Before all that, unless ``--redraws 0`` and ``--fits 0``: how long a plotly figure of the toolkit takes from a click
to the frame of the screen that shows its new curves, on this machine and with the browser slowed down four times,
and by how much the page's heap grows; and the heap of the app after each of some fits.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "browser"))
from driving import Canvas, fill, heap, page_figures, press, read, tab
from servers import served_app, served_notebook

CELL = """
import warnings
import numpy as np
import heterodyne_nb as hnb
import ipywidgets as widgets
from heterodyne_nb.data import write_apsu
from heterodyne_nb.app import DataExplorer

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

FIGURE = """
import ipywidgets as widgets
import numpy as np
import heterodyne_nb as hnb
from heterodyne_nb import plots
from heterodyne_nb.app.live_figure import LiveFigure

session = hnb.AnalysisSession()
session.open_example()
again, place, count = widgets.Button(description="again"), LiveFigure(400), 0
figures = []
for bin in range(8, 16):
    session.select_bin(bin)
    figures.append(plots.g2_cuts(session.dataset, bin=bin, ages=[20, 50, 80], result=session.preview()))

def draw(_):
    global count
    count += 1
    place.draw(figures[count % 8].update_layout(title=f"drawn {count}"))

again.on_click(draw)
draw(None)
widgets.VBox([again, place.widget])
"""

#: Press the button and wait until the figure has been drawn anew and the screen has shown it.
AGAIN = """async (count) => {
  const start = performance.now();
  document.querySelector("button.jupyter-button").click();
  while (document.querySelector(".hn-figure .gtitle")?.textContent !== `drawn ${count}`) {
    await new Promise(requestAnimationFrame);
    if (performance.now() - start > 60000) throw new Error("not drawn in 60 s");
  }
  await new Promise(requestAnimationFrame);
  return performance.now() - start;
}"""

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
    parser.add_argument("--moves", type=int, default=50, help="of the slider; 0: leave this out")
    parser.add_argument("--redraws", type=int, default=20)
    parser.add_argument("--fits", type=int, default=10)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
        if options.redraws:
            redraws(browser, options.redraws)
        if options.fits:
            fits(browser, options.fits)
        if options.moves:
            moves(browser, options)
        browser.close()
    return 0


@contextmanager
def opened(browser: Any) -> Iterator[tuple[Any, Path]]:
    """A page of a laptop's size, and a folder for its server."""
    with tempfile.TemporaryDirectory() as folder:
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(120_000)
        yield page, Path(folder)
        page.close()


def redraws(browser: Any, count: int) -> None:
    """Print what drawing a figure again costs."""
    with opened(browser) as (page, folder), served_notebook(folder, FIGURE) as address:
        page.goto(address, wait_until="commit")
        page.locator(".gtitle", has_text="drawn 1").wait_for()
        begun, done = heap(page), 1
        print(f"heap of the page with one figure: {begun:.1f} MB")
        tools = page.context.new_cdp_session(page)
        for slower in (1, 4):
            tools.send("Emulation.setCPUThrottlingRate", {"rate": slower})
            busy = page_figures(tools)["TaskDuration"]
            times = [float(page.evaluate(AGAIN, done + 1 + k)) for k in range(count)]
            done += count
            tell(f"click to redrawn figure, browser slowed {slower} times", times)
            busy = page_figures(tools)["TaskDuration"] - busy
            print(f"  the page computed {1e3 * busy / count:.0f} ms for each, slowing included")
        print(f"heap after {done - 1} redraws: {heap(page) - begun:+.2f} MB", flush=True)


def fits(browser: Any, count: int) -> None:
    """Print the heap of the app after each fit."""
    with opened(browser) as (page, folder), served_app(folder) as address:
        page.goto(address, wait_until="commit")
        page.locator('button:text-is("Example")').wait_for()
        print(f"heap of the app: {heap(page):.1f} MB")
        press(page, "Example")
        read(page, "3 q × 8 φ, 1 without data")
        for name in ("Result", "Robust", "Fit"):
            tab(page, name)
        fill(page, "starts", "0")
        press(page, "Guess")
        page.wait_for_selector('button[title="undo: guess"]:visible')
        sizes = [heap(page)]
        for k in range(count):
            press(page, "Run")
            read(page, f"fit {k + 1} · heterodyne")
            page.wait_for_timeout(1000)  # what the fit has drawn last is on its way
            sizes.append(heap(page))
        text = ", ".join(f"{size:.0f}" for size in sizes)
        print(f"heap with every tab opened, and after each fit: {text} MB", flush=True)


def moves(browser: Any, options: argparse.Namespace) -> None:
    """Print how long a slider waits for its map, also while a fit runs."""
    with tempfile.TemporaryDirectory() as folder:
        held_up(options.frames, options.bins, Path(folder))
    cell = CELL.format(frames=options.frames, bins=options.bins)
    with opened(browser) as (page, folder), served_notebook(folder, cell) as address:
        page.goto(address, wait_until="commit")
        Canvas(page, "map").wait()
        measure(page, 10)  # compiles, and opens what is opened once
        print(f"{options.frames}² maps")
        tell("slider to picture, nothing else running", measure(page, options.moves))
        page.locator('button:text-is("fit")').click()
        page.locator('.widget-label:text-is("running")').wait_for()
        while_fitting = measure(page, options.moves)
        running = page.locator('.widget-label:text-is("running")').count()
        ended = "" if running else " (it ended before)"
        tell(f"slider to picture, while a fit runs{ended}", while_fitting)
        page.locator('button:text-is("end")').click()
        page.locator('.widget-label:text-is("idle")').wait_for()


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
        f"{what}: median {statistics.median(times):.0f} ms, 90 % {ninety:.0f} ms, "
        f"longest {ordered[-1]:.0f} ms of {len(times)}",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
