"""A full disk, at every writer: an error of ours, what was there before is left, and the process lives."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

#: Fills a disk but for a few thousand bytes, then writes over old files with every writer. Prints what came of each.
WRITERS = """
import importlib.util, os, resource, signal, sys, warnings
from pathlib import Path
import numpy as np
warnings.simplefilter("ignore")
folder, kind, tests = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
sys.path.insert(0, str(tests))
import fuzz
from heterodyne_nb import ConfigManager, data, files, open_frames, plots
from heterodyne_nb.frames.frameset import write_frames
from heterodyne_nb.errors import OutputError
from heterodyne_nb.optimize.journal import Journal

ds, result = fuzz._dataset(), fuzz._fit_result()
big = data.make_dataset(np.random.default_rng(0).random((1, 1, 300, 300)), q=0.01, phi=0, dt=0.1)
def journal(path):
    one = Journal(path)
    one.search_ended([f"p{k}" for k in range(2000)], [np.arange(2000.0)])
def large(path):
    files._IN_MEMORY = 1000
    try:
        data.write_dataset(big, path)
    finally:
        files._IN_MEMORY = 1 << 28
def frames(layout, shape=(20, 20)):
    counts = np.random.default_rng(4).poisson(400 / np.prod(shape), (40, *shape))
    labels = np.ones(shape, int)
    labels[: shape[0] // 2] = 2
    made = open_frames(counts, partition=(labels, [0.005, 0.01], [0.0, 0.0]), dt=0.1)
    return lambda path: write_frames(made, path, layout)
def config(path):
    template = ConfigManager.template("heterodyne")
    template.updated({"metadata.title": "x" * 9000}).save(path)
writers = {
    "data.nc": lambda p: data.write_dataset(big, p), "large.nc": large,
    "data.zarr": lambda p: data.write_dataset(big, p), "aps-u.h5": lambda p: data.write_apsu(big, p),
    "nxxpcs.nxs": lambda p: data.write_nxxpcs(big, p), "legacy.hdf": lambda p: data.write_aps_legacy(big, p),
    "frames.h5": fuzz._write_frames, "result.nc": result.save, "result.zarr": result.save, "result.nxs": result.save,
    "result.json": result.save, "session": fuzz._write_session, "journal.json": journal,
    "figure.html": lambda p: plots.save_html(plots.curves(result), p),
    "report.html": lambda p: plots.report(ds, result, p), "text.txt": lambda p: files.write_text(p, "x" * 30000),
    "result.txt": result.save, "config.yaml": config,
    "frames.imm": frames("imm"), "frames.bin": frames("rigaku", (512, 1024)), "frames.npy": frames("npy"),
    "frames.npz": frames("npz"), "events.npz": frames("events"), "sparse.npz": frames("sparse"),
}
if importlib.util.find_spec("fabio"):
    writers |= {"tif": frames("tif", (64, 64)), "edf": frames("edf", (64, 64))}
for name in writers:  # what is there before
    place = folder / name
    marks = {"session": "session.json", "data.zarr": "zarr.json", "result.zarr": ".zgroup"}
    if mark := (marks | {"tif": "frame_000001.tif", "edf": "frame_000001.edf"}).get(name):
        place.mkdir()
        (place / mark).write_text("{}")
    else:
        place.write_text("{}" if name != "journal.json" else '{"form": "heterodyne_nb journal 1", "problem": ""}')
if kind == "disk":
    (folder / "ballast").write_bytes(b"")
    with (folder / "ballast").open("r+b", buffering=0) as stream:
        for size in (1 << 16, 1 << 12):
            try:
                while stream.write(b"x" * size): pass
            except OSError: pass
    os.truncate(folder / "ballast", (folder / "ballast").stat().st_size - 4096)
else:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
for name, write in writers.items():
    try:
        write(folder / name)
        print(name, "written", flush=True)
    except OutputError as error:
        print(name, "refused", flush=True)
    except BaseException as error:
        print(name, f"{type(error).__name__}: {error}".replace(chr(10), " ")[:200], flush=True)
after = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
print("kept" if before == after else f"changed {sorted(map(str, before.keys() ^ after.keys()))}", flush=True)
"""


def _check(command: list[str], tests: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(tests.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *told, kept = done.stdout.splitlines()
    assert len(told) in (24, 26)  # without fabio, with it
    assert [line for line in told if not line.endswith(" refused")] == []
    assert kept == "kept"


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="limits of file sizes are those of POSIX")
def test_where_no_file_can_grow_every_writer_says_so_and_leaves_what_was_there(
    repository: Path, tmp_path: Path
) -> None:
    tests = repository / "tests"
    _check([sys.executable, "-c", WRITERS, str(tmp_path), "limit", str(tests)], tests)


def test_on_a_full_disk_every_writer_says_so_and_leaves_what_was_there(
    repository: Path, tmp_path: Path
) -> None:
    tests, mount = repository / "tests", f"mount -t tmpfs -o size=400k tmpfs {tmp_path}"
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode
    ):
        pytest.skip("no small disk can be mounted: needs unshare and the rights of root")
    inner = ["sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-c", WRITERS]
    _check(["unshare", "-m", *inner, str(tmp_path), "disk", str(tests)], tests)


def test_no_writer_lets_hdf5_meet_the_disk_itself(repository: Path) -> None:
    direct = re.compile(r'\.to_netcdf\(|h5py\.File\([^)]*"(w|a|r\+)"')
    sources = (repository / "heterodyne_nb").rglob("*.py")
    found = {path.name for path in sources if direct.search(path.read_text(encoding="utf-8"))}
    assert found == {"files.py", "example.py"}  # the second makes the shipped file, once
