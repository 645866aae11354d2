"""``heterodyne-nb app``: a page for this computer alone, behind a token."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import urllib.request

import pytest

from heterodyne_nb.cli import main


def test_without_voila_it_says_what_to_install(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "voila" else found(name))
    assert main(["app"]) == 2
    told = capsys.readouterr().err
    assert "the page needs voila, which is not installed" in told
    assert 'pip install "heterodyne_nb[app]"' in told


def test_a_missing_file_is_said_before_anything_starts(capsys, tmp_path):
    assert main(["app", str(tmp_path / "run.h5")]) == 1
    assert "there is no such file" in capsys.readouterr().err


def test_a_port_in_use_is_said(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["app", "--port", str(port)]) == 2
    assert f"port {port} cannot be used" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_asks_for_its_token_and_ends_with_the_command(tmp_path):
    command = [sys.executable, "-m", "heterodyne_nb", "app", "--no-browser"]
    app = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        assert app.stdout is not None
        address = app.stdout.readline().split()[-1]
        page, _, token = address.partition("?token=")
        assert page.startswith("http://127.0.0.1:")
        assert len(token) > 20
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for closed in (page, f"{page}api/kernels"):
            with direct.open(closed, timeout=600) as answer:
                assert "/login?" in answer.geturl()
        app.terminate()
        assert app.wait(600) == 0
    finally:
        app.kill()
        app.communicate()
    port = int(page.rstrip("/").rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
