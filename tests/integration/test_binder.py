"""Binder: the files follow repo2docker's rules, and the environment they describe runs the first notebook."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
from packaging.specifiers import SpecifierSet

#: What repo2docker reads from binder/, of all it knows.
KNOWN = {"requirements.txt", "environment.yml", "runtime.txt", "apt.txt", "postBuild", "start", "Dockerfile"}
PACKED = ("heterodyne_nb", "notebooks", "binder", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture
def binder(repository: Path) -> Path:
    return repository / "binder"


def entries(path: Path) -> list[str]:
    lines = [line.strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_every_file_is_one_that_repo2docker_reads(binder: Path) -> None:
    files = {path.name for path in binder.iterdir()}
    assert {"requirements.txt", "runtime.txt", "apt.txt", "postBuild"} <= files <= KNOWN


def test_the_python_is_one_that_the_package_supports(binder: Path, repository: Path) -> None:
    (runtime,) = entries(binder / "runtime.txt")
    match = re.fullmatch(r"python-(3\.\d+)", runtime)
    assert match
    supported = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["requires-python"]
    assert f"{match[1]}.1" in SpecifierSet(supported)


def test_system_packages_are_names_only(binder: Path) -> None:
    names = entries(binder / "apt.txt")
    assert names == sorted(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name)] == []


def test_post_build_is_a_script_that_bash_accepts(binder: Path) -> None:
    script = binder / "postBuild"
    assert script.read_text().startswith("#!/bin/bash\n")
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0


def test_the_documentation_makes_its_links_from_the_repository_s_address(repository: Path) -> None:
    conf = runpy.run_path(str(repository / "docs" / "conf.py"))
    on_binder = conf["on_binder"]
    for address in ("https://github.com/a-lab/hetero.nb.git", "git@github.com:a-lab/hetero.nb.git"):
        assert "https://mybinder.org/v2/gh/a-lab/hetero.nb/HEAD?urlpath=lab" in on_binder(address)
    assert "mybinder" not in on_binder("../heterodyne_nb")
    assert "{{ binder }}" in (repository / "docs" / "tutorials.md").read_text()


def test_the_badges_of_the_readme_open_notebooks_that_are_there(repository: Path) -> None:
    links = re.findall(r"\((https://mybinder\.org/v2/[^)]+)\)", (repository / "README.md").read_text())
    opened = [parse_qs(urlparse(link).query)["urlpath"][0] for link in links]
    assert opened == ["lab/tree/notebooks/index.ipynb", "voila/render/notebooks/app.ipynb"]
    for path in opened:
        assert (repository / re.sub(r"^(lab/tree|voila/render)/", "", path)).is_file()


def test_repo2docker_makes_an_image_description_of_it(repository: Path) -> None:
    if importlib.util.find_spec("repo2docker") is None:
        pytest.skip("repo2docker is not installed")
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."]
    told = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr[-2000:]
    described = told.stdout + told.stderr
    assert 'pip install --no-cache-dir -r "binder/requirements.txt"' in described
    assert "RUN ./binder/postBuild" in described
    assert re.search(r"apt-get install --yes --no-install-recommends .*libnss3", described)
    assert (entries(repository / "binder" / "runtime.txt")[0].removeprefix("python-")) in described


@pytest.fixture
def copy(repository: Path, tmp_path: Path) -> Path:
    """The checkout as Binder copies it, so that building leaves nothing in this one."""
    place = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in PACKED:
        source = repository / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=ignored)
        else:
            shutil.copy(source, place / name)
    return place


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The variables of a shell in a fresh virtual environment; skips where no package can be fetched."""
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "PYTHON", "JUPYTER_"))}
    variables |= {"PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}", "VIRTUAL_ENV": str(home)}
    variables["JUPYTER_DATA_DIR"] = str(tmp_path / "jupyter")  # where trust is kept
    probe = ["pip", "install", "-q", "--no-deps", "--retries", "1", "--timeout", "15", "wheel"]
    if subprocess.run(probe, env=variables, capture_output=True).returncode:
        pytest.skip("offline: pip cannot fetch a package")
    return variables


@pytest.mark.browser  # the notebook keeps its pictures
@pytest.mark.slow
def test_a_fresh_environment_made_of_these_files_runs_the_first_notebook(
    copy: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"

    run("pip", "install", "-q", "-r", "binder/requirements.txt")
    run("./binder/postBuild")
    first = copy / "notebooks" / "01_quickstart.ipynb"
    run("jupyter", "nbconvert", "--to", "notebook", "--execute", "--output", "done.ipynb", str(first))
    assert b"image/png" in (first.parent / "done.ipynb").read_bytes()
    run("jupyter", "server", "extension", "list")
