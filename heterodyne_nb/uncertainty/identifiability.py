"""Which combinations of the parameters the data determine, how well, and which not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.errors import OptimizationError
from heterodyne_nb.models.curves import FLOWS
from heterodyne_nb.models.model import Part
from heterodyne_nb.text.html import alert, bullets, heading, page, table
from heterodyne_nb.text.numbers import listed, number, value_with_error

Kind = Literal["determined", "weak", "null"]
_KINDS: dict[Kind, str] = {"determined": "determined", "weak": "hardly determined", "null": "not determined"}

#: Entries of a null vector below this part of its largest are rounding noise of the eigenvectors.
_NOISE = 1e-6
#: A null direction moves a parameter when a walk of one scale along it changes that by more than this part.
_MOVED = 1e-2
#: Parts of a curve that have its size.
_LEVELS = ("amplitude", "offset")
#: Parameters with a smaller part of the largest weight are not named.
_NAMED_EXACT, _NAMED_WEAK = 1e-2, 0.3


@dataclass(frozen=True)
class Direction:
    """One independent combination of parameters."""

    kind: Kind
    #: Standard error of the combination when every parameter is counted in its scale; infinite for null.
    precision: float
    weights: tuple[float, ...]  #: Coefficient of each parameter, counted in its scale.
    text: str  #: The combination, or what a null or weak direction means, in words.


@dataclass(frozen=True, repr=False)
class Identifiability:
    """What a fit determines; made by :func:`identifiability`.

    Attributes
    ----------
    names, values, scales : tuples
        Parameters, their values, and the change of each that counts as large.
    stderr : tuple of float
        Standard error of each; infinite when a null direction moves it.
    status : tuple of "determined", "weak" or "null"
    directions : tuple of Direction
        Best determined first, null ones last.
    suggestions, notes : tuple of str
        What to fix, tie or measure; and further statements, for instance about curves.
    answers : str
        The answers that the data leave, where there are several; all else is said of the first.
    """

    names: tuple[str, ...]
    values: tuple[float, ...]
    scales: tuple[float, ...]
    stderr: tuple[float, ...]
    status: tuple[Kind, ...]
    directions: tuple[Direction, ...]
    suggestions: tuple[str, ...]
    notes: tuple[str, ...] = ()
    answers: str = ""

    @property
    def not_determined(self) -> tuple[str, ...]:
        """Names of the parameters that the data do not determine (null or weak)."""
        return tuple(n for n, s in zip(self.names, self.status, strict=True) if s != "determined")

    @property
    def n_null(self) -> int:
        """Number of exactly null directions."""
        return sum(direction.kind == "null" for direction in self.directions)

    def table(self) -> pd.DataFrame:
        """One row a parameter: value, stderr, scale, relative (stderr over scale), status."""
        frame = {
            "value": self.values,
            "stderr": self.stderr,
            "scale": self.scales,
            "relative": [e / s for e, s in zip(self.stderr, self.scales, strict=True)],
            "status": self.status,
        }
        return pd.DataFrame(frame, index=pd.Index(self.names, name="parameter"))

    def directions_table(self) -> pd.DataFrame:
        """One row a combination: kind, relative precision, text, and the weight of every parameter."""
        rows = [
            {
                "kind": d.kind,
                "precision": d.precision,
                "text": d.text,
                **dict(zip(self.names, d.weights, strict=True)),
            }
            for d in self.directions
        ]
        return pd.DataFrame(rows)

    def headline(self) -> str:
        """One line: how many combinations are determined, and the least well known of them."""
        total = len(self.names)
        count = {kind: sum(d.kind == kind for d in self.directions) for kind in _KINDS}
        if count["determined"] == total:
            worst = max(self.directions, key=lambda d: d.precision)
            what = f"All {total} parameters are" if total > 1 else "The parameter is"
            return f"{what} determined; the least well known combination to {_percent(worst.precision)}."
        left = (count["weak"], "hardly"), (count["null"], "not at all")
        rest = [f"{many} {how}" for many, how in left if many]
        return f"{count['determined']} of {total} combinations are determined, {', '.join(rest)}."

    def in_words(self) -> str:
        """Say in a few lines what is determined, what is not, and what to do about it."""
        lines = [self.headline(), *self._answers()]
        for title, items in self._sections():
            lines += [f"{title}:", *(f"  - {item}" for item in items)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.in_words()

    def _repr_html_(self) -> str:
        both = zip(self.names, self.values, self.stderr, self.scales, self.status, strict=True)
        rows = [
            [name, _shown(value, error, status), number(scale, 3), _percent(error / scale), _KINDS[status]]
            for name, value, error, scale, status in both
        ]
        parts = [heading(self.headline()), *map(alert, self._answers())]
        for title, items in self._sections():
            parts += [f"<p>{title}:</p>", bullets(items)]
        return page("".join(parts) + table(["parameter", "value", "scale", "error / scale", ""], rows))

    def _answers(self) -> list[str]:
        return [f"{self.answers} What follows is said of the answer reported."] if self.answers else []

    def _sections(self) -> list[tuple[str, list[str]]]:
        null = [d.text for d in self.directions if d.kind == "null"]
        weak = [
            f"{d.text} (standard error {_percent(d.precision)})" for d in self.directions if d.kind == "weak"
        ]
        sections = (
            ("Not determined at all", null),
            ("Hardly determined by these data", weak),
            ("Determined all the same", list(self.notes)),
            ("To mend it", list(self.suggestions)),
        )
        return [(title, items) for title, items in sections if items]


def identifiability(
    hessian: ArrayLike,
    names: Sequence[str],
    values: Sequence[float],
    sigma2: float = 1.0,
    rcond: float = 1e-12,
    *,
    weak: float = 0.5,
    scales: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
    covariance: ArrayLike | None = None,
    model: Any = None,
) -> Identifiability:
    """Say which combinations of parameters a chi-square determines.

    Parameters
    ----------
    hessian : array, shape (p, p)
        Gauss-Newton matrix of chi-square in published parameters, ``2 Jᵀ W J``; only of those varied.
    names : sequence of str, length p
    values : sequence of float, length p
        At the optimum.
    sigma2 : float
        Variance of the residuals: 1 when the weights are right, otherwise the reduced chi-square.
    rcond : float
        Eigenvalues of the column-scaled matrix below ``rcond`` times the largest count as exactly null.
    weak : float
        A combination or parameter whose standard error exceeds this part of its scale is called weak:
        its 95 % interval is then about as wide as everything it could reasonably be.
    scales : mapping of str to float, optional
        The change of a parameter that counts as large; default :func:`natural_scales`.
    notes : sequence of str, optional
        Statements to be shown with the others.
    covariance : array, shape (p, p), optional
        Of the parameters, where a better one is known than ``2 sigma2 H⁺``, which holds for independent
        pixels. The null directions come from the matrix all the same, and on the combinations that are
        not null it does not matter what the covariance says about them.
    model : Model, optional
        Whose parameters these are: it says which belong to one curve, and what size of change is a large one.

    Returns
    -------
    Identifiability

    Raises
    ------
    OptimizationError
        The matrix does not fit the names, is not symmetric, or holds NaN.

    Notes
    -----
    Columns are scaled to a unit diagonal before the eigenvalues are judged, so that units do not decide
    what counts as null. The covariance of the rest is then decomposed with every parameter counted in its
    scale.
    """
    matrix = _checked(hessian, names, values)
    parts = {name: Part(name) for name in names} | (dict(model.parts()) if model is not None else {})
    own = {**natural_scales(parts, dict(zip(names, map(float, values), strict=True))), **(scales or {})}
    scale = np.array([own[name] for name in names])
    null, inverse = _split(matrix, rcond)
    known = 2.0 * sigma2 * inverse if covariance is None else _same_size(covariance, matrix)
    known = known / np.outer(scale, scale)
    null = _orthonormal(null / scale[:, None])
    stderr = np.sqrt(np.maximum(np.diag(known), 0.0)) * scale
    stderr[np.any(np.abs(null) > _MOVED, axis=1)] = math.inf
    directions = [
        *_finite(known, null, weak, names, values, scale, parts),
        *_null(null, names, values, scale, parts),
    ]
    return Identifiability(
        names=tuple(map(str, names)),
        values=tuple(map(float, values)),
        scales=tuple(scale.tolist()),
        stderr=tuple(stderr.tolist()),
        status=tuple(_status(error, size, weak) for error, size in zip(stderr, scale, strict=True)),
        directions=tuple(directions),
        suggestions=_suggestions(names, parts, [d for d in directions if d.kind != "determined"]),
        notes=tuple(notes),
    )


def natural_scales(
    parts: Mapping[str, Part], values: Mapping[str, float], duration: float | None = None
) -> dict[str, float]:
    """Return the size of a large change of each parameter, to judge its error against.

    Amplitude and offset of one curve share the larger of the two; exponents and fractions have 1,
    angles 90 degrees, a rate its own value or one over the run's duration.

    ``parts``: What each parameter is: :meth:`heterodyne_nb.models.Model.parts`. ``duration``: Length of the run in s.
    """
    slowest = 1.0 / duration if duration else 0.0
    rates = {parts[n].curve: max(abs(v), slowest) for n, v in values.items() if parts[n].part == "rate"}
    levels: dict[str, float] = {}
    for name, value in values.items():
        if parts[name].part in _LEVELS:
            levels[parts[name].curve] = max(levels.get(parts[name].curve, 0.0), abs(value))
    sizes: dict[str, float] = {}
    for name, value in values.items():
        curve, role, part = parts[name].curve, parts[name].role, parts[name].part
        if part == "exponent" or (part in _LEVELS and role in ("fraction", "intensity_fraction")):
            sizes[name] = 1.0
        elif part == "direction":
            sizes[name] = 90.0
        elif part == "rate":
            sizes[name] = rates[curve] or 1.0
        elif part == "shift":
            sizes[name] = 1.0 / (rates.get(curve) or 1.0)
        else:
            sizes[name] = (levels[curve] if part in _LEVELS else abs(value)) or 1.0
    return sizes


def _checked(hessian: ArrayLike, names: Sequence[str], values: Sequence[float]) -> FloatArray:
    matrix = np.array(hessian, dtype=float)
    if not len(names) or matrix.shape != (len(names), len(names)) or len(values) != len(names):
        raise OptimizationError(
            f"a matrix of shape {matrix.shape} for {len(names)} names and {len(values)} values",
            expected="one row, one column, one value a parameter",
        )
    if not np.isfinite(matrix).all():
        raise OptimizationError("the Gauss-Newton matrix holds NaN or infinity", expected="finite numbers")
    size = np.sqrt(np.abs(np.outer(np.diag(matrix), np.diag(matrix))))
    if np.any(np.abs(matrix - matrix.T) > 1e-6 * size + 1e-300) or np.any(np.diag(matrix) < 0):
        raise OptimizationError(
            "the Gauss-Newton matrix is not symmetric with a diagonal of at least zero", expected="2 Jᵀ W J"
        )
    return np.asarray(0.5 * (matrix + matrix.T))


def _same_size(covariance: ArrayLike, matrix: FloatArray) -> FloatArray:
    known = np.asarray(covariance, dtype=float)
    if known.shape != matrix.shape or not np.isfinite(known).all():
        raise OptimizationError(
            f"a covariance of shape {known.shape}", expected=f"finite numbers of shape {matrix.shape}"
        )
    return np.asarray(0.5 * (known + known.T))


def _split(matrix: FloatArray, rcond: float) -> tuple[FloatArray, FloatArray]:
    """Null directions (columns, in parameter units) and a generalised inverse on the rest."""
    size = len(matrix)
    root = np.sqrt(np.diag(matrix))
    alive = root > 0
    unit = np.where(alive, 1.0 / np.where(alive, root, 1.0), 0.0)
    eigenvalues, vectors = np.linalg.eigh(matrix * np.outer(unit, unit))
    kept = eigenvalues > rcond * max(eigenvalues[-1], np.finfo(float).tiny)
    half = unit[:, None] * vectors[:, kept] / np.sqrt(eigenvalues[kept])
    scaled_null = _without_noise(_null_of_living(vectors[:, ~kept], alive))
    living = unit[:, None] * scaled_null
    return np.column_stack([living, np.eye(size)[:, ~alive]]), half @ half.T


def _null_of_living(vectors: FloatArray, alive: NDArray[np.bool_]) -> FloatArray:
    """Null vectors with the parameters of no influence taken out; these are null by themselves."""
    masked = vectors * alive[:, None]
    if not masked.size:
        return masked
    basis, sizes, _ = np.linalg.svd(masked, full_matrices=False)
    return basis[:, sizes > 0.5]


def _without_noise(vectors: FloatArray) -> FloatArray:
    largest = np.max(np.abs(vectors), axis=0, initial=0.0)
    return np.where(np.abs(vectors) > _NOISE * largest, vectors, 0.0)


def _orthonormal(columns: FloatArray) -> FloatArray:
    if not columns.shape[1]:
        return columns
    return np.linalg.qr(columns / np.linalg.norm(columns, axis=0))[0]


def _finite(
    covariance: FloatArray,
    null: FloatArray,
    weak: float,
    names: Sequence[str],
    values: Sequence[float],
    scale: FloatArray,
    parts: Mapping[str, Part],
) -> list[Direction]:
    """Independent combinations that are not null, best determined first."""
    rank = null.shape[1]
    everything = np.linalg.qr(np.column_stack([null, np.eye(len(null))]))[0] if rank else np.eye(len(null))
    rest = everything[:, rank:]
    if not rest.size:
        return []
    variances, mixing = np.linalg.eigh(rest.T @ covariance @ rest)
    vectors = _without_noise(rest @ mixing)
    found: list[Direction] = []
    for variance, vector in zip(variances, vectors.T, strict=True):
        precision = math.sqrt(max(variance, 0.0))
        kind: Kind = "weak" if precision > weak else "determined"
        if kind == "weak":
            text = _trade_off(vector, names, values, scale, parts, precision)
        else:
            text = _combination(vector, names)
        found.append(Direction(kind, precision, tuple(vector.tolist()), text))
    return found


def _null(
    null: FloatArray,
    names: Sequence[str],
    values: Sequence[float],
    scale: FloatArray,
    parts: Mapping[str, Part],
) -> list[Direction]:
    vectors = _without_noise(_sparse(null)).T
    return [
        Direction("null", math.inf, tuple(v.tolist()), _trade_off(v, names, values, scale, parts))
        for v in vectors
    ]


def _sparse(null: FloatArray) -> FloatArray:
    """Basis of the same space with as few parameters a vector as elimination with pivots gives."""
    basis = null.copy()
    used: list[int] = []
    for column in range(basis.shape[1]):
        free = np.abs(basis[:, column]).copy()
        free[used] = 0.0
        pivot = int(np.argmax(free))
        used.append(pivot)
        basis[:, column] /= basis[pivot, column]
        for other in range(basis.shape[1]):
            if other != column:
                basis[:, other] -= basis[pivot, other] * basis[:, column]
    return np.asarray(basis / np.max(np.abs(basis), axis=0, initial=1e-300))


def _status(error: float, scale: float, weak: float) -> Kind:
    if math.isinf(error):
        return "null"
    return "weak" if error > weak * scale else "determined"


# -- in words -----------------------------------------------------------------------------------


def _combination(vector: FloatArray, names: Sequence[str]) -> str:
    """Write a determined combination with its four largest weights: ``0.98 D0 - 0.17 alpha``."""
    order = [i for i in np.argsort(-np.abs(vector)) if abs(vector[i]) >= 0.1 * np.max(np.abs(vector))][:4]
    sign = 1.0 if vector[order[0]] > 0 else -1.0
    terms = [f"{'+' if sign * vector[i] > 0 else '-'} {abs(vector[i]):.2f} {names[i]}" for i in order]
    return " ".join(terms).removeprefix("+ ")


def _trade_off(
    vector: FloatArray,
    names: Sequence[str],
    values: Sequence[float],
    scale: FloatArray,
    parts: Mapping[str, Part],
    precision: float = math.inf,
) -> str:
    """Say what a null or weak direction means.

    ``vector`` (p,): The direction, every parameter counted in its scale. ``parts``: What each parameter is.
    ``precision``: Its standard error; infinite when the data do not change at all along it.
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


def _suggestions(
    names: Sequence[str], parts: Mapping[str, Part], open_directions: Sequence[Direction]
) -> tuple[str, ...]:
    """Say what to fix, tie or measure for each direction that the data leave open; no line twice."""
    lines = []
    for direction in open_directions:
        share = _NAMED_EXACT if direction.kind == "null" else _NAMED_WEAK
        called = [names[i] for i in _involved(np.array(direction.weights), share)]
        lines.append(_suggestion(called, parts))
    return tuple(dict.fromkeys(lines))


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
