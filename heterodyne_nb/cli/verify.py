"""``heterodyne-nb verify``: whether files can be read to their end, and are as they were written."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from heterodyne_nb.cli.arguments import FAILED, OK, add_command, tell
from heterodyne_nb.errors import HeterodyneError
from heterodyne_nb.guard import SEAL, guarded
from heterodyne_nb.text.escaping import printable

_SEALED = "as it was written: its checksum fits"
_READABLE = "can be read to its end; this kind of file carries no checksum"


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    about = "read files to their end and hold results, datasets and sessions against their checksums"
    parser = add_command(commands, "verify", run, about)
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="data file, result, session or configuration"
    )


def run(args: Namespace) -> int:
    """Tell of each file; 1 where one is damaged."""
    code = OK
    for path in args.files:
        try:
            tell(args, f"{path}: {_verdict(path)}")
        except HeterodyneError as error:
            print(printable(f"error: {error}", keep="\n"), file=sys.stderr)
            code = FAILED
    return code


def _verdict(path: Path) -> str:
    from heterodyne_nb.config import ConfigManager
    from heterodyne_nb.config.files import FORMATS
    from heterodyne_nb.data import open_dataset
    from heterodyne_nb.result import FitResult

    if (path / "session.json").exists():
        from heterodyne_nb.app.session.store import history_from, read_session

        with guarded(path, "a folder written by AnalysisSession.save, complete"):
            record = read_session(path)
            history_from(record, path)
        return _SEALED if "sha256" in record else _READABLE
    if path.suffix.lower() in FORMATS:
        ConfigManager(path).require_valid()
        return "a configuration without a mistake"
    attributes = _attributes(path)
    if "schema_version" in attributes:
        FitResult.load(path)
    else:
        open_dataset(path, isolated=True).close()
    return _SEALED if SEAL in attributes else _READABLE


def _attributes(path: Path) -> dict[str, Any]:
    """Those of the root of a netCDF file or Zarr store; none of other files."""
    with guarded(path, "a complete file"):
        if path.suffix == ".zarr":
            import zarr

            return dict(zarr.open_group(str(path), mode="r").attrs)
        if path.suffix == ".nc":
            import h5py

            with h5py.File(path) as h5file:
                return dict(h5file.attrs)
    return {}
