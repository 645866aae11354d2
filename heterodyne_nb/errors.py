"""Errors and warnings a user can meet: what is wrong, where, what was expected, how to mend it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_PACKAGE = __name__.partition(".")[0]


class HeterodyneError(Exception):
    """Base of every error raised by heterodyne_nb.

    Parameters
    ----------
    message : str
        What is wrong, with the offending value.
    where : str, optional
        File, key or dotted path.
    expected : str, optional
        What would have been right.
    hint : str, optional
        How to mend it.
    """

    def __init__(
        self, message: str, *, where: str | None = None, expected: str | None = None, hint: str | None = None
    ) -> None:
        self.message, self.where, self.expected, self.hint = message, where, expected, hint
        lines = [f"{where}: {message}" if where else message]
        if expected:
            lines.append(f"  expected: {expected}")
        if hint:
            lines.append(f"  to mend it: {hint}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (type(self), self.args, self.__dict__)


def _again(
    kind: type[HeterodyneError], told: tuple[object, ...], state: dict[str, object]
) -> HeterodyneError:
    """An error that comes from another process, as it was."""
    error = kind.__new__(kind, *told)
    error.__dict__.update(state)
    return error


class ConfigurationError(HeterodyneError, ValueError):
    """A setting, parameter name, bound or model name is wrong."""


class DataFormatError(HeterodyneError, ValueError):
    """A data file or array is missing, unreadable, or not what its layout promises."""


class MissingFileError(DataFormatError, FileNotFoundError):
    """The named file does not exist."""

    def __str__(self) -> str:  # FileNotFoundError would format its args its own way
        return str(self.args[0])


class MissingConfigurationError(MissingFileError, ConfigurationError):
    """The named configuration file does not exist."""


class OutputError(ConfigurationError, OSError):
    """Something cannot be written where it was asked for: no room, no right, or something else is there."""

    def __str__(self) -> str:  # OSError would format its args its own way
        return str(self.args[0])


class OptimizationError(HeterodyneError, RuntimeError):
    """A fit cannot be started or a solver cannot be used."""


class MissingExtraError(HeterodyneError, ImportError):
    """A package that only some of the features need is not installed; the hint names the extra that brings it."""


class HeterodyneWarning(UserWarning):
    """Base of every warning issued by heterodyne_nb."""


class ConfigurationWarning(HeterodyneWarning):
    """Something in a configuration was understood but will not be used."""


class DataWarning(HeterodyneWarning):
    """Part of the data was left out or a default had to be assumed; the rest is used."""


class FitWarning(HeterodyneWarning):
    """A fit finished but part of it deserves suspicion, or a fallback was taken."""


_Listener = Callable[[str, type[HeterodyneWarning]], None]
_listener: ContextVar[_Listener | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: _Listener) -> Iterator[None]:
    """Hand this package's warnings to `listener` instead of printing them, in this thread and no other."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def warn(message: str, category: type[HeterodyneWarning]) -> None:
    """Issue a warning at the line of the caller's own code, outside this package, that led to it."""
    if (listener := _listener.get()) is not None:
        listener(message, category)
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
