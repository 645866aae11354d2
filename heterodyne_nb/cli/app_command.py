"""``heterodyne-nb app``: the whole toolkit as a local web page."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import webbrowser
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from heterodyne_nb.app.environment import FILE, FOLDER, PAGE
from heterodyne_nb.cli.arguments import FAILED, OK, add_command, tell
from heterodyne_nb.errors import ConfigurationError, HeterodyneError, MissingFileError
from heterodyne_nb.remote import absolute

_HOST = "127.0.0.1"
_ENTRY = "heterodyne_nb.ipynb"
#: Seconds that a living server may take to answer, on however busy a machine.
_PATIENCE = 300.0
#: The extensions of JupyterLab that the page needs; others that are installed cost it time, plotly's alone 5 MB.
_EXTENSIONS = ["@voila-dashboards/widgets-manager8", "@jupyter-widgets/jupyterlab-manager", "anywidget"]


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    add = add_command(commands, "app", run, "open the notebook toolkit as a local web page").add_argument
    add(
        "file",
        type=absolute,
        nargs="?",
        metavar="FILE",
        help="data file, folder of runs, or of a saved session",
    )
    add("--port", type=int, metavar="N", help="port of the page (default: a free one)")
    add("--theme", choices=("light", "dark"), default="light", help="look of the page")
    add("--no-browser", action="store_true", help="print the address and open no browser")


def run(args: Namespace) -> int:
    """Serve the page on this machine alone, until Ctrl-C."""
    missing = [name for name in ("voila", "ipywidgets", "anywidget") if not importlib.util.find_spec(name)]
    if missing:
        raise ConfigurationError(
            f"the page needs {', '.join(missing)}, which is not installed",
            where="heterodyne-nb app",
            hint='pip install "heterodyne_nb[app]"',
        )
    if args.file is not None and not args.file.exists():
        raise MissingFileError("there is no such file", where=str(args.file))
    port = _free_port(args.port)
    token = secrets.token_urlsafe(24)
    with _server(args, port, token) as server:
        _wait(server, port)
        address = f"http://{_HOST}:{port}/?token={token}"
        tell(args, f"open {address}\n(only from this computer; end it with Ctrl-C)")
        sys.stdout.flush()
        if not args.no_browser:
            webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt), _ended_by_term():
            server.wait()
            return FAILED  # it ends by itself only when something went wrong
    return OK


@contextmanager
def _ended_by_term() -> Iterator[None]:
    """Let a request to terminate end the page as Ctrl-C does, so that the server goes too."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return

    def end(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _free_port(wanted: int | None) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, wanted or 0))
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"port {wanted} cannot be used ({error})", where="--port", hint="leave it out for a free one"
            ) from None
        return int(probe.getsockname()[1])


@contextmanager
def _server(args: Namespace, port: int, token: str) -> Iterator[subprocess.Popen[bytes]]:
    """Voilà on a copy of the entry notebook; the token goes by the environment, which other users cannot read."""
    notebook = as_file(files("heterodyne_nb.app").joinpath("static", "entry.ipynb"))
    with tempfile.TemporaryDirectory(prefix="heterodyne_nb_") as folder, notebook as entry:
        shutil.copyfile(entry, Path(folder) / _ENTRY)
        command = [sys.executable, "-m", "voila", str(Path(folder) / _ENTRY), "--no-browser"]
        command += [f"--Voila.ip={_HOST}", f"--Voila.port={port}", "--Voila.port_retries=0"]
        command += ["--Voila.auto_token=True", f"--theme={args.theme}"]
        command += [f"--VoilaConfiguration.extension_allowlist={_EXTENSIONS}"]
        file = getattr(args.file, "url", str(args.file or ""))
        environment = {**os.environ, "JUPYTER_TOKEN": token, FILE: file, FOLDER: str(Path.cwd())}
        environment[PAGE] = str(Path(folder) / "page")
        output = None if args.verbose else subprocess.DEVNULL
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            yield server
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(server: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the server takes connections."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((_HOST, port), timeout=1):
            return
        time.sleep(0.1)
    raise HeterodyneError(
        "the page's server did not start", where="heterodyne-nb app", hint="--verbose shows what it says"
    )
