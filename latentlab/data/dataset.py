"""One form for all images to train on, and the function that opens it from what a user typed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from latentlab.data import celeba, embedded, folder
from latentlab.errors import DataError, UsageError
from latentlab.progress import Progress, silent

EMBEDDED = "faces"
MIN_RESOLUTION, MAX_RESOLUTION = 8, 1024


class Pixels(Protocol):
    """Images by number: an array, a memory map, or files decoded on request."""

    def __len__(self) -> int:
        """How many images there are."""

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """uint8 [len(indices), R, R, 3]."""


@dataclass(frozen=True)
class Dataset:
    """Square images of one size, with or without binary labels.

    Attributes:
        name: What tables and artefacts call it.
        fingerprint: SHA-256 of the pixels as they are used (of file names, sizes and times where the images do not
            fit into memory and are decoded on request).
        resolution: R, height and width of the images.
        pixels: Images by number.
        attributes: A names; empty without labels.
        labels: int8 [N, A], 1 where the attribute is present and -1 where it is not; None without labels.
    """

    name: str
    fingerprint: str
    resolution: int
    pixels: Pixels
    attributes: tuple[str, ...] = ()
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, indices: np.ndarray | slice) -> np.ndarray:
        """Images by number, in the order asked for: uint8 [len(indices), R, R, 3]."""
        numbers = np.arange(len(self))[indices]
        return np.asarray(self.pixels[numbers])

    def describe(self) -> dict[str, str | int]:
        """What artefacts record about the data: name, fingerprint, num_images, resolution."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "num_images": len(self),
            "resolution": self.resolution,
        }


def open_dataset(
    spec: str | Path,
    *,
    resolution: int,
    crop: str = "auto",
    num_images: int | None = None,
    seed: int = 0,
    missing: dict[str, bool] | None = None,
    progress: Progress = silent,
) -> Dataset:
    """Open the embedded faces ("faces") or a folder of images, box-filtered to resolution x resolution.

    Args:
        spec: "faces", or a folder: with an attribute file beside it is read as CelebA, with labels, else as images of
            any nesting without labels. A folder that is itself called faces is `./faces`.
        resolution: A power of two from 8 to 1024.
        crop: How images become square: "celeba" takes the 128x128 pixels around the face of a 178x218 image, "center"
            the largest centred square, "auto" leaves square images alone and takes "celeba" for aligned CelebA.
        num_images: Take only the first ones; None for all of a folder, or 30,000 embedded faces.
        seed: Which embedded faces; folders take no seed.
        missing: A combination of attribute values that the embedded faces shall lack, such as
            {"Male": True, "Young": False}; only for "faces".
        progress: Told how many images are ready.

    Raises:
        UsageError: an argument is not allowed.
        DataError: the folder, its images or its attribute file cannot be used.
    """
    check_resolution(resolution)
    if num_images is not None and num_images < 1:
        raise UsageError(f"{num_images} images asked for: at least 1 is needed.")
    if str(spec) == EMBEDDED:
        return _open_faces(resolution, num_images, seed, missing, progress)
    if missing:
        raise UsageError(f"a missing combination of attributes can be asked of '{EMBEDDED}' only, not of {spec}.")
    return _open_folder(Path(spec), folder.Preparation(resolution, crop), num_images, progress)


def check_resolution(resolution: int) -> None:
    """Raise UsageError unless `resolution` is a power of two from 8 to 1024."""
    if resolution & (resolution - 1) or not MIN_RESOLUTION <= resolution <= MAX_RESOLUTION:
        raise UsageError(
            f"resolution {resolution} is not allowed: it must be a power of two "
            f"from {MIN_RESOLUTION} to {MAX_RESOLUTION}, such as 32 or 256."
        )


def _open_faces(
    resolution: int, num_images: int | None, seed: int, missing: dict[str, bool] | None, progress: Progress
) -> Dataset:
    selection = embedded.Selection(seed, num_images or embedded.DEFAULT_COUNT, tuple(sorted((missing or {}).items())))
    faces = embedded.cached_faces(selection, resolution, progress)
    return Dataset(selection.name, faces.fingerprint, resolution, faces.images, celeba.CELEBA_ATTRIBUTES, faces.labels)


def _open_folder(path: Path, preparation: folder.Preparation, num_images: int | None, progress: Progress) -> Dataset:
    if not path.is_dir():
        raise DataError(f"{path}: no such folder. Name a folder of images, or '{EMBEDDED}' for the embedded faces.")
    layout = celeba.find_layout(path)
    files = folder.find_images(layout.images if layout else path)
    attributes: tuple[str, ...] = ()
    labels = None
    if layout:
        table = celeba.read_attributes(layout.attribute_file)
        attributes = tuple(table.columns)
        labels = celeba.labels_of(files, table, layout.attribute_file)[:num_images]
    if num_images is not None and num_images > len(files):
        raise DataError(f"{path}: {num_images} images asked for, but it holds {len(files)}. Ask for at most that many.")
    pixels, fingerprint = folder.load(files[:num_images], preparation, aligned=layout is not None, progress=progress)
    return Dataset(path.resolve().name, fingerprint, preparation.resolution, pixels, attributes, labels)
