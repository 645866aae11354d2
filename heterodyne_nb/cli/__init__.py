"""The commands ``heterodyne-nb`` and ``run_heterodyne``."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main", "run_heterodyne"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``heterodyne-nb``; see :func:`heterodyne_nb.cli.app.main`."""
    return _run("main", argv)


def run_heterodyne(argv: Sequence[str] | None = None) -> int:
    """Run ``run_heterodyne``; see :func:`heterodyne_nb.cli.app.run_heterodyne`."""
    return _run("run_heterodyne", argv)


def _run(program: str, argv: Sequence[str] | None) -> int:
    """Ctrl-C while the modules are imported ends like Ctrl-C later on."""
    import sys

    try:
        from heterodyne_nb.cli import app

        return int(getattr(app, program)(argv))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
