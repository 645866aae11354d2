"""Fits straight from photons: the problem without a map, the choice between the two, and small maps to search on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import psutil

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.data.dataset import make_dataset
from heterodyne_nb.data.sigma import estimate_sigma
from heterodyne_nb.engine.photons import PhotonData
from heterodyne_nb.engine.problem import Problem
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning, warn
from heterodyne_nb.frames import FrameSet
from heterodyne_nb.frames.correlation import check_room, inverse_means
from heterodyne_nb.frames.multitau import lagged, lags, pair_sums
from heterodyne_nb.models import SeparableModel, TwoTimeModel
from heterodyne_nb.models.parameters import ParameterTable

#: Cost of a photon event in a pass over photons (for four parts of a model), of a pixel of a map in one over maps, and
#: of a product that makes the map, in about ns; and passes a fit makes.
_PHOTON, _PIXEL, _MADE, _PASSES = 8.0, 6.0, 0.1, 15
#: Share of the free memory that maps may take.
_ROOM = 0.4
#: Frames of the maps that starts are searched on and from which the noise is estimated, and windows of the former
#: where fast motion leaves no room for the whole run.
SEARCHED, _NOISE, _WINDOWS = 600, 240, 8
#: Most frames of the maps that optima are found on before all photons are passed through, and pixels of all of them.
_FINER, _PIXELS = 2000, 5e7
_NO_HOLES = np.zeros((0, 3), np.int64)


@dataclass(frozen=True, eq=False)
class FrameProblem(Problem):
    """A two-time problem whose data are photons; ``data`` is a :class:`~heterodyne_nb.engine.photons.PhotonData`.

    Its tiles are clusters of neighbouring pixels, which are independent, not blocks of frames.
    """

    data: Any

    def _moments(self) -> FloatArray:
        return np.asarray(self.data.moments.copy())

    def blocks(self, most: int) -> int:
        """Number of clusters of pixels of a bin."""
        return len(self.data.clusters[0]) - 1

    def places(self, blocks: int) -> tuple[IntArray, IntArray]:
        """A tile is a cluster of pixels."""
        return np.arange(blocks), np.arange(blocks)

    def every(self, stride: int) -> Problem:
        """A map of every ``stride``-th frame."""
        cell = np.full(len(self.t), -1)
        cell[stride // 2 :: stride] = np.arange(len(cell[stride // 2 :: stride]))
        return self._on_cells(cell)

    @cached_property
    def small(self) -> Problem:
        """A map of sums of frames that the fastest motion does not blur, of windows of the run where it is long."""
        return self._on_cells(on_windows(len(self.t), self._shortest_time))

    @property
    def finer(self) -> Problem | None:
        """A larger map of sums of frames, which tells nearly what all photons do; None where it would be no larger.

        Made anew each time: it is as large as the photons.
        """
        cells = min(_FINER, int(np.sqrt(_PIXELS / self.n_bins)))
        if cells < SEARCHED or len(self.t) < cells:
            return None
        cell = on_windows(len(self.t), self._shortest_time, cells)
        return self._on_cells(cell) if cell.max() > len(self.small.t) else None

    @cached_property
    def _shortest_time(self) -> float:
        """Lag in frames at which the correlation of some bin has first changed by a third of its range."""
        data, curves = self.data, []
        lag, level = lags(len(self.t))
        frames = lag * 2.0**level
        for b in range(self.n_bins):
            p = data.photons
            used, sums = (data.inverse[b] > 0).astype(float), np.zeros((1, len(lag)))
            pair_sums(
                p.frame, p.count, p.start, data.weight, p.first[b : b + 2], data.inverse[b], lag, level, sums
            )
            pairs = lagged(used, used, lag, level)
            known = pairs > 0.02 * pairs[0]
            curves.append((frames[known], sums[0, known] / pairs[known]))
        return shortest_time(curves)

    def _on_cells(self, cell: IntArray) -> Problem:
        cells = int(cell.max()) + 1
        seen = cell >= 0
        t = np.bincount(cell[seen], self.t[seen]) / np.bincount(cell[seen])
        mask = np.zeros((self.n_bins, cells))
        for b in range(self.n_bins):
            mask[b, np.unique(cell[seen & (self.mask[b] > 0)])] = 1.0
        return Problem(
            self.model, self.table, self.data.cell_map(cell), self.q, self.phi, t, mask, self.sigma, _NO_HOLES,
            self.gap,
        )  # fmt: skip


def shortest_time(curves: list[tuple[FloatArray, FloatArray]]) -> float:
    """Lag at which some correlation, given as (lags, g2), has first changed by a third of its range."""
    times = []
    for lags_of, g2 in curves:
        top = np.median(g2[:3])
        changed = np.flatnonzero(g2 < top - 0.33 * max(top - np.min(g2), 1e-12))
        times.append(lags_of[changed[0]] if len(changed) else lags_of[-1])
    return float(np.min(times))


def on_windows(n: int, fastest: float, most: int = SEARCHED) -> IntArray:
    """Cells of a small map that each frame is summed into, (N,), -1 for none: of windows where the run is long.

    ``fastest``: Frames in which the fastest motion is seen, which a cell must not blur. ``most``: Cells.
    """
    together = max(1, min(int(fastest) // 3, -(-n // most)))
    if n // together <= most:
        return _consecutive(n, together)
    size = most // _WINDOWS
    cell = np.full(n, -1)
    for k, first in enumerate(np.linspace(0, n - size * together, _WINDOWS).astype(int)):
        cell[first : first + size * together] = k * size + _consecutive(size * together, together)
    return cell


def _consecutive(n: int, together: int) -> IntArray:
    """Cells of so many frames each; what is left at the end belongs to none."""
    cell = np.arange(n) // together
    return np.where(cell < n // together, cell, -1)


def problem_from_frames(
    frames: FrameSet,
    model: Any,
    table: ParameterTable,
    *,
    gap: float | None = None,
    via: str = "auto",
    robust: bool = False,
) -> Problem:
    """The problem of a fit to detector frames, by a map or by photons.

    ``model`` (TwoTimeModel). ``gap``: Å; needed by models with a shear factor. ``via`` {"auto", "map", "frames"}:
    ``"auto"``: whichever costs less. A map is a matrix of frames by frames for each bin; photons are passed through
    one by one. ``robust``: Whether single pixels of a map are to be weighted, which needs one.

    Raises ConfigurationError: The model or the loss needs a map, and it has no room or is not allowed.
    """
    if via not in ("auto", "map", "frames"):
        raise ConfigurationError(f"via = {via!r}", where="via", expected="'auto', 'map' or 'frames'")
    if not isinstance(model, TwoTimeModel):
        raise DataFormatError(
            f"model {model.name!r} is a one-time model", hint="fit the g2 of heterodyne_nb.correlate(frames)"
        )
    frames = _with_photons(frames)
    needs = (
        "a robust loss" if robust else None if isinstance(model, SeparableModel) else f"mode {model.name!r}"
    )
    if needs and via == "frames":
        raise ConfigurationError(
            f"{needs} needs the pixels of a map", where="via", expected="'map' or 'auto'"
        )
    if via == "auto":
        via = "map" if needs else _cheaper(frames)
    if via == "map":
        check_room(frames.n_bins, frames.n_frames, "via='map'")
    data = PhotonData(frames.photons, inverse_means(frames), frames.scale, frames.partition.shape[1])
    mask = frames.usable.astype(float)
    if np.any(mask.sum(axis=1) < 3):
        raise DataFormatError(
            f"bin {int(np.argmin(mask.sum(axis=1)))} has {int(mask.sum(axis=1).min())} frames with photons",
            where=frames.source.name,
            expected="at least 3",
            hint="leave the bin out: frames.select(bins=...)",
        )
    rest: dict[str, Any] = {
        "model": model, "table": table, "q": frames.q, "phi": frames.phi, "t": frames.t, "mask": mask,
        "sigma": _noise(frames, data), "holes": _NO_HOLES, "gap": model.checked_gap(gap),
    }  # fmt: skip
    if via == "map":
        return Problem(data=data.cell_map(np.arange(frames.n_frames)), **rest)
    return FrameProblem(data=data, **rest)


def _with_photons(frames: FrameSet) -> FrameSet:
    """The frames without bins that see nothing, which are told."""
    lit = frames.usable.any(axis=1)
    if lit.all():
        return frames
    if not lit.any():
        raise DataFormatError("no bin has a photon", where=frames.source.name)
    for b in np.flatnonzero(~lit):
        warn(
            f"bin q = {frames.q[b]:.5g} 1/Å, phi = {frames.phi[b]:.4g}°: no photon; the bin is left out",
            DataWarning,
        )
    return frames.select(bins=np.flatnonzero(lit))


def _cheaper(frames: FrameSet) -> str:
    """``"map"`` or ``"frames"``, by the time of a fit and the memory of maps."""
    n, photons = float(frames.n_frames), frames.photons
    pixels = 0.5 * n * n * frames.n_bins
    if 8.0 * pixels > _ROOM * psutil.virtual_memory().available:
        return "frames"
    made = sum(
        min(float(p) * n * n, 60.0 * photons.events(b) ** 2 / p) for b, p in enumerate(photons.n_pixels)
    )
    by_map = _MADE * made + _PASSES * _PIXEL * pixels
    return "frames" if _PASSES * _PHOTON * len(photons.frame) < by_map else "map"


def _noise(frames: FrameSet, data: PhotonData) -> FloatArray:
    """Noise of one c2 pixel of each bin, from a map of single frames spread over the run."""
    n = frames.n_frames
    chosen = np.unique(np.linspace(0, n - 1, min(n, _NOISE)).round().astype(int))
    cell = np.full(n, -1)
    cell[chosen] = np.arange(len(chosen))
    maps = data.cell_map(cell)
    used = frames.used[chosen]
    maps[maps == 0.0] = np.nan
    ds = make_dataset(
        maps, q=frames.q, phi=frames.phi, dt=frames.dt, n_pixels=frames.n_pixels, mask=used, bin_form=True
    )
    sigma = np.asarray(estimate_sigma(ds).values, float)
    unknown = np.flatnonzero(~(np.isfinite(sigma) & (sigma > 0)))
    if unknown.size:
        raise DataFormatError(
            f"the noise of bins {', '.join(map(str, unknown[:6]))} cannot be estimated",
            where="sigma",
            hint="use more frames, or leave these bins out",
        )
    return sigma


def described(problem: Problem, frames: FrameSet) -> dict[str, str]:
    """By which road a problem was made from frames, and of which partition, for the record."""
    partition = {"partition": frames.partition.source} if frames.partition.source else {}
    return partition | {"road": _road(problem, frames)}


def _road(problem: Problem, frames: FrameSet) -> str:
    if not isinstance(problem, FrameProblem):
        return f"map: {problem.n_bins} bins of {len(problem.t)}² pixels from {frames.source.layout} frames"
    told = f"frames: {len(problem.data.photons.frame)} photon events, no map"
    return told + (f"; {problem.data.sampled}" if problem.data.sampled else "")
