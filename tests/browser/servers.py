"""The pages that the browser tests open: the app as the command serves it (by Voilà), and a notebook in JupyterLab and Notebook 7."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOST = "127.0.0.1"
_PATIENCE = 300.0

_APP = "import heterodyne_nb as hnb\n\napp = hnb.App()\napp"


def notebook(cell: str) -> str:
    """A notebook of one cell, as its file holds it."""
    code = {"cell_type": "code", "execution_count": None, "id": "one", "metadata": {}, "outputs": []}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": [{**code, "source": cell}], "metadata": {"kernelspec": kernel}}
    return json.dumps({**whole, "nbformat": 4, "nbformat_minor": 5})


@contextmanager
def served_app(folder: Path, *arguments: str) -> Iterator[str]:
    """``heterodyne-nb app`` in a folder; yields the address it prints."""
    command = [sys.executable, "-m", "heterodyne_nb", "app", "--no-browser", *arguments]
    with _process(command, folder, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        yield server.stdout.readline().decode().split()[-1]


@contextmanager
def served_lab(folder: Path) -> Iterator[str]:
    """JupyterLab in a folder that holds ``story.ipynb``; yields the address of that notebook alone."""
    quiet = ["--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with _jupyter(folder, "jupyterlab", "LabApp", *quiet) as (address, token):
        yield f"{address}/doc/tree/story.ipynb?token={token}"


@contextmanager
def served_notebook_7(folder: Path) -> Iterator[str]:
    """Notebook 7 in a folder that holds ``story.ipynb``; yields the address of that notebook."""
    with _jupyter(folder, "notebook", "JupyterNotebookApp") as (address, token):
        yield f"{address}/notebooks/story.ipynb?token={token}"


@contextmanager
def _jupyter(folder: Path, module: str, name: str, *options: str) -> Iterator[tuple[str, str]]:
    """A server of notebooks with a notebook of the app; yields its address and token."""
    (folder / "story.ipynb").write_text(notebook(_APP))
    port = _free_port()
    token = secrets.token_hex(12)
    command = [sys.executable, "-m", module, "--no-browser", "--allow-root", f"--ServerApp.ip={_HOST}"]
    command += [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", "--ServerApp.port_retries=0"]
    command += [f"--{name}.expose_app_in_browser=True", "--ServerApp.open_browser=False", *options]
    settings = {
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
    }
    with _process(command, folder, environment=settings) as server:
        _wait(server, port)
        yield f"http://{_HOST}:{port}", token


@contextmanager
def served_notebook(folder: Path, cell: str) -> Iterator[str]:
    """A notebook of one cell as Voilà shows it; yields its address."""
    (folder / "page.ipynb").write_text(notebook(cell))
    port = _free_port()
    command = [sys.executable, "-m", "voila", "page.ipynb", "--no-browser", f"--Voila.ip={_HOST}"]
    with _process([*command, f"--Voila.port={port}", "--Voila.port_retries=0"], folder) as server:
        _wait(server, port)
        yield f"http://{_HOST}:{port}/"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def _process(
    command: list[str], folder: Path, stdout: int | None = None, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=log if stdout is None else stdout,
            stderr=log,
        )
        try:
            yield server
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
            server.communicate()


def _wait(server: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            socket.create_connection((_HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server did not start; see server.log in the test's folder")
