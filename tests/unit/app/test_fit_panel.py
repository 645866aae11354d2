"""The fit panel and its parts, driven by their named children without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pytest
import xarray as xr
from held import Held

from heterodyne_nb import AnalysisSession
from heterodyne_nb.app import FitPanel
from heterodyne_nb.app.number_field import NumberField, ValueSlider, number_text
from heterodyne_nb.app.session import running, tasks
from heterodyne_nb.errors import OptimizationError
from heterodyne_nb.text.numbers import value_with_error

THE_FIT = tasks.fit


@pytest.fixture
def session(small: xr.Dataset, remembered: None) -> Iterator[AnalysisSession]:
    one = AnalysisSession(small)
    one.change_settings(mode="static_isotropic", multistart=0)
    yield one
    one.close()


@pytest.fixture
def panel(session: AnalysisSession) -> Iterator[FitPanel]:
    one = FitPanel(session)
    yield one
    one.close()


def model_lines(panel: FitPanel) -> list[np.ndarray]:
    figure = panel.overlay.figure.figure
    return [np.array(trace.y) for trace in figure.data if trace.name == "model"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, ""), (0.0, "0"), (-0.0, "0"), (1e-3, "0.001"), (1e6, "1000000"), (123456.789, "123457"),
        (0.00047160912, "0.000471609"), (-2.5, "-2.5"), (3.2e-7, "3.2e-7"), (6.02214e23, "6.02214e23"),
    ],
)  # fmt: skip
def test_numbers_read_well_at_every_size(number: float | None, text: str) -> None:
    assert number_text(number) == text
    field = NumberField("x", optional=True)
    field.put(number)
    assert field.read() == (None if number is None else pytest.approx(number, rel=1e-5))
    assert not field.edited
    field.close()


@pytest.mark.parametrize(
    ("low", "high", "number"),
    [
        (0, 1e6, 29.4),
        (-2, 2, -0.67),
        (-1e5, 1e5, 0.0),
        (-1, 1, -0.0047),
        (-360, 360, 14.4),
        (1e-9, 1e9, 1e-3),
    ],
)
def test_a_slider_over_any_range_has_room_on_both_sides_of_its_value(
    low: float, high: float, number: float
) -> None:
    slider = ValueSlider()
    slider.put(number, low, high)
    place = slider.value
    assert 0.02 < place < 0.98
    assert not slider.moved
    slider.value = round(place * 400) / 400  # as the page sends it back
    assert not slider.moved
    slider.value = place + 1 / 400
    assert slider.moved
    assert slider.read() > number
    assert slider.read() - number < 0.1 * max(abs(number), 1e-3 * (high - low))
    slider.value = 1.0
    assert slider.read() == high
    slider.close()


def test_the_table_shows_what_the_session_asks_and_changes_it(
    panel: FitPanel, session: AnalysisSession
) -> None:
    row = panel.rows["D0"]
    assert (row.value.value, row.min.value, row.max.value) == ("1000", "0", "1000000")
    row.value.value = "450"
    row.max.value = "5e4"
    row.prior.value = "400 ± 25"
    panel.rows["alpha"].vary.value = False
    panel.rows["D_offset"].tie.value = "D0"
    table = session.parameters
    assert (table.values[0], table.upper[0], table.prior[0]) == (450.0, 5e4, (400.0, 25.0))
    assert table.role == ("free", "fixed", "tied to D0")
    assert panel.rows["D_offset"].slider.disabled
    panel.undo.click()
    assert panel.rows["D_offset"].tie.value == ""
    assert not panel.rows["D_offset"].slider.disabled


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("-5", "below its lower bound 0"),
        ("abc", "&#x27;abc&#x27; is not a number"),
        ("1,5", "decimal point"),
        ("", "nothing is given"),
        ("inf", "not a number"),
    ],
)
def test_a_wrong_value_is_said_in_the_panel_and_the_field_is_marked(
    panel: FitPanel, session: AnalysisSession, text: str, told: str
) -> None:
    field, before = panel.rows["D0"].value, session.parameters
    field.value = text
    assert told in panel.parameters.message.value
    assert field.layout.border_top.endswith("#D55E00")
    assert session.parameters == before
    field.value = "800"
    assert panel.parameters.message.value == ""
    assert field.layout.border_top is None


def test_a_slider_moves_the_model_over_the_data_at_once(panel: FitPanel) -> None:
    before = model_lines(panel)
    assert len(before) == 3
    panel.rows["D0"].slider.value = 0.9
    after = model_lines(panel)
    assert all(np.nanmax(np.abs(a - b)) > 0.01 for a, b in zip(after, before, strict=True))


def test_another_bin_or_kind_of_cut_draws_other_points(panel: FitPanel, session: AnalysisSession) -> None:
    points = np.array(panel.overlay.figure.figure.data[-1].y)
    session.select_bin((session.bin + 1) % 4)
    other = np.array(panel.overlay.figure.figure.data[-1].y)
    assert not np.array_equal(points, other)
    panel.overlay.kind.value = "diagonal"
    assert panel.overlay.figure.figure.data[-1].y.size != other.size or not np.array_equal(
        panel.overlay.figure.figure.data[-1].y, other
    )


def test_a_fit_by_its_button_fills_history_table_and_figures(
    panel: FitPanel, session: AnalysisSession
) -> None:
    panel.run.click()
    assert session.wait(600)
    values = session.result.values
    assert panel.rows["D0"].value.value == number_text(values["D0"])
    assert "fit 1" in panel.entries.options[0][0]
    assert "fit 1" in panel.bar.status.value
    assert len(panel.trace.figure.figure.data[1].x) > 1
    assert session.parameters.values.tolist() == list(values.values())  # not rounded by any control


def test_the_first_move_of_a_slider_after_a_fit_counts(panel: FitPanel, session: AnalysisSession) -> None:
    panel.run.click()
    session.wait(600)
    slider = panel.rows["alpha"].slider
    for sign in (1, -1):
        before = session.parameters.values[1]
        slider.value += sign / 400
        assert np.sign(session.parameters.values[1] - before) == sign


def test_progress_shows_while_a_fit_runs_and_cancel_ends_it(
    panel: FitPanel, session: AnalysisSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    panel.run.click()
    assert panel.run.disabled
    assert not panel.cancel.disabled
    assert held.reported.wait(600)
    assert "held · reduced χ² 30." in panel.bar.status.value
    assert panel.bar.bar.value > 0
    panel.cancel.click()
    assert panel.cancel.disabled
    assert session.wait(600)
    assert "cancelled" in panel.bar.status.value
    assert not panel.run.disabled


def test_sliders_act_while_a_fit_runs_and_what_they_set_stays(
    panel: FitPanel, session: AnalysisSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    panel.run.click()
    panel.rows["D0"].value.value = "4321"
    assert session.status == "running"
    held.may_go_on.set()
    session.wait(600)
    assert panel.rows["D0"].value.value == "4321"


def test_an_error_of_a_fit_and_its_warnings_are_said_under_the_buttons(
    panel: FitPanel, session: AnalysisSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise OptimizationError("the solver is tired", hint="let it sleep")

    monkeypatch.setattr(running.tasks, "fit", failing)
    panel.run.click()
    with pytest.raises(OptimizationError):
        session.wait(600)
    assert "the solver is tired" in panel.bar.failure.value
    assert "let it sleep" in panel.bar.failure.value
    monkeypatch.setattr(running.tasks, "fit", THE_FIT)
    panel.run.click()
    session.wait(600)
    assert "tired" not in panel.bar.failure.value


def test_settings_are_chosen_typed_and_checked(panel: FitPanel, session: AnalysisSession) -> None:
    panel.loss.value = "huber"
    panel.time_limit.value = "12.5"
    panel.multistart.value = ""
    settings = session.settings
    assert (settings.loss, settings.time_limit, settings.multistart) == ("huber", 12.5, None)
    panel.time_limit.value = "-1"
    assert "time_limit" in panel.settings.message.value
    panel.multistart.value = "2.5"
    assert "a whole number" in panel.settings.message.value
    assert session.settings == settings


def test_another_mode_has_another_table_and_undo_brings_the_old_one_back(
    panel: FitPanel, session: AnalysisSession
) -> None:
    assert panel.gap.layout.display == "none"
    panel.mode.value = "laminar_flow"
    assert list(panel.rows) == list(session.parameters.names)
    assert panel.gap.layout.display == ""
    panel.gap.value = "1e7"
    assert len(model_lines(panel)) == 3
    panel.undo.click()
    panel.undo.click()
    assert list(panel.rows) == ["D0", "alpha", "D_offset"]


def test_history_shows_reverts_and_compares(panel: FitPanel, session: AnalysisSession) -> None:
    panel.run.click()
    session.wait(600)
    panel.loss.value = "cauchy"
    panel.run.click()
    session.wait(600)
    panel.entries.value = (0,)
    panel.show.click()
    assert session.shown == 0
    panel.revert.click()
    assert panel.loss.value == "linear"
    panel.compare.click()
    assert "cannot be compared" in panel.history.message.value
    panel.entries.value = (0, 1)
    panel.compare.click()
    names = {trace.name for trace in panel.history.figure.figure.data}
    assert {"fit 1", "fit 2"} <= names


def test_an_entry_of_the_history_tells_when_and_how_long_takes_a_note_and_is_deleted(
    panel: FitPanel, session: AnalysisSession
) -> None:
    for _ in range(2):
        panel.run.click()
        session.wait(600)
    entry = session.history[0]
    panel.entries.value = (0,)
    panel.note.value = "second cell"
    line = panel.entries.options[1][0]
    ended = datetime.fromisoformat(entry.time).astimezone()
    assert f"{ended:%d %b %H:%M}" in line
    assert f"{entry.seconds:.3g} s" in line
    assert "second cell" in line
    panel.entries.value = (1,)
    assert panel.note.value == ""
    panel.delete.click()
    assert [place for _, place in panel.entries.options] == [0]
    assert session.shown == 0
    panel.undo.click()
    assert [place for _, place in panel.entries.options] == [1, 0]
    assert session.shown == 1


def test_the_fit_shown_stands_beside_its_start_values_with_errors(
    panel: FitPanel, session: AnalysisSession
) -> None:
    assert panel.rows["D0"].fitted.value == ""
    panel.run.click()
    session.wait(600)
    one = session.result.params["D0"]
    assert value_with_error(one.value, one.error) in panel.rows["D0"].fitted.value
    panel.mode.value = "laminar_flow"
    assert panel.rows["D0"].fitted.value == ""


def test_with_every_parameter_fixed_the_model_is_evaluated_and_called_so(
    panel: FitPanel, session: AnalysisSession
) -> None:
    assert panel.run.description == "Run"
    for row in panel.rows.values():
        row.vary.value = False
    assert panel.run.description == "Evaluate"
    before = session.parameters.values.tolist()
    panel.run.click()
    session.wait(600)
    assert session.history[0].name == "evaluation 1"
    assert list(session.result.values.values()) == before


def test_the_tab_of_fits_says_which_bin_is_drawn_and_picks_another(
    panel: FitPanel, session: AnalysisSession
) -> None:
    session.select_bin(0)
    assert "q = 0.006 Å⁻¹, φ = 0°" in panel.overlay.heading.value
    panel.bins.q.value = 0.01
    assert session.bin == 2
    assert "q = 0.01 Å⁻¹, φ = 0°" in panel.overlay.heading.value


def test_a_panel_without_data_says_what_to_do() -> None:
    panel = FitPanel()
    assert panel.run.disabled
    assert "No run is open" in panel.bar.status.value
    panel.rows["v0"].value.value = "500"
    panel.session.open_example()
    assert not panel.run.disabled
    assert len(model_lines(panel)) == 3
    panel.close()
    panel.session.close()


def test_a_closed_panel_leaves_no_widget_and_no_observer(
    session: AnalysisSession, small_widgets: Any
) -> None:
    observers = {
        name: list(session._trait_notifiers.get(name, {}).get("change", [])) for name in session.traits()
    }
    before = small_widgets()
    panel = FitPanel(session)
    panel.mode.value = "heterodyne"
    panel.undo.click()
    assert small_widgets() > before + 50
    panel.close()
    assert small_widgets() == before
    after = {
        name: list(session._trait_notifiers.get(name, {}).get("change", [])) for name in session.traits()
    }
    assert after == observers


@pytest.fixture
def small_widgets() -> Any:
    """Counts the widgets that are open, layouts and styles and the shared plotly.js aside."""
    from ipywidgets.widgets import widget

    def count() -> int:
        kinds = [type(one).__name__ for one in widget._instances.values()]
        return sum(not kind.endswith(("Layout", "Style", "StyleModel", "Library")) for kind in kinds)

    return count


def test_the_model_of_a_one_time_mode_is_drawn_over_all_ages(panel: FitPanel) -> None:
    panel.mode.value = "kww"
    assert len(model_lines(panel)) == 1
    panel.rows["Gamma"].value.value = "0.3"
    assert np.isfinite(model_lines(panel)[0]).all()


def test_a_small_picture_of_each_curve_follows_the_values_and_shows_the_fit(
    panel: FitPanel, session: AnalysisSession
) -> None:
    picture = panel.curves.picture
    for name, value in (("D0", "600"), ("alpha", "-0.4"), ("D_offset", "40")):
        panel.rows[name].value.value = value
    assert f"J from {number_text(600 * 0.5**-0.4 + 40, 3)} at 0.5 s to" in picture.value
    assert picture.value.count("<polyline") == 1
    assert "<polygon" not in picture.value
    panel.run.click()
    session.wait()
    assert picture.value.count("<polyline") == 2
    assert picture.value.count("<polygon") == 1
    fitted = float(session.result.curve("J")["value"][0])
    assert f"J from {number_text(fitted, 3)} at 0.5 s" in picture.value  # the fit's values are the next start
    session.change_settings(mode="static_anisotropic")
    assert "<polygon" not in picture.value  # a fit of another mode is not drawn
    session.change_settings(mode="kww")
    assert picture.value == ""


def test_a_new_fit_is_the_one_chosen_in_the_history(panel: FitPanel, session: AnalysisSession) -> None:
    for count in range(2):
        panel.run.click()
        session.wait()
        assert panel.entries.value == (count,)
    panel.delete.click()
    assert [entry.name for entry in (session.history[k] for k in session.kept)] == ["fit 1"]
    assert panel.entries.value == (0,)
