"""The engine: every pixel, at the speed of reading it."""

from heterodyne_nb import kernels  # noqa: F401  (before the first kernel)
from heterodyne_nb.engine.data_products import kernels_ready
from heterodyne_nb.engine.frame_problem import FrameProblem, described, problem_from_frames
from heterodyne_nb.engine.from_dataset import problem_from_dataset
from heterodyne_nb.engine.losses import Loss, get_loss, robust_scale
from heterodyne_nb.engine.normal import CONTRAST_MODES, NormalEquations
from heterodyne_nb.engine.objective import Objective, RobustObjective, residual_scale
from heterodyne_nb.engine.one_time import OneTimeObjective
from heterodyne_nb.engine.problem import OneTimeProblem, Problem
from heterodyne_nb.engine.products import Weighting, products_at, tile_products_at
from heterodyne_nb.engine.tiles import BLOCKS, Tiles, residual_record
from heterodyne_nb.options import LOSSES

__all__ = [
    "BLOCKS",
    "CONTRAST_MODES",
    "FrameProblem",
    "LOSSES",
    "Loss",
    "NormalEquations",
    "Objective",
    "OneTimeObjective",
    "OneTimeProblem",
    "Problem",
    "RobustObjective",
    "Tiles",
    "Weighting",
    "get_loss",
    "kernels_ready",
    "described",
    "problem_from_dataset",
    "problem_from_frames",
    "products_at",
    "residual_record",
    "residual_scale",
    "robust_scale",
    "tile_products_at",
]
