"""The result of a fit as a frozen value: the record, its reports and its files."""

from heterodyne_nb.result.fit_result import FitResult
from heterodyne_nb.result.provenance import collect_provenance
from heterodyne_nb.result.tables import batch_table

__all__ = ["FitResult", "batch_table", "collect_provenance"]
