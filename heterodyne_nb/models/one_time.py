"""One-time models: M(tau) = |g1(tau)|², g1 a sum of decays, some of them times a fringe; and ``heterodyne_model``.

Heterodyne at equilibrium (Eq. S-98) and the stretched exponential (KWW) have a formula of their own; the others, and
those of a user, are put together from components by :class:`FieldSum`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.curves import Curve
from heterodyne_nb.models.heterodyne import HeterodyneModel
from heterodyne_nb.models.model import OneTimeModel, curve_of, numbers
from heterodyne_nb.models.parameters import PARAMETERS, ParameterSpec, exponent, rate, share
from heterodyne_nb.models.symmetries import HalfTurn, Reversal, Swap, Symmetry


class HeterodyneEquilibriumModel(OneTimeModel):
    """Constant coefficients and velocity; He et al., PNAS (2025) 10.1073/pnas.2514216122, Eq. S-98."""

    name = "heterodyne_equilibrium"
    parameters = PARAMETERS["heterodyne_equilibrium"]
    curve_specs = (
        Curve("fraction", "1", "intensity_fraction", (0,), "constant", component="sample"),
        Curve("J_ref", "Å²/s", "transport", (1,), "constant", component="ref"),
        Curve("J_sample", "Å²/s", "transport", (2,), "constant", component="sample"),
        Curve("v", "Å/s", "velocity", (3,), "constant", direction=4, component="sample"),
    )
    symmetries = (
        Swap((("J_ref", "J_sample"),), complement="fraction", larger="J_sample"),
        HalfTurn(),
        Reversal(),
    )
    field_components = ("ref", "sample")

    def evaluate(self, values: Any, tau: Any, q: Any, phi: Any) -> Any:
        """See :meth:`OneTimeModel.evaluate`; ``fraction`` is the intensity fraction of the sample."""
        x, j_ref, j_sample, v, phi0 = values
        kappa = q * np.cos(np.radians(phi0 - phi))
        return (
            (1 - x) ** 2 * np.exp(-(q**2) * j_ref * tau)
            + x**2 * np.exp(-(q**2) * j_sample * tau)
            + 2 * x * (1 - x) * np.exp(-0.5 * q**2 * (j_ref + j_sample) * tau) * np.cos(kappa * v * tau)
        )


class KWWModel(OneTimeModel):
    """M = exp(-2 (Gamma tau)^alpha), the stretched (alpha < 1) or compressed (alpha > 1) exponential."""

    name = "kww"
    parameters = PARAMETERS["kww"]
    uses_q = False
    curve_specs = (
        Curve("Gamma", "1/s", "relaxation_rate", (0,), "constant"),
        Curve("alpha", "1", "exponent", (1,), "constant"),
    )

    def evaluate(self, values: Any, tau: Any, q: Any, phi: Any) -> Any:
        """See :meth:`OneTimeModel.evaluate`."""
        gamma, alpha = values
        return np.exp(-2.0 * (gamma * tau) ** alpha)

    def with_derivatives(self, values: Any, tau: Any, q: Any, phi: Any) -> tuple[FloatArray, FloatArray]:
        """See :meth:`OneTimeModel.with_derivatives`."""
        gamma, alpha = values
        log = np.log(np.maximum(gamma * tau, 1e-300))
        power = np.exp(np.minimum(alpha * log, 700.0))
        m = np.exp(-2.0 * power)
        by_power = -2.0 * power * m
        return m, np.stack([by_power * alpha / gamma, by_power * log])


class CompressedModel(KWWModel):
    """The same with alpha of 1 or more."""

    name = "compressed_exponential"
    parameters = PARAMETERS["compressed_exponential"]


Part = Callable[..., Any]


@dataclass(frozen=True)
class Factor:
    """A piece of a model: parameters of its own, and a function of them."""

    #: ``function(tau, q, phi, *values)``; arrays broadcast. Of a decay: the field correlation, 1 at lag 0. Of a
    #: fringe: its phase in radians. Of an envelope: what M is multiplied by.
    function: Part
    parameters: tuple[ParameterSpec, ...]
    uses_q: bool = False  #: Whether q or phi enter.
    #: What each parameter is (:data:`heterodyne_nb.models.curves.ROLES`) where its unit does not tell; else empty.
    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Component:
    """A decay of the field with its share of the intensity, and the fringe of its motion if it moves."""

    decay: Factor
    fringe: Factor | None = None
    fraction: ParameterSpec | None = None  #: Of all components but the last, which has the rest.


class FieldSum(OneTimeModel):
    """M = |sum_n x_n g_n(tau) exp(i phase_n(tau))|² · envelope: decays, fringes and a factor in one model.

    The intensity fractions x_n sum to 1: the last component has what the others leave.

    ``envelope``: Multiplies M, for instance the sinc² of shear. ``starts``: Ranges of start values where the rule of
    the unit does not do.

    Examples
    --------
    A stretched decay beside an oscillating one:

    >>> from heterodyne_nb.models import ModelFactory, one_time as ot
    >>> moving = ot.Component(ot.exponential("_sample"), ot.frequency(), ot.share("_sample"))
    >>> name = ModelFactory.register(ot.FieldSum("my_fringes", [moving, ot.Component(ot.stretched("_ref"))]))
    >>> ModelFactory.create_model(name).parameter_names
    ('Gamma_sample', 'omega', 'Gamma_ref', 'alpha_ref', 'fraction_sample')
    >>> ModelFactory.unregister(name)
    """

    def __init__(
        self,
        name: str,
        components: Sequence[Component],
        envelope: Factor | None = None,
        starts: dict[str, tuple[float, float]] | None = None,
    ) -> None:
        self.name, self.components, self.envelope = name, tuple(components), envelope
        factors = [f for c in components for f in (c.decay, c.fringe) if f] + [f for f in (envelope,) if f]
        specs = [spec for factor in factors for spec in factor.parameters]
        roles = [role for f in factors for role in f.roles or ("",) * len(f.parameters)]
        roles += ["intensity_fraction"] * (len(self.components) - 1)
        specs += [c.fraction or share(f"_{k + 1}") for k, c in enumerate(components[:-1])]
        self.parameters = PARAMETERS.get(name, tuple(specs))
        self.uses_q = any(f.uses_q for f in factors)
        names = [spec.name for spec in specs]
        direction = names.index("phi0") if "phi0" in names else None
        declared = enumerate(zip(specs, roles, strict=True))
        curves = [curve_of(spec, i, role, direction) for i, (spec, role) in declared if spec.unit != "deg"]
        self.curve_specs = tuple(replace(c, start=(starts or {}).get(c.name)) for c in curves)
        self.symmetries: tuple[Symmetry, ...] = (HalfTurn(),) if direction is not None else ()
        if "Gamma_slow" in names and "fraction_fast" in names:
            pairs = [(n, n.replace("_slow", "_fast")) for n in names if n.endswith("_slow")]
            self.symmetries = (Swap(tuple(pairs), complement="fraction_fast", larger="Gamma_fast"),)

    def evaluate(self, values: Any, tau: Any, q: Any, phi: Any) -> Any:
        """See :meth:`OneTimeModel.evaluate`."""
        given = iter(values)

        def taken(factor: Factor) -> Any:
            return factor.function(tau, q, phi, *(next(given) for _ in factor.parameters))

        fields = [(taken(c.decay), taken(c.fringe) if c.fringe else None) for c in self.components]
        envelope = taken(self.envelope) if self.envelope else 1.0
        fractions = list(given)
        fractions.append(1.0 - sum(fractions))
        real, imaginary = 0.0, 0.0
        for x, (decay, phase) in zip(fractions, fields, strict=True):
            field = x * decay
            real = real + (field if phase is None else field * np.cos(phase))
            imaginary = imaginary if phase is None else imaginary + field * np.sin(phase)
        return (real**2 + imaginary**2) * envelope


def exponential(suffix: str = "") -> Factor:
    """g = exp(-Gamma tau)."""
    return Factor(lambda tau, q, phi, gamma: np.exp(-gamma * tau), (rate(suffix),))


def stretched(suffix: str = "") -> Factor:
    """g = exp(-(Gamma tau)^alpha)."""
    return Factor(
        lambda tau, q, phi, gamma, alpha: np.exp(-((gamma * tau) ** alpha)),
        (rate(suffix), exponent(suffix)),
        roles=("", "exponent"),
    )


def gaussian(suffix: str = "") -> Factor:
    """g = exp(-(Gamma tau)²): ballistic motion."""
    return Factor(lambda tau, q, phi, gamma: np.exp(-((gamma * tau) ** 2)), (rate(suffix),))


def cumulants(order: int) -> Factor:
    """g = exp(-x) (1 + P x²/2 - S x³/6), x = Gamma tau; Frisken, Appl. Opt. 40 (2001) 4087, P and S over Gamma², Gamma³."""

    def field(tau: Any, q: Any, phi: Any, gamma: Any, spread: Any, skew: Any = 0.0) -> Any:
        x = gamma * tau
        return np.exp(-x) * (1.0 + spread * x**2 / 2.0 - skew * x**3 / 6.0)

    return Factor(field, PARAMETERS[f"cumulants_{order}"])


def diffusion(suffix: str = "") -> Factor:
    """g = exp(-½ q² J tau), J in Å²/s: the transport coefficient of the two-time models."""
    spec = ParameterSpec(f"J{suffix}", "Å²/s", 1000.0, 0.0, 1e9, "transport coefficient, J = 2 D")
    return Factor(lambda tau, q, phi, j: np.exp(-0.5 * q**2 * j * tau), (spec,), uses_q=True)


def static() -> Factor:
    """g = 1: light of what does not move."""
    return Factor(lambda tau, q, phi: np.ones_like(tau), ())


def frequency(suffix: str = "") -> Factor:
    """Phase omega tau."""
    return Factor(lambda tau, q, phi, omega: omega * tau, (_spec("oscillating", "omega", suffix),))


def flow(suffix: str = "") -> Factor:
    """Phase q cos(phi0 - phi) v tau."""
    specs = (_spec("heterodyne_equilibrium", "v", suffix), _spec("heterodyne_equilibrium", "phi0", suffix))
    return Factor(
        lambda tau, q, phi, v, phi0: q * np.cos(np.radians(phi0 - phi)) * v * tau, specs, uses_q=True
    )


def shear() -> Factor:
    """Envelope [sin x / x]², x = ½ q dv cos(phi0 - phi) tau; Fluerasu et al. and Busch et al. (2008), dv = shear rate · gap."""

    def factor(tau: Any, q: Any, phi: Any, dv: Any, phi0: Any) -> Any:
        return np.sinc(0.5 * q * dv * np.cos(np.radians(phi0 - phi)) * tau / np.pi) ** 2

    return Factor(factor, PARAMETERS["laminar_sinc2"][1:], uses_q=True)


def _spec(mode: str, name: str, suffix: str) -> ParameterSpec:
    (found,) = (spec for spec in PARAMETERS[mode] if spec.name == name)
    return replace(found, name=f"{name}{suffix}")


def built_in() -> dict[str, Callable[[], OneTimeModel]]:
    """The one-time models by mode."""
    fast = share("_fast")
    return {
        "heterodyne_equilibrium": HeterodyneEquilibriumModel,
        "kww": KWWModel,
        "compressed_exponential": CompressedModel,
        "single_exponential": lambda: FieldSum("single_exponential", [Component(exponential())]),
        "ballistic": lambda: FieldSum("ballistic", [Component(gaussian())]),
        "double_exponential": lambda: FieldSum(
            "double_exponential",
            [Component(exponential("_fast"), fraction=fast), Component(exponential("_slow"))],
        ),
        "double_stretched": lambda: FieldSum(
            "double_stretched", [Component(stretched("_fast"), fraction=fast), Component(stretched("_slow"))]
        ),
        "cumulants_2": lambda: FieldSum("cumulants_2", [Component(cumulants(2))]),
        "cumulants_3": lambda: FieldSum(
            "cumulants_3", [Component(cumulants(3))], starts={"skew": (-0.1, 0.1)}
        ),
        "partial_siegert": lambda: FieldSum(
            "partial_siegert", [Component(stretched(), fraction=share()), Component(static())]
        ),
        "oscillating": lambda: FieldSum(
            "oscillating",
            [
                Component(exponential("_sample"), frequency(), share("_sample")),
                Component(exponential("_ref")),
            ],
        ),
        "laminar_sinc2": lambda: FieldSum("laminar_sinc2", [Component(exponential())], shear()),
    }


def heterodyne_model(
    tau: ArrayLike,
    params: Sequence[float] | Mapping[str, float],
    q: ArrayLike,
    phi: ArrayLike,
    *,
    t1: float | None = None,
    contrast: float | None = None,
    offset: float = 1.0,
) -> Any:
    """Heterodyne correlation against lag.

    Parameters
    ----------
    tau : array_like
        Lags in s.
    params : sequence or mapping
        5 values (fraction, J_ref, J_sample, v, phi0): at equilibrium, Eq. S-98; or the 14 published
        parameters of the nonequilibrium model, Eq. S-95, evaluated between ``t1`` and ``t1 + tau``.
    q, phi : array_like
        Wave vectors in 1/Å and azimuths in degrees.
    t1 : float, optional
        Start time in s for the 14-parameter form. Default: the smallest positive lag, which is the time
        of the first frame when the lags are multiples of the frame time.
    contrast, offset : float, optional
        With a contrast, g2 = offset + contrast * M is returned; without, M.

    Returns
    -------
    ndarray or xarray.DataArray
        On the grid (q, phi, tau), axes of scalar arguments dropped; a DataArray when any of tau, q,
        phi is one. That of the 14-parameter form has the start time as its scalar coordinate ``t1``.

    Raises
    ------
    ConfigurationError
        For a wrong number of parameters or an unusable start time.
    """
    shapes = [np.shape(a) for a in (q, phi, tau)]
    axes = [np.ravel(numbers(a, name)) for name, a in (("q", q), ("phi", phi), ("tau", tau))]
    values = list(params.values()) if isinstance(params, Mapping) else list(np.ravel(params))
    model: Any = HeterodyneEquilibriumModel() if len(values) == 5 else HeterodyneModel()
    theta = tuple(model.unpack(_ordered(model, params, values)).tolist())
    start = None
    if not model.one_time:
        start = _start_time(axes[2]) if t1 is None else float(numbers(t1, "t1"))
    small = np.prod([axis.size for axis in axes]) <= _LARGEST_KEPT
    evaluate = _correlation if small else _correlation.__wrapped__
    m = evaluate(theta, start, *(tuple(axis.tolist()) for axis in axes))
    m = m.copy() if contrast is None else offset + contrast * m
    m = m.reshape(tuple(n for shape in shapes for n in shape))
    return _labelled(m, q, phi, tau, start, g2=contrast is not None)


#: Values of a grid above which an answer is not kept: 128 of them take 64 MB at most.
_LARGEST_KEPT = 1 << 16


@lru_cache(maxsize=128)
def _correlation(
    theta: tuple[float, ...],
    start: float | None,
    q: tuple[float, ...],
    phi: tuple[float, ...],
    tau: tuple[float, ...],
) -> NDArray[np.float64]:
    """M on the grid (q, phi, tau); the last ones asked for are kept, since sliders and plots ask again."""
    grid_q, grid_phi, grid_tau = np.meshgrid(q, phi, tau, indexing="ij")
    if start is None:
        return np.asarray(HeterodyneEquilibriumModel().correlation(theta, grid_tau, q=grid_q, phi=grid_phi))
    return np.asarray(HeterodyneModel().correlation(theta, start, start + grid_tau, q=grid_q, phi=grid_phi))


def _ordered(model: Any, params: Any, values: list[float]) -> list[float]:
    if not isinstance(params, Mapping):
        return values
    unknown = sorted(set(params) ^ set(model.parameter_names))
    if unknown:
        raise ConfigurationError(
            f"parameters {', '.join(unknown)} are unknown or missing",
            expected=", ".join(model.parameter_names),
        )
    return [params[name] for name in model.parameter_names]


def _start_time(tau: Any) -> float:
    positive = tau[tau > 0]
    if positive.size == 0:
        raise ConfigurationError("no positive lag, so no start time can be taken", hint="give t1=")
    return float(positive.min())


def _labelled(m: Any, q: Any, phi: Any, tau: Any, start: float | None, *, g2: bool) -> Any:
    import xarray as xr

    if not any(isinstance(a, xr.DataArray) for a in (q, phi, tau)):
        return m
    coords: dict[str, Any] = {}
    dims = []
    for name, axis, unit in (("q", q, "1/Å"), ("phi", phi, "deg"), ("tau", tau, "s")):
        if np.ndim(axis):
            dims.append(name)
            coords[name] = (name, np.asarray(axis, float), {"units": unit})
    if start is not None:
        coords["t1"] = ((), start, {"units": "s", "long_name": "start time"})
    name, label = ("g2", "intensity correlation") if g2 else ("M", "normalised correlation")
    return xr.DataArray(m, dims=dims, coords=coords, name=name, attrs={"units": "1", "long_name": label})
