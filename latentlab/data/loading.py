"""Many images: surveyed by their headers, decoded by threads, the unreadable ones named or left out."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from latentlab.data.decoding import Box, Preparation, choose_boxes, header_size, read_image, resolve_crop
from latentlab.data.sources import Entry
from latentlab.errors import DataError
from latentlab.progress import Progress, silent

MEMORY_LIMIT = 8 * 2**30
BLOCK_BYTES = 64 * 2**20
BLOCK_IMAGES = 256
NAMED = 5

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Loaded:
    """Images ready for use.

    Attributes:
        pixels: uint8 [N, R, R, 3], or the files to decode on request.
        fingerprint: SHA-256 of the pixels; of names, sizes and times where they are not loaded.
        crop: "none", "celeba" or "center": what was done.
        kept: int64 [N], which of the given entries these are.
        skipped: Names of the entries that were left out.
    """

    pixels: "np.ndarray | ImageFiles"
    fingerprint: str
    crop: str
    kept: np.ndarray
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """Some images in a row: the numbers of those that could be decoded, and their pixels uint8 [n, R, R, 3]."""

    kept: list[int]
    pixels: list[np.ndarray]


class ImageFiles:
    """Images that are decoded every time they are asked for."""

    def __init__(
        self, entries: Sequence[Entry], boxes: Sequence[Box | None], preparation: Preparation, crop: str
    ) -> None:
        self.entries, self.boxes = list(entries), list(boxes)
        self.preparation, self.crop = preparation, crop

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """uint8 [len(indices), R, R, 3], decoded by as many threads as there are cores.

        Raises:
            DataError: a file cannot be decoded.
        """
        images, bad = _parted(each(self._decode, indices.tolist()))
        refuse_bad([error for _, error in bad], len(self), skip_bad=False)
        side = self.preparation.resolution
        return np.stack(images) if images else np.empty((0, side, side, 3), np.uint8)

    def without(self, left_out: set[int]) -> "ImageFiles":
        """The same files but for those with these numbers."""
        numbers = [number for number in range(len(self)) if number not in left_out]
        entries, boxes = [self.entries[k] for k in numbers], [self.boxes[k] for k in numbers]
        return ImageFiles(entries, boxes, self.preparation, self.crop)

    def fingerprint(self) -> str:
        """SHA-256 of what the files are, without decoding them: names, sizes in bytes, times (in a zip: CRCs)."""
        digest = hashlib.sha256(f"{self.preparation.resolution} {self.crop} {self.preparation.filter}".encode())
        for entry in self.entries:
            digest.update(f"\n{entry.name} {entry.stamp()}".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def blocks(self, bad: dict[int, DataError], progress: Progress = silent) -> Iterator[Block]:
        """All images in order, a block at a time; errors go to `bad`, by number, and do not stop it."""
        rows = block_rows(self.preparation.resolution)
        for start in range(0, len(self), rows):
            numbers = list(range(start, min(start + rows, len(self))))
            outcomes = each(self._decode, numbers)
            images, errors = _parted(outcomes)
            bad.update((start + place, error) for place, error in errors)
            yield Block([number for number in numbers if number not in bad], images)
            progress(numbers[-1] + 1, len(self), "images read")

    def _decode(self, index: int) -> np.ndarray:
        preparation, box = self.preparation, self.boxes[index]
        return read_image(
            self.entries[index], resolution=preparation.resolution, box=box, resampling=preparation.filter
        )


@dataclass(frozen=True)
class Survey:
    """Files whose headers can be read, which of the given entries they are, and the errors of the others."""

    files: ImageFiles
    kept: np.ndarray
    bad: dict[int, DataError]


def survey(
    entries: Sequence[Entry], preparation: Preparation, *, aligned: bool = False, progress: Progress = silent
) -> Survey:
    """Read the headers of all images and decide what to cut out of each.

    Raises:
        DataError: no header can be read, or images are not square, are too small, or differ in size without a crop.
    """
    sizes: list[tuple[int, int] | DataError] = []
    for start in range(0, len(entries), 16 * BLOCK_IMAGES):
        sizes += each(header_size, entries[start : start + 16 * BLOCK_IMAGES])
        progress(0, len(entries), f"{len(sizes):,} headers read")
    good, errors = _parted(sizes)
    bad = dict(errors)
    refuse_bad(list(bad.values()) if not good else [], len(entries), skip_bad=True)
    kept = [number for number in range(len(entries)) if number not in bad]
    crop = resolve_crop(preparation.crop, good[0], aligned=aligned)
    readable = [entries[number] for number in kept]
    boxes = choose_boxes(readable, good, crop, preparation.resolution)
    return Survey(ImageFiles(readable, boxes, preparation, crop), np.array(kept), bad)


def load(
    entries: Sequence[Entry],
    preparation: Preparation,
    *,
    aligned: bool = False,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> Loaded:
    """Decode images into one array, or prepare to decode them on request if it would be too large.

    Args:
        entries: Image files.
        preparation: Crop, filter and resolution.
        aligned: Whether 178x218 images are aligned CelebA faces, which "auto" may crop.
        skip_bad: Leave out what cannot be read. Images too many for the memory are all decoded once to find it.
        progress: Told how many images are read.

    Raises:
        DataError: as `survey`; an image cannot be read and `skip_bad` is off; or none can be read.
    """
    found = survey(entries, preparation, aligned=aligned, progress=progress)
    files, side = found.files, preparation.resolution
    bad: dict[int, DataError] = {}
    fits = len(files) * side**2 * 3 <= memory_limit()
    pixels = np.empty((len(files) if fits else 0, side, side, 3), np.uint8)
    count = 0
    for block in files.blocks(bad, progress) if fits or skip_bad else ():
        if fits and block.kept:
            pixels[count : count + len(block.kept)] = block.pixels
        count += len(block.kept)
    errors = all_bad(found, bad)
    refuse_bad(list(errors.values()), len(entries), skip_bad=skip_bad)
    kept = np.array([number for number in range(len(entries)) if number not in errors])
    skipped = tuple(entries[number].name for number in errors)
    if not fits:
        rest = files.without(set(bad))
        return Loaded(rest, rest.fingerprint(), files.crop, kept, skipped)
    pixels = pixels[:count]
    return Loaded(pixels, hashlib.sha256(pixels.data).hexdigest(), files.crop, kept, skipped)


def all_bad(found: Survey, bad: dict[int, DataError]) -> dict[int, DataError]:
    """Errors of headers and of decoding (`bad`, by number among the files) by number among the entries, in order."""
    decoding = {int(found.kept[number]): error for number, error in bad.items()}
    return dict(sorted((found.bad | decoding).items()))


def refuse_bad(errors: Sequence[DataError], total: int, *, skip_bad: bool) -> None:
    """Raise one DataError for all images that cannot be read, unless they may be skipped and some are left."""
    if len(errors) == total:
        raise DataError(f"none of the images ({total}) can be read: repair or replace them.\n{_listed(errors)}")
    if errors and not skip_bad:
        images = "1 image" if len(errors) == 1 else f"{len(errors)} images"
        advice = "repair or remove, or leave out with --skip-bad"
        raise DataError(f"{images} of {total} cannot be read; {advice}:\n{_listed(errors)}")


def memory_limit() -> int:
    """Bytes that decoded images may take: 8 GiB, or half of the machine's memory where that is less."""
    if not hasattr(os, "sysconf"):
        return MEMORY_LIMIT
    return min(MEMORY_LIMIT, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)


def block_rows(resolution: int) -> int:
    """How many images are worked on together: at most 256, and at most 64 MiB."""
    return max(1, min(BLOCK_IMAGES, BLOCK_BYTES // (resolution**2 * 3)))


def each(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result | DataError]:
    """Apply `function` to all items, by as many threads as there are cores; a DataError is an outcome like others.

    Pillow decodes and resizes without holding the interpreter's lock, so threads are as fast as processes.
    """

    def attempt(item: Item) -> Result | DataError:
        try:
            return function(item)
        except DataError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(attempt, items))


def _parted(outcomes: Sequence[Result | DataError]) -> tuple[list[Result], list[tuple[int, DataError]]]:
    """Results in order, and errors with their places."""
    errors = [(place, outcome) for place, outcome in enumerate(outcomes) if isinstance(outcome, DataError)]
    return [outcome for outcome in outcomes if not isinstance(outcome, DataError)], errors


def _listed(errors: Sequence[DataError]) -> str:
    more = f"\nand {len(errors) - NAMED} more" if len(errors) > NAMED else ""
    return "\n".join(str(error) for error in errors[:NAMED]) + more
