"""Products per tile of frames, with robust weights when asked: what uncertainty and robust fits are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine.columns import problem_columns
from heterodyne_nb.engine.fast import entries
from heterodyne_nb.engine.generic import generic_tiles
from heterodyne_nb.engine.pixels import LAMINAR, LOSS_CODES, SEPARABLE, block_edges, tile_products
from heterodyne_nb.engine.problem import Problem
from heterodyne_nb.models import SeparableModel
from heterodyne_nb.models.curves import power_cumulative, power_cumulative_gradient
from heterodyne_nb.models.homodyne import LaminarFlowModel

FloatArray = NDArray[np.float64]
_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Weighting:
    """Per-pixel weights from the residual at given contrast and offset (both (B,)).

    ``loss`` is a name known to :mod:`heterodyne_nb.engine.losses`; ``tuning`` its constant, in units of
    the residual's scale, and ``scale`` that scale in units of sigma.
    """

    contrast: FloatArray
    offset: FloatArray
    loss: str = "linear"
    tuning: float = 1.0
    scale: float = 1.0


def tile_products_at(
    problem: Problem,
    theta: FloatArray,
    wanted: NDArray[np.int64],
    clusters: int = 1,
    weighting: Weighting | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Sums of weight z zᵀ over the used pixels of each tile, z = (derivatives, M, 1, data).

    Parameters
    ----------
    problem : Problem
    theta : (p,)
    wanted : (P,)
    clusters : int
        Number of clusters of frames; tile of clusters (k2 >= k1) is ``k2 (k2 + 1) / 2 + k1``.
    weighting : Weighting, optional
        Without, every pixel counts once.

    Returns
    -------
    products : (B, T, P+3, P+3)
    rho : (B, T)
        Sum of the loss of the residuals in units of sigma (zero contrast without a weighting).
    """
    b, n = problem.n_bins, len(problem.t)
    weighting = weighting or Weighting(np.zeros(b), np.zeros(b))
    if not isinstance(problem.model, SeparableModel | LaminarFlowModel):
        return generic_tiles(problem, theta, wanted, clusters, weighting)
    edges, cluster = block_edges(n, min(clusters, n))
    count = int(cluster[-1]) + 1
    tiles = count * (count + 1) // 2
    out, rho = np.zeros((b, tiles, len(wanted) + 3, len(wanted) + 3)), np.zeros((b, tiles))
    inner = np.stack([weighting.contrast, weighting.offset, problem.sigma * weighting.scale], axis=1).astype(
        float
    )
    tail = (edges, cluster, inner, LOSS_CODES[weighting.loss], float(weighting.tuning), out, rho)
    if isinstance(problem.model, SeparableModel):
        columns = problem_columns(problem, theta, wanted)
        tile_products(
            SEPARABLE, problem.data, columns.u, columns.w, _steps(columns.f), problem.mask,
            columns.layout.column_part, *entries(columns.layout), np.zeros(0, np.bool_), *tail,
        )  # fmt: skip
    else:
        u, f, is_shear = _laminar_curves(problem, theta, wanted)
        tile_products(
            LAMINAR, problem.data, u, u, _steps(f), problem.mask, _NONE, _NONE, _NONE, _NONE, is_shear, *tail
        )
    return out + np.swapaxes(np.tril(out, -1), 2, 3), rho * weighting.scale**2


def _steps(f: FloatArray) -> FloatArray:
    step = np.ones_like(f)
    np.exp(f[:, :, :-1] - f[:, :, 1:], out=step[:, :, 1:])
    return step


def _laminar_curves(
    problem: Problem, theta: FloatArray, wanted: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Rows (derivatives of F or X, sin X, cos X, X) per bin, the decay F (B, 1, N), and which act on X."""
    t, q = problem.t, problem.q
    assert problem.gap is not None
    (transport,), (shear,) = (problem.model.of_role(role) for role in ("transport", "shear_rate"))
    falls, moves, way = list(transport.parameters), list(shear.parameters), shear.direction
    angle = np.radians(theta[way] - problem.phi)
    kappa = 0.5 * q * problem.gap
    strain = power_cumulative(t, *theta[moves])
    gradient = np.zeros((len(q), len(theta), len(t)))
    gradient[:, falls] = q[:, None, None] ** 2 * power_cumulative_gradient(t, *theta[falls[:2]])
    gradient[:, moves] = (kappa * np.cos(angle))[:, None, None] * power_cumulative_gradient(
        t, *theta[moves[:2]]
    )
    gradient[:, way] = (-kappa * np.sin(angle) * np.pi / 180.0)[:, None] * strain
    x = (kappa * np.cos(angle))[:, None] * strain
    f = (q[:, None] ** 2 * power_cumulative(t, *theta[falls]))[:, None]
    curves = np.stack([np.sin(x), np.cos(x), x], axis=1)
    return np.concatenate([gradient[:, wanted], curves], axis=1), f, ~np.isin(wanted, falls)
