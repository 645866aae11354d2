"""A session that saves itself: after each action, into a folder of its own, from which a page goes on."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from heterodyne_nb.app.session import store
from heterodyne_nb.app.session.session import AnalysisSession
from heterodyne_nb.app.session.state import CHOICES
from heterodyne_nb.errors import HeterodyneError, OutputError, heard_by
from heterodyne_nb.files import make_folder, write_text

#: Where sessions that save themselves are kept, instead of the user's data folder.
HOME = "HETERODYNE_NB_SESSIONS"
#: Actions within this time, in s, are one writing.
_SOON = 0.3
_INDEX = "session.json"


def sessions_home() -> Path:
    """The folder of the sessions that saved themselves."""
    if given := os.environ.get(HOME):
        return Path(given)
    import platformdirs

    return platformdirs.user_data_path("heterodyne_nb") / "sessions"


def recent_sessions(limit: int = 20) -> Iterator[tuple[str, Path]]:
    """Label and folder of the sessions that saved themselves, the latest first."""
    found: list[tuple[float, Path]] = []
    with suppress(OSError):
        for index in sessions_home().glob(f"*/{_INDEX}"):
            with suppress(OSError):
                found.append((index.stat().st_mtime, index.parent))
    for changed, folder in sorted(found, reverse=True)[:limit]:
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            data, count = record["data"], len(record["history"])
            name = (
                "no run"
                if data is None
                else "data in memory"
                if data.get("inside")
                else Path(data["path"]).name
            )
            when = datetime.fromtimestamp(changed).strftime("%d %b %H:%M:%S")
            yield f"{name} · {count} fit{'' if count == 1 else 's'} · {when}", folder


class Autosave:
    """Writes a session to its folder soon after each action; what is running is written down, too.

    Parameters
    ----------
    session : AnalysisSession
    folder : Path, optional
        Where it goes on; a new one in :func:`sessions_home` if not given.
    on_trouble : callable
        Receives a sentence when saving ends: the folder cannot be written, or another page took the session over.

    Attributes
    ----------
    folder : Path
    journal : Path
        Beside the folder: the journal of the fit that runs.
    """

    def __init__(
        self, session: AnalysisSession, folder: Path | None, on_trouble: Callable[[str], Any]
    ) -> None:
        self.session, self._on_trouble = session, on_trouble
        name = f"{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
        self.folder = folder if folder is not None else sessions_home() / name
        self.journal = self.folder.with_name(self.folder.name + ".journal")
        self._owner, self._mine, self._ran = uuid.uuid4().hex, False, False
        self._written: store.Written = {}
        self._timer: asyncio.TimerHandle | None = None
        self._names = [*CHOICES, "source", "history", "status"]
        session.journal = self.journal
        session.observe(self._later, self._names)
        if session.source:
            self.flush()

    def _later(self, change: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            self._timer = asyncio.get_running_loop().call_later(_SOON, self.flush)
        except RuntimeError:  # no loop: a script, a test
            self.flush()

    def flush(self) -> None:
        """Write now."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        session = self.session
        try:
            make_folder(self.folder.parent)
            if self._mine and _owner_of(self.folder) not in ("", self._owner):
                self.close()
                self._on_trouble("this session goes on in another page; this one no longer saves it")
                return
            running = "" if session.status == "idle" else session.activity
            about = {"owner": self._owner, "running": running}
            with heard_by(lambda text, category: None):  # that data in memory are copied is no news here
                store.write_session(session, self.folder, written=self._written, about=about)
            self._mine = True
            if (
                self._ran and not running
            ):  # what ran here has ended; a journal from before is still to be used
                self.journal.unlink(missing_ok=True)
            self._ran = bool(running)
        except (HeterodyneError, OSError) as error:
            self.close()
            self._on_trouble(f"the session cannot save itself any more: {error}")

    def close(self) -> None:
        """End it; the folder stays."""
        if self._timer is not None:
            self._timer.cancel()
        with suppress(ValueError):
            self.session.unobserve(self._later, self._names)
        self.session.journal = None


def interrupted(folder: Path) -> str:
    """What ran when a saved session was left: ``"fit"``, ``"robust"`` …, empty where nothing did."""
    return _read(folder).get("running", "")


def _owner_of(folder: Path) -> str:
    return _read(folder).get("owner", "")


def _read(folder: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        record = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        if isinstance(record, dict):
            return {name: str(record.get(name, "")) for name in ("owner", "running")}
    return {}


def remember(page: Path, folder: Path) -> None:
    """Write down which session a page shows."""
    with suppress(OutputError, OSError):
        make_folder(page.parent)
        write_text(page, str(folder))


def remembered(page: Path) -> Path | None:
    """The folder of the session a page showed, if it is still there."""
    with suppress(OSError, ValueError):
        folder = Path(page.read_text(encoding="utf-8"))
        return folder if (folder / _INDEX).is_file() else None
    return None
