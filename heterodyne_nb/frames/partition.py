"""Which detector pixel belongs to which (q, phi) bin: label images, APS q maps, and geometry through pyFAI."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.data.dataset import wrap_degrees
from heterodyne_nb.data.formats import apsu, hdf, travel
from heterodyne_nb.errors import ConfigurationError, DataFormatError
from heterodyne_nb.guard import guarded


@dataclass(frozen=True, eq=False)
class Partition:
    """Bins of a detector.

    Parameters
    ----------
    labels : (rows, columns) int
        Bin of each pixel, from 1; 0: unused.
    q, phi : (B,)
        1/Å and degrees of bins 1 ... B.
    static : (rows, columns) int, optional
        Finer regions over whose mean in time a correlator smooths the intensity; 0: none.
    source : str, optional
        Name of the file it was read from.

    Attributes
    ----------
    pixel : (P,) int
        Used detector pixels, row * columns + column, bin by bin; those of a bin in such an order that consecutive ones
        are neighbours.
    first : (B + 1,) int
        Where the pixels of each bin begin.
    """

    labels: IntArray
    q: FloatArray
    phi: FloatArray
    static: IntArray | None = None
    source: str | None = None
    first: IntArray = field(init=False, repr=False)
    pixel: IntArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        labels = _label_image(self.labels, "labels")
        q, phi = (np.ascontiguousarray(v, float) for v in (self.q, self.phi))
        if q.ndim != 1 or q.shape != phi.shape or not (np.isfinite(q).all() and np.isfinite(phi).all()):
            raise ConfigurationError(
                f"q has shape {q.shape} and phi {phi.shape}",
                where="partition",
                expected="one finite q (1/Å) and one phi (degrees) for each label",
            )
        if (q <= 0).any():
            raise ConfigurationError(f"q = {q.min():g} 1/Å is not positive", where="partition")
        if labels.max(initial=0) != len(q):
            raise ConfigurationError(
                f"labels go up to {labels.max(initial=0)} but there are {len(q)} values of q",
                where="partition",
                expected="one q and phi for each label from 1",
            )
        count = np.bincount(labels.ravel(), minlength=len(q) + 1)[1:]
        if (count < 2).any():
            raise ConfigurationError(
                f"bin {int(np.argmax(count < 2)) + 1} has {count.min()} pixels",
                where="partition",
                expected="at least 2 pixels in every bin",
                hint="leave it out: its label 0, and its q and phi not in the lists",
            )
        static = None if self.static is None else _label_image(self.static, "static")
        if static is not None and static.shape != labels.shape:
            raise ConfigurationError(
                f"the static map has shape {static.shape}", where="partition", expected=f"{labels.shape}"
            )
        order = np.lexsort((_along_curve(labels.shape), labels.ravel()))
        made = {
            "labels": labels, "q": q, "phi": phi, "static": static,
            "first": np.concatenate([[0], np.cumsum(count)]),
            "pixel": order[labels.size - int(count.sum()) :],
        }  # fmt: skip
        for name, value in made.items():
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the detector."""
        return self.labels.shape

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.q)

    def slots(self) -> NDArray[np.int32]:
        """Place of each detector pixel in ``pixel``, -1 for unused ones."""
        out = np.full(self.labels.size, -1, np.int32)
        out[self.pixel] = np.arange(len(self.pixel))
        return out

    def masked(self, used: ArrayLike) -> Partition:
        """The partition with only the pixels where ``used`` (rows, columns) is true; bins left empty go.

        Raises
        ------
        ConfigurationError
            The mask has another shape, or nothing is left.
        """
        keep = np.asarray(used, bool)
        if keep.shape != self.shape:
            raise ConfigurationError(
                f"the mask of pixels has shape {keep.shape}", where="mask", expected=f"{self.shape}"
            )
        left = np.where(keep, self.labels, 0)
        alive = np.flatnonzero(np.bincount(left.ravel(), minlength=self.n_bins + 1)[1:] >= 2)
        source = self.source if np.array_equal(left, self.labels) else None
        return replace(self.with_bins(alive, left), source=source)

    def with_bins(self, bins: ArrayLike, labels: IntArray | None = None) -> Partition:
        """Only some bins, given by their places from 0, in this order."""
        bins = np.atleast_1d(np.asarray(bins, int))
        if not bins.size:
            raise ConfigurationError("no bin is left", where="partition")
        new = np.zeros(self.n_bins + 1, np.int64)
        new[bins + 1] = np.arange(1, len(bins) + 1)
        return replace(
            self, labels=new[self.labels if labels is None else labels], q=self.q[bins], phi=self.phi[bins]
        )


def _label_image(values: Any, name: str) -> IntArray:
    image = np.asarray(values)
    if image.ndim != 2 or not np.issubdtype(image.dtype, np.number) or np.any(image != np.round(image)):
        raise ConfigurationError(
            f"{name} has shape {image.shape} and type {image.dtype}",
            where="partition",
            expected="an image (rows, columns) of whole numbers, 0 for unused pixels",
        )
    if image.min(initial=0) < 0:
        raise ConfigurationError(
            f"{name} has the label {image.min()}", where="partition", expected="0, 1, 2, …"
        )
    return image.astype(np.int64)


def _along_curve(shape: tuple[int, int]) -> IntArray:
    """Place of each pixel on a Hilbert curve over the detector: what is near along it is near on the detector."""
    y, x = (part.ravel().astype(np.int64) for part in np.indices(shape))
    side = 1 << max(1, int(np.ceil(np.log2(max(shape)))))
    place, step = np.zeros(y.size, np.int64), side // 2
    while step:
        right, down = (x & step > 0).astype(np.int64), (y & step > 0).astype(np.int64)
        place += step * step * ((3 * right) ^ down)
        turned = (down == 0) & (right == 1)
        x, y = np.where(turned, side - 1 - x, x), np.where(turned, side - 1 - y, y)
        swapped = down == 0
        x, y = np.where(swapped, y, x), np.where(swapped, x, y)
        step //= 2
    return place


def as_partition(given: Any) -> Partition:
    """A partition from whatever :func:`open_frames` accepts: one, a q-map file, or (labels, q, phi)."""
    if isinstance(given, Partition):
        return given
    if isinstance(given, str | os.PathLike):
        return read_qmap(given)
    if isinstance(given, dict) and {"labels", "q", "phi"} <= set(given):
        return Partition(**given)
    if isinstance(given, tuple) and len(given) == 3:
        return Partition(*given)
    raise ConfigurationError(
        f"{type(given).__name__} is not a partition",
        where="partition",
        expected="a Partition, (labels, q, phi), or the path of an APS q-map file",
    )


def read_qmap(path: str | os.PathLike[str]) -> Partition:
    """Read a q-map file of APS 8-ID, or the q map inside one of its results.

    Parameters
    ----------
    path : str or path
        With ``/qmap`` or ``/xpcs/qmap``: ``dynamic_roi_map``, ``dynamic_v_list_dim0`` (q, 1/Å) and ``…dim1`` (phi,
        degrees), ``dynamic_index_mapping``, and ``static_roi_map`` and ``mask`` where there are any.

    Raises
    ------
    DataFormatError
        A key is missing or does not fit the others.
    """
    with guarded(path, "a q-map file of APS 8-ID"), hdf.open_h5(path) as h5file:
        holder = next((h5file[key] for key in ("qmap", "xpcs/qmap") if key in h5file), None)
        if not isinstance(holder, h5py.Group):
            raise DataFormatError(
                f"the file holds {sorted(h5file)[:8]}",
                where=Path(path).name,
                expected="a q map: a group /qmap or /xpcs/qmap",
            )
        labels = hdf.array(holder, "dynamic_roi_map", "label of each pixel").astype(np.int64)
        bins = apsu.bins_of_qmap(holder)
        static = None
        if "static_roi_map" in holder and not travel.made_up(holder["static_roi_map"]):
            static = hdf.array(holder, "static_roi_map", "static label of each pixel").astype(np.int64)
        if "mask" in holder:
            labels = np.where(hdf.array(holder, "mask", "1 for a used pixel") > 0, labels, 0)
        n = int(labels.max(initial=0))
        if bins.q.size < n:
            raise DataFormatError(
                f"there are {n} labels but {bins.q.size} places of the partition",
                where=hdf.place(holder, "dynamic_roi_map"),
                expected="a place in the grid for each label",
            )
    left = np.flatnonzero(np.bincount(labels.ravel(), minlength=n + 1)[1:] >= 2)
    if not left.size:
        raise DataFormatError("no label has a pixel", where=f"{Path(path).name}:/dynamic_roi_map")
    new = np.zeros(n + 1, np.int64)
    new[left + 1] = np.arange(1, left.size + 1)
    return Partition(new[labels], bins.q[left], bins.phi[left], static, Path(path).name)


def write_qmap(path: str | os.PathLike[str], partition: Partition) -> None:
    """Write a partition as a q-map file of APS 8-ID, each bin a place of its own in the grid."""
    from heterodyne_nb.files import new_h5

    q, at_q = np.unique(partition.q, return_inverse=True)
    phi, at_phi = np.unique(partition.phi, return_inverse=True)
    static = partition.labels if partition.static is None else partition.static
    with new_h5(path) as h5file:
        group = h5file.create_group("qmap")
        group["dynamic_roi_map"] = partition.labels.astype(np.uint32)
        group["static_roi_map"] = static.astype(np.uint32)
        group["mask"] = (partition.labels > 0).astype(np.uint8)
        group["dynamic_v_list_dim0"], group["dynamic_v_list_dim1"] = q, phi
        group["dynamic_v_list_dim0"].attrs["units"] = "1/Å"
        group["dynamic_v_list_dim1"].attrs["units"] = "degrees"
        group["dynamic_index_mapping"] = (at_q * phi.size + at_phi).astype(np.int64)
        group["map_names"], group["map_units"] = ["q", "phi"], ["1/Å", "degrees"]


def ring_partition(
    q: NDArray[np.floating],
    phi: NDArray[np.floating],
    *,
    q_edges: ArrayLike,
    n_phi: int = 1,
    phi_start: float = -180.0,
    mask: ArrayLike | None = None,
) -> Partition:
    """Rings in q cut into wedges of phi.

    Parameters
    ----------
    q, phi : (rows, columns)
        1/Å and degrees of every pixel.
    q_edges : (n + 1,) or (n, 2)
        Limits of the rings, 1/Å: touching, or a pair each.
    n_phi : int
        Wedges of a ring, all of the same width.
    phi_start : float
        Where the first wedge begins, degrees.
    mask : (rows, columns), optional
        True where a pixel is used.

    Raises
    ------
    ConfigurationError
        Edges do not rise, or no bin has two pixels.
    """
    edges = np.asarray(q_edges, float)
    pairs = np.column_stack([edges[:-1], edges[1:]]) if edges.ndim == 1 else edges
    if pairs.ndim != 2 or pairs.shape[1:] != (2,) or not len(pairs) or np.any(pairs[:, 1] <= pairs[:, 0]):
        raise ConfigurationError(
            f"{edges.tolist()} are not limits of rings", where="q_edges", expected="rising values in 1/Å"
        )
    used = np.ones(np.shape(q), bool) if mask is None else np.asarray(mask, bool)
    wedge = np.floor(((phi - phi_start) % 360.0) / (360.0 / n_phi)).astype(int) % n_phi
    labels, centres = np.zeros(np.shape(q), np.int64), []
    for low, high in pairs:
        for k in range(n_phi):
            inside = used & (q >= low) & (q < high) & (wedge == k) & (labels == 0)
            if np.count_nonzero(inside) >= 2:
                angle = phi_start + (k + 0.5) * 360.0 / n_phi
                centres.append((float(q[inside].mean()), float(wrap_degrees(np.array(angle)))))
                labels[inside] = len(centres)
    if not centres:
        raise ConfigurationError(
            f"no ring holds two pixels; q runs from {np.min(q):.4g} to {np.max(q):.4g} 1/Å", where="q_edges"
        )
    return Partition(labels, *np.array(centres).T)


def partition_from_poni(
    poni: str | os.PathLike[str],
    *,
    q_edges: ArrayLike,
    n_phi: int = 1,
    phi_start: float = -180.0,
    mask: ArrayLike | None = None,
    shape: tuple[int, int] | None = None,
) -> Partition:
    """Rings and wedges by the geometry of a PONI file, through pyFAI (extra ``frames``).

    Parameters
    ----------
    poni : str or path
        As pyFAI writes it, with a wavelength.
    q_edges, n_phi, phi_start, mask
        As for :func:`ring_partition`; ``mask`` is true where a pixel is used (pyFAI's own say the opposite).
    shape : (rows, columns), optional
        Of the detector, where the file does not know it.

    Raises
    ------
    ConfigurationError
        pyFAI is missing, or the file gives no wavelength or detector.
    """
    try:
        import pyFAI
    except ImportError as error:
        raise ConfigurationError(
            "pyFAI is not installed", where="partition", hint="pip install heterodyne_nb[frames]"
        ) from error
    hdf.check_readable(Path(poni))
    geometry = pyFAI.load(str(poni))
    shape = shape or geometry.detector.shape
    if geometry.wavelength is None or shape is None:
        raise ConfigurationError(
            "the file gives no wavelength or no detector", where=Path(poni).name, expected="both; see pyFAI"
        )
    q = geometry.array_from_unit(shape=shape, unit="q_A^-1")
    phi = np.degrees(geometry.chiArray(shape))
    return ring_partition(q, phi, q_edges=q_edges, n_phi=n_phi, phi_start=phi_start, mask=mask)
