"""Results of fits as frozen values: the record, its reports and its files."""

from heterodyne_nb.results.batch import batch_table
from heterodyne_nb.results.bootstrap import bootstrap
from heterodyne_nb.results.criticism import Criticism, criticise
from heterodyne_nb.results.draws import Bootstrap
from heterodyne_nb.results.fit_result import FitResult
from heterodyne_nb.results.identifiability import Identifiability, identifiability
from heterodyne_nb.results.jackknife import Jackknife, jackknife
from heterodyne_nb.results.profile import profile
from heterodyne_nb.results.profiles import Profiles
from heterodyne_nb.results.provenance import collect_provenance
from heterodyne_nb.results.same_fit import objective_of

__all__ = [
    "Bootstrap",
    "Criticism",
    "FitResult",
    "Identifiability",
    "Jackknife",
    "Profiles",
    "batch_table",
    "bootstrap",
    "collect_provenance",
    "criticise",
    "identifiability",
    "jackknife",
    "objective_of",
    "profile",
]
