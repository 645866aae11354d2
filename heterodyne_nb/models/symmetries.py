"""What data can never tell (THEORY: exact symmetries), and which of the equivalent parameter vectors is reported.

A model lists its symmetries. One that is broken by labelling has a rule: v >= 0 at mid-time, phi0 in (-90°, 90°], the
component with the larger J at mid-time is the sample (halfway between the first and the last frame: there the data
tell the two apart best). A rule is applied only where no bound, fixed value, tie or prior speaks against it. Others
are broken by limits of curves, or by a parameter that is not fitted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.models.curves import FLOWS, Curve

#: Angles closer than this (degrees) measure the same component of a velocity.
_SAME_ANGLE = 0.5
#: Directions of flow closer than this (degrees) are the same.
SAME_DIRECTION = 2.0


@dataclass(frozen=True)
class Symmetry(ABC):
    """A change of the parameters that leaves M as it is."""

    #: What decides between equivalent vectors: ``"labelling"`` (see :meth:`reported`), ``"limits"`` of a curve,
    #: ``"not fitted"`` (a parameter stays where it is), or ``""`` for nothing.
    broken_by: ClassVar[Literal["labelling", "limits", "not fitted", ""]] = "labelling"

    @abstractmethod
    def image(self, model: Any, theta: FloatArray) -> FloatArray:
        """An equivalent vector (p,)."""

    def reported(self, model: Any, theta: FloatArray, middle: float) -> FloatArray | None:
        """The vector that is reported, by the curves at the time ``middle`` (s); None where it is ``theta``."""
        return None


@dataclass(frozen=True)
class Swap(Symmetry):
    """Two components exchanged: the curves of each pair with their directions, and a fraction x with 1 - x.

    With ``larger``, the component of that curve is the one with the larger curve at mid-time.
    """

    pairs: tuple[tuple[str, str], ...]
    complement: str | None = None
    larger: str | None = None

    def image(self, model: Any, theta: FloatArray) -> FloatArray:
        out = theta.copy()
        for one, other in self.curves(model):
            ends = [c.direction for c in (one, other) if c.direction is not None]
            here, there = [*one.parameters, *ends[:1]], [*other.parameters, *ends[1:]]
            out[here], out[there] = theta[there], theta[here]
        if self.complement is not None:
            model.curve(self.complement).complement(out)
        return out

    def reported(self, model: Any, theta: FloatArray, middle: float) -> FloatArray | None:
        for one, other in self.curves(model):
            if self.larger == other.name and other.at(theta, middle) < one.at(theta, middle):
                return self.image(model, theta)
        return None

    def curves(self, model: Any) -> list[tuple[Curve, Curve]]:
        """The pairs as curves of the model."""
        return [(model.curve(one), model.curve(other)) for one, other in self.pairs]


@dataclass(frozen=True)
class HalfTurn(Symmetry):
    """A direction turned by 180°; of several components each must then change the sign of its velocity."""

    def image(self, model: Any, theta: FloatArray) -> FloatArray:
        out = theta.copy()
        out[model.directions[-1]] += 180.0
        return self._reversed(model, theta, out)

    def reported(self, model: Any, theta: FloatArray, middle: float) -> FloatArray | None:
        out, places = theta.copy(), list(model.directions)
        out[places] = 90.0 - (90.0 - theta[places]) % 180.0
        return self._reversed(model, theta, out)

    @staticmethod
    def _reversed(model: Any, theta: FloatArray, out: FloatArray) -> FloatArray:
        if len(model.directions) > 1:
            for curve in model.of_role(*FLOWS):
                at = curve.direction
                if at is not None and round((theta[at] - out[at]) / 180.0) % 2:
                    curve.reverse(out)
        return out


@dataclass(frozen=True)
class Reversal(Symmetry):
    """All flows change their sign together: reported so that the first one is positive."""

    def image(self, model: Any, theta: FloatArray) -> FloatArray:
        out = theta.copy()
        for curve in model.of_role(*FLOWS):
            curve.reverse(out)
        return out

    def reported(self, model: Any, theta: FloatArray, middle: float) -> FloatArray | None:
        flow = model.of_role(*FLOWS)[0]
        first = flow.at(theta, middle) if flow.form else model.curves(theta, middle)[flow.name]
        return None if first >= 0 else self.image(model, theta)


@dataclass(frozen=True)
class Shift(Symmetry):
    """Amplitude and shift of an exponential, which enter through f0 exp(-f1 f2) alone."""

    curve: str
    broken_by = "not fitted"

    def image(self, model: Any, theta: FloatArray) -> FloatArray:
        out, (f0, f1, _, f2) = theta.copy(), model.curve(self.curve).parameters
        out[f2] += 1.0
        out[f0] *= np.exp(theta[f1])
        return out


@dataclass(frozen=True)
class RatioSign(Symmetry):
    """The sign of x / (1 - x): of the two fractions only one lies in [0, 1]. Exact parameters of a constant one."""

    curve: str
    broken_by = "limits"

    def image(self, model: Any, theta: FloatArray) -> FloatArray:
        out, curve = theta.copy(), model.curve(self.curve)
        x = curve.at(theta, 1.0)
        out[curve.parameters[0]], out[curve.parameters[2]] = 0.0, x / (2.0 * x - 1.0)
        return out


def canonical(model: Any, theta: Iterable[float], t: FloatArray, table: Any) -> FloatArray:
    """The reported form of a published vector.

    ``model`` (Model). ``theta`` (p,). ``t`` (N,): Frame times in s. ``table`` (ParameterTable): Bounds and roles,
    which an equivalent vector must respect.
    """
    out: FloatArray = np.array(theta, float)
    middle = 0.5 * float(t[0] + t[-1])
    for symmetry in model.symmetries:
        candidate = symmetry.reported(model, out, middle)
        if candidate is not None and _allowed(candidate, out, table):
            out = candidate
    return out


def other_label(model: Any, theta: FloatArray, bands: Any, t: FloatArray, table: Any) -> FloatArray | None:
    """The vector with two components exchanged where the data leave open which is which, else None.

    The label goes by the larger curve at mid-time: open where the band of either holds the other.
    """
    k, curves = len(t) // 2, model.curves(theta, t)
    for swap in model.symmetries:
        if not isinstance(swap, Swap) or swap.larger is None:
            continue
        for one, other in swap.pairs:
            near = bands[one][1][k] >= curves[other][k] or bands[other][0][k] <= curves[one][k]
            if near and _allowed(image := swap.image(model, theta), theta, table):
                return image
    return None


def unseen_directions(model: Any, phi: FloatArray, table: Any) -> list[int]:
    """Places of directions of flow that the data cannot tell: fitted freely, while all bins look along one line."""
    if len(distinct_angles(phi)) > 1:
        return []
    return [i for i in model.directions if table.vary[i]]


def along_the_angle(model: Any, theta: FloatArray, phi: FloatArray, table: Any) -> FloatArray:
    """The vector whose flows go along the only line that all bins look along: only their component there counts.

    One that bounds, fixed values, ties or priors do not allow stays as it is.
    """
    for at in unseen_directions(model, phi, table):
        out = theta.copy()
        out[at] = 90.0 - (90.0 - phi[0]) % 180.0
        share = np.cos(np.radians(theta[at] - out[at]))
        for curve in model.of_role(*FLOWS):
            if curve.direction == at:
                curve.scale(out, share)
        if _allowed(out, theta, table):
            theta = out
    return theta


def near_twin(model: Any, theta: Iterable[float], t: FloatArray, table: Any) -> FloatArray | None:
    """Two components swapped as far as fixed values allow: where they do not, another optimum may hide there.

    ``model``, ``theta``, ``t``, ``table``: As for :func:`canonical`. Returns (p,): Inside the bounds, fixed values
    kept. None where the swap is exact, or the model has none that labels decide.
    """
    here: FloatArray = np.array(theta, float)
    middle = 0.5 * float(t[0] + t[-1])
    for swap in model.symmetries:
        if not isinstance(swap, Swap) or swap.larger is None:
            continue
        swapped = swap.image(model, here)
        if _allowed(swapped, here, table):
            continue
        out: FloatArray = np.where(table.vary, swapped, here)
        for curve in (c for pair in swap.curves(model) for c in pair if c.form == "power_law"):
            i, j, k = curve.parameters  # at mid-time it is that of the other component whatever else is fixed
            if table.vary[i]:
                out[i] = (curve.at(swapped, middle) - out[k]) * middle ** -out[j]
        return np.asarray(np.clip(out, table.lower, table.upper))
    return None


def _allowed(candidate: FloatArray, theta: FloatArray, table: Any) -> bool:
    changed = ~np.isclose(candidate, theta, rtol=1e-12, atol=0.0)
    tied = np.array([name is not None for name in table.tie])
    targets = np.array([name in table.tie for name in table.names])
    expected = np.array([prior is not None for prior in table.prior])
    free = table.vary & ~tied & ~targets & ~expected
    inside = (candidate >= table.lower) & (candidate <= table.upper)
    return bool(np.all(free[changed]) and np.all(inside))


def distinct_angles(phi: FloatArray) -> FloatArray:
    """Azimuths (degrees) that measure different components of a velocity: modulo half a turn."""
    folded = np.sort(np.mod(phi, 180.0))
    kept = [folded[0]]
    for angle in folded[1:]:
        if angle - kept[-1] > _SAME_ANGLE and kept[0] + 180.0 - angle > _SAME_ANGLE:
            kept.append(angle)
    return np.array(kept)
