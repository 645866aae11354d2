"""The two programs: which commands they have, how they end, and what they say when something is wrong."""

from __future__ import annotations

import sys
import traceback
import warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from heterodyne_nb import __version__
from heterodyne_nb.cli import (
    app_command,
    batch_command,
    classic,
    convert,
    demo,
    fit_command,
    look,
    scan,
    verify,
)
from heterodyne_nb.cli.arguments import FAILED, INTERRUPTED, OK, USAGE, Parser
from heterodyne_nb.errors import ConfigurationError, HeterodyneError, HeterodyneWarning, OutputError
from heterodyne_nb.text.escaping import printable


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``heterodyne-nb``.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process if not given.

    Returns
    -------
    int
        0 done; 1 the fit did not succeed, data are wrong, or nothing could be saved; 2 usage or
        configuration is wrong; 130 interrupted.
    """
    parser = Parser(
        prog="heterodyne-nb",
        description="Heterodyne X-ray photon correlation spectroscopy: from a light source's file to a fit.",
    )
    parser.add_argument("--version", action="version", version=f"heterodyne-nb {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for command in (demo, fit_command, batch_command, app_command, look, scan, convert, verify):
        command.add_to(commands)
    convert.add_config(commands)
    _offer_completion(parser)
    return _run(parser, argv)


def _offer_completion(parser: Parser) -> None:
    """``--print-completion bash`` (zsh, tcsh), where shtab is installed."""
    try:
        import shtab
    except ModuleNotFoundError:
        return
    shtab.add_argument_to(parser, "--print-completion", help="print a script for the shell's tab completion")


def run_heterodyne(argv: Sequence[str] | None = None) -> int:
    """Run ``run_heterodyne``, with the flags that users of heterodyne-analysis know; see :func:`main`."""
    return _run(classic.build_parser(), argv)


def _run(parser: Parser, argv: Sequence[str] | None) -> int:
    try:
        args = parser.parse_args(argv)
    except SystemExit as leaving:  # argparse's way to say --help was asked for (0) or the usage is wrong (2)
        return leaving.code if isinstance(leaving.code, int) else USAGE
    with _told_warnings():
        return _guarded(args)


def _guarded(args: Namespace) -> int:
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, for instance `head`, has seen enough
        sys.stdout = None  # or the interpreter would complain at its end
        return OK
    except HeterodyneError as error:
        wrong_usage = isinstance(error, ConfigurationError) and not isinstance(error, OutputError)
        return _told(error, str(error), args.debug, USAGE if wrong_usage else FAILED)
    except OSError as error:
        return _told(error, str(error), args.debug, FAILED)
    except Exception as error:
        text = f"a fault in heterodyne_nb, please report it: {type(error).__name__}: {error}"
        return _told(error, f"{text}\n  to mend it: run again with --debug to see where", args.debug, FAILED)


def _told(error: Exception, text: str, debug: bool, code: int) -> int:
    if debug:
        traceback.print_exception(error)
    print(printable(f"error: {text}", keep="\n"), file=sys.stderr)
    return code


@contextmanager
def _told_warnings() -> Iterator[None]:
    """Print our own warnings as one plain line each, without the source line that issued them."""

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, HeterodyneWarning):
            print(printable(f"warning: {message}", keep="\n"), file=sys.stderr)
        else:
            plain(message, category, *where, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", HeterodyneWarning)
        plain = warnings.showwarning
        warnings.showwarning = show
        yield
