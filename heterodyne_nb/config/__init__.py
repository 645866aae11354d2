"""Settings of an analysis: JSON, YAML or TOML to one validated object, and the parameters of a fit."""

from heterodyne_nb.config.manager import ConfigManager
from heterodyne_nb.config.parameters import (
    MODES,
    asked_of,
    default_table,
    mode_parameters,
    resolve_parameters,
)
from heterodyne_nb.config.schema import Settings
from heterodyne_nb.models.parameters import PARAMETERS, ParameterSpec, ParameterTable

__all__ = [
    "MODES",
    "PARAMETERS",
    "ConfigManager",
    "ParameterSpec",
    "ParameterTable",
    "Settings",
    "asked_of",
    "default_table",
    "mode_parameters",
    "resolve_parameters",
]
