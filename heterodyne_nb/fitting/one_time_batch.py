"""Many one-time fits at once: every curve of every part in one array, and the answers in one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.config import ParameterTable
from heterodyne_nb.engine.from_dataset import warn_if_not_normalised
from heterodyne_nb.engine.one_time import curve_levels, level_pulls
from heterodyne_nb.engine.one_time_many import Curves, Fitted, best_of, fit_many
from heterodyne_nb.engine.one_time_noise import (
    FitDesign,
    fit_errors,
    fluctuation_rates,
    lag_noise,
)
from heterodyne_nb.engine.one_time_window import decay_in_window
from heterodyne_nb.engine.problem import require_lags, scale_of
from heterodyne_nb.errors import (
    ConfigurationError,
    DataFormatError,
    FitWarning,
    HeterodyneError,
    OptimizationError,
    warn,
)
from heterodyne_nb.fitting.one_time_fit import OneTimeData, read_one_time
from heterodyne_nb.fitting.one_time_parameters import scoped
from heterodyne_nb.models.symmetries import canonical
from heterodyne_nb.progress import OnProgress, ProgressEvent, StopToken
from heterodyne_nb.result.tables import FLAG_COLUMNS
from heterodyne_nb.result.trust import CHI2_RANGE, PULLED, WINDOW
from heterodyne_nb.text.numbers import number

#: Settings of a fit that fits all at once can be asked for.
_KNOWN = {"parameters", "seed", "method", "contrast", "loss", "multistart"}
_PLAIN = {"method": "gauss_newton", "contrast": "per_bin", "loss": "linear", "multistart": None}
#: What a start of the grid must gain over a stated one, in units of the reduced χ²: an error of one sigma is a change by 1.
_BETTER = 1.0
_CONVERGED = "converged: the objective no longer changes"


def at_once(model: Any, arguments: Mapping[str, Any]) -> bool:
    """Whether fits of a model with these arguments can be done all at once, with the same answers as one by one."""
    plain = all(arguments.get(name, value) == value for name, value in _PLAIN.items())
    parameters = arguments.get("parameters")
    if not model.one_time or not plain or set(arguments) - _KNOWN or scoped(parameters):
        return False
    if isinstance(parameters, Mapping):
        return not any(isinstance(one, Mapping) and one.get("prior") for one in parameters.values())
    return parameters is None or not any(parameters.prior)


def one_time_batch(
    model: Any,
    table: ParameterTable,
    data: xr.Dataset | None,
    parts: Iterable[tuple[Any, xr.Dataset]],
    over: str,
    *,
    unit: str,
    on_progress: OnProgress,
    stop: StopToken,
) -> xr.Dataset:
    """Fit every part; see :func:`heterodyne_nb.fit_batch`, whose table this is.

    ``data``: Cut along ``over`` here where that is one of its bins' dimensions. ``parts`` (label, Dataset):
    Otherwise.
    """
    failed: dict[str, str] = {}
    labels: list[Any] = []
    read: list[tuple[OneTimeData, np.ndarray]] = []  # data, and the part each curve is of
    if data is not None and over in data["g2"].dims:
        found = read_one_time(data)
        values = data[over].values if over in data.coords else np.arange(data.sizes[over])
        of_part = found.places[found.axes.index(over)]
        labels = [value.item() for value in values]
        for k in sorted(set(range(len(labels))) - set(of_part.tolist())):
            _left_out(over, labels[k], "no bin has a usable g2", failed)
        order = np.argsort(of_part, kind="stable")
        read = [(_picked(found, order), of_part[order])]
    else:
        for label, part in parts:
            labels.append(label)
            try:
                found = read_one_time(part)
            except ConfigurationError:
                raise
            except HeterodyneError as error:
                _left_out(over, label, str(error), failed)
                continue
            read.append((found, np.full(len(found.g2), len(labels) - 1)))
    read = [_enough(*one, table, over, labels, failed) for one in read]
    rows: list[dict[str, np.ndarray]] = []
    batches = _alike([one for one in read if len(one[1])])
    for k, (one, of_part) in enumerate(batches):
        order = np.argsort(of_part, kind="stable")
        one, of_part = _picked(one, order), of_part[order]
        if stop.reason:
            for part_ in np.unique(of_part):
                failed[str(labels[part_])] = stop.reason
            continue
        rows.append(_fit(model, table, one, of_part, stop))
        on_progress(ProgressEvent("batch", (k + 1) / len(batches), message=f"{len(rows[-1]['part'])} fits"))
    if not rows:
        raise OptimizationError(f"none of the {len(labels)} fits succeeded", hint="; ".join(failed.values()))
    joined = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    order = np.argsort(joined["part"], kind="stable")
    joined = {name: values[order] for name, values in joined.items()}
    out = _table(model, joined, over, [labels[k] for k in joined.pop("part")], unit)
    failed = {str(k): failed[str(k)] for k in labels if str(k) in failed}
    return out.assign_attrs(failed="; ".join(f"{k}: {v}" for k, v in failed.items()))


def _left_out(over: str, label: Any, why: str, failed: dict[str, str]) -> None:
    failed[str(label)] = why
    warn(f"{over} = {label} is left out: {why}", FitWarning)


def _enough(
    data: OneTimeData,
    of_part: np.ndarray,
    table: ParameterTable,
    over: str,
    labels: list[Any],
    failed: dict[str, str],
) -> tuple[OneTimeData, np.ndarray]:
    """Only the parts with lags enough; the others are named."""
    used = np.bincount(of_part, np.count_nonzero(data.weight, axis=1)).astype(int)
    keep = np.ones(len(of_part), bool)
    for part in np.flatnonzero(used <= len(table)):
        mine = of_part == part
        if not mine.any():
            continue
        try:
            require_lags(int(used[part]), len(table))
        except DataFormatError as error:
            keep[mine] = False
            _left_out(over, labels[part], str(error), failed)
    return (data, of_part) if keep.all() else (_picked(data, np.flatnonzero(keep)), of_part[keep])


def _picked(data: OneTimeData, order: np.ndarray) -> OneTimeData:
    return replace(data, g2=data.g2[order], weight=data.weight[order], q=data.q[order], phi=data.phi[order])


def _alike(read: list[tuple[OneTimeData, np.ndarray]]) -> list[tuple[OneTimeData, np.ndarray]]:
    """Parts whose lags are those of one list, or some of them, joined."""
    kinds: list[list[tuple[OneTimeData, np.ndarray]]] = []
    for one in sorted(read, key=lambda one: -len(one[0].tau)):
        for same in kinds:
            first = same[0][0]
            if first.errors_known == one[0].errors_known and np.isin(one[0].tau, first.tau).all():
                same.append(one)
                break
        else:
            kinds.append([one])
    return [
        (_joined([data for data, _ in same]), np.concatenate([part for _, part in same])) for same in kinds
    ]


def _joined(parts: list[OneTimeData]) -> OneTimeData:
    """One set of curves on the lags of the first; a curve has no weight where it has no such lag."""
    tau, rows = parts[0].tau, np.cumsum([0, *(len(part.g2) for part in parts)])
    g2, weight = np.ones((rows[-1], len(tau))), np.zeros((rows[-1], len(tau)))
    for part, first, end in zip(parts, rows, rows[1:], strict=False):
        here = np.ix_(np.arange(first, end), np.searchsorted(tau, part.tau))
        g2[here], weight[here] = part.g2, part.weight
    q, phi = (np.concatenate([getattr(part, name) for part in parts]) for name in ("q", "phi"))
    return replace(parts[0], g2=g2, weight=weight, q=q, phi=phi)


def _fit(
    model: Any, table: ParameterTable, data: OneTimeData, of_part: np.ndarray, stop: StopToken
) -> dict[str, np.ndarray]:
    """Values, errors and doubts of the parts, one row each."""
    parts, group = np.unique(of_part, return_inverse=True)
    scale = scale_of(float(np.sum(data.weight * data.g2) / np.sum(data.weight)))
    warn_if_not_normalised(scale.unit, table, "g2")
    levels = curve_levels(table, scale, data.q, data.phi)
    curves = Curves(model, table, data.tau, data.g2, data.weight, data.q, data.phi, group, levels)
    counts = np.bincount(group, np.count_nonzero(data.weight, axis=1)).astype(int)
    lines = np.bincount(group)
    free_levels = int(np.sum(levels.upper[:, 0] > levels.lower[:, 0]))
    freedom = np.maximum(counts - int(table.vary.sum()) - free_levels * lines, 1)
    nothing = np.zeros(len(table), bool)
    complete = bool(np.all(table.given[table.vary]))
    free = replace(curves, table=replace(table, given=nothing)) if complete else curves
    fitted = fit_many(free, stop=stop)
    if complete:
        start = np.repeat(np.array(table.values)[None], len(parts), axis=0)
        fitted = best_of([fit_many(curves, start=start, stop=stop), fitted], group, _BETTER / freedom)
    values = fitted.values
    if model.symmetries:
        values = np.array([canonical(model, one, data.tau, table) for one in values])
    reduced = fitted.chi2 / freedom
    unit = np.ones(len(parts)) if data.errors_known else np.maximum(reduced, 1e-300)
    shown = replace(curves, weight=data.weight / unit[group][:, None])
    m, design = _design(shown, replace(fitted, values=values), np.asarray(table.vary))
    noise = lag_noise(design, known=data.errors_known)
    spread = fit_errors(design, noise, floor=1.0 if data.errors_known else 0.0)
    by_parameter = np.einsum("gii->gi", spread.covariance)
    moves = np.array(
        [table.vary[table.names.index(t)] if t else v for t, v in zip(table.tie, table.vary, strict=True)]
    )
    source = [table.names.index(t) if t else i for i, t in enumerate(table.tie)]
    place = {int(i): k for k, i in enumerate(np.flatnonzero(table.vary))}
    variance = np.zeros(values.shape)
    for i, root in enumerate(source):
        if moves[i]:
            variance[:, i] = by_parameter[:, place[root]]
    near = 1e-9 * np.abs(values)
    at_bound = np.asarray(table.vary) & ((values - table.lower <= near) | (table.upper - values <= near))
    stderr = np.sqrt(np.where((variance > 0) & ~at_bound, variance, np.nan))
    blur = noise.inflation
    blur = blur[_places(group)] if blur.ndim else blur
    window = decay_in_window(
        shown, fitted.chi2_curve / unit[group], errors_known=data.errors_known, unit=blur
    )
    residual = fitted.contrast[:, None] * m + fitted.offset[:, None] - data.g2
    pulls = level_pulls(
        m, shown.weight * residual, shown.weight, np.stack([fitted.contrast, fitted.offset]), levels
    )
    level_errors = spread.levels[_places(group)]
    words = np.array([t is not None for t in table.tie])
    status = np.where(at_bound, "at bound", np.where(words, "tied", np.where(table.vary, "free", "fixed")))
    return {
        "part": parts,
        "parameters": values,
        "stderr": stderr,
        "status": status,
        "chi2_reduced": reduced if data.errors_known else reduced / unit,
        "n_data": counts,
        "success": fitted.converged & (not stop.reason),
        **{name: _mean(values_, group) for name, values_ in (
            ("contrast", fitted.contrast), ("offset", fitted.offset),
            ("contrast_error", level_errors[:, 0]), ("offset_error", level_errors[:, 1]),
        )},
        "window": _told(window, group, len(parts)),
        "pull": np.stack([np.maximum.reduceat(p, np.flatnonzero(np.diff(group, prepend=-1))) for p in pulls], axis=1),
        "dark": np.bincount(group, fitted.contrast != 0.0) == 0,
        "alike": np.full(len(parts), noise.lowers_chi2),
    }  # fmt: skip


def _mean(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    return np.bincount(group, values) / np.bincount(group)


def _told(window: np.ndarray, group: np.ndarray, parts: int) -> np.ndarray:
    """What a part's window lacks: nothing if any of its curves shows a decay."""
    out = np.full(parts, "", dtype=window.dtype)
    seen = np.bincount(group, window == "") > 0
    first = np.flatnonzero(np.diff(group, prepend=-1))
    return np.where(seen, out, window[first])


def _places(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit and place in it of every curve."""
    first = np.flatnonzero(np.diff(group, prepend=-1))
    return group, np.arange(len(group)) - first[group]


def _design(curves: Curves, fitted: Fitted, vary: np.ndarray) -> tuple[np.ndarray, FitDesign]:
    """M of every curve, and what errors are read from, in rows of as many curves as the largest part has."""
    group, levels, table = curves.group, curves.levels, curves.table
    values = fitted.values[group].T[:, :, None]
    m, slopes = curves.model.with_derivatives(values, curves.tau, curves.q[:, None], curves.phi[:, None])
    m = np.broadcast_to(m, curves.g2.shape)
    source = np.array([table.names.index(t) if t else i for i, t in enumerate(table.tie)])
    moves = source[:, None] == np.flatnonzero(vary)[None, :]
    root = np.sqrt(curves.weight)
    inside = (fitted.values > table.lower) & (fitted.values < table.upper)
    jac = np.einsum("pbk,pf->bkf", np.broadcast_to(slopes, (len(slopes), *m.shape)), moves.astype(float))
    jac *= (fitted.contrast[:, None] * root)[:, :, None] * inside[:, vary][group][:, None, :]
    pairs = np.stack([root * m, root], axis=2)
    both = np.stack([fitted.contrast, fitted.offset])
    free = ((both > levels.lower) & (both < levels.upper)).T
    residual = root * (fitted.contrast[:, None] * m + fitted.offset[:, None] - curves.g2)
    at, rows = _places(group), (int(group[-1]) + 1, int(np.bincount(group).max()))

    def packed(one: np.ndarray) -> np.ndarray:
        out = np.zeros((*rows, *one.shape[1:]), one.dtype)
        out[at] = one
        return out

    rates = fluctuation_rates(m, curves.tau)
    parts = (jac, pairs * free[:, None, :], residual, curves.weight > 0, levels.weight.T * free, rates)
    slopes_, pairs_, residual_, used, prior, rates_ = (packed(one) for one in parts)
    return m, FitDesign(slopes_, pairs_, residual_, used, prior, tau=curves.tau, rates=rates_)


def _table(model: Any, rows: dict[str, np.ndarray], over: str, labels: list[Any], unit: str) -> xr.Dataset:
    window, pull, dark, alike = (rows.pop(name) for name in ("window", "pull", "dark", "alike"))
    chi2 = rows["chi2_reduced"]
    held = (rows["status"] == "at bound").any(axis=1)
    doubts = {
        "not_converged": ~rows["success"],
        **{code: window == word for word, (code, _) in WINDOW.items()},
        "contrast_limit": (pull > PULLED).any(axis=1),
        "no_contrast": dark,
        "poor_chi2": chi2 > CHI2_RANGE[1],
        "small_chi2": (chi2 < CHI2_RANGE[0]) & ~alike,
        "at_bound": held,
    }
    columns = {
        name: (
            over,
            np.any([doubts[code] for code in codes if code in doubts] or [np.zeros(len(chi2), bool)], axis=0),
        )
        for name, codes in FLAG_COLUMNS.items()
    }
    trusted = ~np.any([values for name, (_, values) in columns.items() if name != "unidentified"], axis=0)
    names = list(model.parameter_names)
    texts = [_words(k, doubts, rows, window, names) if not trusted[k] else "" for k in range(len(chi2))]
    entries: dict[str, Any] = {
        "parameters": ((over, "parameter"), rows["parameters"], {"long_name": "published parameters"}),
        "stderr": ((over, "parameter"), rows["stderr"], {"long_name": "standard error"}),
        "status": ((over, "parameter"), rows["status"], {"long_name": "status of the parameter"}),
        "unit": ("parameter", [spec.unit for spec in model.parameters]),
        "chi2_reduced": (over, chi2, {"long_name": "reduced chi-square"}),
        "n_data": (over, rows["n_data"]),
        "success": (over, rows["success"]),
        "message": (
            over,
            np.where(rows["success"], _CONVERGED, "iteration limit reached before convergence"),
        ),
        **columns,
        "trusted": (over, trusted),
        "flags": (over, texts),
    }
    for name in ("contrast", "offset"):
        entries[name] = (over, rows[name], {"units": "1", "long_name": f"mean {name} of the bins"})
        entries[f"{name}_error"] = (over, rows[f"{name}_error"], {"units": "1"})
    coords = {over: (over, labels, {"units": unit} if unit else {}), "parameter": names}
    return xr.Dataset(entries, coords=coords, attrs={"mode": model.name})


def _words(
    k: int, doubts: dict[str, np.ndarray], rows: dict[str, np.ndarray], window: np.ndarray, names: list[str]
) -> str:
    """The reasons for suspicion of one fit, in words."""
    told = {code: f"{text}. Its rate is no result." for code, text in WINDOW.values()}
    bound = ", ".join(n for n, status in zip(names, rows["status"][k], strict=True) if status == "at bound")
    chi2 = number(float(rows["chi2_reduced"][k]))
    told |= {
        "not_converged": "The fit did not converge.",
        "contrast_limit": "The contrast or offset is at its limit, and the data pull beyond it.",
        "no_contrast": "The contrast is 0.",
        "poor_chi2": f"Reduced chi-square is {chi2}: the model misses part of the data, or sigma is too small.",
        "small_chi2": f"Reduced chi-square is {chi2}: sigma is too large.",
        "at_bound": f"At a bound: {bound}. Widen it, or fix the parameter.",
    }
    return " ".join(told[code] for code, found in doubts.items() if found[k])
