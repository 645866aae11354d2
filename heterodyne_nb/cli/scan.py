"""``heterodyne-nb scan``: the runs of a folder as a table."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from heterodyne_nb.cli.arguments import (
    OK,
    add_command,
    add_opening,
    add_overwrite,
    opening,
    refuse_existing,
    tell,
)
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.files import write_text
from heterodyne_nb.text.escaping import csv_table, printable


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    parser = add_command(
        commands, "scan", run, "list the runs of a folder: what they hold, and how good they are"
    )
    parser.add_argument("folder", metavar="FOLDER", help='a folder, or a pattern such as "run_*.hdf"')
    parser.add_argument(
        "--output", type=Path, metavar="FILE.csv", help="write the table there, all its columns"
    )
    add_opening(parser)
    add_overwrite(parser, "replace the output if it exists")


def run(args: Namespace) -> int:
    """Print the table, or write it."""
    from heterodyne_nb.data import scan_folder

    if args.output is not None:
        if args.output.suffix.lower() != ".csv":
            raise ConfigurationError("is no name of a table", where=str(args.output), expected="FILE.csv")
        refuse_existing(args.output, args.overwrite)
    table = scan_folder(args.folder, **opening(args))
    if args.output is not None:
        write_text(args.output, csv_table(table))
        tell(
            args,
            f"wrote {args.output}: {len(table)} files, {int((table['problem'] != '').sum())} with a problem",
        )
        return OK
    short = table.dropna(axis=1, how="all").loc[:, lambda t: (t != "").any()]
    print(printable(short.to_string(index=False, na_rep="", float_format="{:.4g}".format), keep="\n"))
    return OK
