"""Problems for the engine's tests, and their products by brute force from the model's own formula."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from random_models import GAP, draw
from reference_sums import products, separable_maps

from heterodyne_nb.config import ParameterTable, resolve_parameters
from heterodyne_nb.engine import Problem
from heterodyne_nb.models import ModelFactory

FloatArray = NDArray[np.float64]
DT = 0.2


def open_table(mode: str, theta: FloatArray, **asked: Any) -> ParameterTable:
    """A table that starts at ``theta``, with bounds wide enough for it."""
    specs = ModelFactory.create_model(mode).parameters
    rows: dict[str, dict[str, Any]] = {}
    for spec, value in zip(specs, theta, strict=True):
        room = 0.5 * abs(value)
        rows[spec.name] = {
            "value": float(value),
            "min": float(min(spec.lower, value - room)),
            "max": float(max(spec.upper, value + room)),
        }
    for name, change in asked.items():
        rows[name] = change if "tie" in change else rows[name] | change
    return resolve_parameters(mode, rows, specs=specs)


def make_problem(
    mode: str,
    n: int,
    bins: int,
    seed: int,
    *,
    masked: float = 0.0,
    holes: int = 0,
    noise: float = 0.02,
    first: int = 1,
    exponent: float | None = None,
    theta: FloatArray | None = None,
    **asked: Any,
) -> tuple[Problem, FloatArray]:
    """A problem of n frames and as many bins, with noisy maps of the model, and the parameters behind them.

    ``masked`` is the share of frames masked in each bin, another set in each; ``holes`` the number of
    unmeasured pixels a bin.
    """
    rng = np.random.default_rng(seed)
    t = DT * np.arange(first, first + n)
    q, phi = 0.01 * (1 + 0.4 * rng.integers(0, 3, bins)), rng.uniform(-180, 180, bins)
    theta = draw(mode, rng, t, 0.012, exponent) if theta is None else theta
    model, gap = ModelFactory.create_model(mode), GAP if mode == "laminar_flow" else None
    m = model.correlation(theta, t[:, None], t[None, :], q=q[:, None, None], phi=phi[:, None, None], gap=gap)
    contrast, offset = rng.uniform(0.1, 0.4, (bins, 1, 1)), rng.uniform(0.98, 1.02, (bins, 1, 1))
    data = (offset + contrast * m + noise * rng.standard_normal(m.shape)).astype(np.float32)
    mask = (rng.random((bins, n)) >= masked).astype(float)
    lost = _holes(rng, mask, holes)
    data[lost[:, 0], lost[:, 1], lost[:, 2]] = 0.0
    sigma = np.full(bins, noise) * rng.uniform(0.8, 1.2, bins)
    table = open_table(mode, theta, **asked)
    return Problem(model, table, data, q, phi, t, mask, sigma, lost, gap), theta


def _holes(rng: np.random.Generator, mask: FloatArray, count: int) -> NDArray[np.int64]:
    found = []
    for b, used in enumerate(mask):
        late, early = np.tril_indices(len(used), -1)
        usable = np.flatnonzero(used[late] * used[early])
        chosen = rng.choice(usable, min(count, len(usable)), replace=False)
        found.append(np.column_stack([np.full(len(chosen), b), late[chosen], early[chosen]]))
    return np.concatenate(found).astype(np.int64)


def used_pixels(problem: Problem, b: int) -> FloatArray:
    """1 where a pixel t1 < t2 of a bin counts, rows t2."""
    weight = np.outer(problem.mask[b], problem.mask[b]) * (problem.data[b] != 0.0)
    return np.tril(weight, -1)


def twin_products(problem: Problem, theta: FloatArray, wanted: NDArray[np.int64]) -> FloatArray:
    """Products of a separable model, written as directly as possible, (B, P+3, P+3)."""
    terms = problem.model.terms(theta, problem.t, problem.phi)
    return np.stack(
        [
            products(
                problem.data[b], *separable_maps(terms, problem.q[b], b, wanted), used_pixels(problem, b)
            )
            for b in range(problem.n_bins)
        ]
    )


def formula_z(problem: Problem, theta: FloatArray, wanted: NDArray[np.int64], b: int) -> FloatArray:
    """z = (derivatives, M, 1, data) from the published formula, Richardson differences, (P+3, N, N)."""
    t1, t2 = problem.t[None, :], problem.t[:, None]

    def m(values: FloatArray) -> FloatArray:
        place = {"q": problem.q[b], "phi": problem.phi[b], "gap": problem.gap}
        return np.broadcast_to(problem.model.correlation(values, t1, t2, **place), problem.data[b].shape)

    def slope(i: int, h: float) -> FloatArray:
        step = np.zeros_like(theta)
        step[i] = h
        return (m(theta + step) - m(theta - step)) / (2 * h)

    rows = []
    for i in wanted:
        h = 1e-4 * max(abs(theta[i]), 0.02 * _natural(problem.table.units[i], theta))
        rows.append((4 * slope(i, h / 2) - slope(i, h)) / 3)
    return np.stack([*rows, m(theta), np.ones_like(m(theta)), problem.data[b].astype(float)])


def _natural(unit: str, theta: FloatArray) -> float:
    """A step for a parameter that happens to be near zero."""
    return {"1": 1.0, "deg": 100.0, "s": 10.0, "1/s": 0.1}.get(unit, float(np.abs(theta).max()))


def formula_products(problem: Problem, theta: FloatArray, wanted: NDArray[np.int64]) -> FloatArray:
    """As :func:`twin_products`, for any model, from nothing but ``correlation``."""
    out = []
    for b in range(problem.n_bins):
        z, used = formula_z(problem, theta, wanted, b), used_pixels(problem, b) > 0
        rows = z[:, used]
        out.append(rows @ rows.T)
    return np.stack(out)


def scaled_difference(found: FloatArray, expected: FloatArray, whole: FloatArray | None = None) -> float:
    """Largest entry of the difference in units of the roots of the diagonals (of ``whole``, where given)."""
    diagonal = np.einsum("...ii->...i", expected if whole is None else whole)
    root = np.sqrt(np.maximum(diagonal, 1e-300))
    return float(np.max(np.abs(found - expected) / (root[..., :, None] * root[..., None, :])))


def every_parameter(problem: Problem) -> NDArray[np.int64]:
    """Indices of all parameters."""
    return np.arange(len(problem.table))


def chosen_parameters(problem: Problem, rng: np.random.Generator) -> NDArray[np.int64]:
    """Some of the parameters, in order; possibly none or all."""
    return np.flatnonzero(rng.random(len(problem.table)) < rng.choice([0.0, 0.4, 1.0]))
