"""A fit whose maps are held by workers: each reads its own bins, and only parameters and small matrices travel.

The sums over pixels of a bin do not depend on which other bins are taken with it (:mod:`data_products`), so the numbers
are those of a fit in one process, bit for bit. A worker that has lost its bins (it is new: the one before was killed)
says so and is sent the dataset again, which names the file that it reads them from; data in memory travel themselves.
"""

from __future__ import annotations

import pickle
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine.executors import Team, answers
from heterodyne_nb.engine.problem import Problem
from heterodyne_nb.errors import HeterodyneError, OptimizationError
from heterodyne_nb.models.parameters import ParameterTable

#: Parts of fits that a worker holds at most: of one fit that has ended the next one makes it let go.
_MOST_FITS = 2
#: Where the layouts of a part keep the model that they are of.
_MODEL = (-1,)
_held: OrderedDict[str, dict[int, Problem]] = OrderedDict()
_lock = threading.RLock()


@dataclass(frozen=True, eq=False)
class Part:
    """What a worker needs to read its bins."""

    dataset: xr.Dataset
    model: Any
    table: ParameterTable
    gap: float | None


class Spread:
    """The maps of a problem, held by workers in parts; stands in for the array of them.

    Attributes: ``key``: Name of the fit, by which workers know their parts. ``bins``: Bins of the problem that each
    part holds.
    """

    def __init__(self, team: Team, parts: list[Part]) -> None:
        self.team, self.parts, self.key = team, parts, secrets.token_hex(8)
        self.bins: list[slice] = []

    def of_bins(self, model: Any, function: Callable[..., Any], *args: Any, by_bin: Any = None) -> Any:
        """``function(problem, *args)`` of the bins of every part, joined along the first axis.

        The model may be another than the one that the parts were read with. ``by_bin`` is a further argument that has ``subset(bins)``, each part getting its own.
        """
        jobs: dict[Any, Callable[..., Any]] = {}
        as_bytes = pickle.dumps(model)
        for k, some in enumerate(self.bins):
            own = () if by_bin is None else (by_bin.subset(some),)
            if some.stop > some.start:
                jobs[k] = partial(_of_part, self.key, k, None, as_bytes, function, *args, *own)
        found = self._done(jobs)
        missing = [k for k, answer in found.items() if answer is None]
        again: dict[Any, Callable[..., Any]] = {
            k: partial(_of_part, self.key, k, self.parts[k], *jobs[k].args[3:])  # type: ignore[attr-defined]
            for k in missing
        }
        found |= self._done(again)
        every = [found[k] for k in sorted(found)]
        if isinstance(every[0], tuple):
            return tuple(np.concatenate(each) for each in zip(*every, strict=True))
        return np.concatenate(every)

    def read(self) -> list[Any]:
        """Have every worker read its part, and tell what it found."""
        found = self._done({k: partial(_read, self.key, k, part) for k, part in enumerate(self.parts)})
        return [found[k] for k in range(len(self.parts))]

    def _done(self, jobs: dict[Any, Callable[..., Any]]) -> dict[int, Any]:
        found = dict(answers(self.team, jobs, sticky=True))
        for answer in found.values():
            if isinstance(answer, HeterodyneError):
                raise answer
        return found

    def close(self) -> None:
        """Have the workers let go of their parts."""
        self.team.everywhere(_forget, self.key)


@dataclass(frozen=True, eq=False)
class SpreadProblem(Problem):
    """A two-time problem whose ``data`` is a :class:`Spread`."""

    data: Any
    sums: FloatArray = field(default_factory=lambda: np.zeros((0, 3)))

    def _moments(self) -> FloatArray:
        return self.sums.copy()

    def every(self, stride: int) -> Problem:
        """See :meth:`Problem.every`; the few frames come to this process."""
        return self.thinned(stride, self.data.of_bins(self.model, _every, stride))

    def subset(self, keep: NDArray[np.bool_]) -> SpreadProblem:
        """All bins only: parts of a fit need the maps in this process."""
        if np.all(keep):
            return self
        raise OptimizationError(
            "the maps are held by workers, and some of their bins cannot be taken out",
            hint="make the objective anew from the dataset",
        )


def spread_problem(
    team: Team, stacked: xr.Dataset, model: Any, table: ParameterTable, gap: float | None
) -> SpreadProblem:
    """The problem of a stacked dataset whose bins the workers of a team read and hold."""
    from heterodyne_nb.engine.from_dataset import coordinate, dropped, noise_of

    groups = np.array_split(np.arange(stacked.sizes["bin"]), min(team.slots, stacked.sizes["bin"]))
    needed = [name for name in ("c2", "mask", "sigma", "usable", "n_pixels") if name in stacked]
    parts = [Part(stacked[needed].isel(bin=group), model, table, gap) for group in groups]
    data = Spread(team, parts)
    told = data.read()
    kept = np.concatenate([group[one["kept"]] for group, one in zip(groups, told, strict=True)])
    dropped(len(kept), [text for one in told for text in one["told"]], stacked.sizes["bin"])
    counts = np.cumsum([0, *(len(one["kept"]) for one in told)])
    data.bins = [slice(int(i), int(j)) for i, j in pairwise(counts)]
    holes = [one["holes"] + [first, 0, 0] for one, first in zip(told, counts, strict=False)]
    noise: dict[tuple[int, ...], Any] = {
        (int(first) + place[0],): part
        for one, first in zip(told, counts, strict=False)
        for place, part in one["noise"].items()
    }
    stacked = stacked.isel(bin=kept)
    problem = SpreadProblem(
        model, table, data, coordinate(stacked, "q"), coordinate(stacked, "phi"),
        np.asarray(stacked["t"].values, float), np.concatenate([one["mask"] for one in told]),
        noise_of(stacked, noise), np.concatenate(holes), gap,
        sums=np.concatenate([one["moments"] for one in told]),
    )  # fmt: skip
    return problem


def _read(key: str, number: int, part: Part) -> dict[str, Any]:
    """Read a part where it is held, and tell what its bins are like."""
    from heterodyne_nb.engine.from_dataset import coordinate, read_bins

    with _lock:
        bins = read_bins(part.dataset, np.inf)
        some = part.dataset.isel(bin=bins.kept)
        found = {name: getattr(bins, name) for name in ("kept", "told", "mask", "holes", "noise")}
        if not len(bins.kept):
            return found | {"moments": np.zeros((0, 3))}
        problem = Problem(
            part.model, part.table, bins.data, coordinate(some, "q"), coordinate(some, "phi"),
            np.asarray(some["t"].values, float), bins.mask, np.ones(len(bins.kept)), bins.holes, part.gap,
        )  # fmt: skip
        _held.setdefault(key, {})[number] = problem
        _held.move_to_end(key)
        while len(_held) > _MOST_FITS:
            _held.popitem(last=False)
    return found | {"moments": problem._moments()}


def _of_part(
    key: str, number: int, part: Part | None, model: bytes, function: Callable[..., Any], *args: Any
) -> Any:
    """The function of a part, or None where its bins are not held here and cannot be read."""
    problem = _held.get(key, {}).get(number)
    if problem is None:
        if part is None:
            return None
        _read(key, number, part)
        problem = _held[key][number]
    if problem.layouts.get(_MODEL) != model:
        problem.layouts.clear()
        problem.layouts[_MODEL] = model
        object.__setattr__(
            problem, "model", pickle.loads(model)
        )  # frozen, as everywhere else nothing changes it
    return function(problem, *args)


def _every(problem: Problem, stride: int) -> NDArray[np.float32]:
    return problem.every(stride).data


def _forget(key: str) -> None:
    with _lock:
        _held.pop(key, None)
