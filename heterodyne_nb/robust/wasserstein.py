"""Wasserstein distributionally robust fits: the worst law of (regressor, residual) within a distance of the data's.

For a linear model, squared loss and type-2 distance the worst mean square over the ball is

    sup E[r²] = (sqrt(mean r(θ)²) + ε ‖D (θ − θ_ref)‖₂)²

(Blanchet, Kang & Murthy, J. Appl. Probab. 56 (2019) 830; Gao & Kleywegt, Math. Oper. Res. 48 (2023) 603), reached by
moving every regressor against the sign of its residual. A Lipschitz robust loss has the type-1 form
mean ρ(r) + ε Lip ‖D (θ − θ_ref)‖. Here residuals are linearised at each iterate; D_j is the root mean square of
regressor j (the derivative of c2/sigma by internal coordinate j, contrast and offset taken out) at the nominal
answer, so that ε is the relative size of the perturbation of the regressors and no unit matters. θ_ref, the centre,
is where the ball's reasoning holds the model to be simplest; see :func:`centre`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine import RobustObjective
from heterodyne_nb.optimize.strategies.trf import compressed_jacobian
from heterodyne_nb.robust.sequential import RobustProblem, RobustStrategy, WorstCase
from heterodyne_nb.robust.solvers import Cap, ConeProgram, Quadratic, SolverChain, below, newton_gain, root

#: Largest slope of ρ(r) for tuning constant 1 and scale 1; see :mod:`heterodyne_nb.engine.losses`.
LIPSCHITZ = {"huber": 2.0, "soft_l1": 2.0, "cauchy": 1.0, "tukey": 2.0 * 0.8**2 / np.sqrt(5.0)}


def centre(objective: Any, nominal: FloatArray, reference: Mapping[str, float] | None = None) -> FloatArray:
    """θ_ref in internal coordinates: prior mean, else stated value, else the simplest curve through the nominal one.

    ``objective`` (Objective). ``nominal`` (p,): The nominal answer, published. ``reference``: Stated values by
    published name. Default: the start values that the objective's table marks as given. Returns (n,): For a power law
    without stated values: constant at its nominal mid-time rate (exponent 0). For a fraction: constant at the mean of
    its nominal ends. Any other parameter: its nominal value, which pulls nowhere.
    """
    table, coordinates = objective.problem.table, objective.coordinates
    if reference is None:
        reference = {n: v for n, v, g in zip(table.names, table.values, table.given, strict=True) if g}
    means = {n: prior[0] for n, prior in zip(table.names, table.prior, strict=True) if prior is not None}
    stated = {**reference, **means}
    wanted = np.array([stated.get(n, value) for n, value in zip(table.names, nominal, strict=True)])
    filled = objective.to_internal(np.clip(wanted, table.lower, table.upper))
    known = coordinates.complete(np.array([name in stated for name in table.names]))
    return np.asarray(np.where(known, filled, coordinates.simplest(objective.to_internal(nominal))))


@dataclass(frozen=True)
class NormModel:
    """Numbers of the program: χ² quadratic, penalty weight λ, D, and z − z_ref; curved for the type-2 form."""

    plain: Quadratic
    penalty: float
    size: FloatArray
    offset: FloatArray
    curved: bool


class NormProgram(ConeProgram):
    """min s + λ ‖D (δ + β)‖ over the box, s the increase of χ² (of 2√χ² times its root in the type-2 form).

    With a = g/(2√χ²), χ²(δ) = (√χ² + aᵀδ)² + ‖K δ‖², KᵀK = H/2 − a aᵀ, and √χ²(δ) ≤ √χ² + s/(2√χ²) is the
    cone ‖K δ‖² ≤ (s − gᵀδ)(1 + (s + gᵀδ)/(4 χ²)).
    """

    def base(self, model: NormModel) -> float:
        """The nominal χ²; the penalty is counted in the program's value."""
        return model.plain.value

    def solve(
        self, model: NormModel, lower: FloatArray, upper: FloatArray, cap: Cap | None = None
    ) -> tuple[FloatArray, float]:
        """See :meth:`ConeProgram.solve`; in the type-2 form the value is squared back to a χ²."""
        step, value = super().solve(model, lower, upper, cap)
        if not model.curved:
            return step, value
        chi = np.sqrt(model.plain.value)
        return step, float((chi + (value - model.plain.value) / (2.0 * chi)) ** 2)

    def _build(self) -> Any:
        import cvxpy as cp

        n = self.size
        box = self._box()
        s = cp.Variable()
        self._root, self._slope, self._bent = cp.Parameter((n, n)), cp.Parameter(n), cp.Parameter(n)
        self._bend = cp.Parameter(nonneg=True)
        self._pull, self._from = cp.Parameter((n,), nonneg=True), cp.Parameter(n)
        above = s - self._slope @ self.x
        cone = below(self._root @ self.x, above, 1.0 + self._bend * s + self._bent @ self.x)
        penalty = cp.norm(cp.multiply(self._pull, self.x) + self._from, 2)
        return cp.Problem(cp.Minimize(s + penalty + self.overshoot), [*box, cone])

    def _fill(self, model: NormModel, sizes: FloatArray) -> float:
        quadratic, chi2 = model.plain, max(model.plain.value, np.finfo(float).tiny)
        pull = model.penalty * model.size
        unit = max(1.0, newton_gain(quadratic), 1e-2 * float(np.linalg.norm(pull * model.offset)))
        if model.curved:
            rest = root_without_first(quadratic)
            self._bend.value, self._bent.value = unit / (4 * chi2), quadratic.gradient * sizes / (4 * chi2)
        else:
            rest = root(0.5 * quadratic.hessian)
            self._bend.value, self._bent.value = 0.0, np.zeros(self.size)
        self._root.value = rest * sizes / np.sqrt(unit)
        self._slope.value = quadratic.gradient * sizes / unit
        self._pull.value, self._from.value = pull * sizes / unit, pull * model.offset / unit
        return unit


def root_without_first(quadratic: Quadratic) -> FloatArray:
    """K (n, n) of :class:`NormProgram`: rows of the compressed Jacobian without the residual's own."""
    first = quadratic.gradient / (2.0 * np.sqrt(max(quadratic.value, np.finfo(float).tiny)))
    return root(0.5 * quadratic.hessian - np.outer(first, first))


class WassersteinProblem(RobustProblem):
    """Worst law within ε; see the module.

    ``objective`` (Objective). ``nominal`` (p,): Gives D and, where nothing is stated, the centre. ``radius``: ε.
    ``reference``: See :func:`centre`.
    """

    def __init__(
        self,
        objective: Any,
        nominal: FloatArray,
        radius: float,
        reference: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(objective)
        self.radius, self.count = radius, objective.problem.n_data
        self.middle = centre(objective, nominal, reference)
        hessian = objective.normal_equations(nominal).hessian
        self.size = np.sqrt(np.maximum(0.5 * np.diag(hessian), 0.0) / self.count)
        self.loss = objective.loss if isinstance(objective, RobustObjective) else None

    def distance(self, theta: FloatArray) -> float:
        """‖D (z − z_ref)‖: how far the curves' complexity reaches, in units of the noise of a pixel."""
        return float(np.linalg.norm(self.size * (self.to_internal(theta) - self.middle)))

    def worst_case(self, theta: FloatArray) -> WorstCase:
        """Closed form of the inner maximum."""
        chi2 = self.objective.equations(theta, derivatives=False).chi2
        return self._worst(theta, chi2)

    def _worst(self, theta: FloatArray, chi2: float) -> WorstCase:
        if self.loss is None:
            worst = (np.sqrt(chi2) + self.radius * np.sqrt(self.count) * self.distance(theta)) ** 2
        else:
            worst = chi2 + self._penalty(chi2) * self.distance(theta)
        return WorstCase(float(worst), chi2)

    def _penalty(self, chi2: float) -> float:
        """λ of :class:`NormProgram`."""
        if self.loss is None:
            return float(2.0 * np.sqrt(chi2) * self.radius * np.sqrt(self.count))
        slope = LIPSCHITZ[self.loss.name] * self.loss.tuning * self.objective.scale
        return float(self.count * self.radius * slope)

    def linearised(self, theta: FloatArray) -> NormModel:
        """See :meth:`RobustProblem.linearised`."""
        local = self.objective.normal_equations(theta)
        offset = self.to_internal(theta) - self.middle
        quadratic = Quadratic(local.chi2, local.gradient, local.hessian)
        return NormModel(quadratic, self._penalty(local.chi2), self.size, offset, self.loss is None)

    def corrected(self, model: NormModel, step: FloatArray, theta: FloatArray) -> NormModel:
        """See :meth:`RobustProblem.corrected`: χ² has the value found after the step."""
        plain = model.plain
        found = self.objective.equations(theta, derivatives=False).chi2
        return replace(model, plain=replace(plain, value=plain.value + found - plain.after(step)))

    def program(self, chain: SolverChain) -> NormProgram:
        """See :meth:`RobustProblem.program`."""
        return NormProgram(self.objective.coordinates.size, chain)

    def verified(self, theta: FloatArray) -> WorstCase:
        """The worst law written down and evaluated (type-2), with the words for it.

        Regressor rows of the compressed problem move by −ε (r_i/rms) D² β/‖D β‖, β = z − z_ref: a perturbation of
        size ε exactly, whose mean square residual is the closed form.
        """
        closed = self.worst_case(theta)
        beta = self.to_internal(theta) - self.middle
        distance = self.distance(theta)
        if self.loss is not None or distance == 0.0 or self.radius == 0.0:
            return WorstCase(closed.value, closed.nominal, self._details(closed, beta))
        local = self.objective.normal_equations(theta)
        rows = compressed_jacobian(local)
        residual = np.zeros(len(rows))
        residual[0] = np.sqrt(local.chi2)
        rms = np.linalg.norm(residual)
        moved = -self.radius * np.sqrt(self.count) * np.outer(residual / rms, self.size**2 * beta / distance)
        target = rows @ beta - residual  # so that residual(β) = rows β − target
        worst = (rows - moved) @ beta - target
        return WorstCase(float(worst @ worst), closed.nominal, self._details(closed, beta))

    def _details(self, closed: WorstCase, beta: FloatArray) -> dict[str, Any]:
        shares = (self.size * beta) ** 2
        total = max(float(shares.sum()), np.finfo(float).tiny)
        names = self.objective.coordinates.labels()
        ranked = [(names[k], float(shares[k] / total)) for k in np.argsort(shares)[::-1][:3]]
        told = ", ".join(f"{name} ({share:.0%})" for name, share in ranked if share >= 0.05)
        grown = np.sqrt(closed.value / max(closed.nominal, np.finfo(float).tiny)) - 1.0
        words = (
            f"the worst law moves the sensitivity of c2 to the parameters by {100 * self.radius:.3g} % of its size, "
            f"against each residual's sign, and so raises the rms residual by {100 * grown:.3g} %"
        )
        if told:
            words += f"; it leans on {told}"
        return {"words": words, "perturbation": dict(ranked), "distance": float(np.sqrt(total))}


@dataclass(kw_only=True, eq=False)
class WassersteinDRO(RobustStrategy):
    """Worst law within a Wasserstein distance `radius` of the data's; see the module.

    It steadies directions that the data hardly determine, by holding them near the centre, and leaves the others.
    It does not remove outliers; a robust loss of the objective does, and combines with it.

    Parameters
    ----------
    radius : float
        ε, relative size of the perturbation of the regressors.
    reference : mapping, optional
        Centre by published name; see :func:`centre`.
    """

    name: ClassVar[str] = "wasserstein"

    reference: Mapping[str, float] | None = None

    def problem(self, objective: Any, nominal: FloatArray) -> WassersteinProblem:
        """See :meth:`RobustStrategy.problem`."""
        return WassersteinProblem(objective, nominal, self.radius, self.reference)
