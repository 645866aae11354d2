"""From a light source's file to the dataset of the package."""

from __future__ import annotations

from heterodyne_nb.data import prepare
from heterodyne_nb.data.accessor import XpcsAccessor
from heterodyne_nb.data.chunked import ChunkedDataProcessor
from heterodyne_nb.data.dataset import make_dataset, stack_bins, unstack_bins
from heterodyne_nb.data.formats.aps_legacy import write_aps_legacy
from heterodyne_nb.data.formats.apsu import write_apsu
from heterodyne_nb.data.formats.native import write_dataset
from heterodyne_nb.data.formats.nxxpcs import write_nxxpcs
from heterodyne_nb.data.memory import monitor_memory_usage
from heterodyne_nb.data.open import LazyDataLoader, list_analyses, open_dataset
from heterodyne_nb.data.quality import check_maps
from heterodyne_nb.data.runs import average_runs
from heterodyne_nb.data.scan import scan_folder

__all__ = [
    "write_nxxpcs",
    "write_aps_legacy",
    "write_dataset",
    "ChunkedDataProcessor",
    "LazyDataLoader",
    "XpcsAccessor",
    "average_runs",
    "check_maps",
    "make_dataset",
    "monitor_memory_usage",
    "list_analyses",
    "open_dataset",
    "prepare",
    "scan_folder",
    "stack_bins",
    "unstack_bins",
    "write_apsu",
]
