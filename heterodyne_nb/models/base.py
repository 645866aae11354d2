"""What every model offers, and the plugin form for models without curves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.coordinates import Block
from heterodyne_nb.models.parameters import ParameterSpec
from heterodyne_nb.models.terms import Terms

FloatArray = NDArray[np.float64]
#: A published parameter vector.
Parameters = Sequence[float] | NDArray[Any]


def numbers(values: Any, what: str) -> FloatArray:
    """An array of float64, or a ConfigurationError that says which argument holds none."""
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{what} = {values!r}", expected="numbers") from None


def ordered_times(t1: ArrayLike, t2: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The earlier and the later of two absolute times (s).

    Raises
    ------
    ConfigurationError
        A time is not above zero: the first frame is at one frame time.
    """
    t1, t2 = numbers(t1, "t1"), numbers(t2, "t2")
    early, late = np.minimum(t1, t2), np.maximum(t1, t2)
    if not np.all(early > 0):
        raise ConfigurationError(
            f"time {np.min(early):g} s", expected="absolute times above 0 s: the first frame is at t = dt"
        )
    return early, late


class Model(ABC):
    """A correlation model M with published parameters; c2 = offset + contrast * M.

    Attributes
    ----------
    name : str
    parameters : tuple of ParameterSpec
        Published order, units, defaults, bounds.
    one_time : bool
        True when M depends on the lag only.
    curve_units : mapping of str to str
        The curves in time that the parameters describe, with their units.
    blocks : tuple of Block
        Which parameters make one curve; see :mod:`heterodyne_nb.models.coordinates`.
    """

    name: str
    parameters: tuple[ParameterSpec, ...]
    one_time: bool = False
    needs_gap: bool = False
    blocks: tuple[Block, ...] = ()
    curve_units: Mapping[str, str] = {}

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Published names, in order."""
        return tuple(spec.name for spec in self.parameters)

    def unpack(self, params: Parameters) -> FloatArray:
        """Return the parameters as an array of the right length and finite, or say what is wrong."""
        values = numbers(params, f"parameters of model {self.name!r}").ravel()
        if values.size != len(self.parameters):
            raise ConfigurationError(
                f"{values.size} parameters given to model {self.name!r}",
                expected=f"{len(self.parameters)}: {', '.join(self.parameter_names)}",
            )
        if not np.all(np.isfinite(values)):
            bad = [n for n, v in zip(self.parameter_names, values, strict=True) if not np.isfinite(v)]
            raise ConfigurationError(f"parameters {', '.join(bad)} of model {self.name!r} are not finite")
        return values

    def curves(self, params: Parameters, t: ArrayLike) -> dict[str, FloatArray]:
        """Curves in time described by the parameters, in the units of ``curve_units``."""
        return {}


class TwoTimeModel(Model):
    """A model of the two-time correlation."""

    def checked_gap(self, gap: float | None) -> float | None:
        """The gap of the shear cell in Å, or a ConfigurationError where the model needs one and has none."""
        if self.needs_gap and not (isinstance(gap, Real) and 0 < gap < np.inf):
            raise ConfigurationError(
                f"{self.name} needs the gap of the shear cell, got {gap!r}",
                where="gap",
                expected="a length in Å, greater than 0",
                hint="pass gap=, or set geometry.gap in a configuration",
            )
        return gap

    @abstractmethod
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
        """Normalised correlation M(t1, t2), 1 on the diagonal.

        Parameters
        ----------
        params : sequence of float
            Published order.
        t1, t2 : array_like
            Absolute times in s, > 0; either may be the later one.
        q, phi : array_like
            Wave vector in 1/Å and azimuth in degrees; all four arrays broadcast together.
        gap : float, optional
            Gap of the shear cell in Å (laminar flow only).
        """


class SeparableModel(TwoTimeModel):
    """A two-time model given by curves (see :class:`Terms`): the engine's fast kernels apply.

    A model of one's own sets ``name`` and ``parameters`` and writes ``terms``; see
    :func:`heterodyne_nb.models.check_model` for its derivatives, and :meth:`ModelFactory.register`.
    """

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
        """See :meth:`TwoTimeModel.correlation`; summed up from the terms, ``gap`` is not used."""
        early, late = ordered_times(t1, t2)
        early, late, q, phi = np.broadcast_arrays(early, late, numbers(q, "q"), numbers(phi, "phi"))
        times, at = np.unique(np.stack([early, late]), return_inverse=True)
        azimuths, place = np.unique(phi, return_inverse=True)
        terms = self.terms(self.unpack(params), times, azimuths, derivatives=False)
        first, second = at.reshape(2, *early.shape)
        return terms.correlation(first, second, q, place.reshape(phi.shape))

    @abstractmethod
    def terms(self, params: Parameters, t: FloatArray, phi: FloatArray, *, derivatives: bool = True) -> Terms:
        """Curves at times ``t`` (s, increasing) and azimuths ``phi`` (degrees).

        Without ``derivatives`` those may be left zero; only then is χ² alone asked for.
        """


class OneTimeModel(Model):
    """A model of the one-time correlation."""

    one_time = True

    @abstractmethod
    def correlation(
        self, params: Parameters, tau: ArrayLike, *, q: ArrayLike = 0.0, phi: ArrayLike = 0.0
    ) -> Any:
        """Normalised correlation M(tau) on the broadcast of tau (s), q (1/Å) and phi (degrees)."""


class ModelPlugin(ABC):
    """A user's own model without curves: a name and a function.

    Set ``parameters`` (a tuple of :class:`ParameterSpec`) for names, units and bounds. A two-time plugin
    sets ``two_time = True``; ``tau`` is then a pair of arrays (t1, t2) that broadcast. Derivatives are
    taken by finite differences.
    """

    parameters: tuple[ParameterSpec, ...] = ()
    two_time: bool = False

    @abstractmethod
    def get_model_name(self) -> str:
        """Name under which :class:`ModelFactory` knows the model."""

    @abstractmethod
    def compute_correlation(self, tau: Any, params: Any, q: Any, phi: Any = None) -> Any:
        """Normalised correlation, 1 at zero lag; arguments broadcast."""


def _with_parameters(model: Any) -> Any:
    specs = getattr(model, "parameters", ())
    if not specs or not all(isinstance(spec, ParameterSpec) for spec in specs):
        raise ConfigurationError(
            f"model plugin {model.name!r} names no parameters",
            expected="a class attribute `parameters`, a tuple of ParameterSpec",
        )
    return model


class _PluginCheck:
    """The one place where a plugin's answer is checked before anything else sees it."""

    def __init__(self, plugin: ModelPlugin) -> None:
        self.plugin = plugin
        self.name = plugin.get_model_name()
        self.parameters = tuple(plugin.parameters)
        _with_parameters(self)

    def evaluate(self, argument: Any, values: Any, q: Any, phi: Any, shape: tuple[int, ...]) -> FloatArray:
        try:
            result = np.asarray(self.plugin.compute_correlation(argument, values, q, phi), float)
        except Exception as error:
            raise ConfigurationError(
                f"model plugin {self.name!r} failed: {type(error).__name__}: {error}",
                where=f"compute_correlation of {type(self.plugin).__name__}",
            ) from error
        try:
            return np.broadcast_to(result, shape)
        except ValueError:
            raise ConfigurationError(
                f"model plugin {self.name!r} returned shape {result.shape}", expected=f"shape {shape}"
            ) from None


class PluginTwoTimeModel(_PluginCheck, TwoTimeModel):
    """Adapter: a two-time :class:`ModelPlugin` as a model."""

    def correlation(self, params, t1, t2, *, q, phi=0.0, gap=None):
        """See :meth:`TwoTimeModel.correlation`."""
        t1, t2, q, phi = np.broadcast_arrays(*(np.asarray(a, float) for a in (t1, t2, q, phi)))
        return self.evaluate((t1, t2), self.unpack(params), q, phi, t1.shape)


class PluginOneTimeModel(_PluginCheck, OneTimeModel):
    """Adapter: a one-time :class:`ModelPlugin` as a model."""

    def correlation(self, params, tau, *, q=0.0, phi=0.0):
        """See :meth:`OneTimeModel.correlation`."""
        tau, q, phi = np.broadcast_arrays(*(np.asarray(a, float) for a in (tau, q, phi)))
        return self.evaluate(tau, self.unpack(params), q, phi, tau.shape)


def adapt_plugin(plugin: ModelPlugin | Model) -> Model:
    """Wrap a plugin so that it looks like any other model; a model stays as it is."""
    if isinstance(plugin, Model):
        return _with_parameters(plugin)
    return PluginTwoTimeModel(plugin) if plugin.two_time else PluginOneTimeModel(plugin)
