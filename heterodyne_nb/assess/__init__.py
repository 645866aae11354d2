"""What can be asked of a finished fit: bootstrap, jackknife, profiles, goodness of fit, other models."""

from heterodyne_nb.assess.bootstrap import bootstrap
from heterodyne_nb.assess.comparison_table import ModelComparison
from heterodyne_nb.assess.draws import Bootstrap
from heterodyne_nb.assess.goodness_of_fit import GoodnessOfFit, criticise, goodness_of_fit
from heterodyne_nb.assess.jackknife import Jackknife, jackknife
from heterodyne_nb.assess.model_comparison import compare_models
from heterodyne_nb.assess.profile import profile
from heterodyne_nb.assess.profiles import Profiles

__all__ = [
    "Bootstrap",
    "GoodnessOfFit",
    "Jackknife",
    "ModelComparison",
    "Profiles",
    "bootstrap",
    "compare_models",
    "criticise",
    "goodness_of_fit",
    "jackknife",
    "profile",
]
