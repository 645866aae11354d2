"""Where the data are: relative paths start at the folder of the configuration."""

from __future__ import annotations

import os
from pathlib import Path

from heterodyne_nb.config.schema import Data, Settings
from heterodyne_nb.errors import ConfigurationError, MissingFileError


def resolve_data_path(data: Data, config: Path | None) -> Path:
    """Return the absolute path of the data file.

    Parameters
    ----------
    data : Data
        The ``data`` section.
    config : pathlib.Path or None
        The configuration file; None: relative paths start at the working directory.

    Raises
    ------
    ConfigurationError
        When no data file is given.
    MissingFileError
        When it does not exist.
    """
    if data.file is None:
        raise ConfigurationError(
            "is not given, but data are needed", where="data.file", expected="a data file"
        )
    relative = Path(data.folder or "", data.file).expanduser()
    path = (_base(config) / relative).resolve()
    if not path.exists():
        raise MissingFileError("no such data file", where=str(path), hint=_hint(relative, path, config))
    return path


def _base(config: Path | None) -> Path:
    return config.parent if config is not None else Path.cwd()


def _hint(relative: Path, path: Path, config: Path | None) -> str | None:
    if relative.is_absolute():
        return None
    start = "the folder of the configuration" if config is not None else "the working directory"
    if relative.exists() and config is not None:
        return f"{relative} exists in the working directory, but data paths start at {start}"
    if not path.parent.exists():
        return f"there is no folder {path.parent}; relative data paths start at {start}"
    return f"relative data paths start at {start}"


def read_angles(data: Data, config: Path | None) -> tuple[float, ...] | None:
    """Return ``data.phi`` in degrees, read from its text file when it names one."""
    if not isinstance(data.phi, str):
        return data.phi
    path = (_base(config) / Path(data.phi).expanduser()).resolve()
    if not path.is_file():
        raise MissingFileError(
            "no such file of angles", where=str(path), hint=_hint(Path(data.phi), path, config)
        )
    numbers: list[float] = []
    for k, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        for word in line.partition("#")[0].replace(",", " ").split():
            try:
                numbers.append(float(word))
            except ValueError:
                raise ConfigurationError(
                    f"line {k}: {word!r} is not a number", where=str(path), expected="angles in degrees"
                ) from None
    if not numbers:
        raise ConfigurationError("holds no angle", where=str(path), expected="angles in degrees")
    return tuple(numbers)


def relocated(settings: Settings, source: Path | None, target: Path | None) -> Settings:
    """Return settings whose data paths, as seen from ``target``, lead where they led from ``source``.

    Without a source file nothing changes: such paths belong to whatever file they are saved in.
    With a source but no target they become absolute.
    """
    if source is None or (target is not None and source.parent == target.parent):
        return settings
    data, base = settings.data, source.parent
    changes: dict[str, object] = {}
    if data.folder is not None:
        changes["folder"] = _moved(data.folder, base, target)
    elif data.file is not None:
        changes["file"] = _moved(data.file, base, target)
    if isinstance(data.phi, str):
        changes["phi"] = _moved(data.phi, base, target)
    return settings.model_copy(update={"data": data.model_copy(update=changes)})


def _moved(path: str, base: Path, target: Path | None) -> str:
    if Path(path).expanduser().is_absolute():
        return path
    absolute = Path(os.path.normpath(base / path))
    if target is None:
        return str(absolute)
    try:
        return Path(os.path.relpath(absolute, target.parent)).as_posix()
    except ValueError:  # another drive
        return str(absolute)
