"""Saved results: one module a format."""

from heterodyne_nb.result.files.dispatch import read_result, write_result

__all__ = ["read_result", "write_result"]
