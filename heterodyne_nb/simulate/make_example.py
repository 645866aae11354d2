"""Write the shipped example file anew: ``python -m heterodyne_nb.simulate.make_example [FILE]``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from heterodyne_nb.data import write_apsu
from heterodyne_nb.simulate.example import example_path, simulate_example


def main(arguments: Sequence[str] | None = None) -> Path:
    """Simulate the example and write it; returns the path written."""
    parser = argparse.ArgumentParser(
        prog="python -m heterodyne_nb.simulate.make_example", description="Simulate the example experiment."
    )
    parser.add_argument(
        "file", nargs="?", type=Path, default=example_path(), help="default: the shipped file"
    )
    path: Path = parser.parse_args(arguments).file
    path.parent.mkdir(parents=True, exist_ok=True)
    write_apsu(simulate_example(), path)
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
    return path


if __name__ == "__main__":
    main()
