"""Sliced Wasserstein distance between images (ProGAN, Karras et al. 2018, section 5): needs no pretrained network.

Images are taken apart into a Laplacian pyramid down to 16x16; at every level, 7x7 patches of both sets, normalised per
channel, are compared by the mean absolute difference of their sorted projections on random directions, times 1,000.
Lower is better. Used to watch training and to keep its best snapshot; it is not FID, and with its few images not the
paper's figure either.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from latentlab.images import to_float, to_uint8
from latentlab.latents import sample_z
from latentlab.protocols import GeneratorLike, synthesize
from latentlab.randomness import derive_seed

NUM_IMAGES, PATCHES, PATCH, DIRECTIONS, SMALLEST = 512, 64, 7, 128, 16
BATCH = 64


class Images(Protocol):
    """Real images by number, as latentlab.data gives them."""

    def __len__(self) -> int:
        """How many there are."""

    def images(self, indices: np.ndarray) -> np.ndarray:
        """uint8 [N, R, R, C]."""


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """[N, C, R, R] -> details at R, R / 2, ..., and the remaining image at 16 pixels (or R, if R is smaller)."""
    levels = []
    while images.shape[-1] > SMALLEST:
        smaller = _smooth(images)[:, :, ::2, ::2]
        levels.append(images - _smooth(F.interpolate(smaller, scale_factor=2, mode="nearest")))
        images = smaller
    return [*levels, images]


def sliced_wasserstein(a: Tensor, b: Tensor, *, seed: int, directions: int = DIRECTIONS) -> float:
    """Mean over random unit directions of the 1-D Wasserstein-1 distance of two point sets, both [N, D]."""
    rng = torch.Generator().manual_seed(derive_seed(seed, "swd-directions"))
    axes = F.normalize(torch.randn(a.shape[1], directions, generator=rng), dim=0)
    return float(((a @ axes).sort(dim=0).values - (b @ axes).sort(dim=0).values).abs().mean())


def patches(images: Tensor, *, seed: int) -> list[Tensor]:
    """Normalised patches [N * 64, C * 49] of every pyramid level; the places are functions of the seed."""
    return [
        _level_patches(level, derive_seed(seed, "swd-places", k)) for k, level in enumerate(laplacian_pyramid(images))
    ]


def snapshot_metric(source: Images, *, seed: int) -> Callable[[GeneratorLike, int], dict[str, float]]:
    """A callback for training: the mean over levels of 1,000 times the distance to 512 real images, as {"swd": x}."""
    count = min(NUM_IMAGES, len(source))
    chosen = np.random.default_rng(derive_seed(seed, "swd-reals")).permutation(len(source))[:count]
    reals = patches(to_float(source.images(chosen)), seed=seed)

    @torch.inference_mode()
    def measure(generator: GeneratorLike, num_images: int) -> dict[str, float]:
        fakes = patches(_fakes(generator, count, seed), seed=seed)
        distances = [sliced_wasserstein(a, b, seed=seed) for a, b in zip(reals, fakes, strict=True)]
        return {"swd": 1000 * float(np.mean(distances))}

    return measure


def _fakes(generator: GeneratorLike, count: int, seed: int) -> Tensor:
    device = torch.device(generator.w_avg.device)
    batches = []
    for start in range(0, count, BATCH):
        rows = slice(start, min(start + BATCH, count))
        ws = generator.mapping(sample_z(seed, rows, generator.z_dim, stream="swd-z").to(device))
        batches.append(to_float(to_uint8(synthesize(generator, [ws], rows=rows, seed=seed, stream="swd-noise")[0])))
    return torch.cat(batches)


def _smooth(images: Tensor) -> Tensor:
    """The binomial filter [1, 4, 6, 4, 1] / 16 in both directions, mirrored at the edges."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = torch.outer(taps, taps).expand(images.shape[1], 1, 5, 5)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), kernel, groups=images.shape[1])


def _level_patches(level: Tensor, seed: int) -> Tensor:
    count, _channels, height, width = level.shape
    rng = torch.Generator().manual_seed(seed)
    rows = torch.randint(height - PATCH + 1, (count, PATCHES), generator=rng)
    columns = torch.randint(width - PATCH + 1, (count, PATCHES), generator=rng)
    windows = level.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # [N, C, H', W', 7, 7], a view
    taken = windows[torch.arange(count)[:, None], :, rows, columns].flatten(0, 1)  # [N * 64, C, 7, 7]
    mean, std = taken.mean(dim=(0, 2, 3), keepdim=True), taken.std(dim=(0, 2, 3), keepdim=True)
    return ((taken - mean) / std.clamp_min(1e-8)).flatten(1)
