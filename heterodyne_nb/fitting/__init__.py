"""From a dataset to a result: one-time and two-time fits, batches, and the objective of a fit made again."""

from heterodyne_nb.fitting.batch import fit_batch
from heterodyne_nb.fitting.calibration import calibrate_contrast
from heterodyne_nb.fitting.fitting import fit, initial_guess
from heterodyne_nb.fitting.same_fit import objective_of

__all__ = [
    "calibrate_contrast",
    "fit",
    "fit_batch",
    "initial_guess",
    "objective_of",
]
