"""Folders of PNG, JPEG and WebP files: found, checked, cropped, box-filtered and decoded."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from latentlab.errors import DataError, UsageError
from latentlab.progress import Progress, silent

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
CROPS = ("auto", "celeba", "center")
CELEBA_SIZE = (178, 218)
CELEBA_BOX = (25, 57, 153, 185)  # 128 x 128 pixels around (89, 121), as the progressive GAN prepared CelebA
MEMORY_LIMIT = 8 * 2**30
CHUNK = 256
NAMED = 5

Box = tuple[int, int, int, int]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Preparation:
    """What happens to every image: `crop` makes it square, a box filter brings it to resolution x resolution."""

    resolution: int
    crop: str = "auto"

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise UsageError(f"crop '{self.crop}' is not known: choose one of {', '.join(CROPS)}.")


def find_images(path: Path) -> list[Path]:
    """All PNG, JPEG and WebP files below `path`, sorted by their path; hidden files are left out.

    Raises:
        DataError: there is none.
    """
    found = [file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    files = sorted(file for file in found if file.is_file())
    if not files:
        raise DataError(f"{path} holds no images: put {', '.join(SUFFIXES)} files there (in folders of any depth).")
    return files


def load(
    files: Sequence[Path], preparation: Preparation, *, aligned: bool = False, progress: Progress = silent
) -> tuple["np.ndarray | ImageFiles", str]:
    """Decode `files` into one uint8 array [N, R, R, 3], or prepare to decode them on request if it would be too large.

    Args:
        files: Image files.
        preparation: Crop and resolution.
        aligned: Whether 178x218 images are aligned CelebA faces, which "auto" may crop.
        progress: Told how many images are decoded.

    Returns:
        The images, and a SHA-256 fingerprint: of the pixels, or of names, sizes and times where they are not loaded.

    Raises:
        DataError: an image cannot be read, is not square, is too small, or differs in size from the others.
    """
    lazy = ImageFiles(files, preparation.resolution, choose_boxes(files, preparation, aligned=aligned))
    size = len(files) * preparation.resolution**2 * 3
    if size > memory_limit():
        return lazy, lazy.fingerprint(preparation.crop)
    pixels = np.empty((len(files), preparation.resolution, preparation.resolution, 3), np.uint8)
    for start in range(0, len(files), CHUNK):
        stop = min(start + CHUNK, len(files))
        pixels[start:stop] = lazy[np.arange(start, stop)]
        progress(stop, len(files), "images read")
    return pixels, hashlib.sha256(pixels.data).hexdigest()


def memory_limit() -> int:
    """Bytes that decoded images may take: 8 GiB, or half of the machine's memory where that is less."""
    if not hasattr(os, "sysconf"):
        return MEMORY_LIMIT
    return min(MEMORY_LIMIT, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)


class ImageFiles:
    """Images that are decoded every time they are asked for."""

    def __init__(self, files: Sequence[Path], resolution: int, boxes: Sequence[Box | None]) -> None:
        self.files, self.resolution, self.boxes = list(files), resolution, list(boxes)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """uint8 [len(indices), R, R, 3], decoded by as many threads as there are cores."""
        return np.stack(_each(self._decode, [int(index) for index in indices]))

    def fingerprint(self, crop: str) -> str:
        """SHA-256 of what the files are, without decoding them: names, sizes in bytes, times of last change."""
        digest = hashlib.sha256(f"{self.resolution} {crop}".encode())
        for file in self.files:
            status = file.stat()
            digest.update(f"\n{file.name} {status.st_size} {status.st_mtime_ns}".encode())
        return digest.hexdigest()

    def _decode(self, index: int) -> np.ndarray:
        return read_image(self.files[index], resolution=self.resolution, box=self.boxes[index])


def read_image(path: Path, *, resolution: int, box: Box | None) -> np.ndarray:
    """Decode one image, cut out `box` (left, top, right, bottom) and box-filter it: uint8 [R, R, 3].

    Grey images become RGB of three equal channels, 16-bit ones keep their upper 8 bits, transparency is composited
    over white.

    Raises:
        DataError: the file cannot be decoded.
    """
    try:
        with Image.open(path) as image:
            rgb = _as_rgb(image).crop(box) if box else _as_rgb(image)
            return np.asarray(_box_filter(rgb, resolution))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: {error}") from error


def choose_boxes(files: Sequence[Path], preparation: Preparation, *, aligned: bool) -> list[Box | None]:
    """What to cut out of every image (None: all of it), from the sizes in the files' headers.

    Raises:
        DataError: images that cannot be read, are not square, are too small, or differ in size without a crop.
    """
    sizes = _each(_header_size, list(files))
    crop = preparation.crop
    if crop == "auto":
        crop = "celeba" if aligned and sizes[0] == CELEBA_SIZE else "none"
    boxes = []
    for file, size in zip(files, sizes, strict=True):
        if crop != "center" and size != sizes[0]:
            raise DataError(
                f"{files[0]} has {_by(sizes[0])} pixels but {file} has {_by(size)}: images must all have one size, "
                "or be cut to their largest centred square with --crop center."
            )
        box = _box(file, size, crop)
        if (side := box[2] - box[0]) < preparation.resolution:
            raise DataError(
                f"{file}: its {side}x{side} pixels are too few for resolution {preparation.resolution}; images are "
                f"never enlarged. Choose a resolution of at most {1 << (side.bit_length() - 1)}."
            )
        boxes.append(None if box == (0, 0, *size) else box)
    return boxes


def _box(file: Path, size: tuple[int, int], crop: str) -> Box:
    width, height = size
    if crop == "celeba":
        if size != CELEBA_SIZE:
            raise DataError(
                f"{file} has {_by(size)} pixels: --crop celeba is for the aligned CelebA images of "
                f"{_by(CELEBA_SIZE)}. Use --crop center for others."
            )
        return CELEBA_BOX
    if crop == "center":
        side = min(size)
        left, top = (width - side) // 2, (height - side) // 2
        return left, top, left + side, top + side
    if width != height:
        raise DataError(f"{file} has {_by(size)} pixels and is not square: use --crop center to cut out a square.")
    return 0, 0, width, height


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _box_filter(image: Image.Image, resolution: int) -> Image.Image:
    """Average over boxes, rounding once by an integer factor, and twice (rows, then columns) by any other."""
    factor, rest = divmod(image.width, resolution)
    if not rest:
        return image.reduce(factor)
    return image.resize((resolution, resolution), Image.Resampling.BOX)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} are not supported; save the image with 8 bits per channel")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")
    return image.convert("RGB")


def _header_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: {error}") from error


def _each(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Apply `function` to all items in threads; DataErrors are gathered into one that names the first few."""

    def attempt(item: Item) -> Result | DataError:
        try:
            return function(item)
        except DataError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(attempt, items))
    errors = [outcome for outcome in outcomes if isinstance(outcome, DataError)]
    if errors:
        more = f"\nand {len(errors) - NAMED} more" if len(errors) > NAMED else ""
        listed = "\n".join(str(error) for error in errors[:NAMED])
        images = "1 image" if len(errors) == 1 else f"{len(errors)} images"
        raise DataError(f"{images} cannot be read; repair or remove:\n{listed}{more}") from errors[0]
    return [outcome for outcome in outcomes if not isinstance(outcome, DataError)]
