"""``heterodyne-nb config``: a configuration to start from."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from heterodyne_nb.cli.arguments import add_command, add_overwrite, refuse_existing
from heterodyne_nb.cli.exits import OK
from heterodyne_nb.cli.watching import tell
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.files import write_text
from heterodyne_nb.text.escaping import shell_word

FORMATS = ("yaml", "json", "toml")
_SUFFIXES = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    parser = add_command(commands, "config", run, "write a configuration to start from")
    parser.add_argument(
        "--mode", default="heterodyne", metavar="MODE", help="analysis mode (default: heterodyne)"
    )
    parser.add_argument(
        "--components",
        type=int,
        metavar="N",
        help="number of components, for mode multicomponent (default: 2)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="file to write; standard output if not given"
    )
    parser.add_argument(
        "--format", choices=FORMATS, help="format; by the file's extension, yaml on standard output"
    )
    add_overwrite(parser, "replace the file if it exists")


def run(args: Namespace) -> int:
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


def config_format(path: Path) -> str | None:
    """The configuration format a file's extension names, or None."""
    return _SUFFIXES.get(path.suffix.lower())


def _format(args: Namespace) -> str:
    if args.output is None:
        return args.format or FORMATS[0]
    by_name = config_format(args.output)
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
