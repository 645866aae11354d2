"""Results of fits as frozen values: the record, its reports and its files."""

from heterodyne_nb.results.fit_result import FitResult

__all__ = ["FitResult"]
