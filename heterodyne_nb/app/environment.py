"""What ``heterodyne-nb app`` tells its page by the environment; apart, so that the command loads nothing else."""

from __future__ import annotations

#: Names of the variables that hold the file to open, and the folder that the page works in.
FILE, FOLDER = "HETERODYNE_NB_APP_FILE", "HETERODYNE_NB_APP_FOLDER"
#: And of the file where the page writes down which session it shows, to come back to it.
PAGE = "HETERODYNE_NB_APP_PAGE"
