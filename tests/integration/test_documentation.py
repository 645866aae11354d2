"""The documentation: built without a complaint, with every public name; its examples run."""

from __future__ import annotations

import importlib.util
import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import heterodyne_nb

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
HOW_TO = sorted(
    path.stem for path in (DOCS / "how-to").glob("*.md") if BLOCK.search(path.read_text(encoding="utf-8"))
)
#: Public names that are words of before, or parts described elsewhere.
ELSEWHERE = {"__version__", "app", "criticise", "data", "models", "monitor_memory_usage", "Objective"}


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(repository: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("sphinx") is None:
        pytest.skip("sphinx is not installed: pip install -e '.[docs]'")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "-q",
        "-d",
        str(tmp_path / "trees"),
        "docs",
        str(tmp_path / "site"),
    ]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    pages = {path.stem for path in (tmp_path / "site").rglob("*.html")}
    lessons = {path.stem for path in (repository / "notebooks").glob("[01]*.ipynb")}
    assert lessons | {"index", "gallery", "claims", "coming-from"} <= pages
    models, claims, fit = (
        (tmp_path / "site" / f"{page}.html").read_text(encoding="utf-8")
        for page in ("explanation/models", "claims", "explanation/fit")
    )
    assert "Gauss–Newton" in fit
    assert "<math" in models  # formulas that need no library from elsewhere
    assert not re.search(r'<(script|link)[^>]*(src|href)="https?://(?!www\.sphinx-doc)', models)
    assert 'href="tutorials/10_from_speckle_to_parameters.html"' in claims


def test_every_public_name_is_in_the_reference() -> None:
    listed = set(re.findall(r"^   (\w+)$", (DOCS / "reference.md").read_text(encoding="utf-8"), re.MULTILINE))
    strategies = {name for name in heterodyne_nb.__all__ if name.endswith("Strategy")}
    assert set(heterodyne_nb.__all__) - listed - ELSEWHERE - strategies == set()


@pytest.mark.slow
@pytest.mark.parametrize("page", HOW_TO)
def test_the_examples_of_a_how_to_page_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = BLOCK.findall((DOCS / "how-to" / f"{page}.md").read_text(encoding="utf-8"))
    script = tmp_path / f"{page.replace('-', '_')}.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", heterodyne_nb.errors.DataWarning)  # the example's dead bin
        runpy.run_path(str(script))
