"""Import paths of before the folders became the flow give the same objects, and say where those are now."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

import heterodyne_nb
from heterodyne_nb import plots
from heterodyne_nb.old_paths import MODULES, NAMES, either_order, formerly

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
    "lines",
    [
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
        ],
        ["from heterodyne_nb import widgets"],
        ["import heterodyne_nb; heterodyne_nb.widgets.App"],
    ],
    ids=["imports of names and modules", "import of widgets", "widgets as an attribute"],
)
def test_the_warning_is_shown_at_the_line_of_the_user(lines: list[str], tmp_path: Path) -> None:
    script = tmp_path / "old.py"
    script.write_text("\n".join(lines))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for number in range(1, len(lines) + 1):
        assert f"{script}:{number}: DeprecationWarning: heterodyne_nb." in done.stderr


def test_a_name_that_never_was_is_an_ordinary_error() -> None:
    with pytest.raises(ImportError, match="no_such_name"):
        importlib.import_module("heterodyne_nb.results.no_such_name")
    with pytest.raises(ModuleNotFoundError, match="no_such_panel"):
        importlib.import_module("heterodyne_nb.widgets.no_such_panel")
    with pytest.raises(AttributeError, match="no_such_name"):
        importlib.import_module("heterodyne_nb.analysis").no_such_name  # noqa: B018


def test_an_old_name_in_a_folder_is_the_new_one_and_says_so() -> None:
    for old, new in (("criticism", "goodness_of_fit"), ("influence", "jackknife"), ("theme", "canvas")):
        with pytest.warns(DeprecationWarning, match=rf"plots\.{old} is now heterodyne_nb\.plots\.{new}"):
            found = plots.__getattr__(old)
        assert found is getattr(plots, new)


def test_a_call_of_before_means_the_same_and_says_how_it_is_made_now() -> None:
    @formerly("result", "dataset", "path", ds="dataset")
    def report(dataset: object, result: object, path: str) -> tuple[object, object, str]:
        """Of a fit."""
        return dataset, result, path

    @formerly("result", "dataset")
    def tiles(result: object, *, dataset: object = None) -> tuple[object, object]:
        return result, dataset

    result = SimpleNamespace(curve_names=())
    with pytest.warns(
        DeprecationWarning, match=r"report\(result, dataset, path\) is now report\(dataset, result, path"
    ):
        assert report(result, "data", "page") == ("data", result, "page")
    with pytest.warns(DeprecationWarning, match=r"report\(ds=…\) is now report\(dataset=…\)"):
        assert report(ds="data", result=result, path="page") == ("data", result, "page")
    with pytest.warns(
        DeprecationWarning, match=r"tiles\(result, dataset\) is now tiles\(result, dataset=…\)"
    ):
        assert tiles(result, "data") == (result, "data")
    assert report("data", result, "page") == ("data", result, "page")
    assert tiles(result) == (result, None)
    assert (report.__name__, report.__doc__) == ("report", "Of a fit.")


@pytest.mark.parametrize("given", ["data result", "result data", "result"])
def test_a_result_and_its_data_are_taken_in_either_order(given: str) -> None:
    @either_order
    def asked(
        dataset: object = None, result: object = None, name: str = "", *, n: int = 0
    ) -> tuple[object, ...]:
        return dataset, result, name, n

    here = {"data": "data", "result": SimpleNamespace(curve_names=())}
    data = "data" if "data" in given else None
    arguments = [here[word] for word in given.split()]
    assert asked(*arguments, n=2) == (data, here["result"], "", 2)
    if data is not None:
        assert asked(*arguments, "v") == ("data", here["result"], "v", 0)
        assert asked(here["result"], dataset="data", name="v") == ("data", here["result"], "v", 0)


@pytest.mark.parametrize("folder", ["assess", "fitting", "plots", "robust"])
def test_data_come_before_the_result_in_every_public_function(folder: str) -> None:
    module = importlib.import_module(f"heterodyne_nb.{folder}")
    functions = {
        name: getattr(module, name) for name in module.__all__ if inspect.isfunction(getattr(module, name))
    }
    places = {name: list(inspect.signature(one).parameters.values()) for name, one in functions.items()}
    wrong = [
        name
        for name, parameters in places.items()
        if [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][:2] == ["result", "dataset"]
    ]
    assert functions
    assert not wrong


def test_a_function_is_not_hidden_by_the_old_file_of_its_name() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module("heterodyne_nb.results.bootstrap")
        assert importlib.import_module("heterodyne_nb.results").bootstrap is heterodyne_nb.bootstrap
