"""Which (q, φ) bin a figure is about, and that bin's numbers alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import xarray as xr

from heterodyne_nb.data.door import checked, one_run
from heterodyne_nb.data.prepare import select
from heterodyne_nb.errors import ConfigurationError

Figure = TypeVar("Figure", bound=Callable[..., Any])
Choice = float | Sequence[float] | tuple[float, float] | None

_LISTED = 12


@dataclass(frozen=True)
class Bin:
    """One (q, φ) bin of a Dataset."""

    number: int  #: Place of the bin, from 0; q varies slowest where q and φ are axes.
    place: dict[str, int]  #: ``isel`` indexers of the bin in its Dataset.
    q: float  #: 1/Å.
    phi: float  #: Degrees.

    @property
    def label(self) -> str:
        """q and φ in words."""
        return f"{self.q_label}, {self.phi_label}"

    @property
    def q_label(self) -> str:
        """Wave vector in words."""
        return f"q = {self.q:.4g} Å⁻¹"

    @property
    def phi_label(self) -> str:
        """Angle in words."""
        return f"φ = {self.phi:.4g}°".replace("-", "−")


def of_one_run(figure: Figure) -> Figure:
    """Let a figure take what xarray makes of a dataset: it is mended to the data model, or refused, first."""

    @functools.wraps(figure)
    def drawn(dataset: Any, *args: Any, **settings: Any) -> Any:
        return figure(checked(one_run(dataset, "a figure")), *args, **settings)

    return cast(Figure, drawn)


def all_bins(dataset: xr.Dataset) -> list[Bin]:
    """Every bin of `dataset`, whether q and φ are axes or coordinates along ``bin``.

    Raises ConfigurationError: If `dataset` has neither.
    """
    dataset = one_run(dataset, "a figure")
    if "bin" in dataset.dims:
        pairs = zip(np.atleast_1d(dataset["q"].values), np.atleast_1d(dataset["phi"].values), strict=True)
        return [Bin(k, {"bin": k}, float(q), float(phi)) for k, (q, phi) in enumerate(pairs)]
    if "q" not in dataset.coords or "phi" not in dataset.coords:
        raise ConfigurationError(
            "this dataset has no (q, phi) bins", where="dataset", expected="dimensions (q, phi) or bin"
        )
    q_values, phi_values = np.atleast_1d(dataset["q"].values), np.atleast_1d(dataset["phi"].values)
    dims = set(dataset.dims)
    bins: list[Bin] = []
    for i, q in enumerate(q_values):
        for j, phi in enumerate(phi_values):
            place = {name: k for name, k in (("q", i), ("phi", j)) if name in dims}
            bins.append(Bin(len(bins), place, float(q), float(phi)))
    return bins


def find_bins(
    dataset: xr.Dataset, *, q: Choice = None, phi: Choice = None, bin: int | None = None
) -> list[Bin]:
    """Bins of `dataset` that fit what is asked for; all of them when nothing is.

    ``dataset``: With q and φ as axes or along ``bin``. ``q``, ``phi``: 1/Å and degrees, as
    :func:`heterodyne_nb.data.prepare.select` takes them: a number (the nearest), a list, or a (low, high) range.
    ``bin``: Number of the bin from 0 instead of q and φ.

    Raises ConfigurationError: If no bin fits (it lists those there are), or `bin` comes together with q or φ.
    """
    bins = all_bins(dataset)
    if bin is not None:
        return [_numbered(bins, bin, q, phi)]
    if q is None and phi is None:
        return bins
    dims = [name for name in ("bin", "q", "phi") if name in bins[0].place]
    shape = [dataset.sizes[name] for name in dims]
    numbers = xr.Dataset(
        {"number": (dims, np.arange(len(bins)).reshape(shape))},
        coords={"q": dataset["q"], "phi": dataset["phi"]},
    )
    missing = [name for name in ("q", "phi") if "bin" not in dims and name not in dims]
    return [bins[k] for k in select(numbers.expand_dims(missing), q=q, phi=phi)["number"].values.ravel()]


def one_bin(dataset: xr.Dataset, **asked: Any) -> Bin:
    """Return the only bin that fits what is asked for.

    Raises ConfigurationError: If none fits, or several do.
    """
    bins = find_bins(dataset, **asked)
    if len(bins) > 1:
        raise ConfigurationError(
            f"{len(bins)} bins fit, one is needed", where="q, phi, bin", expected=listing(bins)
        )
    return bins[0]


def listing(bins: list[Bin]) -> str:
    """The bins there are, in words, for an error."""
    words = "; ".join(f"{b.number}: {b.label}" for b in bins[:_LISTED])
    return f"{words}; … {len(bins)} in all" if len(bins) > _LISTED else words


def need(dataset: xr.Dataset, variable: str, what: str) -> xr.DataArray:
    """Return a variable of `dataset`, or raise ConfigurationError saying what it is needed for."""
    one_run(dataset, "a figure")
    if variable not in dataset.variables:
        raise ConfigurationError(
            f"the dataset has no {variable!r}, needed for {what}",
            where="dataset",
            expected=f"it holds {', '.join(sorted(map(str, dataset.data_vars))) or 'nothing'}",
        )
    return dataset[variable]


def not_a(what: str, found: object, *, where: str, expected: str) -> ConfigurationError:
    """The error of an argument that is something else than what it should be."""
    return ConfigurationError(f"a {type(found).__name__} is no {what}", where=where, expected=expected)


def fit_result(result: Any) -> Any:
    """Return `result`, or raise ConfigurationError if it is something else than the result of a fit."""
    if not hasattr(result, "curve_names"):
        raise not_a("result of a fit", result, where="result", expected="a FitResult, as fit returns it")
    return result


def frame_times(dataset: xr.Dataset) -> np.ndarray:
    """Times of the frames in s."""
    for name in ("t", "t1"):
        if name in dataset.coords:
            return np.asarray(dataset[name].values, dtype=float)
    raise ConfigurationError("the dataset has no frame times", where="dataset", expected="coordinate t (s)")


def frame_step(times: np.ndarray) -> float:
    """Time between frames in s; 1 where there is one frame only."""
    return float(np.median(np.diff(times))) if times.size > 1 else 1.0


def frame_edges(times: np.ndarray) -> tuple[float, float]:
    """Begin of the first frame and end of the last, in s."""
    half = frame_step(times) / 2
    return times[0] - half, times[-1] + half


def used_frames(dataset: xr.Dataset) -> np.ndarray:
    """True for each frame that is used; all of them where the dataset has no mask."""
    size = frame_times(dataset).size
    return (
        np.asarray(dataset["mask"].values, dtype=bool)
        if "mask" in dataset.variables
        else np.ones(size, dtype=bool)
    )


def _numbered(bins: list[Bin], number: int, q: Choice, phi: Choice) -> Bin:
    if q is not None or phi is not None:
        raise ConfigurationError(
            "bin is given together with q or phi", where="bin", expected="one or the other"
        )
    if not 0 <= number < len(bins):
        raise ConfigurationError(f"no bin {number}", where="bin", expected=listing(bins))
    return bins[number]
