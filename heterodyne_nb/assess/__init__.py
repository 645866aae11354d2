"""What can be asked of a finished fit: bootstrap, posterior, jackknife, profiles, goodness of fit, other models."""

from heterodyne_nb.assess.bootstrap import Bootstrap, bootstrap
from heterodyne_nb.assess.compare_models import ModelComparison, compare_models
from heterodyne_nb.assess.goodness_of_fit import GoodnessOfFit, criticise, goodness_of_fit
from heterodyne_nb.assess.jackknife import Jackknife, jackknife
from heterodyne_nb.assess.posterior import Posterior, sample
from heterodyne_nb.assess.profile import Profiles, profile

__all__ = [
    "Bootstrap",
    "GoodnessOfFit",
    "Jackknife",
    "ModelComparison",
    "Posterior",
    "Profiles",
    "bootstrap",
    "compare_models",
    "criticise",
    "goodness_of_fit",
    "jackknife",
    "profile",
    "sample",
]
