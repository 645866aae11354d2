"""The published parameters of every analysis mode: names, order, units, defaults and bounds.

One table serves the configuration, the models, the reports and the widgets.
Orders and meanings: He et al., PNAS (2025) 10.1073/pnas.2514216122, Eq. S-95 (heterodyne) and
PNAS 121 (2024) e2401162121 (static, laminar flow).
"""

from __future__ import annotations

from dataclasses import dataclass

#: J in Å²/s, times in s, lengths in Å, angles in degrees; a power law's amplitude carries s**-exponent.
_J, _V, _RATE = "Å²/s", "Å/s", "1/s"


@dataclass(frozen=True)
class ParameterSpec:
    """A published parameter: its name, unit, default start value and default bounds."""

    name: str
    unit: str
    default: float
    lower: float
    upper: float
    description: str


def _transport(suffix: str, d0: float, what: str) -> tuple[ParameterSpec, ...]:
    tail = f"_{suffix}" if suffix else ""
    return (
        ParameterSpec(f"D0{tail}", _J, d0, 0.0, 1e6, f"amplitude of J(t) = D0 t^alpha + D_offset, {what}"),
        ParameterSpec(f"alpha{tail}", "1", 0.0, -2.0, 2.0, f"exponent of J(t), {what}"),
        ParameterSpec(f"D_offset{tail}", _J, 0.0, -1e5, 1e5, f"constant part of J(t), {what}"),
    )


_PHI0 = ParameterSpec("phi0", "deg", 0.0, -360.0, 360.0, "direction of the flow; enters as phi0 - phi")
_STATIC = _transport("", 1000.0, "the only component")
_LAMINAR = (
    *_STATIC,
    ParameterSpec("gamma_dot_0", _RATE, 1e-3, 0.0, 1e2, "amplitude of the shear rate"),
    ParameterSpec("beta", "1", 0.0, -2.0, 2.0, "exponent of the shear rate"),
    ParameterSpec("gamma_dot_offset", _RATE, 0.0, -1e1, 1e1, "constant part of the shear rate"),
    _PHI0,
)
_HETERODYNE = (
    *_transport("ref", 100.0, "reference component"),
    *_transport("sample", 1000.0, "sample component"),
    ParameterSpec("v0", _V, 1e3, -1e6, 1e6, "amplitude of v(t) = v0 t^beta + v_offset"),
    ParameterSpec("beta", "1", 0.0, -2.0, 2.0, "exponent of v(t)"),
    ParameterSpec("v_offset", _V, 0.0, -1e5, 1e5, "constant part of v(t)"),
    ParameterSpec("f0", "1", 0.0, -1.0, 1.0, "amplitude of x_s(t) = f0 exp(f1 (t - f2)) + f3"),
    ParameterSpec("f1", _RATE, 0.0, -1.0, 1.0, "rate of x_s(t)"),
    ParameterSpec("f2", "s", 0.0, -1e4, 1e4, "time shift of x_s(t); only f0 exp(-f1 f2) is determined"),
    ParameterSpec("f3", "1", 0.5, -1.0, 2.0, "constant part of x_s(t)"),
    _PHI0,
)
_EQUILIBRIUM = (
    ParameterSpec("fraction", "1", 0.5, 0.0, 1.0, "intensity fraction x_s²/(x_s²+x_r²) of the sample"),
    ParameterSpec("J_ref", _J, 100.0, 0.0, 1e6, "transport coefficient of the reference"),
    ParameterSpec("J_sample", _J, 1000.0, 0.0, 1e6, "transport coefficient of the sample"),
    ParameterSpec("v", _V, 1e3, 0.0, 1e6, "mean velocity of the sample against the reference"),
    _PHI0,
)


def rate(suffix: str = "", what: str = "relaxation rate") -> ParameterSpec:
    """A rate Gamma of a field that decays as exp(-Gamma tau)."""
    return ParameterSpec(f"Gamma{suffix}", _RATE, 1.0, 1e-9, 1e9, what)


def exponent(
    suffix: str = "", lower: float = 0.05, upper: float = 3.0, default: float = 1.0
) -> ParameterSpec:
    """The exponent of a stretched (below 1) or compressed (above 1) decay."""
    return ParameterSpec(
        f"alpha{suffix}", "1", default, lower, upper, "stretching exponent of exp(-2 (Gamma tau)^alpha)"
    )


def share(suffix: str = "", what: str = "share of the first decay in the intensity") -> ParameterSpec:
    """The intensity fraction of a component."""
    return ParameterSpec(f"fraction{suffix}", "1", 0.5, 0.0, 1.0, what)


_CUMULANTS = (
    rate(what="mean relaxation rate (first cumulant)"),
    ParameterSpec("polydispersity", "1", 0.1, 0.0, 2.0, "second cumulant over the squared rate, mu2/Gamma^2"),
    ParameterSpec("skew", "1", 0.0, -5.0, 5.0, "third cumulant over the cubed rate, mu3/Gamma^3"),
)
_FAST_SLOW = rate("_fast", "rate of the faster decay"), rate("_slow", "rate of the slower decay")
_FRACTION_FAST = share("_fast", "share of the faster decay in the field correlation")

#: Published parameters by analysis mode.
PARAMETERS: dict[str, tuple[ParameterSpec, ...]] = {
    "static_isotropic": _STATIC,
    "static_anisotropic": _STATIC,
    "laminar_flow": _LAMINAR,
    "heterodyne": _HETERODYNE,
    "heterodyne_equilibrium": _EQUILIBRIUM,
    "kww": (rate(), exponent()),
    "single_exponential": (rate(),),
    "double_exponential": (*_FAST_SLOW, _FRACTION_FAST),
    "double_stretched": (
        _FAST_SLOW[0],
        exponent("_fast"),
        _FAST_SLOW[1],
        exponent("_slow"),
        _FRACTION_FAST,
    ),
    "compressed_exponential": (rate(), exponent(lower=1.0, default=1.5)),
    "ballistic": (rate(),),
    "cumulants_2": _CUMULANTS[:2],
    "cumulants_3": _CUMULANTS,
    "partial_siegert": (rate(), exponent(), share(what="share of the light that fluctuates")),
    "oscillating": (
        rate("_sample", "rate of the moving component"),
        ParameterSpec(
            "omega", "rad/s", 1.0, 0.0, 1e9, "angular frequency of the fringes, q v cos(phi0 - phi)"
        ),
        rate("_ref", "rate of the reference"),
        share("_sample", "intensity fraction of the moving component"),
    ),
    "laminar_sinc2": (
        rate(),
        ParameterSpec("dv", _V, 1e3, 0.0, 1e9, "difference of velocity across the beam, shear rate x gap"),
        _PHI0,
    ),
}

#: Other packages' names for the same quantities.
PARAMETER_ALIASES: dict[str, str] = {
    "gamma_dot_t0": "gamma_dot_0",
    "gamma_dot_t_offset": "gamma_dot_offset",
    "gamma_dot0": "gamma_dot_0",
    "gamma0": "gamma_dot_0",
    "gamma_offset": "gamma_dot_offset",
    "phi_0": "phi0",
    "D_0": "D0",
}


def multicomponent_parameters(n: int) -> tuple[ParameterSpec, ...]:
    """Published parameters of the N-component model (Eq. S-94), component by component.

    Component 1 is the reference at rest, x_1(t) = 1 - sum of the others; components 2..n carry a
    velocity power law, a fraction x_k(t) = f0_k exp(f1_k t) + f3_k and a direction.
    """
    specs: list[ParameterSpec] = []
    for k in range(1, n + 1):
        specs += _transport(str(k), 100.0 * 3.0 ** (k - 1), f"component {k}")
        if k == 1:
            continue
        specs += [
            ParameterSpec(f"v0_{k}", _V, 1e3 * (k - 1), -1e6, 1e6, f"velocity amplitude of component {k}"),
            ParameterSpec(f"beta_{k}", "1", 0.0, -2.0, 2.0, f"velocity exponent of component {k}"),
            ParameterSpec(f"v_offset_{k}", _V, 0.0, -1e5, 1e5, f"constant velocity of component {k}"),
            ParameterSpec(f"f0_{k}", "1", 0.0, -1.0, 1.0, f"amplitude of x_{k}(t) = f0 exp(f1 t) + f3"),
            ParameterSpec(f"f1_{k}", _RATE, 0.0, -1.0, 1.0, f"rate of x_{k}(t)"),
            ParameterSpec(f"f3_{k}", "1", 1.0 / n, -1.0, 2.0, f"constant part of x_{k}(t)"),
            ParameterSpec(f"phi0_{k}", "deg", 0.0, -360.0, 360.0, f"direction of component {k}"),
        ]
    return tuple(specs)
