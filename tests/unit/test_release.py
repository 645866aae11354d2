"""A release: one version wherever it is written, an archive that holds everything, a conda recipe that asks for the same."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml

import heterodyne_nb

#: Names of packages that conda knows otherwise.
CONDA_NAMES = {"gurobipy": "gurobi", "kaleido": "python-kaleido"}


@pytest.fixture
def project(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture
def recipe(repository: Path) -> dict:
    return yaml.safe_load((repository / ".ci" / "conda" / "recipe.yaml").read_text(encoding="utf-8"))


def test_the_version_is_the_one_of_the_installed_package() -> None:
    assert importlib.metadata.version("heterodyne_nb") == heterodyne_nb.__version__


def test_the_version_and_its_date_are_the_same_wherever_they_are_written(
    repository: Path, project: dict, recipe: dict
) -> None:
    version = heterodyne_nb.__version__
    citation = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    dates = re.findall(rf"^## \[{re.escape(version)}\] - (\d{{4}}-\d\d-\d\d)$", changes, re.MULTILINE)
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "heterodyne_nb.__version__"}
    assert (citation["version"], recipe["context"]["version"]) == (version, version)
    assert dates == [str(citation["date-released"])]


def test_the_source_archive_holds_every_file_of_the_repository(repository: Path, tmp_path: Path) -> None:
    if int(importlib.metadata.version("setuptools").split(".")[0]) < 77:
        pytest.skip("setuptools is older than the build asks for: pip install -e '.[test]'")
    if not (repository / ".git").exists():
        pytest.skip("this is no clone: the files of the repository are not known")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=True
    )
    files = {name for name in listed.stdout.split("\0") if name and (repository / name).is_file()}
    for name in files:
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repository / name, tmp_path / "copy" / name)
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=tmp_path / "copy", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / f"heterodyne_nb-{heterodyne_nb.__version__}.tar.gz") as archive:
        held = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert files - held == set()
    assert {name for name in held - files if ".egg-info/" not in name} == {"PKG-INFO", "setup.cfg"}


def test_the_conda_recipe_asks_for_what_the_package_and_its_application_need(
    project: dict, recipe: dict
) -> None:
    about, needs = project["project"], recipe["requirements"]
    wanted = [
        re.match(r"([\w-]+)(.*)", one).groups()
        for one in about["dependencies"] + about["optional-dependencies"]["app"]
    ]
    asked = dict(one.split(" ") for one in needs["run"])
    assert asked.pop("python") == about["requires-python"]
    assert asked == {CONDA_NAMES.get(name, name): bounds for name, bounds in wanted}
    scripts = [f"{name} = {call}" for name, call in about["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == scripts
    assert needs["host"][-1].replace(" ", "") == project["build-system"]["requires"][0]


def test_rattler_build_renders_the_conda_recipe(repository: Path) -> None:
    rattler = pytest.importorskip(
        "rattler_build", reason="for this test: pip install 'heterodyne_nb[validators]'"
    )
    recipe = rattler.Stage0Recipe.from_file(str(repository / ".ci" / "conda" / "recipe.yaml"))
    (made,) = recipe.render(rattler.VariantConfig(), rattler.RenderConfig())
    assert (str(made.recipe.package.name), str(made.recipe.package.version)) == (
        "heterodyne_nb",
        heterodyne_nb.__version__,
    )
    assert "gurobi >=13.0" in [str(one) for one in made.recipe.requirements.run]
