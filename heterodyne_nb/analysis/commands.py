"""Steps of an analysis as objects, and a pipeline that runs them in order and can be stopped between two."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from heterodyne_nb.analysis.observers import ProgressObserver, notify
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.progress import ProgressEvent, StopToken

if TYPE_CHECKING:
    import xarray as xr

    from heterodyne_nb.analysis.core import HeterodyneAnalysisCore


class AnalysisCommand(ABC):
    """One step of an analysis.

    Attributes
    ----------
    name : str
        What the step is called in a pipeline's outcome and in progress reports.
    """

    name: str = "command"

    @abstractmethod
    def execute(self) -> Any:
        """Do the step and return what it made."""


class LoadDataCommand(AnalysisCommand):
    """Loads the experimental data that a core's configuration names.

    Parameters
    ----------
    core : HeterodyneAnalysisCore
        The analysis whose data are wanted.
    """

    name = "load"

    def __init__(self, core: HeterodyneAnalysisCore) -> None:
        self.core = core

    def execute(self) -> xr.Dataset:
        """Load, select and mask; see :meth:`HeterodyneAnalysisCore.load_experimental_data`."""
        return self.core.load_experimental_data()


class OptimizeCommand(AnalysisCommand):
    """Fits a core's model to its data.

    Parameters
    ----------
    core : HeterodyneAnalysisCore
        The analysis to fit; it loads its data if that has not been done.
    method : {"classical", "robust", "all"}
        Which family of methods to run.

    Raises
    ------
    ConfigurationError
        If the method is none of these.
    """

    name = "optimize"

    def __init__(self, core: HeterodyneAnalysisCore, method: str = "classical") -> None:
        self._runs = {
            "classical": core.optimize_classical,
            "robust": core.optimize_robust,
            "all": core.optimize_all,
        }
        if method not in self._runs:
            raise ConfigurationError(
                f"unknown family of methods {method!r}", where="method", expected=", ".join(self._runs)
            )
        self.core, self.method = core, method

    def execute(self) -> Any:
        """Fit; returns what the core's ``optimize_classical``, ``_robust`` or ``_all`` returns."""
        return self._runs[self.method]()


class Pipeline:
    """Runs commands in order; each begin and end is reported, and a stop request ends it between two of them.

    Parameters
    ----------
    commands : sequence of AnalysisCommand
        The steps, first to last.
    observers : iterable of ProgressObserver
        Who is told.
    stop : StopToken, optional
        Checked before each command. Give the same token to the core, and a long step also stops inside.
    """

    def __init__(
        self,
        commands: Sequence[AnalysisCommand],
        *,
        observers: Iterable[ProgressObserver] = (),
        stop: StopToken | None = None,
    ) -> None:
        self.commands = tuple(commands)
        self._tell = notify(observers)
        self._stop = stop or StopToken()
        #: Why the last run ended before its last command; None if it did not.
        self.stopped: str | None = None

    def run(self) -> dict[str, Any]:
        """Run the commands.

        Returns
        -------
        dict
            What each finished command returned, by its name (a repeated name gets a number).
        """
        outcome: dict[str, Any] = {}
        self.stopped = None
        for command in self.commands:
            self.stopped = self._stop.reason
            if self.stopped:
                self._tell(ProgressEvent(command.name, message=f"not run: {self.stopped}"))
                break
            self._tell(ProgressEvent(command.name, 0.0))
            outcome[_unused(command.name, outcome)] = command.execute()
            self._tell(ProgressEvent(command.name, 1.0))
        return outcome


def _unused(name: str, taken: dict[str, Any]) -> str:
    number = 2
    candidate = name
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate
