"""Frames in image files, TIFF, EDF and CBF, through fabio (extra ``frames``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from heterodyne_nb.arrays import IntArray
from heterodyne_nb.errors import ConfigurationError, DataFormatError
from heterodyne_nb.files import make_folder, new_file
from heterodyne_nb.frames.photons import Events
from heterodyne_nb.frames.sources import Source, dense_events, frames_a_batch

SUFFIXES = (".tif", ".tiff", ".edf", ".cbf")


def _fabio() -> Any:
    try:
        import fabio
    except ImportError as error:
        raise ConfigurationError(
            "images are read by fabio, which is not installed", hint="pip install heterodyne_nb[frames]"
        ) from error
    return fabio


def images_of(path: Path) -> Iterator[np.ndarray]:
    """Every image of a file.

    Raises DataFormatError: It is damaged, cut short, or no image.
    """
    fabio = _fabio()
    try:
        with fabio.open(str(path)) as held:
            for number in range(held.nframes):
                frame = held if held.nframes == 1 else held.get_frame(number)
                image = np.asarray(frame.data)
                if image.ndim != 2 or getattr(frame, "incomplete_data", False):
                    raise DataFormatError(
                        f"image {number + 1} is not complete", where=path.name, hint="copy it again"
                    )
                yield image
    except DataFormatError:
        raise
    except Exception as error:  # each of fabio's readers fails in its own way
        told = str(error) or type(error).__name__
        raise DataFormatError(f"the image cannot be read ({told})", where=path.name) from error


def image_source(paths: list[Path]) -> Source:
    """Image files in the order given, each with one frame or more."""
    _fabio()
    shape = next(images_of(paths[0])).shape
    bad: list[IntArray] = []

    def batches(pixel: IntArray) -> Iterator[Events]:
        first, held = 0, list[np.ndarray]()
        for path in paths:
            for image in images_of(path):
                if image.shape != shape:
                    raise DataFormatError(f"an image of {image.shape}", where=path.name, expected=f"{shape}")
                held.append(image)
                if len(held) >= frames_a_batch(shape):
                    yield dense_events(np.stack(held), first, pixel, bad)
                    first, held = first + len(held), []
        if held:
            yield dense_events(np.stack(held), first, pixel, bad)

    return Source(paths[0].name, "images", batches, shape, path=paths[0], bad=bad)


def write_images(
    folder: Path, events: Events, shape: tuple[int, int], n_frames: int, suffix: str
) -> list[Path]:
    """Write one image a frame, ``frame_000001.tif`` ..., and return their paths."""
    fabio = _fabio()
    maker = {".tif": fabio.tifimage.TifImage, ".edf": fabio.edfimage.EdfImage}[suffix]
    frame, pixel, count = events
    edges = np.searchsorted(frame, np.arange(n_frames + 1))
    paths, folder = [], make_folder(folder)
    for number in range(n_frames):
        mine = slice(edges[number], edges[number + 1])
        image = np.zeros(shape[0] * shape[1], np.uint16)
        image[pixel[mine]] = count[mine]
        paths.append(folder / f"frame_{number + 1:06d}{suffix}")
        with new_file(paths[-1]) as made:
            maker(data=image.reshape(shape)).write(str(made))
    return paths
