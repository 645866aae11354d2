"""Fits of a session: started, watched, cancelled, and entered in the history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from heterodyne_nb.app.session import tasks
from heterodyne_nb.app.session.entries import FitEntry, any_free, with_values
from heterodyne_nb.app.session.selection import in_order, prepared
from heterodyne_nb.app.session.state import SessionState, action
from heterodyne_nb.app.session.work import Mailbox, Task, Work, in_our_words
from heterodyne_nb.errors import ConfigurationError, HeterodyneError, OptimizationError
from heterodyne_nb.progress import ProgressEvent, StopToken
from heterodyne_nb.result import FitResult


class Running(SessionState):
    """The part of :class:`~heterodyne_nb.app.session.AnalysisSession` that does long work."""

    #: Where a fit writes its best point while it runs; None for nowhere.
    journal: Path | None = None

    def __init__(self) -> None:
        super().__init__()
        self._mailbox = Mailbox(self._failed, self._turn)
        self._work: Work | None = None

    @property
    def result(self) -> FitResult | None:
        """The result shown; of a robust set, its first."""
        return self.history[self.shown].result if self.shown is not None else None

    @property
    def trace(self) -> list[tuple[float, float, str]]:
        """Seconds, reduced chi-square and stage of every report of the work that runs, or ran last."""
        return list(self._work.trace) if self._work else []

    @property
    def work_error(self) -> HeterodyneError | None:
        """What the last work ended with, if it failed."""
        return self._work.failure if self._work else None

    @action
    def guess(self) -> None:
        """Look for start values in the data, in the background; they become the parameters' values."""
        task = partial(tasks.guess, self._fitted_data(), self.settings, self.parameters)
        self._start("guess", task, self.settings.time_limit)

    @action
    def find_bad_frames(self) -> None:
        """Look for frames that do not belong to the rest, in the background; they are masked."""
        self._start("bad frames", partial(tasks.bad_frames, self._need_data()), None)

    @action
    def run(self, *, resume: bool = False) -> None:
        """Fit in the background; the result is entered in the history and shown.

        Parameters
        ----------
        resume : bool
            Go on from the best point of a fit that was left (where ``journal`` names its journal).

        Raises
        ------
        OptimizationError
            There are no data, or something is running.
        """
        if self.journal is not None and not resume:
            self.journal.unlink(missing_ok=True)
        more: dict[str, Any] = {} if self.journal is None else {"journal": self.journal}
        task = partial(tasks.fit, self._fitted_data(), self.settings, self.parameters, **more)
        self._start("fit", task, self.settings.time_limit)

    @action
    def run_robust(self, methods: Any = None, radius: Any = "auto", **options: Any) -> None:
        """Fit robustly in the background; the set of results is one entry of the history.

        Parameters
        ----------
        methods : str or sequence of str, optional
            Default: all.
        radius : "auto", float or mapping of method to these
        **options
            Further arguments of :func:`heterodyne_nb.fit_robust`.
        """
        start = self._nominal()
        asked = {**({} if methods is None else {"methods": _several(methods)}), "radius": radius, **options}
        task = partial(tasks.fit_robust, self._fitted_data(), self.settings, self.parameters, start, asked)
        self._start("robust", task, self.settings.time_limit, robust=asked, start=start)

    @action
    def run_radius_path(self, method: str, radii: Any = None, **options: Any) -> None:
        """Follow a robust method from radius 0 up, in the background; the outcome is ``robust_path``.

        Parameters
        ----------
        method, radii, **options
            As for :func:`heterodyne_nb.radius_path`.
        """
        start, asked = self._nominal(), {"method": method, "radii": radii, **options}
        task = partial(tasks.radius_path, self._fitted_data(), self.settings, self.parameters, start, asked)
        self._start("radius path", task, self.settings.time_limit)

    def data_of(self, index: int) -> xr.Dataset:
        """The data of a history entry, masked and cropped as they were when it was fitted; every bin.

        Raises
        ------
        ConfigurationError
            The entry is of another run than the one that is open.
        """
        entry = self.history[index]
        if self._opened is None or entry.source != self.source:
            raise ConfigurationError(
                f"{entry.name} is a fit of {Path(entry.source).name}, which is not open",
                hint="open that run to see its data beside the model",
            )
        asked = entry.masked, entry.crop, entry.excluded
        if asked == (self.masked, self.crop, self.excluded):
            return self._need_data()
        return prepared(self._opened.dataset, *asked)

    def cancel(self) -> None:
        """Ask the running work to end; a fit keeps its best so far. Does nothing when idle."""
        if self._work is not None and self.status == "running":
            self.set_trait("status", "cancelling")
            self._work.stop.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing runs.

        Parameters
        ----------
        timeout : float, optional
            Seconds; None waits as long as it takes. Interrupting the kernel cancels the work.

        Returns
        -------
        bool
            False when the time ran out first.

        Raises
        ------
        HeterodyneError
            What the work ended with, if it failed.
        """
        work = self._work
        if work is None:
            return True
        try:
            done = work.wait(timeout)
        except KeyboardInterrupt:
            self.cancel()
            raise
        if done and work.failure is not None:
            raise work.failure
        return done

    def preview(self, parameters: Mapping[str, float] | None = None) -> FitResult:
        """The model of the bin shown at the parameters' present values, with its best contrast and offset.

        Parameters
        ----------
        parameters : mapping, optional
            Other values, e.g. ``session.progress.parameters``.

        Returns
        -------
        FitResult
            Of the one bin, without errors, for the functions of :mod:`heterodyne_nb.plots`.
        """
        from heterodyne_nb.app.session.tasks import preview_of

        return preview_of(self, parameters)

    def close(self) -> None:
        """End what runs, let every observer go and close the files this session opened."""
        if self.closed:
            return
        if self._work is not None:
            self._work.stop.cancel()
            self._work.join(5.0)
        self.unobserve_all()
        if self._opened is not None and self._opened.ours_to_close:
            self._opened.dataset.close()
        self.set_trait("closed", True)

    def _start(self, kind: str, task: Task, time_limit: float | None, **more: Any) -> None:
        self._refuse_while_running("another one cannot be started")
        self._mailbox.open()
        asked = {
            "more": more,
            "parameters": self.parameters,
            "settings": self.settings,
            "choices": self.choices,
        }
        asked |= {"source": self.source, "options": dict(self._opened.options) if self._opened else {}}
        work = Work(kind, task, StopToken(time_limit), self._mailbox, self._told, partial(self._ended, asked))
        self._work = work
        self._tell(progress=ProgressEvent(kind, None, message="starting"), activity=kind, status="running")
        work.start()

    def _tell(self, **traits: Any) -> None:
        """Set traits; an observer that raises does not stop the work, its error is told."""
        for name, value in traits.items():
            try:
                self.set_trait(name, value)
            except Exception as error:
                self._failed(error)

    def _told(self, event: ProgressEvent) -> None:
        if self.status != "idle":
            self.set_trait("progress", event)

    def _ended(self, asked: Mapping[str, Any], work: Work) -> None:
        if self.closed:
            return
        try:
            self.set_trait("seconds", work.seconds)
            if work.failure is None:
                self._take(asked, work)
        except Exception as error:
            work.failure = in_our_words(error)
        finally:
            self._tell(warnings=tuple(dict.fromkeys(work.warnings)), error=work.failure)
            self._tell(activity="", status="idle")

    def _take(self, asked: Mapping[str, Any], work: Work) -> None:
        untouched = self.parameters is asked["parameters"] and self.settings is asked["settings"]
        if work.kind == "guess":
            if untouched and work.stop.reason != "cancelled":
                self._change("guess", parameters=with_values(self.parameters, work.outcome))
        elif work.kind == "radius path":
            self.set_trait("robust_path", work.outcome)
        elif work.kind == "bad frames":
            if work.outcome and work.stop.reason is None:
                self._change("mask bad frames", masked=in_order([*self.masked, *work.outcome]))
        else:
            entry = self._entry(asked, work)
            self._append(entry)
            found: dict[str, Any] = {"shown": len(self.history) - 1}
            if untouched and work.kind == "fit":
                found["parameters"] = with_values(self.parameters, entry.result.values)
            self._change(entry.name, **found)

    def _entry(self, asked: Mapping[str, Any], work: Work) -> FitEntry:
        start = asked["more"].get("start")
        what = work.kind if any_free(asked["parameters"]) else "evaluation"
        return FitEntry(
            name=f"{what} {1 + len(self.history)}",
            kind=work.kind,
            results=work.outcome,
            settings=asked["settings"],
            parameters=asked["parameters"],
            source=asked["source"],
            source_options=asked["options"],
            **{name: asked["choices"][name] for name in ("masked", "crop", "excluded", "bins")},
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(work.seconds, 3),
            warnings=tuple(dict.fromkeys(work.warnings)),
            robust=asked["more"].get("robust", {}),
            start=next((e.name for e in self.history if start is not None and e.result is start), ""),
        )

    def _nominal(self) -> FitResult | None:
        """The latest plain fit of the same mode on the same data, for a robust fit to start from."""
        names = ("masked", "crop", "excluded", "bins", "source")
        for entry in reversed(self.history):
            same = all(getattr(entry, name) == getattr(self, name) for name in names)
            same &= all(getattr(entry.settings, n) == getattr(self.settings, n) for n in ("mode", "contrast"))
            if same and entry.kind == "fit":
                return entry.result
        return None

    def _failed(self, error: BaseException) -> None:
        self.error = in_our_words(error)

    def _need_data(self) -> xr.Dataset:
        if self.dataset is None:
            raise OptimizationError("no data are open", hint="open a file first")
        return self.dataset

    def _fitted_data(self) -> xr.Dataset:
        from heterodyne_nb.app.session.selection import chosen_bins

        return chosen_bins(self._need_data(), self.bins)

    def _refuse_while_running(self, what: str) -> None:
        if self.closed:
            raise ConfigurationError("the session is closed", hint="make a new one")
        if self.status != "idle":
            raise OptimizationError(
                f"a {self.activity} is running for {self._work.seconds if self._work else 0:.0f} s: {what}",
                hint="wait for it, or cancel it",
            )


def _several(methods: Any) -> list[str]:
    return [methods] if isinstance(methods, str) else list(methods)
