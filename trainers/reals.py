"""Real images for the discriminator: at the level in training, mirrored, fading with the level of detail."""

import functools
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from latentlab.images import to_float
from latentlab.latents import lerp
from latentlab.networks import downscale, upscale
from latentlab.randomness import derive_seed

CACHED_BYTES = 2 << 30  # a level of the whole data set is kept in memory up to this size


class ImageSource(Protocol):
    """What training needs of a data set (see latentlab.data)."""

    @property
    def resolution(self) -> int:
        """R, height and width of the images."""

    def __len__(self) -> int:
        """How many images there are."""

    def images(self, indices: np.ndarray) -> np.ndarray:
        """uint8 [N, R, R, 3]."""


def shuffled(position: int, count: int, num_images: int, seed: int) -> np.ndarray:
    """Image numbers for positions position, ..., position + count - 1 of an endless pass over shuffled epochs.

    Every epoch is a permutation of its own, a function of (seed, epoch); so a resumed run goes on where it was.
    """
    positions = np.arange(position, position + count)
    epochs, places = np.divmod(positions, num_images)
    orders = {epoch: _permutation(seed, int(epoch), num_images) for epoch in np.unique(epochs)}
    return np.array([orders[epoch][place] for epoch, place in zip(epochs, places, strict=True)])


def fade(images: Tensor, lod: float) -> Tensor:
    """Blend with the next lower resolution: lerp(x, upscale(downscale(x)), lod - floor(lod)) (official process_reals).

    Images [N, C, H, W] are those of floor(lod).
    """
    fraction = lod - int(lod)
    return lerp(images, upscale(downscale(images)), fraction) if fraction else images


class Reals:
    """Minibatches of real images as the discriminator sees them."""

    def __init__(self, source: ImageSource, seed: int, device: torch.device) -> None:
        self.source, self.seed, self.device = source, seed, device
        self._level: tuple[int, Tensor] | None = None

    def batch(self, position: int, count: int, lod: float, flip: Tensor | None = None) -> Tensor:
        """float32 [count, 3, R, R] at the resolution R of floor(lod), faded; `flip` [count] says which to mirror."""
        numbers = shuffled(position, count, len(self.source), self.seed)
        resolution = self.source.resolution >> int(lod)
        images = to_float(self._pixels(numbers, resolution).to(self.device, non_blocking=True))
        if flip is not None:
            images = torch.where(flip[:, None, None, None], images.flip(3), images)
        return fade(images, lod).contiguous(memory_format=torch.channels_last)

    def _pixels(self, numbers: np.ndarray, resolution: int) -> Tensor:
        if len(self.source) * resolution**2 * 3 > CACHED_BYTES:
            return _shrink(self.source.images(numbers), resolution)
        if self._level is None or self._level[0] != resolution:
            blocks = np.array_split(np.arange(len(self.source)), -(-len(self.source) // 1024))
            level = torch.cat([_shrink(self.source.images(block), resolution) for block in blocks])
            self._level = (resolution, level)
        return self._level[1][torch.from_numpy(numbers)]


def _shrink(images: np.ndarray, resolution: int) -> Tensor:
    """Box-filter uint8 NHWC images to `resolution`, rounded to uint8 like the official data files."""
    tensor = torch.from_numpy(np.ascontiguousarray(images))
    factor = tensor.shape[1] // resolution
    if factor == 1:
        return tensor
    averaged = F.avg_pool2d(tensor.permute(0, 3, 1, 2).float(), factor)
    return averaged.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


@functools.lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, num_images: int) -> np.ndarray:
    return np.random.default_rng(derive_seed(seed, "epoch", epoch)).permutation(num_images)
