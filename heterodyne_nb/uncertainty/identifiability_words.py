"""Identifiability said in words: what trades off against what, and how to mend it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.models.curves import FLOWS
from heterodyne_nb.models.model import Part
from heterodyne_nb.text.html import alert, bullets, heading, table
from heterodyne_nb.text.numbers import number, value_with_error

if TYPE_CHECKING:
    from heterodyne_nb.uncertainty.identifiability import Direction, Identifiability

FloatArray = NDArray[np.float64]

#: Parameters with a smaller part of the largest weight are not named.
_NAMED_EXACT, _NAMED_WEAK = 1e-2, 0.3


def listed(names: Iterable[str]) -> str:
    """Join names: 'a', 'a and b', 'a, b and c'."""
    items = list(names)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def combination(vector: FloatArray, names: Sequence[str]) -> str:
    """Write a determined combination with its four largest weights: ``0.98 D0 - 0.17 alpha``."""
    order = [i for i in np.argsort(-np.abs(vector)) if abs(vector[i]) >= 0.1 * np.max(np.abs(vector))][:4]
    sign = 1.0 if vector[order[0]] > 0 else -1.0
    terms = [f"{'+' if sign * vector[i] > 0 else '-'} {abs(vector[i]):.2f} {names[i]}" for i in order]
    return " ".join(terms).removeprefix("+ ")


def trade_off(
    vector: FloatArray,
    names: Sequence[str],
    values: Sequence[float],
    scale: FloatArray,
    parts: Mapping[str, Part],
    precision: float = math.inf,
) -> str:
    """Say what a null or weak direction means.

    Parameters
    ----------
    vector : array, shape (p,)
        The direction, every parameter counted in its scale.
    names, values, scale : sequences of length p
    parts : mapping of str to Part
        What each parameter is.
    precision : float
        Its standard error; infinite when the data do not change at all along it.
    """
    exact = math.isinf(precision)
    involved = _involved(vector, _NAMED_EXACT if exact else _NAMED_WEAK)
    called = [names[i] for i in involved]
    if len(involved) == 1:
        return f"{called[0]} has no influence on these data" if exact else f"{called[0]} is hardly determined"
    value = {names[i]: float(values[i]) for i in range(len(names))}
    change = {names[i]: float(vector[i] * scale[i]) for i in involved}
    if len(involved) == 2:
        pair = _pair(called[0], called[1], change, value, parts, exact)
        if exact or pair is not None:
            return f"{called[0]} and {called[1]} only {pair or _slope(called[0], called[1], change)}"
    moves = _steps(called, change) if exact else _moves(called, precision * vector[involved])
    return _several(called, moves, parts)


def suggestions(
    names: Sequence[str], parts: Mapping[str, Part], open_directions: Sequence[Direction]
) -> tuple[str, ...]:
    """Say what to fix, tie or measure for each direction that the data leave open; no line twice."""
    lines = []
    for direction in open_directions:
        share = _NAMED_EXACT if direction.kind == "null" else _NAMED_WEAK
        called = [names[i] for i in _involved(np.array(direction.weights), share)]
        lines.append(_suggestion(called, parts))
    return tuple(dict.fromkeys(lines))


def report(
    names: Sequence[str],
    directions: Sequence[Direction],
    advice: Sequence[str],
    notes: Sequence[str],
    answers: str = "",
) -> str:
    """Write everything as plain text."""
    lines = [
        headline(names, directions),
        *([f"{answers} What follows is said of the first."] if answers else []),
    ]
    for title, items in _sections(directions, advice, notes):
        lines += [f"{title}:", *(f"  - {item}" for item in items)]
    return "\n".join(lines)


def report_html(found: Identifiability) -> str:
    """Write everything as HTML, with the table of parameters."""
    rows = [
        [name, _shown(value, error, status), number(scale, 3), _percent(error / scale), _STATUS_WORDS[status]]
        for name, value, error, scale, status in zip(
            found.names, found.values, found.stderr, found.scales, found.status, strict=True
        )
    ]
    parts = [heading(headline(found.names, found.directions))]
    if found.answers:
        parts.append(alert(f"{found.answers} What follows is said of the first."))
    for title, items in _sections(found.directions, found.suggestions, found.notes):
        parts += [f"<p>{title}:</p>", bullets(items)]
    parts.append(table(["parameter", "value", "scale", "error / scale", ""], rows))
    return "".join(parts)


def headline(names: Sequence[str], directions: Sequence[Direction]) -> str:
    """Write one line: how many combinations are determined, and the least well known of them."""
    count = {kind: sum(d.kind == kind for d in directions) for kind in ("determined", "weak", "null")}
    total = len(names)
    if count["determined"] == total:
        worst = max(directions, key=lambda d: d.precision)
        what = f"All {total} parameters are" if total > 1 else "The parameter is"
        return f"{what} determined; the least well known combination to {_percent(worst.precision)}."
    rest = [f"{count[k]} {w}" for k, w in (("weak", "hardly"), ("null", "not at all")) if count[k]]
    return f"{count['determined']} of {total} combinations are determined, {', '.join(rest)}."


_STATUS_WORDS = {"determined": "determined", "weak": "hardly determined", "null": "not determined"}


def _sections(
    directions: Sequence[Direction], advice: Sequence[str], notes: Sequence[str]
) -> list[tuple[str, list[str]]]:
    null = [d.text for d in directions if d.kind == "null"]
    weak = [f"{d.text} (standard error {_percent(d.precision)})" for d in directions if d.kind == "weak"]
    sections = [("Not determined at all", null), ("Hardly determined by these data", weak)]
    sections += [("Determined all the same", list(notes)), ("To mend it", list(advice))]
    return [(title, items) for title, items in sections if items]


def _involved(vector: FloatArray, share: float) -> list[int]:
    return np.flatnonzero(np.abs(vector) >= share * np.max(np.abs(vector))).tolist()


def _pair(
    a: str, b: str, change: dict[str, float], value: dict[str, float], parts: Mapping[str, Part], exact: bool
) -> str | None:
    """Word the combination of two parameters that stays fixed while both move by `change`, if it has a name."""
    near = 1e-3 if exact else 0.1
    ratio = change[a] / change[b]
    one, other = parts[a], parts[b]
    if (one.part, other.part) == ("amplitude", "shift") and one.curve == other.curve:
        rate = next(n for n in value if (parts[n].curve, parts[n].part) == (one.curve, "rate"))
        if math.isclose(ratio, value[a] * value[rate], rel_tol=near):
            return f"through {a}·exp(−{rate}·{b})"
    if "exponent" in (one.part, other.part):
        return None
    if math.isclose(ratio, -1.0, rel_tol=near):
        return "as their sum"
    if math.isclose(ratio, 1.0, rel_tol=near):
        return "as their difference"
    if value[a] and value[b] and math.isclose(ratio, -value[a] / value[b], rel_tol=near):
        return "as their product"
    if value[a] and value[b] and math.isclose(ratio, value[a] / value[b], rel_tol=near):
        return "as their ratio"
    return None


def _slope(a: str, b: str, change: dict[str, float]) -> str:
    ratio = change[a] / change[b]
    return f"as {a} {'−' if ratio > 0 else '+'} {number(abs(ratio), 3)}·{b}"


def _steps(called: list[str], change: dict[str, float]) -> str:
    first = max(change, key=lambda name: abs(change[name]))
    return ", ".join(f"{name} by {number(change[name] / change[first], 2)}" for name in called)


def _moves(called: list[str], parts: FloatArray) -> str:
    shown = (
        f"{name} by {'+' if part > 0 else '-'}{_percent(abs(part))}"
        for name, part in zip(called, parts, strict=True)
    )
    return ", ".join(shown) + " of their scales"


def _several(called: list[str], moves: str, parts: Mapping[str, Part]) -> str:
    curves = {parts[name].curve for name in called}
    if len(curves) == 1:
        curve = curves.pop()
        return f"{listed(called)} trade off against each other: read {curve}(t) and its band instead"
    angles = [name for name in called if parts[name].part == "direction"]
    speeds = [name for name in called if parts[name].role in FLOWS]
    if angles and speeds and len(angles) + len(speeds) == len(called):
        return f"{listed(called)} only through the velocity along the angles measured"
    return f"{listed(called)} only in combination: they can change together ({moves})"


def _suggestion(called: list[str], parts: Mapping[str, Part]) -> str:
    curves = sorted({parts[name].curve for name in called})
    role = parts[called[0]].role
    shift = next((name for name in called if parts[name].part == "shift"), None)
    if shift and len(curves) == 1:
        return f"fix {shift} (at 0, say): no fit becomes worse by it"
    if any(parts[name].part == "direction" for name in called):
        return f"fix {listed(called[-1:])} or measure more angles, along the flow and across it"
    if len(curves) == 1 and len(called) > 1 and role in ("transport", *FLOWS):
        return f"fix {_least_of(called, parts)}; a longer run tells them apart"
    if len(curves) == 1 and role == "fraction":
        return f"fix or tie one of {listed(called)}; a run in which {curves[0]} changes more tells them apart"
    if len(called) == 1 and role == "transport":
        return f"fix {called[0]}, or measure at larger q or for longer, where {curves[0]} shows"
    if len(called) == 1:
        return f"fix {called[0]} or give it a prior"
    return f"fix or tie one of {listed(called)}, give it a prior, or measure more angles or a longer run"


def _least_of(called: list[str], parts: Mapping[str, Part]) -> str:
    """The parameter of one curve that is missed least: its offset at 0, or its exponent."""
    offset = next((n for n in called if parts[n].part == "offset"), None)
    exponent = next((n for n in called if parts[n].part == "exponent"), None)
    ways = (offset and f"{offset} (at 0, say)", exponent and f"the exponent {exponent}")
    return " or ".join(filter(None, ways)) or called[-1]


def _shown(value: float, error: float, status: str) -> str:
    return "not determined" if status == "null" else value_with_error(value, error)


def _percent(part: float) -> str:
    if math.isinf(part):
        return "∞"
    return f"{number(100 * part, 2)} %" if part < 100 else "more than 10000 %"
