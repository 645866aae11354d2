"""Choosing a radius by how well the bins that were left out are predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.robust.optimizer import ROBUST_STRATEGIES
from heterodyne_nb.robust.radius import profile_radius

if TYPE_CHECKING:
    from heterodyne_nb.robust.robust_parts import RobustRun

FloatArray = NDArray[np.float64]

#: Most parts the bins are divided into.
FOLDS = 4
_SHARES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)


def cross_validated(run: RobustRun, method: str) -> tuple[float, str]:
    """The radius whose fits of some bins predict the others best, and the rule in words.

    The bins are divided into at most four parts; each is predicted from a fit of the others, its own contrast and
    offset taken. Candidates run from 0 to the radius of the profile rule (scenario: to 1).

    Raises
    ------
    ConfigurationError
        The radius of ``ellipsoidal`` is asked for (data cannot tell how well the instrument is known), or there is
        only one bin.
    """
    if method == "ellipsoidal":
        raise ConfigurationError(
            "data cannot tell how well the instrument is known",
            where="radius of ellipsoidal",
            expected="a number of tolerances, or 'auto'",
        )
    objective, nominal = run.nominal.objective, run.nominal.theta
    bins = objective.problem.n_bins
    if bins < 2:
        raise ConfigurationError(
            "there is one bin",
            where=f"radius of {method}",
            expected="two at least for 'cv'",
            hint="use 'auto'",
        )
    top = 1.0 if method == "scenario" else profile_radius(objective, nominal)
    radii = [share * top for share in _SHARES]
    strategy = ROBUST_STRATEGIES[method](**run.optimiser_settings([method]))
    parts = np.arange(bins) % min(FOLDS, bins)
    missed = np.zeros(len(radii))
    for part in np.unique(parts):
        kept = parts != part
        training, held = objective.subset(kept), objective.subset(~kept)
        for k, answer in enumerate(strategy.sweep(training, nominal, radii)):
            missed[k] += held.equations(answer.x, derivatives=False).chi2
            if run.options.stop.reason:
                break
    best = int(np.argmin(missed)) if not run.options.stop.reason else 0
    return radii[best], f"cross-validation over {bins} bins"
