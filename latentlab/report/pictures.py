"""Pictures as data URIs: enlarged by whole factors in the page so that pixels stay square."""

import base64
import io
import math
from collections.abc import Sequence
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

MAX_OPTIMISED = 100_000
"""Pixels up to which a PNG is made as small as it can be, which takes several times as long."""


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
    hard = {"optimize": True} if pil.width * pil.height < MAX_OPTIMISED else {"compress_level": 4}
    return _picture(_encoded(pil, "PNG", **hard), pil.size, alt)


def picture_file(source: Path | bytes, alt: str) -> Picture:
    """Embed a PNG file as it is, or reduced where it is very wide.

    Raises:
        DataError: the file is no readable image.
    """
    name = "a figure's PNG" if isinstance(source, bytes) else source
    try:
        content = source if isinstance(source, bytes) else source.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            if image.format == "PNG" and image.width <= MAX_NATIVE:
                image.verify()
                return _picture(content, image.size, alt)
            return picture(np.asarray(image.convert("RGB")), alt)
    except (OSError, SyntaxError, UnidentifiedImageError) as error:  # SyntaxError is PIL's word for a broken PNG
        raise DataError(
            f"{name} is not a readable image ({error}); delete it to leave it out of the report."
        ) from error


def limit(sizes: Sequence[int], room: int) -> int:
    """What a picture may take at most for all of them to fit into the room, those that are smaller as they are."""
    left = room
    for place, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - place)
        if size > share:
            return share
        left -= size
    return room


def fitted(shown: Picture, max_bytes: int) -> Picture:
    """The picture, or, where it is larger, a JPEG reduced by whole factors until it is not (64 pixels stay)."""
    if len(shown.content) <= max_bytes:
        return shown
    with Image.open(io.BytesIO(shown.content)) as image:
        return _small_enough(image.convert("RGB"), shown.alt, max_bytes)


def _small_enough(image: Image.Image, alt: str, max_bytes: int) -> Picture:
    factor = 1
    while True:
        reduced = image.reduce(factor)
        content = _encoded(reduced, "JPEG", quality=88)
        if len(content) <= max_bytes or max(reduced.size) <= 64:
            return _picture(content, reduced.size, alt)
        factor = max(factor + 1, math.floor(factor * math.sqrt(len(content) / max_bytes)))


def _encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _picture(content: bytes, size: tuple[int, int], alt: str) -> Picture:
    scale, narrow = (max(1, limit // size[0]) for limit in (WIDE, NARROW))
    return Picture(content, size[0], size[1], min(scale, 8), min(narrow, 8), alt)
