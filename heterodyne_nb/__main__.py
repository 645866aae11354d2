"""``python -m heterodyne_nb`` does what ``heterodyne-nb`` does."""

from heterodyne_nb.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
