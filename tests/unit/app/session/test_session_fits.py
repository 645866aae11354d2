"""Fits in the background: history, cancel, errors, undo of what a fit changed, and closing."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest
from held import Held

import heterodyne_nb
from heterodyne_nb import AnalysisSession, OptimizationError
from heterodyne_nb.app.session import running


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("heterodyne_nb")]


def fitted(session: AnalysisSession) -> AnalysisSession:
    session.run()
    assert session.wait(600)
    return session


def test_a_fit_equals_the_public_function_and_is_entered_shown_and_taken_over(
    session: AnalysisSession,
) -> None:
    start = session.parameters
    fitted(session)
    direct = heterodyne_nb.fit(session.dataset, "static_isotropic", multistart=0)
    (entry,) = session.history
    assert session.result.values == direct.values
    assert session.shown == 0
    assert (entry.name, entry.kind, entry.source) == ("fit 1", "fit", session.source)
    assert session.parameters.values.tolist() == list(direct.values.values())
    assert session.undo() == "fit 1"
    assert session.parameters == start
    assert session.shown is None
    assert len(session.history) == 1  # a fit that was made is not unmade


def test_values_changed_while_a_fit_runs_are_not_overwritten_by_it(
    session: AnalysisSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    session.run()
    session.set_parameter("D0", value=777.0)
    held.may_go_on.set()
    session.wait(600)
    assert session.parameters.values[0] == 777.0
    assert session.shown == 0


def test_progress_reaches_observers_and_every_report_is_in_the_trace(
    session: AnalysisSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages, seen = [], []
    Held(monkeypatch, reports=30).may_go_on.set()
    session.observe(lambda change: seen.append(change["new"]), "progress")
    session.observe(lambda change: stages.append(change["new"]), "status")
    fitted(session)
    assert stages == ["running", "idle"]
    assert 1 <= sum(event.stage == "held" for event in seen) <= 30  # those the page can use
    assert [step[1:] for step in session.trace[:30]] == [(30.5, "held")] * 30


def test_a_cancelled_fit_keeps_its_best_so_far_and_says_so(
    session: AnalysisSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    Held(monkeypatch)
    stages: list[str] = []
    session.observe(lambda change: stages.append(change["new"]), "status")
    session.run()
    assert not session.wait(0.05)
    session.cancel()
    assert session.wait(600)
    assert stages == ["running", "cancelling", "idle"]
    assert session.result.message.startswith("cancelled")
    assert not session.result.success


def test_a_time_limit_ends_a_fit(session: AnalysisSession, monkeypatch: pytest.MonkeyPatch) -> None:
    Held(monkeypatch)
    session.change_settings(time_limit=1e-9)
    fitted(session)
    assert session.result.message.startswith("time limit")


def test_a_second_run_while_one_is_running_is_refused(
    session: AnalysisSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    Held(monkeypatch)
    session.run()
    with pytest.raises(OptimizationError, match="a fit is running"):
        session.run()
    with pytest.raises(OptimizationError, match="another run cannot be opened"):
        session.open_example()
    session.cancel()
    session.wait(600)


@pytest.mark.parametrize("raised", [OptimizationError("no way"), ZeroDivisionError("by nothing")])
def test_an_error_of_the_worker_becomes_the_error_of_the_session(
    session: AnalysisSession, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    def failing(*_: Any) -> None:
        raise raised

    monkeypatch.setattr(running.tasks, "fit", failing)
    session.run()
    with pytest.raises(OptimizationError, match=str(raised)):
        session.wait(600)
    assert str(raised) in str(session.error)
    assert (session.status, session.history) == ("idle", ())
    assert session.error is raised or session.error.__cause__ is raised


def test_an_observer_that_raises_neither_ends_the_fit_nor_is_hidden(
    session: AnalysisSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = []
    Held(monkeypatch).may_go_on.set()
    session.observe(lambda _: 1 / 0, "progress")
    session.observe(lambda change: errors.append(change["new"]), "error")
    session.run()
    session.wait(600)
    assert len(session.history) == 1
    assert any("ZeroDivisionError" in str(error) for error in errors if error)


def test_a_guess_sets_start_values_as_one_step_of_undo(session: AnalysisSession) -> None:
    session.set_parameter("alpha", value=-0.3, vary=False)
    before = session.parameters
    session.guess()
    session.wait(600)
    assert session.parameters.values[1] == -0.3
    assert session.parameters.values[0] != before.values[0]
    assert session.undo() == "guess"
    assert session.parameters == before


def test_bad_frames_are_found_and_masked(session: AnalysisSession) -> None:
    dataset = session.dataset.load()
    maps = dataset["c2"].values.copy()
    maps[..., 16:18, :] += 0.4
    maps[..., :, 16:18] += 0.4
    session.open(dataset.assign(c2=(dataset["c2"].dims, maps)))
    session.find_bad_frames()
    session.wait(600)
    assert session.masked == ((17, 18),)
    assert session.undo() == "mask bad frames"
    assert session.masked == ()


def test_revert_takes_settings_and_fitted_values_of_an_entry(session: AnalysisSession) -> None:
    fitted(session)
    first = session.result
    session.change_settings(loss="huber")
    session.set_parameter("D0", value=9999.0)
    fitted(session)
    session.revert(0)
    assert session.settings.loss == "linear"
    assert session.parameters.values.tolist() == list(first.values.values())
    assert session.result is first
    assert session.undo() == "revert to fit 1"
    assert session.settings.loss == "huber"


def test_only_the_chosen_bins_are_fitted(session: AnalysisSession) -> None:
    session.fit_bins([2, 3])
    fitted(session)
    assert session.result.dataset["q"].values.tolist() == [0.01, 0.01]


def test_reports_come_on_the_thread_of_a_running_event_loop(
    session: AnalysisSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, threads = Held(monkeypatch), []
    session.observe(lambda _: threads.append(threading.get_ident()), ["progress", "status", "history"])

    async def cell() -> None:
        session.run()
        await asyncio.sleep(0)  # the loop turns while the fit is held
        held.may_go_on.set()
        while session.status != "idle":
            await asyncio.sleep(0.01)

    asyncio.run(cell())
    assert set(threads) == {threading.get_ident()}
    assert len(session.history) == 1


def test_waiting_inside_a_running_loop_deals_with_the_end_of_the_fit(session: AnalysisSession) -> None:
    async def cell() -> None:
        session.run()
        assert session.wait(600)
        assert len(session.history) == 1

    asyncio.run(cell())


def test_closing_ends_the_worker_and_leaves_no_observer(
    session: AnalysisSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    Held(monkeypatch)
    calls = []
    session.observe(lambda change: calls.append(change), "progress")
    session.run()
    at_work = workers()
    assert at_work
    session.close()
    for worker in at_work:  # closing itself waits for some seconds only
        worker.join(600)
    assert workers() == []
    seen = len(calls)
    session.set_trait("progress", None)
    assert len(calls) == seen
    with pytest.raises(heterodyne_nb.ConfigurationError, match="closed"):
        session.run()


def test_parameters_stay_those_asked_when_robust_fits_are_not_there_or_fail(
    session: AnalysisSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def fit_robust(dataset: Any, mode: str, **given: Any) -> dict[str, Any]:
        seen.update(given, mode=mode)
        return {"wasserstein": seen["start"]}

    monkeypatch.setattr(heterodyne_nb, "fit_robust", fit_robust, raising=False)
    fitted(session)
    session.run_robust("wasserstein", radius=0.1)
    session.wait(600)
    assert seen["start"] is session.history[0].result
    assert (seen["mode"], seen["methods"], seen["radius"]) == ("static_isotropic", ["wasserstein"], 0.1)
    entry = session.history[1]
    assert (entry.kind, entry.start, list(entry.results)) == ("robust", "fit 1", ["wasserstein"])
    assert np.isfinite(session.result.chi2)
