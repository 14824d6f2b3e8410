"""What a user names, as a list of image files with or without labels: a folder, a zip file, or CelebA's layout."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentlab.data import celeba
from latentlab.data.sources import Entry, find_images
from latentlab.errors import DataError


@dataclass(frozen=True)
class ImageSet:
    """Image files in the order of their paths, not yet opened.

    Attributes:
        name: What tables and artefacts call it.
        entries: N image files.
        attributes: A names; empty without labels.
        labels: int8 [N, A], 1 or -1; None without labels.
        aligned: Whether 178x218 images are aligned CelebA faces.
    """

    name: str
    entries: list[Entry]
    attributes: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    aligned: bool = False

    def first(self, count: int | None) -> "ImageSet":
        """The first `count` images, or all of them for None.

        Raises:
            DataError: there are fewer.
        """
        check_count(self.name, count, len(self.entries))
        labels = None if self.labels is None else self.labels[:count]
        return ImageSet(self.name, self.entries[:count], self.attributes, labels, self.aligned)


def find_image_set(path: Path) -> ImageSet:
    """Look into a folder or a zip file; a folder with an attribute file beside its images is read as CelebA.

    Raises:
        DataError: there is no such folder or zip file, or its contents cannot be used.
    """
    if not path.exists():
        raise DataError(
            f"{path}: no such folder or file. Name a folder of images, a zip file of images, a file that `latentlab "
            "data prepare` made, or 'faces' for the embedded faces."
        )
    layout = celeba.find_layout(path)
    if layout is None:
        return ImageSet(path.resolve().name.removesuffix(".zip"), find_images(path))
    entries = find_images(layout.images)
    table = celeba.read_attributes(layout.attribute_file)
    labels = celeba.labels_of(entries, table, layout)
    return ImageSet(path.resolve().name, entries, tuple(table.columns), labels, aligned=True)


def check_count(name: str, asked: int | None, there: int) -> None:
    """Raise DataError if more images are asked for than there are."""
    if asked is not None and asked > there:
        raise DataError(f"{name}: {asked} images asked for, but it holds {there}. Ask for at most that many.")
