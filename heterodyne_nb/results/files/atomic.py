"""Files appear complete or not at all: write beside the target, then move into place."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from os import replace
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
        replace(temporary, target)
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
            replace(target, work / "old")
        replace(fresh, target)
    finally:
        _put_back(work / "old", target)
        _remove(work)


def _put_back(old: Path, target: Path) -> None:
    """Undo half an exchange; where even that fails, the error leaves the old folder where it is."""
    if old.exists() and not target.exists():
        replace(old, target)


def _remove(folder: Path) -> None:
    """Remove a folder into which a failed writer's threads may still be writing."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


def _check_folder(target: Path) -> None:
    if not target.parent.is_dir():
        raise ConfigurationError(
            f"the folder {target.parent} does not exist", where=str(target), hint="create the folder first"
        )
