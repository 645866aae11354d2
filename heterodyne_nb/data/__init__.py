"""From a light source's file to the dataset of the package."""

from __future__ import annotations

from heterodyne_nb.data import prepare
from heterodyne_nb.data.bins import stack_bins, unstack_bins
from heterodyne_nb.data.model import make_dataset
from heterodyne_nb.data.open import open_dataset
from heterodyne_nb.data.quality import check_maps
from heterodyne_nb.data.writers.apsu import write_apsu

__all__ = [
    "check_maps",
    "make_dataset",
    "open_dataset",
    "prepare",
    "stack_bins",
    "unstack_bins",
    "write_apsu",
]
