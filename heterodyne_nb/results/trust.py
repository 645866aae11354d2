"""Trust flags: what about a fit deserves suspicion, most serious first."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import xarray as xr

from heterodyne_nb.results.numbers import number

#: Reduced chi-square outside this range says that model or error bars are wrong.
CHI2_RANGE = (0.5, 1.5)
#: A bin is singled out when its reduced chi-square exceeds the median bin's, and 1, by this factor.
BIN_FACTOR = 1.5
#: With an exponent of a velocity known no better than this, a band of this relative half-width held the truth in half of
#: the experiments (laminar flow in tests/benchmarks/coverage_study.py).
LOOSE_EXPONENT, WIDE_BAND = 0.75, 0.3


@dataclass(frozen=True)
class Flag:
    """One reason for suspicion.

    Attributes
    ----------
    code : str
        ``not_converged``, ``poor_chi2``, ``small_chi2``, ``at_bound``, ``poor_bins``, ``fallback``,
        ``loose_exponent`` or ``not_determined``.
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
        Of a :class:`heterodyne_nb.results.FitResult`.
    """
    checks = (_convergence, _chi2, _bounds, _bins, _fallbacks, _exponents, _undetermined)
    return tuple(flag for check in checks for flag in check(record))


def _convergence(record: xr.Dataset) -> list[Flag]:
    if record.attrs["success"]:
        return []
    why = str(record.attrs["message"]) or "no reason given"
    return [Flag("not_converged", f"The fit did not converge: {why}.")]


def _chi2(record: xr.Dataset) -> list[Flag]:
    chi2 = float(record.attrs["chi2_reduced"])
    low, high = CHI2_RANGE
    if np.isnan(chi2):
        return [Flag("poor_chi2", "Reduced chi-square cannot be computed.")]
    if chi2 > high:
        return [Flag("poor_chi2", f"Reduced chi-square is {number(chi2)}: {_too_large(record)}")]
    if chi2 < low:
        honest = _respects_frames(record)
        text = "sigma is too large" + (", on which the errors do not rest." if honest else ".")
        return [Flag("small_chi2", f"Reduced chi-square is {number(chi2)}: {text}", serious=not honest)]
    return []


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
    return (
        [Flag("at_bound", f"At a bound: {', '.join(names)}. Widen it, or fix the parameter.")]
        if names
        else []
    )


def _bins(record: xr.Dataset) -> list[Flag]:
    if "chi2_reduced_bin" not in record:
        return []
    chi2 = record["chi2_reduced_bin"].values
    if not np.isfinite(chi2).any():
        return []
    poor = np.flatnonzero(chi2 > BIN_FACTOR * max(float(np.nanmedian(chi2)), 1.0))
    if not poor.size:
        return []
    shown = ", ".join(_bin_name(record, i) for i in poor[:5]) + (", ..." if poor.size > 5 else "")
    return [Flag("poor_bins", f"{poor.size} of {chi2.size} bins fit much worse than the others: {shown}.")]


def _fallbacks(record: xr.Dataset) -> list[Flag]:
    told = [str(step["fallback"]) for step in json.loads(record.attrs["path"]) if step.get("fallback")]
    return [Flag("fallback", f"Another way was taken: {text}.") for text in told]


def _exponents(record: xr.Dataset) -> list[Flag]:
    """Velocities whose band at an end of the run rests on an exponent that is hardly known."""
    flags = []
    for name in map(str, record["parameter"].values):
        if not name.startswith("beta"):
            continue
        error = float(record["stderr"].sel(parameter=name))
        for curve in {f"v{name[4:]}", f"gamma_dot{name[4:]}"} & set(map(str, record.data_vars)):
            if error > LOOSE_EXPONENT and (times := _wide_ends(record, curve)):
                points = " and ".join(f"{curve}({number(t)})" for t in times)
                text = (
                    f"{name} is known to ± {number(error, 2)} only: bands of {curve} at the ends may be too narrow; "
                    f"profile {points} does not take the curve as linear in it."
                )
                flags.append(Flag("loose_exponent", text, serious=False))
    return flags


def _wide_ends(record: xr.Dataset, curve: str) -> list[float]:
    """First and last time, where the band of a curve there is wide."""
    value, lower, upper = (record[curve + part].values for part in ("", "_lower", "_upper"))
    wide = upper - lower > 2 * WIDE_BAND * np.abs(value)
    return [float(record["t"].values[i]) for i in (0, -1) if wide[i]]


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
