"""The app: one session over all panels, saved, loaded, undone."""

from __future__ import annotations

import pytest
from ipywidgets.widgets.widget import _instances

from heterodyne_nb.app import App
from heterodyne_nb.app.app import FILE, FOLDER, TABS, from_environment
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.simulate import example_path


@pytest.fixture
def app():
    made = App(example_path())
    yield made
    made.close()
    made.session.close()


def test_a_file_is_open_at_once_and_named_in_the_bar(app):
    assert app.session.source == str(example_path())
    assert "heterodyne_example.h5 · heterodyne · no fit yet" in app.status.value
    assert app.cancel.layout.display == "none"


def test_panels_are_made_when_they_are_wanted_and_once(app):
    assert list(app._panels) == ["data"]
    assert "one moment" in app.tabs.children[1].children[0].value
    assert app.data is app.data
    assert app.tabs.children[0].children == (app.data.widget,)
    with pytest.raises(AttributeError, match="no 'datum'"):
        app.datum  # noqa: B018


@pytest.mark.parametrize("name", [name for _, name, _ in TABS])
def test_every_panel_shares_the_session(app, name):
    assert getattr(app, name).session is app.session
    assert app.message.value == ""


def test_undo_and_redo_name_what_they_would_take(app):
    app.session.mask_frames(121, 124)
    assert app.undo.tooltip == "undo: mask frames 121-124"
    app.undo.click()
    assert app.session.masked == ()
    app.redo.click()
    assert app.session.masked == ((121, 124),)


def test_what_was_done_is_a_list_and_choosing_a_step_goes_back_or_on_to_it(app):
    session, steps = app.session, app.back.steps
    session.mask_frames(121, 124)
    session.crop_frames(1, 150)
    session.select_bin(5)
    assert [name for name, _ in steps.options] == [
        "show another bin", "crop to frames 1-150", "mask frames 121-124", f"open {example_path().name}",
        "the start",
    ]  # fmt: skip
    steps.value = -2
    assert session.masked == ((121, 124),)
    assert session.crop is None
    assert steps.options[0] == ("(show another bin)", 2)
    steps.value = 2
    assert session.crop == (1, 150)
    assert session.bin == 5


def test_a_saved_session_comes_back_in_all_panels(app, tmp_path):
    app.session.mask_frames(121, 124)
    app.folder.value = str(tmp_path / "session")
    app.save.click()
    assert app.message.value == ""
    app.session.unmask_frames()
    old = app.session
    app.load.click()
    assert app.message.value == ""
    assert app.session is not old
    assert old.closed
    assert app.session.masked == ((121, 124),)
    assert app.data.session is app.session
    assert app.data.map.bands == [(121, 124)]
    again = App(tmp_path / "session")
    assert again.session.masked == ((121, 124),)
    again.close()
    again.session.close()


def test_what_cannot_be_opened_is_said_in_place(tmp_path):
    app = App(tmp_path / "nothing.h5")
    assert "there is no such file" in app.message.value
    app.save.click()
    assert "no folder is named" in app.message.value
    app.folder.value = str(tmp_path)
    app.load.click()
    assert "session" in app.message.value
    app.close()
    app.session.close()


def test_the_served_page_opens_what_the_command_was_given(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # so that it is put back
    monkeypatch.setenv(FILE, str(example_path()))
    monkeypatch.setenv(FOLDER, str(tmp_path))
    app = from_environment()
    assert app.session.source == str(example_path())
    app.close()
    app.session.close()


def test_a_closed_app_leaves_no_widget_and_no_observer_behind():
    session = AnalysisSession()
    before = set(_instances)
    app = App(session)
    app.close()
    left = [w for key, w in _instances.items() if key not in before]
    assert [type(w).__name__ for w in left if not type(w).__name__.endswith(("Style", "Layout"))] == []
    assert session._trait_notifiers.get("undo_name", {}).get("change", []) == []
    session.close()
