"""``run_heterodyne``: the program and flags that users of heterodyne-analysis know."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from heterodyne_nb import __version__
from heterodyne_nb.cli.arguments import (
    FAMILIES,
    KEPT,
    Parser,
    add_overwrite,
    add_talk,
    numbers,
    refuse_existing,
)
from heterodyne_nb.cli.exits import OK
from heterodyne_nb.cli.outputs import ROOM
from heterodyne_nb.cli.overrides import configured
from heterodyne_nb.cli.running import conclude, fit_and_save
from heterodyne_nb.cli.watching import tell
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.files import check_folder

if TYPE_CHECKING:
    from heterodyne_nb.config import ConfigManager

MODE_FLAGS = {
    "--static-isotropic": "static_isotropic",
    "--static-anisotropic": "static_anisotropic",
    "--laminar-flow": "laminar_flow",
    "--heterodyne": "heterodyne",
}
_PHI = (0.0, 36.0, 72.0, 108.0, 144.0)


def build_parser() -> Parser:
    """The arguments of ``run_heterodyne``."""
    parser = Parser(prog="run_heterodyne", description="Heterodyne XPCS analysis from a configuration file.")
    parser.set_defaults(run=run, parser=parser)
    parser.add_argument("--version", action="version", version=f"run_heterodyne {__version__}")
    parser.add_argument(
        "--config", type=Path, default=Path("heterodyne_config.json"), help="default: %(default)s"
    )
    parser.add_argument("--method", choices=FAMILIES, default="classical", help="default: %(default)s")
    parser.add_argument(
        "--output-dir", type=Path, default=Path("heterodyne_results"), help="default: %(default)s"
    )
    add_overwrite(parser, KEPT)
    parser.add_argument("--data", type=Path, help="data file, instead of the configured one")
    _add_modes(parser)
    _add_plots(parser)
    add_talk(parser)
    return parser


def run(args: Namespace) -> int:
    """Plot what was asked for, or else fit and save."""
    _check_scaling(args)
    config = configured(args.config, {}, data=args.data, mode=args.mode)
    if args.plot_simulated_data or args.plot_experimental_data:
        return _plot(args, config)
    return conclude(args, fit_and_save(args, config, args.method, args.output_dir))


def _plot(args: Namespace, config: ConfigManager) -> int:
    from heterodyne_nb.cli.pictures import EXPERIMENT, SIMULATION, plot_experiment, plot_simulation

    check_folder(args.output_dir, ROOM)
    for wanted, name in (
        (args.plot_simulated_data, SIMULATION),
        (args.plot_experimental_data, EXPERIMENT),
    ):
        if wanted:
            refuse_existing(args.output_dir / name, args.overwrite)
    if args.plot_simulated_data:
        levels = {"contrast": args.contrast, "offset": args.offset}
        given = {name: value for name, value in levels.items() if value is not None}
        path = plot_simulation(config, args.output_dir, phi=args.phi_angles or _PHI, **given)
        tell(args, f"wrote {path}")
    if args.plot_experimental_data:
        path, account = plot_experiment(config, args.output_dir)
        tell(args, "\n".join((*account, f"wrote {path}")))
    tell(args, "figures only, no fit: leave the --plot flags out to fit")
    return OK


def _add_modes(parser: Parser) -> None:
    group = parser.add_argument_group("model, instead of the configured one").add_mutually_exclusive_group()
    for flag, mode in MODE_FLAGS.items():
        group.add_argument(flag, dest="mode", action="store_const", const=mode)


def _add_plots(parser: Parser) -> None:
    group = parser.add_argument_group("figures instead of a fit")
    group.add_argument(
        "--plot-experimental-data",
        action="store_true",
        help="write experimental_data.html: the maps as loaded",
    )
    group.add_argument(
        "--plot-simulated-data",
        action="store_true",
        help="write simulated_data.html: maps of the model at the configured start values",
    )
    group.add_argument(
        "--phi-angles",
        type=numbers,
        metavar="LIST",
        help="angles of the simulated maps in degrees, separated by commas (default: 0,36,72,108,144); "
        "a list that begins with a minus sign is written --phi-angles=-30,0,30",
    )
    group.add_argument("--contrast", type=float, help="simulated c2 = offset + contrast * M (default: 1)")
    group.add_argument("--offset", type=float, help="simulated c2 = offset + contrast * M (default: 0)")


def _check_scaling(args: Namespace) -> None:
    """A flag that would have no effect is an error."""
    if args.plot_simulated_data:
        return
    for name in ("phi_angles", "contrast", "offset"):
        if getattr(args, name) is not None:
            flag = "--" + name.replace("_", "-")
            raise ConfigurationError(
                f"{flag} only concerns simulated maps", hint=f"add --plot-simulated-data, or leave {flag} out"
            )
