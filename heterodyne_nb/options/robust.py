"""Settings of robust fits: methods, radius, price, scenarios, tolerances of the instrument, solver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, model_validator

from heterodyne_nb.options.fields import (
    AutoOrNotNegative,
    Choice,
    Integer,
    Number,
    OptionalInteger,
    OptionalNumber,
    Options,
    ProfileRadius,
    Share,
    a_list,
    refuse,
    setting,
)
from heterodyne_nb.options.fit import CallOptions
from heterodyne_nb.options.registry import Registry

#: Robust methods by name.
ROBUST_METHODS: Registry[Any] = Registry("robust method", ("wasserstein", "scenario", "ellipsoidal"))
#: Solvers of the cone programs by CVXPY's name.
SOLVERS: Registry[Any] = Registry("solver", ("CLARABEL", "SCS", "MOSEK", "COPT", "CVXOPT", "ECOS", "GUROBI"))


def _methods(value: Any) -> Any:
    chosen = (value,) if isinstance(value, str) else a_list(value)
    if not chosen:
        raise refuse("no robust method is given", ", ".join(ROBUST_METHODS.names()))
    return chosen


RobustMethods = Annotated[tuple[Annotated[str, Choice(ROBUST_METHODS)], ...], BeforeValidator(_methods)]


def _no_cross_validation(value: Any) -> Any:
    if value == "cv":
        raise refuse("data cannot tell how well the instrument is known", "a number of tolerances, or 'auto'")
    return value


class Tolerances(Options):
    """How well the instrument is known: one standard tolerance of each calibration."""

    q_scale: Number = setting(0.01, description="Relative tolerance of the q scale.", unit="1", ge=0, le=0.5)
    phi_zero_deg: Number = setting(1.0, description="Tolerance of the zero of phi.", unit="deg", ge=0, le=90)
    frame_time: Number = setting(
        0.0, description="Relative tolerance of the time between frames.", unit="1", ge=0, le=0.5
    )
    baseline: Number = setting(
        0.0, description="Drift of the c2 baseline from the first frame to the last.", unit="1", ge=0, le=1
    )
    frame_stripe: Number = setting(
        0.0, description="Shift of c2 in all pixels of a block of frames.", unit="1", ge=0, le=1
    )

    @classmethod
    def above_zero(cls, values: Mapping[str, Any] | None = None) -> dict[str, float]:
        """Tolerances that are not 0, checked; what is not named counts as known, the defaults without values."""
        known = dict.fromkeys(cls.model_fields, 0.0) if values is not None else {}
        made = cls.read({**known, **(values or {})}, where="calibration", kind="calibration")
        return {name: value for name, value in made if value > 0}


class RobustMethodOptions(Options):
    """What every robust method takes."""

    solver: Annotated[str, Choice(SOLVERS)] = setting("CLARABEL", description="Solver of the cone programs.")
    tolerance: Number = setting(
        1e-9, description="Relative decrease of the worst case at which it has converged.", gt=0, lt=1
    )
    max_iterations: OptionalInteger = setting(
        None, description="Most linearisations before it stops. Null: 100.", ge=1
    )


class RobustPrice(Options):
    """What robustness may cost."""

    price: AutoOrNotNegative | None = setting(
        "auto",
        description="Most that a robust answer may fit worse than the nominal one, in units of what the truth itself "
        "is expected to fit worse. Auto: 1 for wasserstein, one error bar for the others. Null: no limit.",
    )


class WassersteinOptions(Options):
    """Distributionally robust: the worst law within a Wasserstein distance of the data."""

    radius: ProfileRadius = setting(
        "auto",
        description="Distance of the worst law from the data's; 0 is the plain fit. Auto: by the profile rule; cv: by "
        "cross-validation over bins.",
    )


class ScenarioOptions(Options):
    """The worst, or the worst few, of many block-bootstrap scenarios."""

    n_scenarios: Integer = setting(50, description="Number of bootstrap scenarios.", ge=2)
    cvar: OptionalNumber = setting(
        None, description="Mean of this worst fraction of scenarios. Null: the worst one alone.", gt=0, lt=1
    )
    radius: Share = setting(
        "auto",
        description="How much the worst scenario counts against the data as they are, from 0 to 1. Auto: 1; cv: by "
        "cross-validation over bins.",
    )
    seed: Integer = setting(0, description="Seed of the scenarios.", ge=0)


class EllipsoidalOptions(Options):
    """The worst instrument within its calibration tolerances."""

    radius: Annotated[AutoOrNotNegative, BeforeValidator(_no_cross_validation)] = setting(
        "auto", description="Size of the set in units of the tolerances; 0 is the plain fit. Auto: 1."
    )
    tolerances: Tolerances = setting(Tolerances, description="Calibration tolerances.")


#: Settings of the robust methods, each by its own.
ROBUST_METHOD_OPTIONS: dict[str, type[Options]] = {
    "wasserstein": WassersteinOptions,
    "scenario": ScenarioOptions,
    "ellipsoidal": EllipsoidalOptions,
}


class RobustOptions(CallOptions, RobustMethodOptions, RobustPrice):
    """How to fit robustly; see :func:`heterodyne_nb.fit_robust`, whose keywords these are."""

    methods: RobustMethods = setting(
        ("wasserstein", "scenario", "ellipsoidal"), description="Robust methods that run."
    )
    radius: Any = setting("auto", description="Size of the set, by method if a mapping; see the methods.")
    n_scenarios: Integer = ScenarioOptions.same("n_scenarios")
    cvar: OptionalNumber = ScenarioOptions.same("cvar")
    calibration: dict[str, float] | None = setting(
        None, description="Tolerances of the instrument for ellipsoidal. Null: q to 1 %, phi to 1 degree."
    )

    @model_validator(mode="after")
    def _each_method_takes_its_settings(self) -> Self:
        for name, radius in self.radii().items():
            own = ROBUST_METHOD_OPTIONS.get(name)
            if own is not None:
                own.read({"radius": radius}, where=name)
        if self.calibration is not None and not Tolerances.above_zero(self.calibration):
            raise refuse("every calibration counts as known", "a tolerance above 0")
        return self

    def radii(self) -> dict[str, Any]:
        """The radius asked for each method; "auto" where a mapping names none."""
        if not isinstance(self.radius, Mapping):
            return dict.fromkeys(self.methods, self.radius)
        asked = {ROBUST_METHODS.find(name): value for name, value in self.radius.items()}
        return {name: asked.get(name, "auto") for name in self.methods}

    def record(self) -> dict[str, Any]:
        """The settings that a record of the fit holds: all that say anything."""
        return {name: value for name, value in self.model_dump().items() if value is not None}
