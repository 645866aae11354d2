"""Damaged files of every kind: an error of ours, or the same numbers, and never a word too little."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = 216
RUN = f"""
import sys, tempfile
from pathlib import Path
sys.path.insert(0, "tests")
import fuzz
with tempfile.TemporaryDirectory() as folder:
    for case in fuzz.Fuzzer(Path(folder), seed=12).run(range({CASES})):
        print(*case[:4], ascii(case.told), sep="|")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a case is forked")
def test_no_damage_to_any_kind_of_file_gives_a_foreign_error_or_other_numbers_without_a_word(
    repository: Path,
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(repository)}  # forks need a process without threads
    command = [sys.executable, "-W", "ignore", "-c", RUN]
    done = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, done.stderr
    cases = [line.split("|") for line in done.stdout.splitlines()]
    assert len(cases) == CASES
    wrong = [case for case in cases if case[3] in ("accepted changed", "foreign")]
    assert not wrong
    assert sum(case[3] == "own error" for case in cases) > CASES / 3
    dead = [case for case in cases if case[3] == "crash"]
    assert all(case[1].endswith((".h5", ".hdf", ".nxs", ".nc")) for case in dead)
    assert len(dead) <= CASES / 50
