"""Collects the ``bench_*.py`` files here, only when asked: ``pytest tests/benchmarks --benchmark-only``."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Make a module of a benchmark file, unless it was named on the command line (then pytest does)."""
    asked = parent.config.getoption("benchmark_only", default=False)
    if not asked or not file_path.match("bench_*.py") or parent.session.isinitpath(file_path):
        return None
    return pytest.Module.from_parent(parent, path=file_path)
