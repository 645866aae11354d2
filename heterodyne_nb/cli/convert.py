"""``heterodyne-nb convert`` and ``config``: data, configurations and results of others in another form; a template."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heterodyne_nb.cli.arguments import (
    OK,
    OPENING,
    add_command,
    add_opening,
    add_overwrite,
    numbers,
    opening,
    refuse_existing,
    tell,
)
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.files import write_text
from heterodyne_nb.remote import place
from heterodyne_nb.text.escaping import shell_word

if TYPE_CHECKING:
    from heterodyne_nb.config import ConfigManager

FORMATS = ("yaml", "json", "toml")
_SUFFIXES = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
#: Layout to the function of heterodyne_nb.data that writes it.
WRITERS = {"aps-u": "write_apsu", "aps-legacy": "write_aps_legacy", "nxxpcs": "write_nxxpcs"}

_OWN = (".nc", ".zarr")


def add_to(commands: Any) -> None:
    """Add ``convert`` to the program."""
    parser = add_command(
        commands,
        "convert",
        run,
        "convert a data file between layouts, a configuration between formats, or another package's result "
        "into a configuration that starts from it",
    )
    add = parser.add_argument
    add(
        "input",
        type=place,
        metavar="IN",
        help="data file of any known layout; a configuration of this package, heterodyne-analysis, heterodyne 2 "
        "or xpcsjax; or a result (.json, .npz) of those",
    )
    add("output", type=place, metavar="OUT", help="file to write")
    add(
        "--layout",
        choices=tuple(WRITERS),
        help="layout of an HDF5 file written; .nc and .zarr are this package's own and need none",
    )
    add("--dt", type=float, metavar="SECONDS", help="time step, where IN does not say it")
    add("--start-frame", type=int, metavar="N", help="first frame that a converted result used")
    add("--q", type=numbers, metavar="LIST", help="q in 1/Å to keep; those of plain arrays")
    add("--phi", type=numbers, metavar="LIST", help="angles in degrees to keep; those of plain arrays")
    add_opening(parser)
    add_overwrite(parser, "replace the output if it exists")


def run(args: Namespace) -> int:
    """Read the one file, write the other."""
    from heterodyne_nb.config import ConfigManager
    from heterodyne_nb.config.legacy.results import is_foreign_result

    refuse_existing(args.output, args.overwrite)
    kinds = [_SUFFIXES.get(path.suffix.lower()) for path in (args.input, args.output)]
    if kinds[1] and is_foreign_result(args.input):
        _convert_result(args)
    elif all(kinds):
        _refuse(args, "layout", "dt", "q", "phi", "start_frame", *OPENING)
        _save_valid(ConfigManager(args.input), args.output)
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

    _refuse(args, "layout", "q", "phi", *OPENING)
    result = read_foreign_result(args.input, dt=args.dt, start_frame=args.start_frame)
    _save_valid(ConfigManager.from_dict(result.settings()), args.output)
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


def _save_valid(config: ConfigManager, output: Path) -> None:
    config.require_valid()
    config.save(output)


def _convert_data(args: Namespace) -> None:
    from heterodyne_nb import data

    _refuse(args, "start_frame")
    layout, output = args.layout, args.output
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
    write = getattr(data, WRITERS[layout] if layout else "write_dataset")
    q, phi = (list(values) if values else None for values in (args.q, args.phi))
    write(data.open_dataset(args.input, q=q, phi=phi, dt=args.dt, **opening(args)), output)


def add_config(commands: Any) -> None:
    """Add ``config`` to the program."""
    parser = add_command(commands, "config", run_config, "write a configuration to start from")
    add = parser.add_argument
    add("--mode", default="heterodyne", metavar="MODE", help="analysis mode (default: heterodyne)")
    add(
        "--components",
        type=int,
        metavar="N",
        help="number of components, for mode multicomponent (default: 2)",
    )
    add("--output", type=Path, metavar="FILE", help="file to write; standard output if not given")
    add("--format", choices=FORMATS, help="format; by the file's extension, yaml on standard output")
    add_overwrite(parser, "replace the file if it exists")


def run_config(args: Namespace) -> int:
    """Write the template of a mode."""
    from heterodyne_nb.config import ConfigManager

    text = ConfigManager.template(args.mode, args.components).to_text(_format(args))
    if args.output is None:
        sys.stdout.write(text)
        return OK
    refuse_existing(args.output, args.overwrite)
    write_text(args.output, text)
    command = f"heterodyne-nb fit {shell_word(args.output)}"
    tell(args, f"wrote {args.output}: fill in data.file, then run: {command}")
    return OK


def _format(args: Namespace) -> str:
    if args.output is None:
        return args.format or FORMATS[0]
    by_name = _SUFFIXES.get(args.output.suffix.lower())
    if by_name is None and args.format is None:
        raise ConfigurationError(
            f"the extension {args.output.suffix!r} names no format",
            where=str(args.output),
            expected=", ".join(_SUFFIXES),
            hint="or say it with --format",
        )
    if args.format and by_name not in (None, args.format):
        raise ConfigurationError(
            f"--format {args.format} and the extension disagree",
            where=str(args.output),
            expected="one of the two",
        )
    return str(args.format or by_name)
