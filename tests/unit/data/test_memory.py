from __future__ import annotations

import logging
import re
import threading

import numpy as np
import pytest

from heterodyne_nb.data import memory, monitor_memory_usage

LOOKED = threading.Event()


@monitor_memory_usage
def spike(megabytes):
    """Hold some memory until it has been looked at."""
    block = np.ones(int(megabytes * 1e6 / 8))
    for _ in range(2):  # the first look may have begun before
        LOOKED.clear()
        assert LOOKED.wait(600)
    return float(block[0])


@pytest.fixture(autouse=True)
def _tells_of_its_looks(monkeypatch):
    resident = memory._Watch._resident

    def looking(self):
        found = resident(self)
        LOOKED.set()
        return found

    monkeypatch.setattr(memory._Watch, "_resident", looking)


def test_the_peak_inside_the_call_is_seen():
    assert spike(80) == 1.0
    use = spike.last_memory
    assert use.peak - use.before > 60
    assert use.growth < 40


def test_memory_that_is_kept_shows_after_the_call():
    @monitor_memory_usage
    def keep():
        return np.ones(10_000_000)

    kept = keep()
    assert keep.last_memory.growth > 60
    assert kept.size == 10_000_000


def test_the_function_keeps_its_name_and_has_no_record_before_its_first_call():
    @monitor_memory_usage
    def fresh():
        """Say nothing."""

    assert (fresh.__name__, fresh.__doc__) == ("fresh", "Say nothing.")
    assert fresh.last_memory is None


def test_an_error_is_passed_on_and_measured():
    @monitor_memory_usage
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"no"):
        fail()
    assert fail.last_memory is not None


def test_each_call_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="heterodyne_nb.data.memory"):
        spike(1)
    assert "spike" in caplog.text
    assert "MB before" in caplog.text


def test_each_call_prints_how_much_memory_it_took(capsys):
    kept = monitor_memory_usage(lambda: np.ones(10_000_000))()
    (line,) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"Memory usage: -?\d+\.\d MB", line)
    assert float(line.split()[2]) > 60
    assert kept.size == 10_000_000


def test_methods_can_be_measured():
    class Job:
        @monitor_memory_usage
        def run(self, x):
            return x + 1

    assert Job().run(2) == 3
