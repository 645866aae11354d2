"""A model of components whose curves are cubic splines instead of power laws: any course in time.

A curve is sum_k c_k B_k(t) with B-splines on pieces of equal length between the first and the last frame (de Boor, A
Practical Guide to Splines). Its coefficients are near the curve's values at evenly spread times, and the curve lies
between the least and the largest of them: J >= 0 and 0 <= x <= 1 are bounds of coefficients. Integrals are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import BSpline

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.curves import FLOWS, Curve
from heterodyne_nb.models.heterodyne import Field, field_terms
from heterodyne_nb.models.model import Parameters, SeparableModel, Terms
from heterodyne_nb.models.parameters import ParameterSpec
from heterodyne_nb.models.symmetries import HalfTurn, Reversal, Swap

#: Ending of the name of a mode whose curves are splines, and the pieces of each curve where the name says no more.
FREE, PIECES = "_free", 4
_DEGREE = 3
#: Least and largest coefficient, and the one to start from.
_LIMITS = {"transport": (0.0, 1e6, 100.0), "velocity": (-1e6, 1e6, 100.0), "fraction": (0.0, 1.0, 0.5)}
_ENDS = (
    ParameterSpec("t_first", "s", 1.0, 0.0, 1e9, "first time of the splines; held", held=True),
    ParameterSpec("t_last", "s", 100.0, 0.0, 1e9, "last time of the splines; held", held=True),
)


class _MeanReversal(Reversal):
    """All flows change their sign: reported so that the first one is positive on average, for it may stop or turn."""

    def reported(self, model: Any, theta: FloatArray, middle: float) -> FloatArray | None:
        first = theta[list(model.of_role(*FLOWS)[0].parameters)]
        return None if first.mean() >= 0 else self.image(model, theta)


class SplineModel(SeparableModel):
    """The components of ``base``, their J, v and x any smooth functions of time.

    ``base`` (SeparableModel): A model that names its ``field_components``, such as ``heterodyne``. ``pieces``: Pieces
    of each spline, in the order of ``base.curve_specs`` without the curve that the others leave; n pieces have n + 3
    coefficients. Default :data:`PIECES` each, the name then ends with ``_free``; else the pieces follow.

    Raises ConfigurationError: The components of ``base`` cannot be told, or the pieces are not one number a curve.

    Examples
    --------
    >>> from heterodyne_nb.models import ModelFactory
    >>> ModelFactory.create_model("heterodyne_free").curve("v").parameters
    (14, 15, 16, 17, 18, 19, 20)
    >>> len(ModelFactory.create_model("heterodyne_free_1_4_8_2").parameters)
    30
    """

    def __init__(self, base: Any, pieces: Sequence[int] = ()) -> None:
        known = [curve for curve in base.curve_specs if curve.form is not None]
        roles = {curve.role for curve in base.curve_specs}
        if not isinstance(base, SeparableModel) or not base.field_components or roles - set(_LIMITS):
            raise ConfigurationError(
                f"the curves of {base.name!r} cannot be splines",
                expected="a separable model whose field_components have J, v and x",
            )
        counts = list(pieces) or [PIECES] * len(known)
        if len(counts) != len(known) or min(counts) < 1:
            raise ConfigurationError(
                f"{counts} pieces", expected=f"1 or more for each of {', '.join(c.name for c in known)}"
            )
        self.base, self.field_components = base, base.field_components
        self.pieces = {curve.name: int(n) for curve, n in zip(known, counts, strict=True)}
        ways = [base.parameters[i] for i in base.directions]
        starts = list(accumulate((n + _DEGREE for n in counts), initial=0))
        places = {c.name: tuple(range(*ends)) for c, *ends in zip(known, starts, starts[1:], strict=False)}
        way = {i: starts[-1] + k for k, i in enumerate(base.directions)}
        self.curve_specs = tuple(
            replace(
                curve, parameters=places.get(curve.name, ()), form="spline" if curve in known else None,
                direction=None if curve.direction is None else way[curve.direction],
            )
            for curve in base.curve_specs
        )  # fmt: skip
        specs = [
            ParameterSpec(f"{c.name}_{k + 1}", c.unit, start, least, most, f"coefficient {k + 1} of {c.name}(t)")
            for c in known
            for least, most, start in [_LIMITS[c.role]]
            for k in range(len(places[c.name]))
        ]  # fmt: skip
        self.parameters = (*specs, *ways, *_ENDS)
        suffix = "".join(f"_{n}" for n in counts) if pieces else ""
        self.name = f"{base.name}{FREE}{suffix}"
        self.symmetries = (HalfTurn(), _MeanReversal()) if base.of_role(*FLOWS) else ()

    def with_pieces(self, pieces: Mapping[str, int]) -> SplineModel:
        """The same with other numbers of pieces."""
        return SplineModel(self.base, [pieces[name] for name in self.pieces])

    def curves(self, params: Parameters, t: ArrayLike) -> dict[str, FloatArray]:
        """The curves at times ``t`` (s); constant before the first and after the last time of the splines."""
        theta, t = self.unpack(params), np.asarray(t, float)
        u = _unit(t.ravel(), *theta[-2:])
        found = {
            c.name: (_basis(self.pieces[c.name], u) @ theta[list(c.parameters)]).reshape(t.shape)
            for c in self.curve_specs
            if c.form
        }
        rest: Any = 1.0 - sum(found[c.name] for c in self.curve_specs if c.form and c.role == "fraction")
        return {c.name: found[c.name] if c.form else rest for c in self.curve_specs}

    def terms(self, params: Parameters, t: FloatArray, phi: FloatArray, *, derivatives: bool = True) -> Terms:
        """See :meth:`SeparableModel.terms`; the two held times have no derivative."""
        theta = self.unpack(params)
        t, shape = np.asarray(t, float), (len(theta), len(t))
        values, paths = _matrices(tuple(self.pieces.values()), t.tobytes(), *theta[-2:])

        def spline(curve: Curve, matrices: dict[int, FloatArray]) -> tuple[FloatArray, FloatArray]:
            matrix, own = matrices[self.pieces[curve.name]], list(curve.parameters)
            slopes = np.zeros(shape)
            slopes[own] = matrix.T
            return matrix @ theta[own], slopes

        fields, left = [], (np.ones(len(t)), np.zeros(shape))
        for component in self.field_components:
            own = {curve.role: curve for curve in self.curve_specs if curve.component == component}
            share = own.get("fraction")
            x = None if share is None or share.form is None else spline(share, values)
            if x is not None:
                left = left[0] - x[0], left[1] - x[1]
            moving, J = own.get("velocity"), spline(own["transport"], paths)
            drift = (None, None, -1) if moving is None else (*spline(moving, paths), moving.direction)
            fields.append((x, J, drift))
        return field_terms([Field(*(x or left), *J, *drift) for x, J, drift in fields], theta, phi)

    def projected(
        self, curves: Mapping[str, FloatArray], t: FloatArray, rest: Mapping[str, float]
    ) -> FloatArray:
        """The parameters whose splines are nearest to curves.

        ``curves``: Values (N,) of each spline at times ``t``. ``t`` (N,): Times in s; the splines reach from the
        first to the last. ``rest``: The directions, by name.
        """
        theta = np.array([rest.get(spec.name, spec.default) for spec in self.parameters], float)
        theta[-2:] = t[0], t[-1]
        for name, n in self.pieces.items():
            basis = _basis(n, _unit(t, t[0], t[-1]))
            best = np.linalg.lstsq(basis, np.asarray(curves[name], float), rcond=None)[0]
            least, most, _ = _LIMITS[self.curve(name).role]
            theta[list(self.curve(name).parameters)] = np.clip(best, least, most)
        return theta

    def labelled(self, theta: FloatArray) -> tuple[SplineModel, FloatArray]:
        """The same with components that two names may be given exchanged where the base's rule says so, at mid-time."""
        model, middle = self, 0.5 * (theta[-2] + theta[-1])
        for swap in self.base.symmetries:
            if not isinstance(swap, Swap) or swap.larger is None or swap.complement is None:
                continue
            for one, other in swap.pairs:
                at = model.curves(theta, middle)
                if at[swap.larger] >= at[other if swap.larger == one else one]:
                    continue
                t = np.linspace(theta[-2], theta[-1], 16 * max(self.pieces.values()))
                every = model.curves(theta, t)
                every |= {one: every[other], other: every[one], swap.complement: 1.0 - every[swap.complement]}
                named = dict(zip(self.parameter_names, theta.tolist(), strict=True))
                model = self.with_pieces(self.pieces | {one: self.pieces[other], other: self.pieces[one]})
                theta = model.projected(every, t, named)
        return model, theta

    def refinement(self, finer: SplineModel) -> FloatArray:
        """Matrix (p', p) that gives the parameters of the same curves with whole multiples of these pieces.

        With fewer pieces the curves are the nearest ones.
        """
        out = np.zeros((len(finer.parameters), len(self.parameters)))
        ends = len(self.base.directions) + len(_ENDS)
        out[-ends:, -ends:] = np.eye(ends)
        for name, n in self.pieces.items():
            more = finer.pieces[name]
            u = np.linspace(0.0, 1.0, 4 * max(n, more) + 1)
            insert = np.linalg.lstsq(_basis(more, u), _basis(n, u), rcond=None)[0]
            out[np.ix_(finer.curve(name).parameters, self.curve(name).parameters)] = insert
        return out


def sized(model: Any) -> bool:
    """Whether the name of a model of splines says how many pieces there are."""
    return not str(model.name).endswith(FREE)


def _unit(t: FloatArray, first: float, last: float) -> FloatArray:
    """Times as a share of the run, kept in it."""
    return np.clip((t - first) / max(last - first, 1e-300), 0.0, 1.0)


def _knots(pieces: int) -> FloatArray:
    return np.concatenate([np.zeros(_DEGREE), np.linspace(0.0, 1.0, pieces + 1), np.ones(_DEGREE)])


def _basis(pieces: int, u: FloatArray) -> FloatArray:
    """Values of the B-splines at u in [0, 1], (len(u), pieces + 3)."""
    return np.asarray(BSpline.design_matrix(u, _knots(pieces), _DEGREE).toarray())


@lru_cache(maxsize=16)
def _matrices(
    pieces: tuple[int, ...], times: bytes, first: float, last: float
) -> tuple[dict[int, FloatArray], dict[int, FloatArray]]:
    """By pieces: values of the B-splines at the times, and their integrals since the first, (N, pieces + 3)."""
    t = np.frombuffer(times)
    u, length = _unit(t, first, last), last - first
    values, paths = {}, {}
    for n in set(pieces):
        values[n] = _basis(n, u)
        every = BSpline(_knots(n), np.eye(n + _DEGREE), _DEGREE)
        inside = every.antiderivative()(u) * length
        beyond = (
            np.minimum(t - first, 0.0)[:, None] * values[n] + np.maximum(t - last, 0.0)[:, None] * values[n]
        )
        path = inside + beyond  # constant outside the splines
        paths[n] = path - path[0]
    return values, paths
