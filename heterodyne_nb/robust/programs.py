"""The cone programs: tens of rows whatever the number of pixels, built once, their numbers replaced at each step.

Everything is said in units of χ² relative to the present point, so that a decrease by a hundredth of an error bar
is not lost in the rounding of a χ² of millions, and in scaled steps x with δ = size·x, so that all columns are of
order one. Quadratics enter by a factor K with KᵀK = H/2, which compresses the residuals of all pixels to n rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.robust.solvers import SolverChain

FloatArray = NDArray[np.float64]
#: A coordinate whose curvature is below this, relative to the largest, holds no information.
_NOTHING = 1e-24


@dataclass(frozen=True)
class Quadratic:
    """value + gradientᵀδ + ½ δᵀ hessian δ, the Gauss-Newton model of a χ²."""

    value: float
    gradient: FloatArray
    hessian: FloatArray

    def after(self, step: FloatArray) -> float:
        """Its value after a step."""
        return float(self.value + self.gradient @ step + 0.5 * step @ self.hessian @ step)


@dataclass(frozen=True)
class Cap:
    """A limit of the nominal χ², ``allowance`` above that of the nominal fit; overshoot costs ``weight`` a unit."""

    limit: float
    allowance: float
    weight: float


def root(matrix: FloatArray) -> FloatArray:
    """K (n, n) with KᵀK = matrix, columns scaled first; what is negative or next to nothing by rounding counts as 0."""
    diagonal = np.diag(matrix)
    known = diagonal > _NOTHING * np.max(diagonal, initial=0.0)
    scale = np.sqrt(np.where(known, diagonal, 0.0))
    unit = np.where(known, 1.0 / np.where(known, scale, 1.0), 0.0)
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T) * np.outer(unit, unit))
    return np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * scale


def step_sizes(hessian: FloatArray, reach: FloatArray) -> FloatArray:
    """Typical step of each coordinate: one error of the coordinate by itself, at most what the box allows."""
    diagonal = np.maximum(0.5 * np.diag(hessian), np.finfo(float).tiny)
    return np.minimum(1.0 / np.sqrt(diagonal), np.where(reach > 0, reach, 1.0))


def newton_gain(model: Quadratic) -> float:
    """Decrease of the quadratic model by a full step, damped a little where it is singular."""
    damped = model.hessian + 1e-6 * np.diag(np.maximum(np.diag(model.hessian), np.finfo(float).tiny))
    return float(0.5 * model.gradient @ np.linalg.solve(damped, model.gradient))


class ConeProgram(ABC):
    """A parametrised CVXPY program over a step δ in a box; subclasses add their cones.

    Parameters
    ----------
    size : int
        Number of coordinates n.
    chain : SolverChain
    """

    def __init__(self, size: int, chain: SolverChain) -> None:
        self.size, self.chain = size, chain
        self._made: Any = None
        self.duals: Any = None

    def solve(
        self, model: Any, lower: FloatArray, upper: FloatArray, cap: Cap | None = None
    ) -> tuple[FloatArray, float]:
        """Best step inside lower ≤ δ ≤ upper, and the program's value there in units of χ².

        Parameters
        ----------
        model
            Of the subclass; ``model.plain`` is the nominal χ².
        lower, upper : (n,)
        cap : Cap, optional
            What the nominal χ² may rise to.

        Raises
        ------
        OptimizationError
            No solver gave an answer.
        """
        if self._made is None:
            self._made = self._build()
        sizes = step_sizes(model.plain.hessian, np.maximum(upper, -lower))
        unit = self._fill(model, sizes)
        self._fill_cap(model.plain, sizes, unit, cap)
        self.lower.value, self.upper.value = lower / sizes, upper / sizes
        self.chain.solve(self._made)
        step = np.clip(sizes * np.asarray(self.x.value), lower, upper)
        return step, self.base(model) + unit * float(self._made.value)

    def _box(self) -> list[Any]:
        """Variables and constraints that all programs share: the box and the cap."""
        import cvxpy as cp

        n = self.size
        self.x = cp.Variable(n)
        self.lower, self.upper = cp.Parameter(n), cp.Parameter(n)
        self._cap_root, self._cap_slope, self._cap_room = (
            cp.Parameter((n, n)),
            cp.Parameter(n),
            cp.Parameter(),
        )
        self._cap_weight = cp.Parameter(nonneg=True)
        over = cp.Variable(nonneg=True)
        self.overshoot = self._cap_weight * over
        room = self._cap_room + over - self._cap_slope @ self.x
        cone = below(self._cap_root @ self.x, room, 1.0)
        return [self.x >= self.lower, self.x <= self.upper, cone]

    def _fill_cap(self, plain: Quadratic, sizes: FloatArray, unit: float, cap: Cap | None) -> None:
        """‖K δ‖² ≤ room + overshoot − gᵀδ, in units of the allowance."""
        if cap is None:
            self._cap_root.value, self._cap_slope.value = np.zeros((self.size,) * 2), np.zeros(self.size)
            self._cap_room.value, self._cap_weight.value = 1.0, 0.0
            return
        scale = max(cap.allowance, 1e-12)
        self._cap_root.value = root(0.5 * plain.hessian) * sizes / np.sqrt(scale)
        self._cap_slope.value = plain.gradient * sizes / scale
        self._cap_room.value = (cap.limit - plain.value) / scale
        self._cap_weight.value = cap.weight * scale / unit

    @abstractmethod
    def base(self, model: Any) -> float:
        """Value from which the program's value is counted."""

    @abstractmethod
    def _build(self) -> Any:
        """Make the program with all its parameters."""

    @abstractmethod
    def _fill(self, model: Any, sizes: FloatArray) -> float:
        """Set the parameters, and return the unit of the value in χ²."""


def below(quadratic: Any, linear: Any, factor: Any) -> Any:
    """The cone ‖quadratic‖² ≤ linear · factor."""
    import cvxpy as cp

    return cp.SOC(linear + factor, cp.hstack([2.0 * quadratic, linear - factor]))
