"""The whole story by mouse on three screens: in JupyterLab, in Notebook 7, and, on a slow processor, as Voilà serves it."""

from __future__ import annotations

from typing import Any

import pytest
import story
from servers import served_app, served_lab, served_notebook_7

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: Run the notebook once document, session and kernel are ready; earlier it hangs now and then.
RUN_ALL = """async () => {
  const found = () => window.jupyterapp?.shell.currentWidget;
  while (!found()?.context) await new Promise((later) => setTimeout(later, 100));
  const notebook = found();
  await notebook.context.ready;
  await notebook.sessionContext.ready;
  await notebook.sessionContext.session.kernel.info;
  await window.jupyterapp.commands.execute("notebook:run-all-cells");
}"""

#: By front end: its server, how much slower the page's processor is made, and the screen that the story begins with.
SERVED = {"lab": (served_lab, 2, 0), "notebook": (served_notebook_7, 1, 1), "voila": (served_app, 4, 0)}


@pytest.mark.parametrize("name", SERVED)
def test_the_whole_story_by_mouse(page: Any, tmp_path: Any, name: str) -> None:
    served, slow, first = SERVED[name]
    width, height = story.SCREENS[0]
    page.set_viewport_size({"width": width, "height": height})
    with served(tmp_path) as address:
        page.goto(address, wait_until="commit")
        if name != "voila":
            page.wait_for_function("window.jupyterapp !== undefined")
            page.evaluate(RUN_ALL)
        story.the_whole(page, tmp_path, name, slow, first)
