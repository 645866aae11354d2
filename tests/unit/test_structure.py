"""The shape of the package: imports go one way, stay lazy, and the linters have nothing to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import heterodyne_nb

#: Packages that cost much to import, or need a screen: only used where they are needed.
HEAVY = ("numpy", "xarray", "pandas", "numba", "cvxpy", "gurobipy", "plotly", "ipywidgets", "matplotlib")


def _run(repository: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=repository, capture_output=True, text=True, check=False, timeout=600
    )


def _modules_after(repository: Path, statement: str) -> set[str]:
    listing = "import sys, json; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    code = f"{statement}\n{listing}"
    done = _run(repository, "-c", code)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_imports_only_go_down_the_layers(repository: Path) -> None:
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(cache_dir=None))"
    done = _run(repository, "-c", code)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing(repository: Path) -> None:
    done = _run(repository, "-m", "ruff", "check", "--no-cache", ".")
    assert done.returncode == 0, done.stdout


def test_every_file_is_formatted_by_ruff(repository: Path) -> None:
    done = _run(repository, "-m", "ruff", "format", "--no-cache", "--check", ".")
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_mypy_finds_nothing(repository: Path, tmp_path: Path) -> None:
    done = _run(repository, "-m", "mypy", "--cache-dir", str(tmp_path))
    assert done.returncode == 0, done.stdout


def test_importing_the_package_loads_nothing_heavy(repository: Path) -> None:
    assert not _modules_after(repository, "import heterodyne_nb").intersection(HEAVY)


def test_solvers_and_figures_are_imported_only_when_used(repository: Path) -> None:
    packages = (
        "config",
        "data",
        "models",
        "optimize",
        "uncertainty",
        "result",
        "fitting",
        "assess",
        "robust",
    )
    every = ", ".join(f"heterodyne_nb.{name}" for name in (*packages, "analysis", "app"))
    loaded = _modules_after(repository, f"import {every}")
    assert not loaded.intersection({"cvxpy", "gurobipy", "plotly", "ipywidgets", "matplotlib"})


@pytest.mark.parametrize("name", sorted(heterodyne_nb.__all__))
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(heterodyne_nb, name) is not None


def test_an_unknown_public_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="HeterodyneAnalysisCore"):
        heterodyne_nb.no_such_name  # noqa: B018
