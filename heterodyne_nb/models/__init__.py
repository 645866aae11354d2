"""Models: curves in time, two-time and one-time correlations, registry and plugins."""

from heterodyne_nb.models.base import Model, ModelPlugin, OneTimeModel, SeparableModel, TwoTimeModel
from heterodyne_nb.models.check import check_model
from heterodyne_nb.models.functional import heterodyne_model
from heterodyne_nb.models.parameters import ParameterSpec
from heterodyne_nb.models.registry import ModelFactory
from heterodyne_nb.models.terms import Terms

__all__ = [
    "Model",
    "ModelFactory",
    "ModelPlugin",
    "OneTimeModel",
    "ParameterSpec",
    "SeparableModel",
    "Terms",
    "TwoTimeModel",
    "check_model",
    "heterodyne_model",
]
