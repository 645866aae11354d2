"""Fixtures for every test: a seeded generator, the real data if it is there, and quiet thread pools."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

# Linear algebra threads beside numba's own would fight for the same cores; set before numpy is imported.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("NUMBA_NUM_THREADS", str(min(4, os.cpu_count() or 1)))

# Sessions that save themselves go to a folder that is thrown away.
os.environ["HETERODYNE_NB_SESSIONS"] = tempfile.mkdtemp(prefix="heterodyne_nb_sessions_")

# Where the tests themselves run in the background of a shell, interrupts are ignored, and programs that they start
# would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from heterodyne_nb.plots.export import find_browser  # noqa: E402

# The same examples on every run, however slow the machine: a failure is a change, not luck.
settings.register_profile(
    "steady",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("steady")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def rng() -> np.random.Generator:
    """A random generator that gives every test the same numbers on every run."""
    return np.random.default_rng(20251122)


#: Notebooks by number that run for half a minute and more; nine others are run by `pytest` alone.
LONG = ("03", "04", "05", "08", "10", "13", "gallery")


def pytest_configure(config: pytest.Config) -> None:
    """`pytest` alone leaves out what is slow; a file, a word or a mark that is named is run whole."""
    bare = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if bare and not (config.option.markexpr or config.option.keyword):
        config.option.markexpr = "not slow"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Notebooks that take longest are slow, as they cannot say by themselves."""
    for item in items:
        if item.path.suffix == ".ipynb" and item.path.stem.partition("_")[0] in LONG:
            item.add_marker("slow")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what was left out."""
    if config.option.markexpr == "not slow":
        terminalreporter.write_line(
            "left out: slow tests, a browser's among them (pytest -m slow runs these)"
        )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a browser where there is none."""
    if item.get_closest_marker("browser") and find_browser() is None:
        pytest.skip("no browser: install chromium, or set BROWSER_PATH to one")


@pytest.fixture
def without_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let neither this process nor those it starts find a browser."""
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/browser")
    if find_browser():
        pytest.skip("kaleido's own copy of a browser cannot be hidden")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real measurements that are too large or not ours to ship; skips where it is absent."""
    folder = Path(os.environ.get("HETERODYNE_NB_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder.name}; set HETERODYNE_NB_DATA to the folder that holds it")
    return folder
