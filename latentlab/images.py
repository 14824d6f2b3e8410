"""Images inside the library are float32 NCHW in [-1, 1]; outside (files, HDF5, pages) they are uint8 NHWC."""

import numpy as np
import torch
from PIL import Image


def to_float(images: np.ndarray | torch.Tensor) -> torch.Tensor:
    """uint8 [N, H, W, C] -> float32 [N, C, H, W], x * (2 / 255) - 1 (official process_reals)."""
    tensor = torch.as_tensor(images)
    return tensor.permute(0, 3, 1, 2).to(torch.float32) * (2 / 255) - 1


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """float [N, C, H, W], nominally [-1, 1] -> uint8 [N, H, W, C]: x * 127.5 + 128, clipped, truncated.

    This is the official convert_images_to_uint8: it rounds x * 127.5 + 127.5 half up.
    """
    scaled = (images.detach().to(torch.float32) * 127.5 + 128).clamp(0, 255)
    array: np.ndarray = scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return array


def grid(images: np.ndarray, columns: int, *, enlarge: int = 1) -> Image.Image:
    """Tile uint8 images [N, H, W, C] row by row into one picture; every pixel becomes enlarge x enlarge pixels."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:count] = images
    sheet = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    sheet = sheet.reshape(rows * height, columns * width, channels).repeat(enlarge, axis=0).repeat(enlarge, axis=1)
    return Image.fromarray(sheet[:, :, 0] if channels == 1 else sheet)
