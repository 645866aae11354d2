"""The commands ``heterodyne-nb`` and ``run_heterodyne``."""

from heterodyne_nb.cli.app import main, run_heterodyne

__all__ = ["main", "run_heterodyne"]
