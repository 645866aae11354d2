"""Settings of an analysis: JSON, YAML or TOML to one validated object, and the parameters of a fit."""

from heterodyne_nb.config.parameters import PARAMETERS, ParameterSpec
from heterodyne_nb.config.parameters_table import ParameterTable
from heterodyne_nb.config.resolve import MODES, mode_parameters, resolve_parameters

__all__ = [
    "MODES",
    "PARAMETERS",
    "ParameterSpec",
    "ParameterTable",
    "mode_parameters",
    "resolve_parameters",
]
