"""Seeded damage to files of every kind that the package reads; each case is read in a process of its own.

A case is forked from a parent that has imported all it needs, so it costs milliseconds, and whatever it does, even a
death inside HDF5, is seen from outside. What came of it:

own error            one of our errors
accepted equal       the same numbers as from the whole file
accepted, told       other numbers, and a warning or an attribute says so
not knowable         other numbers where no reader can know: values in a file of others, which carries no checksum
accepted changed     other numbers without a word, from a file of ours or one whose structure is damaged
foreign              an error that is not ours
crash                the process died, or ran out of its time or memory
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import select
import shutil
import signal
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

sys.path += [str(Path(__file__).parent / "unit" / name) for name in ("data", "result")]
from layout_builders import (
    build_aps_legacy,
    build_apsu,
    build_esrf,
    build_mid,
    build_nxxpcs,
    build_nxxpcs_old,
    build_pychx,
    random_maps,
)
from result_parts import BOUNDS, PlainModel, parts

from heterodyne_nb import AnalysisSession, ConfigManager, FitResult, open_dataset, open_frames
from heterodyne_nb.config import PARAMETERS
from heterodyne_nb.config.legacy.results import read_foreign_result
from heterodyne_nb.data import make_dataset, write_aps_legacy, write_apsu, write_dataset, write_nxxpcs
from heterodyne_nb.errors import HeterodyneError, HeterodyneWarning
from heterodyne_nb.frames.frameset import write_frames

Damage = Callable[[Path, np.random.Generator], str]
VERDICTS = (
    *("own error", "accepted equal", "accepted, told", "not knowable"),
    *("accepted changed", "foreign", "crash"),
)
#: Processor seconds and bytes that one case may take.
SECONDS, MEMORY = 10, 3 << 30


# What is read, and as which numbers -------------------------------------------------------------------------------


def _arrays(ds: Any) -> dict[str, np.ndarray]:
    """All numbers of a dataset; g2 that is computed from its maps only repeats them."""
    computed = {n for n in ("g2", "g2_err") if n in ds and ds[n].attrs.get("origin") == "computed from c2"}
    return {str(n): np.asarray(v.values) for n, v in ds.variables.items() if n not in computed}


def _data(path: Path, **options: Any) -> dict[str, Any]:
    with open_dataset(path, **options) as ds:
        return _arrays(ds) | {"dt": ds.attrs["dt"]}


def _plain(path: Path) -> dict[str, Any]:
    return _data(path, q=[0.005, 0.01], phi=[0.0, 30.0, 60.0], dt=0.1)


def _frames(path: Path) -> dict[str, Any]:
    labels = np.repeat([[1], [1], [2], [2]], 4, axis=1)
    frames = open_frames(path, partition=(labels, [0.005, 0.01], [0.0, 0.0]), dt=0.1)
    return {"counts": np.asarray(frames.intensity)}


def _result(path: Path) -> dict[str, Any]:
    found = FitResult.load(path)
    told = [found.provenance, found.path, found.extra, found.summary()]
    return _arrays(found.dataset) | {"told": json.dumps([found.dataset.attrs, *told], default=str)}


def _session(path: Path) -> dict[str, Any]:
    session = AnalysisSession.load(path)
    values = {f"{k}{n}": v for k, e in enumerate(session.history) for r in e.results.values()
              for n, v in _arrays(r.dataset).items()}  # fmt: skip
    told = (session.masked, session.crop, session.bins, session.settings, session.parameters.values.tolist())
    return values | _arrays(session.dataset) | {"told": repr(told)}


def _config(path: Path) -> dict[str, Any]:
    found = ConfigManager(path)
    return {"told": repr(found.to_dict()) if found.validate() else "refused"}


def _foreign_result(path: Path) -> dict[str, Any]:
    return {"told": repr(read_foreign_result(path, dt=0.1))}


# Whole files ------------------------------------------------------------------------------------------------------


def _dataset() -> Any:
    rng = np.random.default_rng(3)
    maps = random_maps((2, 3), 20)
    return make_dataset(
        maps, q=[0.005, 0.01], phi=[0.0, 30.0, 60.0], dt=0.1, n_pixels=rng.integers(5, 50, (2, 3)),
        mask=np.arange(20) != 7, g2=1 + rng.random((2, 3, 6)) / 9, g2_err=np.full((2, 3, 6), 0.01),
        tau=0.1 * 2.0 ** np.arange(6),
    )  # fmt: skip


def _fit_result(**changes: Any) -> FitResult:
    return FitResult.from_parts(PlainModel(), **parts(bounds=BOUNDS, **changes))


def _write_npz(path: Path) -> None:
    ds = _dataset()
    np.savez_compressed(path, c2=ds.c2.values, q=[0.005, 0.01], phi=[0.0, 30.0, 60.0], dt=0.1)


def _write_sidecar(path: Path) -> None:
    np.save(path, _dataset().c2.values)
    said = {"q": [0.005, 0.01], "phi": [0.0, 30.0, 60.0], "dt": 100, "units": {"dt": "ms"}}
    path.with_suffix(".json").write_text(json.dumps(said))


def _write_matlab(path: Path) -> None:
    from scipy.io import savemat

    savemat(path, {"c2": _dataset().c2.values, "q": [0.005, 0.01], "phi": [0.0, 30.0, 60.0], "dt": 0.1})


def _write_frames(path: Path) -> None:
    counts = np.random.default_rng(4).poisson(0.6, (20, 4, 4))
    labels = np.repeat([[1], [1], [2], [2]], 4, axis=1)
    frames = open_frames(counts, partition=(labels, [0.005, 0.01], [0.0, 0.0]), dt=0.1)
    write_frames(frames, path, {".h5": "hdf5", ".bin": "rigaku"}.get(path.suffix, path.suffix[1:]))


def _write_session(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        AnalysisSession.of_result(_fit_result(), _dataset()).save(path)


def _write_config(path: Path) -> None:
    config = ConfigManager.template("heterodyne").updated({"initial_parameters.values": {"v0": 10.0}})
    path.write_text(config.to_text({".yml": "yaml"}.get(path.suffix, path.suffix[1:])))


def _write_foreign(path: Path) -> None:
    names = [spec.name for spec in PARAMETERS["heterodyne"]]
    values = {n: {"value": 0.1 * k, "uncertainty": 0.01} for k, n in enumerate(names)}
    told = {"schema": "xpcsjax.nlsq.result/1", "parameters": values, "config": {"mode": "heterodyne"}}
    path.write_text(json.dumps(told))


@dataclass(frozen=True)
class Kind:
    """A kind of file: how a whole one is made and read, and whether it carries a checksum."""

    name: str
    write: Callable[[Path], Any]
    read: Callable[[Path], dict[str, Any]]
    ours: bool = False


KINDS = (
    Kind("apsu.h5", lambda p: write_apsu(_dataset(), p), _data),
    Kind("legacy.hdf", lambda p: write_aps_legacy(_dataset(), p), _data),
    Kind("nxxpcs.nxs", lambda p: write_nxxpcs(_dataset(), p), _data),
    Kind("their_apsu.h5", lambda p: build_apsu(p, random_maps()), _data),
    Kind("their_legacy.hdf", lambda p: build_aps_legacy(p, random_maps()), _data),
    Kind("their_nxxpcs.nxs", lambda p: build_nxxpcs(p, random_maps()), _data),
    Kind("old.nxs", build_nxxpcs_old, lambda p: _data(p, dt=0.1)),
    Kind("esrf.h5", lambda p: build_esrf(p, random_maps((2,))), lambda p: _data(p, dt=0.1)),
    Kind("pychx.h5", lambda p: build_pychx(p, random_maps((2,))), _data),
    Kind("mid.h5", lambda p: build_mid(p, random_maps((2, 2))), _data),
    Kind("arrays.npz", _write_npz, _data),
    Kind("array.npy", _write_sidecar, _data),
    Kind("array.mat", _write_matlab, _data),
    Kind("map.txt", lambda p: np.savetxt(p, random_maps((1, 1))[0, 0]), lambda p: _data(p, q=0.01, dt=0.1)),
    Kind("frames.h5", _write_frames, _frames),
    Kind("frames.npz", _write_frames, _frames),
    Kind("frames.npy", _write_frames, _frames),
    Kind("frames.imm", _write_frames, _frames),
    Kind("config.yaml", _write_config, _config),
    Kind("config.json", _write_config, _config),
    Kind("config.toml", _write_config, _config),
    Kind("nlsq_result.json", _write_foreign, _foreign_result),
    Kind("own.nc", lambda p: write_dataset(_dataset(), p), _data, ours=True),
    Kind("own.zarr", lambda p: write_dataset(_dataset(), p), _data, ours=True),
    Kind("result.nc", lambda p: _fit_result().save(p), _result, ours=True),
    Kind("result.zarr", lambda p: _fit_result().save(p), _result, ours=True),
    Kind("session", _write_session, _session, ours=True),
)


# Damage: each says in words what it did; those of the structure end in "!" ------------------------------------------


def _one_file(path: Path, rng: np.random.Generator) -> Path:
    if not path.is_dir():
        beside = path.with_suffix(".json")
        return beside if beside.exists() and beside != path and rng.random() < 0.4 else path
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return files[rng.integers(len(files))]


def flip(path: Path, rng: np.random.Generator) -> str:
    """One to eight bits turned over."""
    file = _one_file(path, rng)
    content = bytearray(file.read_bytes())
    for _ in range(int(rng.integers(1, 9)) if content else 0):
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    file.write_bytes(content)
    return f"bits of {file.name}"


def overwrite(path: Path, rng: np.random.Generator) -> str:
    """A piece replaced by zeros, ones or noise; or cut out, or doubled."""
    file = _one_file(path, rng)
    content = file.read_bytes()
    at, size = int(rng.integers(len(content) + 1)), int(rng.integers(1, 64))
    how = int(rng.integers(5))
    fresh = (bytes(size), b"\xff" * size, rng.bytes(size), b"", content[at : at + size] * 2)[how]
    file.write_bytes(content[:at] + fresh + content[at + size :])
    return f"piece {how} of {file.name}"


def truncate(path: Path, rng: np.random.Generator) -> str:
    """Cut short."""
    file = _one_file(path, rng)
    os.truncate(file, int(rng.integers(file.stat().st_size + 1)))
    return f"{file.name} cut short"


def misplace(path: Path, rng: np.random.Generator) -> str:
    """A file of a folder lost, empty, exchanged with another or turned into a folder or a link."""
    file, other = _one_file(path, rng), _one_file(path, rng)
    how = int(rng.integers(5))
    if how == 0 or other == file:
        file.unlink()
    elif how == 1:
        file.write_bytes(b"")
    elif how == 2:
        mine, theirs = file.read_bytes(), other.read_bytes()
        file.write_bytes(theirs), other.write_bytes(mine)
    else:
        file.unlink()
        file.mkdir() if how == 3 else file.symlink_to(file.name)
    return f"{file.name} misplaced {how}!"


def rewrite_text(path: Path, rng: np.random.Generator) -> str:
    """A number or word of a text replaced, a line lost or doubled, nesting, hostile characters."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    files = [p for p in files if p.suffix in _TEXTS or p.name in (".zattrs", ".zarray", ".zmetadata")]
    if path.with_suffix(".json").exists():
        files.append(path.with_suffix(".json"))
    file = files[rng.integers(len(files))]
    lines = file.read_text(errors="replace").splitlines(keepends=True) or [""]
    k = int(rng.integers(len(lines)))
    words = lines[k].split(" ")
    words[rng.integers(len(words))] = _WORDS[rng.integers(len(_WORDS))]
    how = int(rng.integers(4))
    lines[k] = (" ".join(words), "", lines[k] * 2, lines[k].replace(":", "=").replace("=", ":"))[how]
    file.write_text("".join(lines), errors="surrogatepass")
    return f"text {how} of {file.name}"


_TEXTS = (".json", ".yaml", ".toml", ".txt")
_WORDS = (
    *(
        "abc",
        "-1",
        "0",
        "nan",
        "1e999",
        "null",
        "[]",
        "{}",
        "[" * 3000,
        '"',
        "true",
        "9" * 400,
        "\x00",
        "\ud800",
    ),
    *(
        "&a *a",
        "<<: *x",
        "!!python/object:os.system x",
        "1:30",
        "0x",
        "\t",
        "'",
        "{a: b}",
        "[1, [2]]",
        "-.inf",
    ),
)


def _nodes(h5file: h5py.File) -> list[str]:
    names: list[str] = []
    h5file.visit(names.append)
    return names


def restructure(path: Path, rng: np.random.Generator) -> str:
    """A dataset or group of an HDF5 file replaced by what a reader does not expect."""
    with h5py.File(path, "r+") as h5file:
        names = _nodes(h5file)
        key = names[rng.integers(len(names))]
        how = str(rng.choice([*_REPLACED, "attribute"]))
        node = h5file[key]
        if how == "attribute":
            name = str(rng.choice([*node.attrs, "units"]))
            node.attrs[name] = [b"furlong", "abc", np.nan, -1, [1, 2, 3], "", h5py.Empty("f")][
                rng.integers(7)
            ]
            return f"attribute {name} of {key}"
        value = how in ("lost", "values", "NaN") or (how == "dataset" and isinstance(node, h5py.Dataset))
        old = node[()] if isinstance(node, h5py.Dataset) and node.shape is not None else np.zeros(3)
        attributes = dict(node.attrs)
        del h5file[key]
        _REPLACED[how](h5file, key, np.asarray(old))
        if isinstance(h5file.get(key, getlink=True), h5py.HardLink):
            h5file[key].attrs.update(attributes)
    return f"{how}: {key}{'' if value else '!'}"


def _values(old: np.ndarray, value: float) -> np.ndarray:
    if old.dtype.kind not in "iuf":
        return old
    out = np.array(old, float)
    out[np.unravel_index(out.size // 2, out.shape)] = value
    return out


_REPLACED: dict[str, Callable[[h5py.File, str, np.ndarray], Any]] = {
    "group": lambda f, k, old: f.create_group(k),
    "dataset": lambda f, k, old: f.create_dataset(k, data=1.0),
    "dangling": lambda f, k, old: f.__setitem__(k, h5py.SoftLink("/nowhere/at/all")),
    "loop": lambda f, k, old: f.__setitem__(k, h5py.SoftLink(f"/{k}")),
    "external": lambda f, k, old: f.__setitem__(k, h5py.ExternalLink("not_here.h5", "/x")),
    "to itself": lambda f, k, old: f.__setitem__(k, h5py.ExternalLink(Path(f.filename).name, f"/{k}")),
    "text": lambda f, k, old: f.create_dataset(k, data="some words"),
    "complex": lambda f, k, old: f.create_dataset(k, data=np.ones(old.shape, complex) * (1 + 2j)),
    "compound": lambda f, k, old: f.create_dataset(k, data=np.zeros(3, [("a", "f4"), ("b", "i8")])),
    "flat": lambda f, k, old: f.create_dataset(k, data=np.append(old.ravel(), old.ravel()[:1])),
    "short": lambda f, k, old: f.create_dataset(k, data=old.ravel()[: old.size // 2]),
    "deep": lambda f, k, old: f.create_dataset(k, data=np.stack([old, old])),
    "null": lambda f, k, old: f.create_dataset(k, data=h5py.Empty("f")),
    "empty": lambda f, k, old: f.create_dataset(k, data=np.zeros(0)),
    "huge": lambda f, k, old: f.create_dataset(k, (300_000,) * max(2, old.ndim), "f8", chunks=True),
    "unwritten": lambda f, k, old: f.create_dataset(k, old.shape or (1,), "f8", chunks=True),
    "lost": lambda f, k, old: None,
    "NaN": lambda f, k, old: f.create_dataset(k, data=_values(old, np.nan)),
    "values": lambda f, k, old: f.create_dataset(k, data=_values(old, -1e300)),
}


def rezip(path: Path, rng: np.random.Generator) -> str:
    """Marks of an archive changed: encryption, sizes, names; or a header of an array that promises other things."""
    content = bytearray(path.read_bytes())
    how = int(rng.integers(4))
    at = content.find(b"PK\x01\x02")
    if how == 0:
        content[6] |= 1
        content[at + 8] |= 1
    elif how == 1:
        struct.pack_into("<I", content, at + 24, 0xFFFFFFF0)
    elif how == 2:
        content[at + 46] ^= 8
    else:
        struct.pack_into("<I", content, at + 16, int(rng.integers(1 << 32)))
    path.write_bytes(content)
    return f"archive {how}!"


def repromise(path: Path, rng: np.random.Generator) -> str:
    """The header of a .npy promises another shape or type."""
    words = [b"(2, 3, 20, 20)", b"<f8", b"<f4", b"<i8", b"'fortran_order': False"]
    other = [
        b"(9, 9, 99, 999)",
        b"<M8[s]",
        b"|O8",
        b"<c8",
        b"'fortran_order': True ",
        b"(2, 3, -1, 20)",
        b"(,)",
    ]
    content = path.read_bytes()
    for word in rng.permutation(words).tolist():
        if word in content[:128]:
            fresh = other[rng.integers(len(other))]
            path.write_bytes(
                content[:128].replace(word, fresh.ljust(len(word))[: max(len(word), 0)]) + content[128:]
            )
            break
    return "header of an array"


def damages(path: Path) -> list[Damage]:
    """The kinds of damage that suit a file."""
    made: list[Damage] = [flip, overwrite, truncate]
    made += [misplace] * path.is_dir()
    made += [rewrite_text] * (path.is_dir() or path.suffix in _TEXTS or path.with_suffix(".json").exists())
    made += [rezip] * (path.suffix == ".npz") + [repromise] * (path.suffix == ".npy")
    return made + [restructure] * 3 * (path.is_file() and h5py.is_hdf5(path))


# Cases ------------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """One case and what came of it."""

    number: int
    kind: str
    damage: str
    verdict: str
    told: str


class Fuzzer:
    """Whole files in a folder, and cases made from them.

    Parameters
    ----------
    folder : path
        Where the files go.
    seed : int
        With its number it decides a case.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder, self.seed = folder, seed
        self.whole: dict[str, str] = {}
        for kind in KINDS:
            place = self._place("whole", kind)
            kind.write(place)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.whole[kind.name] = digest(kind.read(place))

    def _place(self, name: str, kind: Kind) -> Path:
        place = self.folder / name / kind.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if name == "whole":
            place = self.folder / name / kind.name.partition(".")[0] / kind.name
            place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def run(self, numbers: range) -> Iterator[Case]:
        """The cases of these numbers."""
        for number in numbers:
            yield self.case(number)

    def case(self, number: int, read: Callable[[Path], Any] | None = None) -> Case:
        """One case; `read` instead of the usual way to read it."""
        rng = np.random.default_rng([self.seed, number])
        kind = KINDS[number % len(KINDS)]
        whole, place = self._place("whole", kind).parent, self.folder / "case"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(whole, place)
        path = place / kind.name
        found = damages(path)
        damage = found[rng.integers(len(found))](path, rng)
        answer, told = apart(lambda: digest((read or kind.read)(path)))
        if answer == "read":
            answer, told = self._judged(kind, damage, *json.loads(told))
        return Case(number, kind.name, damage, answer, told)

    def _judged(self, kind: Kind, damage: str, numbers: str, warned: list[str]) -> tuple[str, str]:
        if numbers == self.whole[kind.name]:
            return "accepted equal", ""
        if warned:
            return "accepted, told", warned[0]
        return ("accepted changed" if kind.ours or damage.endswith("!") else "not knowable"), ""


def digest(values: dict[str, Any]) -> str:
    """A checksum of numbers and texts."""
    made = hashlib.sha256()
    for name in sorted(values):
        value = values[name]
        if isinstance(value, str):
            made.update(f"{name}{value}".encode(errors="replace"))
            continue
        array = np.asarray(value)
        plain = array.astype(float) if array.dtype.kind in "biuf" else array.astype(str)
        made.update(f"{name}{array.shape}".encode() + np.ascontiguousarray(plain).tobytes())
    return made.hexdigest()


def apart(work: Callable[[], str]) -> tuple[str, str]:
    """Do some work in a forked process: ``("read", JSON of its answer and warnings)``, or how it ended, and in words."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        _child(work, theirs)
    os.close(theirs)
    told, begun = b"", time.monotonic()
    while select.select([ours], [], [], max(0.0, begun + 20 * SECONDS - time.monotonic()))[0]:
        if not (piece := os.read(ours, 1 << 16)):
            break
        told += piece
    else:
        os.kill(child, signal.SIGKILL)
    os.close(ours)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return "crash", name
    verdict, _, words = told.decode(errors="replace").partition("\n")
    return verdict, words


def _child(work: Callable[[], str], pipe: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            numbers = work()
        ours = [str(one.message) for one in heard if issubclass(one.category, HeterodyneWarning)]
        answer = "read\n" + json.dumps([numbers, ours])
    except HeterodyneError as error:
        answer = f"own error\n{error}"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)
        where = [f"{Path(f.filename).name}:{f.lineno}" for f in last if "heterodyne_nb" in f.filename][-3:]
        answer = f"foreign\n{type(error).__name__}: {error} ({' '.join(where)})"
    os.write(pipe, answer.encode(errors="replace")[:60000])
    os._exit(0)
