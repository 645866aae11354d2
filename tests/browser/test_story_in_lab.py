"""The toolkit in a cell of a notebook in JupyterLab, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
import story
from servers import served_lab

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


def test_the_whole_story_by_mouse(page: Any, tmp_path) -> None:
    with served_lab(tmp_path) as address:
        page.goto(address, wait_until="commit")
        page.wait_for_function("window.jupyterapp !== undefined")
        page.evaluate(RUN_ALL)
        story.the_whole(page, tmp_path)
