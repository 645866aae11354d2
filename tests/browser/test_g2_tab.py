"""The g2 tab on a file of g2 alone, in a real browser: fit, fix the contrast, brush points out, a law, the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driving import press, read, settled
from servers import served_app

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def g2_file(folder: Path) -> Path:
    tau, q = np.geomspace(1e-3, 20.0, 44), np.geomspace(0.006, 0.02, 6)
    rate = 0.5 * (q / q[0]) ** 2
    g2 = 1 + 0.15 * np.exp(-2 * (rate[:, None] * tau) ** 0.85)
    g2 += 1e-3 * np.random.default_rng(1).standard_normal(g2.shape)
    g2[2, 20] += 0.05  # a bad point
    file = folder / "multitau.npz"
    np.savez(file, g2=g2[:, None], g2_err=np.full_like(g2, 1e-3)[:, None], tau=tau, q=q, phi=[0.0], dt=1e-3)
    return file


def test_a_file_of_g2_alone_is_fitted_by_mouse(page: Any, tmp_path: Path) -> None:
    file = g2_file(tmp_path)
    with served_app(tmp_path, str(file)) as address:
        page.set_viewport_size({"width": 1366, "height": 768})
        page.goto(address, wait_until="commit")
        figure = page.locator(".hn-figure:visible", has_text="One-time correlation")
        figure.wait_for()
        press(page, "Fit g₂")
        read(page, "fit 1 · kww")
        table = page.locator("table.hn-g2:visible")
        table.wait_for()
        assert table.locator("tr").count() == 7
        settled(page)
        page.screenshot(path=tmp_path / "g2_small.png")

        press(page, "leave out")
        plot = figure.locator(".js-plotly-plot").element_handle()
        page.wait_for_function("plot => plot._fullLayout.dragmode === 'select'", arg=plot)
        settled(page)
        bad = figure.evaluate(
            """place => {
              const { _fullData, _fullLayout } = place.querySelector(".js-plotly-plot");
              const one = _fullData.find((trace) => trace.meta && trace.y[20] > 1.15);
              const [x, y] = [one.xaxis, one.yaxis].map((name) => _fullLayout[name[0] + "axis" + name.slice(1)]);
              const box = place.querySelector(".js-plotly-plot").getBoundingClientRect();
              return [box.x + x._offset + x.d2p(one.x[20]), box.y + y._offset + y.d2p(one.y[20])];
            }"""
        )
        mouse = page.mouse
        mouse.move(bad[0] - 7, bad[1] - 9)
        mouse.down()
        mouse.move(bad[0] + 7, bad[1] + 9, steps=6)
        mouse.up()
        read(page, "Use all points (1 out)")

        page.locator('select[title="How Gamma differs over the bins"]:visible').select_option(
            label="law: power"
        )
        read(page, "Gamma.n")
        field = page.locator('input[title="value of contrast; empty: not stated"]:visible')
        field.fill("0.15")
        field.press("Enter")
        press(page, "Fit g₂")
        read(page, "fit 2 · kww")
        press(page, "against q")
        page.locator(".hn-figure:visible", has_text="Parameters against q").wait_for()
        settled(page)
        page.set_viewport_size({"width": 2560, "height": 1440})
        settled(page)
        page.screenshot(path=tmp_path / "g2_large.png")
        with page.expect_download() as got:
            page.locator("a:visible", has_text="CSV").click()
        lines = Path(got.value.path()).read_text().splitlines()
        assert lines[0].startswith("Gamma,Gamma_error")
        assert len(lines) == 7
        page.locator("a:visible", has_text="copy").click()
        read(page, "copied")
