"""χ² as a function of the parameters and of a mis-set instrument: its normal equations by both, in one pass.

Unknowns are counted in units of their tolerances, u = 1 being one tolerance. The q scale, the zero of φ and the time
between frames act through the model: the true wave vector of a bin is q (1 + s), its azimuth φ + z and a frame's time
t (1 + d), and the three are appended to the published parameters, so that every kernel differentiates by them as by any
other. A drift of the baseline and a shift of c2 in a block of frames (a bad-frame stripe) are added to it. The added ones are constant on tiles of frames, so their products
follow from sums over tiles, and no pixel is seen twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.config import ParameterTable
from heterodyne_nb.config.parameters import ParameterSpec
from heterodyne_nb.engine import BLOCKS, NormalEquations, OneTimeObjective, Weighting, products_at
from heterodyne_nb.engine.normal import normal_equations
from heterodyne_nb.engine.products import weighted_tiles
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import SeparableModel
from heterodyne_nb.models.homodyne import LaminarFlowModel
from heterodyne_nb.models.model import Parameters, Terms, TwoTimeModel
from heterodyne_nb.options import Tolerances
from heterodyne_nb.options.fields import unit_of

#: What may be mis-set, with its unit.
TOLERANCES = {name: unit_of(field) for name, field in Tolerances.model_fields.items()}
_SHAPES = {
    "q_scale": ("q", 100.0, " %"),
    "phi_zero_deg": ("φ", 1.0, "°"),
    "frame_time": ("the time between frames", 100.0, " %"),
    "baseline": ("the baseline drifts by", 1.0, " from the first frame to the last"),
}
#: Unknowns that act through the model, in the order in which they are appended to the parameters.
UNKNOWNS = ("q_scale", "phi_zero_deg", "frame_time")
_EQUIVALENT_STEP, _ANGLE_STEP, _TIME_STEP = 1e-6, 1e-3, 1e-5


def checked_tolerances(tolerances: Mapping[str, float]) -> dict[str, float]:
    """Tolerances above 0; what is not named counts as known.

    Raises ConfigurationError: An unknown name, a negative value, or none above 0.
    """
    used = Tolerances.above_zero(tolerances)
    if not used:
        raise ConfigurationError(
            "every calibration counts as known", where="calibration", expected="a tolerance above 0"
        )
    return used


class Instrument:
    """An objective and what may be mis-set in it.

    ``objective`` (Objective): Two-time, with or without a robust loss, or one-time. ``tolerances``: See
    :data:`TOLERANCES`; relative, degrees, relative, c2, c2.

    Attributes: ``unknowns``: Name and tolerance of each of the k unknowns; stripes are one unknown a block of frames.
    """

    def __init__(self, objective: Any, tolerances: Mapping[str, float]) -> None:
        self.objective, used = objective, checked_tolerances(tolerances)
        self.clusters = objective.problem.blocks(BLOCKS)
        self.acting = np.array([i for i, name in enumerate(UNKNOWNS) if name in used], np.int64)
        self.added = self._patterns(used)
        stripes = [("frame_stripe", used["frame_stripe"])] * self.clusters if "frame_stripe" in used else []
        plain = [(name, value) for name, value in used.items() if name != "frame_stripe"]
        self.unknowns = (*plain, *stripes)
        self._tolerance = np.array([used[UNKNOWNS[i]] for i in self.acting])
        self._problem: Any = None

    @property
    def size(self) -> int:
        """Number of unknowns k."""
        return len(self.unknowns)

    def _patterns(self, used: Mapping[str, float]) -> FloatArray:
        """Added c2 of each added unknown at one tolerance, on tiles of frames or blocks of lags, (A, T)."""
        count = self.clusters
        drift = np.linspace(-0.5, 0.5, count)
        late, early = self.objective.problem.places(count)
        rows = []
        if "baseline" in used:
            rows.append(used["baseline"] * 0.5 * (drift[late] + drift[early]))
        if "frame_stripe" in used:
            rows += [used["frame_stripe"] * ((late == k) | (early == k)).astype(float) for k in range(count)]
        return np.array(rows).reshape(-1, len(late))

    def words(self, u: FloatArray) -> str:
        """``"the worst case is q + 0.8 % and φ − 0.6°"``: errors below a hundredth of their tolerance are left out."""
        parts, stripes = [], []
        for (name, tolerance), x in zip(self.unknowns, u, strict=True):
            if name == "frame_stripe":
                stripes.append(float(x * tolerance))
            elif abs(x) >= 0.01:
                what, factor, unit = _SHAPES[name]
                parts.append(f"{what} {_signed(factor * x * tolerance)}{unit}")
        if stripes and max(map(abs, stripes)) > 0:
            k = int(np.argmax(np.abs(stripes)))
            parts.append(
                f"c2 {_signed(stripes[k])} in {self.objective.problem.block_name(k, self.clusters)} (and less in others)"
            )
        if not parts:
            return "the worst case is the instrument as it is"
        return "the worst case is " + " and ".join(parts)

    # -- normal equations ------------------------------------------------------------------------

    def weighting(self, theta: FloatArray) -> Weighting | None:
        """Weights of a robust loss at theta, for :meth:`equations` at nearby points."""
        found: Weighting | None = self.objective.converged_weighting(theta)
        return found

    def equations(
        self, theta: FloatArray, wanted: IntArray, *, weighting: Weighting | None = None
    ) -> NormalEquations:
        """χ² around (theta, u = 0) with contrast and offset eliminated, priors included.

        By the wanted published parameters, then by the unknowns in units of their tolerances; ``weighting`` as
        :meth:`weighting` gives it.
        """
        local = self._reduced(self._products(theta, np.zeros(self.size), wanted, weighting))
        added: NormalEquations = self.objective.priors.added(local, theta, wanted)
        return added

    def chi2_at(self, theta: FloatArray, u: FloatArray) -> float:
        """χ² (or loss) with the instrument really mis-set by u, not linearised; priors included."""
        u = np.asarray(u, float)
        none = np.zeros(0, np.int64)
        weighting = self.weighting(theta)
        products = self._products(theta, u, none, weighting)
        k = products.shape[1] - 3 - len(self.added)  # unknowns that act, then those that are added
        shift = np.zeros(products.shape[1])
        shift[k : k + len(self.added)] = u[len(self.acting) :]
        back = np.eye(products.shape[1])
        back[-1] -= shift
        moved = np.einsum("ij,bjk,lk->bil", back, products, back)
        return float(self.objective.priors.added(self._reduced(moved), theta, none).chi2)

    def _reduced(self, products: FloatArray) -> NormalEquations:
        """Contrast and offset eliminated."""
        return normal_equations(products, self.objective.linear, added=len(self.added))

    # -- products --------------------------------------------------------------------------------

    def _products(
        self, theta: FloatArray, u: FloatArray, wanted: IntArray, weighting: Weighting | None
    ) -> FloatArray:
        """Products of (derivatives by theta, by u, M, 1, data), divided by sigma², (B, P+k+3, P+k+3)."""
        miss = np.zeros(3)
        miss[self.acting] = self._tolerance * u[: len(self.acting)]
        if isinstance(self.objective, OneTimeObjective):
            tiles = self._one_time(theta, miss, wanted)
        else:
            tiles = self._two_time(theta, miss, wanted, weighting)
        scale = np.ones(tiles.shape[-1])
        scale[len(wanted) : len(wanted) + len(self.acting)] = self._tolerance
        tiles = tiles * np.outer(scale, scale)
        return self._with_added(tiles) if len(self.added) else tiles.sum(axis=1)

    def _with_added(self, tiles: FloatArray) -> FloatArray:
        total, ones = tiles.sum(axis=1), tiles[:, :, -2, :]
        rows = np.einsum("at,btj->baj", self.added, ones)
        square = np.einsum("at,ct,bt->bac", self.added, self.added, ones[:, :, -2])
        n, extra = total.shape[1] - 3, len(self.added)
        out = np.zeros((len(total), n + extra + 3, n + extra + 3))
        old = np.r_[0:n, n + extra : n + extra + 3]
        new = np.arange(n, n + extra)
        out[np.ix_(np.arange(len(total)), old, old)] = total
        out[np.ix_(np.arange(len(total)), new, old)] = rows
        out[np.ix_(np.arange(len(total)), old, new)] = np.swapaxes(rows, 1, 2)
        out[np.ix_(np.arange(len(total)), new, new)] = square
        return out

    def _two_time(
        self, theta: FloatArray, miss: FloatArray, wanted: IntArray, weighting: Weighting | None
    ) -> FloatArray:
        """Products by tiles (one tile where nothing asks for more), (B, T, P+a+3, P+a+3), a unknowns that act."""
        problem, p = self.objective.problem, len(theta)
        extended = np.concatenate([theta, miss])
        if isinstance(problem.model, LaminarFlowModel):
            every = np.arange(p)
            tiles = self._tiles(problem, laminar_equivalent(problem.model, extended), every, weighting)
            back = _laminar_columns(problem.model, extended, wanted, self.acting)
            return np.asarray(np.einsum("ij,btjk,lk->btil", back, tiles, back))
        if self._problem is None:
            self._problem = extended_problem(problem)
        asked = np.concatenate([wanted, p + self.acting]).astype(np.int64)
        return self._tiles(self._problem, extended, asked, weighting)

    def _tiles(
        self, problem: Any, theta: FloatArray, wanted: IntArray, weighting: Weighting | None
    ) -> FloatArray:
        if weighting is None and not len(self.added):
            return np.asarray(
                products_at(problem, theta, wanted)[:, None] / problem.sigma[:, None, None, None] ** 2
            )
        return weighted_tiles(problem, theta, wanted, self.clusters if len(self.added) else 1, weighting)

    def _one_time(self, theta: FloatArray, miss: FloatArray, wanted: IntArray) -> FloatArray:
        problem = self.objective.problem
        moved = self._moved(miss)
        z = moved.columns(theta, wanted)
        columns = []
        for i in self.acting:
            step = np.zeros(3)
            step[i] = 1e-5 if i != 1 else 1e-3
            above, below = (self._moved(miss + s * step).correlation(theta) for s in (1, -1))
            columns.append((above - below) / (2 * step[i]))
        n = len(wanted)
        extra = np.array(columns).reshape(-1, *z[:, 0].shape).transpose(1, 0, 2)
        z = np.concatenate([z[:, :n], extra, z[:, n:]], axis=1)
        return np.asarray(problem.block_products(z, self.clusters))

    def _moved(self, miss: FloatArray) -> Any:
        """The one-time objective with its instrument mis-set."""
        problem = self.objective.problem
        moved = replace(
            problem,
            q=problem.q * (1 + miss[0]),
            phi=problem.phi + miss[1],
            tau=problem.tau * (1 + miss[2]),
        )
        return OneTimeObjective(moved, contrast=self.objective.contrast)


def _signed(value: float) -> str:
    """``+ 0.8`` or ``− 0.8``, three digits."""
    return f"{'+' if value >= 0 else '−'} {abs(value):.3g}"


class MissetModel(TwoTimeModel):
    """A two-time model whose last three parameters mis-set the instrument; derivatives by differences."""

    def __init__(self, base: TwoTimeModel) -> None:
        self.base, self.name = base, base.name
        self.parameters = (*base.parameters, *instrument_parameters())

    def correlation(
        self,
        params: Parameters,
        t1: ArrayLike,
        t2: ArrayLike,
        *,
        q: ArrayLike,
        phi: ArrayLike = 0.0,
        gap: float | None = None,
    ) -> Any:
        """See :meth:`TwoTimeModel.correlation`."""
        p = np.asarray(params, float)
        scale, zero, late = p[-3:]
        times = np.asarray(t1) * (1 + late), np.asarray(t2) * (1 + late)
        return self.base.correlation(
            p[:-3], *times, q=np.asarray(q) * (1 + scale), phi=np.asarray(phi) + zero, gap=gap
        )


class MissetSeparable(MissetModel, SeparableModel):
    """The same for a separable model, with derivatives of its terms."""

    base: SeparableModel

    def terms(self, params: Parameters, t: FloatArray, phi: FloatArray, *, derivatives: bool = True) -> Terms:
        """See :meth:`SeparableModel.terms`: the base model's curves, stretched, and their slopes by stretching."""
        p = np.asarray(params, float)
        theta, (scale, zero, late) = p[:-3], p[-3:]
        plain = self.base.terms(theta, t * (1 + late), phi + zero, derivatives=derivatives)
        k, n, m = *plain.amplitude.shape, len(plain.displacement)
        out = Terms.zeros(k, m, len(p), n, len(phi))
        grow = 1.0 + scale
        out.amplitude[:], out.weight[:] = plain.amplitude, plain.weight
        out.decay[:], out.displacement[:] = grow**2 * plain.decay, grow * plain.displacement
        if derivatives:
            out.d_amplitude[:, :-3], out.d_weight[:, :, :-3] = plain.d_amplitude, plain.d_weight
            out.d_decay[:, :-3] = grow**2 * plain.d_decay
            out.d_displacement[:, :-3] = grow * plain.d_displacement
            out.d_decay[:, -3], out.d_displacement[:, -3] = 2 * grow * plain.decay, plain.displacement
            self._by_angle(out, theta, t * (1 + late), phi + zero)
            self._by_time(out, theta, t, phi + zero, late, grow)
        return out

    def _by_angle(self, out: Terms, theta: FloatArray, t: FloatArray, phi: FloatArray) -> None:
        h = _ANGLE_STEP
        above, below = (self.base.terms(theta, t[:2], phi + s, derivatives=False).weight for s in (h, -h))
        out.d_weight[:, :, -2] = (above - below) / (2 * h)

    def _by_time(
        self, out: Terms, theta: FloatArray, t: FloatArray, phi: FloatArray, late: float, grow: float
    ) -> None:
        h = _TIME_STEP
        above, below = (self.base.terms(theta, t * (1 + late + s), phi, derivatives=False) for s in (h, -h))
        out.d_amplitude[:, -1] = (above.amplitude - below.amplitude) / (2 * h)
        out.d_decay[:, -1] = grow**2 * (above.decay - below.decay) / (2 * h)
        out.d_displacement[:, -1] = grow * (above.displacement - below.displacement) / (2 * h)


def laminar_equivalent(model: LaminarFlowModel, params: FloatArray) -> FloatArray:
    """Parameters of laminar flow at the true instrument that look the same, exactly, as a mis-set one (7,).

    With t (1 + d) an integral of t^a grows by (1 + d)^(1 + a).
    """
    theta, (scale, zero, late) = np.array(params[:-3], float), params[-3:]
    for curve, power in ((c, 2 if c.role == "transport" else 1) for c in model.curve_specs):
        i, j, k = curve.parameters
        theta[i] *= (1 + scale) ** power * (1 + late) ** (1 + theta[j])
        theta[k] *= (1 + scale) ** power * (1 + late)
    theta[list(model.directions)] -= zero
    return theta


def instrument_parameters() -> tuple[ParameterSpec, ...]:
    """The unknowns as parameters, with bounds wide enough for difference steps of 6e-6."""
    return tuple(
        ParameterSpec(name, unit, 0.0, -5e3, 5e3, "error of the instrument")
        for name, unit in zip(UNKNOWNS, ("1", "deg", "1"), strict=True)
    )


def with_instrument(model: TwoTimeModel) -> TwoTimeModel:
    """The model with the unknowns appended; laminar_flow is handled through :func:`laminar_equivalent`."""
    if isinstance(model, SeparableModel):
        return MissetSeparable(model)
    return model if isinstance(model, LaminarFlowModel) else MissetModel(model)


def extended_problem(problem: Any) -> Any:
    """The same data, the model with the unknowns of its instrument appended to its parameters."""
    return replace(problem, model=with_instrument(problem.model), table=_extended(problem.table), layouts={})


def _extended(table: ParameterTable) -> ParameterTable:
    specs = instrument_parameters()
    more = len(specs)
    return ParameterTable(
        table.mode,
        (*table.names, *(spec.name for spec in specs)),
        np.append(table.values, np.zeros(more)),
        np.append(table.lower, [spec.lower for spec in specs]),
        np.append(table.upper, [spec.upper for spec in specs]),
        np.append(table.vary, np.ones(more, bool)),
        (*table.tie, *(None,) * more),
        (*table.prior, *(None,) * more),
        (*table.units, *(spec.unit for spec in specs)),
        np.append(table.given, np.zeros(more, bool)),
    )


def _laminar_columns(
    model: LaminarFlowModel, extended: FloatArray, wanted: IntArray, acting: IntArray
) -> FloatArray:
    """Columns by the wanted parameters and by the unknowns that act, from those by the equivalent parameters."""
    p = len(extended) - 3
    slopes = np.zeros((p, p + 3))
    for i in range(p + 3):
        step = np.zeros(p + 3)
        step[i] = _EQUIVALENT_STEP * max(1.0, abs(extended[i]))
        above, below = (laminar_equivalent(model, extended + sign * step) for sign in (1, -1))
        slopes[:, i] = (above - below) / (2 * step[i])
    chosen = np.concatenate([wanted, p + acting]).astype(np.int64)
    back = np.zeros((len(chosen) + 3, p + 3))
    back[: len(chosen), :p] = slopes[:, chosen].T
    back[len(chosen) :, p:] = np.eye(3)
    return back
