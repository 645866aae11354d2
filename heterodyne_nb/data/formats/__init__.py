"""The reader and the writer of each layout (see :mod:`.base`), and the list of layouts in the order they are tried."""

from __future__ import annotations

from heterodyne_nb.data.formats.aps_legacy import ApsLegacy
from heterodyne_nb.data.formats.apsu import ApsU
from heterodyne_nb.data.formats.base import Ingredients, Layout, MapRef
from heterodyne_nb.data.formats.esrf import EsrfDahu, EsrfId02
from heterodyne_nb.data.formats.nxxpcs import NXxpcs, NXxpcsOld
from heterodyne_nb.data.formats.pychx import PyChx
from heterodyne_nb.data.formats.xfel_mid import XfelMid

LAYOUTS: tuple[Layout, ...] = (
    ApsU(),
    ApsLegacy(),
    NXxpcs(),
    NXxpcsOld(),
    EsrfId02(),
    PyChx(),
    XfelMid(),
    EsrfDahu(),
)
"""The HDF5 layouts in the order in which they are tried."""

__all__ = ["LAYOUTS", "Ingredients", "Layout", "MapRef"]
