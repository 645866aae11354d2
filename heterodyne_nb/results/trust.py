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


@dataclass(frozen=True)
class Flag:
    """One reason for suspicion.

    Attributes
    ----------
    code : str
        ``not_converged``, ``poor_chi2``, ``small_chi2``, ``at_bound``, ``poor_bins``, ``fallback`` or
        ``not_determined``.
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
    checks = (_convergence, _chi2, _bounds, _bins, _fallbacks, _undetermined)
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
        return [Flag("small_chi2", f"Reduced chi-square is {number(chi2)}: sigma is too large.")]
    return []


def _too_large(record: xr.Dataset) -> str:
    text = "the model misses part of the data, or sigma is too small."
    if "dyadic" in str(record.attrs.get("uncertainty", "")):
        text += " Look at the residuals; the errors below do not rest on sigma."
    return text


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
