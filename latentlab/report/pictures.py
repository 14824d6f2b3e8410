"""Preview images as data URIs: PNG inside, enlarged by whole factors in the page so that pixels stay square."""

import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from latentlab.errors import DataError

WIDE, NARROW = 792, 328
"""Widths in CSS pixels that pictures may take on a desktop and on a phone."""

MAX_NATIVE = 2048
"""Pictures wider than this are reduced by a whole factor before they are embedded."""


@dataclass(frozen=True)
class Picture:
    """A PNG, its size in pixels, and the whole factors by which wide and narrow screens enlarge it."""

    uri: str
    width: int
    height: int
    scale: int
    narrow_scale: int
    alt: str

    @property
    def fits(self) -> bool:
        """Whether no pixel is lost on a wide screen."""
        return self.width <= WIDE

    @property
    def fits_narrow(self) -> bool:
        """Whether no pixel is lost on a narrow screen."""
        return self.width <= NARROW


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
    buffer = io.BytesIO()
    pil.save(buffer, "PNG", optimize=True)
    return _picture(buffer.getvalue(), pil.size, alt)


def picture_file(path: Path, alt: str) -> Picture:
    """Embed a PNG file.

    Raises:
        DataError: the file is no readable image.
    """
    try:
        with Image.open(path) as image:
            return picture(np.asarray(image.convert("RGB")), alt)
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(
            f"{path} is not a readable image ({error}); delete it to leave it out of the report."
        ) from error


def _picture(png: bytes, size: tuple[int, int], alt: str) -> Picture:
    uri = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    scale, narrow = (max(1, limit // size[0]) for limit in (WIDE, NARROW))
    return Picture(uri, size[0], size[1], min(scale, 8), min(narrow, 8), alt)
