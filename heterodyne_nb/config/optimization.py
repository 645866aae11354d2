"""Settings of the optimisation: methods, losses, several starts, and the robust problems."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from heterodyne_nb.options.fields import (
    AutoOrNotNegative,
    AutoOrPositive,
    Flag,
    Integer,
    Number,
    OptionalInteger,
    OptionalNumber,
    Section,
    a_full_list,
    refuse,
    setting,
    spelt,
)

CLASSICAL_METHODS = ("gauss_newton", "nelder_mead", "lbfgsb", "trf", "gurobi")
ROBUST_METHODS = ("wasserstein", "scenario", "ellipsoidal")
LOSSES = ("linear", "huber", "soft_l1", "cauchy", "tukey")
CONTRASTS = ("per_bin", "shared", "per_q", "smooth_phi")
SOLVERS = ("clarabel", "scs", "gurobi", "mosek", "copt", "cvxopt", "ecos")

ClassicalMethod = Annotated[
    Literal["gauss_newton", "nelder_mead", "lbfgsb", "trf", "gurobi"],
    BeforeValidator(spelt(CLASSICAL_METHODS)),
]
RobustMethod = Annotated[
    Literal["wasserstein", "scenario", "ellipsoidal"], BeforeValidator(spelt(ROBUST_METHODS))
]
Loss = Annotated[Literal["linear", "huber", "soft_l1", "cauchy", "tukey"], BeforeValidator(spelt(LOSSES))]
Contrast = Annotated[Literal["per_bin", "shared", "per_q", "smooth_phi"], BeforeValidator(spelt(CONTRASTS))]
Norm = Annotated[Literal["box", "ball"], BeforeValidator(spelt(("box", "ball")))]
Curvature = Annotated[Literal["secant", "diagonal"], BeforeValidator(spelt(("secant", "diagonal")))]
Solver = Annotated[
    Literal["clarabel", "scs", "gurobi", "mosek", "copt", "cvxopt", "ecos"], BeforeValidator(spelt(SOLVERS))
]

_ITERATIONS = "Most iterations before it stops. Null: the method's own default."
_FTOL = "Relative change of chi-square at which it has converged."
_GTOL = "Largest projected gradient, relative to chi-square, at which it has converged."
_XTOL = "Step, in scaled coordinates, at which it has converged."


class Method(Section):
    """Settings of one method; they bear the names of its strategy's constructor."""

    max_iterations: OptionalInteger = setting(None, description=_ITERATIONS, ge=1)

    def options(self) -> dict[str, Any]:
        """Return the settings that are not null, as the strategy's constructor takes them."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class GaussNewton(Method):
    """Bounded trust-region Gauss-Newton on the normal equations."""

    ftol: Number = setting(1e-11, description=_FTOL, gt=0, lt=1)
    gtol: Number = setting(1e-9, description=_GTOL, gt=0)
    xtol: Number = setting(1e-10, description=_XTOL, gt=0)


class NelderMead(Method):
    """Simplex search without derivatives."""

    ftol: Number = setting(
        1e-10, description="Spread of chi-square over the simplex, relative, at the end.", gt=0, lt=1
    )
    xtol: Number = setting(1e-7, description="Size of the simplex, in scaled coordinates, at the end.", gt=0)
    initial_step: Number = setting(0.1, description="Edge of the first simplex in scaled coordinates.", gt=0)
    restarts: Integer = setting(2, description="Most fresh simplexes started from the answer.", ge=0, le=100)
    adaptive: Flag = setting(True, description="Whether coefficients depend on the number of parameters.")


class LBFGSB(Method):
    """Limited-memory quasi-Newton with bounds."""

    ftol: Number = setting(1e-13, description=_FTOL, gt=0, lt=1)
    gtol: Number = setting(1e-9, description=_GTOL, gt=0)
    memory: Integer = setting(20, description="Pairs of steps kept to model the curvature.", ge=1, le=1000)


class TRF(Method):
    """Trust-region reflective least squares through SciPy."""

    ftol: Number = setting(1e-12, description=_FTOL, gt=0, lt=1)
    xtol: Number = setting(1e-12, description=_XTOL, gt=0, lt=1)
    gtol: Number = setting(1e-9, description=_GTOL, gt=0)


class Gurobi(Method):
    """Iterative trust-region SQP whose quadratic programs Gurobi solves."""

    norm: Norm = setting("box", description="Shape of the trust region.")
    curvature: Curvature = setting(
        "secant", description="How the off-diagonal Hessian of a plain callable is had: learnt, or left zero."
    )
    initial_radius: Number = setting(0.1, description="First trust radius, in scaled coordinates.", gt=0)
    max_radius: Number = setting(1.0, description="Largest trust radius.", gt=0)
    min_radius: Number = setting(1e-8, description="Trust radius at which it gives up.", gt=0)
    expand: Number = setting(2.0, description="Factor of the radius after a good step.", gt=1, le=10)
    shrink: Number = setting(0.5, description="Factor of the radius after a bad step.", gt=0, lt=1)
    accept: Number = setting(
        1e-4, description="Least ratio of actual to predicted decrease of a good step.", gt=0, lt=1
    )
    ftol: Number = setting(1e-11, description=_FTOL, gt=0, lt=1)
    gtol: Number = setting(1e-9, description=_GTOL, gt=0)
    xtol: Number = setting(1e-10, description=_XTOL, gt=0)

    @model_validator(mode="after")
    def _radii_in_order(self) -> Gurobi:
        if not self.min_radius < self.initial_radius <= self.max_radius:
            raise refuse(
                f"radii {self.min_radius:g}, {self.initial_radius:g}, {self.max_radius:g} are out of order",
                "min_radius < initial_radius <= max_radius",
            )
        return self


class Classical(Section):
    """Least-squares fits; the configured methods run in turn and the best result is kept."""

    methods: Annotated[tuple[ClassicalMethod, ...], BeforeValidator(a_full_list)] = setting(
        ("gauss_newton",), description="Methods that run, in this order."
    )
    gauss_newton: GaussNewton = setting(GaussNewton, description="Settings of gauss_newton.")
    nelder_mead: NelderMead = setting(NelderMead, description="Settings of nelder_mead.")
    lbfgsb: LBFGSB = setting(LBFGSB, description="Settings of lbfgsb.")
    trf: TRF = setting(TRF, description="Settings of trf.")
    gurobi: Gurobi = setting(Gurobi, description="Settings of gurobi.")

    def options(self, method: str) -> dict[str, Any]:
        """Return the settings of one method, as its strategy's constructor takes them."""
        section: Method = getattr(self, method)
        return section.options()


class Wasserstein(Section):
    """Distributionally robust: the worst law within a Wasserstein distance of the data."""

    radius: AutoOrNotNegative = setting(
        "auto", description="Distance of the worst law from the data's; 0 is the plain fit, auto chooses."
    )


class Scenario(Section):
    """The worst, or the worst few, of many block-bootstrap scenarios."""

    n_scenarios: Integer = setting(50, description="Number of bootstrap scenarios.", ge=2, le=10000)
    cvar: OptionalNumber = setting(
        None, description="Mean of this worst fraction of scenarios. Null: the worst one alone.", gt=0, lt=1
    )
    radius: Number = setting(
        1.0, description="How much the worst scenario counts against the data as they are.", ge=0, le=1
    )
    seed: Integer = setting(0, description="Seed of the scenarios.", ge=0)


class Tolerances(Section):
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


class Ellipsoidal(Section):
    """The worst instrument within its calibration tolerances."""

    radius: Number = setting(
        1.0, description="Size of the set in units of the tolerances; 0 is the plain fit.", ge=0, le=100
    )
    tolerances: Tolerances = setting(Tolerances, description="Calibration tolerances.")


class Robust(Section):
    """Min-max fits against a shifted law of the data or a mis-set instrument."""

    methods: Annotated[tuple[RobustMethod, ...], BeforeValidator(a_full_list)] = setting(
        ROBUST_METHODS, description="Robust methods that run when a robust fit is asked for."
    )
    wasserstein: Wasserstein = setting(Wasserstein, description="Settings of wasserstein.")
    scenario: Scenario = setting(Scenario, description="Settings of scenario.")
    ellipsoidal: Ellipsoidal = setting(Ellipsoidal, description="Settings of ellipsoidal.")
    solver: Solver = setting("clarabel", description="Solver of the cone programs.")
    max_iterations: Integer = setting(100, description="Most linearisations before it stops.", ge=1)
    tolerance: Number = setting(
        1e-9, description="Relative decrease of the worst case at which it has converged.", gt=0, lt=1
    )
    price: AutoOrNotNegative | None = setting(
        "auto",
        description="Most that a robust answer may fit worse than the nominal one, in units of what the truth itself "
        "is expected to fit worse. Auto: 1 for wasserstein, one error bar for the others. Null: no limit.",
    )


class Multistart(Section):
    """The search for start values."""

    n: OptionalInteger = setting(
        None,
        description="Number of start vectors that are fitted; 0: the given start alone. Null: the search "
        "decides.",
        ge=0,
        le=10000,
    )
    seed: Integer = setting(0, description="Seed of the starts.", ge=0)


class Optimization(Section):
    """How the model is fitted to the data."""

    classical: Classical = setting(Classical, description="Least-squares methods.")
    robust: Robust = setting(Robust, description="Robust methods.")
    loss: Loss = setting("linear", description="Loss of a pixel's residual; all but linear bound outliers.")
    loss_scale: AutoOrPositive = setting(
        "auto", description="Residual, in units of sigma, beyond which a pixel counts as an outlier."
    )
    contrast: Contrast = setting("per_bin", description="What shares one contrast and offset.")
    multistart: Multistart = setting(Multistart, description="The search for start values.")
    time_limit: OptionalNumber = setting(
        None, description="Time after which a fit stops with its best point. Null: none.", unit="s", gt=0
    )
