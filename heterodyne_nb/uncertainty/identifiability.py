"""Which combinations of the parameters the data determine, how well, and which not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.errors import OptimizationError
from heterodyne_nb.models.model import Part
from heterodyne_nb.text.html import page
from heterodyne_nb.uncertainty import identifiability_words as words

FloatArray = NDArray[np.float64]
Kind = Literal["determined", "weak", "null"]

#: Entries of a null vector below this part of its largest are rounding noise of the eigenvectors.
_NOISE = 1e-6
#: A null direction moves a parameter when a walk of one scale along it changes that by more than this part.
_MOVED = 1e-2
#: Parts of a curve that have its size.
_LEVELS = ("amplitude", "offset")


@dataclass(frozen=True)
class Direction:
    """One independent combination of parameters.

    Attributes
    ----------
    kind : "determined", "weak" or "null"
    precision : float
        Standard error of the combination when every parameter is counted in its scale; infinite for null.
    weights : tuple of float
        Coefficient of each parameter, counted in its scale.
    text : str
        The combination, or what a null or weak direction means, in words.
    """

    kind: Kind
    precision: float
    weights: tuple[float, ...]
    text: str


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

    def in_words(self) -> str:
        """Say in a few lines what is determined, what is not, and what to do about it."""
        return words.report(self.names, self.directions, self.suggestions, self.notes, self.answers)

    def __repr__(self) -> str:
        return self.in_words()

    def _repr_html_(self) -> str:
        return page(words.report_html(self))


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
        suggestions=words.suggestions(names, parts, [d for d in directions if d.kind != "determined"]),
        notes=tuple(notes),
    )


def natural_scales(
    parts: Mapping[str, Part], values: Mapping[str, float], duration: float | None = None
) -> dict[str, float]:
    """Return the size of a large change of each parameter, to judge its error against.

    Amplitude and offset of one curve share the larger of the two; exponents and fractions have 1,
    angles 90 degrees, a rate its own value or one over the run's duration.

    Parameters
    ----------
    parts : mapping of str to Part
        What each parameter is: :meth:`heterodyne_nb.models.Model.parts`.
    values : mapping of str to float
    duration : float, optional
        Length of the run in s.
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
    return 0.5 * (matrix + matrix.T)


def _same_size(covariance: ArrayLike, matrix: FloatArray) -> FloatArray:
    known = np.asarray(covariance, dtype=float)
    if known.shape != matrix.shape or not np.isfinite(known).all():
        raise OptimizationError(
            f"a covariance of shape {known.shape}", expected=f"finite numbers of shape {matrix.shape}"
        )
    return 0.5 * (known + known.T)


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
            text = words.trade_off(vector, names, values, scale, parts, precision)
        else:
            text = words.combination(vector, names)
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
        Direction("null", math.inf, tuple(v.tolist()), words.trade_off(v, names, values, scale, parts))
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
    return basis / np.max(np.abs(basis), axis=0, initial=1e-300)


def _status(error: float, scale: float, weak: float) -> Kind:
    if math.isinf(error):
        return "null"
    return "weak" if error > weak * scale else "determined"
