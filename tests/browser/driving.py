"""Mouse and keyboard on the toolkit's page: canvases in units of the run, sliders, buttons, tabs."""

from __future__ import annotations

import json
from typing import Any

#: Milliseconds that anything may take on a machine busy with other tests.
PATIENCE = 300_000


#: In a page from its start: notes plotly figures on screen that show only plotly's default axes, the way they flash
#: up and stay when one drawing disturbs another; counts the scripts as large as plotly.js that are loaded.
WATCH = """
window.emptyPlots = () => [...document.querySelectorAll(".js-plotly-plot")].filter((plot) => {
  const { xaxis, yaxis } = plot._fullLayout ?? {};
  const ranges = [xaxis, yaxis].map((axis) => axis?.autorange && axis.range.join());
  const bare = ranges[0] === "-1,6" && ranges[1] === "-1,4";
  return plot.offsetWidth && plot.querySelector(".main-svg") && (bare || !plot._fullData?.length);
});
window.emptySeen = [];
setInterval(() => {
  const place = (plot) => plot.closest(".hn-figure")?.previousElementSibling?.textContent ?? plot.outerHTML.slice(0, 80);
  for (const plot of window.emptyPlots()) {
    if (!window.emptySeen.includes(place(plot))) window.emptySeen.push(place(plot));
  }
}, 20);
window.largeScripts = 0;
const made = URL.createObjectURL;
URL.createObjectURL = (blob) => {
  if (blob.size > 2e6) window.largeScripts += 1;
  return made.call(URL, blob);
};
"""

#: Whether every figure on screen is drawn as wide as its place, or says what to do to get one.
SETTLED = """() => [...document.querySelectorAll(".hn-figure")].filter((place) => place.offsetWidth).every((place) => {
  const drawn = place.querySelector(".main-svg");
  return drawn ? Math.abs(drawn.clientWidth - place.clientWidth) < 2 : place.innerText.trim() !== "";
})"""


class Canvas:
    """A drawn map or trace, addressed by times in s.

    Parameters
    ----------
    page : playwright Page
    kind : {"map", "strip"}
    """

    def __init__(self, page: Any, kind: str) -> None:
        self.page = page
        self.element = page.locator(f".hn-{kind} canvas:visible").first

    def wait(self) -> None:
        """Wait until there is a picture."""
        self.element.wait_for()
        self.page.wait_for_function("node => node.dataset.plot && node.dataset.picture !== ''", arg=self.node)

    @property
    def node(self) -> Any:
        """The element itself."""
        return self.element.element_handle()

    def point(self, x: float, y: float | None = None) -> tuple[float, float]:
        """Pixels of a time on the horizontal axis and one on the vertical; None: just below the plot."""
        self.element.scroll_into_view_if_needed()
        box = self.element.bounding_box()
        left, top, width, height = json.loads(self.element.get_attribute("data-plot"))
        view = json.loads(self.element.get_attribute("data-view"))
        across = box["x"] + left + (x - view[0]) / (view[1] - view[0]) * width
        if y is None:
            return across, box["y"] + top + height + 8
        if len(view) == 2:
            return across, box["y"] + top + height / 2
        return across, box["y"] + top + height - (y - view[2]) / (view[3] - view[2]) * height

    def drag(self, start: tuple[float, Any], end: tuple[float, Any], shift: bool = False) -> None:
        """Press at one place, move in steps, let go at the other."""
        mouse = self.page.mouse
        x, y = self.point(*start)
        if shift:
            self.page.keyboard.down("Shift")
        mouse.move(x, y)
        mouse.down()
        mouse.move(*self.point(*end), steps=8)
        mouse.up()
        if shift:
            self.page.keyboard.up("Shift")

    def value(self, name: str) -> Any:
        """A number or list that the canvas says of itself: ``view``, ``picture``, ``detail``."""
        return json.loads(self.element.get_attribute(f"data-{name}") or "null")


def press(page: Any, name: str) -> None:
    """Click the visible button of that name."""
    button(page, name).click()


def button(page: Any, name: str) -> Any:
    """The visible, enabled button of that name."""
    return page.locator(f'button:visible:not([disabled]):text-is("{name}")').first


def tab(page: Any, name: str) -> None:
    """Open a tab of the app."""
    page.locator(".lm-TabBar-tab:visible", has_text=name).first.click()


def slide(page: Any, name: str, key: str, times: int = 1) -> None:
    """Move the slider of that name by keys: ``"End"``, ``"ArrowRight"``, …"""
    handle = page.locator(f'.widget-inline-hbox:visible:has(label:text-is("{name}")) .noUi-handle').first
    handle.focus()
    for _ in range(times):
        handle.press(key)


def fill(page: Any, name: str, text: str) -> None:
    """Write into the field of that name, and leave it."""
    field = page.locator(f'.widget-inline-hbox:visible:has(label:text-is("{name}")) input').first
    field.fill(text)
    field.press("Enter")
    field.blur()


def choose(page: Any, name: str, option: str) -> None:
    """Choose from the menu of that name."""
    menu = f'.widget-inline-hbox:visible:has(label:text-is("{name}")) select'
    page.locator(menu).first.select_option(label=option)


def settled(page: Any) -> None:
    """Wait until every figure on screen is drawn; none was empty at any time."""
    page.wait_for_function(SETTLED)
    assert page.evaluate("window.emptySeen") == []


def heap(page: Any) -> float:
    """Megabytes of JavaScript's heap once its garbage is collected."""
    tools = page.context.new_cdp_session(page)
    for _ in range(2):  # what finalisers let go in the first pass goes in the second
        tools.send("HeapProfiler.collectGarbage")
    size = page_figures(tools)["JSHeapUsedSize"] / 1e6
    tools.detach()
    return size


def page_figures(tools: Any) -> dict[str, float]:
    """What Chromium says of a page: bytes of its heap, seconds of CPU since the first call in this CDP session."""
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})
    return {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}


def read(page: Any, text: str, timeout: float = PATIENCE) -> str:
    """Wait for a visible text (or its beginning) anywhere, and return the whole of it."""
    found = page.locator(f':visible:text("{text}")').last
    found.wait_for(timeout=timeout)
    return found.inner_text()
