"""Files appear complete or not at all: write beside the target, then move into place."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heterodyne_nb.errors import ConfigurationError


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; move it onto the target on success.

    Raises
    ------
    ConfigurationError
        The folder does not exist or the target is a folder.
    """
    _check_folder(target)
    if target.is_dir():
        raise ConfigurationError("is a folder, not a file", where=str(target))
    temporary = target.with_name(f".{target.stem}-{secrets.token_hex(6)}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(target: Path, marks: tuple[str, ...]) -> Iterator[Path]:
    """Yield a temporary folder beside the target; exchange it for the target on success.

    Parameters
    ----------
    target : Path
        Folder to create or replace.
    marks : tuple of str
        An existing target is replaced only when it holds one of these files, so that a folder of
        something else is never deleted.

    Raises
    ------
    ConfigurationError
        The parent folder does not exist, or the target exists and is something else.
    """
    _check_folder(target)
    if target.exists() and not any((target / mark).exists() for mark in marks):
        raise ConfigurationError(
            "exists and is not such a store; it is left alone", where=str(target), hint="choose another name"
        )
    work = Path(tempfile.mkdtemp(prefix=f".{target.stem}-", dir=target.parent))
    try:
        fresh = work / "new"
        yield fresh
        if target.exists():
            os.replace(target, work / "old")
        try:
            os.replace(fresh, target)
        except OSError:
            if (work / "old").exists():
                os.replace(work / "old", target)
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check_folder(target: Path) -> None:
    if not target.parent.is_dir():
        raise ConfigurationError(
            f"the folder {target.parent} does not exist", where=str(target), hint="create the folder first"
        )
