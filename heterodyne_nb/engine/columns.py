"""Terms of a separable model -> the columns the kernels multiply.

With term k of bin b split into cosine and sine parts r, c_r = a_k {cos, sin} V_k, the model is

    M(t1, t2) = sum_r c_r(t2) c_r(t1) E_r,     E_r = exp(-(F_r(t2) - F_r(t1))),

and a parameter changes each part only through a function of t2 plus a function of t1:

    dM = sum_r E_r [u_r(t2) c_r(t1) + c_r(t2) w_r(t1)],   u = dc - c dF,   w = dc + c dF.

So the columns below (one for c_r, one for each parameter that acts on r) hold everything the data can ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numba as nb
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.kernels import LOOPS
from heterodyne_nb.models.model import Terms

if TYPE_CHECKING:
    from heterodyne_nb.engine.problem import Problem

#: Numbers of columns that are held at once: of a heterodyne model of 10⁵ frames those of two bins.
HELD = 10 << 20


@dataclass(frozen=True)
class Layout:
    """Which column belongs to which part and parameter; the same for every bin of a problem.

    Attributes
    ----------
    part_term, part_sine : (R,)
        Term of each part, and whether it is the sine part.
    base : (R,)
        Column of c_r.
    column_part : (C,)
        Part of each column.
    column_parameter : (C,)
        Position among the wanted parameters, -1 for c_r itself.
    pair_start : (P + 1,), pair_base, pair_column : (n,)
        For wanted parameter i, the slice of (c_r column, derivative column) pairs that it acts through.
    """

    part_term: NDArray[np.int64]
    part_sine: NDArray[np.bool_]
    base: NDArray[np.int64]
    column_part: NDArray[np.int64]
    column_parameter: NDArray[np.int64]
    pair_start: NDArray[np.int64]
    pair_base: NDArray[np.int64]
    pair_column: NDArray[np.int64]

    @cached_property
    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Part and row of each column, the constant 1 last; first and one-past-last column of each part."""
        wanted, columns = len(self.pair_start) - 1, len(self.column_part)
        part = np.append(self.column_part, len(self.base))
        row = np.append(np.where(self.column_parameter < 0, wanted, self.column_parameter), wanted + 1)
        base = np.append(self.base, columns)
        return part, row, base, np.append(base[1:], columns + 1)

    @cached_property
    def sums(self) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
        """Columns of derivatives, their parts, and the matrix (columns, P) that adds them up to parameters."""
        columns = np.flatnonzero(self.column_parameter >= 0)
        wanted = np.arange(len(self.pair_start) - 1)
        return (
            columns,
            self.column_part[columns],
            (self.column_parameter[columns, None] == wanted).astype(float),
        )


def make_layout(terms: Terms, wanted: NDArray[np.int64]) -> Layout:
    """Lay out the columns for the parameters ``wanted`` (indices in published order)."""
    moves = terms.has_fringes
    acts = np.any(terms.d_amplitude != 0, axis=2) | np.any(terms.d_decay != 0, axis=2)
    through_phase = np.einsum("kmb,mpn->kp", np.abs(terms.weight), np.abs(terms.d_displacement)) > 0
    acts |= through_phase | np.any(terms.d_weight != 0, axis=(1, 3))
    parts = [(k, sine) for k in range(len(moves)) for sine in ((False, True) if moves[k] else (False,))]
    base: list[int] = []
    part_of: list[int] = []
    parameter_of: list[int] = []
    pairs: list[list[tuple[int, int]]] = [[] for _ in wanted]
    for r, (k, _) in enumerate(parts):
        base.append(len(part_of))
        part_of.append(r)
        parameter_of.append(-1)
        for i, parameter in enumerate(wanted):
            if acts[k, parameter]:
                pairs[i].append((base[-1], len(part_of)))
                part_of.append(r)
                parameter_of.append(i)
    flat = [pair for group in pairs for pair in group]
    return Layout(
        np.array([k for k, _ in parts], np.int64),
        np.array([sine for _, sine in parts], np.bool_),
        np.array(base, np.int64),
        np.array(part_of, np.int64),
        np.array(parameter_of, np.int64),
        np.concatenate([[0], np.cumsum([len(group) for group in pairs])]).astype(np.int64),
        np.array([a for a, _ in flat], np.int64),
        np.array([b for _, b in flat], np.int64),
    )


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _fill_bin(
    b, amplitude, decay, displacement, weight, d_amplitude, d_decay, d_displacement, d_weight,
    q, mask, wanted, part_term, part_sine, column_part, column_parameter, u, w, f,
):  # fmt: skip
    """:func:`fill_columns` of bin b."""
    columns, n = u.shape
    velocities = displacement.shape[0]
    cos_v, sin_v, phase = np.empty(n), np.empty(n), np.empty(n)
    known = -1
    for c in range(columns):
        r = column_part[c]
        k, i = part_term[r], column_parameter[c]
        phase[:] = 0.0
        if i < 0:
            for t in range(n):
                f[r, t] = q * q * decay[k, t]
            if known != k:
                known = k
                for m in range(velocities):
                    for t in range(n):
                        phase[t] += (q * weight[k, m, b]) * displacement[m, t]
                for t in range(n):
                    cos_v[t], sin_v[t] = np.cos(phase[t]), np.sin(phase[t])
            for t in range(n):
                u[c, t] = w[c, t] = amplitude[k, t] * (sin_v[t] if part_sine[r] else cos_v[t]) * mask[t]
            continue
        p = wanted[i]
        for m in range(velocities):
            for t in range(n):
                phase[t] += (q * weight[k, m, b]) * d_displacement[m, p, t]
                phase[t] += (q * d_weight[k, m, p, b]) * displacement[m, t]
        for t in range(n):
            own = sin_v[t] if part_sine[r] else cos_v[t]
            other = cos_v[t] if part_sine[r] else -sin_v[t]
            change = (d_amplitude[k, p, t] * own + amplitude[k, t] * other * phase[t]) * mask[t]
            slide = amplitude[k, t] * own * q * q * d_decay[k, p, t] * mask[t]
            u[c, t] = change - slide
            w[c, t] = change + slide


@nb.njit(cache=True, nogil=True, parallel=LOOPS)
def fill_columns(
    amplitude, decay, displacement, weight, d_amplitude, d_decay, d_displacement, d_weight,
    q, mask, wanted, part_term, part_sine, column_part, column_parameter, u, w, f,
):  # fmt: skip
    """Fill u, w (B, C, N) and the bin's decays f (B, R, N); masked frames get zeros."""
    for b in nb.prange(len(u)):
        _fill_bin(
            np.int64(b), amplitude, decay, displacement, weight, d_amplitude, d_decay, d_displacement, d_weight,
            q[b], mask[b], wanted, part_term, part_sine, column_part, column_parameter, u[b], w[b], f[b],
        )  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Columns of all bins at one parameter vector: u, w (B, C, N), decays f (B, R, N) and their layout."""

    u: FloatArray
    w: FloatArray
    f: FloatArray
    layout: Layout


def make_columns(
    terms: Terms, q: FloatArray, mask: FloatArray, wanted: NDArray[np.int64], layout: Layout | None = None
) -> Columns:
    """Build the columns of every bin.

    ``terms``: Curves of the model at the frames' times, with weights for the bins' azimuths. ``q`` (B,): Wave vectors
    in 1/Å. ``mask`` (B, N): 1 for a used frame, 0 for a masked one. ``wanted`` (P,): Indices of the parameters whose
    derivatives are asked for; empty for none. ``layout``: As :func:`make_layout` gives it, when known already.
    """
    layout = layout or make_layout(terms, wanted)
    bins, n = len(q), terms.amplitude.shape[1]
    u = np.empty((bins, len(layout.column_part), n))
    w = np.empty_like(u)
    f = np.empty((bins, len(layout.part_term), n))
    fill_columns(
        terms.amplitude, terms.decay, terms.displacement, terms.weight, terms.d_amplitude, terms.d_decay,
        terms.d_displacement, terms.d_weight, q, mask, wanted, layout.part_term, layout.part_sine,
        layout.column_part, layout.column_parameter, u, w, f,
    )  # fmt: skip
    return Columns(u, w, f, layout)


def problem_columns(problem: Problem, theta: FloatArray, wanted: NDArray[np.int64]) -> Columns:
    """Columns of every bin of a problem at one parameter vector."""
    return next(column_chunks(problem, theta, wanted, problem.n_bins))[1]


def column_chunks(
    problem: Problem, theta: FloatArray, wanted: NDArray[np.int64], bins: int | None = None
) -> Iterator[tuple[slice, Columns]]:
    """Columns of so many bins at a time, by default as many as :data:`HELD` numbers are enough for.

    Layouts are made once a problem.
    """
    key = tuple(int(i) for i in wanted)
    if key not in problem.layouts:
        generic = np.array([0.5 + 0.01 * i for i in range(len(theta))])  # no derivative vanishes by chance
        held = [spec.held for spec in problem.model.parameters]
        generic[held] = theta[held]
        problem.layouts[key] = make_layout(problem.model.terms(generic, problem.t, problem.phi), wanted)
    layout, terms = (
        problem.layouts[key],
        problem.model.terms(theta, problem.t, problem.phi, derivatives=len(key) > 0),
    )
    few = bins or max(1, HELD // (len(layout.column_part) * len(problem.t)))
    for some in problem.windows(few):
        part = terms
        if some.stop - some.start < problem.n_bins:
            part = replace(terms, weight=terms.weight[..., some], d_weight=terms.d_weight[..., some])
        yield some, make_columns(part, problem.q[some], problem.mask[some], wanted, layout)
