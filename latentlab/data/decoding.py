"""One image: its size, the square cut out of it, its colours, and how it is made smaller."""

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from latentlab.data.sources import Entry
from latentlab.errors import DataError, UsageError

CROPS = ("auto", "celeba", "center")
FILTERS = ("box", "lanczos")
FORMATS = ("PNG", "JPEG", "WEBP")  # no other decoder is reached, whatever a file contains
CELEBA_SIZE = (178, 218)
CELEBA_BOX = (25, 57, 153, 185)  # 128 x 128 pixels around (89, 121), as the progressive GAN prepared CelebA

UNREADABLE = (
    OSError,
    SyntaxError,  # PNG
    ValueError,
    TypeError,
    IndexError,
    OverflowError,
    EOFError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    NotImplementedError,  # a zip member compressed by an unknown method
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow and zipfile raise when a file is damaged or not an image."""

Box = tuple[int, int, int, int]
Size = tuple[int, int]


@dataclass(frozen=True)
class Preparation:
    """What happens to every image: `crop` makes it square, `filter` brings it to resolution x resolution."""

    resolution: int
    crop: str = "auto"
    filter: str = "box"

    def __post_init__(self) -> None:
        for what, value, allowed in (("crop", self.crop, CROPS), ("filter", self.filter, FILTERS)):
            if value not in allowed:
                raise UsageError(f"{what} '{value}' is not known: choose one of {', '.join(allowed)}.")


def header_size(entry: Entry) -> Size:
    """Width and height of an image, from its header.

    Raises:
        DataError: the header cannot be read, or promises so many pixels that it must be an attack or an error.
    """
    try:
        with entry.opened() as file, Image.open(file, formats=FORMATS) as image:
            return image.size
    except UNREADABLE as error:
        raise _unreadable(entry, error) from error


def read_image(entry: Entry, *, resolution: int, box: Box | None, resampling: str) -> np.ndarray:
    """Decode one image, cut out `box` (left, top, right, bottom) and make it smaller: uint8 [R, R, 3].

    Grey images become RGB of three equal channels, 16-bit ones keep their upper 8 bits, transparency is composited
    over white.

    Raises:
        DataError: the file cannot be decoded.
    """
    try:
        with entry.opened() as file:
            content = file.read()  # to the end, so that zipfile checks the CRC
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            rgb = _as_rgb(image).crop(box) if box else _as_rgb(image)
            return np.asarray(resize(rgb, resolution, resampling))
    except UNREADABLE as error:
        raise _unreadable(entry, error) from error


def resize(image: Image.Image, resolution: int, resampling: str) -> Image.Image:
    """Make a square image smaller, "box" or "lanczos"; of its own size it stays as it is.

    "box" averages over boxes, rounding once by an integer factor, and twice (rows, then columns) by any other.
    "lanczos" is Pillow's, on uint8, as the official tools for StyleGAN's data sets resized.
    """
    factor, rest = divmod(image.width, resolution)
    if image.width == resolution:
        return image
    if resampling == "lanczos":
        return image.resize((resolution, resolution), Image.Resampling.LANCZOS)
    if not rest:
        return image.reduce(factor)
    return image.resize((resolution, resolution), Image.Resampling.BOX)


def resolve_crop(crop: str, first: Size, *, aligned: bool) -> str:
    """What "auto" means: "celeba" for aligned CelebA images, else "none"; other crops mean themselves."""
    if crop != "auto":
        return crop
    return "celeba" if aligned and first == CELEBA_SIZE else "none"


def choose_boxes(entries: Sequence[Entry], sizes: Sequence[Size], crop: str, resolution: int) -> list[Box | None]:
    """What to cut out of every image (None: all of it), by its size and a resolved crop.

    Raises:
        DataError: images are not square, are too small, or differ in size without a crop.
    """
    for entry, size in zip(entries, sizes, strict=True):
        if crop != "center" and size != sizes[0]:
            raise DataError(
                f"{entries[0]} has {_by(sizes[0])} pixels but {entry} has {_by(size)}: images must all have one size, "
                "or be cut to their largest centred square with --crop center."
            )
    boxes = [_box(entry, size, crop) for entry, size in zip(entries, sizes, strict=True)]
    sides = [box[2] - box[0] for box in boxes]
    smallest = int(np.argmin(sides))
    if sides[smallest] < resolution:
        raise too_small(str(entries[smallest]), sides[smallest], resolution)
    return [None if box == (0, 0, *size) else box for box, size in zip(boxes, sizes, strict=True)]


def too_small(where: str, side: int, resolution: int) -> DataError:
    """The error for a resolution above the smallest image's, with the largest possible one."""
    return DataError(
        f"{where}: its {side}x{side} pixels are too few for resolution {resolution}; images are never enlarged. "
        f"Choose a resolution of at most {1 << (side.bit_length() - 1)}."
    )


def _box(entry: Entry, size: Size, crop: str) -> Box:
    width, height = size
    if crop == "celeba":
        if size != CELEBA_SIZE:
            raise DataError(
                f"{entry} has {_by(size)} pixels: --crop celeba is for the aligned CelebA images of "
                f"{_by(CELEBA_SIZE)}. Use --crop center for others."
            )
        return CELEBA_BOX
    if crop == "center":
        side = min(size)
        left, top = (width - side) // 2, (height - side) // 2
        return left, top, left + side, top + side
    if width != height:
        celeba = " (or --crop celeba, if these are the aligned faces of CelebA)" if size == CELEBA_SIZE else ""
        raise DataError(
            f"{entry} has {_by(size)} pixels and is not square: use --crop center to cut out a square{celeba}."
        )
    return 0, 0, width, height


def _by(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} are not supported; save the image with 8 bits per channel")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")
    return image.convert("RGB")


def _unreadable(entry: Entry, error: Exception) -> DataError:
    reason: object = error
    if isinstance(error, UnidentifiedImageError):
        reason = "not a PNG, JPEG or WebP image, or cut short in its header"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    return DataError(f"{entry}: {reason}")
