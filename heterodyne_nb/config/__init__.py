"""Settings of an analysis: JSON, YAML or TOML to one validated object, and the parameters of a fit."""

from heterodyne_nb.config.manager import ConfigManager
from heterodyne_nb.config.parameters import PARAMETERS, ParameterSpec
from heterodyne_nb.config.parameters_table import ParameterTable
from heterodyne_nb.config.resolve import MODES, mode_parameters, resolve_parameters
from heterodyne_nb.config.schema import Settings

__all__ = [
    "MODES",
    "PARAMETERS",
    "ConfigManager",
    "ParameterSpec",
    "ParameterTable",
    "Settings",
    "mode_parameters",
    "resolve_parameters",
]
