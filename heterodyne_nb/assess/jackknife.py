"""Jackknife: the fit without one angle (or ring, or bin) at a time, and which of them pulls."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.data.dataset import levels
from heterodyne_nb.engine import Objective
from heterodyne_nb.engine.executors import ordered, team
from heterodyne_nb.errors import ConfigurationError, OptimizationError
from heterodyne_nb.fitting.same_fit import objective_of, optimum
from heterodyne_nb.old_paths import either_order
from heterodyne_nb.optimize import GaussNewtonStrategy
from heterodyne_nb.options import JackknifeOptions, keywords
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken, ignore_progress
from heterodyne_nb.result.fit_result import FitResult
from heterodyne_nb.text.html import Printed, Tabular
from heterodyne_nb.text.numbers import number, value_with_error
from heterodyne_nb.uncertainty.covariance import dyadic_meat
from heterodyne_nb.uncertainty.derived import Quantity, middle_targets
from heterodyne_nb.uncertainty.reweighting import Reweighting

#: A shift this many times larger than its expected size is called out: some dozens are looked at together.
SURPRISING = 4.0


@dataclass(frozen=True, eq=False, repr=False)
class Jackknife(Tabular):
    """Fits without one group of bins each; made by :func:`heterodyne_nb.jackknife`.

    Attributes
    ----------
    dataset : xarray.Dataset
        On (left_out,): ``label``. On (left_out, parameter): ``values``. On (left_out, quantity), a quantity being a
        curve at mid-time or a parameter of its own: ``estimate`` without the group, ``pull`` (the shift in standard
        errors of the whole fit), ``surprise`` (the shift over its expected size). On (quantity,): ``value``,
        ``stderr`` (jackknife), ``stderr_dyadic``, ``unit``; on (parameter,): ``stderr_parameter``.
    """

    dataset: xr.Dataset

    @property
    def influence(self) -> pd.DataFrame:
        """Pull of every group on every quantity, in standard errors: one row a group."""
        ds = self.dataset
        return pd.DataFrame(ds["pull"].values, index=ds["label"].values, columns=ds["quantity"].values)

    def verdict(self) -> str:
        """Say which groups pull, in words."""
        ds = self.dataset
        strange = np.argwhere(np.abs(np.nan_to_num(ds["surprise"].values)) > SURPRISING)
        groups = {"phi": "angle", "q": "ring", "bin": "bin"}[str(ds.attrs["over"])]
        if not len(strange):
            k = int(np.nanargmax(np.nanmax(np.abs(ds["pull"].values), axis=1)))
            j = int(np.nanargmax(np.abs(ds["pull"].values[k])))
            return (
                f"No {groups} stands out. The largest pull is that of {ds['label'].values[k]} on "
                f"{ds['quantity'].values[j]}: {_signed(-ds['pull'].values[k, j])} of its standard error."
            )
        lines = []
        order = np.argsort(-np.abs(ds["surprise"].values[tuple(strange.T)]))
        for k, j in strange[order][:4]:
            lines.append(
                f"{ds['label'].values[k]} pulls {ds['quantity'].values[j]} by {_signed(-ds['pull'].values[k, j])} of its "
                f"standard error, {number(abs(float(ds['surprise'].values[k, j])), 2)} times what chance does"
            )
        return "; ".join(lines) + ". Look at the residuals there."

    def _printed(self) -> Printed:
        ds = self.dataset
        rows = [["left out", *ds["quantity"].values.tolist()]]
        for k, label in enumerate(ds["label"].values.tolist()):
            both = zip(ds["pull"].values[k], ds["surprise"].values[k], strict=True)
            rows.append(
                [label, *(_signed(float(p)) + (" !" if abs(s) > SURPRISING else "") for p, s in both)]
            )
        both = zip(ds["value"].values, ds["stderr"].values, strict=True)
        rows.append(["value ± jackknife error", *(value_with_error(float(v), float(e)) for v, e in both)])
        way = "fitted again" if ds.attrs["refit"] else "one step"
        title = (
            f"{ds.attrs['mode']} without one {ds.attrs['over']} at a time ({way}): shift in standard errors"
        )
        return Printed(title, rows, self.verdict())


@keywords(JackknifeOptions)
@either_order
def jackknife(
    dataset: xr.Dataset | Objective,
    result: FitResult,
    *,
    over: str = "phi",
    refit: bool = False,
    executor: Any = None,
    workers: int | None = None,
    on_progress: OnProgress = ignore_progress,
    stop: StopToken | None = None,
) -> Jackknife:
    """Fit without one angle at a time.

    Parameters
    ----------
    dataset : Dataset or Objective
        The data that were fitted.
    result : FitResult
        Of a two-time fit.
    over : {"phi", "q", "bin"}
        What is left out: every bin of one azimuth, of one ring, or a single bin.
    refit : bool
        Fit the rest to convergence. Default: one Gauss-Newton step from the sums of the bins, which needs no
        further pass over the pixels.
    executor, workers
        Who does the work, and how many; see :func:`heterodyne_nb.fit_batch`.
    on_progress : callable, optional
        Receives progress events.
    stop : StopToken, optional
        Ends it, with an error: an incomplete jackknife has no meaning.

    Returns
    -------
    Jackknife

    Raises
    ------
    ConfigurationError
        A setting is wrong, there are fewer than three groups, or the data are not those that were fitted.
    OptimizationError
        Stopped.

    Notes
    -----
    Standard errors are sqrt((g - 1)/g · sum of squares about the mean) over the g groups. The shift a quantity c is
    expected to make when a group is left out has the variance cᵀ (H₋⁻¹ - H⁻¹) c (Hausman: a fit to all against a fit
    to part of the same data), scaled by the ratio of the dyadic to the independent-pixel variance of c in the other
    groups, and by the median over the groups where shifts are larger than that throughout.
    """
    objective, theta = objective_of(dataset, result), optimum(result)
    labels, member = groups_of(objective, over)
    if len(labels) < 3:
        raise ConfigurationError(
            f"{len(labels)} groups to leave out", where="over", expected="3 or more", hint=f"not {over!r}"
        )
    tiles = Reweighting.at(objective, theta)
    values: list[FloatArray] = []
    keeps = [member != k for k in range(len(labels))]
    with team(executor, workers) as who:
        again = partial(_refitted, objective, theta, None if who.apart else stop)
        way = ordered(who, again, keeps, stop) if refit else (tiles.step(_weights(tiles, k)) for k in keeps)
        while stop is None or stop.reason is None:
            if (found := next(way, None)) is None:
                break
            values.append(found)
            told = f"without {labels[len(values) - 1]}"
            on_progress(ProgressEvent("jackknife", len(values) / len(labels), message=told))
    if len(values) < len(labels):
        raise OptimizationError(f"jackknife stopped after {len(values)} of {len(labels)} groups")
    targets = middle_targets(objective.problem.model, objective.problem.t, objective.moving)
    dataset_ = _dataset(result, np.array(values), labels, member, tiles, targets)
    return Jackknife(dataset_.assign_attrs(over=over, refit=int(refit), mode=result.mode))


def groups_of(objective: Objective, over: str) -> tuple[list[str], NDArray[np.int64]]:
    """Names of the groups of bins, and the group of every bin (B,)."""
    q, phi = objective.problem.q, objective.problem.phi
    if over == "bin":
        names = [
            f"q = {number(a)} 1/Å, phi = {number(b)}°" for a, b in zip(q.tolist(), phi.tolist(), strict=True)
        ]
        return names, np.arange(len(q))
    values, member = levels(q if over == "q" else phi)
    unit, symbol = (" 1/Å", "q") if over == "q" else ("°", "phi")
    return [f"{symbol} = {number(float(v))}{unit}" for v in values], member


def _weights(tiles: Reweighting, keep: NDArray[np.bool_]) -> FloatArray:
    return np.broadcast_to(keep[:, None].astype(float), tiles.products.shape[:2])


def _refitted(
    objective: Objective, theta: FloatArray, stop: StopToken | None, keep: NDArray[np.bool_]
) -> FloatArray:
    found = GaussNewtonStrategy(stop=stop).optimize(objective.subset(keep), theta)
    if found.stop_reason in ("cancelled", "time limit"):
        raise OptimizationError(f"jackknife stopped: {found.message}")
    return np.asarray(found.x, float)


def _dataset(
    result: FitResult,
    values: FloatArray,
    labels: list[str],
    member: NDArray[np.int64],
    tiles: Reweighting,
    targets: list[Quantity],
) -> xr.Dataset:
    whole = np.array([target.compute(tiles.theta) for target in targets])
    parted = np.array([[target.compute(row) for target in targets] for row in values])
    jacobian = tiles.objective.coordinates.jacobian(tiles.theta)
    slopes = np.array([target.slopes(tiles.theta) for target in targets]) @ jacobian
    dyadic = np.sqrt(np.maximum(np.einsum("qi,ij,qj->q", slopes, tiles.covariance, slopes), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        pull = np.where(dyadic > 0, (parted - whole) / dyadic, np.nan)
        expected = _expected(tiles, values, member, slopes)
        surprise = _calmed(np.where(expected > 0, (parted - whole) / expected, np.nan))
    ds = result.dataset
    return xr.Dataset(
        {
            "label": ("left_out", labels),
            "values": (("left_out", "parameter"), values),
            "estimate": (("left_out", "quantity"), parted),
            "pull": (("left_out", "quantity"), pull),
            "surprise": (("left_out", "quantity"), surprise),
            "value": ("quantity", whole),
            "stderr": ("quantity", _spread(parted)),
            "stderr_dyadic": ("quantity", dyadic),
            "unit": ("quantity", [target.unit for target in targets]),
            "stderr_parameter": ("parameter", _spread(values)),
        },
        coords={
            "parameter": ds["parameter"].values,
            "quantity": [target.name for target in targets],
            "left_out": np.arange(len(labels)),
        },
    )


def _spread(values: FloatArray) -> FloatArray:
    groups = len(values)
    return np.asarray(np.sqrt((groups - 1) / groups * np.sum((values - values.mean(axis=0)) ** 2, axis=0)))


def _calmed(surprise: FloatArray) -> FloatArray:
    """Divide by the typical size over the groups where that is above 1: only a group unlike the others stands out."""
    typical = 1.4826 * np.nanmedian(np.abs(surprise), axis=0)
    return surprise / np.fmax(typical, 1.0)


def _expected(
    tiles: Reweighting, values: FloatArray, member: NDArray[np.int64], slopes: FloatArray
) -> FloatArray:
    """Expected size of the shift of every quantity when a group is left out, (g, quantities).

    The noise is that of the other groups at their own optimum, so that a group unlike them does not hide itself.
    """
    whole = np.einsum("qi,ij,qj->q", slopes, tiles.naive, slopes)
    here, out = tiles.objective.to_internal(tiles.theta), []
    for k, theta in enumerate(values):
        keep = member != k
        rest = tiles.subset(keep).naive
        meat = dyadic_meat(tiles.scores(tiles.objective.to_internal(theta) - here)[keep])
        part = np.einsum("qi,ij,qj->q", slopes, rest, slopes)
        noise = np.einsum("qi,ij,qj->q", slopes, rest @ meat @ rest, slopes)
        out.append(np.sqrt(np.maximum((part - whole) / part * noise, 0.0)))
    return np.array(out)


def _signed(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:+.2f}".replace("-", "−")
