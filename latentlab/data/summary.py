"""What a data set holds, without decoding its images: how many, of which sizes, with which labels."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latentlab.data.attributes import CELEBA_ATTRIBUTES
from latentlab.data.dataset import EMBEDDED, find_prepared
from latentlab.data.decoding import header_size
from latentlab.data.embedded import DEFAULT_COUNT
from latentlab.data.faces import RESOLUTIONS, face_factors, face_labels
from latentlab.data.labels import labels_digest
from latentlab.data.layouts import already_labelled, find_image_set
from latentlab.data.loading import each
from latentlab.data.prepared import is_prepared
from latentlab.data.sources import Entry
from latentlab.errors import DataError
from latentlab.progress import Progress, silent

HEADERS = 4096  # read between two reports of progress
FIRST = 3


def summarise(spec: Path | str, *, labels: Path | str | None = None, progress: Progress = silent) -> dict[str, Any]:
    """Look at what `open_dataset` would open; of image files the headers are read.

    Args:
        spec: "faces", a folder or a zip file of images, or a file of prepared images.
        labels: A file of labels, as `open_dataset` takes it.
        progress: Told how many headers are read.

    Returns:
        `name`; `num_images`; `sizes`, images by "WIDTHxHEIGHT", the most frequent first; `unreadable`, names of files
        whose headers cannot be read; `label_files`, what labels come from; `labels_sha256`; `attributes`, each with
        `name`, `positives` and their `share`, a fraction; and `first`, some images with the attributes they show.

    Raises:
        UsageError: labels are given for images that have some.
        DataError: the images or labels cannot be used.
    """
    path, label_file = Path(spec), None if labels is None else Path(labels)
    if str(spec) == EMBEDDED:
        if label_file is not None:
            raise already_labelled(f"'{EMBEDDED}'", label_file)
        values = face_labels(face_factors(0, slice(0, DEFAULT_COUNT)))
        sizes = {f"{RESOLUTIONS[0]}x{RESOLUTIONS[0]} to {RESOLUTIONS[-1]}x{RESOLUTIONS[-1]}": len(values)}
        files = [f"face {number}" for number in range(FIRST)]
        return _facts(EMBEDDED, sizes) | _labels(CELEBA_ATTRIBUTES, values, files)
    if is_prepared(path):
        found = find_prepared(path, label_file)
        facts = _facts(found.source, {f"{found.resolution}x{found.resolution}": found.num_images})
        return facts | _labels(found.attributes, found.labels, found.names, [label_file or path])
    images = find_image_set(path, label_file)
    sizes, unreadable = _sizes(images.entries, progress)
    names = [entry.name for entry in images.entries]
    return _facts(images.name, sizes, unreadable) | _labels(images.attributes, images.labels, names, images.label_files)


def _facts(name: str, sizes: dict[str, int], unreadable: Sequence[str] = ()) -> dict[str, Any]:
    total = sum(sizes.values()) + len(unreadable)
    return {"name": name, "num_images": total, "sizes": sizes, "unreadable": list(unreadable)}


def _labels(
    names: Sequence[str], labels: np.ndarray | None, files: Sequence[str], label_files: Iterable[Path] = ()
) -> dict[str, Any]:
    """What is to be said of labels, int8 [N, A]; None without labels."""
    if labels is None:
        return {"label_files": [], "labels_sha256": None, "attributes": [], "first": []}
    present = labels > 0
    counts = present.sum(axis=0).tolist()
    return {
        "label_files": [str(file) for file in label_files],
        "labels_sha256": labels_digest(names, labels),
        "attributes": [
            {"name": name, "positives": count, "share": count / len(labels)}
            for name, count in zip(names, counts, strict=True)
        ],
        "first": [
            {"file": file, "attributes": [name for name, shown in zip(names, row, strict=True) if shown]}
            for file, row in zip(files[:FIRST], present[:FIRST], strict=True)
        ],
    }


def _sizes(entries: Sequence[Entry], progress: Progress) -> tuple[dict[str, int], list[str]]:
    """Images by size, from their headers, and the names of those that have no readable one."""
    sizes: Counter[str] = Counter()
    unreadable: list[str] = []
    for start in range(0, len(entries), HEADERS):
        some = entries[start : start + HEADERS]
        for entry, size in zip(some, each(header_size, some), strict=True):
            if isinstance(size, DataError):
                unreadable.append(entry.name)
            else:
                sizes[f"{size[0]}x{size[1]}"] += 1
        progress(start + len(some), len(entries), "headers read")
    return dict(sizes.most_common()), unreadable
