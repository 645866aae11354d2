"""The API reference: made from the docstrings by the one command of the README, without a complaint."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import heterodyne_nb


def test_the_command_of_the_readme_makes_pages_of_every_public_name(repository: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("pdoc") is None:
        pytest.skip("pdoc is not installed: pip install -e '.[docs]'")
    readme = (repository / "README.md").read_text(encoding="utf-8")
    match = re.search(r"^pdoc (.*)-o api heterodyne_nb heterodyne_nb\.\{(.*)\}$", readme, flags=re.MULTILINE)
    assert match
    parts = ["heterodyne_nb", *(f"heterodyne_nb.{name}" for name in match[2].split(","))]
    command = [sys.executable, "-m", "pdoc", *match[1].split(), "-o", str(tmp_path), *parts]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "heterodyne_nb.html").read_text(encoding="utf-8")
    modules = {path.stem for path in tmp_path.rglob("*.html")}
    names = [n for n in heterodyne_nb.__all__[1:] if not isinstance(getattr(heterodyne_nb, n), ModuleType)]
    assert [name for name in sorted(names) if f'id="{name}"' not in page] == []
    assert {"data", "prepare", "models", "optimize", "plots", "result", "simulate"} <= modules
