"""A fit whose curves are splines: from the answers of the power laws, with as many pieces as the data tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.config import ParameterTable
from heterodyne_nb.config.parameters import build_table, read_requests
from heterodyne_nb.engine import Objective
from heterodyne_nb.models.splines import SplineModel, sized
from heterodyne_nb.models.symmetries import canonical
from heterodyne_nb.optimize import OptimizationStrategy
from heterodyne_nb.optimize.multistart import Found, Multistart
from heterodyne_nb.options import SearchOptions
from heterodyne_nb.uncertainty.change_points import better_pieces, finest

#: Frames on which the pieces are chosen, and answers of the power laws that are followed.
FRAMES, STARTS = 200, 3
#: Rounds of choosing pieces; each begins at the optimum of the round before.
ROUNDS = 12
#: Relative difference of χ² below which two starts have come to the same splines.
SAME = 1e-4
#: Largest J and v that coefficients may have, in 1/(q² dt) and in π/(q dt): faster ones leave no trace in the frames.
FASTEST = {"transport": 5.0, "velocity": 2.0 * np.pi}


def states_curves(model: SplineModel, table: ParameterTable) -> bool:
    """Whether start values or limits of coefficients are stated: the splines then have the pieces of the model."""
    plain = build_table(model.name, model.parameters, {}, [])
    own = [i for curve in model.curve_specs for i in curve.parameters]
    same = all(
        np.array_equal(getattr(table, n)[own], getattr(plain, n)[own]) for n in ("lower", "upper", "vary")
    )
    return not same or bool(table.given[own].any()) or any(table.tie[i] or table.prior[i] for i in own)


def carried(model: Any, table: ParameterTable, values: dict[str, float]) -> ParameterTable:
    """The table of another model: what ``table`` says of the parameters they share, contrast and offset, and values."""
    shared = {name: entry for name, entry in table.to_dict().items() if name in model.parameter_names}
    for name in shared:
        if not table.given[table.index(name)] and shared[name].get("vary", True):
            shared[name].pop("value", None)
    asked = shared | {name: {**shared.get(name, {}), "value": value} for name, value in values.items()}
    problems: list[Any] = []
    made = build_table(
        model.name, model.parameters, read_requests(asked, model.parameter_names, problems), problems
    )
    return replace(made, contrast=table.contrast, offset=table.offset)


def with_ends(table: ParameterTable, first: float, last: float) -> ParameterTable:
    """The table with the first and last time of the run for those of the splines, where they are not stated."""
    values = table.values.copy()
    values[-2:] = np.where(table.given[-2:], values[-2:], [first, last])
    return replace(table, values=values)


class FreeForm:
    """Splines fitted from curves that are nearly right.

    ``objective``: Of the base model, with the data. ``table``: Of the model, as asked for. ``strategy``, ``options``:
    Of the fit.
    """

    def __init__(
        self,
        objective: Objective,
        model: SplineModel,
        table: ParameterTable,
        strategy: OptimizationStrategy,
        options: Any,
    ) -> None:
        self.objective, self.model, self.table = objective, model, table
        self.strategy, self.options = strategy, options
        self.path: list[dict[str, Any]] = []
        self.firsts: list[float] = []

    def run(self, starts: Sequence[FloatArray]) -> tuple[Objective, OptimizeResult, list[Found]]:
        """The objective of the splines, the best run on all data, and the other optima met, from answers of the base."""
        problem, chooses = self.objective.problem, not sized(self.model)
        small = getattr(problem, "small", None) or problem.every(max(1, round(len(problem.t) / FRAMES)))
        if self.options.stop.reason:
            starts = starts[:1]
        grown = [self._grown(small, start, chooses) for start in starts[:STARTS]]
        made = sorted((one for one in grown if one is not None), key=lambda one: float(one[1].fun))
        named = [one.model().labelled(found.x) for one, found in made] if chooses else []
        named = named or [(one.model(), found.x) for one, found in made]
        objective = self._with(problem, named[0][0].pieces)
        points = [model.refinement(objective.model()) @ x for model, x in named]  # in the pieces of the best
        search = self._search(objective, points)
        best = search.run()
        self.path += search.path
        return objective, best, search.solutions[1:]

    def seen(self, exact: Objective, theta: FloatArray, like: Objective) -> dict[str, FloatArray]:
        """Curves of the splines fitted to data without noise, at the frames of the base.

        ``exact``: Of the base model, its data being the model at ``theta`` (p,). ``like``: Splines with the pieces to take.
        """
        pieces, t = like.model().pieces, self.objective.problem.t
        objective = self._with(exact.problem, pieces)
        directions = dict(zip(self.objective.parameter_names, theta.tolist(), strict=True))
        start = objective.model().projected(self.model.base.curves(theta, t), t, directions)
        best = self._search(objective, [start]).run()
        point = canonical(objective.model(), best.x, t, objective.problem.table)
        return {name: np.asarray(curve) for name, curve in objective.model().curves(point, t).items()}

    def _grown(
        self, problem: Any, start: FloatArray, chooses: bool
    ) -> tuple[Objective, OptimizeResult] | None:
        """Splines with as many pieces as the data tell, near a point of the base model; None where one began before."""
        t, directions = problem.t, dict(zip(self.objective.parameter_names, start.tolist(), strict=True))
        curves = self.model.base.curves(start, t)
        pieces = dict.fromkeys(self.model.pieces, 1) if chooses else self.model.pieces
        point = self._with(problem, pieces).model().projected(curves, t, directions)
        most = self._with(problem, dict.fromkeys(pieces, finest(len(t))))
        seen: list[dict[str, int]] = []
        while True:
            objective = self._with(problem, pieces)
            found = self._search(objective, [point]).run()
            if not seen and any(abs(found.fun / first - 1.0) < SAME for first in self.firsts):
                return None
            if not seen:
                self.firsts.append(float(found.fun))
            if np.isfinite(found.fun):  # else it was stopped before
                stage = f"splines of {list(pieces.values())} pieces"
                self.path.append({"stage": stage, "chi2": float(found.fun)})
            if not chooses or len(seen) == ROUNDS or self.options.stop.reason:
                return objective, found
            seen.append(pieces)
            chosen = better_pieces(most, objective.model().refinement(most.model()) @ found.x, pieces)
            if chosen in seen:
                return objective, found
            point = objective.model().refinement(self._with(problem, chosen).model()) @ found.x
            pieces = chosen

    def _search(self, objective: Objective, points: list[FloatArray]) -> Multistart:
        inside = [objective.from_internal(objective.to_internal(x)) for x in points]
        return Multistart(
            objective, self.strategy, SearchOptions(samples=0, hops=0), inside,
            on_progress=self.options.on_progress, stop=self.options.stop,
        )  # fmt: skip

    def _with(self, problem: Any, pieces: dict[str, int]) -> Objective:
        """The objective of splines on a problem."""
        model = self.model.with_pieces(pieces)
        first, last = self.objective.problem.ends
        table = carried(model, self.table, {"t_first": first, "t_last": last})
        if not states_curves(self.model, self.table):
            table = self._limited(model, table)
        own = replace(problem, model=model, table=table, layouts={})
        return Objective(own, contrast=self.objective.contrast)

    def _limited(self, model: SplineModel, table: ParameterTable) -> ParameterTable:
        """Coefficients no larger than what the frames can show."""
        problem, upper, lower = self.objective.problem, table.upper.copy(), table.lower.copy()
        q, step = float(problem.q.min()), float(np.median(np.diff(problem.t)))
        most = {
            "transport": FASTEST["transport"] / (q**2 * step),
            "velocity": FASTEST["velocity"] / (q * step),
        }
        for curve in model.of_role(*most):
            own = list(curve.parameters)
            upper[own] = np.minimum(upper[own], most[curve.role])
            lower[own] = np.maximum(lower[own], -most[curve.role])
        return replace(table, lower=lower, upper=upper, values=np.clip(table.values, lower, upper))
