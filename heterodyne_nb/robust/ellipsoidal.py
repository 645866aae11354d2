"""Ellipsoidal fits: the worst instrument within its calibration tolerances.

With u the errors of the instrument in units of their tolerances, E the derivatives of the model by them and y the
weighted residual, contrast and offset taken out of both, minimised is

    W(θ) = max_{‖u‖ ≤ γ} ‖y(θ) − E(θ) u‖² = max_u { c(θ) + 2 b(θ)ᵀu + uᵀQ(θ) u },   b = −Eᵀy,  Q = EᵀE.

By the S-lemma W ≤ t if and only if there is a τ ≥ 0 with

    [[t − c − τγ², −bᵀ], [−b, τI − Q]] ⪰ 0,

which is the Schur complement of the inequality with the residuals written out (El Ghaoui & Lebret 1997), so it has
only k + 1 rows for k unknowns. c enters by its Gauss-Newton cone; b and Q are linear in the step, with their true
derivatives: where E lies in the span of the model's own derivatives (a wrong q scale looks like other rates), E held
fixed would hide all there is to gain. With a robust loss, E acts with the pixel weights of the residuals at θ, which
bounds the worst loss from above.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import brentq

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.options import Tolerances
from heterodyne_nb.robust.instrument import Instrument, checked_tolerances
from heterodyne_nb.robust.sequential import RobustProblem, RobustStrategy, WorstCase
from heterodyne_nb.robust.solvers import ConeProgram, Quadratic, SolverChain, below, newton_gain, root

_STEP = 1e-4
_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class BallModel:
    """c, b and Q around a point: c as a quadratic, b (k,) and Q (k, k) with slopes (n, k) and (n, k, k)."""

    plain: Quadratic
    linear: FloatArray
    matrix: FloatArray
    linear_slopes: FloatArray
    matrix_slopes: FloatArray
    radius: float
    value: float


class BallProgram(ConeProgram):
    """The linear matrix inequality of the module, with c in a cone of its own.

    ``size``, ``unknowns``: n and k.
    """

    def __init__(self, size: int, unknowns: int, chain: SolverChain) -> None:
        super().__init__(size, chain)
        self.unknowns = unknowns

    def base(self, model: BallModel) -> float:
        """The worst case at the present point."""
        return model.value

    def _build(self) -> Any:
        import cvxpy as cp

        n, k = self.size, self.unknowns
        box = self._box()
        t, tau, above = cp.Variable(), cp.Variable(nonneg=True), cp.Variable()
        self._root, self._slope = cp.Parameter((n, n)), cp.Parameter(n)
        self._excess, self._reach = cp.Parameter(), cp.Parameter(nonneg=True)
        self._b, self._b_slopes = cp.Parameter(k), cp.Parameter((k, n))
        self._q, self._q_slopes = cp.Parameter((k, k), symmetric=True), cp.Parameter((k * k, n))
        b = self._b + self._b_slopes @ self.x
        q = self._q + cp.reshape(self._q_slopes @ self.x, (k, k), order="F")
        corner = cp.reshape(t + self._excess - above - self._reach * tau, (1, 1), order="F")
        side = cp.reshape(b, (1, k), order="F")
        inequality = cp.bmat([[corner, -side], [-side.T, tau * np.eye(k) - q]])
        room = above - self._slope @ self.x
        cone = below(self._root @ self.x, room, 1.0)
        positive = 0.5 * (inequality + inequality.T) >> 0
        return cp.Problem(cp.Minimize(t + self.overshoot), [*box, cone, positive])

    def _fill(self, model: BallModel, sizes: FloatArray) -> float:
        k = self.unknowns
        excess = model.value - model.plain.value
        unit = max(1.0, newton_gain(model.plain), excess)
        top = max(float(np.linalg.norm(model.matrix, 2)), unit / max(model.radius, 1e-12) ** 2 * 1e-6)
        self._root.value = root(0.5 * model.plain.hessian) * sizes / np.sqrt(unit)
        self._slope.value = model.plain.gradient * sizes / unit
        self._excess.value = excess / unit
        self._reach.value = model.radius**2 * top / unit
        across = np.sqrt(unit * top)
        self._b.value = model.linear / across
        self._b_slopes.value = (model.linear_slopes.T * sizes) / across
        self._q.value = 0.5 * (model.matrix + model.matrix.T) / top
        slopes = 0.5 * (model.matrix_slopes + np.swapaxes(model.matrix_slopes, 1, 2))
        self._q_slopes.value = slopes.reshape(-1, k * k).T * sizes / top
        return unit


class EllipsoidalProblem(RobustProblem):
    """Worst instrument within γ tolerances; see the module.

    ``objective`` (Objective). ``tolerances``: See :data:`heterodyne_nb.robust.instrument.TOLERANCES`. ``radius``: γ.
    """

    def __init__(self, objective: Any, tolerances: Mapping[str, float], radius: float) -> None:
        super().__init__(objective)
        self.instrument, self.radius = Instrument(objective, tolerances), radius

    def worst_case(self, theta: FloatArray) -> WorstCase:
        """c + the maximum over the ball, by eigenvectors and the secular equation."""
        theta = np.asarray(theta, float)
        weighting = self.instrument.weighting(theta)
        chi2, b, q = self._ball(theta, weighting)
        gain, u, tau = ball_maximum(b, q, self.radius)
        return WorstCase(chi2 + gain, chi2, {"u": u, "tau": tau, "linear": b, "matrix": q})

    def linearised(self, theta: FloatArray) -> BallModel:
        """See :meth:`RobustProblem.linearised`; slopes of b and Q by central differences, weights held."""
        theta = np.asarray(theta, float)
        moving, weighting = self.objective.moving, self.instrument.weighting(theta)
        local = self.instrument.equations(theta, moving, weighting=weighting)
        whole = self.objective.coordinates.jacobian(theta)
        jacobian, m = whole[moving], len(moving)
        plain = Quadratic(
            local.chi2, jacobian.T @ local.gradient[:m], jacobian.T @ local.hessian[:m, :m] @ jacobian
        )
        b, q = 0.5 * local.gradient[m:], 0.5 * local.hessian[m:, m:]
        slopes = [self._slopes(theta, column, weighting) for column in whole.T]
        gain = ball_maximum(b, q, self.radius)[0]
        return BallModel(
            plain, b, q, np.array([s[0] for s in slopes]), np.array([s[1] for s in slopes]),
            self.radius, local.chi2 + gain,
        )  # fmt: skip

    def corrected(self, model: BallModel, step: FloatArray, theta: FloatArray) -> BallModel:
        """See :meth:`RobustProblem.corrected`: c, b and Q are those found after the step."""
        found = self.worst_case(theta)
        plain = model.plain
        missed = found.nominal - plain.after(step)
        b = model.linear + found.details["linear"] - (model.linear + step @ model.linear_slopes)
        q = found.details["matrix"] - np.tensordot(step, model.matrix_slopes, 1)
        gain = ball_maximum(b, q, self.radius)[0]
        return replace(
            model,
            plain=replace(plain, value=plain.value + missed),
            linear=b,
            matrix=q,
            value=plain.value + missed + gain,
        )

    def program(self, chain: SolverChain) -> BallProgram:
        """See :meth:`RobustProblem.program`."""
        return BallProgram(self.objective.coordinates.size, self.instrument.size, chain)

    def verified(self, theta: FloatArray) -> WorstCase:
        """The inner maximum, the worst instrument in physical words, and χ² with it really mis-set."""
        found = self.worst_case(theta)
        u = found.details["u"]
        unknowns = self.instrument.unknowns
        true = max(self.instrument.chi2_at(theta, sign * u) for sign in (1.0, -1.0))
        details = {
            "words": self.instrument.words(u),
            "perturbation": [
                {"name": name, "value": float(x * tolerance), "tolerances": float(x)}
                for (name, tolerance), x in zip(unknowns, u, strict=True)
            ],
            "tolerances": dict(unknowns),
            "worst_case_nonlinear": self.reduced(true),
            "covariance": self.response_covariance(theta),
        }
        return WorstCase(found.value, found.nominal, details)

    def response_covariance(self, theta: FloatArray) -> FloatArray:
        """What the instrument adds to the covariance of the published parameters, (p, p).

        The answer moves by R u with the instrument, R = −(AᵀA)⁻¹ AᵀE; tolerances are read as standard deviations of
        independent normal errors, γ of them: γ² R Rᵀ. Coordinates on a bound do not move.
        """
        theta = np.asarray(theta, float)
        moving, m = self.objective.moving, len(self.objective.moving)
        local = self.instrument.equations(theta, moving, weighting=self.instrument.weighting(theta))
        whole = self.objective.coordinates.jacobian(theta)
        jacobian = whole[moving]
        square = jacobian.T @ local.hessian[:m, :m] @ jacobian
        cross = jacobian.T @ local.hessian[:m, m:]
        z = self.to_internal(theta)
        lower, upper = self.internal_bounds(theta)
        free = (z - lower > 1e-6) & (upper - z > 1e-6) & (np.diag(square) > 0)
        response = np.zeros_like(cross)
        scale = 1.0 / np.sqrt(np.diag(square)[free])
        inner = np.linalg.pinv(
            square[np.ix_(free, free)] * np.outer(scale, scale), rcond=1e-11, hermitian=True
        )
        response[free] = -scale[:, None] * (inner @ (scale[:, None] * cross[free]))
        moved = self.radius * whole @ response
        return np.asarray(moved @ moved.T)

    def _ball(self, theta: FloatArray, weighting: Any) -> tuple[float, FloatArray, FloatArray]:
        local = self.instrument.equations(theta, _NONE, weighting=weighting)
        return local.chi2, 0.5 * local.gradient, 0.5 * local.hessian

    def _slopes(self, theta: FloatArray, column: FloatArray, weighting: Any) -> tuple[FloatArray, FloatArray]:
        above, below = (self._ball(theta + s * _STEP * column, weighting) for s in (1.0, -1.0))
        return (above[1] - below[1]) / (2 * _STEP), (above[2] - below[2]) / (2 * _STEP)


def ball_maximum(linear: FloatArray, matrix: FloatArray, radius: float) -> tuple[float, FloatArray, float]:
    """Maximise 2 bᵀu + uᵀQu over ‖u‖ ≤ radius: eigenvectors of Q and one root of the secular equation.

    The maximiser satisfies (τI − Q) u = b with τ ≥ max(λ_max, 0), and ‖u‖ = radius unless τ = 0 (Moré &
    Sorensen 1983). Where b has no part along the top eigenvectors (the hard case), one of them fills up u.

    ``linear`` (k,): b. ``matrix`` (k, k): Q, symmetric, of any signs. Returns ``u`` (k,). Returns ``tau``: Multiplier
    of the constraint; value = τ radius² + bᵀu.
    """
    k = len(linear)
    if radius == 0.0 or k == 0:
        return 0.0, np.zeros(k), 0.0
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    beta = vectors.T @ linear
    size = max(float(np.max(np.abs(values))), float(np.linalg.norm(beta)) / radius, np.finfo(float).tiny)
    top = max(float(values[-1]), 0.0)

    def length(tau: float) -> float:
        gap = np.maximum(tau - values, np.finfo(float).tiny)
        return float(np.linalg.norm(beta / gap))

    floor = top + 1e-15 * size
    if length(floor) >= radius:
        above = top + float(np.linalg.norm(beta)) / radius + 1e-12 * size
        while length(above) > radius:
            above += size
        tau = float(brentq(lambda x: 1.0 / radius - 1.0 / length(x), floor, above, xtol=1e-15 * size))
        u = vectors @ (beta / (tau - values))
        u *= radius / np.linalg.norm(u)
    else:
        tau = top
        gap = tau - values
        inside = gap > 1e-13 * size
        z = np.where(inside, beta / np.where(inside, gap, 1.0), 0.0)
        if values[-1] >= 0.0:  # the hard case: fill up along the top eigenvector
            z[-1] += np.copysign(np.sqrt(max(radius**2 - float(z @ z), 0.0)), beta[-1] or 1.0)
        u = vectors @ z
    return float(2.0 * linear @ u + u @ matrix @ u), u, tau


@dataclass(kw_only=True, eq=False)
class EllipsoidalRobust(RobustStrategy):
    """Worst instrument within its tolerances; see the module.

    Parameters
    ----------
    radius : float
        γ: how many tolerances.
    calibration : mapping
        Tolerance of each unknown of the instrument, any of ``q_scale`` (relative), ``phi_zero_deg`` (degrees),
        ``frame_time`` (relative), ``baseline`` (drift of c2) and ``frame_stripe`` (shift of c2 in a block of
        frames); what is not named counts as known.
    """

    name: ClassVar[str] = "ellipsoidal"
    semidefinite: ClassVar[bool] = True

    calibration: Mapping[str, float] = field(default_factory=Tolerances.above_zero)

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_tolerances(self.calibration)

    def problem(self, objective: Any, nominal: FloatArray) -> EllipsoidalProblem:
        """See :meth:`RobustStrategy.problem`."""
        return EllipsoidalProblem(objective, self.calibration, float(self.radius))
