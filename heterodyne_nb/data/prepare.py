"""Prepare a dataset for a fit: select, crop, mask, merge, cut, and look at its noise.

Every function takes an :class:`xarray.Dataset` of the package's data model, in its (q, phi) or its ``bin``
form, changes nothing in place, and reads at most one two-time map at a time.
"""

from __future__ import annotations

from heterodyne_nb.data.cuts import g2_cuts
from heterodyne_nb.data.fringes import fringe_spectrum, fringe_velocity
from heterodyne_nb.data.masks import crop_frames, mask_frames, unmask
from heterodyne_nb.data.merge import merge_bins
from heterodyne_nb.data.select import select
from heterodyne_nb.data.sigma import detect_bad_frames, estimate_sigma

__all__ = [
    "crop_frames",
    "detect_bad_frames",
    "estimate_sigma",
    "fringe_spectrum",
    "fringe_velocity",
    "g2_cuts",
    "mask_frames",
    "merge_bins",
    "select",
    "unmask",
]
