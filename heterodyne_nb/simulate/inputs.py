"""What a simulation is asked for, checked once: parameters, axes and per-bin settings as plain arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.config.parameters import MULTICOMPONENT
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory

Array = NDArray[np.float64]
Parameters = Sequence[float] | NDArray[np.float64] | Mapping[str, float]

_PER_COMPONENT = 10  # published parameters of every component after the reference, which has 3


@dataclass(frozen=True)
class Axes:
    """The grid of a simulation: q (1/Å), phi (degrees), times t (s) of frames 1..N, dt (s)."""

    q: Array
    phi: Array
    t: Array
    dt: float

    @property
    def bins(self) -> tuple[int, int]:
        return self.q.size, self.phi.size


def check_axes(q: ArrayLike, phi: ArrayLike, n_frames: int, dt: float) -> Axes:
    """Axes of a simulation, or a ConfigurationError that says which is impossible."""
    q_axis, phi_axis = _axis(q, "q"), _axis(phi, "phi")
    if (q_axis <= 0).any():
        raise ConfigurationError(f"q = {q_axis.min():g} 1/Å is not positive", where="q")
    if not (np.isfinite(dt) and dt > 0):
        raise ConfigurationError(f"dt = {dt!r} s", where="dt", expected="a positive frame time in seconds")
    if int(n_frames) != n_frames or n_frames < 2:
        raise ConfigurationError(f"n_frames = {n_frames!r}", where="n_frames", expected="a whole number >= 2")
    return Axes(q_axis, phi_axis, _frame_times(int(n_frames), float(dt)), float(dt))


def _frame_times(n_frames: int, dt: float) -> Array:
    return dt * np.arange(1, n_frames + 1, dtype=np.float64)


def _axis(values: ArrayLike, name: str) -> Array:
    axis = np.atleast_1d(np.asarray(values, dtype=float))
    if axis.ndim != 1 or axis.size == 0 or not np.isfinite(axis).all():
        raise ConfigurationError(
            f"{values!r} is not an axis", where=name, expected="one number or a list of finite numbers"
        )
    if np.unique(axis).size != axis.size:
        raise ConfigurationError(f"{axis.tolist()} repeats a value", where=name, expected="distinct values")
    return axis


def model_and_vector(mode: str, params: Parameters) -> tuple[Any, Array]:
    """The model of a mode and its checked parameters; "multicomponent" has as many components as `params` describe."""
    count = None
    if mode == MULTICOMPONENT:
        count, rest = divmod(len(params) - 3, _PER_COMPONENT)
        count += 1
        if rest or count < 2:
            raise ConfigurationError(
                f"{len(params)} parameters do not make a {mode} model",
                where="params",
                expected="3 for the reference and 10 for each further component: 13, 23, 33, ...",
            )
    model = ModelFactory.create_model(mode, n_components=count)
    return model, parameter_vector(model.parameter_names, params)


def parameter_vector(names: Sequence[str], params: Parameters) -> Array:
    """`params`, a sequence in published order or a mapping by name, as a finite vector."""
    if isinstance(params, Mapping):
        _check_names(names, params)
        params = [params[name] for name in names]
    vector = np.asarray(params, dtype=float)
    if vector.shape != (len(names),):
        raise ConfigurationError(
            f"{vector.size} values for {len(names)} parameters", where="params", expected=", ".join(names)
        )
    if not np.isfinite(vector).all():
        bad = [name for name, value in zip(names, vector, strict=True) if not np.isfinite(value)]
        raise ConfigurationError(f"{', '.join(bad)}: not a finite number", where="params")
    return vector


def _check_names(names: Sequence[str], params: Mapping[str, float]) -> None:
    unknown = [name for name in params if name not in names]
    missing = [name for name in names if name not in params]
    if not unknown and not missing:
        return
    found = [f"unknown {name!r}" for name in unknown] + [f"missing {name!r}" for name in missing]
    near = [match for name in unknown for match in get_close_matches(name, names, n=1)]
    raise ConfigurationError(
        "; ".join(found),
        where="params",
        expected=", ".join(names),
        hint=f"did you mean {', '.join(map(repr, near))}?" if near else None,
    )


def per_bin(value: ArrayLike, axes: Axes, name: str) -> Array:
    """A setting for every bin, shape (n_q, n_phi): one number, one per q, or the full grid."""
    given = np.asarray(value, dtype=float)
    if given.shape not in {(), axes.q.shape, axes.bins}:
        raise ConfigurationError(
            f"shape {given.shape} does not fit {axes.bins[0]} q × {axes.bins[1]} phi",
            where=name,
            expected="one number, one number per q, or an array (q, phi)",
        )
    return np.array(np.broadcast_to(given[:, None] if given.ndim == 1 else given, axes.bins))


def check_range(values: Array, name: str, low: float, high: float, *, unit: str = "") -> None:
    """ConfigurationError unless every value lies in [low, high]."""
    wrong = ~((values >= low) & (values <= high))
    if wrong.any():
        raise ConfigurationError(
            f"{values[wrong].flat[0]:g} is out of range",
            where=name,
            expected=f"between {low:g} and {high:g}{' ' + unit if unit else ''}",
        )


def frame_mask(frames: Iterable[int], n_frames: int, name: str) -> NDArray[np.bool_]:
    """True at the named 1-based frames."""
    numbers = np.array(sorted(set(frames)), dtype=int)
    if numbers.size and (numbers[0] < 1 or numbers[-1] > n_frames):
        raise ConfigurationError(
            f"frames {numbers.tolist()} leave the run", where=name, expected=f"1-based frames 1 to {n_frames}"
        )
    mask = np.zeros(n_frames, dtype=bool)
    mask[numbers - 1] = True
    return mask
