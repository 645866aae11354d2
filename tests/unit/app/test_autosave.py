"""A page saves its session by itself and comes back to it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from heterodyne_nb.app import App
from heterodyne_nb.app.app import FILE, PAGE, from_environment
from heterodyne_nb.app.session import tasks
from heterodyne_nb.app.session.autosave import HOME
from heterodyne_nb.simulate import example_path

#: A page whose process is killed in the middle of a fit, once the fit has written its first best point.
KILLED = """
import os, signal, time
from heterodyne_nb.app.app import from_environment
from heterodyne_nb.optimize.journal import Journal
Journal.every = 0.0
session = from_environment().session
session.mask_frames(121, 124)
session.fit_bins([17, 19])
session.run()
while session.status == "running" and not session.journal.exists():
    time.sleep(0.002)
os.kill(os.getpid(), signal.SIGKILL if session.status == "running" else signal.SIGTERM)
"""


@pytest.fixture(autouse=True)
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What ``heterodyne-nb app`` tells its pages by the environment."""
    monkeypatch.setenv(HOME, str(tmp_path / "sessions"))
    monkeypatch.setenv(FILE, str(example_path()))
    monkeypatch.setenv(PAGE, str(tmp_path / "page"))
    return tmp_path / "page"


def _left(app: App) -> None:
    app.close()
    app.session.close()


def test_a_page_loaded_again_comes_back_to_the_state_it_had() -> None:
    first = from_environment()
    first.session.mask_frames(121, 124)
    first.session.select_bin(5)
    _left(first)
    again = from_environment()
    assert (again.session.masked, again.session.bin) == (((121, 124),), 5)
    assert again.session.source == first.session.source
    _left(again)


@pytest.mark.slow
def test_a_fit_whose_page_was_killed_goes_on_and_ends_at_the_same_optimum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    found: list[bool] = []

    def watched(*asked: Any, journal: Path, **more: Any) -> Any:
        found.append(journal.exists())
        return the_fit(*asked, journal=journal, **more)

    the_fit = tasks.fit
    monkeypatch.setattr(tasks, "fit", watched)
    app = from_environment()
    assert app.message.value == ""
    assert app.session.activity == "fit"
    app.session.wait()
    resumed = app.session.result
    app.session.run()
    app.session.wait()
    assert found == [True, False]  # the first goes on from the journal, the second begins anew
    assert resumed.chi2 == pytest.approx(app.session.result.chi2, rel=1e-8)
    assert not app.saving.journal.exists()
    assert [entry.kind for entry in app.session.history] == ["fit", "fit"]
    _left(app)


def test_of_two_pages_the_later_one_saves_and_the_earlier_says_so() -> None:
    first, second = from_environment(), from_environment()
    second.session.mask_frames(1, 3)
    first.session.mask_frames(7)
    assert "another page" in first.message.value
    _left(first)
    _left(second)
    third = from_environment()
    assert third.session.masked == ((1, 3),)
    _left(third)


def test_earlier_sessions_are_offered_and_loaded_by_their_label(monkeypatch, tmp_path) -> None:
    first = from_environment()
    first.session.mask_frames(7)
    _left(first)
    monkeypatch.setenv(PAGE, str(tmp_path / "another page"))
    app = from_environment()
    label = next(one for one in app.folder.options if Path(app._recent[one]) == first.saving.folder)
    assert label.startswith("heterodyne_example.h5 · 0 fits · ")
    app.folder.value = label
    app.load.click()
    assert app.message.value == ""
    assert app.session.masked == ((7, 7),)
    app.session.mask_frames(9)  # goes to a folder of its own: the earlier session stays as it was
    assert app.saving.folder != first.saving.folder
    _left(app)


def test_results_that_are_saved_already_are_not_written_again() -> None:
    app = from_environment()
    app.session.fit_bins([17])
    app.session.change_settings(mode="static_anisotropic", multistart=0)
    app.session.run()
    app.session.wait()
    file = app.saving.folder / "000_gauss_newton.nc"
    before = file.stat().st_ino
    app.session.select_bin(3)
    assert file.stat().st_ino == before
    assert '"bin": 3' in (app.saving.folder / "session.json").read_text()
    _left(app)


def test_where_nothing_can_be_written_the_page_says_so_and_works_on(monkeypatch, tmp_path) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv(HOME, str(tmp_path / "a file" / "sessions"))
    app = from_environment()
    assert "cannot save itself" in app.message.value
    app.session.mask_frames(121, 124)
    assert app.session.masked == ((121, 124),)
    _left(app)
