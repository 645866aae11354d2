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

s² is the reduced χ² of the model that fits best, the same for all. For one-time modes M comes from the correlation of lags,
s² from the scatter that it leaves, and nothing is held out: lags of a curve share their noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.assess.jackknife import groups_of
from heterodyne_nb.engine import Objective, Tiles
from heterodyne_nb.engine.executors import ordered, team
from heterodyne_nb.engine.one_time_noise import lag_noise, noise_taken
from heterodyne_nb.errors import ConfigurationError, OptimizationError
from heterodyne_nb.fitting.fitting import fit
from heterodyne_nb.fitting.same_fit import objective_of, one_time_objective_of, optimum
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.optimize import GaussNewtonStrategy
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken, ignore_progress
from heterodyne_nb.result import FitResult
from heterodyne_nb.text.html import Printed, Tabular
from heterodyne_nb.text.numbers import listed, number, value_with_error
from heterodyne_nb.uncertainty.covariance import ERROR_CLUSTERS, corrected_meat, whitening

MODES = ("static_anisotropic", "heterodyne", "multicomponent_3")
#: Iterations of the refits without some angles, which start from the fit to all.
_REFIT = 60
#: A gain on held-out angles, in its standard errors, that counts; and a difference of a criterion that does.
_CLEAR, _DECISIVE = 2.0, 6.0


@dataclass(frozen=True)
class Judged:
    """One mode: its fit, and what the judges need of it."""

    result: FitResult
    numbers: int  #: Fitted numbers, contrast and offset included.
    #: chi2, s2: In the same units for all modes; and the variance of the noise in these.
    chi2: float
    s2: float
    trace: float  #: tr(A⁻¹M): noise that the fitted numbers take up, in units of χ².
    held_out: FloatArray  #: (folds,): χ² of the angles left out, predicted.


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
    executor: Any = None,
    workers: int | None = None,
    on_progress: OnProgress = ignore_progress,
    stop: StopToken | None = None,
) -> ModelComparison:
    """Fit several modes to the same two-time maps, or to the same g2, and say which one the data ask for.

    Parameters
    ----------
    dataset : Dataset
        Two-time maps, or g2.
    modes : sequence of str
        Two-time modes, or one-time ones; see ``ModelFactory.names()``.
    parameters : mapping, optional
        Mode -> what :func:`heterodyne_nb.fit` takes as ``parameters``. A one-time mode without has its parameters in each
        bin by itself.
    folds : int
        Of two-time maps the angles are left out in so many groups, at most one a group; 0 leaves none out.
    contrast, gap, multistart, seed
        As for :func:`heterodyne_nb.fit`.
    executor, workers
        Who does the work, and how many; see :func:`heterodyne_nb.fit_batch`.
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
        Fewer than two modes, one twice, or one-time modes among two-time ones.
    OptimizationError
        Stopped.

    Examples
    --------
    >>> import heterodyne_nb as hnb                                                       # doctest: +SKIP
    >>> hnb.compare_models(hnb.example_dataset(), ["static_anisotropic", "heterodyne"])   # doctest: +SKIP
    """
    names = _checked(modes, parameters, folds)
    stop = stop or StopToken()
    settings = {"contrast": contrast, "multistart": multistart, "seed": seed}
    asked = []
    for mode in names:
        model = ModelFactory.create_model(mode)
        apart = {name: {"scope": "each"} for name in model.parameter_names} if model.one_time else {}
        own = {
            "parameters": dict((parameters or {}).get(mode, apart)),
            "gap": gap if _needs_gap(mode) else None,
        }
        asked.append({**settings, "mode": mode, **own})

    def tell(event: ProgressEvent) -> None:
        part = len(results) / len(names)
        on_progress(ProgressEvent("compare", part, event.chi2, event.parameters, names[len(results)]))

    results: list[FitResult] = []
    judged: list[Judged] = []
    with team(executor, workers) as who:
        token = None if who.apart else stop
        work = partial(_fitted, dataset, folds, token, ignore_progress if who.slots > 1 else tell)
        for result, one in ordered(who, work, asked, stop):
            results.append(result)
            judged += [] if one is None else [one]
            done = len(results) / len(names)
            on_progress(ProgressEvent("compare", done, result.chi2_reduced, message=result.mode))
    _go_on(stop)
    return ModelComparison.of(judged or _judged_one_time(results, dataset))


def _fitted(
    dataset: xr.Dataset, folds: int, stop: StopToken | None, tell: OnProgress, asked: dict[str, Any]
) -> tuple[FitResult, Judged | None]:
    """The fit of one mode, and what the judges need of it where it is a two-time one."""
    stop = stop or StopToken()
    result = fit(dataset, on_progress=tell, stop=stop, **asked)
    one_time = ModelFactory.create_model(result.mode).one_time
    return result, None if one_time else _judge(result, dataset, folds, stop)


def _judge(result: FitResult, dataset: xr.Dataset, folds: int, stop: StopToken) -> Judged:
    _go_on(stop)
    objective, theta = objective_of(dataset, result), optimum(result)
    trace, held_out = _trace(objective, theta), _held_out(objective, theta, folds, stop)
    return Judged(result, objective.n_free, result.chi2, result.chi2_reduced, trace, held_out)


def _judged_one_time(results: Sequence[FitResult], dataset: xr.Dataset) -> list[Judged]:
    """All by the noise that the best of them leaves: in units of the measured errors, or of the scatter about it."""
    objectives = [one_time_objective_of(dataset, one) for one in results]
    designs = [o.design(optimum(one)) for o, one in zip(objectives, results, strict=True)]
    known, numbers = objectives[0].problem.errors_known, [o.n_free for o in objectives]
    weights = np.array(
        [float(o.problem.weight.max()) for o in objectives]
    )  # without errors in units of the own scatter
    chi2 = np.array([float(np.sum(d.residual**2)) for d in designs]) / weights
    best = int(np.argmin(chi2 / np.maximum(objectives[0].problem.n_data - np.array(numbers), 1)))
    chi2 *= weights[best]
    noise = lag_noise(designs[best], known=known)
    s2 = max(noise.scale, 1.0 if known else 1e-300)
    return [
        Judged(result, n, value, s2, noise_taken(design, noise) * s2, np.zeros(0))
        for result, n, value, design in zip(results, numbers, chi2.tolist(), designs, strict=True)
    ]


def _trace(objective: Objective, theta: FloatArray) -> float:
    """tr(A⁻¹M) over the internal coordinates and the contrasts and offsets, corrected for what the fit took up."""
    tiles = Tiles.at(objective, theta, ERROR_CLUSTERS, local=objective.equations(theta))
    white = whitening(tiles.joint_matrix)
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
    if 0 < len(one_time) < len(models):
        raise ConfigurationError(
            f"{', '.join(one_time)} describe g2 and the others two-time maps",
            where="modes",
            expected="modes of one kind",
        )
    unknown = sorted(set(parameters or {}) - set(names))
    if unknown:
        raise ConfigurationError(
            f"parameters are given for {', '.join(unknown)}", where="parameters", expected=f"some of {names}"
        )
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 0:
        raise ConfigurationError(f"{folds!r}", where="folds", expected="an integer, 0 or more")
    return names


@dataclass(frozen=True, eq=False, repr=False)
class ModelComparison(Tabular):
    """Modes compared on the same data; made by :func:`heterodyne_nb.compare_models`.

    Attributes
    ----------
    dataset : xarray.Dataset
        On (mode,), simplest first: ``numbers`` (fitted, contrast and offset included), ``chi2``, ``chi2_reduced``,
        ``clic`` and ``bic`` above the best, ``held_out`` (χ² per pixel of angles left out) and ``held_out_gain``
        (effective χ² gained on them over the next simpler mode that is kept) with ``held_out_gain_error``. On
        (mode, fold): ``held_out_fold``. Attributes: ``n_data``, ``n_effective``, ``inflation`` (n_data / n_effective),
        ``chosen``.
    fits : dict of str to FitResult
    """

    dataset: xr.Dataset
    fits: dict[str, FitResult]

    @classmethod
    def of(cls, judged: Sequence[Judged]) -> ModelComparison:
        """Compare the fits of several modes."""
        judged = sorted(judged, key=lambda one: (one.numbers, one.result.mode))
        n_data = int(judged[0].result.dataset.attrs["n_data"])
        chi2, numbers = (np.array([getattr(one, name) for one in judged]) for name in ("chi2", "numbers"))
        best = judged[int(np.argmin(chi2 / np.maximum(n_data - numbers, 1)))]
        s2 = best.s2
        inflation = max(best.trace / (best.numbers * s2), 1.0)
        clic = chi2 / s2 + 2 * np.array([one.trace for one in judged]) / s2
        bic = chi2 / (s2 * inflation) + numbers * np.log(n_data / inflation)
        folds = np.array([one.held_out for one in judged])
        data: dict[str, Any] = {
            "numbers": ("mode", numbers),
            "chi2": ("mode", chi2),
            "chi2_reduced": ("mode", chi2 / np.maximum(n_data - numbers, 1)),
            "clic": ("mode", clic - clic.min()),
            "bic": ("mode", bic - bic.min()),
        }
        if folds.size:
            data |= {
                "held_out": ("mode", folds.sum(axis=1) / n_data),
                "held_out_fold": (("mode", "fold"), folds),
            }
        names = [one.result.mode for one in judged]
        attrs = {"n_data": n_data, "n_effective": n_data / inflation, "inflation": inflation, "s2": s2}
        ds = xr.Dataset(data, coords={"mode": names}, attrs=attrs)
        return cls(_chosen(ds), {one.result.mode: one.result for one in judged})

    @property
    def chosen(self) -> str:
        """The mode the data ask for: the simplest that none of the richer ones clearly beats."""
        return str(self.dataset.attrs["chosen"])

    def table(self) -> pd.DataFrame:
        """One row a mode, simplest first."""
        keep = ("numbers", "chi2_reduced", "clic", "bic", "held_out", "held_out_gain", "held_out_gain_error")
        return self.dataset[[name for name in keep if name in self.dataset]].to_dataframe()

    def verdict(self) -> str:
        """Say in a sentence or two what the data ask for."""
        ds, names = self.dataset, self.dataset["mode"].values.tolist()
        at = names.index(self.chosen)
        told = [f"The data ask for {self.chosen}"]
        if at:
            told.append(f"{listed(names[:at])} {'leaves' if at == 1 else 'leave'} too much over")
        if at + 1 < len(names):
            told.append(f"{listed(names[at + 1 :])} {'is' if at + 2 == len(names) else 'are'} not justified")
        text = "; ".join(told) + "."
        for name in names:
            if not self.fits[name].success:
                text += f" The fit of {name} did not converge."
        others = {key: str(ds["mode"].values[int(np.argmin(ds[key].values))]) for key in ("clic", "bic")}
        against = sorted(
            {f"{key.upper()} prefers {name}" for key, name in others.items() if name != self.chosen}
        )
        return text + (f" But {' and '.join(against)}." if against else "")

    def _printed(self) -> Printed:
        ds, attrs = self.dataset, self.dataset.attrs
        head = ["mode", "fitted numbers", "reduced χ²", "CLIC", "BIC"]
        with_folds = "held_out" in ds
        rows = [[*head, "held-out χ²", "gain on held-out"] if with_folds else head]
        for mode, one in self.table().iterrows():
            row = [str(mode), str(int(one["numbers"])), number(float(one["chi2_reduced"]), 4)]
            row += [f"+{number(float(one[key]), 3)}" for key in ("clic", "bic")]
            if with_folds:
                gain = float(one["held_out_gain"])
                shown = "" if np.isnan(gain) else value_with_error(gain, float(one["held_out_gain_error"]))
                row += [number(float(one["held_out"]), 4), shown]
            rows.append(row)
        note = (
            f"{attrs['n_data']} data count as {number(float(attrs['n_effective']), 2)} independent ones (a parameter "
            f"takes up {number(float(attrs['inflation']), 2)} times the noise it would of independent pixels). "
            "CLIC, BIC: above the best. Gain: effective χ² on angles left out, over the mode kept so far."
        )
        return Printed(self.verdict(), rows, note, self.chosen)


def _chosen(ds: xr.Dataset) -> xr.Dataset:
    """Climb from the simplest mode to each richer one that clearly predicts better (or is clearly preferred).

    The scatter of a few folds is not well known itself: where BIC clearly objects, their gain alone is not enough.
    """
    count = ds.sizes["mode"]
    gain, error = np.full(count, np.nan), np.full(count, np.nan)
    kept = 0
    for k in range(1, count):
        if "held_out_fold" in ds:
            gained = ds["held_out_fold"].values[kept] - ds["held_out_fold"].values[k]
            unit = float(ds.attrs["s2"]) * float(ds.attrs["inflation"])
            gain[k] = gained.sum() / unit
            error[k] = np.sqrt(len(gained)) * gained.std(ddof=1) / unit
            objects = ds["bic"].values[k] - ds["bic"].values[kept] > _DECISIVE
            better = gain[k] > _CLEAR * max(error[k], 1.0) and not objects
        else:
            better = all(ds[key].values[kept] - ds[key].values[k] > _DECISIVE for key in ("clic", "bic"))
        kept = k if better else kept
    ds = ds.assign_attrs(chosen=str(ds["mode"].values[kept]))
    if "held_out_fold" not in ds:
        return ds
    return ds.assign(held_out_gain=("mode", gain), held_out_gain_error=("mode", error))
