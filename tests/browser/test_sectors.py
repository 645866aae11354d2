"""The sectors of a run as a bin picker: by mouse, by keys, named, in light and dark, on a small and a large screen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from driving import Canvas, press, read, settled, tab
from servers import served_app

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: Where screenshots go, for a person to look at; nowhere by default.
SHOTS = os.environ.get("HETERODYNE_NB_SHOTS")

#: In a page: nine arrow keys, left first, in a moment; and from then on counts how often another sector becomes the chosen one.
BURST = """() => {
  for (let k = 0; k < 9; k += 1) {
    const key = k % 2 ? "ArrowRight" : "ArrowLeft";
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  }
  window.turns = 0;
  let chosen = document.activeElement;
  const look = () => {
    const now = document.querySelector('.hn-sector[aria-checked="true"]');
    if (now !== chosen) window.turns += 1;
    chosen = now;
  };
  const what = { attributes: true, attributeFilter: ["aria-checked"], subtree: true };
  new MutationObserver(look).observe(document.querySelector(".hn-mosaic"), what);
}"""


def shown(page: Any) -> Any:
    """The sectors in view, once they are coloured."""
    page.locator(".hn-mosaic:visible .hn-end").first.wait_for()
    return page.locator(".hn-mosaic:visible .hn-sector")


def chosen(page: Any) -> str:
    return page.locator('.hn-mosaic:visible .hn-sector[aria-checked="true"]').get_attribute("aria-label")


def labelled(page: Any, text: str) -> Any:
    return page.locator(f'.hn-mosaic:visible .hn-sector[aria-label^="{text}"]')


def shoot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


@pytest.mark.parametrize(("width", "height", "theme"), [(1366, 768, "dark"), (2560, 1440, "light")])
def test_a_sector_is_chosen_by_mouse_or_keys_and_every_tab_shows_its_bin(
    page: Any, tmp_path: Path, width: int, height: int, theme: str
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    with served_app(tmp_path, "--theme", theme) as address:
        page.goto(address, wait_until="commit")
        press(page, "Example")
        Canvas(page, "map").wait()
        press(page, "Sectors")
        sectors = shown(page)
        assert sectors.count() == 24
        assert page.locator('.hn-mosaic:visible [role="radiogroup"]').get_attribute("aria-label") == (
            "bins as sectors: contrast at short lags"
        )
        labelled(page, "q 0.009 Å⁻¹, φ 45°").click()
        page.locator('.widget-readout:visible:text-is("45°")').first.wait_for()
        page.locator('.widget-readout:visible:text-is("0.009 Å⁻¹")').first.wait_for()
        for key, place in (
            ("ArrowLeft", "q 0.009 Å⁻¹, φ 67.5°"),  # anticlockwise
            ("ArrowUp", "q 0.012 Å⁻¹, φ 67.5°"),
            ("ArrowRight", "q 0.012 Å⁻¹, φ 45°"),
            ("ArrowDown", "q 0.009 Å⁻¹, φ 45°"),
        ):
            page.keyboard.press(key)
            page.locator(f'.hn-sector[aria-checked="true"][aria-label^="{place}"]').first.wait_for()
            assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(place)
        page.evaluate(BURST)
        page.locator('.widget-readout:visible:text-is("67.5°")').first.wait_for()
        page.wait_for_function("() => document.querySelector('.hn-mosaic').dataset.heard === 'all'")
        settled(page)
        assert page.evaluate("window.turns") == 0  # what the kernel says of earlier keys is not shown
        page.keyboard.press("ArrowRight")
        assert page.locator('.hn-mosaic:visible .hn-sector[aria-label$="φ 90°: no data"]').count() == 1
        fills = sectors.evaluate_all("nodes => nodes.map((node) => getComputedStyle(node).fill)")
        assert len(set(fills)) > 12
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shoot(page, f"sectors_{theme}_{width}")
        page.locator(
            '.widget-dropdown:visible select:has(option:text-is("fringe frequency (Hz)"))'
        ).select_option(label="fringe frequency (Hz)")
        page.wait_for_function(
            "() => [...document.querySelectorAll('.hn-sector')].some((one) => one.ariaLabel.includes('(Hz)'))"
        )
        page.locator(".hn-mosaic:visible .hn-sector").nth(0).hover()
        read(page, "q 0.006 Å⁻¹, φ −67.5°: ")
        shoot(page, f"fringes_{theme}_{width}")
        tab(page, "Fit")
        read(page, "g₂ and model of q = 0.009 Å⁻¹, φ = 45°")
        press(page, "Sectors")
        shown(page)
        assert chosen(page).startswith("q 0.009 Å⁻¹, φ 45°")
        labelled(page, "q 0.012 Å⁻¹, φ 0°").click()
        read(page, "g₂ and model of q = 0.012 Å⁻¹, φ = 0°")
        shoot(page, f"fit_{theme}_{width}")
        settled(page)
