"""``heterodyne-nb convert``: a data file, a configuration, or another package's result in another form."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from heterodyne_nb.cli.arguments import add_command, add_overwrite, numbers, refuse_existing
from heterodyne_nb.cli.config_command import config_format
from heterodyne_nb.cli.exits import OK
from heterodyne_nb.cli.watching import tell
from heterodyne_nb.errors import ConfigurationError

#: Layout to the function of heterodyne_nb.data that writes it.
WRITERS = {"aps-u": "write_apsu", "aps-legacy": "write_aps_legacy", "nxxpcs": "write_nxxpcs"}

_OWN = (".nc", ".zarr")


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    parser = add_command(
        commands,
        "convert",
        run,
        "convert a data file between layouts, a configuration between formats, or another package's result "
        "into a configuration that starts from it",
    )
    parser.add_argument(
        "input",
        type=Path,
        metavar="IN",
        help="data file of any known layout; a configuration of this package, heterodyne-analysis, heterodyne 2 "
        "or xpcsjax; or a result (.json, .npz) of those",
    )
    parser.add_argument("output", type=Path, metavar="OUT", help="file to write")
    parser.add_argument(
        "--layout",
        choices=tuple(WRITERS),
        help="layout of an HDF5 file written; .nc and .zarr are this package's own and need none",
    )
    parser.add_argument("--dt", type=float, metavar="SECONDS", help="time step, where IN does not say it")
    parser.add_argument(
        "--start-frame", type=int, metavar="N", help="first frame that a converted result used"
    )
    parser.add_argument("--q", type=numbers, metavar="LIST", help="q in 1/Å to keep; those of plain arrays")
    parser.add_argument(
        "--phi", type=numbers, metavar="LIST", help="angles in degrees to keep; those of plain arrays"
    )
    add_overwrite(parser, "replace the output if it exists")


def run(args: Namespace) -> int:
    """Read the one file, write the other."""
    from heterodyne_nb.config.legacy.results import is_foreign_result

    refuse_existing(args.output, args.overwrite)
    kinds = config_format(args.input), config_format(args.output)
    if kinds[1] and is_foreign_result(args.input):
        _convert_result(args)
    elif all(kinds):
        _convert_config(args)
    elif any(kinds):
        raise ConfigurationError(
            "a configuration cannot become data, nor data a configuration",
            where=f"{args.input.name} to {args.output.name}",
            expected="two data files, or two of .json, .yaml, .yml, .toml",
        )
    else:
        _convert_data(args)
    tell(args, f"wrote {args.output}")
    return OK


def _convert_result(args: Namespace) -> None:
    from heterodyne_nb.config import ConfigManager
    from heterodyne_nb.config.legacy.results import read_foreign_result

    _refuse(args, "layout", "q", "phi")
    result = read_foreign_result(args.input, dt=args.dt, start_frame=args.start_frame)
    config = ConfigManager.from_dict(result.settings())
    config.require_valid()
    config.save(args.output)
    tell(args, f"a result of {result.package}, mode {result.mode}")
    for note in result.notes:
        tell(args, f"- {note}")


def _refuse(args: Namespace, *names: str) -> None:
    unused = [name for name in names if getattr(args, name) is not None]
    if unused:
        raise ConfigurationError(
            f"--{unused[0].replace('_', '-')} does not concern this",
            where=args.output.name,
            hint="leave it out",
        )


def _convert_config(args: Namespace) -> None:
    from heterodyne_nb.config import ConfigManager

    _refuse(args, "layout", "dt", "q", "phi", "start_frame")
    config = ConfigManager(args.input)
    config.require_valid()
    config.save(args.output)


def _convert_data(args: Namespace) -> None:
    from heterodyne_nb import data

    _refuse(args, "start_frame")
    write = getattr(data, _writer(args.layout, args.output))
    q, phi = (list(values) if values else None for values in (args.q, args.phi))
    write(data.open_dataset(args.input, q=q, phi=phi, dt=args.dt), args.output)


def _writer(layout: str | None, output: Path) -> str:
    """The function of heterodyne_nb.data that writes a layout into a file of this name."""
    own = output.suffix.lower() in _OWN
    if layout is None and not own:
        raise ConfigurationError(
            f"the extension {output.suffix!r} does not say which layout to write",
            where=output.name,
            expected=f"{' or '.join(_OWN)}, or --layout with one of {', '.join(WRITERS)}",
        )
    if layout is not None and own:
        raise ConfigurationError(
            f"{output.suffix} is this package's own layout, not {layout}", where=output.name, expected=".h5"
        )
    return WRITERS[layout] if layout else "write_dataset"
