"""A real browser for the tests of this folder; they are skipped, saying so, where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from driving import PATIENCE, WATCH

#: What anywidget says of a model that is not there two seconds after it was asked for, as on a slow processor; it comes
#: all the same, or the test does not find what it looks for.
SLOW = "[anywidget] Failed to initialize model."
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The system's Chromium, headless."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not shutil.which(CHROMIUM):
        pytest.skip(f"no browser at {CHROMIUM}; apt-get install chromium, or set CHROMIUM to one")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def watched(chromium: Any) -> Iterator[Any]:
    """A page as wide as a laptop's, which fails the test when a figure was empty or a script threw.

    What Notebook 7 throws by itself while it starts is its own affair: scripts of widgets are no files of a server.
    """
    page = chromium.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(PATIENCE)
    thrown: list[str] = []

    def note(error: Any) -> None:
        if "/static/notebook/" not in (error.stack or "") and SLOW not in str(error):
            thrown.append(str(error))

    page.on("pageerror", note)
    page.add_init_script(WATCH)
    yield page
    empty = page.evaluate("window.emptySeen")
    page.close()
    assert empty == []
    assert thrown == []


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A watched page for one test."""
    with watched(chromium) as page:
        yield page


@pytest.fixture(scope="module")
def shared(chromium: Any) -> Iterator[Any]:
    """A watched page for the tests of a module."""
    with watched(chromium) as page:
        yield page
