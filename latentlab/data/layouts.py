"""What a user names, as a list of image files with or without labels: a folder, a zip file, or CelebA's layout."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from latentlab.data import celeba, celeba_hq
from latentlab.data.labels import labels_from
from latentlab.data.sources import Entry, find_images
from latentlab.errors import DataError, UsageError


@dataclass(frozen=True)
class ImageSet:
    """Image files in the order of their paths, not yet opened.

    Attributes:
        name: What tables and artefacts call it.
        entries: N image files.
        attributes: A names; empty without labels.
        labels: int8 [N, A], 1 or -1; None without labels.
        aligned: Whether 178x218 images are aligned CelebA faces.
        label_files: What the labels were read from: a user's file, or CelebA's attribute file and CelebA-HQ's index.
    """

    name: str
    entries: list[Entry]
    attributes: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    aligned: bool = False
    label_files: tuple[Path, ...] = ()

    def first(self, count: int | None) -> "ImageSet":
        """The first `count` images, or all of them for None.

        Raises:
            DataError: there are fewer.
        """
        check_count(self.name, count, len(self.entries))
        labels = None if self.labels is None else self.labels[:count]
        return replace(self, entries=self.entries[:count], labels=labels)


def find_image_set(path: Path, labels: Path | None = None) -> ImageSet:
    """Look into a folder or a zip file; a folder with an attribute file beside its images is read as CelebA.

    Args:
        path: The folder or the zip file.
        labels: A user's own file of labels (latentlab.data.labels), for images that have none.

    Raises:
        UsageError: labels are given for images that have some.
        DataError: there is no such folder or zip file, or its contents or the labels cannot be used.
    """
    if not path.exists():
        raise DataError(
            f"{path}: no such folder or file. Name a folder of images, a zip file of images, a file that `latentlab "
            "data prepare` made, or 'faces' for the embedded faces."
        )
    layout = celeba.find_layout(path)
    if layout is not None:
        if labels is not None:
            raise already_labelled(path, labels, f"move {layout.attribute_file} away")
        return _celeba(path, layout)
    found = ImageSet(path.resolve().name.removesuffix(".zip"), find_images(path))
    if labels is None:
        return found
    names, values = labels_from(labels, [entry.name for entry in found.entries], str(path))
    return replace(found, attributes=names, labels=values, label_files=(labels,))


def _celeba(path: Path, layout: celeba.Layout) -> ImageSet:
    entries = find_images(layout.images)
    table = celeba.read_attributes(layout.attribute_file)
    names, name = tuple(table.columns), path.resolve().name
    if layout.index is not None:
        labels = celeba_hq.labels_of(entries, table, layout)
        return ImageSet(name, entries, names, labels, label_files=(layout.attribute_file, layout.index))
    celeba_hq.refuse_without_index(entries, table, layout)
    labels = celeba.labels_of(entries, table, layout)
    return ImageSet(name, entries, names, labels, aligned=True, label_files=(layout.attribute_file,))


def already_labelled(data: Path | str, labels: Path, advice: str = "") -> UsageError:
    """The error for labels of images that have labels; `advice` says what to do to use the other ones."""
    other = f", or, to use these, {advice}" if advice else ""
    return UsageError(f"--labels {labels}: {data} has labels already. Leave --labels out{other}.")


def check_count(name: str, asked: int | None, there: int) -> None:
    """Raise DataError if more images are asked for than there are."""
    if asked is not None and asked > there:
        raise DataError(f"{name}: {asked} images asked for, but it holds {there}. Ask for at most that many.")
