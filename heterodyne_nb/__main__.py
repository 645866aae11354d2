"""``python -m heterodyne_nb`` does what ``heterodyne-nb`` does."""

from heterodyne_nb.cli import main

raise SystemExit(main())
