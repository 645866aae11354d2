"""``run_heterodyne``: the program and flags that users of heterodyne-analysis know."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heterodyne_nb import __version__
from heterodyne_nb.cli.arguments import (
    FAMILIES,
    KEPT,
    OK,
    Parser,
    add_overwrite,
    add_talk,
    configured,
    numbers,
    refuse_existing,
    tell,
)
from heterodyne_nb.cli.running import ROOM, conclude, fit_and_save
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.files import check_folder, make_folder
from heterodyne_nb.remote import place

if TYPE_CHECKING:
    import xarray as xr

    from heterodyne_nb.config import ConfigManager

MODE_FLAGS = {
    "--static-isotropic": "static_isotropic",
    "--static-anisotropic": "static_anisotropic",
    "--laminar-flow": "laminar_flow",
    "--heterodyne": "heterodyne",
}
#: File names of the figures without a fit.
EXPERIMENT, SIMULATION = "experimental_data.html", "simulated_data.html"
#: Frames of a simulated map where the configuration names no last frame; its angles in degrees where none are named.
_FRAMES = 200
_PHI = (0.0, 36.0, 72.0, 108.0, 144.0)


def build_parser() -> Parser:
    """The arguments of ``run_heterodyne``."""
    parser = Parser(prog="run_heterodyne", description="Heterodyne XPCS analysis from a configuration file.")
    parser.set_defaults(run=run, parser=parser)
    add = parser.add_argument
    add("--version", action="version", version=f"run_heterodyne {__version__}")
    add("--config", type=Path, default=Path("heterodyne_config.json"), help="default: %(default)s")
    add("--method", choices=FAMILIES, default="classical", help="default: %(default)s")
    add("--output-dir", type=Path, default=Path("heterodyne_results"), help="default: %(default)s")
    add_overwrite(parser, KEPT)
    add("--data", type=place, help="data file, instead of the configured one")
    group = parser.add_argument_group("model, instead of the configured one").add_mutually_exclusive_group()
    for flag, mode in MODE_FLAGS.items():
        group.add_argument(flag, dest="mode", action="store_const", const=mode)
    add = parser.add_argument_group("figures instead of a fit").add_argument
    add("--plot-experimental-data", action="store_true", help=f"write {EXPERIMENT}: the maps as loaded")
    add(
        "--plot-simulated-data",
        action="store_true",
        help=f"write {SIMULATION}: maps of the model at the configured start values",
    )
    add(
        "--phi-angles",
        type=numbers,
        metavar="LIST",
        help="angles of the simulated maps in degrees, separated by commas (default: 0,36,72,108,144); "
        "a list that begins with a minus sign is written --phi-angles=-30,0,30",
    )
    add("--contrast", type=float, help="simulated c2 = offset + contrast * M (default: 1)")
    add("--offset", type=float, help="simulated c2 = offset + contrast * M (default: 0)")
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
    """Figures without a fit: maps of the model at the start values, and the data as they were loaded."""
    from heterodyne_nb import plots
    from heterodyne_nb.analysis.loading import load

    folder = args.output_dir
    check_folder(folder, ROOM)
    for wanted, name in ((args.plot_simulated_data, SIMULATION), (args.plot_experimental_data, EXPERIMENT)):
        if wanted:
            refuse_existing(folder / name, args.overwrite)
    if args.plot_simulated_data:
        contrast = 1.0 if args.contrast is None else args.contrast
        figure = plots.c2(simulated(config, args.phi_angles or _PHI, contrast, args.offset or 0.0))
        figure.layout.title.text += f", model {config.settings.model} at its start values"
        make_folder(folder)
        tell(args, f"wrote {plots.save_html(figure, folder / SIMULATION)}")
    if args.plot_experimental_data:
        loaded = load(config)
        make_folder(folder)
        path = plots.save_html(plots.c2(loaded.dataset), folder / EXPERIMENT)
        tell(args, "\n".join((*loaded.account, f"wrote {path}")))
    tell(args, "figures only, no fit: leave the --plot flags out to fit")
    return OK


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


def simulated(config: ConfigManager, phi: Sequence[float], contrast: float, offset: float) -> xr.Dataset:
    """The model's maps at the start values, as a Dataset with dims (q, phi, t1, t2)."""
    from heterodyne_nb.data import prepare
    from heterodyne_nb.simulate import model_maps

    settings = config.settings
    first, last = settings.temporal.frames
    last = last or first + _FRAMES - 1
    maps = model_maps(
        settings.model,
        config.parameters.values,
        q=_needed(settings.scattering.wavevector_q, "scattering.wavevector_q", "1/Å"),
        phi=phi,
        n_frames=last,
        dt=_needed(settings.temporal.dt, "temporal.dt", "s"),
        contrast=contrast,
        offset=offset,
        gap=settings.geometry.gap,
    )
    return prepare.crop_frames(maps, first, last)


def _needed(value: Any, where: str, unit: str) -> Any:
    if value is None:
        raise ConfigurationError("is needed to simulate maps", where=where, expected=f"a value in {unit}")
    return value
