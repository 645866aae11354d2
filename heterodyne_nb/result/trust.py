"""What of a fit can be believed: flags, every answer that the data leave, and which parameters they determine.

χ² of correlated pixels scatters more than that of independent ones, by about the ratio of the dyadic variance of the
parameters to the naive one. A basin counts as left over when its χ² lies within so many of these units of the best.
Velocity and direction enter only by the fringe frequencies at the angles measured, so with few or regular angles other
pairs of them fit exactly as well.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.errors import OptimizationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.models.curves import FLOWS
from heterodyne_nb.models.symmetries import SAME_DIRECTION, distinct_angles
from heterodyne_nb.result.record import at_mid_time, model_of, unit_of, with_unit
from heterodyne_nb.text.numbers import number, value_with_error
from heterodyne_nb.uncertainty.bands import NORMAL_95
from heterodyne_nb.uncertainty.identifiability import Identifiability, identifiability, natural_scales

Bands = dict[str, tuple[FloatArray, FloatArray]]

#: Reduced chi-square outside this range says that model or error bars are wrong.
CHI2_RANGE = (0.5, 1.5)
#: Said of the errors of one-time fits that follow noise which many lags share.
ALIKE = ", which lowers chi-square"
#: A bin is singled out when its reduced chi-square exceeds the median bin's, and 1, by this factor.
BIN_FACTOR = 1.5
#: With the exponent of a shear rate known no better than this, and the rate at mid-time no better than to this share,
#: bands at the first frame held the truth in 55 of 100 fits (400 laminar ones of tests/benchmarks/coverage_study.py).
LOOSE_EXPONENT, LOOSE_CURVE = 1.0, 0.05
#: Chances below which the curves, the size of all residuals, or of those of one bin speak against the model; together
#: they object to fewer than one in twenty right models (tests/benchmarks/goodness_study.py).
CURVE_CHANCE, SIZE_CHANCE, BIN_CHANCE = 0.02, 0.01, 0.01
#: Flags that say that the curves are not to be used; other serious ones ask for a look.
RED = ("not_converged", "poor_chi2", "bent_curve", "no_contrast", "no_decay", "decayed_early")
#: Errors by which contrast, offset or a parameter must pull at its limit before that is serious.
PULLED = 3.0
#: Error of a contrast or offset at its limit above which the data hardly determine it.
LOOSE_LEVEL = 0.2
#: Median error of the contrast over the contrast above which it is hardly determined.
LOOSE_SHARE = 0.5
#: Rise of χ² in units of its scatter up to which a basin is left over: 3.5 standard errors.
LEFT_OVER = 12.0
#: Two curves differ when they are farther apart than the band of the best is wide, at more than this share of the times.
_ELSEWHERE = 0.25
#: Share of a curve below which a difference says nothing, however narrow the band.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Flag:
    """One reason for suspicion."""

    #: ``not_converged``, ``several_answers``, ``contrast_limit``, ``loose_contrast``, ``no_contrast``, ``no_decay``,
    #: ``not_decayed``, ``decayed_early``, ``poor_chi2``, ``small_chi2``, ``bent_curve``, ``at_bound``, ``at_limit``,
    #: ``poor_bins``, ``fallback``, ``loose_exponent`` or ``not_determined``.
    code: str
    text: str  #: One line for a person.
    serious: bool = True  #: False for what need not concern who reads only the curves.


def trust_flags(record: xr.Dataset) -> tuple[Flag, ...]:
    """Return every reason for suspicion in the record of a fit.

    ``record``: Of a :class:`heterodyne_nb.result.FitResult`.
    """
    several = in_words(record)
    return (
        *_convergence(record),
        *_window(record),
        *([Flag("several_answers", several)] if several else []),
        *_levels(record),
        *_chi2(record),
        *_bends(record),
        *_bounds(record),
        *_bins(record),
        *_fallbacks(record),
        *_exponents(record),
        *_undetermined(record),
    )


def traffic_light(flags: Sequence[Flag]) -> str:
    """``"red"`` where a flag says that the curves are not to be used, ``"amber"`` where one asks for a look."""
    serious = {flag.code for flag in flags if flag.serious}
    return "red" if serious & set(RED) else "amber" if serious else "green"


def _convergence(record: xr.Dataset) -> list[Flag]:
    if record.attrs["success"]:
        return []
    why = str(record.attrs["message"]) or "no reason given"
    return [Flag("not_converged", f"The fit did not converge: {why}.")]


#: What is said where a one-time curve shows no decay inside its lags; see ``decay_in_window`` of the engine.
WINDOW = {
    "no decay": ("no_decay", "No decay in the window of lags: a constant describes g2 as well as the fit"),
    "not decayed": (
        "not_decayed",
        "Not decayed in the window of lags: a decay that has hardly begun at the last lag describes g2 as well",
    ),
    "decayed early": (
        "decayed_early",
        "Decayed before the first lag: a decay that is over there describes g2 as well as the fit",
    ),
}


def _window(record: xr.Dataset) -> list[Flag]:
    """Curves whose lags hold no decay; serious where a rate rests on nothing else."""
    if "decay" not in record:
        return []
    found, alone = record["decay"].values.astype(str), "scopes" in str(record.attrs.get("extra", ""))
    flags = []
    for word, (code, text) in WINDOW.items():
        at = np.flatnonzero(found == word)
        if at.size:
            every = bool(np.all(found != ""))
            shown = "" if at.size == found.size else f" in {at.size} of {found.size} bins"
            flags.append(
                Flag(
                    code,
                    f"{text}{shown}: {_bin_names(record, at, 3)}. Its rate is no result.",
                    every or alone,
                )
            )
    return flags


def _levels(record: xr.Dataset) -> list[Flag]:
    """Contrast and offset on their limits against the data, and bins without any contrast."""
    flags = []
    for name in ("contrast", "offset"):
        if f"{name}_pull" not in record:
            continue
        pull = np.abs(record[f"{name}_pull"].values)
        held = np.flatnonzero((pull > 0) & (record[name].values != 0.0))
        if held.size:
            limits = ", ".join(sorted({number(float(v)) for v in record[name].values[held]}))
            where = f"{held.size} of {record.sizes['bin']} bins: {_bin_names(record, held, 3)}"
            text = f"The {name} is at its limit {limits} in {where}."
            loose = bool(np.any(record[f"{name}_error"].values[held] > LOOSE_LEVEL))
            against = bool(np.any(pull > PULLED)) or _oversized(record)
            if against:
                text += " The data pull beyond it: the model misses something, or c2 is not of speckle alone."
            elif loose:
                text += " It is hardly determined, and fractions change with it: fix it, measured on a static sample."
            flags.append(Flag("contrast_limit", text, against or loose))
    if "contrast_error" in record:
        lit = record["contrast"].values > 0
        error, value = record["contrast_error"].values[lit], record["contrast"].values[lit]
        if lit.any() and np.median(error / value) > LOOSE_SHARE and not flags:
            text = (
                f"The data hardly determine the contrast ({number(float(np.median(value)), 2)} ± "
                f"{number(float(np.median(error)), 2)}): fractions, J and offset change with it. Fix it, measured on a "
                "static sample."
            )
            flags.append(Flag("loose_contrast", text))
    if "contrast" in record:
        dark = int(np.sum(record["contrast"].values == 0.0))
        if dark:
            text = f"The contrast is 0 in {dark} of {record.sizes['bin']} bins: they say nothing about the curves."
            flags.append(Flag("no_contrast", text, serious=dark == record.sizes["bin"]))
    return flags


def _oversized(record: xr.Dataset) -> bool:
    """Whether the residuals are too large: by their test where there was one, else by the range of chi-square."""
    chance = _tests(record).get("chance")
    return bool(
        float(record.attrs["chi2_reduced"]) > CHI2_RANGE[1] if chance is None else chance < SIZE_CHANCE
    )


def _chi2(record: xr.Dataset) -> list[Flag]:
    chi2 = float(record.attrs["chi2_reduced"])
    low, high = CHI2_RANGE
    if np.isnan(chi2):
        return [Flag("poor_chi2", "Reduced chi-square cannot be computed.")]
    chance = _tests(record).get("chance")
    if chance is not None and chance < SIZE_CHANCE:
        excess = float(np.exp(np.log(record["speckle_ratio"]).mean()))
        text = (
            f"The residuals are larger than speckle of this model leaves them ({number(excess, 2)} times its "
            f"mean square, chance {number(chance, 1)}; reduced chi-square {number(chi2)}): the model misses part of the "
            "data. Look at the residuals; frames without beam, a gap in time, a further component and fringes faster than "
            "the frames do this."
        )
        return [Flag("poor_chi2", text)]
    # the errors then come from the scatter of the data between blocks of frames, not from sigma
    honest = "dyadic" in str(record.attrs.get("uncertainty", ""))
    if chi2 > high and chance is None:
        text = "the model misses part of the data, or sigma is too small."
        text += " Look at the residuals; the errors below do not rest on sigma." if honest else ""
        return [Flag("poor_chi2", f"Reduced chi-square is {number(chi2)}: {text}")]
    if chi2 < low and ALIKE in str(record.attrs.get("uncertainty", "")):
        return []
    if chi2 < low:
        text = "sigma is too large" + (", on which the errors do not rest." if honest else ".")
        return [Flag("small_chi2", f"Reduced chi-square is {number(chi2)}: {text}", serious=not honest)]
    return []


def _tests(record: xr.Dataset) -> dict[str, Any]:
    """What the tests of the fit found; empty where there were none."""
    known = json.loads(record.attrs.get("goodness", "{}"))
    return {name: value for name, value in known.items() if value == value}  # without NaN: not tested


def _bends(record: xr.Dataset) -> list[Flag]:
    """Curves that the data bend away from their published shape."""
    bent = {k: v for k, v in _tests(record).get("curves", {}).items() if v[0] < CURVE_CHANCE}
    if not bent:
        return []
    told = ", ".join(
        f"{name}(t), by about {with_unit(number(abs(size), 2), unit_of(record, name))} near t = {number(when, 3)} s "
        f"(chance {number(chance, 1)})"
        for name, (chance, when, size) in sorted(bent.items(), key=lambda item: item[1][0])
    )
    text = (
        f"The data ask for another course in time than the model's: {told}. Fit parts of the run on their own, leave out "
        "frames that differ, or look for a drift of the intensity."
    )
    return [Flag("bent_curve", text)]


def _bounds(record: xr.Dataset) -> list[Flag]:
    names = _with_status(record, "at bound")
    limited = [name for name in names if not _on_published_bound(record, name)]
    bound = [name for name in names if name not in limited]
    flags = []
    held = [name for name in bound if not _pulls(record, name)]
    pulling = [name for name in bound if name not in held]
    if pulling:
        flags.append(Flag("at_bound", f"At a bound: {', '.join(pulling)}. Widen it, or fix the parameter."))
    if held:
        text = (
            f"At a bound: {', '.join(held)}. The data pull beyond it by less than {PULLED:g} errors; bands of the curves "
            "end where it does."
        )
        flags.append(Flag("at_bound", text, serious=False))
    if limited:
        text = (
            f"A J at 0, or a fraction at 0 or 1, holds {_shortened(limited)}: that is as far as the curve can go, and "
            "bands end there."
        )
        flags.append(Flag("at_limit", text, serious=False))
    return flags


def _pulls(record: xr.Dataset, name: str) -> bool:
    """Whether the data pull a parameter beyond its bound, or may do so for all that is known.

    Only the exponents and rates of a model have bounds where a curve bends as much as frames can show; others, and those
    that the user drew, any pull crosses.
    """
    one, own = record.sel(parameter=name), {spec.name: spec for spec in model_of(record).parameters}[name]
    drawn = (float(one["bound_lower"]), float(one["bound_upper"])) != (own.lower, own.upper)
    bends = model_of(record).parts()[name].part in ("exponent", "rate")
    if "bound_pull" not in record or drawn or not bends or _oversized(record):
        return True
    return not abs(float(one["bound_pull"])) <= PULLED


def _shortened(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _on_published_bound(record: xr.Dataset, name: str) -> bool:
    """Whether a parameter lies on a bound of its own, rather than at an end of what its curve can be."""
    one = record.sel(parameter=name)
    value, low, high = (float(one[key]) for key in ("parameters", "bound_lower", "bound_upper"))
    near = 1e-6 * (high - low)
    part = model_of(record).parts()[name]
    if (
        part.part == "coefficient"
    ):  # of a spline: its bounds are those of the curve, or of what frames can show
        return False
    ends_of_curve = low == 0.0 and "t" in record and (part.role, part.part) == ("transport", "amplitude")
    return bool(value - low <= near and not ends_of_curve) or bool(high - value <= near)


def _bins(record: xr.Dataset) -> list[Flag]:
    if "chi2_reduced_bin" not in record:
        return []
    chi2 = record["chi2_reduced_bin"].values
    if not np.isfinite(chi2).any():
        return []
    if "speckle_chance" in record:
        poor = np.flatnonzero(record["speckle_chance"].values < BIN_CHANCE)
    else:
        poor = np.flatnonzero(chi2 > BIN_FACTOR * max(float(np.nanmedian(chi2)), 1.0))
    if not poor.size:
        return []
    shown = _bin_names(record, poor, 5)
    return [Flag("poor_bins", f"{poor.size} of {chi2.size} bins fit much worse than the others: {shown}.")]


def _fallbacks(record: xr.Dataset) -> list[Flag]:
    told = [str(step["fallback"]) for step in json.loads(record.attrs["path"]) if step.get("fallback")]
    return [Flag("fallback", f"Another way was taken: {text}.") for text in told]


def _exponents(record: xr.Dataset) -> list[Flag]:
    """Velocities whose band at the first frame rests on an exponent that is hardly known."""
    flags = []
    for name, part in model_of(record).parts().items():
        curve = part.curve
        if part.role not in FLOWS or part.part != "exponent" or curve not in record:
            continue
        error = float(record["stderr"].sel(parameter=name))
        value, lower, upper = at_mid_time(record, curve)
        if error > LOOSE_EXPONENT and upper - lower > 2 * LOOSE_CURVE * abs(value):
            text = (
                f"{name} is known to ± {number(error, 2)} only: the band of {curve} near the first frame may be too "
                f"narrow; a profile of {curve}({number(float(record['t'].values[0]))}) does not take it as linear."
            )
            flags.append(Flag("loose_exponent", text, serious=False))
    return flags


def _undetermined(record: xr.Dataset) -> list[Flag]:
    names = _with_status(record, "not determined")
    if not names:
        return []
    text = f"Not determined by these data: {', '.join(names)}. The curves below are what the data tell."
    return [Flag("not_determined", text, serious=False)]


def _with_status(record: xr.Dataset, status: str) -> list[str]:
    return list(record["parameter"].values[record["status"].values == status].tolist())


def _bin_names(record: xr.Dataset, places: np.ndarray, most: int) -> str:
    return ", ".join(_bin_name(record, i) for i in places[:most]) + (", ..." if places.size > most else "")


def _bin_name(record: xr.Dataset, place: int) -> str:
    chi2 = number(float(record["chi2_reduced_bin"][place]), 3)
    if "q" not in record or "phi" not in record:
        return f"bin {record['bin'].values[place]} ({chi2})"
    q, phi = float(record["q"][place]), float(record["phi"][place])
    return f"q = {number(q)} 1/Å, phi = {number(phi)}° ({chi2})"


@dataclass(frozen=True)
class Solution:
    """One answer that the data leave."""

    mode: str
    values: dict[str, float]  #: Published parameters by name.
    chi2: float
    #: χ² above the best, in units that respect correlated pixels (9 is three standard errors).
    rise: float = 0.0

    def curves(self, t: FloatArray) -> dict[str, FloatArray]:
        """Curves at times ``t`` (s), in the units of the model."""
        return dict(ModelFactory.create_model(self.mode).curves(list(self.values.values()), t))


def left_over(
    model: Any,
    points: Sequence[tuple[FloatArray, float]],
    bands: Bands,
    errors: FloatArray,
    t: FloatArray,
    unit: float,
    angles: FloatArray,
) -> list[tuple[FloatArray, float, float]]:
    """Which optima are other answers than the first, as (published vector, χ², rise).

    ``model`` (model of :class:`heterodyne_nb.models.ModelFactory`). ``points`` (p,): Reported optimum first, then the
    others; with their χ². ``bands``: 95 % bands of the curves of the first. ``errors`` (p,): Standard errors of its
    parameters. ``t`` (N,): Times of the bands in s. ``unit``: Scatter of χ² for one degree of freedom. ``angles``
    (B,): Azimuths measured, degrees: a single one tells no direction.
    """
    directed = len(distinct_angles(angles)) > 1
    (best, lowest), *others = points
    kept: list[tuple[FloatArray, float, float]] = []
    for theta, chi2 in others:
        rise = max(chi2 - lowest, 0.0)
        if rise > 0.0:
            rise = rise / unit if unit > 0.0 else np.inf  # of data without noise nothing else is an answer
        known = (best, *(k[0] for k in kept))
        if rise <= LEFT_OVER and not any(
            _same(model, theta, one, bands, errors, t, directed) for one in known
        ):
            kept.append((theta, chi2, rise))
    return kept


def _same(
    model: Any,
    one: FloatArray,
    other: FloatArray,
    bands: Bands,
    errors: FloatArray,
    t: FloatArray,
    directed: bool,
) -> bool:
    """Whether two optima say the same within the errors."""
    for i in model.directions if directed else ():
        turned = abs((one[i] - other[i] + 90.0) % 180.0 - 90.0)
        if turned > max(SAME_DIRECTION, 3.0 * np.nan_to_num(errors[i])):
            return False
    first, second = model.curves(one, t), model.curves(other, t)
    for name, (lower, upper) in bands.items():
        wide = np.maximum(np.nan_to_num(upper - lower, nan=np.inf), _ROUNDING * np.abs(first[name]))
        apart = np.abs(first[name] - second[name]) > wide
        if np.mean(apart) > _ELSEWHERE:
            return False
    return True


def united(bands: Sequence[Bands]) -> Bands:
    """Bands that hold those of every answer."""
    return {
        name: (np.min([b[name][0] for b in bands], axis=0), np.max([b[name][1] for b in bands], axis=0))
        for name in bands[0]
    }


def solutions_of(record: xr.Dataset) -> tuple[Solution, ...]:
    """The answers that a result holds, the reported one first."""
    mode, names = str(record.attrs["mode"]), record["parameter"].values.tolist()
    reported = {"parameters": record["parameters"].values, "chi2": record.attrs["chi2"], "rise": 0.0}
    return tuple(
        Solution(
            mode,
            dict(zip(names, map(float, one["parameters"]), strict=True)),
            float(one["chi2"]),
            float(one["rise"]),
        )
        for one in (reported, *json.loads(record.attrs.get("solutions", "[]")))
    )


def in_words(record: xr.Dataset) -> str:
    """The answers by what tells them apart, in one sentence; empty where there is one only."""
    every, lone = solutions_of(record), _one_line(record)
    if len(every) == 1 or "t" not in record:
        return lone
    t = record["t"].values
    names = list(every[0].values)
    middle = t[len(t) // 2 : len(t) // 2 + 1]
    curves = [{name: float(c[0]) for name, c in one.curves(middle).items()} for one in every]
    ways = [names[i] for i in model_of(record).directions]
    directed = "phi" in record and len(distinct_angles(record["phi"].values)) > 1
    told = [
        name
        for name in curves[0]
        if float(np.ptp([c[name] for c in curves])) > 0.02 * max(abs(c[name]) for c in curves)
    ]
    directions = [
        name for name in ways if directed and np.ptp([one.values[name] for one in every]) > SAME_DIRECTION
    ]
    answers = []
    for one, curve in zip(every, curves, strict=True):
        parts = [f"{name} = {number(one.values[name], 3)}°" for name in directions]
        parts += [f"{name} = {with_unit(number(curve[name], 3), unit_of(record, name))}" for name in told]
        answers.append(" with ".join([parts[0], ", ".join(parts[1:])]) if len(parts) > 1 else "".join(parts))
    text = f"The data leave {len(every)} answers (at mid-time): {', or '.join(answers)}."
    if directions:
        text += f" {_angle_that_tells(record, every, curves)}"
    return f"{text} {lone}".rstrip()


def _angle_that_tells(
    record: xr.Dataset, every: Sequence[Solution], curves: Sequence[dict[str, float]]
) -> str:
    """Where to measure besides: the fringes of no two flows that differ at all are then the same.

    ``curves``: Of each answer at mid-time.
    """
    names, phi = list(every[0].values), distinct_angles(record["phi"].values)
    tried = np.arange(-89.0, 91.0)
    rates = np.array(
        [
            [
                curve[flow.name] * np.abs(np.cos(np.radians(one.values[names[flow.direction]] - tried)))
                for flow in model_of(record).of_role(*FLOWS)
                if flow.direction is not None
            ]
            for one, curve in zip(every, curves, strict=True)
        ]
    )  # (answer, flow, angle)
    pairs = [np.abs(rates[i] - rates[j]).sum(axis=0) for j in range(len(rates)) for i in range(j)]
    clearest = max(float(pair.max()) for pair in pairs)
    best = float(tried[np.argmax(np.min([p for p in pairs if p.max() > 0.01 * clearest], axis=0))])
    ends = np.sort((phi + 89.0) % 180.0 - 89.0)
    around = np.concatenate([ends - 180.0, ends, ends + 180.0])
    below, above = float(around[around <= best][-1]), float(around[around > best][0])
    few = np.unique(record["phi"].values).size == 2
    return (
        f"{'These two angles' if few else 'The angles measured'} cannot tell them apart; "
        f"{'a third' if few else 'another'} angle between {number(below, 3)}° and {number(above, 3)}° would, "
        f"best near phi = {number(best, 2)}°."
    )


def _one_line(record: xr.Dataset) -> str:
    """What is known of flows that are seen along one line only."""
    model, unknown = model_of(record), _with_status(record, "not determined")
    names = record["parameter"].values.tolist()
    flows = {c.name: names[c.direction] for c in model.of_role(*FLOWS) if c.direction is not None}
    seen = {name: at for name, at in flows.items() if at in unknown}
    if not seen or "phi" not in record:
        return ""
    return (
        f"All bins look along one line (phi = {number(float(record['phi'].values[0]))}°), so {', '.join(seen.values())} "
        f"cannot be told: {', '.join(seen)} is the component along that line, and the flow may be faster. Fix "
        f"{', '.join(seen.values())} where it is known, or measure another angle."
    )


def of_result(record: xr.Dataset) -> Identifiability:
    """Judge the parameters a fit varied from the Gauss-Newton matrix it kept, and by the errors it states.

    ``record``: Of a :class:`heterodyne_nb.result.FitResult`.

    Raises OptimizationError: The record keeps no Gauss-Newton matrix, or nothing was varied.
    """
    if "hessian" not in record:
        raise OptimizationError(
            "the result keeps no Gauss-Newton matrix", hint="pass hessian to FitResult.from_parts"
        )
    varied = np.flatnonzero(~np.isin(record["status"].values, ("fixed", "tied")))
    if not varied.size:
        raise OptimizationError("every parameter was fixed or tied", hint="vary at least one parameter")
    every = dict(zip(record["parameter"].values.tolist(), record["parameters"].values.tolist(), strict=True))
    names = record["parameter"].values[varied].tolist()
    duration = float(np.ptp(record["t"].values)) if "t" in record else None
    model = model_of(record)
    scales = natural_scales(model.parts(), every, duration)
    square = np.ix_(varied, varied)
    # what the errors of the fit come from, unless it is missing or has holes
    known = record["covariance"].values[square] if "covariance" in record else np.nan
    found = identifiability(
        record["hessian"].values[square],
        names,
        [every[name] for name in names],
        float(record.attrs.get("sigma2", 1.0)),
        scales={name: scales[name] for name in names},
        covariance=known if np.isfinite(known).all() else None,
        model=model,
    )
    notes = _curve_notes(record, found.not_determined)
    return replace(found, notes=tuple(notes), answers=in_words(record))


def _curve_notes(record: xr.Dataset, doubtful: tuple[str, ...]) -> list[str]:
    """Say what each curve with a doubtful parameter is at mid-time, with its standard error."""
    parts, notes = model_of(record).parts(), []
    for curve in dict.fromkeys(parts[name].curve for name in doubtful):
        if curve not in record or f"{curve}_lower" not in record:
            continue
        value, lower, upper = at_mid_time(record, curve)
        half = 0.5 * (upper - lower)
        if np.isfinite(half):
            shown = value_with_error(value, half / NORMAL_95)
            notes.append(f"{curve} at mid-time is {with_unit(shown, unit_of(record, curve))}")
    return notes
