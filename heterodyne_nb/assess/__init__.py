"""What can be asked of a finished fit: bootstrap, jackknife, profiles, criticism, other models."""

from heterodyne_nb.assess.bootstrap import Bootstrap, bootstrap
from heterodyne_nb.assess.compare_models import ModelComparison, compare_models
from heterodyne_nb.assess.criticism import Criticism, criticise
from heterodyne_nb.assess.jackknife import Jackknife, jackknife
from heterodyne_nb.assess.profile import Profiles, profile

__all__ = [
    "Bootstrap",
    "Criticism",
    "Jackknife",
    "ModelComparison",
    "Profiles",
    "bootstrap",
    "compare_models",
    "criticise",
    "jackknife",
    "profile",
]
