"""The toolkit as ``heterodyne-nb app`` serves it, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
import story
from servers import served_app

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_whole_story_by_mouse(page: Any, tmp_path) -> None:
    with served_app(tmp_path) as address:
        page.goto(address, wait_until="commit")
        story.the_whole(page, tmp_path)
