"""Which model do the data ask for: several modes fitted to the same maps and compared honestly.

With N correlated pixels χ² differences of hundreds mean nothing, so three judges sit side by side, each of which
respects that pixels share frames:

* **CLIC** = χ²/s² + 2 tr(A⁻¹M), the composite-likelihood form of Takeuchi's criterion (Varin & Vidoni 2005): A is the
  Gauss-Newton matrix, M the dyadic covariance of its score, so the penalty of a parameter is the noise it really
  takes up, not 1. With independent pixels it is AIC.
* **BIC** with an effective sample size n/λ, λ = tr(A⁻¹M)/(k s²) being the mean ratio of dyadic to naive variance over
  the k fitted numbers of the model that fits best: χ²/(s² λ) + k ln(n/λ).
* **Held-out angles**: fitted without some angles, asked to predict them, with only their own contrast and offset
  free. What it gains or loses per pixel is compared fold by fold, so its error needs no model of the noise.

s² is the reduced χ² of the model that fits best, the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.assess.comparison_table import ModelComparison
from heterodyne_nb.assess.jackknife import groups_of
from heterodyne_nb.engine import Objective, Tiles
from heterodyne_nb.errors import ConfigurationError, OptimizationError
from heterodyne_nb.fitting.fitting import fit
from heterodyne_nb.fitting.same_fit import objective_of, optimum
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.optimize import GaussNewtonStrategy
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken, ignore_progress
from heterodyne_nb.result import FitResult
from heterodyne_nb.uncertainty.clusters import corrected_meat
from heterodyne_nb.uncertainty.uncertainty import ERROR_CLUSTERS

FloatArray = NDArray[np.float64]

MODES = ("static_anisotropic", "heterodyne", "multicomponent_3")
#: Iterations of the refits without some angles, which start from the fit to all.
_REFIT = 60


@dataclass(frozen=True)
class Judged:
    """One mode: its fit, and what the judges need of it.

    Attributes
    ----------
    result : FitResult
    numbers : int
        Fitted numbers, contrast and offset included.
    trace : float
        tr(A⁻¹M): noise that the fitted numbers take up, in units of χ².
    held_out : (folds,)
        χ² of the angles left out, predicted.
    """

    result: FitResult
    numbers: int
    trace: float
    held_out: FloatArray


def compare_models(
    dataset: xr.Dataset,
    modes: Sequence[str] = MODES,
    *,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    folds: int = 4,
    contrast: str = "per_bin",
    gap: float | None = None,
    multistart: int | None = None,
    seed: int = 0,
    on_progress: OnProgress = ignore_progress,
    stop: StopToken | None = None,
) -> ModelComparison:
    """Fit several modes to the same two-time maps and say which one the data ask for.

    Parameters
    ----------
    dataset : Dataset
        Two-time maps.
    modes : sequence of str
        Two-time modes; see ``ModelFactory.names()``.
    parameters : mapping, optional
        Mode -> what :func:`heterodyne_nb.fit` takes as ``parameters``.
    folds : int
        The angles are left out in so many groups, at most one a group; 0 leaves none out.
    contrast, gap, multistart, seed
        As for :func:`heterodyne_nb.fit`.
    on_progress : callable, optional
        Receives progress events.
    stop : StopToken, optional
        Ends it, with an error: half a comparison has no meaning.

    Returns
    -------
    ModelComparison
        A table that prints itself, the fits, and a verdict in words.

    Raises
    ------
    ConfigurationError
        Fewer than two modes, one twice, or a one-time mode among them.
    OptimizationError
        Stopped.

    Examples
    --------
    >>> import heterodyne_nb as hnb                                                       # doctest: +SKIP
    >>> hnb.compare_models(hnb.example_dataset(), ["static_anisotropic", "heterodyne"])   # doctest: +SKIP
    """
    names = _checked(modes, parameters, folds)
    stop = stop or StopToken()
    judged = []
    for k, mode in enumerate(names):

        def tell(event: ProgressEvent, at: int = k, which: str = mode) -> None:
            on_progress(ProgressEvent("compare", at / len(names), event.chi2, event.parameters, which))

        asked = dict((parameters or {}).get(mode, {}))
        result = fit(
            dataset, mode, parameters=asked, contrast=contrast, gap=gap if _needs_gap(mode) else None,
            multistart=multistart, seed=seed, on_progress=tell, stop=stop,
        )  # fmt: skip
        judged.append(_judge(result, dataset, folds, stop))
        on_progress(ProgressEvent("compare", (k + 1) / len(names), result.chi2_reduced, message=mode))
    return ModelComparison.of(judged)


def _judge(result: FitResult, dataset: xr.Dataset, folds: int, stop: StopToken) -> Judged:
    _go_on(stop)
    objective, theta = objective_of(result, dataset), optimum(result)
    return Judged(
        result, objective.n_free, _trace(objective, theta), _held_out(objective, theta, folds, stop)
    )


def _trace(objective: Objective, theta: FloatArray) -> float:
    """tr(A⁻¹M) over the internal coordinates and the contrasts and offsets, corrected for what the fit took up."""
    tiles = Tiles.at(objective, theta, ERROR_CLUSTERS, local=objective.equations(theta))
    scale = np.sqrt(np.maximum(np.diag(tiles.joint_matrix), 1e-300))
    values, vectors = np.linalg.eigh(tiles.joint_matrix / np.outer(scale, scale))
    kept = values > 1e-11 * values[-1]
    white = vectors[:, kept] / np.sqrt(values[kept]) / scale[:, None]
    total = 0.0
    for b, scores in enumerate(tiles.joint_scores):
        acting, matrices = tiles.of_bin(b)
        half = white[acting]
        total += float(np.trace(corrected_meat(scores[:, acting] @ half, half.T @ matrices @ half)))
    return max(total, 0.0)


def _held_out(objective: Objective, theta: FloatArray, folds: int, stop: StopToken) -> FloatArray:
    """χ² of each group of angles under the fit to the others, (folds,)."""
    labels, member = groups_of(objective, "phi")
    count = min(folds, len(labels))
    if count < 2:
        return np.zeros(0)
    out = []
    for fold in range(count):
        _go_on(stop)
        left = member % count == fold
        strategy = GaussNewtonStrategy(max_iterations=_REFIT, ftol=1e-7, stop=stop)
        found = strategy.optimize(objective.subset(~left), theta)
        out.append(float(objective.equations(found.x, derivatives=False).chi2_bin[left].sum()))
    return np.array(out)


def _go_on(stop: StopToken) -> None:
    if stop.reason is not None:
        raise OptimizationError(f"the comparison was stopped: {stop.reason}")


def _needs_gap(mode: str) -> bool:
    return bool(getattr(ModelFactory.create_model(mode), "needs_gap", False))


def _checked(modes: Sequence[str], parameters: Mapping[str, Any] | None, folds: Any) -> list[str]:
    names = [modes] if isinstance(modes, str) else list(modes)
    models = [ModelFactory.create_model(name) for name in names]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ConfigurationError(f"modes {names}", where="modes", expected="two or more different ones")
    one_time = [model.name for model in models if model.one_time]
    if one_time:
        raise ConfigurationError(
            f"{', '.join(one_time)} describe g2 and not two-time maps",
            where="modes",
            expected="two-time modes",
        )
    unknown = sorted(set(parameters or {}) - set(names))
    if unknown:
        raise ConfigurationError(
            f"parameters are given for {', '.join(unknown)}", where="parameters", expected=f"some of {names}"
        )
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 0:
        raise ConfigurationError(f"{folds!r}", where="folds", expected="an integer, 0 or more")
    return names
