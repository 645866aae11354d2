"""``heterodyne-nb fit``: from a configuration to saved results."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from heterodyne_nb.cli.arguments import KEPT, add_command, add_overwrite
from heterodyne_nb.cli.overrides import configured, method_choice
from heterodyne_nb.cli.running import conclude, fit_and_save
from heterodyne_nb.errors import ConfigurationError


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    parser = add_command(
        commands, "fit", run, "fit the data that a configuration names, and save the results"
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="configuration file: JSON, YAML or TOML")
    parser.add_argument(
        "--method",
        metavar="NAMES",
        help="classical, robust, all, or methods separated by commas (default: those of the configuration)",
    )
    parser.add_argument(
        "--robust",
        nargs="?",
        const="",
        metavar="NAMES",
        help="robust methods separated by commas: wasserstein, scenario, ellipsoidal (alone: those configured)",
    )
    parser.add_argument("--radius", type=float, help="size of the set that the robust methods guard against")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder for the results (default: configured)"
    )
    add_overwrite(parser, KEPT)
    parser.add_argument("--data", type=Path, metavar="FILE", help="data file, instead of the configured one")
    parser.add_argument(
        "--time-limit", type=float, metavar="SECONDS", help="stop with the best so far after this"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the fit that was killed or interrupted in the folder of the results",
    )
    parser.add_argument("--multistart", type=int, metavar="N", help="number of further starts")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the further starts")


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
    }
    config = configured(args.config, changes, data=args.data)
    return conclude(args, fit_and_save(args, config, family, args.output))


def _choice(args: Namespace) -> tuple[str, tuple[str, ...] | None, tuple[str, ...] | None]:
    """The family of methods, and the classical and robust ones where they are named."""
    family, methods = method_choice(args.method)
    if args.robust is None:
        return family, methods, None
    if args.method is not None and family != "all":
        raise ConfigurationError("--robust and --method exclude each other", hint="or ask for --method all")
    named = tuple(part.strip() for part in args.robust.split(",")) if args.robust else None
    return ("robust" if args.method is None else family), methods, named


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
