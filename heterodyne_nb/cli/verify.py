"""``heterodyne-nb verify``: whether files can be read to their end, and are as they were written."""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import Any

from heterodyne_nb.cli.arguments import FAILED, OK, add_command, tell
from heterodyne_nb.errors import HeterodyneError, MissingFileError
from heterodyne_nb.guard import SEAL, guarded
from heterodyne_nb.text.escaping import printable

_DATA, _RESULT = "heterodyne_nb.data.open:open_dataset", "heterodyne_nb.result:FitResult.load"
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
    from heterodyne_nb.data.isolated import probe

    if not path.exists():
        raise MissingFileError("there is no such file", where=str(path))
    if path.suffix.lower() in FORMATS:
        ConfigManager(path).require_valid()
        return "a configuration without a mistake"
    if (path / "session.json").exists():
        probe(path, {}, True, "heterodyne_nb.app.session:AnalysisSession.load")
        return _SEALED if b'"sha256"' in (path / "session.json").read_bytes() else _READABLE
    kind, attributes = _DATA, dict[str, Any]()
    with suppress(HeterodyneError):  # the reading that follows says it better
        probe(path, {}, True, f"{__name__}:_attributes")  # of some files HDF5 never returns
        attributes = _attributes(path)
        kind = _RESULT if "schema_version" in attributes else _DATA
    probe(path, {}, True, kind)
    return _SEALED if SEAL in attributes else _READABLE


def _attributes(path: str | Path) -> dict[str, Any]:
    """Those of the root of a netCDF file or Zarr store; none of other files."""
    with guarded(path, "a complete file"):
        if str(path).endswith(".zarr"):
            import zarr

            return dict(zarr.open_group(str(path), mode="r").attrs)
        if str(path).endswith(".nc"):
            import h5py

            with h5py.File(path) as h5file:
                return dict(h5file.attrs)
    return {}
