"""A configuration with some settings replaced by flags of the command line."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heterodyne_nb.cli.arguments import FAMILIES
from heterodyne_nb.errors import ConfigurationError, ConfigurationWarning, MissingFileError

if TYPE_CHECKING:
    from heterodyne_nb.config import ConfigManager


def configured(
    path: Path, changes: Mapping[str, Any], *, data: Path | None = None, mode: str | None = None
) -> ConfigManager:
    """Load a configuration and replace some of its settings.

    Parameters
    ----------
    path : pathlib.Path
        The configuration file.
    changes : mapping
        Dotted path to new value; None leaves a setting as it is.
    data : pathlib.Path, optional
        Data file to use, relative to the working directory.
    mode : str, optional
        Analysis mode to use; what the configuration says of parameters it does not have is dropped.

    Warns
    -----
    ConfigurationWarning
        Naming the parameters that were dropped.
    """
    from heterodyne_nb.config import ConfigManager

    try:
        config = ConfigManager(path)
    except MissingFileError as error:  # to the program this is wrong usage, not wrong data
        raise ConfigurationError(error.message, where=error.where, hint=error.hint) from None
    wanted = {place: value for place, value in changes.items() if value is not None}
    if data is not None:
        wanted |= {"data.file": str(data.resolve()), "data.folder": None}
    if mode is not None and mode != config.settings.mode:
        wanted |= _mode_changes(config, mode)
    return config.updated(wanted) if wanted else config


def method_choice(text: str | None) -> tuple[str, tuple[str, ...] | None]:
    """Read ``--method``: the family to run, and the classical methods if they are named one by one."""
    if text is None:
        return "classical", None
    if text in FAMILIES:
        return text, None
    return "classical", tuple(part.strip() for part in text.split(","))


def _mode_changes(config: ConfigManager, mode: str) -> dict[str, Any]:
    """What to change for another mode: its name, and of the parameters only those that it has."""
    from heterodyne_nb.config import mode_parameters

    table = config.parameters
    initial = config.to_dict()["initial_parameters"]
    pairs = zip(table.names, table.values.tolist(), table.given, strict=True)
    initial["values"] = {name: value for name, value, given in pairs if given} or None
    initial["parameter_names"] = None
    known = {spec.name for spec in mode_parameters(mode)}
    dropped: set[str] = set()
    for section, content in initial.items():
        if isinstance(content, dict | list):
            dropped |= set(content) - known
            kept = [name for name in content if name in known]
            initial[section] = {name: content[name] for name in kept} if isinstance(content, dict) else kept
    if dropped:
        names = ", ".join(sorted(dropped))
        text = f"mode {mode} has no {names}: what the configuration says of them is not used"
        warnings.warn(text, ConfigurationWarning, stacklevel=4)
    return {"analysis_settings": {"mode": mode}, "initial_parameters": initial}
