"""Saved results: one module a format, all written to a temporary name and moved into place."""

from heterodyne_nb.results.files.dispatch import read_result, write_result

__all__ = ["read_result", "write_result"]
