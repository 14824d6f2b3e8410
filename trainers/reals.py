"""Real images for the discriminator: at the level in training, mirrored, fading with the level of detail."""

import functools
from concurrent.futures import Future, ThreadPoolExecutor
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
MOST_AHEAD = 64  # minibatches read ahead: one for each shard


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
    """Minibatches of real images as the discriminator sees them.

    A data set that fits is kept in memory at the present level; of others the next minibatch is read while the
    networks work on this one.
    """

    def __init__(self, source: ImageSource, seed: int, device: torch.device) -> None:
        self.source, self.seed, self.device = source, seed, device
        self._level: tuple[int, Tensor] | None = None
        self._ahead: dict[tuple[object, ...], Future[Tensor]] = {}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="reals")

    def batch(
        self, position: int, count: int, lod: float, flip: Tensor | None = None, *, part: slice = slice(None)
    ) -> Tensor:
        """float32 [N, 3, R, R] at the resolution R of floor(lod), faded.

        Args:
            position: How many images were seen before this minibatch.
            count: Size of the minibatch.
            lod: Level of detail.
            flip: Which images to mirror, bool [N].
            part: Which N images of the minibatch are wanted.
        """
        resolution = self.source.resolution >> int(lod)
        pixels = self._pixels(position, count, (resolution, part))
        images = to_float(pixels.to(self.device, non_blocking=True))
        if flip is not None:
            images = torch.where(flip[:, None, None, None], images.flip(3), images)
        return fade(images, lod).contiguous(memory_format=torch.channels_last)

    def _pixels(self, position: int, count: int, wanted: tuple[int, slice]) -> Tensor:
        resolution, part = wanted
        if len(self.source) * resolution**2 * 3 <= CACHED_BYTES:
            numbers = self._numbers(position, count, part)
            return self._in_memory(resolution)[torch.from_numpy(numbers)]
        key = (position, count, resolution, part.start, part.step)
        pixels = self._ahead.pop(key, None) or self._read(position, count, wanted)
        if len(self._ahead) >= MOST_AHEAD:  # left over from another phase
            self._ahead.clear()
        self._ahead[position + count, *key[1:]] = self._read(position + count, count, wanted)
        return pixels.result()

    def _read(self, position: int, count: int, wanted: tuple[int, slice]) -> Future[Tensor]:
        resolution, part = wanted
        numbers = self._numbers(position, count, part)
        return self._reader.submit(lambda: _shrink(self.source.images(numbers), resolution, pin=self._pins))

    @property
    def _pins(self) -> bool:
        return self.device.type == "cuda"

    def _numbers(self, position: int, count: int, part: slice) -> np.ndarray:
        return shuffled(position, count, len(self.source), self.seed)[part]

    def _in_memory(self, resolution: int) -> Tensor:
        if self._level is None or self._level[0] != resolution:
            self._level = None  # the old level goes before the new one is made
            blocks = np.array_split(np.arange(len(self.source)), -(-len(self.source) // 1024))
            level = torch.empty(len(self.source), resolution, resolution, 3, dtype=torch.uint8)
            for block in blocks:
                level[block[0] : block[-1] + 1] = _shrink(self.source.images(block), resolution)
            self._level = (resolution, level)
        return self._level[1]


def _shrink(images: np.ndarray, resolution: int, *, pin: bool = False) -> Tensor:
    """Box-filter uint8 NHWC images to `resolution`, rounded to uint8 like the official data files."""
    tensor = torch.from_numpy(np.ascontiguousarray(images))
    factor = tensor.shape[1] // resolution
    if factor > 1:
        averaged = F.avg_pool2d(tensor.permute(0, 3, 1, 2).float(), factor)
        tensor = averaged.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return tensor.pin_memory() if pin else tensor


@functools.lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, num_images: int) -> np.ndarray:
    return np.random.default_rng(derive_seed(seed, "epoch", epoch)).permutation(num_images)
