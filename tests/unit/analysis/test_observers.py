"""Observers print, draw or log what they are told, and a broken one never ends the work it watches."""

from __future__ import annotations

import io
import logging

import pytest

from heterodyne_nb.analysis.observers import (
    ConsoleProgressObserver,
    LoggingProgressObserver,
    ProgressObserver,
    TqdmProgressObserver,
    notify,
)
from heterodyne_nb.errors import FitWarning
from heterodyne_nb.fitting import fit
from heterodyne_nb.optimize import ClassicalOptimizer
from heterodyne_nb.progress import ProgressEvent
from heterodyne_nb.simulate import model_maps


class _Recorder(ProgressObserver):
    def __init__(self) -> None:
        self.seen: list[tuple[str, float]] = []

    def update(self, stage: str, progress: float) -> None:
        self.seen.append((stage, progress))


class _Broken(ProgressObserver):
    def update(self, stage: str, progress: float) -> None:
        raise RuntimeError("no screen")


def test_the_plain_observer_watches_and_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    ProgressObserver().update("fit", 0.25)
    notify([ProgressObserver()])(ProgressEvent("fit", 0.25))
    assert capsys.readouterr() == ("", "")


def test_events_reach_the_update_of_every_observer() -> None:
    first, second = _Recorder(), _Recorder()
    on_progress = notify([first, second])
    on_progress(ProgressEvent("load", 0.25))
    on_progress(ProgressEvent("load", 1.0))
    assert first.seen == [("load", 0.25), ("load", 1.0)]
    assert second.seen == first.seen


def test_an_unknown_fraction_arrives_as_nan() -> None:
    recorder = _Recorder()
    notify([recorder])(ProgressEvent("start values"))
    stage, progress = recorder.seen[0]
    assert stage == "start values"
    assert progress != progress


def test_a_broken_observer_is_dropped_with_a_warning_and_the_others_go_on() -> None:
    recorder = _Recorder()
    on_progress = notify([_Broken(), recorder])
    with pytest.warns(FitWarning, match="_Broken raised RuntimeError: no screen"):
        on_progress(ProgressEvent("fit", 0.5))
    on_progress(ProgressEvent("fit", 1.0))
    assert recorder.seen == [("fit", 0.5), ("fit", 1.0)]


def test_the_console_prints_stage_percentage_chi2_and_message() -> None:
    stream = io.StringIO()
    notify([ConsoleProgressObserver(stream)])(ProgressEvent("fit", 0.5, chi2=1.25, message="3 starts left"))
    assert stream.getvalue() == "fit: 50.0% | reduced chi2 1.25 | 3 starts left\n"


def test_the_console_prints_a_stage_at_most_once_in_its_interval_and_always_its_end() -> None:
    stream = io.StringIO()
    console = ConsoleProgressObserver(stream, every=1e6)
    for progress in (0.0, 0.3, 0.6, 1.0):
        console.on_event(ProgressEvent("load", progress))
    console.on_event(ProgressEvent("fit", 0.0))
    assert stream.getvalue().splitlines() == ["load: 0.0%", "load: 100.0%", "fit: 0.0%"]


def test_the_console_prints_every_update_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    observer = ConsoleProgressObserver()
    observer.update("fit", 0.25)
    observer.update("fit", 0.5)
    assert capsys.readouterr() == ("fit: 25.0%\nfit: 50.0%\n", "")


def test_a_tqdm_bar_shows_the_stage_its_part_done_and_chi2() -> None:
    stream = io.StringIO()
    observer = TqdmProgressObserver(stream, leave=True)
    observer.on_event(ProgressEvent("load", 1.0))
    observer.on_event(ProgressEvent("fit", 0.4, chi2=1.002))
    observer.close()
    drawn = stream.getvalue()
    assert "load: 100%" in drawn
    assert "fit:  40%" in drawn
    assert "reduced chi2 1.002" in drawn


def test_a_tqdm_bar_stays_within_its_range() -> None:
    stream = io.StringIO()
    observer = TqdmProgressObserver(stream, leave=True)
    observer.update("fit", 7.0)
    observer.close()
    assert "700%" not in stream.getvalue()


def test_the_log_names_each_new_stage_at_info_and_the_rest_at_debug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    observer = LoggingProgressObserver()
    with caplog.at_level(logging.DEBUG, logger="heterodyne_nb.progress"):
        observer.update("load", 0.0)
        observer.on_event(ProgressEvent("load", 0.5, message="bin 3"))
        observer.update("fit", 0.0)
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("INFO", "load 0.0%"),
        ("DEBUG", "load 50.0% | bin 3"),
        ("INFO", "fit 0.0%"),
    ]


def test_an_observer_is_a_progress_callback_by_itself():
    stream = io.StringIO()
    ConsoleProgressObserver(stream)(ProgressEvent("gauss_newton", 0.5, chi2=1.25))
    assert stream.getvalue() == "gauss_newton: 50.0% | reduced chi2 1.25\n"


def test_an_observer_that_raises_is_told_of_once_and_the_fit_goes_on(
    recwarn: pytest.WarningsRecorder,
) -> None:
    maps = model_maps(
        "static_isotropic", (80.0, -0.3, 20.0), q=[0.05], phi=[0.0], n_frames=30, dt=0.1, noise=0.01
    )
    calls: list[str] = []

    def broken(event: ProgressEvent) -> None:
        calls.append(event.stage)
        raise RuntimeError("no screen")

    plain = fit(maps, "static_isotropic")
    watched = fit(maps, "static_isotropic", on_progress=broken)
    assert watched.values == plain.values
    assert len(calls) == 1
    told = [str(w.message) for w in recwarn.list if "no screen" in str(w.message)]
    assert len(told) == 1
    assert "raised RuntimeError: no screen; it gets no more reports, the work goes on" in told[0]


def test_one_that_watches_a_strategy_alone_does_not_end_it_either() -> None:
    def broken(event: ProgressEvent) -> None:
        raise RuntimeError("no screen")

    with pytest.warns(FitWarning, match="no screen"):
        result = ClassicalOptimizer("lbfgsb", on_progress=broken).optimize(lambda x: float(x @ x), [1.0, 2.0])
    assert result.success
