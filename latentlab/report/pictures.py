"""Pictures as data URIs: enlarged by whole factors in the page so that pixels stay square."""

import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from latentlab.errors import DataError

WIDE, NARROW = 792, 328
"""Widths in CSS pixels that pictures may take on a desktop and on a phone."""

MAX_NATIVE = 2048
"""Pictures wider than this are reduced by a whole factor before they are embedded."""


@dataclass(frozen=True)
class Picture:
    """A PNG or JPEG file, its size in pixels, and the whole factors by which wide and narrow screens enlarge it."""

    content: bytes
    width: int
    height: int
    scale: int
    narrow_scale: int
    alt: str

    @property
    def ending(self) -> str:
        """Of the file's name: `png` or `jpg`."""
        return "jpg" if self.content.startswith(b"\xff\xd8") else "png"

    @property
    def uri(self) -> str:
        """The file inside the page."""
        return data_uri(self.content, "image/jpeg" if self.ending == "jpg" else "image/png")

    @property
    def fits(self) -> bool:
        """Whether no pixel is lost on a wide screen."""
        return self.width <= WIDE

    @property
    def fits_narrow(self) -> bool:
        """Whether no pixel is lost on a narrow screen."""
        return self.width <= NARROW


def data_uri(content: bytes, media_type: str) -> str:
    """Content as an address of its own."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def strip(images: np.ndarray) -> np.ndarray:
    """[S, H, W, C] -> [H, S * W, C]: the steps side by side."""
    steps, height, width, channels = images.shape
    return images.transpose(1, 0, 2, 3).reshape(height, steps * width, channels)


def tile(images: np.ndarray) -> np.ndarray:
    """[N, H, W, C] -> one image of rows * H by columns * W, about twice as wide as high; empty places are mid-grey."""
    number = len(images)
    columns = _columns(number)
    rows = math.ceil(number / columns)
    _, height, width, channels = images.shape
    filled = np.full((rows * columns, height, width, channels), 128, np.uint8)
    filled[:number] = images
    grid = filled.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * height, columns * width, channels)


def _columns(number: int) -> int:
    """The divisor of `number` nearest to sqrt(2 * number), or that root where no divisor is near."""
    target = math.sqrt(2 * number)
    nearest = min((n for n in range(1, number + 1) if number % n == 0), key=lambda n: abs(n - target))
    return nearest if 0.6 * target <= nearest <= 1.6 * target else math.ceil(target)


def picture(image: np.ndarray, alt: str) -> Picture:
    """Encode uint8 [H, W, C], C = 1 or 3, reduced by a box filter where it is very wide."""
    pil = Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image))
    if pil.width > MAX_NATIVE:
        pil = pil.reduce(math.ceil(pil.width / MAX_NATIVE))
    return _picture(_encoded(pil, "PNG", optimize=True), pil.size, alt)


def picture_file(source: Path | bytes, alt: str, *, max_bytes: int | None = None) -> Picture:
    """Embed a PNG file.

    Args:
        source: The file's path or its bytes.
        alt: What it shows.
        max_bytes: Where the file is larger, it becomes a JPEG, reduced by whole factors until it is not.

    Raises:
        DataError: the file is no readable image.
    """
    name = "a figure's PNG" if isinstance(source, bytes) else source
    try:
        content = source if isinstance(source, bytes) else source.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            if max_bytes is None:
                return picture(np.asarray(image.convert("RGB")), alt)
            if len(content) <= max_bytes and image.format == "PNG":
                image.verify()
                return _picture(content, image.size, alt)
            return _small_enough(image.convert("RGB"), alt, max_bytes)
    except (OSError, SyntaxError, UnidentifiedImageError) as error:  # SyntaxError is PIL's word for a broken PNG
        raise DataError(
            f"{name} is not a readable image ({error}); delete it to leave it out of the report."
        ) from error


def _small_enough(image: Image.Image, alt: str, max_bytes: int) -> Picture:
    """A JPEG of at most so many bytes, or as small as 64 pixels."""
    factor = max(1, math.ceil(image.width / MAX_NATIVE))
    while True:
        reduced = image.reduce(factor)
        content = _encoded(reduced, "JPEG", quality=88)
        if len(content) <= max_bytes or max(reduced.size) <= 64:
            return _picture(content, reduced.size, alt)
        factor += 1


def _encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _picture(content: bytes, size: tuple[int, int], alt: str) -> Picture:
    scale, narrow = (max(1, limit // size[0]) for limit in (WIDE, NARROW))
    return Picture(content, size[0], size[1], min(scale, 8), min(narrow, 8), alt)
