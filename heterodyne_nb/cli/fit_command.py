"""``heterodyne-nb fit``: from a configuration to saved results."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from heterodyne_nb.cli.arguments import (
    FAMILIES,
    KEPT,
    add_command,
    add_opening,
    add_overwrite,
    add_workers,
    configured,
    opening,
)
from heterodyne_nb.cli.running import conclude, fit_and_save
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.remote import place


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    about = "fit the data that a configuration names, and save the results"
    parser = add_command(commands, "fit", run, about)
    add = parser.add_argument
    add("config", type=Path, metavar="CONFIG", help="configuration file: JSON, YAML or TOML")
    add(
        "--method",
        metavar="NAMES",
        help="classical, robust, all, or methods separated by commas (default: those of the configuration)",
    )
    add(
        "--robust",
        nargs="?",
        const="",
        metavar="NAMES",
        help="robust methods separated by commas: wasserstein, scenario, ellipsoidal (alone: those configured)",
    )
    add("--radius", type=float, help="size of the set that the robust methods guard against")
    add("--output", type=Path, metavar="DIR", help="folder for the results (default: configured)")
    add_overwrite(parser, KEPT)
    add("--data", type=place, metavar="FILE", help="data file, instead of the configured one")
    add("--time-limit", type=float, metavar="SECONDS", help="stop with the best so far after this")
    add(
        "--resume",
        action="store_true",
        help="go on with the fit that was killed or interrupted in the folder of the results",
    )
    add("--multistart", type=int, metavar="N", help="number of further starts")
    add("--seed", type=int, metavar="N", help="seed of the further starts")
    add_workers(parser)
    add(
        "--memory",
        metavar="SIZE",
        help="what maps may take, '3 GB' or '50 %%' of what is free (default: configured)",
    )
    add_opening(parser)


def run(args: Namespace) -> int:
    """Fit and save."""
    family, methods, robust = _choice(args)
    changes = {
        "optimization.classical.methods": methods,
        "optimization.robust.methods": robust,
        **_radii(args),
        "optimization.time_limit": args.time_limit,
        "optimization.multistart.n": args.multistart,
        "optimization.multistart.seed": args.seed,
        "execution.executor": args.dask,
        "execution.workers": args.workers,
        "execution.memory": args.memory,
        **{f"data.{name}": value for name, value in opening(args).items()},
    }
    config = configured(args.config, changes, data=args.data)
    return conclude(args, fit_and_save(args, config, family, args.output))


def _choice(args: Namespace) -> tuple[str, tuple[str, ...] | None, tuple[str, ...] | None]:
    """The family of methods, and the classical and robust ones where they are named."""
    named = args.method is not None and args.method not in FAMILIES
    family = "classical" if args.method is None or named else args.method
    methods = _words(args.method) if named else None
    if args.robust is None:
        return family, methods, None
    if args.method is not None and family != "all":
        raise ConfigurationError("--robust and --method exclude each other", hint="or ask for --method all")
    return (
        ("robust" if args.method is None else family),
        methods,
        _words(args.robust) if args.robust else None,
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _radii(args: Namespace) -> dict[str, float]:
    if args.radius is None:
        return {}
    if args.robust is None and args.method not in ("robust", "all"):
        raise ConfigurationError(
            "--radius only concerns robust methods", hint="add --robust, or leave it out"
        )
    return {
        f"optimization.robust.{name}.radius": args.radius
        for name in ("wasserstein", "scenario", "ellipsoidal")
    }
