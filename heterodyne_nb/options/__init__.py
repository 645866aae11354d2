"""The one declaration of every setting: description, unit, range, default, and what may be chosen.

From it come the check of keywords, the sections of a configuration, the fields of a form, the flags of the command
line, the record of a fit and the line of its script.
"""

from heterodyne_nb.options.fields import Options, UnknownKeyword, keywords
from heterodyne_nb.options.fit import (
    CONTRASTS,
    LOSSES,
    METHOD_OPTIONS,
    METHODS,
    MODES,
    BootstrapOptions,
    ExecutionOptions,
    FitOptions,
    GaussNewtonOptions,
    GurobiOptions,
    JackknifeOptions,
    LBFGSBOptions,
    MethodOptions,
    NelderMeadOptions,
    ProfileOptions,
    SampleOptions,
    SearchOptions,
    TRFOptions,
    method_options,
)
from heterodyne_nb.options.robust import (
    ROBUST_METHOD_OPTIONS,
    ROBUST_METHODS,
    SOLVERS,
    EllipsoidalOptions,
    RobustMethodOptions,
    RobustOptions,
    ScenarioOptions,
    Tolerances,
    WassersteinOptions,
)

__all__ = [
    "CONTRASTS",
    "LOSSES",
    "METHODS",
    "METHOD_OPTIONS",
    "MODES",
    "ROBUST_METHODS",
    "ROBUST_METHOD_OPTIONS",
    "SOLVERS",
    "BootstrapOptions",
    "EllipsoidalOptions",
    "ExecutionOptions",
    "FitOptions",
    "GaussNewtonOptions",
    "GurobiOptions",
    "JackknifeOptions",
    "LBFGSBOptions",
    "MethodOptions",
    "NelderMeadOptions",
    "Options",
    "ProfileOptions",
    "RobustMethodOptions",
    "RobustOptions",
    "SampleOptions",
    "ScenarioOptions",
    "SearchOptions",
    "TRFOptions",
    "Tolerances",
    "UnknownKeyword",
    "WassersteinOptions",
    "keywords",
    "method_options",
]
