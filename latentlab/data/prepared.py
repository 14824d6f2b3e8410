"""Prepared images: one HDF5 file with all pixels in one piece, so that any image is one read away.

This module owns the form of the file (docs/data.md); `preparing` fills it.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from latentlab.data.decoding import resize, too_small
from latentlab.data.layouts import check_count
from latentlab.data.loading import block_rows, each, memory_limit
from latentlab.errors import DataError, UsageError
from latentlab.progress import Progress, silent

SCHEMA_VERSION = 1
KIND = "images"
SUFFIX = ".h5"
FIELDS = ("source", "resolution", "crop", "filter", "num_images", "fingerprint", "latentlab_version", "created_at")
"""Root attributes beside `schema_version` and `kind`."""


@dataclass(frozen=True)
class Prepared:
    """What a file of prepared images says about itself, its sizes checked.

    Attributes:
        path: The file.
        source: Name of what it was made from.
        resolution: R, height and width of the images.
        crop: "none", "celeba" or "center": what was cut out.
        filter: "box" or "lanczos": how images were made smaller.
        num_images: N.
        fingerprint: SHA-256 of the pixels.
        latentlab_version: What wrote it.
        created_at: When, ISO 8601.
        offset: Where in the file the pixels begin, uint8 [N, R, R, 3] in one piece.
        names: The file that each image was made from.
        skipped: Files that could not be read and were left out.
        attributes: A names; empty without labels.
        labels: int8 [N, A], 1 or -1; None without labels.
    """

    path: Path
    source: str
    resolution: int
    crop: str
    filter: str
    num_images: int
    fingerprint: str
    latentlab_version: str
    created_at: str
    offset: int
    names: tuple[str, ...]
    skipped: tuple[str, ...]
    attributes: tuple[str, ...]
    labels: np.ndarray | None

    @property
    def pixels(self) -> np.ndarray:
        """uint8 [N, R, R, 3], mapped from the file, not read."""
        shape = (self.num_images, self.resolution, self.resolution, 3)
        return np.memmap(self.path, np.uint8, "r", offset=self.offset, shape=shape)

    def summary(self) -> dict[str, Any]:
        """What is inside, without the pixels, the names and the labels."""
        fields = {name: getattr(self, name) for name in FIELDS}
        rest = {"attributes": list(self.attributes), "skipped": list(self.skipped)}
        return {"file": str(self.path), "bytes": self.path.stat().st_size, **fields, **rest}


class MappedImages:
    """The first images of a file, read each time they are asked for, and box-filtered to a lower resolution."""

    def __init__(self, pixels: np.ndarray, resolution: int) -> None:
        self.pixels, self.resolution = pixels, resolution

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """uint8 [len(indices), R, R, 3]."""
        images = np.asarray(self.pixels[indices])
        if self.pixels.shape[1] == self.resolution:
            return images
        smaller = np.empty((len(images), self.resolution, self.resolution, 3), np.uint8)

        def shrink(place: int) -> None:
            smaller[place] = np.asarray(resize(Image.fromarray(images[place]), self.resolution, "box"))

        each(shrink, range(len(images)))
        return smaller


def is_prepared(path: Path) -> bool:
    """Whether `path` is meant to be a file of prepared images: an HDF5 file by its suffix or by its first bytes."""
    return path.is_file() and (path.suffix in (SUFFIX, ".hdf5") or h5py.is_hdf5(path))


def read_prepared(path: Path) -> Prepared:
    """Read everything but the pixels, and check that all sizes agree.

    Raises:
        DataError: the file is damaged, cut short, of another version, or holds something else.
    """
    with _opened(path) as file:
        if file.attrs.get("kind") != KIND or not isinstance(file.get("images"), h5py.Dataset):
            raise DataError(
                f"{path} is an HDF5 file, but not one of prepared images: it holds {', '.join(file) or 'nothing'}. "
                "`latentlab data prepare` makes one from a folder or a zip file; a store of samples (run.h5) is none."
            )
        version = file.attrs.get("schema_version")
        if version != SCHEMA_VERSION:
            raise DataError(
                f"{path} has schema version {version}, and this LatentLab reads version {SCHEMA_VERSION}: "
                "use the version of LatentLab that wrote it, or prepare the images again."
            )
        found = _read(path, file)
        _check_sizes(found, file)
    return found


def open_pixels(
    found: Prepared, *, resolution: int, num_images: int | None, progress: Progress = silent
) -> tuple[np.ndarray | MappedImages, str]:
    """The first `num_images` images (None: all) at `resolution`, in memory where they fit, else mapped.

    Returns:
        The images, and their fingerprint: the file's, or one that follows from it, the resolution and the number
        where only some of the pixels are used, so that nothing is hashed here.

    Raises:
        DataError: the resolution or the number is above the file's.
    """
    if resolution > found.resolution:
        raise too_small(str(found.path), found.resolution, resolution)
    check_count(str(found.path), num_images, found.num_images)
    count = num_images or found.num_images
    mapped = MappedImages(found.pixels[:count], resolution)
    fingerprint = found.fingerprint
    if (resolution, count) != (found.resolution, found.num_images):
        fingerprint = hashlib.sha256(f"{fingerprint} {resolution} {count}".encode()).hexdigest()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # those of torchrun on this machine share its memory
    if count * resolution**2 * 3 > memory_limit() // processes:
        return mapped, fingerprint
    pixels = np.empty((count, resolution, resolution, 3), np.uint8)
    for rows in _blocks(count, found.resolution):
        pixels[rows] = mapped[np.arange(rows.start, rows.stop)]
        progress(rows.stop, count, "images read")
    return pixels, fingerprint


def refuse_other_preparation(found: Prepared, crop: str, resampling: str) -> None:
    """Raise UsageError where a crop or a filter is asked for ("auto" and "box" are not) that the file lacks."""
    for what, asked, default, there in (
        ("crop", crop, "auto", found.crop),
        ("filter", resampling, "box", found.filter),
    ):
        if asked not in (default, there):
            raise UsageError(
                f"--{what} {asked}: {found.path} was prepared with {what} {there}, which cannot be changed. Leave "
                f"--{what} out, or prepare the images again."
            )


def check_prepared(path: Path, progress: Progress = silent) -> Prepared:
    """Read all pixels and compare their SHA-256 with the file's fingerprint.

    Raises:
        DataError: as `read_prepared`; or the pixels have changed.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; `latentlab data prepare` makes one.")
    found = read_prepared(path)
    digest = hashlib.sha256()
    for rows in _blocks(found.num_images, found.resolution):
        digest.update(found.pixels[rows].data)
        progress(rows.stop, found.num_images, "images checked")
    if digest.hexdigest() != found.fingerprint:
        raise DataError(
            f"{path} is damaged: its pixels have the SHA-256 {digest.hexdigest()}, but its fingerprint is "
            f"{found.fingerprint}. Copy it again or prepare the images again."
        )
    return found


def allocate(path: Path, num_images: int, resolution: int) -> int:
    """Make the file with room for the pixels in one piece, never pre-filled; returns where they begin.

    Raises:
        OSError: there is no room.
    """
    form = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    form.set_layout(h5py.h5d.CONTIGUOUS)
    form.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    form.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    form.set_obj_track_times(False)
    space = h5py.h5s.create_simple((num_images, resolution, resolution, 3))
    with _writable(path, "w") as file:
        dataset = h5py.h5d.create(file.id, b"images", h5py.h5t.NATIVE_UINT8, space, dcpl=form)
        return int(dataset.get_offset())


def write_rest(path: Path, found: Prepared) -> None:
    """Write everything but the pixels.

    Raises:
        OSError: there is no room.
    """
    text = h5py.string_dtype()
    with _writable(path, "r+") as file:
        file.attrs.update({"schema_version": SCHEMA_VERSION, "kind": KIND})
        file.attrs.update({name: getattr(found, name) for name in FIELDS})
        file.create_dataset("names", data=np.array(found.names, dtype=object), dtype=text)
        file.create_dataset("skipped", data=np.array(found.skipped, dtype=object), dtype=text)
        if found.labels is not None:
            file.create_dataset("labels", data=found.labels.astype(np.int8))
            file.create_dataset("attributes", data=np.array(found.attributes, dtype=object), dtype=text)


@contextmanager
def _writable(path: Path, mode: str) -> Iterator[h5py.File]:
    """Open a file for writing; on a full disk HDF5 raises RuntimeError or OSError, here it is always OSError."""
    try:
        with h5py.File(path, mode, locking=False) as file:
            yield file
    except RuntimeError as error:
        raise OSError(str(error)) from error


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading; whatever HDF5 finds wrong with it becomes a DataError."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        reason = "cut short" if "truncated file" in str(error) else f"damaged or not an HDF5 file ({error})"
        raise DataError(f"{path} is {reason}: copy it again, or prepare the images again.") from error


def _read(path: Path, file: h5py.File) -> Prepared:
    fields = {name: file.attrs[name] for name in FIELDS}
    for name in ("resolution", "num_images"):
        fields[name] = int(fields[name])
    return Prepared(
        path=path,
        **fields,
        offset=file["images"].id.get_offset() or 0,
        names=_texts(file, "names"),
        skipped=_texts(file, "skipped"),
        attributes=_texts(file, "attributes"),
        labels=file["labels"][()] if "labels" in file else None,
    )


def _texts(file: h5py.File, name: str) -> tuple[str, ...]:
    return tuple(file[name].asstr()[()].tolist()) if name in file else ()


def _check_sizes(found: Prepared, file: h5py.File) -> None:
    images, count, side = file["images"], found.num_images, found.resolution
    with_labels = (count, len(found.attributes)) if found.attributes else None
    expected = [
        ("images", (images.shape, str(images.dtype)), ((count, side, side, 3), "uint8")),
        ("names", len(found.names), count),
        ("labels", None if found.labels is None else found.labels.shape, with_labels),
    ]
    for name, there, wanted in expected:
        if there != wanted:
            raise DataError(f"{found.path}: {name} is {there}, but {wanted} is needed. Prepare the images again.")
    if not found.offset or images.chunks:
        raise DataError(f"{found.path}: images must lie in one piece, unchunked and uncompressed. Prepare them again.")
    if found.path.stat().st_size < found.offset + count * side**2 * 3:
        raise DataError(f"{found.path} is cut short: copy it again, or prepare the images again.")


def _blocks(count: int, resolution: int) -> Iterator[slice]:
    rows = block_rows(resolution)
    return (slice(start, min(start + rows, count)) for start in range(0, count, rows))
