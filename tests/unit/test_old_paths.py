"""Import paths of before the folders became the flow give the same objects, and say where those are now."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import heterodyne_nb
from heterodyne_nb.old_paths import MODULES, NAMES

HANDED_ON = [(folder, name, home) for folder, names in NAMES.items() for name, home in names.items()]


@pytest.mark.parametrize("old", sorted(MODULES))
def test_an_old_module_is_the_new_one_and_says_so(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    new = importlib.import_module(MODULES[old])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module(old)
    monkeypatch.delitem(sys.modules, old)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {MODULES[old]}"):
        found = importlib.import_module(old)
    assert found is new
    assert new.__name__ == MODULES[old]


@pytest.mark.parametrize(("folder", "name", "home"), HANDED_ON, ids=lambda part: str(part))
def test_an_old_name_is_the_same_object_and_says_so(folder: str, name: str, home: str) -> None:
    old = importlib.import_module(f"heterodyne_nb.{folder}")
    with pytest.warns(DeprecationWarning, match=rf"is now heterodyne_nb\.{home}\.{name}"):
        found = getattr(old, name)
    assert found is getattr(importlib.import_module(f"heterodyne_nb.{home}"), name)


@pytest.mark.parametrize(
    "line",
    [
        "from heterodyne_nb.results import FitResult, bootstrap",
        "from heterodyne_nb.results.bootstrap import bootstrap",
        "from heterodyne_nb.results import reach",
        "import heterodyne_nb.results.uncertainty as uncertainty",
        "from heterodyne_nb.widgets import App",
        "from heterodyne_nb.analysis import fit, AnalysisSession",
        "from heterodyne_nb.analysis import fitting",
        "from heterodyne_nb.analysis.session import AnalysisSession",
        "from heterodyne_nb.optimize.robust import profile_radius",
        "from heterodyne_nb.optimize.trf import TRFStrategy",
        "from heterodyne_nb.engine.instrument import TOLERANCES",
        "from heterodyne_nb import widgets",
        "import heterodyne_nb; heterodyne_nb.widgets.App",
    ],
)
def test_the_warning_is_shown_at_the_line_of_the_user(line: str, tmp_path: Path) -> None:
    script = tmp_path / "old.py"
    script.write_text(line)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{script}:1: DeprecationWarning: heterodyne_nb." in done.stderr


def test_a_name_that_never_was_is_an_ordinary_error() -> None:
    with pytest.raises(ImportError, match="no_such_name"):
        importlib.import_module("heterodyne_nb.results.no_such_name")
    with pytest.raises(ModuleNotFoundError, match="no_such_panel"):
        importlib.import_module("heterodyne_nb.widgets.no_such_panel")
    with pytest.raises(AttributeError, match="no_such_name"):
        importlib.import_module("heterodyne_nb.analysis").no_such_name  # noqa: B018


def test_a_function_is_not_hidden_by_the_old_file_of_its_name() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module("heterodyne_nb.results.bootstrap")
        assert importlib.import_module("heterodyne_nb.results").bootstrap is heterodyne_nb.bootstrap
