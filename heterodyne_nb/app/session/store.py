"""A session in a folder: what was chosen and done as JSON, the results as netCDF, the data by path and hash."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heterodyne_nb.app.session.entries import FitEntry, FitSettings, asked_of, resolved
from heterodyne_nb.app.session.state import Opened
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.errors import DataFormatError, DataWarning, MissingFileError, warn
from heterodyne_nb.files import new_folder, recover, write_text
from heterodyne_nb.guard import guarded
from heterodyne_nb.remote import Place, Remote, place
from heterodyne_nb.result import FitResult
from heterodyne_nb.result.provenance import sha256, versions

if TYPE_CHECKING:
    from heterodyne_nb.app.session.session import AnalysisSession

_INDEX, _DATA, _FORMAT, _VERSION = "session.json", "data.nc", "heterodyne_nb session", 2
#: Names of the files of a session.
_FILES = re.compile(r"session\.json|data\.nc|\d{3,}_\w+\.nc")


#: What was written of a session: the result or dataset by its id, and its file.
Written = dict[int, tuple[object, Place]]


def write_session(
    session: AnalysisSession,
    path: Place,
    *,
    written: Written | None = None,
    about: Mapping[str, str] | None = None,
) -> Opened | None:
    """Write the folder; return the data as they are to be known from now on (see :func:`moved`).

    Parameters
    ----------
    written : mapping, optional
        What earlier calls wrote to the same place, which is linked instead of written again; filled here.
    about : mapping, optional
        Further entries of the index.

    Warns
    -----
    DataWarning
        The data were made in memory: a copy goes into the folder.
    """
    from heterodyne_nb.data.formats.native import write_dataset

    opened = session._opened
    home = str(_whole(path) / _DATA)
    copy = opened is not None and (opened.in_memory or opened.source == home)
    written = {} if written is None else written
    made: Written = {}

    def put(thing: object, name: str, write: Callable[[Path], object]) -> None:
        earlier = written.get(id(thing))
        try:
            if earlier is None or isinstance(earlier[1], Remote):
                raise FileNotFoundError
            os.link(earlier[1], folder / name)
        except OSError:  # a first time, or a file system without links
            write(folder / name)
        made[id(thing)] = (thing, path / name)

    with new_folder(path, _FILES, _INDEX, "a saved session") as folder:
        folder.mkdir()
        if opened is not None and copy:
            if opened.in_memory:
                warn(f"the data were made in memory; the session keeps a copy, {_DATA}", DataWarning)
            put(opened.dataset, _DATA, partial(write_dataset, opened.dataset))
        sources = {opened.source: home} if opened is not None and copy else {}
        history = [_entry_record(entry, k, put, sources) for k, entry in enumerate(session.history)]
        record = {
            **(about or {}),
            "format": _FORMAT,
            "version": _VERSION,
            "versions": versions(),
            "data": _data_record(opened, copy, path, folder),
            "choices": _choices_record(session),
            "history": history,
            "files": {one.name: sha256(one) for one in sorted(folder.iterdir())},
        }
        record["sha256"] = _seal(record)
        write_text(folder / _INDEX, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    written.clear()
    written.update(made)
    return replace(opened, source=home, options=()) if opened is not None and copy else opened


def moved(history: tuple[FitEntry, ...], old: str, new: str) -> tuple[FitEntry, ...]:
    """The entries whose data were `old` with their new place."""
    return tuple(replace(e, source=new, source_options={}) if e.source == old else e for e in history)


def _data_record(opened: Opened | None, copy: bool, path: Place, folder: Path) -> dict[str, Any] | None:
    if opened is None:
        return None
    if copy:
        return {"path": _DATA, "inside": True, "options": {}, "sha256": sha256(folder / _DATA)}
    source = place(opened.source)
    if isinstance(source, Remote) or isinstance(path, Remote):
        return {"path": str(source), "beside": None, "options": dict(opened.options), "sha256": None}
    beside = source.is_relative_to(path.resolve().parent)
    return {
        "path": str(source),
        "beside": str(source.relative_to(path.resolve().parent)) if beside else None,
        "options": dict(opened.options),
        "sha256": sha256(source) if source.is_file() else None,
    }


def _choices_record(session: AnalysisSession) -> dict[str, Any]:
    config = session.config
    return {
        "bin": session.bin,
        "bins": session.bins,
        "masked": session.masked,
        "crop": session.crop,
        "excluded": session.excluded,
        "parameters": asked_of(session.parameters),
        "settings": session.settings.model_dump(),
        "shown": session.shown,
        "deleted": session.deleted,
        "notes": session.notes,
        "config": None if config is None else config.to_dict(),
        "config_path": str(config.path) if config is not None and config.path else None,
    }


def _entry_record(entry: FitEntry, number: int, put: Any, sources: Mapping[str, str]) -> dict[str, Any]:
    files = {}
    for method, result in entry.results.items():
        files[method] = f"{number:03d}_{re.sub(r'[^A-Za-z0-9_]+', '_', method)}.nc"
        put(result, files[method], result.save)
    names = ("name", "kind", "masked", "crop", "excluded", "bins", "time")
    plain = {name: getattr(entry, name) for name in names}
    plain |= {name: getattr(entry, name) for name in ("seconds", "warnings", "start")}
    moved_here = entry.source in sources
    return {
        **plain,
        "results": files,
        "settings": entry.settings.model_dump(),
        "parameters": asked_of(entry.parameters),
        "source": _DATA if moved_here else entry.source,
        "source_inside": moved_here,
        "source_options": {} if moved_here else dict(entry.source_options),
        "robust": dict(entry.robust),
    }


def _whole(path: Place) -> Place:
    return path.resolve() if isinstance(path, Path) else path


def read_session(path: Place) -> dict[str, Any]:
    """The index of a folder, checked.

    Raises
    ------
    MissingFileError, DataFormatError
    """
    recover(path)
    index = path / _INDEX
    if not index.is_file():
        raise MissingFileError(
            "there is no saved session here", where=str(path), expected=f"a folder with {_INDEX}"
        )
    with guarded(index, "the index of a session, in JSON"):
        record = json.loads(index.read_text(encoding="utf-8"))
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise DataFormatError("this is not the index of a session", where=str(index))
    if record["version"] > _VERSION:
        raise DataFormatError(
            f"written by a newer version ({record['version']})",
            where=str(index),
            expected=f"{_VERSION} or older",
        )
    if record["version"] > 1 or "sha256" in record:
        _check_sealed(record, path)
    for name in _names(record):
        if not _FILES.fullmatch(name):
            raise DataFormatError(
                f"it names {name!r}", where=str(index), expected="names of files in the folder of the session"
            )
    return record


def _seal(record: Mapping[str, Any]) -> str:
    told = json.dumps({k: v for k, v in record.items() if k != "sha256"}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _check_sealed(record: Mapping[str, Any], path: Place) -> None:
    """Raise where the index, or a file of the folder, is not what was written."""
    wrong = [] if record.get("sha256") == _seal(record) else [_INDEX]
    if not wrong:
        wrong = [
            n for n, told in record["files"].items() if not (path / n).is_file() or sha256(path / n) != told
        ]
    if wrong:
        raise DataFormatError(
            f"{', '.join(wrong)}: missing, or the contents do not fit the checksum",
            where=str(path),
            expected="what AnalysisSession.save wrote, unchanged",
            hint="it was damaged or changed after it was written: take another copy",
        )


def _names(record: Mapping[str, Any]) -> Iterator[str]:
    """Names of files that the index gives for its own folder."""
    if (data := record["data"]) is not None and data.get("inside"):
        yield str(data["path"])
    yield from map(str, record.get("files", ()))
    for entry in record["history"]:
        yield from map(str, entry["results"].values())
        if entry["source_inside"]:
            yield str(entry["source"])


def data_place(
    record: Mapping[str, Any], path: Place, given: str | Path | None
) -> tuple[Place, dict[str, Any]] | None:
    """Where the data of a saved session are now, and how to open them; None where it had none.

    Raises
    ------
    MissingFileError
        They are at none of the places known.

    Warns
    -----
    DataWarning
        The file is not the one that was fitted.
    """
    data = record["data"]
    if data is None:
        return None
    if given is not None:
        places = [place(given)]
    elif data.get("inside"):
        places = [path / data["path"]]
    else:
        beside = [_whole(path.parent / data["beside"])] if data.get("beside") else []
        beside = [
            one for one in beside if isinstance(one, Path) and one.is_relative_to(str(_whole(path.parent)))
        ]
        places = [place(data["path"]), *beside, path.parent / place(data["path"]).name]
    found = next((one for one in places if one.exists()), None)
    if found is None:
        raise MissingFileError(
            "the data of this session are not there",
            where=str(places[0]),
            hint=f"AnalysisSession.load({str(path)!r}, data=...) says where they are now",
        )
    if data.get("sha256") and isinstance(found, Path) and found.is_file() and sha256(found) != data["sha256"]:
        warn(f"{found.name} is not the file that was fitted: its contents have changed", DataWarning)
    return _whole(found), {k: tuple(v) if isinstance(v, list) else v for k, v in data["options"].items()}


def choices_from(record: Mapping[str, Any]) -> dict[str, Any]:
    """The user's choices."""
    saved = record["choices"]
    settings = FitSettings.read(saved["settings"])
    config = None
    if saved["config"] is not None:
        config = ConfigManager.from_dict(saved["config"])
        config.path = Path(saved["config_path"]) if saved["config_path"] else None
    return {
        "config": config,
        "settings": settings,
        "parameters": resolved(settings.mode, saved["parameters"]),
        "bin": saved["bin"],
        "shown": saved["shown"],
        "deleted": tuple(saved.get("deleted", ())),
        "notes": dict(saved.get("notes", {})),
        **_frames(saved),
    }


def history_from(record: Mapping[str, Any], path: Place) -> tuple[FitEntry, ...]:
    """The entries, their results read from the folder."""
    return tuple(_entry(one, path) for one in record["history"])


def _entry(saved: Mapping[str, Any], path: Place) -> FitEntry:
    settings = FitSettings.read(saved["settings"])
    names = ("name", "kind", "time", "seconds", "start", "source_options", "robust")
    return FitEntry(
        **{name: saved[name] for name in names},
        results={method: FitResult.load(path / file) for method, file in saved["results"].items()},
        settings=settings,
        parameters=resolved(settings.mode, saved["parameters"]),
        source=str(_whole(path) / saved["source"]) if saved["source_inside"] else saved["source"],
        warnings=tuple(saved["warnings"]),
        **_frames(saved),
    )


def _frames(saved: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "masked": tuple((int(a), int(b)) for a, b in saved["masked"]),
        "crop": None if saved["crop"] is None else (int(saved["crop"][0]), int(saved["crop"][1])),
        "excluded": tuple((float(a), float(b), float(c)) for a, b, c in saved.get("excluded", ())),
        "bins": None if saved["bins"] is None else tuple(saved["bins"]),
    }
