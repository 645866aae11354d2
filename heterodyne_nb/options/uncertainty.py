"""Settings of what is asked of a fit afterwards: bootstrap, jackknife, profile, posterior."""

from __future__ import annotations

from typing import Annotated, Any

from heterodyne_nb.options.execution import ExecutionOptions
from heterodyne_nb.options.fields import Flag, Integer, Number, OptionalInteger, Options, one_of, setting


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
