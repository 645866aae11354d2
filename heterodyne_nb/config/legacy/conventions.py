"""Other packages' conventions for the 14 heterodyne parameters, and the way from theirs to ours.

heterodyne 2 and xpcsjax measure the angle as φ + φ0 (here φ0 − φ: the sign of φ0 turns) and call two
parameters otherwise. All of them count time from the first frame used; here frame k of the file is at k·dt. A
later origin s shifts f2 exactly, f2 + s; a power law with an exponent other than 0 has no counterpart with
another origin, and keeps its numbers. J is the same everywhere: M decays as exp(−q² ∫J dt).
"""

from __future__ import annotations

from collections.abc import Mapping

from heterodyne_nb.config.requests import published_name

#: Their names for published parameters.
THEIR_NAMES = {"v_beta": "beta", "phi0_het": "phi0"}
#: Parameters of theirs that are solved for here.
SOLVED_FOR = ("contrast", "offset")
#: Exponents, with the curve that each shapes.
_EXPONENTS = {
    "alpha": "J",
    "alpha_ref": "J_ref",
    "alpha_sample": "J_sample",
    "beta": "v (or the shear rate)",
}


def our_name(name: str, known: tuple[str, ...]) -> str | None:
    """The published name of a parameter of theirs; None when it is none of this mode."""
    return published_name(THEIR_NAMES.get(name, name), known)


def turned(values: Mapping[str, float]) -> dict[str, float]:
    """Values by published name, the angle of the opposite sign."""
    return {name: -value if name == "phi0" and value else value for name, value in values.items()}


def turned_range(low: float, high: float) -> list[float]:
    """A range of the angle, of the opposite sign."""
    return [-high, -low]


def from_origin(values: Mapping[str, float], shift: float) -> tuple[dict[str, float], list[str]]:
    """Values for times counted from the start of the file instead of from `shift` seconds later.

    Returns
    -------
    dict
        The values, f2 moved.
    list of str
        Curves that cannot be carried over exactly, in words.
    """
    moved = dict(values)
    if not shift:
        return moved, []
    if "f2" in moved:
        moved["f2"] += shift
    bent = [curve for name, curve in _EXPONENTS.items() if values.get(name)]
    words = (
        f"power laws there count time from {shift:g} s later; no power law is the same from another origin"
    )
    return moved, [f"{', '.join(bent)}: {words}"] if bent else []
