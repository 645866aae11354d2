"""Maps larger than the memory they may take: in a file, a few bins at a time, with the same sums."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from heterodyne_nb.engine.problem import bins_at_once, let_go, maps_of, room
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.options import ExecutionOptions

#: 24 maps of 1000² are 96 MB; they may take 8 MB.
BINS, FRAMES, MOST = 24, 1000, 8_000_000

PEAK = """
import sys
import numpy as np
import heterodyne_nb as hn
from heterodyne_nb.engine import Objective, problem_from_dataset
from heterodyne_nb.fitting.fitting import parameter_table
from heterodyne_nb.models import ModelFactory

def peak():
    text = open('/proc/self/status').read()  # that of getrusage begins with the memory of the parent
    return 1024 * int(text.partition('VmHWM:')[2].split()[0])

def passes(data, memory):
    data = data.assign(sigma=("bin", np.full(data.sizes["bin"], 0.01)))
    model = ModelFactory.create_model("static_isotropic")
    objective = Objective(problem_from_dataset(data, model, parameter_table(model, None), memory=memory))
    theta = np.array([1000.0, -0.3, 60.0])
    first = objective.equations(theta)
    return first.chi2, objective.equations(theta).chi2

stacked = lambda path: hn.prepare.select(hn.open_dataset(path)).xpcs.stack_bins()
for much in ("50 %", 1e6):  # kernels are compiled, or loaded, for maps of either kind
    passes(stacked(sys.argv[1]).isel(bin=slice(0, 1)), much)
before = peak()
first, second = passes(stacked(sys.argv[1]), float(sys.argv[2]))
print(peak() - before, first, second)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are read as Linux counts them")
def test_passes_over_a_file_of_96_mb_stay_within_a_few_maps_of_the_8_mb_asked_for(tmp_path: Path) -> None:
    from heterodyne_nb.data import make_dataset, write_apsu

    rng = np.random.default_rng(4)
    one = (1.1 + 0.01 * rng.standard_normal((FRAMES, FRAMES))).astype(np.float32)
    maps = np.broadcast_to(one, (1, BINS, FRAMES, FRAMES))
    path = tmp_path / "large.h5"
    write_apsu(make_dataset(maps, q=[0.01], phi=np.arange(BINS) * 5.0, dt=0.1), path)

    def run(memory: float) -> list[float]:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PEAK, str(path), str(memory)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return [float(word) for word in done.stdout.split()]

    growth, chi2, again = run(MOST)
    whole, same, _ = run(1e12)
    assert chi2 == again == same
    bound = MOST + 10 * 4 * FRAMES**2  # the window, and what one bin takes while it is read
    assert growth < bound
    assert whole > bound, growth  # it would have been seen


def test_maps_in_a_file_are_as_maps_in_memory_after_they_were_let_go() -> None:
    small, large = maps_of((3, 8, 8), 1e9), maps_of((3, 8, 8), 100.0)
    assert bins_at_once(small, 100.0) is None
    assert bins_at_once(large, 600.0) == 2
    assert bins_at_once(large, 1.0) == 1
    large[1] = 7.0
    let_go(large)
    assert large.sum() == 7 * 64


@pytest.mark.parametrize(("asked", "told"), [("3 GB", 3e9), ("1 GiB", 2.0**30), (5e6, 5e6)])
def test_a_size_of_memory_is_a_number_or_a_text(asked: object, told: float) -> None:
    assert room(asked) == told


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="limits of file sizes are those of POSIX")
def test_maps_for_which_the_disk_has_less_room_than_it_said_are_an_error_of_ours() -> None:
    code = """
import resource, signal
from heterodyne_nb.engine.problem import maps_of
from heterodyne_nb.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    maps_of((2, 500, 500), 0)
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "cannot be written: " in done.stdout, done.stderr


def test_a_share_of_memory_is_that_of_what_is_free() -> None:
    assert room("100 %") == pytest.approx(2 * room(), rel=0.2)


@pytest.mark.parametrize("wrong", ["3 bananas", "120 %", -1, True])
def test_what_is_no_size_of_memory_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="memory"):
        ExecutionOptions.read({"memory": wrong})
