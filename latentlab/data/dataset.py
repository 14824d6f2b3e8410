"""One form for all images to train on, and the function that opens it from what a user typed."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from latentlab.data import celeba, decoding, embedded, layouts, loading, prepared
from latentlab.data.labels import labels_digest, labels_from
from latentlab.errors import UsageError
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
            fit into memory and are decoded on request; of the file's fingerprint and what is taken from it where only
            a part of prepared images is used).
        resolution: R, height and width of the images.
        pixels: Images by number.
        attributes: A names; empty without labels.
        labels: int8 [N, A], 1 where the attribute is present and -1 where it is not; None without labels.
        crop: What was cut out of the files: "none", "celeba" or "center".
        filter: How images were made smaller, "box" or "lanczos"; "drawn" for the embedded faces.
        skipped: Files that could not be read and were left out.
    """

    name: str
    fingerprint: str
    resolution: int
    pixels: Pixels
    attributes: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    crop: str = "none"
    filter: str = "box"
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, indices: np.ndarray | slice) -> np.ndarray:
        """Images by number, in the order asked for: uint8 [len(indices), R, R, 3]."""
        numbers = np.arange(len(self))[indices]
        return np.asarray(self.pixels[numbers])

    @property
    def labels_sha256(self) -> str | None:
        """SHA-256 of the attributes' names and the labels (`labels.labels_digest`); None without labels."""
        return None if self.labels is None else labels_digest(self.attributes, self.labels)

    def describe(self) -> dict[str, str | int]:
        """What artefacts record about the images; what uses labels records `labels_sha256`, too."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "num_images": len(self),
            "resolution": self.resolution,
            "crop": self.crop,
            "filter": self.filter,
            "num_skipped": len(self.skipped),
        }


def open_dataset(
    spec: str | Path,
    *,
    resolution: int,
    crop: str = "auto",
    filter: str = "box",  # noqa: A002 (named like the option)
    labels: Path | str | None = None,
    num_images: int | None = None,
    seed: int = 0,
    missing: dict[str, bool] | None = None,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> Dataset:
    """Open the embedded faces ("faces"), a folder or a zip file of images, or a file of prepared images.

    Args:
        spec: "faces"; or a folder: with an attribute file in it, it is read as CelebA, with labels, else as images of
            any nesting without labels; or a zip file of images; or what `latentlab data prepare` made. A folder that
            is itself called faces is `./faces`.
        resolution: A power of two from 8 to 1024.
        crop: How images become square: "celeba" takes the 128x128 pixels around the face of a 178x218 image, "center"
            the largest centred square, "auto" leaves square images alone and takes "celeba" for aligned CelebA.
        filter: How larger images are made smaller: "box" averages, "lanczos" is what StyleGAN's own data tools use.
            Prepared images keep the filter they have, and are box-filtered to lower resolutions.
        labels: A CSV, TSV or Parquet file with labels for images that have none: a column of file names and any number
            of binary columns (latentlab.data.labels).
        num_images: Take only the first ones; None for all there are, or 30,000 embedded faces.
        seed: Which embedded faces; files take no seed.
        missing: A combination of attribute values that the embedded faces shall lack, such as
            {"Male": True, "Young": False}; only for "faces".
        skip_bad: Leave out files that cannot be read (`Dataset.skipped` names them) instead of stopping. They are not
            replaced: `num_images` counts them.
        progress: Told how many images are ready.

    Raises:
        UsageError: an argument is not allowed.
        DataError: the folder or file, its images or its attribute file, or the labels cannot be used.
    """
    check_resolution(resolution)
    if num_images is not None and num_images < 1:
        raise UsageError(f"{num_images} images asked for: at least 1 is needed.")
    preparation = decoding.Preparation(resolution, crop, filter)
    label_file = None if labels is None else Path(labels)
    if str(spec) == EMBEDDED:
        if label_file is not None:
            raise layouts.already_labelled(f"'{EMBEDDED}'", label_file)
        return _open_faces(resolution, num_images, seed, missing, progress)
    if missing:
        raise UsageError(f"a missing combination of attributes can be asked of '{EMBEDDED}' only, not of {spec}.")
    if prepared.is_prepared(Path(spec)):
        return _open_prepared(find_prepared(Path(spec), label_file), preparation, num_images, progress)
    images = layouts.find_image_set(Path(spec), label_file).first(num_images)
    return _open_images(images, preparation, skip_bad, progress)


def check_resolution(resolution: int) -> None:
    """Raise UsageError unless `resolution` is a power of two from 8 to 1024."""
    if resolution & (resolution - 1) or not MIN_RESOLUTION <= resolution <= MAX_RESOLUTION:
        raise UsageError(
            f"resolution {resolution} is not allowed: it must be a power of two "
            f"from {MIN_RESOLUTION} to {MAX_RESOLUTION}, such as 32 or 256."
        )


def find_prepared(path: Path, labels: Path | None = None) -> prepared.Prepared:
    """Read a file of prepared images, and labels for it where it has none, matched by the names it was made from.

    Raises:
        UsageError: labels are given for images that have some.
        DataError: the file or the labels cannot be used.
    """
    found = prepared.read_prepared(path)
    if labels is None:
        return found
    if found.labels is not None:
        raise layouts.already_labelled(path, labels, "prepare the images again with them")
    names, values = labels_from(labels, found.names + found.skipped, str(path))
    return replace(found, attributes=names, labels=values[: len(found.names)])


def _open_faces(
    resolution: int, num_images: int | None, seed: int, missing: dict[str, bool] | None, progress: Progress
) -> Dataset:
    selection = embedded.Selection(seed, num_images or embedded.DEFAULT_COUNT, tuple(sorted((missing or {}).items())))
    faces = embedded.cached_faces(selection, resolution, progress)
    return Dataset(
        selection.name,
        faces.fingerprint,
        resolution,
        faces.images,
        celeba.CELEBA_ATTRIBUTES,
        faces.labels,
        filter="drawn",
    )


def _open_images(
    images: layouts.ImageSet, preparation: decoding.Preparation, skip_bad: bool, progress: Progress
) -> Dataset:
    loaded = loading.load(images.entries, preparation, aligned=images.aligned, skip_bad=skip_bad, progress=progress)
    return Dataset(
        images.name,
        loaded.fingerprint,
        preparation.resolution,
        loaded.pixels,
        images.attributes,
        None if images.labels is None else images.labels[loaded.kept],
        crop=loaded.crop,
        filter=preparation.filter,
        skipped=loaded.skipped,
    )


def _open_prepared(
    found: prepared.Prepared, preparation: decoding.Preparation, num_images: int | None, progress: Progress
) -> Dataset:
    prepared.refuse_other_preparation(found, preparation.crop, preparation.filter)
    pixels, fingerprint = prepared.open_pixels(
        found, resolution=preparation.resolution, num_images=num_images, progress=progress
    )
    return Dataset(
        found.source,
        fingerprint,
        preparation.resolution,
        pixels,
        found.attributes,
        None if found.labels is None else found.labels[:num_images],
        crop=found.crop,
        filter=found.filter,
        skipped=found.skipped,
    )
