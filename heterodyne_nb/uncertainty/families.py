"""Which published parameters belong to one curve, and what size of change of each is a large one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """Place of a parameter in its curve.

    Attributes
    ----------
    curve : str
        ``"J_ref"``, ``"v"``, ``"gamma_dot"``, ``"x_sample"``, ... or ``""`` for a parameter of its own.
    role : str
        ``"amplitude"``, ``"exponent"``, ``"offset"``, ``"rate"``, ``"shift"``, ``"angle"`` or ``"single"``.
    """

    curve: str
    role: str


_PATTERNS: tuple[tuple[str, str, dict[str, str]], ...] = (
    (r"(D0|alpha|D_offset)(_\w+)?", "J", {"D0": "amplitude", "alpha": "exponent", "D_offset": "offset"}),
    (r"(v0|beta|v_offset)(_\d+)?", "v", {"v0": "amplitude", "beta": "exponent", "v_offset": "offset"}),
    (
        r"(gamma_dot_0|gamma_dot_offset)()",
        "gamma_dot",
        {"gamma_dot_0": "amplitude", "gamma_dot_offset": "offset"},
    ),
    (r"(f0|f1|f2|f3)(_\d+)?", "x", {"f0": "amplitude", "f1": "rate", "f2": "shift", "f3": "offset"}),
    (r"(phi0)(_\d+)?", "phi0", {"phi0": "angle"}),
    (r"(fraction)()", "fraction", {"fraction": "amplitude"}),
)


def members(names: Sequence[str]) -> dict[str, Member]:
    """Return the curve and role of every parameter.

    Parameters
    ----------
    names : sequence of str
        Published names of one model (``beta`` belongs to the shear rate when there is one; an exponent
        without its amplitude, as in ``kww``, stands alone).
    """
    shear = any(name.startswith("gamma_dot") for name in names)
    found = {name: _member(name) for name in names}
    if shear and "beta" in found:
        found["beta"] = Member("gamma_dot", "exponent")
    with_amplitude = {m.curve for m in found.values() if m.role in ("amplitude", "angle")}
    return {n: m if m.curve in with_amplitude else Member(n, m.role) for n, m in found.items()}


def natural_scales(
    names: Sequence[str], values: Sequence[float], duration: float | None = None
) -> dict[str, float]:
    """Return the size of a large change of each parameter, to judge its error against.

    Amplitude and offset of one curve share the larger of the two; exponents and fractions have 1,
    angles 90 degrees, a rate its own value or one over the run's duration.

    Parameters
    ----------
    names, values : sequences
        Published names and values.
    duration : float, optional
        Length of the run in s.
    """
    value = dict(zip(names, map(float, values), strict=True))
    member = members(names)
    slowest = 1.0 / duration if duration else 0.0
    rates = {m.curve: max(abs(value[n]), slowest) for n, m in member.items() if m.role == "rate"}
    sizes: dict[str, float] = {}
    for name, m in member.items():
        family = [abs(value[n]) for n, other in member.items() if other.curve == m.curve]
        if m.role == "exponent" or (
            m.curve.startswith(("x", "fraction")) and m.role in ("amplitude", "offset")
        ):
            sizes[name] = 1.0
        elif m.role == "angle":
            sizes[name] = 90.0
        elif m.role == "rate":
            sizes[name] = rates[m.curve] or 1.0
        elif m.role == "shift":
            sizes[name] = 1.0 / (rates.get(m.curve) or 1.0)
        elif m.role in ("amplitude", "offset"):
            sizes[name] = _larger_part(m.curve, member, value) or 1.0
        else:
            sizes[name] = max(family) or 1.0
    return sizes


def _larger_part(curve: str, member: dict[str, Member], value: dict[str, float]) -> float:
    parts = [n for n, m in member.items() if m.curve == curve and m.role in ("amplitude", "offset")]
    return max(abs(value[n]) for n in parts)


def _member(name: str) -> Member:
    for pattern, curve, roles in _PATTERNS:
        match = re.fullmatch(pattern, name)
        if match:
            suffix = match.group(2) or ""
            return Member(
                "x_sample" if curve == "x" and not suffix else curve + suffix, roles[match.group(1)]
            )
    return Member(name, "single")
