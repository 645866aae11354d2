"""Models: curves in time, two-time and one-time correlations, registry and plugins."""

from heterodyne_nb.models.curves import Curve
from heterodyne_nb.models.heterodyne import HeterodyneModel
from heterodyne_nb.models.model import Model, OneTimeModel, SeparableModel, Terms, TwoTimeModel
from heterodyne_nb.models.one_time import heterodyne_model
from heterodyne_nb.models.parameters import ParameterSpec
from heterodyne_nb.models.plugin import ModelPlugin, check_model
from heterodyne_nb.models.registry import ModelFactory
from heterodyne_nb.models.symmetries import HalfTurn, RatioSign, Reversal, Shift, Swap

__all__ = [
    "Curve",
    "HalfTurn",
    "HeterodyneModel",
    "Model",
    "ModelFactory",
    "ModelPlugin",
    "OneTimeModel",
    "ParameterSpec",
    "RatioSign",
    "Reversal",
    "SeparableModel",
    "Shift",
    "Swap",
    "Terms",
    "TwoTimeModel",
    "check_model",
    "heterodyne_model",
]
