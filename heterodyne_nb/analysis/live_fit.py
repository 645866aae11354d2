"""A fit that goes on while frames arrive: photons append, and the fit is renewed whenever the data have grown enough."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from heterodyne_nb.errors import ConfigurationError, DataWarning, HeterodyneError, warn
from heterodyne_nb.fitting.fitting import asked_parameters, parameter_table
from heterodyne_nb.fitting.two_time_fit import FitRun, fit_two_time
from heterodyne_nb.frames import FrameSet
from heterodyne_nb.frames.growing import GrowingFrames, arriving
from heterodyne_nb.frames.kept import Kept
from heterodyne_nb.frames.partition import as_partition
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.progress import StopToken
from heterodyne_nb.result import FitResult

#: Growth of the data after which starts are searched anew, too.
_SEARCH_AGAIN = 2.0


@dataclass(frozen=True)
class LiveUpdate:
    """The fit after so many frames.

    Attributes
    ----------
    frames : int
        Frames so far, those that never came included.
    t : float
        Time of the last one, s.
    result : FitResult
    """

    frames: int
    t: float
    result: FitResult

    def curve(self, name: str) -> tuple[float, float, float]:
        """Value and 95 % band of a curve at the last frame: v, J_sample, x_sample, ..."""
        last = self.result.curve(name).isel(t=-1)
        return float(last["value"]), float(last["lower"]), float(last["upper"])


def known_to(curve: str, share: float, over: float) -> Callable[[LiveUpdate], bool]:
    """A rule to stop by: half the band of a curve is below a share of its value over the last seconds.

    Parameters
    ----------
    curve : str
        ``"v"``, ``"J_sample"``, ...
    share : float
        0.02 for 2 %.
    over : float
        s.

    Examples
    --------
    >>> from heterodyne_nb.analysis import known_to
    >>> rule = known_to("v", 0.02, over=10.0)
    """

    def enough(update: LiveUpdate) -> bool:
        one = update.result.curve(curve)
        late = one["t"].values > update.t - over
        half = 0.5 * (one["upper"].values - one["lower"].values)[late]
        return bool(np.all(np.isfinite(half)) and np.all(half < share * np.abs(one["value"].values[late])))

    return enough


@dataclass
class Live:
    """A live fit, as :func:`live` makes it; iterating over it gives a :class:`LiveUpdate` at every renewal.

    Attributes
    ----------
    history : list of LiveUpdate
    told : list of str
        What happened to the source: frames dropped or repeated, and why it ended before its end.
    """

    source: Any
    frames: GrowingFrames
    mode: str
    options: FitRun
    parameters: Any = None
    key: str | None = None
    first: int = 100
    growth: float = 0.1
    patience: float = 60.0
    stop_when: Callable[[LiveUpdate], bool] | None = None
    save: Path | None = None
    history: list[LiveUpdate] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    _searched: int = 0
    _news: threading.Condition = field(default_factory=threading.Condition)
    _ended: Any = None

    @property
    def result(self) -> FitResult | None:
        """The latest result; None before the first."""
        return self.history[-1].result if self.history else None

    def run(self, on_update: Callable[[LiveUpdate], None] | None = None) -> FitResult:
        """Follow the source to its end, and return the last result.

        Raises
        ------
        ConfigurationError
            The source ended before there was enough to fit.
        """
        for update in self:
            if on_update is not None:
                on_update(update)
        if self.result is None:
            raise ConfigurationError(
                f"the source gave {self.frames.n_frames} frames",
                where="source",
                expected=f"at least {self.first}",
            )
        return self.result

    def __iter__(self) -> Iterator[LiveUpdate]:
        due, done, enough = self.first, threading.Event(), False
        threading.Thread(target=self._read, args=(done,), daemon=True, name="live source").start()
        try:
            while not enough and self._wait_for(due):
                update = self._renewed()
                yield update
                due = max(int(np.ceil((1.0 + self.growth) * update.frames)), update.frames + 1)
                enough = self.stop_when is not None and self.stop_when(update)
                if enough:
                    self.told.append(f"enough is known after {update.frames} frames")
        finally:
            done.set()
        for number, what in (
            (self.frames.dropped, "never came and are left out"),
            (self.frames.repeated, "came again and count once"),
        ):
            if number:
                self._tell(f"{number} frame{'s' if number > 1 else ''} {what}")
        stopped = self.options.stop.reason is not None
        if not enough and not stopped and self._searched < self.frames.n_frames >= self.first:
            yield self._renewed(search=True)

    def look(self) -> None:
        """Look at once, where it waits for frames, whether it was asked to stop; from another thread."""
        with self._news:
            self._news.notify_all()

    def _wait_for(self, frames: int) -> bool:
        """Wait for so many frames; False where they do not come."""
        with self._news:
            while self.frames.n_frames < frames:
                if self._ended is not None:
                    if isinstance(self._ended, HeterodyneError | OSError | ValueError):
                        self._tell(f"the source failed ({self._ended}); what came before is kept")
                    elif isinstance(self._ended, Exception):
                        raise self._ended
                    return False
                if self.options.stop.reason is not None:
                    self.told.append(str(self.options.stop.reason))
                    return False
                if not self._news.wait(self.patience):
                    self._tell(f"no frame for {self.patience:g} s: the source counts as ended")
                    return False
        return True

    def _read(self, done: threading.Event) -> None:
        """Take frames in as they come, in a thread of its own: none is lost while a fit is renewed."""
        ended: Any = True
        try:
            for item in arriving(self.source, done, self.key):
                with self._news:
                    self.frames.append(item)
                    self._news.notify_all()
                if done.is_set():
                    return
        except Exception as error:  # told by the thread that waits
            ended = error
        with self._news:
            self._ended = ended
            self._news.notify_all()

    def _renewed(self, *, search: bool = False) -> LiveUpdate:
        """Fit what there is, from the last answer on; anew, too, where the data have doubled, and the better is kept."""
        data = self.frames.snapshot(self._news)
        model, n = ModelFactory.create_model(self.mode), data.n_frames
        table = parameter_table(model, self.parameters)
        asked = {"mode": self.mode, "parameters": asked_parameters(self.parameters), "live": True}
        found = []
        if self.result is not None:
            start = np.clip(list(self.result.values.values()), table.lower, table.upper)
            warm = replace(table, values=np.where(table.vary, start, table.values))
            found.append(
                fit_two_time(data, model, warm, self.options.model_copy(update={"warm": True}), asked)
            )
        if search or not found or n >= _SEARCH_AGAIN * self._searched:
            found.append(fit_two_time(data, model, table, self.options, asked))
            self._searched = n
        best = min(found, key=lambda result: result.chi2)
        update = LiveUpdate(n, float(data.t[-1]), best)
        self.history.append(update)
        if self.save is not None:
            best.save(self.save)
        return update

    def _tell(self, text: str) -> None:
        self.told.append(text)
        warn(text, DataWarning)


def live(
    source: Any,
    mode: str = "heterodyne",
    *,
    partition: Any = None,
    dt: float | None = None,
    parameters: Mapping[str, Any] | None = None,
    first: int = 100,
    growth: float = 0.1,
    patience: float = 60.0,
    stop_when: Callable[[LiveUpdate], bool] | None = None,
    save: str | Path | None = None,
    keep: str | Path | None = None,
    key: str | None = None,
    contrast: str = "per_bin",
    via: str = "auto",
    seed: int = 0,
    stop: StopToken | None = None,
) -> Live:
    """A fit that follows a measurement.

    Parameters
    ----------
    source : iterator, path or FrameSet
        Frames as they come: arrays (rows, columns), ``(number, array)`` where they are numbered (from 1), or ``(number,
        pixel, count)``; an HDF5 file that grows (SWMR); a folder that fills with images or files; a stored run to replay;
        an array (frames, rows, columns) on a Tiled server, as its client or as its address
        (``http://…/api/v1/metadata/…``).
    mode, parameters, contrast, via, seed
        As for :func:`heterodyne_nb.fit`.
    partition, dt
        As for :func:`heterodyne_nb.open_frames`; a FrameSet brings its own.
    first : int
        Frames of the first fit.
    growth : float
        Share by which the data must have grown for the next: at 0.1 all renewals together cost about eleven times the
        last one.
    patience : float
        Seconds without a frame after which the source counts as ended.
    stop_when : callable, optional
        Told each :class:`LiveUpdate`; true ends the fit. See :func:`heterodyne_nb.analysis.known_to`.
    save : path, optional
        Where each result replaces the one before, whole at any time.
    keep : path, optional
        A file that photons are appended to as they come. Where it exists it begins with those: a live fit that was
        killed goes on with every frame that it had, and frames that a source gives again count once.
    key : str, optional
        Path of the stack in an HDF5 file.
    stop : StopToken, optional
        To end it from another thread.

    Returns
    -------
    Live
        Nothing happens before it is iterated over, or ``run()``.

    Raises
    ------
    ConfigurationError
        No partition or frame time, or a setting is out of range.
    DataFormatError
        The file of ``keep`` holds frames of other bins or times.

    Examples
    --------
    >>> import heterodyne_nb as hnb                                                # doctest: +SKIP
    >>> for update in hnb.live(detector, "heterodyne", partition=bins, dt=1e-3):   # doctest: +SKIP
    ...     print(update.t, update.curve("v"))
    """
    if ModelFactory.create_model(mode).one_time:
        raise ConfigurationError(f"{mode!r} is a one-time mode", where="mode", expected="a two-time mode")
    if first < 10 or not growth > 0 or not patience > 0:
        raise ConfigurationError(
            f"first = {first}, growth = {growth}, patience = {patience}",
            expected="at least 10 frames, and growth and patience above 0",
        )
    if isinstance(source, FrameSet):
        partition, dt = partition or source.partition, dt or source.dt
    if partition is None or dt is None:
        raise ConfigurationError("a live source does not tell", expected="partition= and dt=, in s")
    options = FitRun(contrast=contrast, via=via, seed=seed, stop=stop or StopToken())
    bins = as_partition(partition)
    frames = GrowingFrames(bins, float(dt), None if keep is None else Kept(Path(keep), bins, float(dt)))
    where = None if save is None else Path(save)
    return Live(source, frames, mode, options, parameters, key, first, growth, patience, stop_when, where)
