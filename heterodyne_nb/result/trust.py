"""Trust flags: what about a fit deserves suspicion, most serious first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.models.curves import FLOWS
from heterodyne_nb.result.record import model_of
from heterodyne_nb.result.solutions import in_words
from heterodyne_nb.text.numbers import number

#: Reduced chi-square outside this range says that model or error bars are wrong.
CHI2_RANGE = (0.5, 1.5)
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
#: Errors by which a contrast or offset must pull at its limit before that is serious.
PULLED = 3.0
#: Error of a contrast or offset at its limit above which the data hardly determine it.
LOOSE_LEVEL = 0.2
#: Median error of the contrast over the contrast above which it is hardly determined.
LOOSE_SHARE = 0.5


@dataclass(frozen=True)
class Flag:
    """One reason for suspicion.

    Attributes
    ----------
    code : str
        ``not_converged``, ``several_answers``, ``contrast_limit``, ``loose_contrast``,
        ``no_contrast``, ``no_decay``, ``not_decayed``, ``decayed_early``, ``poor_chi2``, ``small_chi2``, ``bent_curve``,
        ``at_bound``, ``at_limit``, ``poor_bins``, ``fallback``, ``loose_exponent`` or ``not_determined``.
    text : str
        One line for a person.
    serious : bool
        False for what need not concern who reads only the curves.
    """

    code: str
    text: str
    serious: bool = True


def trust_flags(record: xr.Dataset) -> tuple[Flag, ...]:
    """Return every reason for suspicion in the record of a fit.

    Parameters
    ----------
    record : xarray.Dataset
        Of a :class:`heterodyne_nb.result.FitResult`.
    """
    checks = (
        _convergence,
        _window,
        _answers,
        _levels,
        _chi2,
        _bends,
        _bounds,
        _bins,
        _fallbacks,
        _exponents,
        _undetermined,
    )
    return tuple(flag for check in checks for flag in check(record))


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
            names = ", ".join(_bin_name(record, i) for i in at[:3]) + (", ..." if at.size > 3 else "")
            flags.append(Flag(code, f"{text}{shown}: {names}. Its rate is no result.", every or alone))
    return flags


def _answers(record: xr.Dataset) -> list[Flag]:
    text = in_words(record)
    return [Flag("several_answers", text)] if text else []


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
            shown = ", ".join(_bin_name(record, i) for i in held[:3]) + (", ..." if held.size > 3 else "")
            text = (
                f"The {name} is at its limit {limits} in {held.size} of {record.sizes['bin']} bins: {shown}."
            )
            loose = bool(np.any(record[f"{name}_error"].values[held] > LOOSE_LEVEL))
            against = bool(np.any(pull > PULLED)) or float(record.attrs["chi2_reduced"]) > CHI2_RANGE[1]
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


def _chi2(record: xr.Dataset) -> list[Flag]:
    chi2 = float(record.attrs["chi2_reduced"])
    low, high = CHI2_RANGE
    if np.isnan(chi2):
        return [Flag("poor_chi2", "Reduced chi-square cannot be computed.")]
    chance = _tests(record).get("chance")
    if chance is not None and chance < SIZE_CHANCE:
        text = (
            f"The residuals are larger than speckle of this model leaves them ({number(_excess(record), 2)} times its "
            f"mean square, chance {number(chance, 1)}; reduced chi-square {number(chi2)}): {_causes()}"
        )
        return [Flag("poor_chi2", text)]
    if chi2 > high and chance is None:
        return [Flag("poor_chi2", f"Reduced chi-square is {number(chi2)}: {_too_large(record)}")]
    if chi2 < low:
        honest = _respects_frames(record)
        text = "sigma is too large" + (", on which the errors do not rest." if honest else ".")
        return [Flag("small_chi2", f"Reduced chi-square is {number(chi2)}: {text}", serious=not honest)]
    return []


def _tests(record: xr.Dataset) -> dict[str, Any]:
    """What the tests of the fit found; empty where there were none."""
    known = json.loads(record.attrs.get("goodness", "{}"))
    return {name: value for name, value in known.items() if value == value}  # without NaN: not tested


def _excess(record: xr.Dataset) -> float:
    return float(np.exp(np.log(record["speckle_ratio"]).mean()))


def _causes() -> str:
    return (
        "the model misses part of the data. Look at the residuals; frames without beam, a gap in time, a further "
        "component and fringes faster than the frames do this."
    )


def _bends(record: xr.Dataset) -> list[Flag]:
    """Curves that the data bend away from their published shape."""
    bent = {k: v for k, v in _tests(record).get("curves", {}).items() if v[0] < CURVE_CHANCE}
    if not bent:
        return []
    told = ", ".join(
        f"{name}(t), by about {number(abs(size), 2)}{_unit(record[name])} near t = {number(when, 3)} s "
        f"(chance {number(chance, 1)})"
        for name, (chance, when, size) in sorted(bent.items(), key=lambda item: item[1][0])
    )
    text = (
        f"The data ask for another course in time than the model's: {told}. Fit parts of the run on their own, leave out "
        "frames that differ, or look for a drift of the intensity."
    )
    return [Flag("bent_curve", text)]


def _unit(curve: xr.DataArray) -> str:
    unit = str(curve.attrs.get("units", "1"))
    return "" if unit == "1" else f" {unit}"


def _too_large(record: xr.Dataset) -> str:
    text = "the model misses part of the data, or sigma is too small."
    if _respects_frames(record):
        text += " Look at the residuals; the errors below do not rest on sigma."
    return text


def _respects_frames(record: xr.Dataset) -> bool:
    """Whether errors come from the scatter of the data between blocks of frames."""
    return "dyadic" in str(record.attrs.get("uncertainty", ""))


def _bounds(record: xr.Dataset) -> list[Flag]:
    names = _with_status(record, "at bound")
    limited = [name for name in names if not on_published_bound(record, name)]
    bound = [name for name in names if name not in limited]
    flags = []
    if bound:
        flags.append(Flag("at_bound", f"At a bound: {', '.join(bound)}. Widen it, or fix the parameter."))
    if limited:
        text = (
            f"A J at 0, or a fraction at 0 or 1, holds {', '.join(limited)}: that is as far as the curve can go, and "
            "bands end there."
        )
        flags.append(Flag("at_limit", text, serious=False))
    return flags


def on_published_bound(record: xr.Dataset, name: str) -> bool:
    """Whether a parameter lies on a bound of its own, rather than at an end of what its curve can be."""
    one = record.sel(parameter=name)
    value, low, high = (float(one[key]) for key in ("parameters", "bound_lower", "bound_upper"))
    near = 1e-6 * (high - low)
    part = model_of(record).parts()[name]
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
    shown = ", ".join(_bin_name(record, i) for i in poor[:5]) + (", ..." if poor.size > 5 else "")
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
        if error > LOOSE_EXPONENT and _loose_at_mid_time(record, curve):
            text = (
                f"{name} is known to ± {number(error, 2)} only: the band of {curve} near the first frame may be too "
                f"narrow; a profile of {curve}({number(float(record['t'].values[0]))}) does not take it as linear."
            )
            flags.append(Flag("loose_exponent", text, serious=False))
    return flags


def _loose_at_mid_time(record: xr.Dataset, curve: str) -> bool:
    middle = record[[curve, f"{curve}_lower", f"{curve}_upper"]].isel(t=record.sizes["t"] // 2)
    width = middle[f"{curve}_upper"] - middle[f"{curve}_lower"]
    return bool(width > 2 * LOOSE_CURVE * abs(middle[curve]))


def _undetermined(record: xr.Dataset) -> list[Flag]:
    names = _with_status(record, "not determined")
    if not names:
        return []
    text = f"Not determined by these data: {', '.join(names)}. The curves below are what the data tell."
    return [Flag("not_determined", text, serious=False)]


def _with_status(record: xr.Dataset, status: str) -> list[str]:
    return record["parameter"].values[record["status"].values == status].tolist()


def _bin_name(record: xr.Dataset, place: int) -> str:
    chi2 = number(float(record["chi2_reduced_bin"][place]), 3)
    if "q" not in record or "phi" not in record:
        return f"bin {record['bin'].values[place]} ({chi2})"
    q, phi = float(record["q"][place]), float(record["phi"][place])
    return f"q = {number(q)} 1/Å, phi = {number(phi)}° ({chi2})"
