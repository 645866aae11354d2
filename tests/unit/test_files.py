"""Writing: whole or not at all, through links, and never over what belongs to somebody else."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr

from heterodyne_nb import files
from heterodyne_nb.data import make_dataset, open_dataset, write_apsu, write_dataset
from heterodyne_nb.errors import OutputError

FOLDER = re.compile(r"mark|\d+")


def write_folder(path: Path, text: str) -> None:
    with files.new_folder(path, FOLDER, "mark", "a folder of the test") as made:
        made.mkdir()
        (made / "mark").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def maps(rng) -> xr.Dataset:
    square = rng.normal(1, 0.1, (1, 1, 12, 12))
    return make_dataset((square + square.swapaxes(-1, -2)) / 2, q=0.01, phi=0, dt=1.0)


def killed(code: str, *arguments: Path) -> None:
    """Run Python that ends by SIGKILL, with `die` at hand."""
    head = "import os, signal, sys\nfrom pathlib import Path\nfrom heterodyne_nb import files\n"
    head += "def die(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
    done = subprocess.run([sys.executable, "-c", head + code, *map(str, arguments)], check=False)
    assert done.returncode == -signal.SIGKILL


#: Kills the writer of a folder when the old one is moved aside and the new one is not there yet.
BETWEEN = """
real = files.replace
def once(*paths):
    real(*paths)
    die()
files.replace = once
"""


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_dataset_is_never_written_over_a_folder_of_something_else(maps, tmp_path: Path, suffix: str):
    mine = tmp_path / f"x{suffix}"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"is a folder, not a file|left alone") as told:
        write_dataset(maps, mine)
    assert "choose another name" in str(told.value)
    assert (mine / "thesis.tex").read_text() == "years of work"
    assert names(tmp_path) == [mine.name]


@pytest.mark.parametrize("place", ["notes.txt", "c2/notes.txt", "more/data.h5"])
def test_a_zarr_store_with_a_foreign_file_in_it_is_not_replaced(maps, tmp_path: Path, place: str):
    store = tmp_path / "x.zarr"
    write_dataset(maps, store)
    (store / place).parent.mkdir(exist_ok=True)
    (store / place).write_text("mine")
    with pytest.raises(OutputError, match=re.escape(f"holds {place!r}, no part of a Zarr store")):
        write_dataset(maps, store)
    assert (store / place).read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in the file system")
def test_a_device_or_pipe_is_not_replaced(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(OutputError, match="is a device or the like"):
        files.write_text(tmp_path / "pipe.json", "x")
    assert stat.S_ISFIFO((tmp_path / "pipe.json").stat().st_mode)


@pytest.mark.parametrize("write", [write_dataset, write_apsu, lambda _, path: files.write_text(path, "x")])
def test_saving_through_a_link_keeps_the_link(
    maps, tmp_path: Path, write: Callable[[xr.Dataset, Path], None]
):
    (tmp_path / "disk").mkdir()
    real, link = tmp_path / "disk" / "real.nc", tmp_path / "link.nc"
    real.write_text("old")
    link.symlink_to(real)
    write(maps, link)
    assert link.is_symlink()
    assert real.read_bytes() not in (b"", b"old")
    assert (names(tmp_path), names(tmp_path / "disk")) == (["disk", "link.nc"], ["real.nc"])


def test_saving_a_folder_through_a_link_keeps_the_link(maps, tmp_path: Path):
    (tmp_path / "disk").mkdir()
    write_dataset(maps, tmp_path / "disk" / "real.zarr")
    (tmp_path / "link.zarr").symlink_to(tmp_path / "disk" / "real.zarr")
    write_dataset(maps.isel(phi=0, drop=False).assign_attrs(note="new"), tmp_path / "link.zarr")
    assert (tmp_path / "link.zarr").is_symlink()
    assert open_dataset(tmp_path / "disk" / "real.zarr").attrs["note"] == "new"


def test_the_permissions_of_a_file_survive_and_a_new_one_has_the_usual_ones(tmp_path: Path):
    files.write_text(tmp_path / "new.txt", "x")
    (tmp_path / "plain.txt").write_text("x")
    assert (tmp_path / "new.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode
    (tmp_path / "new.txt").chmod(0o600)
    files.write_text(tmp_path / "new.txt", "y")
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == 0o600


def test_a_write_protected_file_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "good.txt").write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the bits say nothing to root
    with pytest.raises(OutputError, match="write-protected"):
        files.write_text(tmp_path / "good.txt", "new")
    assert (tmp_path / "good.txt").read_text() == "old"


def test_a_file_is_on_the_disk_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    done = []
    flush, replace = files._flush, files.replace
    monkeypatch.setattr(files, "_flush", lambda path: (done.append(f"flush {path.name}"), flush(path)))
    monkeypatch.setattr(files, "replace", lambda a, b: (done.append(f"move to {b.name}"), replace(a, b)))
    files.write_text(tmp_path / "a.txt", "x")
    assert done == ["flush a.txt", "move to a.txt", f"flush {tmp_path.name}"]


def test_ctrl_c_between_the_two_moves_of_a_folder_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_folder(tmp_path / "x", "old")
    replace, moves = files.replace, []

    def interrupted(*paths: Path) -> None:
        replace(*paths)
        moves.append(paths)
        if len(moves) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "x", "new")
    assert (tmp_path / "x" / "mark").read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_ctrl_c_twice_leaves_a_folder_that_the_next_read_puts_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_folder(tmp_path / "x", "old")
    replace = files.replace

    def interrupted(*paths: Path) -> None:
        monkeypatch.setattr(files, "replace", again)
        replace(*paths)
        raise KeyboardInterrupt

    def again(*paths: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "x", "new")
    monkeypatch.undo()
    assert not (tmp_path / "x").exists()
    files.recover(tmp_path / "x")
    assert (tmp_path / "x" / "mark").read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_ctrl_c_after_both_moves_leaves_the_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_folder(tmp_path / "x", "old")
    flush = files._flush

    def interrupted(path: Path) -> None:
        flush(path)
        if path == tmp_path:
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "_flush", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "x", "new")
    assert (tmp_path / "x" / "mark").read_text() == "new"
    assert names(tmp_path) == ["x"]


def test_a_dataset_whose_writer_was_killed_between_the_moves_is_there_when_it_is_read(maps, tmp_path: Path):
    store = tmp_path / "x.zarr"
    write_dataset(maps, store)
    code = "from heterodyne_nb.data import open_dataset, write_dataset\nstore = Path(sys.argv[1])\n"
    killed(f"{code}ds = open_dataset(store)\n{BETWEEN}\nwrite_dataset(ds, store)", store)
    assert not store.exists()
    xr.testing.assert_equal(open_dataset(store)["c2"].load(), maps["c2"])
    assert names(tmp_path) == ["x.zarr"]


def test_the_next_writer_finds_the_folder_of_a_killed_one_and_replaces_it(tmp_path: Path):
    write_folder(tmp_path / "x", "old")
    sources = "import re\ndef write(path):\n    with files.new_folder(path, re.compile('mark'), 'mark', 'it') as made:\n"
    sources += "        made.mkdir()\n        (made / 'mark').write_text('new')\n"
    killed(f"{sources}{BETWEEN}\nwrite(Path(sys.argv[1]))", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    write_folder(tmp_path / "x", "third")
    assert (tmp_path / "x" / "mark").read_text() == "third"
    assert names(tmp_path) == ["x"]


def test_what_came_to_stand_in_the_place_of_a_folder_moved_aside_is_kept_and_so_is_the_folder(tmp_path: Path):
    write_folder(tmp_path / "x", "old")
    sources = (
        "import re\nwith files.new_folder(Path(sys.argv[1]), re.compile('mark'), 'mark', 'it') as made:\n"
    )
    killed(f"{BETWEEN}\n{sources}    made.mkdir()\n    (made / 'mark').write_text('new')", tmp_path / "x")
    (tmp_path / "x").write_text("another program's")
    files.write_text(tmp_path / "y", "sweeps")
    assert (tmp_path / "x").read_text() == "another program's"
    (aside,) = tmp_path.glob(".heterodyne_nb-*/old/x/mark")
    assert aside.read_text() == "old"


def test_what_a_killed_writer_left_is_swept_by_the_next_and_the_old_file_stands(tmp_path: Path):
    files.write_text(tmp_path / "x.txt", "old")
    sources = "with files.new_file(sys.argv[1]) as made:\n    made.write_text('half')\n    die()"
    killed(sources, tmp_path / "x.txt")
    assert len(names(tmp_path)) == 2
    assert (tmp_path / "x.txt").read_text() == "old"
    files.write_text(tmp_path / "other.txt", "x")
    assert names(tmp_path) == ["other.txt", "x.txt"]


def test_the_temporary_files_of_living_writers_and_of_other_computers_are_left_alone(tmp_path: Path):
    elsewhere = tmp_path / ".heterodyne_nb-another_computer-1-abcdefgh"
    elsewhere.mkdir()
    code = "import sys\nfrom heterodyne_nb import files\nwith files.new_file(sys.argv[1]) as made:\n"
    code += "    made.write_text('whole')\n    print('ready', flush=True)\n    sys.stdin.read()\n"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "x.txt")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        with files.new_file(tmp_path / "y.txt") as mine:
            mine.write_text("y")
            files.write_text(tmp_path / "z.txt", "z")
        writer.communicate("")
    assert writer.returncode == 0
    assert (tmp_path / "x.txt").read_text() == "whole"
    assert names(tmp_path) == [elsewhere.name, "x.txt", "y.txt", "z.txt"]


def test_a_full_disk_is_told_as_our_error_and_the_old_file_stands(tmp_path: Path):
    files.write_text(tmp_path / "x.txt", "old")
    with (
        pytest.raises(OutputError, match="cannot be written: No space left") as told,
        files.new_file(tmp_path / "x.txt"),
    ):
        raise OSError(28, "No space left on device")
    assert "make room" in str(told.value)
    assert (tmp_path / "x.txt").read_text() == "old"


def test_an_error_of_what_is_read_meanwhile_is_not_blamed_on_the_place(tmp_path: Path):
    with pytest.raises(PermissionError), files.new_file(tmp_path / "x.txt"):
        raise PermissionError(13, "Permission denied", "data.h5")
    assert names(tmp_path) == []


def test_a_folder_is_checked_before_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files.check_folder(tmp_path / "new" / "deep", 1)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="file: is a file"):
        files.check_folder(tmp_path / "file", 1)
    with pytest.raises(OutputError, match=r"cannot be made: .*file is a file"):
        files.check_folder(tmp_path / "file" / "in", 1)
    with pytest.raises(OutputError, match=r"MB left\n  expected: 1000000000000 MB"):
        files.check_folder(tmp_path, 10**18)
    assert names(tmp_path) == ["file"]

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)  # to root every folder is open
    with pytest.raises(OutputError, match="cannot be written: Permission denied"):
        files.check_folder(tmp_path / "new", 1)


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(), reason="this system has no /proc, where nobody can write"
)
def test_a_place_where_nobody_can_write_is_told_as_our_error(maps):
    with pytest.raises(OutputError, match="cannot be written"):
        files.check_folder("/proc/results", 1)
    with pytest.raises(OutputError, match="cannot be written"):
        write_dataset(maps, "/proc/results.nc")


def test_no_thread_sweeps_what_another_one_has_just_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mkdir = Path.mkdir

    def then_swept(self: Path, *how: object, **more: object) -> None:
        mkdir(self, *how, **more)
        files._sweep(tmp_path)

    monkeypatch.setattr(Path, "mkdir", then_swept)
    files.write_text(tmp_path / "x.txt", "whole")
    assert (tmp_path / "x.txt").read_text() == "whole"
