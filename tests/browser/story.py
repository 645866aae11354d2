"""The whole story by mouse, the same in every front end; after each chapter it is looked at on another screen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from driving import PATIENCE, Canvas, button, choose, fill, press, read, settled, slide, tab

import heterodyne_nb as hnb

#: Where screenshots go, for a person to look at; nowhere by default.
SHOTS = os.environ.get("HETERODYNE_NB_SHOTS")


def look_and_mask(page: Any) -> None:
    """Open the example, pick a bin by keys, which the page around leaves alone, zoom, mask the bad frames with the mouse."""
    press(page, "Example")
    read(page, "3 q × 8 φ, 1 without data")
    canvas, strip = Canvas(page, "map"), Canvas(page, "strip")
    canvas.wait()
    cells = page.locator(".jp-CodeCell").count()
    canvas.element.focus()
    page.keyboard.press("b")  # "insert a cell below", were it not for the focus
    for name, steps in (("q", 2), ("φ", 4)):
        slide(page, name, "Home")
        slide(page, name, "ArrowRight", times=steps)
    read(page, "22.5°")
    assert page.locator(".jp-CodeCell").count() == cells
    choose(page, "fit", "this q")
    page.wait_for_function("node => JSON.parse(node.dataset.view)[1] > 99", arg=canvas.node)
    canvas.drag((20.0, 20.0), (50.0, 50.0))  # zoom
    page.wait_for_function("node => JSON.parse(node.dataset.view)[1] < 60", arg=canvas.node)
    press(page, "Show all")
    page.wait_for_function("node => JSON.parse(node.dataset.view)[1] > 99", arg=canvas.node)
    canvas.drag((60.5, None), (61.0, None))
    read(page, "2 of 200 frames masked: 121")
    strip.wait()
    strip.drag((61.5, 0.0), (62.0, 0.0))
    read(page, "4 of 200 frames masked: 121–124")


def choose_sectors(page: Any) -> None:
    """The bin is chosen on the picture of all sectors, by mouse and by keys, and the map follows."""
    press(page, "Sectors")
    page.locator(".hn-mosaic:visible .hn-end").first.wait_for()
    page.locator('.hn-mosaic:visible .hn-sector[aria-label^="q 0.009 Å⁻¹, φ 45°"]').click()
    page.locator('.widget-readout:visible:text-is("45°")').first.wait_for()
    page.keyboard.press("ArrowUp")
    page.locator('.widget-readout:visible:text-is("0.012 Å⁻¹")').first.wait_for()
    page.keyboard.press("ArrowRight")
    page.locator('.widget-readout:visible:text-is("22.5°")').first.wait_for()
    press(page, "Sectors")


def read_fringes(page: Any) -> None:
    """Read the fringes; they become start values."""
    press(page, "Read fringes")
    assert "φ₀ = 15" in read(page, "peaks are clear")
    press(page, "Use as start values")
    page.wait_for_selector('button[title="undo: start values"]:visible')


def guess_run_cancel(page: Any) -> None:
    """Guess, run, see progress, cancel, run again."""
    tab(page, "Fit")
    press(page, "Guess")
    page.wait_for_selector('button[title="undo: guess"]:visible')
    fill(page, "starts", "200")  # long enough that Cancel comes in time
    press(page, "Run")
    read(page, "running: fit, χ²ᵣ")
    press(page, "Cancel")
    read(page, "cancelled")
    fill(page, "starts", "0")
    button(page, "Run").click()
    read(page, "fit 2 · heterodyne")


def robust_and_compare(page: Any) -> None:
    """A robust fit by one method; its curves beside those of the plain fit."""
    tab(page, "Robust")
    for method in ("scenario", "ellipsoidal"):
        page.locator("label:visible", has_text=method).locator("input").uncheck()
    press(page, "Run robust")
    read(page, "robust 3 · heterodyne")
    page.locator("table:visible", has_text="holds to").first.wait_for()
    tab(page, "Fit")
    page.locator("select[multiple]:visible").first.select_option(index=[0, 1])
    press(page, "Compare")
    page.locator(".hn-figure:visible", has_text="Comparison of fits").first.wait_for()


def see_curves_and_export(page: Any) -> None:
    """Curves with their bands, and the result as a file in the folder of the page."""
    tab(page, "Result")
    page.locator(".hn-figure:visible", has_text="mean velocity").first.wait_for()
    press(page, "Write")
    assert "fit.nc" in read(page, "written:")


def save_and_reload(page: Any, folder: Path) -> None:
    """Save the session, change it, and load it again."""
    field = page.get_by_placeholder("folder, or a recent session")
    field.fill(str(folder))
    field.blur()
    press(page, "Save")
    for _ in range(int(PATIENCE / 100)):  # what the page shows says nothing: it has written the path itself
        if (folder / "session.json").exists():
            break
        page.wait_for_timeout(100)
    assert (folder / "session.json").exists()
    tab(page, "Data")
    press(page, "Use again")
    read(page, "all 200 frames used")
    press(page, "Load")
    read(page, "4 of 200 frames masked: 121–124")
    read(page, "robust 3 · heterodyne")


#: Widths and heights of a laptop, a desk and a large screen; the story is told on the first.
SCREENS = ((1366, 768), (1920, 1080), (2560, 1440))
#: What is wider than its place: the page, or the output of a cell, scrolled sideways.
TOO_WIDE = """() => [document.documentElement, ...document.querySelectorAll(".jp-OutputArea-output")]
  .filter((one) => one.offsetParent !== null || one === document.documentElement)
  .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => `${one.className}: ${one.scrollWidth} in ${one.clientWidth}`)"""


def on_another_screen(page: Any, screen: tuple[int, int], name: str) -> None:
    """There and back every figure is drawn as wide as its place, and nothing is wider than the page."""
    for width, height in (screen, SCREENS[0]):
        page.set_viewport_size({"width": width, "height": height})
        settled(page)
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"{name}_{width}.png")
        assert page.evaluate(TOO_WIDE) == []


def the_whole(page: Any, folder: Path, name: str, slow: int, first: int) -> None:
    """Every chapter in its order; what is written stays in the folder.

    Parameters
    ----------
    page : playwright Page
    folder : Path
        Of the page's kernel.
    name : str
        Of the front end, in names of screenshots.
    slow : int
        How much slower the page's processor is made.
    first : {0, 1}
        Which of the two larger screens the chapters begin with; they take turns.
    """
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slow})
    chapters = (
        look_and_mask,
        choose_sectors,
        read_fringes,
        guess_run_cancel,
        robust_and_compare,
        see_curves_and_export,
    )
    for k, chapter in enumerate(chapters, first):
        chapter(page)
        settled(page)
        on_another_screen(page, SCREENS[1 + k % 2], f"{name}_{chapter.__name__}")
    save_and_reload(page, folder / "session")
    settled(page)
    kept(folder)


def kept(folder: Path) -> None:
    """What the page wrote, read where no page is: the session and the exported result."""
    session = hnb.AnalysisSession.load(folder / "session")
    assert session.masked == ((121, 124),)
    assert [entry.kind for entry in session.history] == ["fit", "fit", "robust"]
    assert session.history[0].result.message.startswith("cancelled")
    assert hnb.FitResult.load(folder / "fit.nc").mode == "heterodyne"
    truth = hnb.example_truth()["parameters"]["phi0"]
    assert abs(session.history[1].result.values["phi0"] - truth) < 1
    session.close()
