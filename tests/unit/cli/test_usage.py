"""How the programs answer to what is asked of them: help, wrong flags, errors, interruptions."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from typing import Any

import pytest

from heterodyne_nb import __version__
from heterodyne_nb.cli import app, main, run_heterodyne
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning, OptimizationError

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("program", [main, run_heterodyne])
def test_help_ends_well_and_tells_the_exit_codes(program: Any, capsys: Captured) -> None:
    assert program(["--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "130 interrupted" in told
    assert "2 wrong usage or configuration" in told


@pytest.mark.parametrize("command", ["demo", "fit", "config", "convert"])
def test_every_command_has_its_own_help(command: str, capsys: Captured) -> None:
    assert main([command, "--help"]) == 0
    assert f"heterodyne-nb {command}" in capsys.readouterr().out


def test_the_version_is_told(capsys: Captured) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"heterodyne-nb {__version__}\n"


def test_a_missing_or_unknown_command_is_wrong_usage(capsys: Captured) -> None:
    assert main([]) == 2
    assert main(["dmeo"]) == 2
    assert "invalid choice: 'dmeo'" in capsys.readouterr().err


def test_a_misspelt_flag_is_wrong_usage_and_told_its_neighbour(capsys: Captured) -> None:
    assert main(["fit", "c.json", "--metod=classical"]) == 2
    assert "--metod=classical (did you mean --method?)" in capsys.readouterr().err
    assert run_heterodyne(["--plot-experimental-dta"]) == 2
    assert "did you mean --plot-experimental-data?" in capsys.readouterr().err


def test_flags_are_not_abbreviated(capsys: Captured) -> None:
    assert main(["demo", "--out", "x"]) == 2
    assert "unknown argument --out (did you mean --output?)" in capsys.readouterr().err


def test_verbose_and_quiet_exclude_each_other(capsys: Captured) -> None:
    assert main(["demo", "--verbose", "--quiet"]) == 2
    assert "not allowed with argument" in capsys.readouterr().err


def _raising(error: BaseException) -> Namespace:
    def run(args: Namespace) -> int:
        raise error

    return Namespace(run=run, debug=False)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("no such mode"), 2),
        (DataFormatError("truncated"), 1),
        (OptimizationError("no solver"), 1),
        (PermissionError(13, "Permission denied"), 1),
        (RuntimeError("a bug"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_kind_of_error_has_its_exit_code_and_no_traceback(
    error: BaseException, code: int, capsys: Captured
) -> None:
    assert app._guarded(_raising(error)) == code
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert (str(error) or "interrupted") in told


def test_an_unforeseen_error_is_named_as_a_fault_of_ours(capsys: Captured) -> None:
    app._guarded(_raising(RuntimeError("a bug")))
    assert "a fault in heterodyne_nb, please report it: RuntimeError: a bug" in capsys.readouterr().err


def test_debug_shows_where_an_error_arose(capsys: Captured) -> None:
    args = _raising(DataFormatError("truncated"))
    args.debug = True
    assert app._guarded(args) == 1
    assert "Traceback" in capsys.readouterr().err


def test_our_warnings_are_printed_as_one_plain_line(capsys: Captured) -> None:
    import warnings

    with app._told_warnings():
        warnings.warn("bin 3 is dead", DataWarning, stacklevel=1)
    assert capsys.readouterr().err == "warning: bin 3 is dead\n"


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "heterodyne_nb", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"heterodyne-nb {__version__}\n")


def test_output_cut_short_by_its_reader_is_no_error() -> None:
    line = f"{sys.executable} -m heterodyne_nb config | head -n 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
