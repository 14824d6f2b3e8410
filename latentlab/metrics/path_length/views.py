"""What of an image the distance gets to see: crop, box filter, resize."""

import torch.nn.functional as F
from torch import Tensor

from latentlab.errors import UsageError
from latentlab.images import quantized, to_float
from latentlab.metrics.path_length.protocols import PathSettings

MAX_SIZE = 256
"""Images larger than this are box-filtered by a whole factor before the distance sees them (official code)."""


def view(images: Tensor, settings: PathSettings) -> Tensor:
    """Images [N, C, H, H] as the distance gets them; linear in the images unless they are quantised."""
    rules, size = settings.rules, images.shape[-1]
    if settings.quantize:
        images = to_float(quantized(images))
    if settings.cropped:
        images = face_crop(images)
    if rules.reduce != "none":
        images = shrink(images, _factor(size, settings))
    if rules.resize is not None:
        images = resized(images, rules.resize)
    if settings.upsample is not None and images.shape[-1] < settings.upsample:
        images = resized(images, settings.upsample)
    return images


def view_size(resolution: int, settings: PathSettings) -> int:
    """Width of the images the distance gets from a generator of this resolution."""
    size = _cropped(resolution, settings)
    if settings.rules.reduce != "none":
        size //= _factor(resolution, settings)
    if settings.rules.resize is not None:
        size = settings.rules.resize
    return max(size, settings.upsample or 0)


def face_crop(images: Tensor) -> Tensor:
    """Rows 3c to 7c and columns 2c to 6c of square images [N, C, H, H], c = H // 8 (official behaviour)."""
    unit = images.shape[-1] // 8
    return images[..., 3 * unit : 7 * unit, 2 * unit : 6 * unit]


def shrink(images: Tensor, factor: int) -> Tensor:
    """Means of boxes of factor x factor pixels.

    Raises:
        UsageError: H is no multiple of the factor.
    """
    size = images.shape[-1]
    if factor == 1:
        return images
    if size % factor:
        raise UsageError(f"images of {size} pixels cannot be averaged by the factor {factor}, which divides no {size}.")
    return F.avg_pool2d(images, factor)


def resized(images: Tensor, size: int) -> Tensor:
    """Images of size x size: means of areas where they are larger, else bilinear without antialiasing.

    torch-fidelity and torchmetrics do it so.
    """
    if images.shape[-1] > size:
        return F.interpolate(images, (size, size), mode="area")
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False)


def _factor(resolution: int, settings: PathSettings) -> int:
    """Of the box filter, from the size that the protocol looks at."""
    if settings.rules.reduce == "generator":
        return max(resolution // MAX_SIZE, 1)
    return max(_cropped(resolution, settings) // MAX_SIZE, 1)


def _cropped(resolution: int, settings: PathSettings) -> int:
    return 4 * (resolution // 8) if settings.cropped else resolution
