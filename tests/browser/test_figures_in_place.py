"""Figures that are drawn again and again in a real browser: in place, whole, and without filling its memory."""

from __future__ import annotations

from typing import Any

import pytest
from driving import WATCH, button, heap, press, read, settled, tab
from plotly.offline import get_plotlyjs
from servers import served_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: A figure in a tab that is not opened first; the traces change in number, kind and look.
FIGURE = """
import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from heterodyne_nb.plots.canvas import template_name
from heterodyne_nb.app.live_figure import LiveFigure

place, count = LiveFigure(300), 0
again, other = widgets.Button(description="again"), widgets.Button(description="another axis")

def draw(button):
    global count
    count += 1
    figure = go.Figure(layout={"template": template_name("dark" if count % 3 == 2 else "light")})
    for k in range(1 + count % 4):
        figure.add_scatter(x=np.arange(1.0, 200.0), y=count + k + np.sin(np.arange(1.0, 200.0) / 9), name=f"{k}")
    if count % 5 == 0:
        figure.add_heatmap(z=np.full((20, 30), float(count)), showscale=False, opacity=0.2)
    figure.update_xaxes(title_text="other" if button is other else "x")
    figure.update_yaxes(title_text="y")
    place.draw(figure.update_layout(title=f"drawn {count}"))

for button in (again, other):
    button.on_click(draw)
draw(again)
widgets.VBox([again, other, widgets.Tab([widgets.Label("empty"), place.widget], titles=["first", "second"])])
"""

#: The app on a run that fits at once.
APP = """
import heterodyne_nb as hnb

maps = hnb.simulate.model_maps(
    "static_isotropic", [300, -0.4, 40], q=[0.006, 0.01], phi=[0.0, 90.0], n_frames=40, dt=0.5,
    contrast=0.3, noise=0.01, seed=3)
session = hnb.AnalysisSession(maps)
session.change_settings(mode="static_isotropic", multistart=0)
hnb.App(session)
"""

PLOTS = ".hn-figure .js-plotly-plot"
#: Marks what is in the page, so that one can tell later whether it is still that.
MARK = f'document.querySelectorAll("{PLOTS}, {PLOTS} .main-svg").forEach((one) => (one.marked = true))'
UNMARKED = f'[...document.querySelectorAll("{PLOTS}, {PLOTS} .main-svg")].filter((one) => !one.marked).length'
RANGE = f'document.querySelector("{PLOTS}")._fullLayout.xaxis.range.map((end) => Math.round(end))'


def test_redraws_change_one_figure_leave_the_memory_as_it_was_and_keep_what_was_zoomed_to(
    page: Any, tmp_path: Any
) -> None:
    with served_notebook(tmp_path, FIGURE) as address:
        page.goto(address, wait_until="commit")
        button(page, "again").wait_for()
        tab(page, "second")
        page.locator(".gtitle", has_text="drawn 1").wait_for()
        page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 4})
        page.evaluate(MARK)
        before = heap(page)
        for count in range(2, 22):
            press(page, "again")
            if count % 4:  # of four the page draws what it has time for
                page.set_viewport_size({"width": 1280 - 7 * count, "height": 1000})
            else:
                page.locator(".gtitle", has_text=f"drawn {count}").wait_for()
        page.locator(".gtitle", has_text="drawn 21").wait_for()
        settled(page)
        shown = page.evaluate(f'document.querySelector("{PLOTS}")._fullData.map((one) => one.y[0])')
        assert shown == [pytest.approx(21 + k + 0.110883, abs=1e-6) for k in range(2)]
        assert page.evaluate(UNMARKED) == 0
        assert page.evaluate("window.largeScripts") == 1
        assert heap(page) - before < 5

        box = page.locator(f"{PLOTS} .nsewdrag").bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 0.25 * box["width"], middle)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.5 * box["width"], middle, steps=8)
        page.mouse.up()
        page.wait_for_function(f"{RANGE}[1] < 120")
        zoomed = page.evaluate(RANGE)
        for name, title, kept in (("again", "drawn 22", True), ("another axis", "drawn 23", False)):
            press(page, name)
            page.locator(".gtitle", has_text=title).wait_for()
            settled(page)
            assert (page.evaluate(RANGE) == zoomed) is kept


def test_ten_fits_leave_the_page_of_the_app_small(page: Any, tmp_path) -> None:
    with served_notebook(tmp_path, APP) as address:
        page.goto(address, wait_until="commit")
        for name in ("Data", "Result", "Robust", "Fit"):
            tab(page, name)
        button(page, "Run").wait_for()
        press(page, "Run")
        read(page, "fit 1 · static isotropic")
        for text in ("lag τ", "time (s)"):
            page.locator(".hn-figure:visible", has_text=text).first.wait_for()
        page.evaluate(MARK)
        for count in range(2, 12):
            press(page, "Run")
            read(page, f"fit {count} · static isotropic")
            settled(page)
        assert page.evaluate(UNMARKED) == 0
        page.locator("select[multiple]:visible").first.select_option(index=[0, 1])
        press(page, "Compare")
        page.locator(".hn-figure:visible", has_text="Comparison of fits").first.wait_for()
        tab(page, "Result")
        page.locator(".hn-figure:visible", has_text="transport coefficient").first.wait_for()
        settled(page)
        assert page.evaluate("window.largeScripts") == 1
        assert heap(page) < 150


def test_an_empty_plot_would_be_seen(chromium: Any) -> None:
    page = chromium.new_page()
    page.add_init_script(WATCH)
    page.goto("about:blank")
    page.set_content('<div id="one"></div>')
    page.add_script_tag(content=get_plotlyjs())
    page.evaluate("Plotly.newPlot('one', [{ y: [1, 2] }])")
    assert page.evaluate("window.emptyPlots().length") == 0
    page.evaluate("Plotly.newPlot('one', [])")
    page.wait_for_function("window.emptySeen.length === 1")
    page.close()
