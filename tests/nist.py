"""The NIST Statistical Reference Datasets for nonlinear regression (StRD): 27 problems, two starts each.

Their certified parameters are right to eleven digits. Each problem comes as a plain function and as an objective
with normal equations, both of the sum of squares.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np

_FILE = Path(__file__).parent / "fixtures" / "nist_strd.txt"
_FUNCTIONS = {name: getattr(np, name) for name in ("exp", "sin", "cos", "arctan", "pi")}


@dataclass(frozen=True)
class Problem:
    """One data set with its model.

    Attributes
    ----------
    name : str
    model : str
        The response as an expression of b1, b2, … and the predictors.
    starts : ndarray (2, n)
        Two start vectors, the second nearer to the answer.
    certified : ndarray (n,)
    sum_of_squares : float
        Of the residuals, at the certified values.
    data : dict of ndarray
        "y" and the predictors.
    """

    name: str
    model: str
    starts: np.ndarray
    certified: np.ndarray
    sum_of_squares: float
    data: dict[str, np.ndarray]

    def residuals(self, b: np.ndarray) -> np.ndarray:
        """Model less data at parameters b (n,); complex parameters are allowed."""
        names = {f"b{i}": value for i, value in enumerate(b, 1)} | self.data | _FUNCTIONS
        response = np.log(self.data["y"]) if self.name == "Nelson" else self.data["y"]
        with np.errstate(all="ignore"):
            return (
                eval(self.model, {"__builtins__": {}}, names) - response
            )  # the expression is our own fixture

    def jacobian(self, b: np.ndarray) -> np.ndarray:
        """Derivatives (observations, n) of the residuals by complex steps, exact to rounding."""
        step = 1e-30 * np.maximum(np.abs(b), 1e-30) * 1j
        return np.column_stack([self.residuals(b + row).imag / abs(row.sum()) for row in np.diag(step)])

    def function(self, b: np.ndarray) -> float:
        """The sum of squares."""
        residuals = self.residuals(b)
        return float(residuals @ residuals)

    def digits(self, b: np.ndarray) -> float:
        """Right digits of the worst parameter, 11 at most.

        The terms of a sum (Gauss, Lanczos, MGH17, ENSO) may come in another order, which is the same answer.
        """
        error = min(np.max(np.abs(np.asarray(b)[o] / self.certified - 1.0)) for o in _orders(self.name))
        return float(-np.log10(np.clip(error, 1e-11, 1e30))) if np.isfinite(error) else -30.0


class WithEquations:
    """The sum of squares of a problem (times `factor`, plus `offset`) with its normal equations.

    Internal coordinates are the parameters, in units of `scale`.
    """

    def __init__(self, problem: Problem, scale: np.ndarray | float = 1.0, factor: float = 1.0) -> None:
        self.problem, self.factor = problem, factor
        self.scale = np.broadcast_to(scale, problem.certified.shape)

    def __call__(self, b: np.ndarray) -> float:
        return self.factor * self.problem.function(b)

    def to_internal(self, b: np.ndarray) -> np.ndarray:
        return np.asarray(b, float) / self.scale

    def from_internal(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(z, float) * self.scale

    def internal_bounds(self, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ends = np.full(self.problem.certified.size, np.inf)
        return -ends, ends

    def normal_equations(self, b: np.ndarray) -> SimpleNamespace:
        r, jacobian = self.problem.residuals(b), self.problem.jacobian(b) * self.scale
        with np.errstate(all="ignore"):
            return SimpleNamespace(
                chi2=self.factor * float(r @ r),
                gradient=2.0 * self.factor * jacobian.T @ r,
                hessian=2.0 * self.factor * jacobian.T @ jacobian,
            )


@cache
def problems() -> dict[str, Problem]:
    """All 27 by name."""
    sections = re.split(r"^\[(\w+)\]$", _FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {name: _read(name, text) for name, text in zip(sections[::2], sections[1::2], strict=True)}


def _read(name: str, text: str) -> Problem:
    rows = re.findall(r"^b\d (.+)$", text, flags=re.MULTILINE)
    table = np.array([row.split() for row in rows], float)
    entries = dict(re.findall(r"^([a-z][\w ]*): ((?:.|\n )+)", text, flags=re.MULTILINE))
    model, total = entries.pop("model"), float(entries.pop("sum of squares"))
    data = {key: np.array(numbers.split(), float) for key, numbers in entries.items()}
    return Problem(name, model.strip(), table[:, :2].T, table[:, 2], total, data)


def _orders(name: str) -> list[list[int] | slice]:
    """Orders of the parameters that leave the model as it is."""
    terms = {
        "Gauss": [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 5, 6, 7, 2, 3, 4]],
        "MGH17": [[0, 1, 2, 3, 4], [0, 2, 1, 4, 3]],
        "ENSO": [[0, 1, 2, 3, 4, 5, 6, 7, 8], [0, 1, 2, 6, 7, 8, 3, 4, 5]],
        "Lanczos": [[2 * i, 2 * i + 1, 2 * j, 2 * j + 1, 2 * k, 2 * k + 1]
                    for i, j, k in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))],
    }  # fmt: skip
    return next((orders for stem, orders in terms.items() if name.startswith(stem)), [slice(None)])
