"""Settings of a fit: model, method and its own settings, loss, contrast, search, limits; how it is run, and its errors."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, create_model, model_validator

from heterodyne_nb.options.fields import (
    AutoOrPositive,
    Choice,
    Flag,
    Integer,
    Number,
    OptionalInteger,
    OptionalNumber,
    Options,
    Text,
    a_number,
    one_of,
    refuse,
    setting,
)
from heterodyne_nb.options.problems import nearest, shown
from heterodyne_nb.options.registry import Registry

_FTOL = "Relative change of chi-square at which it has converged."
_GTOL = "Largest projected gradient, relative to chi-square, at which it has converged."
_XTOL = "Step, in scaled coordinates, at which it has converged."


class MethodOptions(Options):
    """Settings of a method; they bear the names of its strategy's constructor."""

    max_iterations: OptionalInteger = setting(
        None, description="Most iterations before it stops. Null: the method's own default.", ge=1
    )


class GaussNewtonOptions(MethodOptions):
    """Bounded trust-region Gauss-Newton on the normal equations."""

    damping: Number = setting(1e-3, description="First damping, relative to the diagonal.", gt=0)
    accept: Number = setting(
        1e-3, description="Least ratio of actual to predicted decrease of a good step.", gt=0, lt=1
    )
    ftol: Number = setting(1e-10, description=_FTOL, gt=0, lt=1)
    gtol: Number = setting(1e-10, description=_GTOL, gt=0)
    xtol: Number = setting(1e-10, description=_XTOL, gt=0)


class NelderMeadOptions(MethodOptions):
    """Simplex search without derivatives."""

    ftol: Number = setting(
        1e-10, description="Spread of chi-square over the simplex, relative, at the end.", gt=0, lt=1
    )
    xtol: Number = setting(1e-7, description="Size of the simplex, in scaled coordinates, at the end.", gt=0)
    initial_step: Number = setting(0.1, description="Edge of the first simplex in scaled coordinates.", gt=0)
    restarts: Integer = setting(2, description="Most fresh simplexes started from the answer.", ge=0, le=100)
    adaptive: Flag = setting(True, description="Whether coefficients depend on the number of parameters.")


class LBFGSBOptions(MethodOptions):
    """Limited-memory quasi-Newton with bounds."""

    ftol: Number = setting(1e-13, description=_FTOL, gt=0, lt=1)
    gtol: Number = setting(1e-9, description=_GTOL, gt=0)
    memory: Integer = setting(20, description="Pairs of steps kept to model the curvature.", ge=1, le=1000)


class TRFOptions(MethodOptions):
    """Trust-region reflective least squares through SciPy."""

    ftol: Number = setting(1e-12, description=_FTOL, gt=0, lt=1)
    xtol: Number = setting(1e-12, description=_XTOL, gt=0, lt=1)
    gtol: Number = setting(1e-9, description=_GTOL, gt=0)
    initial_radius: Number = setting(0.1, description="First trust radius, in scaled coordinates.", gt=0)


class GurobiOptions(MethodOptions):
    """Iterative trust-region SQP whose quadratic programs Gurobi solves."""

    norm: Annotated[Literal["box", "ball"], one_of("norm", "box", "ball")] = setting(
        "box", description="Shape of the trust region."
    )
    curvature: Annotated[Literal["secant", "diagonal"], one_of("curvature", "secant", "diagonal")] = setting(
        "secant", description="How the off-diagonal Hessian of a plain callable is had: learnt, or left zero."
    )
    initial_radius: Number = setting(0.1, description="First trust radius, in scaled coordinates.", gt=0)
    max_radius: Number = setting(1.0, description="Largest trust radius.", gt=0)
    min_radius: Number = setting(1e-8, description="Trust radius at which it gives up.", gt=0)
    expand: Number = setting(2.0, description="Factor of the radius after a good step.", ge=1, le=10)
    shrink: Number = setting(0.5, description="Factor of the radius after a bad step.", gt=0, lt=1)
    accept: Number = setting(
        1e-4, description="Least ratio of actual to predicted decrease of a good step.", gt=0, lt=1
    )
    ftol: Number = setting(1e-9, description=_FTOL, gt=0, lt=1)
    gtol: Number = setting(1e-9, description=_GTOL, gt=0)
    xtol: Number = setting(1e-10, description=_XTOL, gt=0)

    @model_validator(mode="after")
    def _radii_in_order(self) -> Self:
        if not self.min_radius <= self.initial_radius <= self.max_radius:
            raise refuse(
                f"radii {self.min_radius:g}, {self.initial_radius:g}, {self.max_radius:g} are out of order",
                "min_radius <= initial_radius <= max_radius",
            )
        return self


#: Settings of the built-in methods.
METHOD_OPTIONS: dict[str, type[MethodOptions]] = {
    "gauss_newton": GaussNewtonOptions,
    "nelder_mead": NelderMeadOptions,
    "lbfgsb": LBFGSBOptions,
    "trf": TRFOptions,
    "gurobi": GurobiOptions,
}
#: Analysis modes; the models put theirs in.
MODES: Registry[Any] = Registry(
    "analysis mode", aliases={"twocomponent": "heterodyne", "laminar": "laminar_flow"}
)
#: Strategies by name; installed packages announce theirs in the entry-point group.
METHODS: Registry[Any] = Registry(
    "method",
    METHOD_OPTIONS,
    aliases={"gurobi_trust_region": "gurobi", "lm": "gauss_newton", "trust_region_reflective": "trf"},
    group="heterodyne_nb.strategies",
)
LOSSES: Registry[Any] = Registry("loss", ("linear", "huber", "soft_l1", "cauchy", "tukey"))
#: How contrast and offset may be tied over bins.
CONTRASTS: Registry[Any] = Registry("contrast mode", ("per_bin", "shared", "per_q", "smooth_phi"))

Mode = Annotated[str, Choice(MODES)]
Method = Annotated[str, Choice(METHODS)]
#: Settings that every strategy has and no person types: they belong to the call, not to the method.
_OF_THE_CALL = ("bounds", "scale", "on_progress", "stop")


def method_options(method: str) -> type[Options]:
    """The settings of a method; those of one's own strategy are read from its constructor.

    Raises ConfigurationError: There is no such method.
    """
    name = METHODS.find(method)
    if name in METHOD_OPTIONS:
        return METHOD_OPTIONS[name]
    kinds: dict[type, Any] = {bool: Flag, int: Integer, float: Number, str: Text}
    fields: dict[str, Any] = {}
    for each in inspect.signature(METHODS[name]).parameters.values():
        if each.name not in _OF_THE_CALL and each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD):
            given = None if each.default is each.empty else each.default
            fields[each.name] = kinds.get(type(given), Any), Field(given, description=f"See {name}.")
    return create_model(name, __base__=Options, __doc__=f"Settings of {name}.", **fields)


class SearchOptions(Options):
    """How wide a fit searches for its start."""

    samples: Integer = setting(800, description="Start vectors compared by chi-square.", ge=0)
    starts: Integer = setting(16, description="How many of them are fitted on fewer frames.", ge=0)
    rounds: tuple[tuple[int, int], ...] = setting(
        ((16, 10), (6, 20), (3, 60)),
        description="How many of the best are fitted on in each round, for at most how many iterations.",
    )
    hops: Integer = setting(
        3, description="Most rounds of hops from the best optimum to other basins.", ge=0, le=1000
    )
    kicks: Integer = setting(
        10, description="Random hops in a round, besides those that the model suggests.", ge=0
    )
    finish: Integer = setting(4, description="How many distinct optima are fitted on all pixels.", ge=1)
    screen_frames: Integer = setting(
        70, description="Frames on which start vectors are compared; all, when the run is shorter.", ge=2
    )
    coarse_frames: Integer = setting(120, description="Frames of the fits before the last.", ge=2)
    agree: Number = setting(
        1e-5, description="Two fits with chi-square this close, relative, are one optimum.", gt=0
    )
    batches: Integer = setting(3, description="Most batches of starts.", ge=1)
    repeats: Integer = setting(2, description="How often the best optimum must have been found.", ge=1)
    good: Number = setting(
        1.02, description="Reduced chi-square above which another batch is drawn all the same.", gt=0
    )
    seed: Integer = setting(0, description="Seed of the search.", ge=0)


class CommonOptions(Options):
    """What plain and robust fits are told alike."""

    contrast: Annotated[str, Choice(CONTRASTS)] = setting(
        "per_bin", description="How contrast and offset are tied over bins."
    )
    loss: Annotated[str, Choice(LOSSES)] = setting(
        "linear", description="Loss of a pixel's residual; all but linear bound outliers."
    )
    loss_scale: AutoOrPositive = setting(
        "auto", description="Residual, in units of sigma, beyond which a pixel counts as an outlier."
    )
    time_limit: OptionalNumber = setting(
        None, description="Time after which a fit stops with its best point. Null: none.", unit="s", gt=0
    )


class CallOptions(CommonOptions):
    """What the calls of plain and robust fits share; in a configuration these have sections of their own."""

    mode: Mode = setting("heterodyne", description="Analysis mode, which fixes the model and its parameters.")
    multistart: OptionalInteger = setting(
        None,
        description="Number of start vectors that are fitted; 0: the given start alone. Null: the search "
        "decides.",
        ge=0,
    )
    seed: Integer = setting(0, description="Seed of the search.", ge=0)
    gap: OptionalNumber = setting(
        None, description="Gap across which the flow is sheared; mode laminar_flow needs it.", unit="Å", gt=0
    )


class FitOptions(CallOptions):
    """How to fit; see :func:`heterodyne_nb.fit`, whose keywords these are."""

    method: Method = setting("gauss_newton", description="Strategy that minimises chi-square.")
    via: Annotated[str, one_of("way", "auto", "map", "frames")] = setting(
        "auto",
        description="For detector frames: through a two-time map or without one. Auto: what costs less.",
    )
    integral: Annotated[str, one_of("integral", "exact", "trapezoid", "rectangle")] = setting(
        "exact",
        description="How two-time models integrate curves over time; the last two are sums over frames, to reproduce "
        "figures of packages that integrate so.",
    )
    options: dict[str, Any] = setting(dict, description="Settings of the method.")

    @model_validator(mode="after")
    def _method_knows_its_settings(self) -> Self:
        """Only checked: what was stated stays as it was, so that a record says it alone."""
        if isinstance(self.method, str):  # a strategy that is made has its settings
            method_options(self.method).read(
                self.options, where=self.method, kind=f"setting of method {self.method!r}:"
            )
        return self

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``fit``: the mode, and whatever is not its default."""
        given = self.stated()
        if self.loss == "linear":
            given.pop("loss_scale", None)
        given.pop("mode", None)
        return {"mode": self.mode, **given}

    def search(self) -> SearchOptions:
        """How wide to search: not at all when multistart is 0."""
        base = SearchOptions(seed=self.seed)
        if self.multistart is None:
            return base
        if self.multistart == 0:
            return base.model_copy(update={"samples": 0, "starts": 0})
        first = (self.multistart, base.rounds[0][1])
        wider = {"starts": self.multistart, "samples": max(base.samples, 20 * self.multistart)}
        return base.model_copy(update={**wider, "rounds": (first, *base.rounds[1:])})


def method_settings(method: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a method that differ from its defaults."""
    return method_options(method).read(values, where=method).stated()


#: Executors by name; anything with a colon is the address of a dask scheduler.
EXECUTORS = ("serial", "threads", "processes")
_SIZES = {"MB": 1e6, "GB": 1e9, "TB": 1e12, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40}
_SIZE = re.compile(r"([\d.]+(?:e\d+)?)\s*(%|" + "|".join(_SIZES) + ")")


def is_client(value: Any) -> bool:
    """Whether this is a client of dask.distributed, told without importing it."""
    return any(
        kind.__module__.partition(".")[0] == "distributed" for kind in type(value).__mro__
    ) and hasattr(value, "get_executor")


def an_executor(value: Any) -> Any:
    """Pass what can do work: a name, an address, an executor of concurrent.futures, or a dask client."""
    if value is None or isinstance(value, Executor) or is_client(value) or hasattr(value, "slots"):
        return value
    if isinstance(value, str) and (value in EXECUTORS or re.fullmatch(r"(\w+://)?\S+:\d+", value)):
        return value
    likely = nearest(value, EXECUTORS) if isinstance(value, str) else None
    raise refuse(
        f"{shown(value)} is no executor",
        f"{', '.join(EXECUTORS)}, the address of a dask scheduler (tcp://host:8786), an executor of "
        "concurrent.futures, or a dask.distributed.Client",
        f"did you mean {likely!r}?" if likely else "",
    )


def a_size(value: Any) -> Any:
    """Pass a size of memory: a number of bytes, ``"3 GB"``, or a share of what is free, ``"50 %"``."""
    if value is None:
        return None
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if isinstance(value, str) and found is None:
        raise refuse(
            f"{shown(value)} is no size of memory", "bytes, a text such as '3 GB', or '50 %' of what is free"
        )
    number = a_number(float(found[1]) if found else value)
    if number <= 0 or (found and found[2] == "%" and number > 100):
        raise refuse(f"{shown(value)} is out of range", "more than 0, and at most 100 %")
    return value


def bytes_of(size: Any, free: float) -> float:
    """The bytes of a size that :func:`a_size` has passed, so many being free."""
    if isinstance(size, str):
        number, unit = _SIZE.fullmatch(size.strip()).groups()  # type: ignore[union-attr]
        return float(number) * (free / 100 if unit == "%" else _SIZES[unit])
    return float(size)


class ExecutionOptions(Options):
    """Where work is done, and in how much memory; no number depends on them."""

    executor: Annotated[Any, BeforeValidator(an_executor)] = setting(
        None,
        description="Who does the work: serial, threads, processes, or the address of a dask scheduler. Null: this "
        "process, or processes where workers are more than 1.",
    )
    workers: OptionalInteger = setting(
        None, description="Threads or processes. Null: one, or as many as there are cores.", ge=1
    )
    memory: Annotated[Any, BeforeValidator(a_size)] = setting(
        "50 %",
        description="What the maps of a fit may take: bytes, a text such as 3 GB, or a share of what is free. Larger "
        "ones are kept in a temporary file and pass through memory bin by bin.",
    )


class _DividedOptions(Options):
    """Settings of work that can be divided among workers."""

    executor: Any = ExecutionOptions.same("executor")
    workers: OptionalInteger = ExecutionOptions.same("workers")


class BootstrapOptions(_DividedOptions):
    """Keywords of :func:`heterodyne_nb.bootstrap`."""

    n: Integer = setting(500, description="Number of draws.", ge=2)
    seed: Integer = setting(0, description="Same seed, same draws.", ge=0)
    kind: Annotated[str, one_of("kind", "blocks", "bins", "both")] = setting(
        "blocks", description="What is drawn."
    )
    blocks: Integer = setting(12, description="Blocks of frames.", ge=2)
    weights: Annotated[str, one_of("weights", "exponential", "poisson")] = setting(
        "exponential", description="Law of the weights; each has mean 1 and variance 1."
    )
    match: Flag = setting(True, description="Whether the draws are carried onto the dyadic covariance.")
    common_frames: Flag = setting(False, description="One set of block weights for all bins.")
    steps: Integer = setting(1, description="Gauss-Newton steps a draw.", ge=1)


class JackknifeOptions(_DividedOptions):
    """Keywords of :func:`heterodyne_nb.jackknife`."""

    over: Annotated[str, one_of("group of bins", "phi", "q", "bin")] = setting(
        "phi", description="What is left out."
    )
    refit: Flag = setting(False, description="Fit the rest to convergence instead of by one step.")


class SampleOptions(Options):
    """Keywords of :meth:`heterodyne_nb.FitResult.sample`."""

    n: Integer = setting(600, description="Steps of the walkers that are kept.", ge=4)
    walkers: Integer = setting(32, description="Walkers, at least twice as many as fitted numbers.", ge=4)
    burn: Integer = setting(100, description="Steps before those.", ge=0)
    seed: Integer = setting(0, description="Same seed, same draws.", ge=0)


class ProfileOptions(_DividedOptions):
    """Keywords of :func:`heterodyne_nb.profile`."""

    level: Number = setting(0.95, description="Level of the interval the walk has to reach.", gt=0, lt=1)
    max_iterations: Integer = setting(100, description="Most iterations of the refit at each point.", ge=1)
