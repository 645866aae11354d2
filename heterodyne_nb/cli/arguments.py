"""Argument parsing that helps: no abbreviations, and a misspelt flag is told its nearest neighbour."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import Any

from heterodyne_nb.cli.exits import EXIT_CODES
from heterodyne_nb.errors import ConfigurationError

#: Families of methods a fit can run.
FAMILIES = ("classical", "robust", "all")

#: Help of ``--overwrite`` where fits are saved.
KEPT = "replace earlier results in the folder (default: keep them, and save this fit in run-002, run-003 … beside them)"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that takes flags only in full and suggests the nearest one for a misspelt flag."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("allow_abbrev", False)
        options.setdefault("epilog", EXIT_CODES)
        super().__init__(**options)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, ending with exit code 2 and a hint where an argument is not known."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parser: Parser = getattr(found, "parser", self)
            parser.error("unknown argument " + ", ".join(parser._with_hint(word) for word in unknown))
        return found

    def _with_hint(self, word: str) -> str:
        flags = [flag for action in self._actions for flag in action.option_strings]
        near = difflib.get_close_matches(word.split("=")[0], flags, n=1)
        return f"{word} (did you mean {near[0]}?)" if near else word


def add_talk(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how much a command tells."""
    group = parser.add_argument_group("how much to tell")
    level = group.add_mutually_exclusive_group()
    level.add_argument("--verbose", action="store_true", help="tell every step")
    level.add_argument(
        "--quiet", action="store_true", help="no progress and no summary; warnings and errors stay"
    )
    group.add_argument("--debug", action="store_true", help="show where in the code an error arose")


def add_overwrite(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the flag without which nothing that is there is replaced."""
    parser.add_argument("--overwrite", "--force", action="store_true", help=what)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise ConfigurationError where `path` exists and must not be replaced."""
    if path.exists() and not overwrite:
        raise ConfigurationError(
            "exists and is left as it is", where=str(path), hint="add --overwrite to replace it"
        )


def numbers(text: str) -> tuple[float, ...]:
    """Read ``"0,45,90"`` as numbers; for argparse's ``type=``."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a comma-separated list of numbers") from None


def add_command(commands: Any, name: str, run: Any, help: str) -> Parser:
    """Add one command to the program: its parser, the function that runs it, and the common flags."""
    parser: Parser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    parser.set_defaults(run=run, parser=parser)
    add_talk(parser)
    return parser
