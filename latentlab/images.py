"""Images inside the library are float32 NCHW in [-1, 1]; outside (files, HDF5, pages) they are uint8 NHWC."""

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from latentlab.errors import UpsamplingWarning, UsageError


def to_float(images: np.ndarray | torch.Tensor) -> torch.Tensor:
    """uint8 [N, H, W, C] -> float32 [N, C, H, W], x * (2 / 255) - 1 (official process_reals)."""
    tensor = torch.as_tensor(images)
    return tensor.permute(0, 3, 1, 2).to(torch.float32) * (2 / 255) - 1


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """float [N, C, H, W], nominally [-1, 1] -> uint8 [N, H, W, C]: x * 127.5 + 128, clipped, truncated.

    This is the official convert_images_to_uint8: it rounds x * 127.5 + 127.5 half up.
    """
    array: np.ndarray = quantized(images).cpu().numpy()
    return array


def quantized(images: torch.Tensor) -> torch.Tensor:
    """`to_uint8` as a tensor, where the images are."""
    scaled = (images.detach().to(torch.float32) * 127.5 + 128).clamp(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def box_resize(images: torch.Tensor, resolution: int | None) -> torch.Tensor:
    """Bring square images [N, C, H, H] to [N, C, R, R], as attribute classifiers need them.

    Smaller by a whole factor: means of boxes (official metrics/linear_separability.py). Smaller by another factor:
    means weighted by how much of every pixel lies in the box. Larger: bilinear between pixels' centres, with a warning.

    Args:
        images: Of any floating type, which the result has, too.
        resolution: R; None leaves the images as they are.

    Raises:
        UsageError: The images are not square.
    """
    height, size = images.shape[-2:]
    if height != size:
        raise UsageError(f"images of {size}x{height} pixels: only square images can be resized.")
    if resolution is None or size == resolution:
        return images
    if size < resolution:
        warnings.warn(
            f"images of {size}x{size} pixels are enlarged to {resolution}x{resolution}, which the classifiers take: "
            "they look blurred to them, and what they answer is less sure.",
            UpsamplingWarning,
            stacklevel=2,
        )
        return F.interpolate(images, size=(resolution, resolution), mode="bilinear", align_corners=False)
    if size % resolution == 0:
        return F.avg_pool2d(images, size // resolution)
    overlaps = box_overlaps(size, resolution).to(images)
    return overlaps @ images @ overlaps.T


def box_overlaps(size: int, resolution: int) -> torch.Tensor:
    """The share of box r that lies in pixel h, float64 [resolution, size]: boxes are size / resolution pixels long."""
    edges = torch.arange(resolution + 1, dtype=torch.float64) * size / resolution
    pixels = torch.arange(size, dtype=torch.float64)
    ends = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return ends.clamp_min(0) * resolution / size


def resize_note(size: int, resolution: int | None) -> str:
    """What `box_resize` does to images of this size, in words, for provenance."""
    if resolution is None or size == resolution:
        return "none"
    return f"box {size} -> {resolution}" if size > resolution else f"bilinear {size} -> {resolution}, upsampled"


def grid(images: np.ndarray, columns: int, *, enlarge: int = 1) -> Image.Image:
    """Tile uint8 images [N, H, W, C] row by row into one picture; every pixel becomes enlarge x enlarge pixels."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:count] = images
    sheet = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    sheet = sheet.reshape(rows * height, columns * width, channels).repeat(enlarge, axis=0).repeat(enlarge, axis=1)
    return Image.fromarray(sheet[:, :, 0] if channels == 1 else sheet)
