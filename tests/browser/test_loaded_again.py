"""A page of ``heterodyne-nb app`` that is loaded again, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from driving import fill, press, read, settled, tab
from servers import served_app

from heterodyne_nb.simulate import example_path

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_page_loaded_again_comes_back_with_its_running_fit(page: Any, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HETERODYNE_NB_SESSIONS", str(tmp_path / "sessions"))
    with served_app(tmp_path, str(example_path())) as address:
        page.goto(address, wait_until="commit")
        read(page, "3 q × 8 φ, 1 without data")
        tab(page, "Fit")
        fill(page, "starts", "200")
        press(page, "Run")
        read(page, "running: fit, χ²ᵣ")
        page.wait_for_timeout(2000)  # the journal is written once a second
        settled(page)
        page.reload(wait_until="commit")
        read(page, "running: fit, χ²ᵣ")
        press(page, "Cancel")
        read(page, "cancelled")
        settled(page)
        page.reload(wait_until="commit")
        read(page, "fit 1 · heterodyne")
        unnamed = "() => [...document.querySelectorAll('.noUi-handle')].filter((one) => !one.ariaLabel).length === 0"
        tab(page, "Fit")
        page.locator(".noUi-handle:visible").first.wait_for()
        page.wait_for_function(unnamed)
