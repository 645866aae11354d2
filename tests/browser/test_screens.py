"""What fits on a small and a large screen, what is drawn before a file is open, and files made in the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driving import Canvas, button, press, read, settled, tab
from servers import served_app

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCREENS = ((1366, 768), (2560, 1440))
#: Alpha of a pixel of a canvas, at a place in CSS pixels: 0 where nothing is drawn.
ALPHA = """([canvas, x, y]) => {
  const ratio = canvas.width / canvas.clientWidth;
  return canvas.getContext("2d").getImageData(x * ratio, y * ratio, 1, 1).data[3];
}"""

#: Whether the plot of a map fills more than half of the height of the screen, and the map ends on it.
FITS = """([canvas, height]) => JSON.parse(canvas.dataset.plot)[3] > 0.55 * height
  && canvas.getBoundingClientRect().bottom <= height"""


def bottom(place: Any) -> float:
    box = place.bounding_box()
    return box["y"] + box["height"]


def plot_of(canvas: Canvas) -> list[float]:
    return json.loads(canvas.element.get_attribute("data-plot"))


def bar_is_drawn(page: Any, canvas: Canvas) -> bool:
    left, top, width, height = plot_of(canvas)
    return page.evaluate(ALPHA, [canvas.node, left + width + 22, top + height / 2]) > 0


@pytest.fixture(scope="module")
def app(shared: Any, tmp_path_factory: Any) -> Iterator[Any]:
    """The app before a file is open; the tests after the first open the example anew."""
    with served_app(tmp_path_factory.mktemp("app")) as address:
        shared.goto(address, wait_until="commit")
        button(shared, "Example").wait_for()
        yield shared


def open_example(page: Any) -> None:
    tab(page, "Data")
    press(page, "Example")
    Canvas(page, "map").wait()
    settled(page)


def test_the_map_is_as_large_as_the_screen_allows_with_strip_and_tools_in_view(app: Any) -> None:
    page, canvas = app, Canvas(app, "map")
    for width, height in SCREENS:
        page.set_viewport_size({"width": width, "height": height})
        canvas.element.wait_for()
        page.wait_for_function("node => node.dataset.plot", arg=canvas.node)
        assert not bar_is_drawn(page, canvas)
        assert page.locator(".hn-strip canvas:visible").count() == 0
    open_example(page)
    for width, height in reversed(SCREENS):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function(FITS, arg=[canvas.node, height])
        settled(page)
        assert bar_is_drawn(page, canvas)
        for one in (canvas.element, page.locator(".hn-strip canvas:visible").first):
            assert bottom(one) <= height
        for name in ("Find bad frames", "Mask", "Crop"):
            assert bottom(page.locator(f'button:visible:text-is("{name}")').first) <= height
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_pictures_and_numbers_of_figures_are_downloaded_by_mouse(app: Any, tmp_path: Path) -> None:
    page = app
    open_example(page)
    for name in ("PNG", "CSV"):
        with page.expect_download() as got:
            press(page, name)
        got.value.save_as(tmp_path / f"map.{name.lower()}")
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"
    table = np.genfromtxt(tmp_path / "map.csv", delimiter=",", skip_header=1)
    assert table.shape == (200, 201)
    np.testing.assert_allclose(table[:, 0], 0.5 * np.arange(1, 201))
    np.testing.assert_array_equal(table[:, 1:], table[:, 1:].T)

    figure = page.locator(".hn-figure:visible", has_text="lag τ").first
    toolbar = figure.locator(".modebar-group").first
    assert toolbar.evaluate("node => getComputedStyle(node).opacity") == "0"
    figure.hover()
    for title, ending in (("Download data as CSV", "csv"), ("Download plot as SVG", "svg")):
        with page.expect_download() as got:
            figure.locator(f'[data-title="{title}"]').click()
        got.value.save_as(tmp_path / f"figure.{ending}")
    assert "<svg" in (tmp_path / "figure.svg").read_text()
    head, *lines = (tmp_path / "figure.csv").read_text().splitlines()
    assert head == "trace,x axis,y axis,x,y,z,error above,error below"
    first = lines[0].split(",")
    assert first[1:3] == ["lag τ (s)", "g₂(τ)"]
    assert float(first[3]) == 0.5
    assert 1.0 < float(first[4]) < 1.5
    assert 0 < float(first[6]) < 0.1


def test_undo_is_a_list_from_which_any_step_is_chosen(app: Any) -> None:
    page = app
    open_example(page)
    field = page.locator('input[placeholder="121-124, 150"]:visible')
    for frames in ("121-124", "7"):
        field.fill(frames)
        field.blur()
        press(page, "Mask")
        read(page, "5 of 200 frames masked" if frames == "7" else "4 of 200 frames masked")
    steps = page.locator('select:visible:has(option:text-is("the start"))').first
    steps.select_option(label="mask frames 121-124")
    read(page, "4 of 200 frames masked: 121–124")
    steps.select_option(label="(mask frames 7-7)")
    read(page, "5 of 200 frames masked")
    tab(page, "Fit")
    read(page, "g₂ and model of q = 0.006 Å⁻¹")
    settled(page)
