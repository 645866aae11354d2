"""What every command takes and says: flags in full, a configuration changed by flags, exit codes."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heterodyne_nb.errors import ConfigurationError, ConfigurationWarning, MissingFileError, warn
from heterodyne_nb.remote import Place, Remote
from heterodyne_nb.text.escaping import printable

if TYPE_CHECKING:
    from heterodyne_nb.config import ConfigManager

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
EXIT_CODES = (
    "Exit codes: 0 done; 1 the fit did not succeed, the data are wrong, or nothing could be saved; "
    "2 wrong usage or configuration; 130 interrupted."
)

#: Families of methods a fit can run.
FAMILIES = ("classical", "robust", "all")

#: Keywords of ``open_dataset`` that are flags.
OPENING = ("analysis", "units", "keep_empty", "isolated")

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
    level = group.add_mutually_exclusive_group().add_argument
    level("--verbose", action="store_true", help="tell every step")
    level("--quiet", action="store_true", help="no progress and no summary; warnings and errors stay")
    group.add_argument("--debug", action="store_true", help="show where in the code an error arose")


def add_overwrite(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the flag without which nothing that is there is replaced."""
    parser.add_argument("--overwrite", "--force", action="store_true", help=what)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say who does the work."""
    add = parser.add_mutually_exclusive_group().add_argument
    add("--workers", type=int, metavar="N", help="processes that work side by side")
    add("--dask", metavar="ADDRESS", help="scheduler of a dask cluster that works, tcp://host:8786")


def add_opening(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how data files are to be read."""
    add = parser.add_argument_group("how to read the data").add_argument
    add("--analysis", metavar="NAME", help="which of several analyses in a file")
    add(
        "--units",
        type=units,
        metavar="NAME=UNIT,…",
        help="units that a file does not say, such as tau=ms,q=1/nm",
    )
    add("--keep-empty", action="store_true", default=None, help="keep rings and sectors without any data")
    add(
        "--isolated",
        action="store_true",
        default=None,
        help="for data that are not trusted: read them in a process of its own first, with limits of time and memory",
    )


def opening(args: argparse.Namespace) -> dict[str, Any]:
    """What these flags say, as keywords of ``open_dataset``."""
    found = {name: getattr(args, name) for name in OPENING}
    return {name: value for name, value in found.items() if value is not None}


def units(text: str) -> dict[str, str]:
    """Read ``"tau=ms,q=1/nm"``; for argparse's ``type=``."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name.strip() and unit.strip() for name, _, unit in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of NAME=UNIT")
    return {name.strip(): unit.strip() for name, _, unit in pairs}


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


def tell(args: argparse.Namespace, text: str) -> None:
    """Print to standard output unless ``--quiet``."""
    if not args.quiet:
        print(printable(text, keep="\n"))


def configured(
    path: Path, changes: Mapping[str, Any], *, data: Place | None = None, mode: str | None = None
) -> ConfigManager:
    """Load a configuration and replace some of its settings.

    ``path``: The configuration file. ``changes``: Dotted path to new value; None leaves a setting as it is. ``data``:
    Data file to use, relative to the working directory. ``mode``: Analysis mode to use; what the configuration says
    of parameters it does not have is dropped.

    Warns ConfigurationWarning: Naming the parameters that were dropped.
    """
    from heterodyne_nb.config import ConfigManager

    try:
        config = ConfigManager(path)
    except MissingFileError as error:  # to the program this is wrong usage, not wrong data
        raise ConfigurationError(error.message, where=error.where, hint=error.hint) from None
    wanted = {place: value for place, value in changes.items() if value is not None}
    if data is not None:
        wanted |= {
            "data.file": data.url if isinstance(data, Remote) else str(data.resolve()),
            "data.folder": None,
        }
    if mode is not None and mode != config.settings.mode:
        wanted |= _mode_changes(config, mode)
    return config.updated(wanted) if wanted else config


def _mode_changes(config: ConfigManager, mode: str) -> dict[str, Any]:
    """What to change for another mode: its name, and of the parameters only those that it has."""
    from heterodyne_nb.config import mode_parameters

    table = config.parameters
    initial = config.to_dict()["initial_parameters"]
    pairs = zip(table.names, table.values.tolist(), table.given, strict=True)
    initial["values"] = {name: value for name, value, given in pairs if given} or None
    initial["parameter_names"] = None
    known = {spec.name for spec in mode_parameters(mode)}
    dropped: set[str] = set()
    for section, content in initial.items():
        if isinstance(content, dict | list):
            kept = [name for name in content if name.partition(".")[0] in known]
            dropped |= set(content) - set(kept)
            initial[section] = {name: content[name] for name in kept} if isinstance(content, dict) else kept
    if dropped:
        names = ", ".join(sorted(dropped))
        warn(
            f"mode {mode} has no {names}: what the configuration says of them is not used",
            ConfigurationWarning,
        )
    return {"analysis_settings": {"mode": mode}, "initial_parameters": initial}
