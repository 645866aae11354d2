"""Commands run in order, report their begin and end, and stop between two steps when asked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from heterodyne_nb.analysis.commands import AnalysisCommand, LoadDataCommand, OptimizeCommand, Pipeline
from heterodyne_nb.analysis.observers import ProgressObserver
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.progress import ProgressEvent, StopToken


class _Append(AnalysisCommand):
    def __init__(self, name: str, log: list[str], stop: StopToken | None = None) -> None:
        self.name, self._log, self._stop = name, log, stop

    def execute(self) -> str:
        self._log.append(self.name)
        if self._stop:
            self._stop.cancel()
        return self.name.upper()


class _Recorder(ProgressObserver):
    def __init__(self) -> None:
        self.events: list[ProgressEvent] = []

    def update(self, stage: str, progress: float) -> None:
        """Everything is taken from the events."""

    def on_event(self, event: ProgressEvent) -> None:
        self.events.append(event)


def test_commands_run_in_order_and_their_values_come_back_by_name() -> None:
    log: list[str] = []
    outcome = Pipeline([_Append("load", log), _Append("fit", log)]).run()
    assert log == ["load", "fit"]
    assert outcome == {"load": "LOAD", "fit": "FIT"}


def test_two_commands_of_one_name_both_keep_their_value() -> None:
    outcome = Pipeline([_Append("fit", []), _Append("fit", []), _Append("fit", [])]).run()
    assert list(outcome) == ["fit", "fit_2", "fit_3"]


def test_each_begin_and_end_is_reported() -> None:
    recorder = _Recorder()
    Pipeline([_Append("load", []), _Append("fit", [])], observers=[recorder]).run()
    seen = [(event.stage, event.fraction) for event in recorder.events]
    assert seen == [("load", 0.0), ("load", 1.0), ("fit", 0.0), ("fit", 1.0)]


def test_a_stop_request_keeps_what_is_done_and_names_what_was_not_run() -> None:
    log: list[str] = []
    stop, recorder = StopToken(), _Recorder()
    pipeline = Pipeline([_Append("load", log, stop), _Append("fit", log)], observers=[recorder], stop=stop)
    assert pipeline.run() == {"load": "LOAD"}
    assert log == ["load"]
    assert pipeline.stopped == "cancelled"
    assert (recorder.events[-1].stage, recorder.events[-1].message) == ("fit", "not run: cancelled")


def test_a_pipeline_that_ran_to_its_end_was_not_stopped() -> None:
    pipeline = Pipeline([_Append("load", [])])
    pipeline.run()
    assert pipeline.stopped is None


def _core(**methods: Any) -> Any:
    families = {"optimize_classical": None, "optimize_robust": None, "optimize_all": None}
    return SimpleNamespace(**{**families, **methods})


def test_loading_and_optimising_are_what_the_core_does() -> None:
    core = _core(load_experimental_data=lambda: "data", optimize_all=lambda: {"a": 1})
    assert LoadDataCommand(core).execute() == "data"
    assert OptimizeCommand(core, "all").execute() == {"a": 1}


def test_an_unknown_family_of_methods_is_an_error_before_anything_runs() -> None:
    with pytest.raises(ConfigurationError, match="unknown family of methods 'clasical'"):
        OptimizeCommand(_core(), "clasical")


def test_a_command_must_say_what_it_does() -> None:
    with pytest.raises(TypeError, match="execute"):
        AnalysisCommand()  # type: ignore[abstract]
