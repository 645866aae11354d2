"""Other basins: where a search that ended in one should look next.

χ² of a heterodyne fit has several minima that no step downhill connects: curves bent the other way, components whose
J or fraction are exchanged, another direction and velocity with nearly the same fringe frequencies at the angles
measured, the same fringes counted from beyond Nyquist. Each is a hop from the best point known; random kicks add what
this list lacks.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine import Objective
from heterodyne_nb.models.curves import FLOWS, Curve
from heterodyne_nb.models.symmetries import distinct_angles
from heterodyne_nb.optimize.guess import FEW_FRAMES, searched_curves

#: Levels of velocity and directions of the grid that is scanned around a point.
_SPEEDS, _DIRECTIONS = 16, 12
#: Radians of phase over the whole run up to which velocities are scanned; faster ones show in the fringes.
_MOST_PHASE = 40.0
#: Share of the way to a bound that a kick may go.
_SHORT = 0.95
#: Fractions tried in place of the one found, and ratios of the J of two components.
_LEVELS, _RATIOS = (0.1, 0.25, 0.4, 0.6, 0.75, 0.9), (1.3, 3.0, 10.0, 40.0)
#: Rate times the length of the run above which a fraction changes in a part of it only: a slow change is tried.
_AT_ONCE = 4.0
#: Exponents of a velocity that are tried, where they differ by more than this from the one found.
_EXPONENTS, _APART = (-1.0, 0.4, 1.5), 0.5


class Hops:
    """Points in other basins than that of a given one.

    ``objective``: Whose coordinates make each point feasible, and whose χ² ranks the points of a grid.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective, self.problem = objective, objective.problem
        self.curves = searched_curves(objective.problem.model)
        t = self.problem.t
        self.middle, self.span, self.step = 0.5 * (t[0] + t[-1]), t[-1] - t[0], float(np.median(np.diff(t)))

    def structural(self, theta: FloatArray) -> list[FloatArray]:
        """Bends turned over, J and fractions exchanged or at other levels."""
        points = [*self._bends(theta), *self._exchanges(theta), *self._levels(theta), *self._ratios(theta)]
        return self._physical([self._feasible(point) for point in points])

    def bends(self, theta: FloatArray) -> list[FloatArray]:
        """Curves bent another way, what they are at mid-time or at their ends kept."""
        return self._physical([self._feasible(point) for point in self._bends(theta)])

    def flows(self, theta: FloatArray, most: int = 4) -> list[FloatArray]:
        """Other velocities and directions: mirrors at the angles measured, aliases, and the best of a grid."""
        points: list[FloatArray] = []
        for power, direction in self._moving():
            points += self._mirrors(theta, power, direction) + self._aliases(theta, power, direction)
            points += self._scanned(theta, power, direction, most)
        return self._physical([self._feasible(point) for point in points])

    def kicks(self, theta: FloatArray, rng: np.random.Generator, count: int) -> list[FloatArray]:
        """The point with one or two coordinates moved by their typical size, at random, but not onto a bound."""
        z, points = self.objective.to_internal(theta), []
        lower, upper = (z + _SHORT * (bound - z) for bound in self.objective.internal_bounds(theta))
        for _ in range(count):
            moved, chosen = z.copy(), rng.permutation(len(z))[: rng.integers(1, 3)]
            moved[chosen] += rng.choice([-1.0, 1.0], len(chosen)) * rng.uniform(0.7, 2.5, len(chosen))
            points.append(self.objective.from_internal(np.clip(moved, lower, upper)))
        return self._physical(points)

    # -- components and fractions ----------------------------------------------------------------

    def _bends(self, theta: FloatArray) -> list[FloatArray]:
        """A fraction that changes late instead of early (its ends kept), a J that rises instead of falling."""
        coordinates, points = self.objective.coordinates, []
        raw = coordinates.to_internal(theta) * coordinates.scale
        for part, own in coordinates.placed():
            for place in own.turned:
                turned = raw.copy()
                turned[part.start + place] *= -1.0
                points.append(coordinates.from_internal(turned / coordinates.scale))
            if own.curve.role == "fraction" and abs(raw[part.start + 2]) * self.span > _AT_ONCE:
                for rate in (-1.0 / self.span, 1.0 / self.span):
                    slow = raw.copy()
                    slow[part.start + 2] = rate
                    points.append(coordinates.from_internal(slow / coordinates.scale))
        for curve, _ in self._moving():
            points += self._curved(theta, curve)
        return points

    def _curved(self, theta: FloatArray, curve: Curve) -> list[FloatArray]:
        """The same velocity and slope at mid-time, by a power law that is curved otherwise."""
        i, j, k = curve.indices
        value, points = curve.at(theta, self.middle), []
        slope = theta[i] * theta[j] * self.middle ** theta[j]  # of ln t
        for exponent in _EXPONENTS:
            if abs(exponent - theta[j]) > _APART and slope != 0.0:
                point, amplitude = theta.copy(), slope / exponent
                point[[i, j, k]] = amplitude * self.middle**-exponent, exponent, value - amplitude
                points.append(point)
        return points

    def _exchanges(self, theta: FloatArray) -> list[FloatArray]:
        """Every two components with their J exchanged, and a fraction for the rest."""
        points = []
        for one, other in combinations(self._of_role("transport"), 2):
            swapped = theta.copy()
            swapped[list(one.indices)], swapped[list(other.indices)] = (
                theta[list(other.indices)],
                theta[list(one.indices)],
            )
            points.append(swapped)
        fractions = self._of_role("fraction")
        if len(fractions) == 1:
            points.append(self._with_fraction(theta, lambda x: 1.0 - x))
        return points

    def _levels(self, theta: FloatArray) -> list[FloatArray]:
        if len(self._of_role("fraction")) != 1:
            return []
        return [self._with_fraction(theta, lambda x, at=level: at + 0.0 * x) for level in _LEVELS]

    def _with_fraction(self, theta: FloatArray, change: object) -> FloatArray:
        """The point with the ends of its only fraction changed."""
        coordinates = self.objective.coordinates
        raw = coordinates.to_internal(theta) * coordinates.scale
        for part, own in coordinates.placed():
            if own.curve.role == "fraction":
                raw[part.start : part.start + 2] = change(raw[part.start : part.start + 2])  # type: ignore[operator]
        return coordinates.from_internal(raw / coordinates.scale)

    def _ratios(self, theta: FloatArray) -> list[FloatArray]:
        """Two components with their geometric mean of J at mid-time, but another ratio."""
        transports = self._of_role("transport")
        if len(transports) != 2:
            return []
        values = [curve.at(theta, self.middle) for curve in transports]
        if min(values) <= 0:
            return []
        mean, points = float(np.sqrt(values[0] * values[1])), []
        for ratio in _RATIOS:
            for power in (-0.5, 0.5):
                point = theta.copy()
                for curve, value, side in zip(transports, values, (-power, power), strict=True):
                    i, _, k = curve.indices
                    point[[i, k]] *= mean * ratio**side / value
                points.append(point)
        return points

    # -- velocity and direction ------------------------------------------------------------------

    def _moving(self) -> list[tuple[Curve, int]]:
        """Each velocity that the fit moves with the place of its direction."""
        free = self.objective.free
        pairs = [(c, c.direction) for c in self._of_role(*FLOWS) if c.direction is not None]
        return [(c, d) for c, d in pairs if any(free[i] for i in (*c.indices, d))]

    def _mirrors(self, theta: FloatArray, curve: Curve, direction: int) -> list[FloatArray]:
        """Velocities with the same fringe frequencies at two of the angles measured, and at the others nearly."""
        classes = distinct_angles(self.problem.phi)
        ways = np.stack([np.cos(np.radians(classes)), np.sin(np.radians(classes))], axis=1)
        phi0 = np.radians(theta[direction])
        here = ways @ [np.cos(phi0), np.sin(phi0)]
        found: list[tuple[float, float, float]] = []
        for i, j in combinations(range(len(classes)), 2):
            there = np.linalg.solve(ways[[i, j]], [here[i], -here[j]])
            size = float(np.hypot(*there))
            turned = float(np.degrees(np.arctan2(there[1], there[0])))
            miss = float(np.sum((np.abs(ways @ there) - np.abs(here)) ** 2))
            known = (abs((turned - other + 90.0) % 180.0 - 90.0) < 3.0 for _, other, _ in found)
            if 1e-3 < size < 1e3 and not any(known):
                found.append((miss, turned, size))
        return [
            self._with_flow(theta, curve, direction, factor=size, phi0=turned)
            for _, turned, size in sorted(found)[:3]
        ]

    def _aliases(self, theta: FloatArray, curve: Curve, direction: int) -> list[FloatArray]:
        """The same fringes, counted from the other side of Nyquist."""
        reach = float(
            np.max(self.problem.q * np.abs(np.cos(np.radians(theta[direction] - self.problem.phi))))
        )
        speed = abs(curve.at(theta, self.middle))
        if curve.role != "velocity" or reach * speed * self.step <= FEW_FRAMES * np.pi:
            return []
        other = 2.0 * np.pi / (reach * self.step) - speed
        return [self._with_flow(theta, curve, direction, level=other)] if other > 0 else []

    def _scanned(self, theta: FloatArray, curve: Curve, direction: int, most: int) -> list[FloatArray]:
        """The lowest points of a grid of velocities and directions, everything else kept."""
        q = float(self.problem.q.max())
        unit = 2.0 / self.problem.gap if curve.role == "shear_rate" else 1.0
        least, largest = 0.5 / (q * self.span), np.pi / (q * self.step)
        speeds = unit * np.geomspace(least, min(largest, _MOST_PHASE * 2 * least), _SPEEDS)
        one_angle = len(distinct_angles(self.problem.phi)) == 1
        angles = theta[[direction]] if one_angle else np.arange(_DIRECTIONS) * 180.0 / _DIRECTIONS - 90.0
        grid = [
            [self._feasible(self._with_flow(theta, curve, direction, level=s, phi0=a)) for s in speeds]
            for a in angles
        ]
        heights = np.array([[self.objective(point) for point in row] for row in grid])
        walled = np.pad(heights, ((0, 0), (1, 1)), constant_values=np.inf)
        lowest = (walled[:, 1:-1] <= walled[:, :-2]) & (walled[:, 1:-1] <= walled[:, 2:])
        lowest &= (heights <= np.roll(heights, 1, axis=0)) & (heights <= np.roll(heights, -1, axis=0))
        places = sorted(
            zip(*np.nonzero(lowest & np.isfinite(heights)), strict=True), key=lambda at: heights[at]
        )
        return [grid[a][s] for a, s in places[:most]]

    def _with_flow(
        self,
        theta: FloatArray,
        curve: Curve,
        direction: int,
        *,
        factor: float = 1.0,
        level: float | None = None,
        phi0: float | None = None,
    ) -> FloatArray:
        """The point with its velocity scaled, or brought to a level at mid-time, and another direction."""
        point, (i, j, k) = theta.copy(), curve.indices
        value = curve.at(theta, self.middle)
        if level is None:
            point[[i, k]] *= factor
        elif abs(value) > 1e-3 * level:
            point[[i, k]] *= level / abs(value)
        else:
            point[i], point[j], point[k] = level, 0.0, 0.0
        if phi0 is not None:
            point[direction] = phi0
        return point

    # -- common ----------------------------------------------------------------------------------

    def _of_role(self, *roles: str) -> list[Curve]:
        return [curve for curve in self.curves if curve.role in roles]

    def _physical(self, points: list[FloatArray]) -> list[FloatArray]:
        """Those with fractions in [0, 1] and no negative J: ties and fixed values can keep a point from that."""
        return [point for point in points if self.objective.physical(point)]

    def _feasible(self, point: FloatArray) -> FloatArray:
        """Inside all bounds, what is not fitted at its own value."""
        table = self.problem.table
        point = np.clip(np.where(table.vary, point, table.values), table.lower, table.upper)
        return self.objective.from_internal(self.objective.to_internal(point))
