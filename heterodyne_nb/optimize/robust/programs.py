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

from heterodyne_nb.optimize.robust.solvers import SolverChain

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Quadratic:
    """value + gradientᵀδ + ½ δᵀ hessian δ, the Gauss-Newton model of a χ²."""

    value: float
    gradient: FloatArray
    hessian: FloatArray


def root(matrix: FloatArray) -> FloatArray:
    """K (n, n) with KᵀK = matrix, columns scaled first; eigenvalues negative by rounding count as zero."""
    scale = np.sqrt(np.maximum(np.diag(matrix), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T) / np.outer(scale, scale))
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

    def solve(self, model: Any, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, float]:
        """Best step inside lower ≤ δ ≤ upper, and the program's value there in units of χ².

        Raises
        ------
        OptimizationError
            No solver gave an answer.
        """
        if self._made is None:
            self._made = self._build()
        sizes = step_sizes(self.curvature(model), np.maximum(upper, -lower))
        unit = self._fill(model, sizes)
        self.lower.value, self.upper.value = lower / sizes, upper / sizes
        self.chain.solve(self._made)
        step = np.clip(sizes * np.asarray(self.x.value), lower, upper)
        return step, self.base(model) + unit * float(self._made.value)

    def _box(self) -> list[Any]:
        import cvxpy as cp

        self.x = cp.Variable(self.size)
        self.lower, self.upper = cp.Parameter(self.size), cp.Parameter(self.size)
        return [self.x >= self.lower, self.x <= self.upper]

    @abstractmethod
    def curvature(self, model: Any) -> FloatArray:
        """The (n, n) matrix that sets the scale of the steps."""

    @abstractmethod
    def base(self, model: Any) -> float:
        """Value from which the program's value is counted."""

    @abstractmethod
    def _build(self) -> Any:
        """Make the program with all its parameters."""

    @abstractmethod
    def _fill(self, model: Any, sizes: FloatArray) -> float:
        """Set the parameters, and return the unit of the value in χ²."""


def below(quadratic: Any, linear: Any, offset: Any = 0.0) -> Any:
    """The cone ‖quadratic‖² ≤ linear (1 + offset)."""
    import cvxpy as cp

    one = 1.0 + offset
    return cp.SOC(linear + one, cp.hstack([2.0 * quadratic, linear - one]))
